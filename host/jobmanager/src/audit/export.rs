//! The log as lines: what `lockgate audit export` writes, the API serves and log collectors take.

use super::checkpoint::{checkpoint_key, checkpoints};
use super::verify::{Summary, Verifier};
use super::{Checkpoint, Record, prune};
use crate::store::{Entry, Key, Store, record_key, records};
use lockgate_core::error::code;
use lockgate_core::keys::PublicKey;
use lockgate_core::{Error, Result};

/// The lines of at most `limit` records behind the one numbered `after`, each followed by the checkpoint that was
/// signed at it, and the number of the last record among them (`after` if there is none). With `after` above 0 the
/// checkpoint signed there, if there is one, comes first, so that the part can be verified by itself. A log that was cut off
/// begins behind the cut ([`prune`]).
///
/// # Errors
/// As of the store.
pub async fn lines<S: Store>(store: &S, after: u64, limit: usize) -> Result<(Vec<String>, u64)> {
    let after = after.max(prune::anchor(store).await?);
    let found = store.scan(&records(), Some(&record_key(after)), limit).await?;
    let mut last = after;
    let mut lines = Vec::with_capacity(found.len().saturating_add(8));
    if after > 0 {
        lines.extend(checkpoint_at(store, after).await?);
    }
    // Those signed among these records, in their order, and a look at one more to see that there is none.
    let mut signed = Signed { after: checkpoint_key(after), page: Vec::new().into_iter(), next: None, done: false };
    for entry in found {
        let sequence = number(&entry.key)?;
        lines.push(text(entry)?);
        last = sequence;
        if let Some(line) = signed.at(store, sequence).await? {
            lines.push(line);
        }
    }
    Ok((lines, last))
}

/// Verifies the whole log that `store` holds, from its cut on if it was cut off. Without `keys` those count that are noted as
/// having signed there, if any are.
///
/// # Errors
/// As of [`Verifier`] and of the store.
pub async fn verify<S: Store>(store: &S, keys: Vec<PublicKey>, known: &[Checkpoint]) -> Result<Summary> {
    const PAGE: usize = 512;
    let keys = if keys.is_empty() { prune::keys(store).await? } else { keys };
    let mut verifier = Verifier::new(keys, known)?;
    let mut after = 0;
    let mut begin = true;
    loop {
        let (page, last) = lines(store, after, PAGE).await?;
        // The checkpoint that a later page begins with was read at the end of the one before it.
        let repeated = usize::from(!begin && page.first().is_some_and(|line| Checkpoint::parse(line).is_ok()));
        for line in page.iter().skip(repeated) {
            verifier.line(line)?;
        }
        if last == after {
            break;
        }
        (after, begin) = (last, false);
    }
    // Checkpoints behind the last record: of records that are gone.
    for entry in store.scan(&checkpoints(), Some(&checkpoint_key(after)), 1).await? {
        verifier.line(&text(entry)?)?;
    }
    verifier.finish()
}

/// The record with this number.
///
/// # Errors
/// As of the store; `LG1223` if what is there is no record.
pub async fn record<S: Store>(store: &S, sequence: u64) -> Result<Option<Record>> {
    match store.get(&record_key(sequence)).await? {
        Some(entry) => Record::parse(&text(entry)?).map(Some),
        None => Ok(None),
    }
}

async fn checkpoint_at<S: Store>(store: &S, sequence: u64) -> Result<Option<String>> {
    store.get(&checkpoint_key(sequence)).await?.map(text).transpose()
}

/// Checkpoints in their order, read ahead by the page.
struct Signed {
    after: Key,
    page: std::vec::IntoIter<Entry>,
    next: Option<Entry>,
    done: bool,
}

impl Signed {
    /// The line of the checkpoint at `sequence`, if there is one. Asked in rising order.
    async fn at<S: Store>(&mut self, store: &S, sequence: u64) -> Result<Option<String>> {
        const PAGE: usize = 64;
        let wanted = checkpoint_key(sequence);
        loop {
            if self.next.is_none() {
                self.next = self.page.next();
            }
            match self.next.take() {
                Some(entry) if entry.key < wanted => {}
                Some(entry) if entry.key == wanted => return text(entry).map(Some),
                Some(later) => {
                    self.next = Some(later);
                    return Ok(None);
                }
                None if self.done => return Ok(None),
                None => {
                    let page = store.scan(&checkpoints(), Some(&self.after), PAGE).await?;
                    self.done = page.len() < PAGE;
                    if let Some(last) = page.last() {
                        self.after = last.key.clone();
                    }
                    self.page = page.into_iter();
                }
            }
        }
    }
}

fn number(key: &Key) -> Result<u64> {
    let number = key.parts().last().and_then(|part| part.parse().ok());
    number.ok_or_else(|| Error::new(code::STORE_DAMAGED, format!("{key} is the key of no record")))
}

fn text(entry: Entry) -> Result<String> {
    String::from_utf8(entry.value).map_err(|_| Error::new(code::AUDIT_MALFORMED, format!("{} is no text", entry.key)))
}
