//! Reconciliation, by what users do and by what breaks.

mod random;
mod world;

use super::*;
use lockgate_core::error::code;
use lockgate_core::placement::Availability;
use world::{World, id, name, release};

fn running() -> World {
    let mut world = World::new(&[("a/x", 2), ("b/y", 1)], &[("t1", 2), ("t2", 2)]);
    world.settle(5);
    assert_eq!((world.state("a/x"), world.state("b/y")), (State::Running, State::Running));
    world
}

fn epoch(world: &World, job: &str) -> u64 {
    world.jobs[&id(job)].execution.epoch
}

#[test]
fn without_taskmanagers_jobs_wait_and_can_be_ended() {
    let mut world = World::new(&[("a/x", 1), ("a/y", 1), ("a/z", 1), ("a/w", 1)], &[]);
    assert_eq!(world.steps(), []);
    world.want("a/x", |wanted| wanted.goal = Goal::Cancel);
    world.want("a/y", |wanted| wanted.goal = Goal::Suspend);
    world.want("a/z", |wanted| wanted.goal = Goal::Drain);
    world.want("a/w", |wanted| wanted.release = release(2));
    world.settle(5);
    assert_eq!((world.state("a/x"), world.state("a/y")), (State::Canceled, State::Suspended));
    assert_eq!((world.state("a/z"), world.state("a/w")), (State::Finished, State::Created));
    assert_eq!(world.job("a/w").execution.release, release(2));
    assert_eq!(world.steps(), []);
}

#[test]
fn a_job_runs_once_it_is_reported_as_running() {
    let mut world = World::new(&[("a/x", 2)], &[("t1", 2)]);
    world.round(usize::MAX);
    assert_eq!(world.state("a/x"), State::Created);
    world.round(usize::MAX);
    world.deliver(&name("t1"));
    world.heartbeat(&name("t1"));
    world.round(usize::MAX);
    assert_eq!(world.state("a/x"), State::Created);
    world.work(&name("t1"));
    world.heartbeat(&name("t1"));
    world.round(usize::MAX);
    assert_eq!(world.state("a/x"), State::Running);
    // Nothing is left to do until leases want renewal.
    assert_eq!(world.steps(), []);
    world.pass(world.settings.rules.lease / 3);
    world.heartbeat(&name("t1"));
    assert!(matches!(&world.steps()[..], [Step::Tell { .. }]));
}

#[test]
fn a_failure_is_followed_by_the_restart_strategy() {
    let mut world = running();
    world.job("b/y").wanted.restart = RestartStrategy::FixedDelay { attempts: 2, delay_ms: 20_000 };
    for attempt in 0..3 {
        let task = world.machines.values_mut().find_map(|machine| machine.tasks.get_mut(&id("b/y"))).unwrap();
        let failure = Failure::new(code::GUEST_TRAP, "trapped", false, world.now);
        task.status = Status::Failed(failure);
        let before = epoch(&world, "b/y");
        world.settle(10);
        let expected = if attempt < 2 { State::Restarting } else { State::Failed };
        assert_eq!(world.state("b/y"), expected, "attempt {attempt}");
        assert!(epoch(&world, "b/y") > before);
        world.settle(20);
    }
    assert_eq!(world.job("b/y").execution.failure.as_ref().unwrap().code, "LG0606");
    assert_eq!((world.state("a/x"), world.running().len()), (State::Running, 2));
}

#[test]
fn a_permanent_failure_is_not_tried_again() {
    let mut world = running();
    let task = world.machines.values_mut().find_map(|machine| machine.tasks.get_mut(&id("b/y"))).unwrap();
    task.status = Status::Failed(Failure::new(code::REVOKED, "revoked", true, world.now));
    world.settle(5);
    assert_eq!(world.state("b/y"), State::Failed);
}

#[test]
fn a_revoked_job_stops_wherever_it_stands() {
    for goal in [Goal::Run, Goal::Suspend, Goal::Drain] {
        let mut world = running();
        world.want("a/x", |wanted| wanted.goal = if goal == Goal::Drain { Goal::Run } else { goal });
        world.settle(5);
        let failure = Failure::new(code::REVOKED, "job x is revoked", true, world.now);
        world.facts.refused.insert(id("a/x"), failure);
        world.want("a/x", |wanted| wanted.goal = goal);
        world.settle(5);
        assert_eq!(world.state("a/x"), State::Failed, "{goal:?}");
        assert!(world.running().iter().all(|(_, job, ..)| *job == id("b/y")));
        // To ask again does not help as long as it is revoked.
        world.want("a/x", |wanted| (wanted.run, wanted.goal) = (2, Goal::Run));
        world.settle(5);
        assert_eq!(world.state("a/x"), State::Failed);
        world.facts.refused.clear();
        world.want("a/x", |wanted| wanted.run = 3);
        world.settle(5);
        assert_eq!((world.state("a/x"), world.job("a/x").execution.run), (State::Running, 3));
    }
}

