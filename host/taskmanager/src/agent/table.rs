//! What runs here, what is to run here, and what is told of it: the level-triggered half of the plane, without I/O.
//!
//! Orders say what is to be, tasks what is. A task of another epoch ends before the next one starts; one that is not named
//! any more ends and is forgotten; one whose lease is over ends whether or not anybody can be asked.
//!
//! An assignment that cannot be is refused, and every one of a job that has several: which of them is right nobody here can
//! know. What runs of such a job goes on under the lease that it has, which is not made longer, as if nothing had been said
//! of it; the others are obeyed. Only a list that is too long is refused as a whole.

use super::clock::Moment;
use super::figures::{Figures, Steps};
use crate::job::Stop;
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{Assignment, Failure, MAX_TASKS, Orders, Status, Task};
use lockgate_core::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// The most bytes of a job's id.
const MAX_ID: usize = 128;
/// The most characters of a cause that is told.
const MAX_CAUSE: usize = 500;

/// All tasks of a TaskManager.
#[derive(Default)]
pub struct Table {
    slots: u32,
    tasks: BTreeMap<JobId, Entry>,
    revision: u64,
    /// The jobs whose assignments the last orders contradicted themselves about.
    contradicted: BTreeSet<JobId>,
    /// Nothing starts any more.
    closing: bool,
}

/// What one job is to be here, and what it is.
struct Entry {
    /// The last assignment that was taken.
    wanted: Assignment,
    /// Whether the last orders named it.
    named: bool,
    /// When its lease is over.
    until: Moment,
    run: Option<Run>,
    /// What came of `wanted`, as long as nothing runs.
    ended: Option<Outcome>,
    figures: Arc<Figures>,
}

/// A task that runs, as the table holds it.
struct Run {
    id: String,
    epoch: u64,
    slots: u32,
    release: lockgate_core::statement::Release,
    stop: Stop,
    documents: watch::Sender<u64>,
    running: bool,
    draining: bool,
    why: Option<Why>,
}

/// Whether an assignment has its slots already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Yes,
    No,
    NoMore,
}

/// Why a task was told to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// By the JobManager, or since its lease is over.
    Ordered,
    /// This TaskManager goes.
    Leaving,
    /// It may not run any longer.
    Refused(Error),
}

/// What came of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All is read and committed, or it was drained.
    Finished,
    /// It was refused, and is again unless something changes.
    Refused(Error),
    /// It failed.
    Failed(Error),
    /// It was ended.
    Ended,
}

/// A task that is to start.
pub struct Start {
    /// What it is to run.
    pub assignment: Assignment,
    /// By which it is told to stop.
    pub stop: Stop,
    /// The revision of the documents that it is to know.
    pub documents: watch::Receiver<u64>,
    /// Where its counters go.
    pub figures: Arc<Figures>,
}

impl Table {
    /// For a TaskManager of so many slots.
    pub fn new(slots: u32) -> Self {
        Self { slots, ..Self::default() }
    }

    /// The revision of the orders that are acted on.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes orders whose leases are good until `until`; what is to be started comes back.
    ///
    /// # Errors
    /// `LG1405` if there are too many. Nothing has changed then.
    pub fn apply(&mut self, orders: Orders, until: Moment, now: Moment) -> Result<Vec<Start>> {
        if orders.assignments.len() > MAX_TASKS {
            let cause = format!("{} assignments are more than {MAX_TASKS}", orders.assignments.len());
            return Err(Error::new(code::PLANE_MESSAGE, cause));
        }
        // Before anything else: what was late stays late, whatever has come meanwhile.
        self.expire(now);
        if until <= now {
            return Ok(Vec::new());
        }
        self.revision = orders.revision;
        let (assignments, contradicted) = sensible(orders.assignments);
        for (job, error) in contradicted.iter().filter(|(job, _)| !self.contradicted.contains(job)) {
            tracing::error!(%job, code = %error.code(), %error, "an assignment is refused; what runs of the job goes on with its lease");
        }
        self.contradicted = contradicted.into_keys().collect();
        for (job, entry) in &mut self.tasks {
            entry.named &= self.contradicted.contains(job);
        }
        let held = |of: &Assignment| self.tasks.get(&of.job).map_or(Held::No, |entry| entry.held(of));
        // Slots go to what has them first, and to what has ended they go no more.
        let (first, then): (Vec<_>, Vec<_>) =
            assignments.into_iter().map(|of| (held(&of), of)).partition(|(held, _)| *held == Held::Yes);
        // What goes on though it cannot be told of has its slots, too.
        let kept = self.tasks.values().filter(|entry| entry.named).map(Entry::slots);
        let mut free = self.slots.saturating_sub(kept.fold(0, u32::saturating_add));
        for (held, assignment) in first.into_iter().chain(then) {
            let left = if held == Held::NoMore { Some(free) } else { free.checked_sub(assignment.slots) };
            free = left.unwrap_or(free);
            self.take(assignment, until, left.is_some());
        }
        self.tasks.retain(|_, entry| {
            if !entry.named {
                entry.end(&Why::Ordered);
            }
            entry.named || entry.run.is_some()
        });
        Ok(self.start(now))
    }

