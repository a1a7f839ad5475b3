//! The port to what the JobManager keeps: one conditional commit over several keys, its audit events among them.
//!
//! The contract, which every adapter keeps and one suite of tests checks:
//!
//! - *Atomic.* All writes of a [`Batch`] and its events happen, or none does, whatever dies in between.
//! - *Conditional.* A batch is committed only if every [`Expect`] holds at that very moment; otherwise the error says
//!   which key was otherwise (`LG1201`), and nothing happened.
//! - *Durable.* When [`Store::commit`] returns, the batch survives `kill -9` and loss of power as far as the disk tells
//!   the truth.
//! - *Ordered.* Commits have a total order, that of their revisions. A read sees every commit that was acknowledged
//!   before it began, never a part of one, and never one that is not durable yet. Events are linked into the audit log
//!   in the order of their commits.
//! - *Refuses rather than forgets.* A full or failing disk refuses writes with an error and goes on reading; when there
//!   is room again, so are writes. After an error nothing happened, but for `LG1204`, which says that it is not known.
//! - *Cancelled is not undone.* A `commit` whose future is dropped may happen or not.
//!
//! Adapters: [`Memory`] for tests, [`Sled`] for what must last. Keys are stored as they are, values encrypted if a key is
//! configured ([`StoreKey`]).

mod memory;
mod overlay;
mod rules;
mod seal;
mod sled;
#[cfg(test)]
mod suite;

pub use self::sled::{Import, Options, Sled};
pub use memory::Memory;
pub use rules::{MAX_BATCH_BYTES, MAX_EVENTS, MAX_KEY, MAX_VALUE, MAX_WRITES};
pub(crate) use rules::{head_key, read_head, record_key, records};
pub use seal::{KeyId, StoreKey};

use crate::audit::Event;
use lockgate_core::Result;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// A key: a path of its parts, in the order in which they are listed (`jobs`, tenant, name).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

/// Ends a part; stands nowhere else, so that the bytes of one key begin with those of another only if its parts do.
const END: u8 = 0;

/// Stands before what would be 0 or 1 in a part, one higher then: the order stays that of the parts.
const ESCAPE: u8 = 1;

impl Key {
    /// The key of these parts. Their order as keys is that of the parts; no part of one key reaches into another,
    /// whatever it holds.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            for byte in part.bytes() {
                if byte <= ESCAPE {
                    bytes.extend([ESCAPE, byte + 1]);
                } else {
                    bytes.push(byte);
                }
            }
            bytes.push(END);
        }
        Self(bytes)
    }

    /// The bytes, as they sort.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The parts that it was made of.
    pub fn parts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut bytes = self.0.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                END => parts.push(String::from_utf8_lossy(&std::mem::take(&mut part)).into_owned()),
                ESCAPE => part.extend(bytes.next().map(|byte| byte.saturating_sub(1))),
                byte => part.push(byte),
            }
        }
        parts
    }

    /// Whether this key's first parts are those of `prefix`.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// A key as it was stored; none if no parts make it.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key = Self(bytes.to_vec());
        let parts = key.parts();
        (Self::new(parts.iter().map(String::as_str)) == key).then_some(key)
    }
}

impl std::fmt::Display for Key {
    /// The parts with slashes between them, for errors and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.parts().join("/").escape_debug())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A value as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// That of the commit that wrote the value last; what `If-Match` compares.
    pub revision: u64,
    /// The bytes.
    pub value: Vec<u8>,
}

/// What must hold for a batch to be committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// There is no such key.
    Absent,
    /// The key is there, at this revision.
    Revision(u64),
}

/// What is to happen at once.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Batch {
    /// What must hold.
    pub expect: Vec<(Key, Expect)>,
    /// Values to write; none removes. Of two writes to one key the later one counts.
    pub writes: Vec<(Key, Option<Vec<u8>>)>,
    /// What is recorded with it.
    pub events: Vec<Event>,
}

impl Batch {
    /// Adds a condition.
    #[must_use]
    pub fn expect(mut self, key: Key, expect: Expect) -> Self {
        self.expect.push((key, expect));
        self
    }

    /// Adds a value to write.
    #[must_use]
    pub fn put(mut self, key: Key, value: impl Into<Vec<u8>>) -> Self {
        self.writes.push((key, Some(value.into())));
        self
    }

    /// Adds a key to remove.
    #[must_use]
    pub fn remove(mut self, key: Key) -> Self {
        self.writes.push((key, None));
        self
    }

    /// Adds an event to record.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }
}

/// What keeps it.
pub trait Store: Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// `LG1203`, `LG1212` or `LG1213` if it cannot be read.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// At most `limit` entries whose keys begin with `prefix`, in their order, behind `after`. They are of one moment.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> impl Future<Output = Result<Vec<Entry>>> + Send;

    /// Commits a batch; the revision that its writes have now.
    ///
    /// # Errors
    /// `LG1201` if an expectation does not hold, `LG1205` or `LG1206` if the batch breaks a bound or writes what is the
    /// store's own, `LG1202` if the disk is full, `LG1203`, `LG1204` or `LG1207` if it could not be written.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<u64>> + Send;

    /// The last revision; it changes with every commit that is visible.
    fn revision(&self) -> watch::Receiver<u64>;

    /// All entries of one moment, in the order of their keys, while commits go on.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot>> + Send;

    /// Takes no more commits, and waits until those that wait are done. Reads go on.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// All entries of one moment, page by page.
#[derive(Debug)]
pub struct Snapshot {
    pages: mpsc::Receiver<Result<Vec<Entry>>>,
}

impl Snapshot {
    /// The next entries; none at the end.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        self.pages.recv().await.transpose()
    }
}

impl<S: Store> Store for Arc<S> {
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send {
        S::get(self, key)
    }

    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> impl Future<Output = Result<Vec<Entry>>> + Send {
        S::scan(self, prefix, after, limit)
    }

    fn commit(&self, batch: Batch) -> impl Future<Output = Result<u64>> + Send {
        S::commit(self, batch)
    }

    fn revision(&self) -> watch::Receiver<u64> {
        S::revision(self)
    }

    fn snapshot(&self) -> impl Future<Output = Result<Snapshot>> + Send {
        S::snapshot(self)
    }

    fn close(&self) -> impl Future<Output = ()> + Send {
        S::close(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_part_does_not_reach_into_another() {
        assert!(Key::new(["jobs", "ab"]) != Key::new(["jobs", "a", "b"]));
        assert!(!Key::new(["jobs", "ab"]).starts_with(&Key::new(["jobs", "a"])));
        assert!(Key::new(["jobs", "a", "b"]).starts_with(&Key::new(["jobs", "a"])));
        assert!(!Key::new(["jobs", "a\0b"]).starts_with(&Key::new(["jobs", "a"])));
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_parts(a in prop::collection::vec("[\0\u{1}\u{2}a\u{ff}]{0,3}", 0..4), b in prop::collection::vec("[\0\u{1}\u{2}a\u{ff}]{0,3}", 0..4)) {
            let key = |parts: &[String]| Key::new(parts.iter().map(String::as_str));
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
            prop_assert_eq!(key(&a).parts(), a.clone());
            prop_assert_eq!(Key::from_bytes(key(&a).as_bytes()), Some(key(&a)));
            prop_assert_eq!(key(&a).starts_with(&key(&b)), a.starts_with(&b));
        }
    }
}
