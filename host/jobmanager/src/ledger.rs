//! The record of every run (`lockgate_core::plane`, its ledger): which splits there are, who reads them, how far they are
//! read and which outputs count. One conditional commit of the store for each change, so that what was answered is kept and
//! what was refused left no trace.
//!
//! Every commit demands that the job's own record is as it was when it was found to place the asking TaskManager under the
//! epoch that it names. Whoever gives the job's slots to somebody else changes that record first: nothing late gets in.
//!
//! What slots write lies under keys of their own, and each split under its own, so that slots that commit at the same time
//! do not meet: the store writes all of them with one sync. Nothing counts their commits or lists what is published in one
//! place; both are sums over the slots.
//!
//! A run's splits are written before its head, under a random name that only the head says. Before it does they count
//! nowhere, and whoever keeps house finds the draft that names them.

mod claim;
mod collect;
mod commit;
mod cursor;
mod open;
mod record;
#[cfg(test)]
mod tests;

use crate::model::job::Job;
use crate::model::{Kept, keys};
use crate::reconcile::{Left, Phase};
use crate::service::{Change, Clock, Records};
use crate::store::Key;
use cursor::Cursors;
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plane::Fence;
use lockgate_core::{Error, Name, Result};
use record::{Run, Split};
use std::ops::Range;
use tokio::sync::Semaphore;

/// The most splits of a run.
pub const MAX_SPLITS: usize = 200_000;
/// How many listings are taken in at once: what bounds the memory that they take.
const OPENINGS: usize = 2;
/// How many records are read or written at once.
const PAGE: usize = 1_000;

/// The records of all runs.
pub struct Ledger {
    records: Records,
    clock: Clock,
    steady: Clock,
    cursors: Cursors,
    opening: Semaphore,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

/// A TaskManager's place in a job, by a committed record.
pub(crate) struct Seat {
    /// The job that says so.
    pub job: Kept<Job>,
    /// The numbers of the TaskManager's slots.
    pub slots: Range<u32>,
}

/// Where a run is kept.
struct Place<'a> {
    tenant: &'a Name,
    id: &'a str,
    ledger: &'a str,
}

impl Ledger {
    /// The records of runs that `records` keeps. `clock` says when a run began, `steady` for how long something has been there.
    pub fn new(records: Records, clock: Clock, steady: Clock) -> Self {
        Self { records, clock, steady, cursors: Cursors::default(), opening: Semaphore::new(OPENINGS) }
    }

    /// The place of `peer` in a job, under the lease that `fence` names and in the process that it was given to.
    ///
    /// # Errors
    /// `LG1412` if it has none at all, `LG1410` if it has none under this lease.
    pub(crate) async fn seat(&self, peer: &Name, job: &JobId, fence: &Fence) -> Result<Seat> {
        let nothing = || {
            let cause = format!("nothing of job {job} is placed on {peer}");
            Error::new(code::NOT_PLACED, cause)
        };
        let kept = self.records.get::<Job>(&keys::job(&job.tenant, &job.name)).await?;
        let kept = kept.filter(|kept| kept.record.id == fence.id).ok_or_else(nothing)?;
        let holding = kept.record.execution.holds.clone().ok_or_else(nothing)?;
        let (first, slots) = holding.placed.range(peer).ok_or_else(nothing)?;
        let epoch = holding.placed.lease.epoch;
        if holding.phase != Phase::Live || epoch != fence.epoch {
            let cause = match holding.phase {
                Phase::Live => format!("job {job} runs under epoch {epoch}, not {}", fence.epoch),
                Phase::Ending => format!("the tasks of job {job} are to end; they came under epoch {}", fence.epoch),
            };
            return Err(Error::new(code::FENCED, cause));
        }
        // A copy of a certificate is no part of a lease.
        if holding.sessions.get(peer).is_some_and(|session| *session != fence.session) {
            let cause = format!("job {job} was given to another process of {peer} under epoch {epoch}");
            return Err(Error::new(code::FENCED, cause));
        }
        Ok(Seat { job: kept, slots: first..first.saturating_add(slots) })
    }

    /// What the record says of the splits of a job's run. Who waits for this waits for all other jobs, so that it ends with the first
    /// page on which something is left.
    ///
    /// # Errors
    /// `LG12nn` if it cannot be read, `LG1020` if it is damaged.
    pub(crate) async fn left(&self, job: &Job) -> Result<Left> {
        let Some(run) = self.run(job).await?.map(|kept| kept.record) else { return Ok(Left::Unopened) };
        let (place, mut left, mut after) = (place(job, &run), 0_u64, None);
        loop {
            let page = self.records.scan::<Split>(&place.splits(), after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(Left::Splits(left)) };
            after = Some(last.clone());
            left = left.saturating_add(page.iter().filter(|(_, kept)| !kept.record.is_finished()).count() as u64);
            if left > 0 {
                return Ok(Left::Splits(left));
            }
        }
    }

    /// The run that a job is in, if it has been opened.
    async fn run(&self, job: &Job) -> Result<Option<Kept<Run>>> {
        self.records.get::<Run>(&keys::run(&job.tenant, &job.id, job.execution.run)).await
    }

    /// The run that a job is in.
    async fn opened(&self, job: &Job) -> Result<Run> {
        let run = self.run(job).await?.map(|kept| kept.record);
        run.ok_or_else(|| contradiction(format!("run {} of job {} is not open", job.execution.run, job.name)))
    }
}

impl Seat {
    fn job(&self) -> &Job {
        &self.job.record
    }

    /// Demands in `change` that the place is still there.
    fn hold(&self, change: &mut Change) {
        change.require(keys::job(&self.job().tenant, &self.job().name), self.job.revision);
    }

    /// Refuses a slot that is not one of the TaskManager's.
    fn require(&self, slot: u32) -> Result<()> {
        if self.slots.contains(&slot) {
            return Ok(());
        }
        let Range { start, end } = self.slots;
        Err(Error::new(code::FENCED, format!("slot {slot} is not of this TaskManager, which has {start} to {end}")))
    }
}

impl Place<'_> {
    fn splits(&self) -> Key {
        keys::splits(self.tenant, self.id, self.ledger)
    }

    fn split(&self, source: &Name, name: &str) -> Key {
        keys::split(self.tenant, self.id, self.ledger, source, name)
    }

    fn slots(&self) -> Key {
        keys::slots(self.tenant, self.id, self.ledger)
    }

    fn slot(&self, slot: u32) -> Key {
        keys::slot(self.tenant, self.id, self.ledger, slot)
    }

    fn claim(&self, slot: u32) -> Key {
        keys::claim(self.tenant, self.id, self.ledger, slot)
    }

    fn opening(&self, peer: &Name) -> Key {
        keys::opening(self.tenant, self.id, self.ledger, peer)
    }

    fn published(&self) -> Key {
        keys::published(self.tenant, self.id, self.ledger)
    }
}

fn place<'a>(job: &'a Job, run: &'a Run) -> Place<'a> {
    Place { tenant: &job.tenant, id: &job.id, ledger: &run.id }
}

fn contradiction(cause: String) -> Error {
    Error::new(code::LEDGER_CONFLICT, cause)
}

fn malformed(cause: String) -> Error {
    Error::new(code::PLANE_MESSAGE, cause)
}
