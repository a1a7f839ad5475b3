//! Holds a JobManager to its audit log: the highest end that it ever told is kept, and whatever it says later must fit.
//!
//! A TaskManager does not read the log. But a log that was cut short or written anew behind an end that was once told is
//! noticed by every TaskManager that was told, and what it noticed stays in a file for auditors.

use super::state::StateDir;
use cap_std::fs::{MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use lockgate_core::error::code;
use lockgate_core::plane::{AuditHead, Known, Witness as Told};
use lockgate_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

const FILE: &str = "witness";
/// A line a head: when it was told, its number, its hash.
const LOG: &str = "witness.log";
const OLD: &str = "witness.log.1";
/// The most bytes of the log; one before it is kept.
const MAX_LOG: u64 = 4 << 20;
/// The most contradictions that are kept.
const MAX_FOUND: usize = 100;

/// What a TaskManager was told of the audit log.
#[derive(Debug)]
pub struct Witness {
    state: StateDir,
    kept: Mutex<Kept>,
}

/// What is kept of it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kept {
    /// The highest end that was ever told.
    pub head: Option<AuditHead>,
    /// When it was told.
    pub told: Option<Timestamp>,
    /// What did not fit, at most 100 of it.
    pub found: Vec<Found>,
}

/// Something that a JobManager said that does not fit what it said before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Found {
    /// When.
    pub at: Timestamp,
    /// The end that was told before.
    pub before: AuditHead,
    /// The end that is told now.
    pub now: AuditHead,
    /// What it says of the former end, if that is what does not fit.
    pub hash: Option<lockgate_core::Digest>,
}

impl Witness {
    /// Goes on from what was kept.
    ///
    /// # Errors
    /// `LG083n`.
    pub fn open(state: &StateDir) -> Result<Self> {
        let kept = Self::look(state)?;
        Ok(Self { state: state.clone(), kept: Mutex::new(kept) })
    }

    /// What was kept, only to look at it.
    ///
    /// # Errors
    /// `LG083n`.
    pub fn look(state: &StateDir) -> Result<Kept> {
        Ok(state.read(FILE)?.unwrap_or_default())
    }

    /// The state folder.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// The highest end that was ever told.
    pub fn head(&self) -> Option<AuditHead> {
        self.lock().head
    }

    /// How much was found that does not fit, as far as it is kept.
    pub fn found(&self) -> usize {
        self.lock().found.len()
    }

    /// Takes what the JobManager says in answer to a heartbeat that named `asked`.
    ///
    /// # Errors
    /// `LG1423` if it does not fit what it said before, once for each such end; `LG0830` if it cannot be kept.
    pub fn take(&self, told: &Told, asked: Option<AuditHead>, now: Timestamp) -> Result<()> {
        let mut kept = self.lock();
        let before = kept.head;
        let hash = match (asked, told.known) {
            (Some(asked), Some(Known::Hash(hash))) if hash != asked.hash => Some((asked, hash)),
            _ => None,
        };
        let short = before.filter(|before| {
            told.head.sequence < before.sequence
                || (told.head.sequence == before.sequence && told.head.hash != before.hash)
        });
        let wrong = match (hash, short) {
            (Some((asked, hash)), _) => Some(Found { at: now, before: asked, now: told.head, hash: Some(hash) }),
            (None, Some(before)) => Some(Found { at: now, before, now: told.head, hash: None }),
            (None, None) => None,
        };
        if let Some(found) = wrong {
            // A log that was cut short has a new end again and again: one line for each way in which it is wrong.
            let alike = |known: &Found| (known.before, known.hash) == (found.before, found.hash);
            if kept.found.iter().any(alike) {
                return Ok(());
            }
            if kept.found.len() < MAX_FOUND {
                kept.found.push(found.clone());
                self.state.write(FILE, &*kept)?;
            }
            return Err(found.error());
        }
        if before.is_none_or(|before| told.head.sequence > before.sequence) {
            let next = Kept { head: Some(told.head), told: Some(now), found: kept.found.clone() };
            self.state.write(FILE, &next)?;
            *kept = next;
            self.log(&told.head, now).map_err(|error| self.state.failed(LOG, &error))?;
        }
        Ok(())
    }

