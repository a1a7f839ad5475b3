//! Orders in every order: what starts, what ends, and what is said of it.

use super::*;
use lockgate_core::statement::Release;
use lockgate_core::{Digest, Name};
use std::time::Duration;

fn job(name: &str) -> JobId {
    JobId { tenant: Name::new("acme").unwrap(), name: Name::new(name).unwrap() }
}

fn assignment(name: &str, epoch: u64, slots: u32) -> Assignment {
    Assignment {
        job: job(name),
        id: format!("id-{name}"),
        epoch,
        slots,
        first: 0,
        parallelism: slots.max(1),
        bundle: Digest::of(name.as_bytes()),
        release: Release { version: 1, digest: Digest::of(b"signed") },
        fallback_of: None,
        parameters: BTreeMap::new(),
        fuel_per_second: None,
        drain: false,
        documents: 1,
    }
}

fn orders(assignments: Vec<Assignment>) -> Orders {
    Orders { revision: 1, lease_ms: 1_000, assignments, audit: None, cordoned: false }
}

struct Desk {
    table: Table,
    now: Moment,
}

impl Desk {
    fn new(slots: u32) -> Self {
        Self { table: Table::new(slots), now: Moment::now() }
    }

    fn apply(&mut self, assignments: Vec<Assignment>) -> Vec<Start> {
        self.table.apply(orders(assignments), self.now.plus(Duration::from_secs(1)), self.now).unwrap()
    }

    fn started(&mut self, assignments: Vec<Assignment>) -> Vec<String> {
        self.apply(assignments)
            .iter()
            .map(|start| format!("{}@{}", start.assignment.job.name, start.assignment.epoch))
            .collect()
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
    }

    fn end(&mut self, name: &str, epoch: u64, outcome: Outcome) -> Vec<String> {
        let starts = self.table.ended(&job(name), &format!("id-{name}"), epoch, outcome, self.now);
        starts.iter().map(|start| format!("{}@{}", start.assignment.job.name, start.assignment.epoch)).collect()
    }

    fn says(&self, name: &str) -> Option<(u64, Status)> {
        let tasks = self.table.report();
        tasks.into_iter().find(|task| task.job == job(name)).map(|task| (task.epoch, task.status))
    }
}

fn failed() -> Outcome {
    Outcome::Failed(Error::new(code::EXECUTOR_CRASHED, "it crashed"))
}

#[test]
fn what_is_ordered_starts_once_and_ends_when_it_is_no_more() {
    let mut desk = Desk::new(4);
    let starts = desk.apply(vec![assignment("a", 1, 2)]);
    assert_eq!(starts.len(), 1);
    assert_eq!(desk.started(vec![assignment("a", 1, 2)]), [""; 0]);
    assert_eq!(desk.says("a"), Some((1, Status::Starting)));
    desk.table.running(&job("a"), "id-a", 1);
    assert_eq!(desk.says("a"), Some((1, Status::Running)));
    assert!(!starts[0].stop.asked());
    desk.apply(vec![]);
    assert!(starts[0].stop.asked());
    assert_eq!(desk.says("a"), Some((1, Status::Running)), "until it has ended");
    desk.end("a", 1, Outcome::Finished);
    assert_eq!(desk.says("a"), None, "what nobody asks for is forgotten");
}

#[test]
fn how_it_ended_is_said_until_something_newer_is_asked_for() {
    let mut desk = Desk::new(4);
    for (epoch, outcome, status) in [
        (1, Outcome::Finished, Status::Finished),
        (2, failed(), Status::Failed(failure(&Error::new(code::EXECUTOR_CRASHED, "it crashed"), false))),
        (3, Outcome::Ended, Status::Ended),
    ] {
        assert_eq!(desk.started(vec![assignment("a", epoch, 1)]), [format!("a@{epoch}")]);
        desk.end("a", epoch, outcome);
        assert_eq!(desk.started(vec![assignment("a", epoch, 1)]), [""; 0], "not again under the same lease");
        assert_eq!(desk.says("a"), Some((epoch, status)));
    }
}

