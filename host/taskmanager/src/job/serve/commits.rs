//! A slot's commits, which are made in their order while it goes on.
//!
//! A record that a JobManager keeps is a round trip away, and for as long as a lease lasts nobody may be there to answer. The
//! slot reads and writes on meanwhile, up to [`Ledger::ahead`] commits ahead of the record; what is prepared waits under its hidden
//! name and is published when its turn comes. Nothing here outlives the slot: its end waits for all of them, so that whoever
//! begins again finds the record at rest.
//!
//! [`Ledger::ahead`]: crate::ledger::Ledger::ahead

use super::{Event, Service};
use crate::sink::Prepared;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_executor::protocol::{FailedRow, SplitPosition, Usage};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

/// The most bytes of a commit that others may wait before. An honest one is about the split that is read.
const LARGE: usize = 64 << 10;

/// A slot, as its two threads know it: the one that answers it, and the one that commits.
pub(super) struct Slot<'a> {
    number: u32,
    service: &'a Service,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What it has used and waited, as it was last told.
    usage: Usage,
    waited: Duration,
    /// Why a commit was not made. None is made after it.
    failed: Option<Error>,
    refused: bool,
}

/// One commit.
pub(super) struct Ready {
    pub(super) epoch: u64,
    pub(super) splits: Vec<SplitPosition>,
    pub(super) prepared: Vec<(u32, Prepared)>,
    /// Rows that failed, to be told of once this is made.
    pub(super) rows: Vec<FailedRow>,
}

impl Ready {
    /// About how many bytes it takes.
    fn length(&self) -> usize {
        self.splits.iter().map(|split| split.name.len() + split.position.len() + size_of::<SplitPosition>()).sum()
    }
}

enum Entry {
    Commit(Ready),
    /// Tells when everything before it is done.
    Mark(SyncSender<()>),
}

/// Where the commits of a slot are handed in.
pub(super) struct Commits<'a> {
    slot: &'a Slot<'a>,
    /// None if each is made at once.
    queue: Option<SyncSender<Entry>>,
}

impl<'a> Slot<'a> {
    pub(super) fn new(number: u32, service: &'a Service) -> Self {
        Self { number, service, state: Mutex::default() }
    }

    /// Tells what the slot has used and waited so far.
    pub(super) fn used(&self, usage: Usage, waited: Duration) {
        let mut state = self.lock();
        (state.usage, state.waited) = (usage.clone(), waited);
        // Under the lock, as in `made`: counters never go back.
        self.service.events.send(Event::Usage { slot: self.number, usage, waited });
    }

    fn make(&self, ready: Ready) -> Result<()> {
        let Ready { epoch, splits, prepared, rows } = ready;
        self.service.coordinator.commit(self.number, epoch, splits, prepared)?;
        if !rows.is_empty() {
            self.service.events.send(Event::Failed { slot: self.number, rows });
        }
        Ok(())
    }

    fn made(&self, epoch: u64) {
        let state = self.lock();
        let (usage, waited) = (state.usage.clone(), state.waited);
        self.service.events.send(Event::Committed { slot: self.number, epoch, usage, waited });
    }

    fn commit_all(&self, queue: &Receiver<Entry>) {
        for entry in queue {
            match entry {
                Entry::Mark(tell) => drop(tell.send(())),
                Entry::Commit(ready) if self.lock().refused => self.service.coordinator.discard(ready.prepared),
                Entry::Commit(ready) => {
                    let epoch = ready.epoch;
                    match self.make(ready) {
                        Ok(()) => self.made(epoch),
                        Err(error) => {
                            let mut state = self.lock();
                            (state.failed, state.refused) = (Some(error), true);
                        }
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Commits<'a> {
    /// Begins to take commits of `slot`. They end with the last of this.
    ///
    /// # Errors
    /// `LG0003` if no thread can be had.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, 'a>, slot: &'a Slot<'a>) -> Result<Self> {
        let ahead = slot.service.coordinator.ahead();
        if ahead == 0 {
            return Ok(Self { slot, queue: None });
        }
        let (queue, entries) = sync_channel(ahead);
        let name = format!("commit-{}", slot.number);
        let thread = Builder::new().name(name).spawn_scoped(scope, move || slot.commit_all(&entries));
        thread.map_err(|error| Error::new(code::INTERNAL, format!("no thread for the commits of a slot: {error}")))?;
        Ok(Self { slot, queue: Some(queue) })
    }

    /// Takes one more, with what the slot has used until then and has waited before; how long this took.
    ///
    /// # Errors
    /// Why this or an earlier one is not made.
    pub(super) fn add(&self, ready: Ready, usage: &Usage, waited: Duration) -> Result<Duration> {
        let begun = Instant::now();
        let epoch = ready.epoch;
        match &self.queue {
            None => self.slot.make(ready)?,
            Some(queue) => {
                // What waits is memory of the TaskManager's: a commit that is large waits for those before it.
                if ready.length() > LARGE {
                    self.wait(queue)?;
                }
                queue.send(Entry::Commit(ready)).map_err(|_| gone())?;
            }
        }
        let took = begun.elapsed();
        {
            let mut state = self.slot.lock();
            (state.usage, state.waited) = (usage.clone(), waited.saturating_add(took));
        }
        if self.queue.is_none() {
            self.slot.made(epoch);
        }
        self.check()?;
        Ok(took)
    }

    /// # Errors
    /// Why one of them was not made, the first time that it is asked.
    pub(super) fn check(&self) -> Result<()> {
        self.slot.lock().failed.take().map_or(Ok(()), Err)
    }

    /// Waits until all of them are made.
    ///
    /// # Errors
    /// Why one of them was not.
    pub(super) fn flush(&self) -> Result<()> {
        self.queue.as_ref().map_or(Ok(()), |queue| self.wait(queue))?;
        self.check()
    }

    fn wait(&self, queue: &SyncSender<Entry>) -> Result<()> {
        let (tell, told) = sync_channel(1);
        queue.send(Entry::Mark(tell)).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())
    }
}

/// The thread ends with its slot and not before.
fn gone() -> Error {
    Error::new(code::INTERNAL, "nobody makes the commits of a slot")
}