#[test]
fn cancel_ends_the_tasks_first() {
    let mut world = running();
    world.want("a/x", |wanted| wanted.goal = Goal::Cancel);
    world.round(usize::MAX);
    world.round(usize::MAX);
    assert_eq!(world.state("a/x"), State::Cancelling);
    // No word comes back from them: their leases have to end.
    world.machines.values_mut().for_each(|machine| machine.cut = true);
    let end = world.settings.silence + world.settings.rules.lease + world.settings.skew;
    for _ in 0..end.as_secs() {
        world.pass(Duration::from_secs(1));
        world.round(usize::MAX);
    }
    assert_eq!(world.state("a/x"), State::Cancelling);
    world.pass(Duration::from_secs(2));
    world.round(usize::MAX);
    world.round(usize::MAX);
    assert_eq!(world.state("a/x"), State::Canceled);
}

#[test]
fn drain_lets_tasks_finish() {
    let mut world = running();
    world.want("a/x", |wanted| wanted.goal = Goal::Drain);
    world.round(usize::MAX);
    assert_eq!(world.state("a/x"), State::Running);
    world.settle(5);
    assert_eq!((world.state("a/x"), world.state("b/y")), (State::Finished, State::Running));
    world.want("a/x", |wanted| (wanted.goal, wanted.run) = (Goal::Run, 2));
    world.settle(5);
    assert_eq!(world.state("a/x"), State::Running);
}

#[test]
fn an_upgrade_and_a_restart_are_done_once() {
    let mut world = running();
    let before = epoch(&world, "a/x");
    world.want("a/x", |wanted| (wanted.release, wanted.restarts) = (release(2), 1));
    world.settle(10);
    assert_eq!((world.state("a/x"), world.job("a/x").execution.release), (State::Running, release(2)));
    assert!(world.running().iter().filter(|(_, job, ..)| *job == id("a/x")).all(|(.., version)| *version == 2));
    // One fence, one lease.
    assert_eq!(epoch(&world, "a/x"), before + 2);
    assert_eq!((world.job("a/x").execution.history.failures, world.steps().len()), (0, 0));
}

#[test]
fn a_silent_taskmanager_is_waited_for_until_its_leases_end() {
    let mut world = running();
    world.machines.get_mut("t1").unwrap().cut = true;
    world.settle(11);
    assert_eq!(world.state("a/x"), State::Reconciling);
    world.machines.get_mut("t1").unwrap().cut = false;
    world.settle(2);
    assert_eq!(world.state("a/x"), State::Running);
    let before = epoch(&world, "a/x");
    world.machines.get_mut("t1").unwrap().cut = true;
    world.settle(33);
    assert_eq!((world.state("a/x"), epoch(&world, "a/x")), (State::Reconciling, before));
    world.settle(25);
    assert_eq!(world.state("a/x"), State::Running);
    assert!(world.running().iter().all(|(machine, ..)| *machine == name("t2")));
    assert_eq!(world.job("a/x").execution.failure.as_ref().unwrap().code, "LG1304");
}

#[test]
fn a_taskmanager_that_starts_anew_has_lost_its_tasks() {
    let mut world = running();
    world.machines.get_mut("t1").unwrap().tasks.clear();
    world.settle(2);
    assert_ne!(world.state("a/x"), State::Running);
    world.settle(10);
    assert_eq!((world.state("a/x"), world.job("a/x").execution.history.failures), (State::Running, 1));
}

/// One that had no word of its JobManager for so long that its lease was over, before it ever said that its tasks run.
#[test]
fn tasks_that_end_before_they_are_said_to_run_are_started_again() {
    let mut world = World::new(&[("a/x", 2)], &[("t1", 2)]);
    world.round(usize::MAX);
    world.round(usize::MAX);
    world.deliver(&name("t1"));
    world.heartbeat(&name("t1"));
    world.round(usize::MAX);
    assert_eq!((world.state("a/x"), world.running().len()), (State::Created, 1));
    let before = epoch(&world, "a/x");
    world.machines.get_mut("t1").unwrap().tasks.get_mut(&id("a/x")).unwrap().status = Status::Ended;
    world.settle(10);
    assert_eq!((world.state("a/x"), world.job("a/x").execution.history.failures), (State::Running, 1));
    assert!(epoch(&world, "a/x") > before);
}