#[test]
fn an_earlier_lease_is_over_before_the_next_begins() {
    let mut desk = Desk::new(4);
    let first = desk.apply(vec![assignment("a", 1, 4)]);
    assert_eq!(desk.started(vec![assignment("a", 2, 4)]), [""; 0]);
    assert!(first[0].stop.asked());
    assert_eq!(desk.says("a").unwrap().0, 1, "what runs is what is so");
    assert_eq!(desk.started(vec![assignment("a", 1, 4)]), [""; 0], "and an earlier one is ignored");
    assert_eq!(desk.end("a", 1, failed()), ["a@2"]);
    assert_eq!(desk.says("a"), Some((2, Status::Starting)));
    // Another job of the same name.
    let other = Assignment { id: "other".into(), ..assignment("a", 1, 1) };
    assert_eq!(desk.started(vec![other]), [""; 0]);
    assert_eq!(desk.end("a", 2, Outcome::Ended), ["a@1"]);
}

#[test]
fn what_still_ends_has_its_slots() {
    let mut desk = Desk::new(4);
    desk.apply(vec![assignment("a", 1, 3)]);
    assert_eq!(desk.started(vec![assignment("b", 1, 3)]), [""; 0]);
    assert_eq!(desk.says("b"), Some((1, Status::Starting)));
    assert_eq!(desk.end("a", 1, Outcome::Ended), ["b@1"]);
}

#[test]
fn no_slots_end_it_under_the_epoch_that_says_so() {
    let mut desk = Desk::new(4);
    let starts = desk.apply(vec![assignment("a", 1, 1)]);
    desk.apply(vec![assignment("a", 2, 0)]);
    assert!(starts[0].stop.asked());
    assert_eq!(desk.end("a", 1, failed()), [""; 0]);
    assert_eq!(desk.says("a"), Some((2, Status::Ended)));
    desk.apply(vec![assignment("b", 7, 0)]);
    assert_eq!(desk.says("b"), Some((7, Status::Ended)), "also where there was nothing");
}

#[test]
fn a_lease_that_is_over_ends_it_and_does_not_come_back() {
    let mut desk = Desk::new(4);
    let starts = desk.apply(vec![assignment("a", 1, 1)]);
    desk.pass(900);
    assert!(desk.table.expire(desk.now).is_some() && !starts[0].stop.asked());
    desk.apply(vec![assignment("a", 1, 1)]);
    desk.pass(900);
    desk.table.expire(desk.now);
    assert!(!starts[0].stop.asked(), "it was made longer");
    desk.pass(100);
    // As after a long stop: the answer is there, but the lease was over before.
    let asked = desk.table.apply(orders(vec![assignment("a", 1, 1)]), desk.now.plus(Duration::from_secs(9)), desk.now);
    assert!(asked.unwrap().is_empty() && starts[0].stop.asked());
    assert_eq!(desk.end("a", 1, Outcome::Finished), [""; 0]);
    assert_eq!(desk.says("a"), Some((1, Status::Ended)));
    assert_eq!(desk.table.expire(desk.now), None);
    // An answer that comes when its own leases are over starts nothing.
    let late = desk.table.apply(orders(vec![assignment("b", 1, 1)]), desk.now, desk.now);
    assert!(late.unwrap().is_empty());
    assert_eq!(desk.says("b"), None);
}

