//! The record that a JobManager keeps, changed under the epoch of the job's lease.
//!
//! A request is asked again until it is answered, whatever becomes of the slots meanwhile: one that is given up could
//! still come about, and then a split would be claimed that nobody reads, or an output count that somebody else writes
//! anew. Only the end of the lease ends the asking, because under the next one the record says what came about.
//!
//! For the same reason output whose commit was refused is removed only if nothing can have been recorded. Where that is
//! not known it stays hidden, until the next lease has published what counts and sweeps the rest.

use super::believe::{self, Standing, wrong};
use super::{Answer, Ledger, LedgerClient, Listing, discard};
use crate::checkpoint::{self, Change, Output, Pending, Position};
use crate::job::{Share, Stop};
use crate::sink::{Leftovers, RunId, Sinks};
use lockgate_core::error::code;
use lockgate_core::plane::{Claim, Commit, Fence, Open, Opened, Output as Prepared, Release, SplitProgress};
use lockgate_core::{Code, Error, Name, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long it is until the JobManager is asked again; twice as long each time.
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);
/// The longest of these times.
const MAX_BACK_OFF: Duration = Duration::from_secs(1);
/// How many commits of a slot may wait. Each takes the time of a checkpoint, so that this outlasts leases; what waits on the disk is
/// no more than what would have been published.
const AHEAD: usize = 256;
/// With these the JobManager says that it took nothing.
const TOOK_NOTHING: [Code; 3] = [code::FENCED, code::LEDGER_CONFLICT, code::NOT_PLACED];

/// The slots of this TaskManager in a record that a JobManager keeps.
pub(crate) struct Remote {
    client: Arc<dyn LedgerClient>,
    runtime: Handle,
    stop: Stop,
    share: Share,
    /// What it was opened with, and is again after an executor has died.
    open: Open,
    /// The nodes that have output to publish.
    sinks: BTreeSet<Name>,
    run: RunId,
    started: u64,
    resumed: bool,
    left: (usize, Option<u64>),
    shared: Mutex<Shared>,
}

struct Shared {
    /// To be published before anything is written.
    unpublished: Vec<Output>,
    /// Commits that were answered.
    commits: u64,
    slots: BTreeMap<u32, Slot>,
    /// Claims so far under this lease, of all slots: none made before a release has the number of one made after it.
    claims: u64,
    /// The splits that slots of this TaskManager have claimed under this lease, and whether they are finished.
    taken: BTreeMap<(Name, String), bool>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// The last sequence number that is committed.
    last: u64,
    /// Whether it was told that nothing is left.
    done: bool,
}

/// Why a request did not come to a good answer.
#[derive(Debug)]
struct Refused {
    error: Error,
    /// Whether it is known that it changed nothing.
    nothing: bool,
}

impl Remote {
    /// Opens the record for the slots `share`; `sinks` are the nodes that have output to publish. Nothing is written before
    /// [`Remote::recover`].
    ///
    /// # Errors
    /// `LG1410` if the lease is over, `LG1411` if the splits are not those that are recorded, `LG1440` if the answer cannot
    /// be, `LG0905` if the run is cancelled before there is one.
    pub(crate) async fn open(
        client: Arc<dyn LedgerClient>,
        fence: Fence,
        share: Share,
        listing: &Listing,
        sinks: BTreeSet<Name>,
        stop: Stop,
    ) -> Result<Self> {
        let open = Open { fence, splits: listing.iter().cloned().collect() };
        let answer = until_answered(&stop, || client.open(&open)).await.map_err(|refused| refused.error)?;
        let Standing { run, slots, unpublished } = believe::opened(&answer, open.fence.epoch, &sinks)?;
        let slots = share.numbers().map(|slot| {
            let last = slots.get(&slot).copied().unwrap_or(0);
            (slot, Slot { last, ..Slot::default() })
        });
        let Opened { started, commits, left, left_bytes, .. } = answer;
        let shared = Shared { unpublished, commits: 0, slots: slots.collect(), claims: 0, taken: BTreeMap::new() };
        Ok(Self {
            client,
            runtime: Handle::current(),
            stop,
            share,
            open,
            sinks,
            run,
            started,
            resumed: commits > 0,
            left: (usize::try_from(left).unwrap_or(usize::MAX), left_bytes),
            shared: Mutex::new(shared),
        })
    }

    /// The run.
    pub(crate) fn run(&self) -> &RunId {
        &self.run
    }

    /// When the run began, in microseconds since 1970.
    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    /// Whether something was committed before.
    pub(crate) fn resumed(&self) -> bool {
        self.resumed
    }

    /// Publishes what is recorded as committed, then removes what was written under earlier leases and does not count. To be
    /// called before anything is written. Other TaskManagers of the job may do so at the same time, and write already.
    ///
    /// # Errors
    /// `LG0820` to `LG0822`.
    pub(crate) fn recover(&self, sinks: &Sinks) -> Result<()> {
        self.publish_and_sweep(sinks, &Leftovers::Before(self.open.fence.epoch))
    }

    fn publish_and_sweep(&self, sinks: &Sinks, leftovers: &Leftovers) -> Result<()> {
        let unpublished = std::mem::take(&mut self.lock().unpublished);
        checkpoint::publish(&unpublished, sinks)?;
        for (node, sink) in sinks {
            sink.sweep(leftovers).map_err(|error| error.at(node.as_str()))?;
        }
        Ok(())
    }