    /// Starts what waits, as far as there is room and its lease is not over: what is still ending has its slots until it has
    /// ended.
    fn start(&mut self, now: Moment) -> Vec<Start> {
        let used = |entry: &Entry| entry.run.as_ref().map_or(0, |run| u64::from(run.slots));
        let mut used: u64 = self.tasks.values().map(used).sum();
        let mut starts = Vec::new();
        for entry in self.tasks.values_mut().filter(|entry| entry.waits() && entry.until > now) {
            let slots = u64::from(entry.wanted.slots);
            if slots == 0 || self.closing {
                entry.ended = Some(Outcome::Ended);
            } else if used + slots <= u64::from(self.slots) {
                used += slots;
                starts.push(entry.start());
            }
        }
        starts
    }

    fn take(&mut self, assignment: Assignment, until: Moment, fits: bool) {
        let entry = self.tasks.entry(assignment.job.clone()).or_insert_with(|| Entry::new(assignment.clone(), until));
        entry.named = true;
        let same = entry.wanted.id == assignment.id;
        if same && assignment.epoch < entry.wanted.epoch {
            tracing::warn!(job = %assignment.job, epoch = assignment.epoch, known = entry.wanted.epoch, "an order of an earlier lease is ignored");
            return;
        }
        if same && assignment.epoch == entry.wanted.epoch && (entry.run.is_some() || entry.ended.is_some()) {
            entry.goes_on(assignment, until);
            return;
        }
        entry.until = until;
        entry.ended = None;
        entry.wanted = assignment;
        if !fits {
            let cause = format!("{} slots of job {} are more than there are", entry.wanted.slots, entry.wanted.job);
            tracing::warn!(job = %entry.wanted.job, slots = entry.wanted.slots, "more slots are assigned than there are");
            entry.ended = Some(Outcome::Failed(Error::new(code::NOT_ENOUGH_SLOTS, cause)));
        }
        entry.end(&Why::Ordered);
    }

    /// Ends every task whose lease is over; when the next one will be.
    pub fn expire(&mut self, now: Moment) -> Option<Moment> {
        for (job, entry) in &mut self.tasks {
            if entry.until <= now && entry.runs() {
                tracing::warn!(%job, epoch = entry.wanted.epoch, "its lease is over: it ends");
                entry.end(&Why::Ordered);
            }
        }
        self.tasks.values().filter(|entry| entry.runs()).map(|entry| entry.until).min()
    }

    /// A task has been admitted and runs.
    pub fn running(&mut self, job: &JobId, id: &str, epoch: u64) {
        if let Some(run) = self.run(job, id, epoch) {
            run.running = true;
        }
    }

    /// A task may not run any longer.
    pub fn refuse(&mut self, job: &JobId, id: &str, epoch: u64, error: Error) {
        if let Some(entry) = self.tasks.get_mut(job)
            && entry.run.as_ref().is_some_and(|run| run.is(id, epoch))
        {
            entry.end(&Why::Refused(error));
        }
    }

    /// A task has ended; what is to be started in its place.
    pub fn ended(&mut self, job: &JobId, id: &str, epoch: u64, outcome: Outcome, now: Moment) -> Vec<Start> {
        if let Some(entry) = self.tasks.get_mut(job)
            && let Some(run) = entry.run.take_if(|run| run.is(id, epoch))
        {
            entry.settle(run, outcome);
            if !entry.named {
                self.tasks.remove(job);
            }
        }
        self.start(now)
    }

    /// Lets nothing start any more, and lets what runs commit and end.
    pub fn close(&mut self) {
        self.closing = true;
        for run in self.tasks.values_mut().filter_map(|entry| entry.run.as_mut()) {
            if run.why.is_none() {
                run.why = Some(Why::Leaving);
                // What has not begun need not.
                if run.running { run.stop.drain() } else { run.stop.cancel() }
            }
        }
    }

    /// Cuts off everything.
    pub fn cut_off(&mut self) {
        self.closing = true;
        self.tasks.values_mut().for_each(|entry| entry.end(&Why::Leaving));
    }