#[test]
fn of_orders_only_what_contradicts_itself_is_refused() {
    let beyond = || Assignment { first: u32::MAX, ..assignment("b", 1, 1) };
    let behind = || Assignment { slots: 2, ..assignment("b", 1, 1) };
    let long = || Assignment { id: "x".repeat(MAX_ID + 1), ..assignment("b", 1, 1) };
    let blank = || Assignment { id: "a b".into(), ..assignment("b", 1, 1) };
    let other = || Assignment { id: "other".into(), ..assignment("b", 2, 1) };
    let twice = vec![assignment("b", 1, 1), assignment("b", 1, 1)];
    let under_two = vec![assignment("b", 1, 1), other()];
    let end_or_not = vec![assignment("b", 1, 0), assignment("b", 1, 1)];
    for wrong in [twice, under_two, end_or_not, vec![beyond()], vec![behind()], vec![long()], vec![blank()]] {
        let mut desk = Desk::new(4);
        let starts = desk.apply(vec![assignment("a", 1, 1)]);
        // The others are obeyed, and of this one there is no task.
        let all = [vec![assignment("a", 1, 1)], wrong.clone(), vec![assignment("c", 1, 1)]].concat();
        assert_eq!(desk.started(all), ["c@1"], "{wrong:?}");
        assert!(!starts[0].stop.asked());
        assert_eq!(desk.says("b"), None, "{wrong:?}");
        // Told in a way that makes sense, it runs.
        assert_eq!(desk.started(vec![assignment("b", 1, 1)]), ["b@1"]);
    }
}

#[test]
fn what_runs_of_a_job_that_is_contradicted_goes_on_with_its_lease_and_no_longer() {
    let mut desk = Desk::new(4);
    let starts = desk.apply(vec![assignment("a", 1, 3), assignment("b", 1, 1)]);
    let contradiction = || vec![assignment("a", 1, 3), assignment("a", 2, 3), assignment("b", 1, 1)];
    desk.pass(600);
    assert_eq!(desk.started(contradiction()), [""; 0]);
    assert!(!starts[0].stop.asked(), "neither of the two is taken for the right one");
    assert_eq!(desk.says("a"), Some((1, Status::Starting)));
    // It has its slots.
    let more = [contradiction(), vec![assignment("c", 1, 1)]].concat();
    assert_eq!(desk.started(more), [""; 0]);
    assert!(matches!(desk.says("c"), Some((1, Status::Failed(_)))));
    desk.pass(400);
    desk.table.expire(desk.now);
    assert!(starts[0].stop.asked(), "its lease was made longer by a contradiction");
    assert!(!starts[1].stop.asked());
}

#[test]
fn orders_without_bound_change_nothing() {
    let mut desk = Desk::new(4);
    let starts = desk.apply(vec![assignment("a", 1, 1)]);
    let many = (0..=MAX_TASKS).map(|n| assignment(&format!("j{n}"), 1, 0)).collect();
    let refused = desk.table.apply(orders(many), desk.now.plus(Duration::from_secs(1)), desk.now);
    assert_eq!(refused.err().unwrap().code(), code::PLANE_MESSAGE);
    assert!(!starts[0].stop.asked());
    assert_eq!(desk.table.report().len(), 1);
}

/// The JobManager is silent when the slots become free for which it waited.
#[test]
fn what_waited_for_slots_until_its_lease_was_over_does_not_begin() {
    let mut desk = Desk::new(4);
    desk.apply(vec![assignment("a", 1, 3)]);
    assert_eq!(desk.started(vec![assignment("b", 1, 3)]), [""; 0]);
    desk.pass(1_000);
    assert_eq!(desk.end("a", 1, Outcome::Ended), [""; 0]);
    assert_eq!(desk.started(vec![assignment("b", 1, 3)]), ["b@1"], "told again it begins");
}

#[test]
fn more_than_there_are_slots_for_is_refused_and_what_runs_stays() {
    let mut desk = Desk::new(4);
    desk.apply(vec![assignment("b", 1, 3)]);
    assert_eq!(desk.started(vec![assignment("a", 1, 3), assignment("b", 1, 3)]), [""; 0]);
    let Some((1, Status::Failed(failure))) = desk.says("a") else { panic!("{:?}", desk.says("a")) };
    assert_eq!((failure.code.as_str(), failure.permanent), ("LG1426", false));
    assert_eq!(desk.says("b"), Some((1, Status::Starting)));
    // What has failed holds nothing that others could have.
    assert_eq!(desk.started(vec![assignment("a", 1, 3), assignment("b", 1, 3), assignment("c", 1, 1)]), ["c@1"]);
}

