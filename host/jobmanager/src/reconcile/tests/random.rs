//! Reconciliation under whatever happens, killed wherever it stands.

use super::super::*;
use super::world::{World, release};
use lockgate_core::error::code;
use lockgate_core::placement::{Availability, Quota};
use proptest::prelude::*;

const JOBS: [&str; 4] = ["a/x", "a/y", "b/x", "b/y"];
const MACHINES: [&str; 3] = ["t1", "t2", "t3"];

/// What can happen.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    /// A round of which so many steps are carried out before the JobManager dies, or comes to its next round.
    Round(usize, bool),
    Deliver(usize),
    Heartbeat(usize),
    Work(usize),
    Cut(usize, bool),
    Crash(usize),
    Drain(usize, bool),
    End(usize, usize, Option<bool>),
    Goal(usize, Goal),
    Restart(usize),
    Upgrade(usize),
    Revoke(usize),
    Again(usize),
    Quota(Option<u64>),
}

fn event() -> impl Strategy<Value = Event> {
    let (job, machine) = (0..JOBS.len(), 0..MACHINES.len());
    let goal = prop::sample::select(vec![Goal::Run, Goal::Run, Goal::Drain, Goal::Cancel, Goal::Suspend]);
    prop_oneof![
        4 => (0..20_000_u64).prop_map(Event::Pass),
        8 => (0..8_usize, prop::bool::weighted(0.2)).prop_map(|(steps, dies)| Event::Round(steps, dies)),
        8 => machine.clone().prop_map(Event::Deliver),
        6 => machine.clone().prop_map(Event::Heartbeat),
        4 => machine.clone().prop_map(Event::Work),
        2 => (machine.clone(), any::<bool>()).prop_map(|(at, cut)| Event::Cut(at, cut)),
        1 => machine.clone().prop_map(Event::Crash),
        1 => (machine.clone(), any::<bool>()).prop_map(|(at, drain)| Event::Drain(at, drain)),
        2 => (machine, job.clone(), any::<Option<bool>>()).prop_map(|(at, job, how)| Event::End(at, job, how)),
        2 => (job.clone(), goal).prop_map(|(job, goal)| Event::Goal(job, goal)),
        1 => job.clone().prop_map(Event::Restart),
        1 => job.clone().prop_map(Event::Upgrade),
        1 => job.clone().prop_map(Event::Revoke),
        1 => job.prop_map(Event::Again),
        1 => prop::option::of(0..5_u64).prop_map(Event::Quota),
    ]
}

fn world() -> World {
    let mut world = World::new(&JOBS.map(|job| (job, 2)), &MACHINES.map(|machine| (machine, 2)));
    world.job("b/x").wanted.restart = RestartStrategy::None;
    world.job("b/y").wanted.restart = RestartStrategy::default();
    world
}

fn apply(world: &mut World, event: &Event) {
    let machine = |at: &usize| super::world::name(MACHINES[*at]);
    match event {
        Event::Pass(millis) => world.pass(Duration::from_millis(*millis)),
        Event::Round(steps, dies) => {
            world.round(*steps);
            if *dies {
                world.restart_jobmanager();
            }
        }
        Event::Deliver(at) => world.deliver(&machine(at)),
        Event::Heartbeat(at) => world.heartbeat(&machine(at)),
        Event::Work(at) => world.work(&machine(at)),
        Event::Cut(at, cut) => world.machines.get_mut(&machine(at)).unwrap().cut = *cut,
        Event::Crash(at) => world.machines.get_mut(&machine(at)).unwrap().crash(),
        Event::Drain(at, drain) => {
            let seen = world.facts.taskmanagers.get_mut(&machine(at)).unwrap();
            seen.offer.state = if *drain { Availability::Draining } else { Availability::Active };
        }
        Event::End(at, job, how) => {
            let failure = |permanent| Failure::new(code::GUEST_TRAP, "trapped", permanent, world.now);
            let status = how.map_or(Status::Finished, |permanent| Status::Failed(failure(permanent)));
            let tasks = &mut world.machines.get_mut(&machine(at)).unwrap().tasks;
            if let Some(task) = tasks.get_mut(&super::world::id(JOBS[*job])).filter(|t| t.status == Status::Running) {
                task.status = status;
            }
        }
        Event::Goal(job, goal) => world.want(JOBS[*job], |wanted| wanted.goal = *goal),
        Event::Restart(job) => world.want(JOBS[*job], |wanted| wanted.restarts += 1),
        Event::Upgrade(job) => {
            world.want(JOBS[*job], |wanted| wanted.release = release(wanted.release.version + 1));
        }
        Event::Revoke(job) => {
            let failure = Failure::new(code::REVOKED, "revoked", true, world.now);
            world.facts.refused.insert(super::world::id(JOBS[*job]), failure);
        }
        Event::Again(job) => world.want(JOBS[*job], |wanted| (wanted.run, wanted.goal) = (wanted.run + 1, Goal::Run)),
        Event::Quota(slots) => {
            world.quotas.insert(super::world::name("a"), Quota { slots: *slots, ..Quota::default() });
        }
    }
}