    /// Ends everything and forgets what was ordered, as if nothing were named any more.
    pub fn give_up(&mut self) {
        self.tasks.retain(|_, entry| {
            entry.named = false;
            entry.end(&Why::Ordered);
            entry.run.is_some()
        });
    }

    /// Whether nothing runs.
    pub fn idle(&self) -> bool {
        self.tasks.values().all(|entry| entry.run.is_none())
    }

    /// Whether nothing is to start any more.
    pub fn closing(&self) -> bool {
        self.closing
    }

    /// The tasks, as a heartbeat tells of them.
    pub fn report(&self) -> Vec<Task> {
        self.tasks.iter().take(MAX_TASKS).map(|(job, entry)| entry.report(job)).collect()
    }

    /// The tasks as [`Table::report`] has them, with what they have got done.
    pub fn shown(&self) -> Vec<(Task, Steps)> {
        let tasks = self.tasks.iter().take(MAX_TASKS);
        tasks.map(|(job, entry)| (entry.report(job), entry.figures.steps())).collect()
    }

    fn run(&mut self, job: &JobId, id: &str, epoch: u64) -> Option<&mut Run> {
        self.tasks.get_mut(job)?.run.as_mut().filter(|run| run.is(id, epoch))
    }
}

impl Entry {
    fn new(wanted: Assignment, until: Moment) -> Self {
        Self { wanted, named: true, until, run: None, ended: None, figures: Arc::default() }
    }

    /// Whether this very assignment has slots.
    fn held(&self, assignment: &Assignment) -> Held {
        match &self.run {
            Some(run) if run.is(&assignment.id, assignment.epoch) => Held::Yes,
            None if self.ended.is_some()
                && (&self.wanted.id, self.wanted.epoch) == (&assignment.id, assignment.epoch) =>
            {
                Held::NoMore
            }
            _ => Held::No,
        }
    }

    /// The slots that it has, or waits for.
    fn slots(&self) -> u32 {
        match &self.run {
            Some(run) => run.slots,
            None if self.ended.is_some() => 0,
            None => self.wanted.slots,
        }
    }

    /// Whether it is to start and has not yet.
    fn waits(&self) -> bool {
        self.named && self.run.is_none() && self.ended.is_none()
    }

    /// Notes what came of a run, if it was the one that is wanted.
    fn settle(&mut self, run: Run, outcome: Outcome) {
        if !run.is(&self.wanted.id, self.wanted.epoch) {
            return;
        }
        let outcome = match (run.why, outcome) {
            (Some(Why::Refused(error)), _) => Outcome::Refused(error),
            (Some(_), Outcome::Refused(_) | Outcome::Failed(_)) => Outcome::Ended,
            // Drained by order it has finished; drained since this TaskManager goes, others go on with it.
            (Some(Why::Ordered | Why::Leaving), Outcome::Finished) if !run.draining => Outcome::Ended,
            (_, outcome) => outcome,
        };
        self.ended = Some(outcome);
    }

