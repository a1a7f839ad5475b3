//! The port to what the JobManager keeps: one conditional commit over several keys, its audit events among them.
//!
//! The contract, which every adapter keeps and one suite of tests checks:
//!
//! - *Atomic.* All writes of a [`Batch`] and its events happen, or none does, whatever dies in between.
//! - *Conditional.* A batch is committed only if every [`Expect`] holds at that very moment; otherwise the error says
//!   which key was otherwise (`LG1201`), and nothing happened.
//! - *Durable.* When [`Store::commit`] returns, the batch survives `kill -9` and loss of power as far as the disk tells
//!   the truth.
//! - *Ordered.* Commits have a total order; a read sees every commit that was acknowledged before it began, and never a
//!   part of one.
//! - *Refuses rather than forgets.* A full or failing disk refuses writes with an error and goes on reading.

use crate::audit::Event;
use lockgate_core::Result;
use std::future::Future;

/// A key: a path of its parts, in the order in which they are listed (`jobs`, tenant, name).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key of these parts. Their order as keys is that of the parts; no part of one key reaches into another.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(part.as_bytes());
            bytes.push(0);
        }
        Self(bytes)
    }

    /// The bytes, as they sort.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A value as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Rises with every commit that writes the key; what `If-Match` compares.
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
    /// Values to write; none removes.
    pub writes: Vec<(Key, Option<Vec<u8>>)>,
    /// What is recorded with it.
    pub events: Vec<Event>,
}

/// What keeps it.
pub trait Store: Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// If it cannot be read.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// At most `limit` entries whose keys begin with `prefix`, in their order, behind `after`.
    ///
    /// # Errors
    /// If they cannot be read.
    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> impl Future<Output = Result<Vec<Entry>>> + Send;

    /// Commits a batch; the revision that its writes have now.
    ///
    /// # Errors
    /// `LG1201` if an expectation does not hold, otherwise why nothing could be written.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<u64>> + Send;
}