/// What must be so when nothing happens for a while.
fn check_rest(world: &World) {
    for (id, job) in &world.jobs {
        let (state, wanted) = (job.execution.state, &job.wanted);
        let live = world.running().into_iter().filter(|(_, running, ..)| running == id);
        let (slots, versions): (u32, BTreeSet<u64>) =
            live.fold((0, BTreeSet::new()), |(slots, mut versions), (_, _, more, version)| {
                versions.insert(version);
                (slots + more, versions)
            });
        let expected: &[State] = match wanted.goal {
            _ if world.facts.refused.contains_key(id) => &[State::Failed, State::Canceled, State::Finished],
            Goal::Run => &[State::Running, State::Created, State::Finished, State::Failed, State::Canceled],
            Goal::Drain => &[State::Finished, State::Failed, State::Canceled],
            Goal::Cancel => &[State::Canceled, State::Finished, State::Failed],
            Goal::Suspend => &[State::Suspended, State::Finished, State::Failed, State::Canceled],
        };
        assert!(expected.contains(&state), "{id} is {state} though {:?} is wanted", wanted.goal);
        assert_eq!(slots > 0, state == State::Running, "{id} is {state} with {slots} slots");
        assert_eq!(job.execution.holds.is_some(), state == State::Running, "{id} is {state}");
        if state == State::Running {
            assert_eq!(versions, BTreeSet::from([wanted.release.version]), "{id}");
            assert_eq!(job.execution.restarts, wanted.restarts, "{id}");
        }
        let waits = state == State::Created;
        let tight = world.quotas.get("a").is_some_and(|quota| quota.slots.is_some_and(|slots| slots < 2));
        assert!(!waits || (tight && id.tenant.as_str() == "a"), "{id} waits though there is room");
    }
    let left = world.steps().into_iter().filter(|step| matches!(step, Step::Commit { .. })).count();
    assert_eq!(left, 0, "{left} commits are left");
}

/// One story, in which the reconciler may be killed at one of its steps; what it came to, and the steps it took.
fn story(kill_at: usize) -> (Vec<(JobId, State, u64, u32)>, usize) {
    let mut world = world();
    let mut steps = 0;
    let mut quiet = |world: &mut World, seconds: usize| {
        for _ in 0..seconds {
            for machine in MACHINES.map(super::world::name) {
                while !world.machines[&machine].inbox.is_empty() {
                    world.deliver(&machine);
                }
                world.work(&machine);
                world.heartbeat(&machine);
            }
            for step in world.steps() {
                steps += 1;
                if steps == kill_at {
                    world.restart_jobmanager();
                    break;
                }
                world.execute(step);
            }
            world.pass(Duration::from_secs(1));
        }
    };
    quiet(&mut world, 8);
    world.want("a/x", |wanted| wanted.release = release(2));
    world.want("a/y", |wanted| wanted.goal = Goal::Cancel);
    world.want("b/y", |wanted| wanted.goal = Goal::Drain);
    quiet(&mut world, 3);
    apply(&mut world, &Event::Revoke(2));
    apply(&mut world, &Event::Crash(0));
    world.want("a/y", |wanted| (wanted.run, wanted.goal) = (2, Goal::Run));
    quiet(&mut world, 60);
    check_rest(&world);
    let end = world.jobs.values().map(|job| {
        let slots = job.execution.holds.as_ref().map_or(0, |holding| holding.placed.parallelism());
        (job.id.clone(), job.execution.state, job.execution.release.version, slots)
    });
    (end.collect(), steps)
}

#[test]
fn killed_at_any_step_it_comes_to_the_same_end() {
    let (end, steps) = story(usize::MAX);
    assert!(steps > 50, "{steps} steps");
    assert_eq!(end.iter().filter(|(_, state, ..)| *state == State::Running).count(), 2, "{end:?}");
    for kill_at in 1..=steps {
        assert_eq!(story(kill_at).0, end, "killed at step {kill_at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// After every event: no job under two epochs, nothing over capacity, no state out of order (the world checks).
    /// When nothing happens any more: what is wanted.
    #[test]
    fn whatever_happens_what_is_wanted_comes_about(events in prop::collection::vec(event(), 0..120)) {
        let mut world = world();
        for event in &events {
            apply(&mut world, event);
        }
        world.machines.values_mut().for_each(|machine| machine.cut = false);
        for seen in world.facts.taskmanagers.values_mut() {
            seen.offer.state = Availability::Active;
        }
        world.settle(240);
        check_rest(&world);
    }
}
