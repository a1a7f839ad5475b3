//! What both adapters do with a batch before they write: check its bounds and expectations, give it a revision, link its
//! events. Pure, so that the rules are the same wherever the bytes go.

use super::{Batch, Expect, Key};
use crate::audit::checkpoint::checkpoints;
use crate::audit::{Head, Record};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use std::collections::BTreeMap;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 512;

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1 << 20;

/// The most writes of a batch.
pub const MAX_WRITES: usize = 10_000;

/// The most events of a batch.
pub const MAX_EVENTS: usize = 1_000;

/// The most bytes of all values and keys of a batch.
pub const MAX_BATCH_BYTES: usize = 16 << 20;

/// Where the store stands: what the next commit goes on from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tip {
    /// That of the last commit.
    pub revision: u64,
    /// The audit log's end.
    pub head: Head,
}

/// A batch that may be written: values by key, none removes.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Where the store stands afterwards.
    pub tip: Tip,
    /// What to write, the audit log's own keys among it.
    pub writes: BTreeMap<Key, Option<Vec<u8>>>,
}

/// The first part of the keys that the store alone writes.
const RESERVED: &str = "audit";

/// What the keys of all records begin with.
pub(crate) fn records() -> Key {
    Key::new([RESERVED, "records"])
}

/// The key of a record.
pub(crate) fn record_key(sequence: u64) -> Key {
    Key::new([RESERVED, "records", &format!("{sequence:020}")])
}

/// The key of the audit log's head.
pub(crate) fn head_key() -> Key {
    Key::new([RESERVED, "head"])
}

/// The head as a value.
pub(crate) fn write_head(head: Head) -> Vec<u8> {
    format!("{} {}", head.sequence, head.hash.hex()).into_bytes()
}

/// Reads what [`write_head`] wrote.
///
/// # Errors
/// `LG1212` if it is anything else.
pub(crate) fn read_head(value: &[u8]) -> Result<Head> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.split_once(' '))
        .and_then(|(sequence, hash)| {
            Some(Head { sequence: sequence.parse().ok()?, hash: Digest::from_hex(hash).ok()? })
        })
        .ok_or_else(|| Error::new(code::STORE_DAMAGED, "the head of the audit log is malformed"))
}

/// Checks `batch` against the bounds; `current` gives a key's revision at this moment.
///
/// # Errors
/// `LG1201`, `LG1205`, `LG1206`, and those of `current`.
pub(super) fn prepare(
    batch: Batch,
    tip: Tip,
    mut current: impl FnMut(&Key) -> Result<Option<u64>>,
) -> Result<Prepared> {
    for (key, expect) in &batch.expect {
        let found = current(key)?;
        let conflict = |why: String| Err(Error::new(code::CONFLICT, format!("{key} {why}")));
        match (expect, found) {
            (Expect::Absent, None) => {}
            (Expect::Revision(wanted), Some(found)) if *wanted == found => {}
            (Expect::Absent, Some(_)) => return conflict("is there already".into()),
            (Expect::Revision(_), None) => return conflict("is not there any more".into()),
            (Expect::Revision(wanted), Some(found)) => {
                return conflict(format!("is at revision {found}, not {wanted}"));
            }
        }
    }
    let revision = tip.revision.saturating_add(1);
    let mut writes: BTreeMap<Key, Option<Vec<u8>>> = batch.writes.into_iter().collect();
    let mut head = tip.head;
    for event in batch.events {
        let record: Record = head.link(event);
        head = record.head();
        writes.insert(record_key(record.sequence), Some(record.line().into_bytes()));
    }
    if head != tip.head {
        writes.insert(head_key(), Some(write_head(head)));
    }
    Ok(Prepared { tip: Tip { revision, head }, writes })
}

/// Whether `key` is that of a record up to a checkpoint on which the batch is conditional: what may be removed.
fn is_behind(key: &Key, expect: &[(Key, Expect)]) -> bool {
    let stands = |(key, expect): &(Key, Expect)| {
        let number = key.parts().pop().filter(|_| key.starts_with(&checkpoints()))?;
        number.parse().ok().filter(|_| matches!(expect, Expect::Revision(_)))
    };
    let last: Option<u64> = expect.iter().filter_map(stands).max();
    key.starts_with(&records()) && last.is_some_and(|last| *key <= record_key(last))
}

/// Whether a batch is within the bounds and leaves the store's own keys alone, but for records that it removes behind a
/// checkpoint.
///
/// # Errors
/// `LG1205`, `LG1206`.
pub(super) fn check(batch: &Batch) -> Result<()> {
    let limit = |what: &str, is: usize, most: usize| {
        if is <= most {
            return Ok(());
        }
        Err(Error::new(code::STORE_LIMIT, format!("{what} {is}, at most {most} are allowed")))
    };
    limit("the writes of a change are", batch.writes.len(), MAX_WRITES)?;
    limit("the conditions of a change are", batch.expect.len(), MAX_WRITES)?;
    limit("the events of a change are", batch.events.len(), MAX_EVENTS)?;
    let mut total = 0_usize;
    for (key, value) in &batch.writes {
        let length = value.as_ref().map_or(0, Vec::len);
        limit("the bytes of a key are", key.as_bytes().len(), MAX_KEY)?;
        limit("the bytes of a value are", length, MAX_VALUE)?;
        total = total.saturating_add(length).saturating_add(key.as_bytes().len());
        if key.starts_with(&Key::new([RESERVED])) && !(value.is_none() && is_behind(key, &batch.expect)) {
            return Err(Error::new(code::STORE_RESERVED, format!("{key} is written by the store alone")));
        }
    }
    limit("the bytes of all values of a change are", total, MAX_BATCH_BYTES)
}