    /// Whether something runs that was not told to end yet.
    fn runs(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !matches!(run.why, Some(Why::Ordered | Why::Refused(_))))
    }

    fn end(&mut self, why: &Why) {
        if let Some(run) = &mut self.run {
            // The first reason counts, except that whoever leaves anyway may have a better one to end sooner.
            if matches!(run.why, None | Some(Why::Leaving)) {
                run.why = Some(why.clone());
            }
            run.stop.cancel();
        }
    }

    /// The same lease again: it is longer, and perhaps it drains, ends or knows of new documents.
    fn goes_on(&mut self, assignment: Assignment, until: Moment) {
        self.until = self.until.max(until);
        let Some(run) = &mut self.run else {
            // What was refused may be allowed by other documents, or as another bundle.
            let changed = (assignment.documents, assignment.bundle) != (self.wanted.documents, self.wanted.bundle);
            let refused = matches!(self.ended, Some(Outcome::Refused(_)));
            if changed && refused && assignment.slots > 0 {
                self.wanted = assignment;
                self.ended = None;
            }
            return;
        };
        if !run.is(&assignment.id, assignment.epoch) {
            self.wanted = assignment;
            return;
        }
        if assignment.slots == 0 {
            self.end(&Why::Ordered);
            return;
        }
        let fixed = |of: &Assignment| (of.slots, of.first, of.parallelism, of.bundle, of.release);
        if fixed(&assignment) != fixed(&self.wanted) || assignment.parameters != self.wanted.parameters {
            tracing::warn!(job = %assignment.job, epoch = assignment.epoch, "an assignment was changed within its lease; it goes on as it was");
        }
        if assignment.drain && !run.draining {
            run.draining = true;
            run.stop.drain();
        }
        if assignment.documents > self.wanted.documents {
            self.wanted.documents = assignment.documents;
            run.documents.send_replace(assignment.documents);
        }
    }

    fn start(&mut self) -> Start {
        self.figures = Arc::default();
        let stop = Stop::default();
        let (documents, seen) = watch::channel(self.wanted.documents);
        if self.wanted.drain {
            stop.drain();
        }
        self.run = Some(Run {
            id: self.wanted.id.clone(),
            epoch: self.wanted.epoch,
            slots: self.wanted.slots,
            release: self.wanted.release,
            stop: stop.clone(),
            documents,
            running: false,
            draining: self.wanted.drain,
            why: None,
        });
        let figures = Arc::clone(&self.figures);
        Start { assignment: self.wanted.clone(), stop, documents: seen, figures }
    }

    fn report(&self, job: &JobId) -> Task {
        let status = match (&self.run, &self.ended) {
            (Some(run), _) if run.running => Status::Running,
            (Some(_), _) | (None, None) => Status::Starting,
            (None, Some(Outcome::Finished)) => Status::Finished,
            (None, Some(Outcome::Ended)) => Status::Ended,
            (None, Some(Outcome::Refused(error))) => Status::Failed(failure(error, is_lasting(error))),
            (None, Some(Outcome::Failed(error))) => Status::Failed(failure(error, false)),
        };
        let (id, epoch, slots, release, draining) = match &self.run {
            Some(run) => (run.id.clone(), run.epoch, run.slots, run.release, run.draining),
            None => {
                let wanted = &self.wanted;
                (wanted.id.clone(), wanted.epoch, wanted.slots, wanted.release, wanted.drain)
            }
        };
        Task { job: job.clone(), id, epoch, slots, release, draining, status, operators: self.figures.operators() }
    }
}

impl Run {
    fn is(&self, id: &str, epoch: u64) -> bool {
        self.id == id && self.epoch == epoch
    }
}

/// Whether a refusal stays one: it is by what the tenant or the operator has signed, not by the state of this machine. When
/// that is valid a clock says, and this machine's may be the only one that is wrong: what has expired is not run here, and
/// whether it is run elsewhere others say.
fn is_lasting(error: &Error) -> bool {
    if [code::EXPIRED, code::NOT_YET_VALID, code::STALE_STATUS].contains(&error.code()) {
        return false;
    }
    is_signed(error) || [code::WRONG_ASSIGNMENT, code::NOT_IN_A_CLUSTER, code::BUNDLE_REFUSED].contains(&error.code())
}

/// Whether something is refused by what is signed, rather than by this machine's clock or disk.
pub(super) fn is_signed(error: &Error) -> bool {
    let here = [code::CLOCK_WENT_BACK, code::CORRUPT_MARKS, code::MARKS_FULL];
    matches!(error.code().number() / 100, 1..=5) && !here.contains(&error.code())
}

fn failure(error: &Error, permanent: bool) -> Failure {
    let cause = match error.place() {
        Some(place) => format!("{place}: {}", error.cause()),
        None => error.cause().to_owned(),
    };
    Failure { code: error.code().to_string(), cause: cause.chars().take(MAX_CAUSE).collect(), permanent }
}

/// The assignments that can be, and of which jobs the others are.
fn sensible(assignments: Vec<Assignment>) -> (Vec<Assignment>, BTreeMap<JobId, Error>) {
    let (mut seen, mut wrong) = (BTreeSet::new(), BTreeMap::new());
    for assignment in &assignments {
        let job = &assignment.job;
        let twice = (!seen.insert(job.clone())).then(|| format!("job {job} is assigned twice"));
        if let Some(cause) = twice.or_else(|| nonsense(assignment)) {
            wrong.entry(job.clone()).or_insert_with(|| Error::new(code::PLANE_MESSAGE, cause));
        }
    }
    let sensible = assignments.into_iter().filter(|assignment| !wrong.contains_key(&assignment.job)).collect();
    (sensible, wrong)
}

/// Why an assignment cannot be.
fn nonsense(assignment: &Assignment) -> Option<String> {
    let Assignment { job, id, first, slots, parallelism, .. } = assignment;
    if !(1..=MAX_ID).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(format!("the id of job {job} is not 1 to {MAX_ID} visible characters"));
    }
    let end = first.checked_add(*slots);
    let beyond = *slots > 0 && end.is_none_or(|end| end > *parallelism);
    beyond.then(|| format!("job {job} has not the slots that it is assigned"))
}

#[cfg(test)]
mod tests;
