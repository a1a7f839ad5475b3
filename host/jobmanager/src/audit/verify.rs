//! Whether lines are the log that was written: every hash, every number, every signature.
//!
//! What this can find depends on what the reader knows besides the file. The file alone shows every change that does not
//! recompute all hashes behind it. Checkpoints in it show those too, up to the last one, if the reader knows the public
//! key. A checkpoint that the reader kept from earlier shows that even whoever holds the signing key changed something.

use super::{Checkpoint, Head, Record};
use lockgate_core::error::code;
use lockgate_core::keys::PublicKey;
use lockgate_core::{Digest, Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// What was found in a log that is intact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// How many records there were.
    pub records: u64,
    /// The number of the first one; above 1 if the log begins with a checkpoint that it goes on from.
    pub first: u64,
    /// The last one.
    pub head: Head,
    /// How many checkpoints there were.
    pub checkpoints: u64,
    /// The last record that a checkpoint pins; 0 if none does.
    pub signed: u64,
    /// The keys that signed.
    pub keys: Vec<PublicKey>,
}

/// Reads a log line by line.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<PublicKey>,
    known: BTreeMap<u64, Digest>,
    head: Head,
    begun: bool,
    records: u64,
    checkpoints: u64,
    signed: u64,
    seen: BTreeSet<PublicKey>,
}

impl Verifier {
    /// A verifier that takes checkpoints of `keys` only, or of any key if there are none, and holds the log to the
    /// checkpoints that are `known`.
    ///
    /// # Errors
    /// `LG1222` if a known checkpoint is not signed by one of the keys.
    pub fn new(keys: Vec<PublicKey>, known: &[Checkpoint]) -> Result<Self> {
        let mut pinned = BTreeMap::new();
        for checkpoint in known {
            checkpoint.verify(&keys)?;
            let head = checkpoint.head()?;
            pinned.insert(head.sequence, head.hash);
        }
        Ok(Self {
            keys,
            known: pinned,
            head: Head::START,
            begun: false,
            records: 0,
            checkpoints: 0,
            signed: 0,
            seen: BTreeSet::new(),
        })
    }

    /// Reads the next line, without its line feed.
    ///
    /// # Errors
    /// `LG1220`, `LG1221`, `LG1222` or `LG1223`; the log is not as it was written, and nothing behind can be told.
    pub fn line(&mut self, line: &str) -> Result<()> {
        let is_checkpoint = line.ends_with(r#""type":"checkpoint"}"#);
        let result = if is_checkpoint { self.checkpoint(line) } else { self.record(line) };
        self.begun = true;
        result
    }

    /// The end of the log.
    ///
    /// # Errors
    /// `LG1221` if a known checkpoint lies behind it.
    pub fn finish(self) -> Result<Summary> {
        if let Some((sequence, _)) = self.known.range(self.head.sequence.saturating_add(1)..).next() {
            return Err(truncated(*sequence, self.head.sequence));
        }
        let (records, head, checkpoints, signed) = (self.records, self.head, self.checkpoints, self.signed);
        let first = head.sequence.saturating_sub(records).saturating_add(1);
        Ok(Summary { records, first, head, checkpoints, signed, keys: self.seen.into_iter().collect() })
    }

    fn record(&mut self, line: &str) -> Result<()> {
        let record = Record::parse(line)?;
        let expected = self.head.sequence.saturating_add(1);
        let broken = |why: String| Err(Error::new(code::AUDIT_BROKEN, format!("record {} {why}", record.sequence)));
        if record.sequence != expected {
            return broken(format!("stands where record {expected} should"));
        }
        if record.previous != self.head.hash {
            return broken("does not follow from the one before it".into());
        }
        if !record.is_intact() {
            return broken("was changed: its hash does not fit".into());
        }
        if self.known.get(&record.sequence).is_some_and(|hash| *hash != record.hash) {
            return broken("is not the one that the known checkpoint was signed for".into());
        }
        self.head = record.head();
        self.records += 1;
        Ok(())
    }

    fn checkpoint(&mut self, line: &str) -> Result<()> {
        let checkpoint = Checkpoint::parse(line)?;
        checkpoint.verify(&self.keys)?;
        let head = checkpoint.head()?;
        if !self.begun && !self.keys.is_empty() {
            // A later part only, or a log that was cut off: it begins with the checkpoint that it goes on from.
            self.head = head;
        }
        if !self.begun && head.sequence > self.head.sequence {
            let cause = format!("the log begins with a checkpoint at record {}", head.sequence);
            let help = "say by whose key it must be signed (`--key`): without one it vouches for nothing";
            return Err(Error::new(code::AUDIT_TRUNCATED, cause).help(help));
        }
        if head.sequence > self.head.sequence {
            return Err(truncated(head.sequence, self.head.sequence));
        }
        if head != self.head {
            let cause = format!("the checkpoint at record {} was signed for another log", head.sequence);
            return Err(Error::new(code::AUDIT_BROKEN, cause));
        }
        self.seen.insert(checkpoint.key());
        self.checkpoints += 1;
        self.signed = head.sequence;
        Ok(())
    }
}

fn truncated(signed: u64, last: u64) -> Error {
    let cause = format!("a checkpoint was signed at record {signed}, and the log ends at record {last}");
    Error::new(code::AUDIT_TRUNCATED, cause)
}
