//! The record in a file, for a job that runs here alone.

use super::{Ledger, Listing};
use crate::checkpoint::{Change, Pending, Position, State};
use crate::sink::Sinks;
use lockgate_core::{Name, Result};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The record of a [`State`], and which of its splits nobody reads.
pub(crate) struct Local {
    listing: Listing,
    /// When it was opened.
    left: (usize, Option<u64>),
    shared: Mutex<Shared>,
}

struct Shared {
    state: State,
    left: VecDeque<(Name, Pending)>,
    /// Splits that are not finished.
    open: usize,
}

impl Local {
    /// The record of `state`, which is recovered.
    ///
    /// # Errors
    /// `LG0809` if a split is not what it was when it was read in part.
    pub(crate) fn new(state: State, listing: Listing) -> Result<Self> {
        let left = pending(&listing, &state)?;
        let outlook = (left.len(), left.iter().map(|(_, pending)| pending.split.size).sum());
        let shared = Mutex::new(Shared { open: left.len(), state, left });
        Ok(Self { listing, left: outlook, shared })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for Local {
    fn left(&self) -> (usize, Option<u64>) {
        self.left
    }

    fn commits(&self) -> u64 {
        self.lock().state.record().commits
    }

    fn last(&self, slot: u32) -> u64 {
        self.lock().state.record().next_epoch(slot).saturating_sub(1)
    }

    fn claim(&self, _slot: u32) -> Result<Option<(Name, Pending)>> {
        Ok(self.lock().left.pop_front())
    }

    fn commit(&self, change: Change, sinks: &Sinks) -> Result<()> {
        let finished = change.splits.iter().filter(|(_, _, progress)| progress.position == Position::Finished).count();
        let mut shared = self.lock();
        shared.state.commit(vec![change], sinks)?;
        shared.open = shared.open.saturating_sub(finished);
        Ok(())
    }

    /// The file is at hand, and whoever watches `lockgate run` sees what is committed.
    fn ahead(&self) -> usize {
        0
    }

    fn begin_again(&self, _sinks: &Sinks) -> Result<()> {
        let mut shared = self.lock();
        shared.left = pending(&self.listing, &shared.state)?;
        shared.open = shared.left.len();
        Ok(())
    }

    fn settle(&self) -> Result<bool> {
        let mut shared = self.lock();
        let finished = shared.open == 0;
        shared.state.settle(finished)?;
        Ok(finished)
    }
}

/// What is left of these splits.
fn pending(listing: &Listing, state: &State) -> Result<VecDeque<(Name, Pending)>> {
    let mut left = VecDeque::new();
    for (node, splits) in listing {
        let pending = state.record().pending(node, splits.clone())?;
        left.extend(pending.into_iter().map(|pending| (node.clone(), pending)));
    }
    Ok(left)
}