/// What a JobManager before this one wrote down by a clock that was ahead by a quarter of an hour.
#[test]
fn a_clock_that_was_ahead_delays_nothing() {
    let ahead = Duration::from_secs(900);
    let mut world = running();
    let task = world.machines.values_mut().find_map(|machine| machine.tasks.get_mut(&id("b/y"))).unwrap();
    task.status = Status::Failed(Failure::new(code::GUEST_TRAP, "trapped", false, world.now));
    for _ in 0..60 {
        if world.job("b/y").execution.retry_at.is_some() {
            break;
        }
        world.settle(1);
    }
    assert!(world.job("b/y").execution.retry_at.is_some());
    world.set_back(ahead);
    world.settle(20);
    assert_eq!(world.state("b/y"), State::Running, "the next start");
    let mut world = running();
    world.want("a/x", |wanted| wanted.goal = Goal::Cancel);
    world.round(usize::MAX);
    assert_eq!(world.state("a/x"), State::Cancelling);
    world.machines.values_mut().for_each(|machine| machine.cut = true);
    world.set_back(ahead);
    world.settle(60);
    assert_eq!(world.state("a/x"), State::Canceled, "the end of a lease");
}

/// Whoever waits, waits since this JobManager started and not until a time that was never due.
#[test]
fn a_clock_that_was_ahead_takes_nobodys_turn() {
    let mut world = running();
    world.set_back(Duration::from_secs(3_600));
    let view = super::orders::View::new(&world.facts, &world.settings, world.now);
    for job in world.jobs.values() {
        assert!(job.execution.since > world.now, "nothing lies ahead");
        let candidate = super::round::candidate(job, &view).unwrap();
        assert!(candidate.since <= world.now && candidate.last_ran.is_none_or(|at| at <= world.now));
    }
}

/// As often as the restart strategy has it, and not for ever.
#[test]
fn tasks_that_say_they_are_through_are_believed_by_the_record_only() {
    let mut world = running();
    world.facts.left.insert(id("b/y"), Left::Splits(3));
    for attempt in 0..3 {
        let task = world.machines.values_mut().find_map(|machine| machine.tasks.get_mut(&id("b/y"))).unwrap();
        task.status = Status::Finished;
        world.settle(20);
        let expected = if attempt < 2 { State::Running } else { State::Failed };
        assert_eq!(world.state("b/y"), expected, "attempt {attempt}");
    }
    let failure = world.job("b/y").execution.failure.clone().unwrap();
    assert_eq!(failure.code, "LG1435");
    assert!(failure.cause.ends_with("3 splits are not read to their end"), "{}", failure.cause);
    // What is not known yet is waited for.
    world.facts.left.remove(&id("a/x"));
    let finish = |world: &mut World| {
        for machine in world.machines.values_mut() {
            machine.tasks.values_mut().for_each(|task| task.status = Status::Finished);
        }
    };
    finish(&mut world);
    world.settle(10);
    assert_eq!(world.state("a/x"), State::Running);
    world.facts.left.insert(id("a/x"), Left::Splits(0));
    world.settle(5);
    assert_eq!(world.state("a/x"), State::Finished);
}

#[test]
fn a_drained_taskmanager_is_left_without_a_failure() {
    let mut world = running();
    world.facts.taskmanagers.get_mut("t1").unwrap().offer.state = Availability::Draining;
    world.settle(10);
    assert!(world.running().iter().all(|(machine, ..)| *machine == name("t2")), "{:?}", world.running());
    assert_eq!(world.job("a/x").execution.history.failures, 0);
}

/// A job starts in slots that are meant for it only when the tasks that were there have really ended.
#[test]
fn a_place_is_taken_when_it_is_empty() {
    let mut world = World::new(&[("a/x", 1), ("a/z", 1)], &[("t1", 1)]);
    world.job("a/z").wanted.goal = Goal::Suspend;
    world.settle(5);
    world.want("a/x", |wanted| wanted.goal = Goal::Suspend);
    world.want("a/z", |wanted| wanted.goal = Goal::Run);
    for _ in 0..5 {
        world.round(usize::MAX);
        assert!(world.job("a/z").execution.holds.is_none());
    }
    world.settle(5);
    assert_eq!((world.state("a/x"), world.state("a/z")), (State::Suspended, State::Running));
}

#[test]
fn a_commit_on_an_older_record_is_refused() {
    let mut world = World::new(&[("a/x", 1)], &[("t1", 1)]);
    let steps = world.steps();
    world.want("a/x", |wanted| wanted.goal = Goal::Cancel);
    steps.into_iter().for_each(|step| world.execute(step));
    assert!(world.job("a/x").execution.holds.is_none());
}
