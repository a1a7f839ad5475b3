//! The adapter that keeps everything in memory: for tests, and as the plainest reading of the contract.

use super::rules::{self, Prepared, Tip};
use super::{Batch, Entry, Key, Snapshot, Store};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// A store that ends with the process.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, (u64, Vec<u8>)>,
    tip: Tip,
    closed: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self { state: Mutex::default(), revision: watch::Sender::new(0) }
    }

    /// No code panics while it holds the lock, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch) -> Result<u64> {
        rules::check(&batch)?;
        let mut state = self.state();
        if state.closed {
            return Err(Error::new(code::STORE_CLOSED, "the store takes no more changes"));
        }
        let current = |key: &Key| Ok(state.entries.get(key).map(|(revision, _)| *revision));
        let Prepared { tip, writes } = rules::prepare(batch, state.tip, current)?;
        for (key, value) in writes {
            match value {
                Some(value) => state.entries.insert(key, (tip.revision, value)),
                None => state.entries.remove(&key),
            };
        }
        state.tip = tip;
        self.revision.send_replace(tip.revision);
        Ok(tip.revision)
    }
}

fn entry((key, (revision, value)): (&Key, &(u64, Vec<u8>))) -> Entry {
    Entry { key: key.clone(), revision: *revision, value: value.clone() }
}

impl Store for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.state().entries.get_key_value(key).map(entry))
    }

    async fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Entry>> {
        let begin = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let state = self.state();
        let found = state.entries.range((begin, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.take(limit).map(entry).collect())
    }

    async fn commit(&self, batch: Batch) -> Result<u64> {
        self.apply(batch)
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        let (sender, pages) = mpsc::channel(1);
        // The one page is all there is; a channel that nothing else sends to has room for it.
        let _ = sender.try_send(Ok(self.state().entries.iter().map(entry).collect()));
        Ok(Snapshot { pages })
    }

    async fn close(&self) {
        self.state().closed = true;
    }
}
