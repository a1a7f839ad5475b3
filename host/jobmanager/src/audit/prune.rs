//! Cutting off the beginning of the log, at a signed checkpoint and nowhere else.
//!
//! First the cut and its event are one commit: from then on the log begins with the checkpoint, which is its anchor, as an
//! export of the later part does. Then the records before it are removed, some at a time; whatever dies in between, the
//! rest of them is out of the log already and goes with the next sweep. The store itself removes no record but behind a
//! checkpoint that stands ([`crate::store`]).

use super::checkpoint::{checkpoint_key, checkpoints};
use super::{Checkpoint, Event, Head};
use crate::store::{Batch, Entry, Expect, Key, Store, record_key, records};
use lockgate_core::error::code;
use lockgate_core::keys::PublicKey;
use lockgate_core::{Error, Result};

/// How many records or checkpoints are removed at once.
const AT_ONCE: usize = 4_000;

/// Where the log begins.
fn anchor_key() -> Key {
    Key::new(["audit-anchor"])
}

/// What the keys begin with under which the keys that signed here are noted.
pub(super) fn signers() -> Key {
    Key::new(["audit-keys"])
}

/// The record that the log goes on from; 0 if it was never cut.
///
/// # Errors
/// As of the store; `LG1212` if what is kept of it is no number.
pub async fn anchor<S: Store>(store: &S) -> Result<u64> {
    store.get(&anchor_key()).await?.map_or(Ok(0), |entry| number(&entry))
}

/// The keys that signed checkpoints here.
///
/// # Errors
/// As of the store.
pub async fn keys<S: Store>(store: &S) -> Result<Vec<PublicKey>> {
    let found = store.scan(&signers(), None, AT_ONCE).await?;
    Ok(found.iter().filter_map(|entry| entry.key.parts().pop()?.parse().ok()).collect())
}

/// Cuts the log off behind the record numbered `at` and records `event` with it; nothing is removed yet. The head that the
/// log goes on from.
///
/// # Errors
/// `LG1260` if no checkpoint stands there that a key of this log has signed and that fits its record, `LG1261` if the log
/// begins there already or later; as of the store.
pub async fn cut<S: Store>(store: &S, at: u64, event: Event) -> Result<Head> {
    let refuse = |why: &str| {
        let cause = format!("the audit log cannot be cut at record {at}: {why}");
        Error::new(code::AUDIT_NO_ANCHOR, cause)
    };
    let place = store.get(&anchor_key()).await?;
    let before = place.as_ref().map_or(Ok(0), number)?;
    if at <= before {
        let cause = format!("the audit log begins behind record {before} already");
        return Err(Error::new(code::AUDIT_CUT_ALREADY, cause));
    }
    let checkpoint = store.get(&checkpoint_key(at)).await?.ok_or_else(|| refuse("no checkpoint stands there"))?;
    let signed = Checkpoint::parse(&String::from_utf8_lossy(&checkpoint.value))?;
    let keys = keys(store).await?;
    // Without keys any would do for the checkpoint itself.
    let genuine = !keys.is_empty() && signed.verify(&keys).is_ok();
    let head = signed.head()?;
    let record = super::export::record(store, at).await?;
    if !genuine || head.sequence != at || record.is_none_or(|record| !record.is_intact() || record.head() != head) {
        return Err(refuse("the checkpoint there is not this log's"));
    }
    let anchored = match place {
        Some(entry) => Expect::Revision(entry.revision),
        None => Expect::Absent,
    };
    let batch = Batch::default()
        .expect(anchor_key(), anchored)
        .expect(checkpoint_key(at), Expect::Revision(checkpoint.revision))
        .put(anchor_key(), at.to_string())
        .event(event.detail("before", at.to_string()).detail("hash", head.hash.to_string()));
    store.commit(batch).await?;
    Ok(head)
}

/// Removes what lies before the log's beginning, and the checkpoints there; how many records.
///
/// # Errors
/// As of the store.
pub async fn sweep<S: Store>(store: &S) -> Result<u64> {
    let at = anchor(store).await?;
    let Some(checkpoint) = store.get(&checkpoint_key(at)).await? else { return Ok(0) };
    let mut removed = 0;
    for (prefix, end) in [(records(), record_key(at.saturating_add(1))), (checkpoints(), checkpoint_key(at))] {
        loop {
            let found = store.scan(&prefix, None, AT_ONCE).await?;
            let old: Vec<Key> = found.into_iter().map(|entry| entry.key).take_while(|key| *key < end).collect();
            if old.is_empty() {
                break;
            }
            removed += if prefix == records() { old.len() as u64 } else { 0 };
            let batch = Batch::default().expect(checkpoint_key(at), Expect::Revision(checkpoint.revision));
            store.commit(old.into_iter().fold(batch, Batch::remove)).await?;
        }
    }
    Ok(removed)
}

fn number(entry: &Entry) -> Result<u64> {
    let number = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::new(code::STORE_DAMAGED, format!("{} is no number", entry.key)))
}
