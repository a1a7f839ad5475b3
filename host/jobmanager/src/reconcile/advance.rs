//! What happens next to one job: at most one change of its record at a time.
//!
//! The rules stand in the order of their precedence: first what has ended by itself, then what forbids the job, then
//! what is wanted of it, then what its tasks say.

use super::orders::{Contact, View};
use super::{Execution, Failure, Goal, Holding, Job, Left, Phase, Status, Task};
use lockgate_core::error::code;
use lockgate_core::job_state::{State, Trigger};
use lockgate_core::placement::Placed;
use lockgate_core::restart::{History, Restart};
use lockgate_core::{Digest, Name, UnixMillis};
use std::collections::BTreeMap;

/// What a job's tasks say, all together.
enum Tasks {
    /// Some are not there yet.
    Starting,
    /// All run, or are through.
    Running,
    /// All are through.
    Finished,
    /// A TaskManager with some of them is silent.
    Silent,
    /// One failed.
    Failed(Failure),
}

/// The job's execution after its next change; none if there is nothing to do.
///
/// `target` is where placement wants it: none if placement has not decided on it.
pub(super) fn advance(job: &Job, view: &View<'_>, target: Option<&Placed>) -> Option<Execution> {
    let mut next = job.execution.clone();
    step(job, view, target, &mut next).filter(|()| next != job.execution).map(|()| next)
}

fn step(job: &Job, view: &View<'_>, target: Option<&Placed>, next: &mut Execution) -> Option<()> {
    let (now, wanted) = (view.now, &job.wanted);
    // What was told to end has ended.
    let ended =
        |holding: &Holding| holding.phase == Phase::Ending && view.has_ended(&job.id, holding, job.execution.epoch);
    if next.holds.as_ref().is_some_and(ended) {
        next.holds = None;
        next.last_ran = Some(now);
        return Some(());
    }
    if next.state.is_terminal() {
        if next.holds.is_none() && wanted.run > next.run {
            begin_run(job, next, now);
            return Some(());
        }
        return None;
    }
    if let Some(refused) = view.facts.refused.get(&job.id) {
        let known = next.failure.as_ref().is_some_and(|failure| failure.permanent);
        if !known || !matches!(next.state, State::Failing | State::Cancelling) {
            let failure = Failure { permanent: true, ..refused.clone() };
            return fail(next, failure, now);
        }
    }
    let doomed = next.failure.as_ref().is_some_and(|failure| failure.permanent);
    match wanted.goal {
        Goal::Cancel if next.state != State::Cancelling => return leave(next, Trigger::Cancel, now),
        // Once cancelled it is only cancelled.
        Goal::Suspend if !doomed && !matches!(next.state, State::Suspended | State::Cancelling) => {
            return leave(next, Trigger::Suspend, now);
        }
        Goal::Run | Goal::Drain if next.state == State::Suspended => {
            next.retry_at = None;
            return go(next, Trigger::Resume, now);
        }
        _ => {}
    }
    match next.state {
        State::Cancelling if next.holds.is_none() => go(next, Trigger::Ended, now),
        State::Failing if next.holds.is_none() => settle(job, next, now),
        // One that waits since a time that is still to come was to wait by a clock that was ahead.
        State::Restarting if next.holds.is_none() && next.retry_at.is_none_or(|at| now >= at || next.since > now) => {
            next.retry_at = None;
            (next.release, next.restarts) = (wanted.release, wanted.restarts);
            go(next, Trigger::Ready, now)
        }
        State::Created if next.holds.is_none() => wait(job, view, next, target),
        State::Created | State::Running | State::Reconciling => run(job, view, target, next),
        _ => None,
    }
}

/// A job that has ended is wanted again.
fn begin_run(job: &Job, next: &mut Execution, now: UnixMillis) {
    let epoch = next.epoch;
    let last_ran = next.last_ran;
    *next = Execution::admitted(job.wanted.release, epoch, now);
    (next.run, next.restarts, next.last_ran) = (job.wanted.run, job.wanted.restarts, last_ran);
}

