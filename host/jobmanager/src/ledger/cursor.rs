//! Which splits of a run are free, without a look at all of them for each claim: a cursor goes once through the splits under
//! each lease and keeps a few of those that it found free. What was given back meanwhile comes first.
//!
//! It is a guess, made anew from the store after a restart: whoever takes a split from it looks at the split's own record,
//! and commits on the condition that it is unchanged. It errs in no direction that loses one: what was taken and not
//! committed comes back by itself ([`Taken`]).

use super::record::Split;
use super::{PAGE, Place};
use crate::service::Records;
use crate::store::Key;
use lockgate_core::Result;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most runs that are remembered; one that was forgotten is gone through again.
const MAX_RUNS: usize = 4_096;

/// The cursors of all runs, by their ids.
#[derive(Debug, Default)]
pub(super) struct Cursors(Mutex<BTreeMap<String, Arc<Cursor>>>);

/// What is remembered of a run.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Held while splits are read ahead.
    reading: tokio::sync::Mutex<()>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    epoch: u64,
    after: Option<Key>,
    ended: bool,
    ready: VecDeque<Key>,
    back: BTreeSet<Key>,
    /// The last commits by slot, once they were read.
    committed: Option<BTreeMap<u32, u64>>,
}

/// A split that was taken from the cursor. Dropped, it goes back.
pub(super) struct Taken {
    pub key: Key,
    cursor: Arc<Cursor>,
    kept: bool,
}

impl Cursors {
    /// The cursor of a run.
    pub fn of(&self, run: &str) -> Arc<Cursor> {
        let mut cursors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cursors.len() >= MAX_RUNS && !cursors.contains_key(run) {
            // Those in use are held by whoever uses them.
            cursors.retain(|_, cursor| Arc::strong_count(cursor) > 1);
        }
        Arc::clone(cursors.entry(run.to_owned()).or_default())
    }

    /// Forgets a run.
    pub fn forget(&self, run: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
    }
}

impl Cursor {
    /// A split that may be free under this lease; none if none is.
    pub async fn take(self: &Arc<Self>, records: &Records, place: &Place<'_>, epoch: u64) -> Result<Option<Taken>> {
        let _reading = self.reading.lock().await;
        loop {
            let after = {
                let mut inner = self.inner();
                if inner.epoch != epoch {
                    inner.begin(epoch);
                }
                let next = inner.back.pop_first().or_else(|| inner.ready.pop_front());
                if let Some(key) = next {
                    return Ok(Some(Taken { key, cursor: Arc::clone(self), kept: false }));
                }
                if inner.ended {
                    return Ok(None);
                }
                inner.after.clone()
            };
            let page = records.scan::<Split>(&place.splits(), after.as_ref(), PAGE).await?;
            let mut inner = self.inner();
            // Begun anew meanwhile: what was read is no page of this pass.
            if inner.epoch != epoch || inner.after != after {
                continue;
            }
            inner.ended = page.len() < PAGE;
            if let Some((last, _)) = page.last() {
                inner.after = Some(last.clone());
            }
            let free = page.into_iter().filter(|(_, kept)| kept.record.is_free(epoch));
            inner.ready.extend(free.map(|(key, _)| key));
        }
    }

    /// Goes through all splits again: there are more.
    pub fn restart(&self) {
        let mut inner = self.inner();
        let epoch = inner.epoch;
        inner.begin(epoch);
    }

    /// Takes back what was given back.
    pub fn give_back(&self, keys: impl IntoIterator<Item = Key>) {
        self.inner().back.extend(keys);
    }

    /// How many commits there were, with this one of a slot; none if the others' are to be read first.
    pub fn count(&self, slot: u32, sequence: u64) -> Option<u64> {
        let mut inner = self.inner();
        let committed = inner.committed.as_mut()?;
        let last = committed.entry(slot).or_default();
        *last = sequence.max(*last);
        Some(committed.values().fold(0, |sum, one| sum.saturating_add(*one)))
    }

    /// Notes the last commits of all slots as they were read.
    pub fn note(&self, slots: &BTreeMap<u32, u64>) {
        let mut inner = self.inner();
        let committed = inner.committed.get_or_insert_default();
        for (slot, sequence) in slots {
            let last = committed.entry(*slot).or_default();
            *last = (*sequence).max(*last);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn begin(&mut self, epoch: u64) {
        let committed = self.committed.take();
        *self = Self { epoch, committed, ..Self::default() };
    }
}

impl Taken {
    /// It is the claim's now.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.kept {
            self.cursor.give_back([self.key.clone()]);
        }
    }
}
