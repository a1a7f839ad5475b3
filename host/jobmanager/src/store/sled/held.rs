//! Entries that were read lately, opened: each request reads its token, its member and its tenant, and to find them in the
//! database and open them took longer than what is done with them.
//!
//! What is held is what readers see, at every moment: entries are put in while the view's state is held for reading, and
//! taken out, while it is held for writing, by whatever shows another value of theirs. So nothing is ever older here than in
//! the database, and whoever is answered that something was revoked can rely on it. Bounded: what finds no room makes all of
//! it begin anew.

use crate::store::overlay::Overlay;
use crate::store::{Entry, Key};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// The most bytes of values that are held together.
const MAX_BYTES: usize = 16 << 20;
/// The most bytes of a value that is held.
const MAX_VALUE: usize = 16 << 10;
/// What an entry takes besides its value, about, in bytes.
const BESIDES: usize = 256;

/// Entries that were read lately.
#[derive(Default, Debug)]
pub(super) struct Held(RwLock<Entries>);

#[derive(Default, Debug)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    bytes: usize,
}

impl Held {
    /// The entry of `key`, if it is held.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_key.get(key).cloned()
    }

    /// Holds what was read. The view's state must be held for reading since before it was.
    pub fn put(&self, entry: &Entry) {
        if entry.value.len() > MAX_VALUE {
            return;
        }
        let mut entries = self.write();
        if entries.bytes.saturating_add(size(entry)) > MAX_BYTES {
            *entries = Entries::default();
        }
        if let Some(before) = entries.by_key.insert(entry.key.clone(), entry.clone()) {
            entries.bytes = entries.bytes.saturating_sub(size(&before));
        }
        entries.bytes = entries.bytes.saturating_add(size(entry));
    }

    /// Lets go of what has been replaced. The view's state must be held for writing.
    pub fn replaced(&self, keys: &Overlay) {
        let mut entries = self.write();
        for key in keys.keys() {
            if let Some(before) = entries.by_key.remove(key) {
                entries.bytes = entries.bytes.saturating_sub(size(&before));
            }
        }
    }

    /// Lets go of everything. The view's state must be held for writing.
    pub fn clear(&self) {
        *self.write() = Entries::default();
    }

    /// No code panics between two changes that belong together.
    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(entry: &Entry) -> usize {
    entry.value.len().saturating_add(BESIDES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, bytes: usize) -> Entry {
        Entry { key: Key::new([name]), revision: 1, value: vec![7; bytes] }
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let held = Held::default();
        let bytes = || {
            let entries = held.0.read().unwrap();
            assert_eq!(entries.bytes, entries.by_key.values().map(size).sum::<usize>(), "what is counted is not so");
            entries.bytes
        };
        held.put(&entry("large", MAX_VALUE + 1));
        assert_eq!(held.get(&Key::new(["large"])), None);
        for at in 0..3 * MAX_BYTES / MAX_VALUE {
            let entry = entry(&at.to_string(), MAX_VALUE);
            held.put(&entry);
            assert_eq!(held.get(&entry.key), Some(entry));
            assert!(bytes() <= MAX_BYTES);
        }
        held.clear();
        let (a, longer) = (entry("a", 1), entry("a", 2));
        for entry in [&a, &longer] {
            held.put(entry);
        }
        assert_eq!(bytes(), size(&longer));
        held.put(&entry("b", 1));
        held.replaced(&Overlay::from([(a.key.clone(), None), (Key::new(["c"]), None)]));
        assert_eq!((held.get(&a.key), held.get(&Key::new(["b"])).is_some()), (None, true));
        assert_eq!(bytes(), size(&entry("b", 1)));
    }
}