/// A job without tasks that waits for slots.
fn wait(job: &Job, view: &View<'_>, next: &mut Execution, target: Option<&Placed>) -> Option<()> {
    let now = view.now;
    if job.wanted.goal == Goal::Drain {
        // Nothing is in flight.
        next.reserved.clear();
        return go(next, Trigger::Finish, now);
    }
    (next.release, next.restarts) = (job.wanted.release, job.wanted.restarts);
    if let Some(target) = target {
        let epoch = next.epoch.max(target.lease.epoch.saturating_sub(1)).saturating_add(1);
        let mut placed = target.clone();
        placed.lease.epoch = epoch;
        next.epoch = epoch;
        next.reserved = placed.slots.clone();
        let sessions = view.sessions(&placed);
        next.holds = Some(Holding { placed, phase: Phase::Live, since: now, sessions });
        next.last_ran = None;
    }
    Some(())
}

/// A job with tasks.
fn run(job: &Job, view: &View<'_>, target: Option<&Placed>, next: &mut Execution) -> Option<()> {
    let now = view.now;
    let holding = next.holds.clone()?;
    if holding.phase == Phase::Ending {
        return None;
    }
    match listen(job, view, &holding) {
        Tasks::Failed(failure) => return fail(next, failure, now),
        Tasks::Finished => return finish(job, view, next),
        // Nothing that is not urgent is done to a job that may or may not run.
        Tasks::Silent if next.state == State::Running => return go(next, Trigger::Lose, now),
        Tasks::Silent => return None,
        Tasks::Running if next.state != State::Running => return go(next, Trigger::Start, now),
        Tasks::Starting | Tasks::Running => {}
    }
    let asked = job.wanted.restarts > next.restarts || job.wanted.release != next.release;
    let target = target.map(|target| &target.slots);
    if asked {
        next.restarts = job.wanted.restarts;
        return restart(next, holding.placed.slots, now);
    }
    // A job that drains is left where it is as long as it can be.
    let slots = target.cloned().unwrap_or_default();
    let stays = slots == holding.placed.slots || (job.wanted.goal == Goal::Drain && !slots.is_empty());
    if stays { None } else { restart(next, slots, now) }
}

/// A job all tasks of which say that they are through: it is if the record of its run says so too, or if it was told to
/// drain. Otherwise it is started again, as its restart strategy has it.
fn finish(job: &Job, view: &View<'_>, next: &mut Execution) -> Option<()> {
    let now = view.now;
    if job.wanted.goal != Goal::Drain {
        let cause = match view.facts.left.get(&job.id)? {
            Left::Splits(0) => None,
            Left::Splits(1) => Some("at least one split is not read to its end".to_owned()),
            Left::Splits(left) => Some(format!("at least {left} splits are not read to their end")),
            Left::Unopened => Some("nobody has opened its run".to_owned()),
        };
        if let Some(cause) = cause {
            let cause = format!("all tasks say that they are through, and {cause}");
            return fail(next, Failure::new(code::SPLITS_UNREAD, cause, false, now), now);
        }
    }
    match next.state {
        State::Created => go(next, Trigger::Start, now),
        _ => leave(next, Trigger::Finish, now),
    }
}

/// Whether all tasks of a job under the present lease say that they are through, and were not told to drain.
pub(super) fn is_said_to_have_finished(job: &Job, view: &View<'_>) -> bool {
    let live = job.execution.holds.as_ref().filter(|holding| holding.phase == Phase::Live);
    let drains = job.wanted.goal == Goal::Drain;
    !drains && live.is_some_and(|holding| matches!(listen(job, view, holding), Tasks::Finished))
}