    /// Appends a line for auditors. What is relied on is in the other file.
    fn log(&self, head: &AuditHead, now: Timestamp) -> io::Result<()> {
        let dir = self.state.dir();
        if dir.symlink_metadata(LOG).is_ok_and(|metadata| metadata.size() >= MAX_LOG) {
            dir.rename(LOG, dir, OLD)?;
        }
        let mut file = dir.open_with(LOG, OpenOptions::new().append(true).create(true).mode(0o600))?;
        file.write_all(format!("{now} {} {}\n", head.sequence, head.hash).as_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    /// It as an error.
    pub fn error(&self) -> Error {
        let before =
            format!("record {} ({}) was once the end of the audit log", self.before.sequence, self.before.hash.short());
        let cause = match self.hash {
            Some(hash) => format!("{before}, now that record is {}", hash.short()),
            None => format!("{before}, now it ends with {} ({})", self.now.sequence, self.now.hash.short()),
        };
        Error::new(code::AUDIT_REWRITTEN, cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_core::Digest;

    fn head(sequence: u64, content: &str) -> AuditHead {
        AuditHead { sequence, hash: Digest::of(content.as_bytes()) }
    }

    #[test]
    fn a_log_that_was_cut_or_written_anew_is_noticed_once_each() {
        let place = tempfile::tempdir().unwrap();
        let (state, _held) = StateDir::open(&place.path().join("state")).unwrap();
        let witness = Witness::open(&state).unwrap();
        let now = Timestamp::from_seconds(1_000);
        let say = |witness: &Witness, end: AuditHead, known: Option<&str>| {
            let known = known.map(|content| Known::Hash(Digest::of(content.as_bytes())));
            let taken = witness.take(&Told { head: end, known }, witness.head(), now);
            taken.map_err(|error| error.code())
        };
        assert_eq!(say(&witness, head(5, "five"), None), Ok(()));
        assert_eq!(say(&witness, head(9, "nine"), Some("five")), Ok(()));
        assert_eq!(say(&witness, head(9, "nine"), Some("nine")), Ok(()));
        // Over a restart as well.
        let witness = Witness::open(&state).unwrap();
        assert_eq!(witness.head(), Some(head(9, "nine")));
        assert_eq!(say(&witness, head(7, "seven"), None), Err(code::AUDIT_REWRITTEN), "cut short");
        assert_eq!(say(&witness, head(8, "eight"), None), Ok(()), "which was said");
        assert_eq!(say(&witness, head(12, "twelve"), Some("no nine")), Err(code::AUDIT_REWRITTEN), "written anew");
        assert_eq!(say(&witness, head(13, "thirteen"), Some("no nine")), Ok(()), "which was said");
        assert_eq!(witness.head(), Some(head(9, "nine")), "what contradicts is not gone on from");
        let kept = Witness::look(&state).unwrap();
        assert_eq!(kept.found.len(), 2);
        let log = std::fs::read_to_string(state.path().join(LOG)).unwrap();
        assert_eq!(log.lines().count(), 2, "{log}");
    }

    #[test]
    fn what_was_pruned_contradicts_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (state, _held) = StateDir::open(&place.path().join("state")).unwrap();
        let witness = Witness::open(&state).unwrap();
        let now = Timestamp::from_seconds(1_000);
        witness.take(&Told { head: head(5, "five"), known: None }, None, now).unwrap();
        let told = Told { head: head(900, "later"), known: Some(Known::Pruned) };
        witness.take(&told, Some(head(5, "five")), now).unwrap();
        assert_eq!(witness.head(), Some(head(900, "later")));
    }
}
