//! Whatever fails while a job runs, every row is in its output once: TaskManagers, executors and the JobManager are killed,
//! stopped for longer than a lease and restarted one after the other, the network is cut and slow, clocks jump, disks are full.
//!
//! All of it happens to real processes. [`fault`] is what can happen, [`run`] a job to which it happens. Each host is a
//! network namespace of its own ([`crate::harness::network`]), each small disk a file system of its own, which only root can
//! make; without, everything is on loopback, and what cannot happen there is named. Clocks are set by a library
//! ([`crate::harness::clock`]). Each kind has one run in every test; `cargo xtask chaos` draws many by chance.

mod expired;
mod fault;
mod run;

use crate::harness::network::{Direction, may_make};
use crate::harness::random::Random;
use fault::{Fault, Place, Target};
use run::{Step, run};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Asks for another number of runs.
const RUNS_VARIABLE: &str = "LOCKGATE_CHAOS_RUNS";
/// Asks for another first seed.
const SEED_VARIABLE: &str = "LOCKGATE_CHAOS_SEED";
/// How many runs go on at once: they wait more than they work.
const AT_ONCE: usize = 3;

#[test]
fn a_job_survives_whatever_is_killed() {
    each(&[Fault::Kill(Target::TaskManager(0)), Fault::Kill(Target::Executor(1)), Fault::Kill(Target::JobManager)]);
}

#[test]
fn a_job_survives_whatever_stands_still_for_longer_than_its_lease() {
    each(&[
        Fault::Freeze(Target::TaskManager(0)),
        Fault::Freeze(Target::Executor(1)),
        Fault::Freeze(Target::JobManager),
    ]);
}

#[test]
fn a_job_survives_a_network_that_is_cut_or_slow() {
    let cut = [Direction::Up, Direction::Down, Direction::Both].map(|direction| Fault::Cut(0, direction));
    each(&[cut.as_slice(), &[Fault::Refused(2), Fault::Slow(1, 16_384)]].concat());
}

#[test]
fn a_job_survives_clocks_that_jump() {
    const HOUR: i64 = 3_600;
    let (taskmanager, jobmanager) = (Target::TaskManager(0), Target::JobManager);
    each(&[
        Fault::Clock(taskmanager, 18 * HOUR),
        Fault::Clock(jobmanager, 12 * HOUR),
        Fault::Clock(jobmanager, -72 * HOUR),
        Fault::ClockOverRestart(taskmanager, -48 * HOUR),
        Fault::ClockOverRestart(jobmanager, 12 * HOUR),
    ]);
}

#[test]
fn a_job_survives_a_rolling_restart() {
    each(&[Fault::Roll]);
}

#[test]
fn a_job_survives_disks_that_are_full() {
    each(&[Place::State, Place::Data, Place::Output].map(Fault::Full));
}

#[test]
fn a_job_survives_what_chance_brings() {
    let number = |name: &str, default| std::env::var(name).ok().map_or(default, |text| text.parse().expect(name));
    let (runs, first) = (number(RUNS_VARIABLE, 1_u64), number(SEED_VARIABLE, 1_u64));
    let (next, diverged) = (AtomicU64::new(0), AtomicU32::new(0));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= runs {
                return;
            }
            let seed = first.wrapping_add(at);
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&format!("seed-{seed}"), &drawn(seed), false)));
            if outcome.is_err() {
                diverged.fetch_add(1, Ordering::Relaxed);
                println!("seed {seed} diverged: `cargo xtask chaos --runs 1 --seed {seed}` does the same again");
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let diverged = diverged.into_inner();
    println!("{runs} runs, {diverged} diverged");
    assert_eq!(diverged, 0);
}

/// One run for each, all at once.
fn each(faults: &[Fault]) {
    let (here, not): (Vec<Fault>, Vec<Fault>) = faults.iter().partition(|fault| may_make() || !fault.wants_root());
    if !not.is_empty() {
        println!("not tried: only root can make networks and small disks: {not:?}");
    }
    std::thread::scope(|scope| {
        let runs: Vec<_> = here
            .iter()
            .map(|fault| {
                let steps = [Step { pause_ms: 0, hold_ms: run::LEASE_IS_OVER, faults: vec![*fault] }];
                scope.spawn(move || run(&fault.name(), &steps, true))
            })
            .collect();
        for run in runs {
            run.join().expect("a run that holds");
        }
    });
}

/// What happens in the run of this seed.
fn drawn(seed: u64) -> Vec<Step> {
    let mut random = Random(seed);
    let steps = 1 + random.below(3);
    let step = |random: &mut Random| {
        let mut faults = vec![fault::draw(random)];
        // Two at once, if they are about different processes.
        let second = fault::draw(random);
        if random.below(3) == 0 && faults[0].goes_with(&second) {
            faults.push(second);
        }
        Step { pause_ms: random.below(1_500), hold_ms: run::LEASE_IS_OVER + random.below(3_000), faults }
    };
    (0..steps).map(|_| step(&mut random)).collect()
}

#[test]
fn a_seed_always_brings_the_same() {
    let of = |seed| format!("{:?}", drawn(seed));
    assert!((0..100).all(|seed| of(seed) == of(seed)) && of(1) != of(2));
    // Every kind comes up within the runs that are done if nothing else is asked for.
    let all: String = (1..=100).map(of).collect();
    let kinds = ["Kill(TaskManager", "Kill(Executor", "Kill(JobManager", "Freeze(TaskManager", "Freeze(Executor"];
    let more = ["Freeze(JobManager", "Up)", "Down)", "Both)", "Refused(", "Slow(", "Roll"];
    let disks = ["Full(State)", "Full(Data)", "Full(Output)"];
    let clocks = ["Clock(TaskManager", "Clock(JobManager", "Restart(TaskManager", "Restart(JobManager", ", -"];
    for kind in kinds.iter().chain(&more).chain(&disks).chain(&clocks) {
        assert!(all.contains(kind), "{kind} never comes up");
    }
}
