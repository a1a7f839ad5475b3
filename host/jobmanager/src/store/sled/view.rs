//! What readers see: the database, with what is not durable yet hidden, now or at a moment that has passed.

use super::disk::{Disk, Row};
use super::held::Held;
use crate::store::overlay::{Overlay, lay};
use crate::store::seal::Seal;
use crate::store::{Entry, Key};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use tokio::sync::mpsc;

/// The database as readers see it.
#[derive(Debug)]
pub(super) struct View {
    state: RwLock<State>,
    seal: Seal,
    held: Held,
}

#[derive(Debug)]
struct State {
    /// None while, after a failure, it is opened anew.
    disk: Option<Arc<Disk>>,
    /// What the batch that is being written replaces.
    hidden: Overlay,
    /// Moments that are still being read.
    moments: Vec<Weak<Moment>>,
}

/// A moment that a snapshot is of: what was replaced since.
#[derive(Default, Debug)]
pub(super) struct Moment(Mutex<Kept>);

#[derive(Default, Debug)]
struct Kept {
    replaced: Overlay,
    bytes: usize,
    /// What lies before it was read already.
    read: Option<Key>,
    overflow: bool,
}

/// The most bytes that are kept for a snapshot while it is read.
const MAX_KEPT: usize = 128 << 20;

/// The most entries of a page of a snapshot.
const PAGE: usize = 256;

/// A page of a snapshot takes no more entries once it has so many bytes.
const PAGE_BYTES: usize = 1 << 20;

impl View {
    pub fn new(disk: Disk, seal: Seal) -> Self {
        let state = State { disk: Some(Arc::new(disk)), hidden: Overlay::new(), moments: Vec::new() };
        Self { state: RwLock::new(state), seal, held: Held::default() }
    }

    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The database itself, with what is not durable yet: for the writer.
    pub fn disk(&self) -> Result<Arc<Disk>> {
        self.read().disk.clone().ok_or_else(away)
    }