#[test]
fn a_refusal_stays_until_the_documents_change() {
    let mut desk = Desk::new(4);
    desk.apply(vec![assignment("a", 1, 1)]);
    desk.end("a", 1, Outcome::Refused(Error::new(code::REVOKED, "it is revoked")));
    let Some((1, Status::Failed(failure))) = desk.says("a") else { panic!("not refused") };
    assert!(failure.permanent);
    assert_eq!(desk.started(vec![assignment("a", 1, 1)]), [""; 0]);
    let newer = Assignment { documents: 2, ..assignment("a", 1, 1) };
    assert_eq!(desk.started(vec![newer.clone()]), ["a@1"]);
    // What fails for another reason is not tried again under its lease, whatever changes.
    desk.end("a", 1, failed());
    assert_eq!(desk.started(vec![Assignment { documents: 3, ..newer }]), [""; 0]);
}

#[test]
fn what_may_not_run_any_longer_is_refused() {
    let mut desk = Desk::new(4);
    let starts = desk.apply(vec![assignment("a", 1, 1)]);
    desk.table.refuse(&job("a"), "id-a", 1, Error::new(code::REVOKED, "it is revoked"));
    assert!(starts[0].stop.asked());
    desk.end("a", 1, failed());
    let Some((1, Status::Failed(failure))) = desk.says("a") else { panic!("not refused") };
    assert_eq!((failure.code.as_str(), failure.permanent), ("LG0419", true));
}

#[test]
fn documents_and_drains_reach_what_runs() {
    let mut desk = Desk::new(4);
    let mut starts = desk.apply(vec![assignment("a", 1, 1)]);
    let start = &mut starts[0];
    start.documents.borrow_and_update();
    desk.apply(vec![Assignment { documents: 2, ..assignment("a", 1, 1) }]);
    assert!(start.documents.has_changed().unwrap() && *start.documents.borrow() == 2);
    assert!(!start.stop.asked());
    desk.apply(vec![Assignment { documents: 2, drain: true, ..assignment("a", 1, 1) }]);
    assert!(start.stop.asked());
    desk.end("a", 1, Outcome::Finished);
    assert_eq!(desk.says("a"), Some((1, Status::Finished)));
}

#[test]
fn whoever_leaves_starts_nothing_and_says_that_others_go_on() {
    let mut desk = Desk::new(4);
    let starts = desk.apply(vec![assignment("a", 1, 1), assignment("b", 1, 1)]);
    desk.table.running(&job("a"), "id-a", 1);
    desk.table.close();
    assert!(starts.iter().all(|start| start.stop.asked()));
    assert_eq!(desk.started(vec![assignment("a", 1, 1), assignment("b", 1, 1), assignment("c", 1, 1)]), [""; 0]);
    assert!(!desk.table.idle());
    desk.end("a", 1, Outcome::Finished);
    desk.end("b", 1, Outcome::Ended);
    assert!(desk.table.idle());
    for name in ["a", "b", "c"] {
        assert_eq!(desk.says(name), Some((1, Status::Ended)), "{name}");
    }
}

#[test]
fn what_is_signed_is_lasting_and_what_is_here_is_not() {
    for (code, lasting) in [
        (code::REVOKED, true),
        (code::WRONG_ASSIGNMENT, true),
        (code::PARAMETER_REFUSED, true),
        (code::CLOCK_WENT_BACK, false),
        (code::EXPIRED, false),
        (code::NOT_YET_VALID, false),
        (code::STALE_STATUS, false),
        (code::UNKNOWN_VOLUME, false),
        (code::EXECUTOR_START, false),
        (code::MARKS_MISSING, false),
    ] {
        assert_eq!(is_lasting(&Error::new(code, "it")), lasting, "{code}");
    }
}