    /// Asks from a thread that is none of the runtime's, until there is an answer.
    fn ask<R, T>(
        &self,
        request: R,
        call: for<'a> fn(&'a dyn LedgerClient, &'a R) -> Answer<'a, T>,
    ) -> Result<T, Refused>
    where
        R: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (client, stop) = (Arc::clone(&self.client), self.stop.clone());
        let (tell, told) = oneshot::channel();
        self.runtime.spawn(async move {
            drop(tell.send(until_answered(&stop, || call(&*client, &request)).await));
        });
        // Not so if the runtime ends before the run does.
        let gone = |_| Refused { error: Error::new(code::INTERNAL, "nobody asks the JobManager"), nothing: false };
        told.blocking_recv().map_err(gone)?
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for Remote {
    fn left(&self) -> (usize, Option<u64>) {
        self.left
    }

    fn commits(&self) -> u64 {
        self.lock().commits
    }

    fn last(&self, slot: u32) -> u64 {
        self.lock().slots.get(&slot).map_or(0, |slot| slot.last)
    }

    fn claim(&self, slot: u32) -> Result<Option<(Name, Pending)>> {
        let number = {
            let mut shared = self.lock();
            shared.claims = shared.claims.saturating_add(1);
            shared.claims
        };
        let request = Claim { fence: self.open.fence.clone(), slot, number };
        let answer = self.ask(request, |client, request| client.claim(request)).map_err(|refused| refused.error)?;
        let mut shared = self.lock();
        believe::claimed(&answer, &shared.taken)?;
        let Some((node, split)) = answer.split else {
            shared.slots.entry(slot).or_default().done = true;
            return Ok(None);
        };
        shared.taken.insert((node.clone(), split.name.clone()), false);
        Ok(Some((node, Pending { split, position: answer.position })))
    }

    fn commit(&self, change: Change, sinks: &Sinks) -> Result<()> {
        let Change { slot, epoch: sequence, splits, prepared } = change;
        let finished = splits.iter().filter(|(_, _, progress)| progress.position == Position::Finished);
        let finished: Vec<_> = finished.map(|(node, split, _)| (node.clone(), split.clone())).collect();
        let progress = splits.into_iter().map(|(source, split, progress)| SplitProgress { source, split, progress });
        let outputs = prepared.iter().map(|Output { node, prepared }| Prepared {
            node: node.clone(),
            epoch: prepared.lease,
            slot: prepared.slot,
            sequence: prepared.epoch,
            bytes: prepared.bytes,
        });
        let fence = self.open.fence.clone();
        let request = Commit { fence, slot, sequence, splits: progress.collect(), outputs: outputs.collect() };
        if let Err(Refused { error, nothing }) = self.ask(request, |client, request| client.commit(request)) {
            if nothing {
                discard(&prepared, sinks);
            }
            return Err(error);
        }
        {
            let mut shared = self.lock();
            shared.commits = shared.commits.saturating_add(1);
            shared.slots.entry(slot).or_default().last = sequence;
            shared.taken.extend(finished.into_iter().map(|split| (split, true)));
        }
        checkpoint::publish(&prepared, sinks)
    }

    fn ahead(&self) -> usize {
        AHEAD
    }

    fn begin_again(&self, sinks: &Sinks) -> Result<()> {
        let Share { first, slots, .. } = self.share;
        let claims = self.lock().claims;
        let release = Release { fence: self.open.fence.clone(), first, slots, claims };
        self.ask(release, |client, request| client.release(request)).map_err(|refused| refused.error)?;
        let answer =
            self.ask(self.open.clone(), |client, request| client.open(request)).map_err(|refused| refused.error)?;
        let standing = believe::opened(&answer, self.open.fence.epoch, &self.sinks)?;
        if standing.run != self.run {
            return Err(wrong(format!("run {} has become run {}", self.run, standing.run)));
        }
        {
            let mut shared = self.lock();
            for (number, slot) in &mut shared.slots {
                let last = standing.slots.get(number).copied().unwrap_or(0);
                if last != slot.last {
                    let cause = format!("slot {number} has committed {last} times, {} were answered", slot.last);
                    return Err(wrong(cause));
                }
                slot.done = false;
            }
            shared.taken.retain(|_, finished| *finished);
            shared.unpublished = standing.unpublished;
        }
        let lease = self.open.fence.epoch;
        self.publish_and_sweep(sinks, &Leftovers::Of { lease, slots: self.share.numbers() })
    }

    fn settle(&self) -> Result<bool> {
        let shared = self.lock();
        let finished = shared.slots.values().all(|slot| slot.done) && shared.taken.values().all(|finished| *finished);
        // Nobody else reads, and so nobody else can have what was left.
        let alone = self.share.slots == self.share.parallelism;
        if finished && alone && shared.taken.len() < self.left.0 {
            let cause = format!("{} splits were left, and {} were given out", self.left.0, shared.taken.len());
            return Err(wrong(cause));
        }
        Ok(finished)
    }
}

/// Asks until there is an answer other than that none can be had now, or until the run is cancelled.
async fn until_answered<'a, T>(stop: &Stop, call: impl Fn() -> Answer<'a, T>) -> Result<T, Refused> {
    let mut wait = FIRST_BACK_OFF;
    let mut lost = false;
    // What was under way may have come about.
    let cancelled = || {
        let error = Error::new(code::JOB_CANCELLED, "the job was cancelled before the JobManager answered");
        Refused { error, nothing: false }
    };
    loop {
        let answer = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(cancelled()),
            answer = call() => answer,
        };
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) if error.code() == code::PLANE_UNREACHABLE => {
                if !lost {
                    tracing::warn!(%error, "the record of a run cannot be reached; it is tried again");
                }
                lost = true;
            }
            Err(error) => return Err(Refused { nothing: !lost && TOOK_NOTHING.contains(&error.code()), error }),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(cancelled()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = wait.saturating_mul(2).min(MAX_BACK_OFF);
    }
}

#[cfg(test)]
mod tests;