    pub fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let state = self.read();
        if let Some(before) = state.hidden.get(key) {
            return Ok(before.clone());
        }
        let disk = state.disk.as_deref().ok_or_else(away)?;
        if let Some(held) = self.held.get(key) {
            return Ok(Some(held));
        }
        let found = self.entry(disk, key)?;
        if let Some(entry) = &found {
            self.held.put(entry);
        }
        Ok(found)
    }

    /// At most `limit` entries from `begin` on, as long as they are `within`.
    pub fn scan(&self, begin: Bound<&Key>, within: impl Fn(&Key) -> bool, limit: usize) -> Result<Vec<Entry>> {
        let state = self.read();
        let disk = state.disk.as_deref().ok_or_else(away)?;
        lay(self.entries(disk, begin, &within), &state.hidden, begin)
            .take_while(|entry| entry.as_ref().map_or(true, |entry| within(&entry.key)))
            .take(limit)
            .collect()
    }

    /// Begins to keep what is replaced from now on.
    pub fn moment(&self) -> Arc<Moment> {
        let moment = Arc::new(Moment::default());
        let mut state = self.write();
        state.moments.retain(|moment| moment.strong_count() > 0);
        state.moments.push(Arc::downgrade(&moment));
        moment
    }

    /// Sends all entries of `moment`, page by page, until the receiver has enough.
    pub fn send(&self, moment: &Moment, pages: &mpsc::Sender<Result<Vec<Entry>>>) {
        let mut after: Option<Key> = None;
        loop {
            let page = self.page(moment, after.as_ref());
            after = page.as_ref().ok().and_then(|page| page.last()).map(|entry| entry.key.clone());
            let is_last = after.is_none();
            let is_empty = page.as_ref().is_ok_and(Vec::is_empty);
            if is_empty || pages.blocking_send(page).is_err() || is_last {
                return;
            }
        }
    }

    fn page(&self, moment: &Moment, after: Option<&Key>) -> Result<Vec<Entry>> {
        let state = self.read();
        let disk = state.disk.as_deref().ok_or_else(away)?;
        let mut kept = moment.kept();
        if kept.overflow {
            return Err(Error::new(code::STORE_FAILED, "too much was changed while a snapshot was read"));
        }
        let first = Key::new([]);
        let begin = after.map_or(Bound::Included(&first), Bound::Excluded);
        let now = lay(self.entries(disk, begin, &|_| true), &state.hidden, begin);
        let (mut page, mut bytes) = (Vec::new(), 0_usize);
        for entry in lay(now, &kept.replaced, begin).take(PAGE) {
            let entry = entry?;
            bytes = bytes.saturating_add(entry.value.len());
            page.push(entry);
            if bytes > PAGE_BYTES {
                break;
            }
        }
        if let Some(last) = page.last() {
            let later = kept.replaced.split_off(&last.key);
            kept.replaced = later;
            kept.bytes = kept.replaced.values().map(size).sum();
            kept.read = Some(last.key.clone());
        }
        Ok(page)
    }

    /// Hides a batch that is about to be written: `before` is what it replaces.
    pub fn hide(&self, before: Overlay) {
        self.write().hidden = before;
    }

    /// Shows the batch that was hidden; it is durable now.
    pub fn show(&self) {
        let mut state = self.write();
        let replaced = std::mem::take(&mut state.hidden);
        self.held.replaced(&replaced);
        state.moments.retain(|moment| moment.strong_count() > 0);
        for moment in state.moments.iter().filter_map(Weak::upgrade) {
            moment.keep(&replaced);
        }
    }

    /// Forgets the batch that was hidden; it did not happen.
    pub fn forget(&self) {
        self.write().hidden.clear();
    }

    /// Puts the database away, so that it can be opened anew; reads fail until [`View::put`].
    pub fn take(&self) -> Option<Arc<Disk>> {
        let mut state = self.write();
        self.held.clear();
        state.disk.take()
    }

    /// The database is open again.
    pub fn put(&self, disk: Disk) {
        self.write().disk = Some(Arc::new(disk));
    }

    /// A key's entry in the database.
    pub fn entry(&self, disk: &Disk, key: &Key) -> Result<Option<Entry>> {
        disk.row(key)?.map(|row| self.opened(key.clone(), &row)).transpose()
    }

    /// Entries of the database, each opened only if it is `within`.
    fn entries<'a>(
        &'a self,
        disk: &'a Disk,
        begin: Bound<&Key>,
        within: &'a impl Fn(&Key) -> bool,
    ) -> impl Iterator<Item = Result<Entry>> + 'a {
        let rows = disk.rows(begin).take_while(move |row| row.as_ref().map_or(true, |(key, _)| within(key)));
        rows.map(|row| row.and_then(|(key, row)| self.opened(key, &row)))
    }

    fn opened(&self, key: Key, row: &Row) -> Result<Entry> {
        let value = self.seal.open(&key, row.revision, &row.sealed)?;
        Ok(Entry { key, revision: row.revision, value })
    }

    /// No code panics between two changes of the state that belong together.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moment {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was replaced now was there at this moment, unless it was replaced before.
    fn keep(&self, replaced: &Overlay) {
        let mut kept = self.kept();
        for (key, before) in replaced {
            if kept.read.as_ref().is_some_and(|read| key <= read) || kept.replaced.contains_key(key) {
                continue;
            }
            kept.bytes = kept.bytes.saturating_add(size(before));
            kept.replaced.insert(key.clone(), before.clone());
        }
        if kept.bytes > MAX_KEPT {
            kept.overflow = true;
            kept.replaced.clear();
        }
    }
}

/// About what an entry takes in memory.
fn size(entry: &Option<Entry>) -> usize {
    entry.as_ref().map_or(0, |entry| entry.value.len()).saturating_add(256)
}

fn away() -> Error {
    Error::new(code::STORE_FAILED, "the store failed and could not be opened again yet")
}