/// What the tasks under the present lease say.
fn listen(job: &Job, view: &View<'_>, holding: &Holding) -> Tasks {
    let placed = &holding.placed;
    let (mut starting, mut running, mut silent) = (false, false, false);
    for (name, slots) in &placed.slots {
        match view.contact(name) {
            Contact::Lost => {
                let cause = format!("TaskManager {name} has not been heard of for longer than its leases last");
                return Tasks::Failed(Failure::new(code::TASKMANAGER_LOST, cause, false, view.now));
            }
            Contact::Silent => {
                silent = true;
                continue;
            }
            // Nobody has asked it yet: that is no word against its tasks.
            Contact::Good if view.is_unheard(name) && view.task(name, &job.id).is_none() => {
                silent = true;
                continue;
            }
            // Whatever runs there: it is not what this lease was given to.
            Contact::Good if view.is_another(name, holding) => {
                let cause = format!("TaskManager {name} has started anew since it was given its tasks");
                return Tasks::Failed(Failure::new(code::TASKMANAGER_LOST, cause, false, view.now));
            }
            Contact::Good => {}
        }
        let is_mine = |task: &&Task| (task.lease.epoch, task.slots) == (placed.lease.epoch, *slots);
        match view.task(name, &job.id).filter(is_mine).map(|task| &task.status) {
            Some(Status::Failed(failure)) => return Tasks::Failed(failure.clone()),
            Some(Status::Running) => running = true,
            Some(Status::Finished) => {}
            Some(Status::Starting) => starting = true,
            // What has ended under this lease does not begin again under it, whether or not it was ever said to run.
            Some(Status::Ended) => {
                let cause = format!(
                    "TaskManager {name} has ended its tasks, most likely for want of an answer while its lease lasted"
                );
                return Tasks::Failed(Failure::new(code::TASKMANAGER_LOST, cause, false, view.now));
            }
            // It said once that they run, and says by now that they do not.
            None if job.execution.state != State::Created && view.heard(name) > view.noted(job.execution.since) => {
                let cause = format!("TaskManager {name} has lost its tasks, most likely by starting anew");
                return Tasks::Failed(Failure::new(code::TASKMANAGER_LOST, cause, false, view.now));
            }
            None => starting = true,
        }
    }
    match (silent, starting, running) {
        (true, _, _) => Tasks::Silent,
        (_, true, _) => Tasks::Starting,
        (_, _, true) => Tasks::Running,
        _ => Tasks::Finished,
    }
}

/// Whether a failed job, whose tasks have ended, is started again.
fn settle(job: &Job, next: &mut Execution, now: UnixMillis) -> Option<()> {
    let failure = next.failure.clone().unwrap_or_else(|| Failure::new(code::INTERNAL, "no cause is known", true, now));
    if !failure.permanent {
        let (restart, history) = job.wanted.restart.decide(&next.history, failure.at, seed(job));
        next.history = history;
        if let Restart::After(delay) = restart {
            next.retry_at = Some(failure.at.plus(delay));
            return go(next, Trigger::Restart, now);
        }
    }
    next.reserved.clear();
    go(next, Trigger::GiveUp, now)
}

/// What differs from job to job, so that those that failed together do not come back together.
fn seed(job: &Job) -> u64 {
    let digest = Digest::of(job.id.to_string().as_bytes()).hex();
    digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}

fn fail(next: &mut Execution, failure: Failure, now: UnixMillis) -> Option<()> {
    if failure.permanent {
        next.reserved.clear();
    }
    next.failure = Some(failure);
    end_tasks(next);
    go(next, Trigger::Fail, now)
}

/// Ends a job's tasks and starts them again in these slots, if any.
fn restart(next: &mut Execution, slots: BTreeMap<Name, u32>, now: UnixMillis) -> Option<()> {
    next.reserved = slots;
    next.retry_at = None;
    end_tasks(next);
    go(next, Trigger::Restart, now)
}

/// Ends a job's tasks and keeps no slots for it.
fn leave(next: &mut Execution, trigger: Trigger, now: UnixMillis) -> Option<()> {
    next.reserved.clear();
    next.retry_at = None;
    if trigger == Trigger::Suspend {
        next.history = History::default();
    }
    end_tasks(next);
    go(next, trigger, now)
}

/// Raises the fence above the present lease.
fn end_tasks(next: &mut Execution) {
    if let Some(holding) = next.holds.as_mut().filter(|holding| holding.phase == Phase::Live) {
        holding.phase = Phase::Ending;
        next.epoch = next.epoch.saturating_add(1);
    }
}

fn go(next: &mut Execution, trigger: Trigger, now: UnixMillis) -> Option<()> {
    let state = next.state.next(trigger).ok()?;
    if state != next.state {
        next.since = now;
    }
    next.state = state;
    Some(())
}
