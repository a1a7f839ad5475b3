//! Signed heads of the chain: what fixes everything before them.
//!
//! Whoever can write the JobManager's disk can recompute a chain of hashes, but not sign its head. A checkpoint that was
//! exported, or shipped with the logs, therefore pins all records up to it for good. It is signed every so many records,
//! every so many minutes and when the JobManager ends; what lies behind the last one is pinned by nothing yet.

use super::{Event, Head};
use crate::store::{Batch, Expect, Key, Store, head_key, read_head};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::error::code;
use lockgate_core::keys::{PublicKey, SIGNATURE_BYTES, SecretKey};
use lockgate_core::{Digest, Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The head of the chain at a time, signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    // The fields stand in the order of their names, so that what serde writes is the canonical spelling of RFC 8785.
    /// The hash of the last record, 64 hexadecimal digits.
    hash: String,
    /// Who signed.
    key: PublicKey,
    /// The last record's sequence number.
    sequence: u64,
    /// The signature in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    signature: String,
    /// When.
    time: Timestamp,
    /// Tells its line from a record's.
    r#type: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "checkpoint")]
    Checkpoint,
}

/// What the signed bytes begin with, so that the signature fits nothing else that this key might sign.
const CONTEXT: &str = "lockgate-audit-checkpoint-v1\n";

impl Checkpoint {
    /// Signs `head`.
    pub fn sign(head: Head, time: Timestamp, key: &SecretKey) -> Self {
        let (hash, sequence, public) = (head.hash.hex(), head.sequence, key.public());
        let mut checkpoint =
            Self { hash, key: public, sequence, signature: String::new(), time, r#type: Kind::Checkpoint };
        checkpoint.signature = STANDARD.encode(key.sign(&checkpoint.signed()));
        checkpoint
    }

    /// What was signed.
    ///
    /// # Errors
    /// `LG0301` if the hash is none.
    pub fn head(&self) -> Result<Head> {
        Ok(Head { sequence: self.sequence, hash: Digest::from_hex(&self.hash)? })
    }

    /// The key that it says it was signed with.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// When it was signed, as it says.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Checks the signature against `keys`, or against its own key if there are none.
    ///
    /// # Errors
    /// `LG1222`.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<()> {
        let refuse = |why: &str| {
            let cause = format!("the checkpoint at record {} {why} (key {})", self.sequence, self.key.short());
            Err(Error::new(code::AUDIT_FORGED, cause))
        };
        if !keys.is_empty() && !keys.contains(&self.key) {
            return refuse("is signed by a key that was not expected");
        }
        let signature = STANDARD.decode(&self.signature).ok();
        let signature: Option<[u8; SIGNATURE_BYTES]> = signature.and_then(|bytes| bytes.try_into().ok());
        match signature {
            Some(signature) if self.key.verifies(&self.signed(), &signature) => Ok(()),
            _ => refuse("has a signature that does not fit"),
        }
    }

    /// The checkpoint as a line, without a line feed.
    pub fn line(&self) -> String {
        // Strings and a number: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line; says nothing of the signature.
    ///
    /// # Errors
    /// `LG1223` if it is not exactly what [`Checkpoint::line`] writes.
    pub fn parse(line: &str) -> Result<Self> {
        let refuse = || Error::new(code::AUDIT_MALFORMED, "a line is no checkpoint in its canonical spelling");
        let checkpoint: Self = serde_json::from_str(line).map_err(|_| refuse())?;
        if checkpoint.line() == line { Ok(checkpoint) } else { Err(refuse()) }
    }

    fn signed(&self) -> Vec<u8> {
        let bare = Self { signature: String::new(), ..self.clone() };
        [CONTEXT.as_bytes(), bare.line().as_bytes()].concat()
    }
}

/// What the keys of all checkpoints begin with.
pub(crate) fn checkpoints() -> Key {
    Key::new(["audit-checkpoints"])
}

/// The key of the checkpoint at a record.
pub(crate) fn checkpoint_key(sequence: u64) -> Key {
    Key::new(["audit-checkpoints", &format!("{sequence:020}")])
}

/// Where it is noted that a key has signed here.
fn signer(key: &str) -> Key {
    let parts = super::prune::signers().parts();
    Key::new(parts.iter().map(String::as_str).chain([key]))
}

/// Reads the key that signs checkpoints from `path`; makes it, with mode 0600, if there is none.
///
/// # Errors
/// `LG1224` if it cannot be read or written, is damaged, or others may read it.
pub fn open_key(path: &Path) -> Result<SecretKey> {
    let shown = path.display();
    let failed = |error: std::io::Error| Error::new(code::AUDIT_KEY, format!("{shown}: {error}"));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return make_key(path).map_err(failed),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        return Err(Error::new(code::AUDIT_KEY, format!("{shown} has mode {:o}: others may read it", mode & 0o777)));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(4_096).read_to_string(&mut text).map_err(failed)?;
    SecretKey::parse(&text).map_err(|error| Error::new(code::AUDIT_KEY, error.cause()).at(shown.to_string()))
}

fn make_key(path: &Path) -> std::io::Result<SecretKey> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(std::io::Error::other)?;
    let key = SecretKey::from_seed(&seed);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(key.to_text().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()?;
    Ok(key)
}

/// Signs checkpoints as the log grows.
pub struct Keeper<S, C> {
    /// What holds the log.
    pub store: S,
    /// What signs.
    pub key: SecretKey,
    /// After so many records, at the latest.
    pub records: u64,
    /// After so long, at the latest, if there is anything new.
    pub interval: Duration,
    /// The time.
    pub clock: C,
}

impl<S: Store, C: Fn() -> Timestamp + Send + Sync> Keeper<S, C> {
    /// Records the public key if it has not signed here before, then signs whenever it is due until `stop` is there, and
    /// once more then.
    ///
    /// A checkpoint that cannot be written is a warning and is tried again with the next one.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let mut revision = self.store.revision();
        let mut last = self.begin().await;
        let mut timer = tokio::time::interval(self.interval.max(Duration::from_secs(1)));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            let (due, ended) = tokio::select! {
                biased;
                () = &mut stop => (1, true),
                _ = timer.tick() => (1, false),
                changed = revision.changed() => (self.records.max(1), changed.is_err()),
            };
            match self.sign_if(due, last).await {
                Ok(signed) => last = signed,
                Err(error) => tracing::warn!(%error, "no audit checkpoint could be signed"),
            }
            if ended {
                return;
            }
        }
    }

    /// Signs the head now unless `last` is less than `due` records behind it; the sequence number last signed.
    ///
    /// # Errors
    /// As of the store.
    pub async fn sign_if(&self, due: u64, last: u64) -> Result<u64> {
        let head = match self.store.get(&head_key()).await? {
            Some(entry) => read_head(&entry.value)?,
            None => return Ok(last),
        };
        if head.sequence < last.saturating_add(due) {
            return Ok(last);
        }
        let checkpoint = Checkpoint::sign(head, (self.clock)(), &self.key);
        let place = checkpoint_key(head.sequence);
        let batch = Batch::default().expect(place.clone(), Expect::Absent).put(place, checkpoint.line());
        match self.store.commit(batch).await {
            Err(error) if error.code() != code::CONFLICT => return Err(error),
            _ => {}
        }
        // A copy of the pin outside the store, wherever the logs go.
        tracing::info!(sequence = head.sequence, hash = %head.hash, checkpoint = checkpoint.line(), "audit checkpoint");
        Ok(head.sequence)
    }

    /// Records the key if it is new here; the sequence number that was signed last.
    async fn begin(&self) -> u64 {
        match self.announce().await {
            Ok(last) => last,
            Err(error) => {
                tracing::warn!(%error, "the audit log's key could not be recorded");
                0
            }
        }
    }

    async fn announce(&self) -> Result<u64> {
        let text = self.key.public().to_string();
        let place = signer(&text);
        if self.store.get(&place).await?.is_none() {
            let event = Event::system((self.clock)(), "audit.key", "audit").detail("key", text);
            let batch = Batch::default().expect(place.clone(), Expect::Absent).put(place, "").event(event);
            self.store.commit(batch).await?;
        }
        last_signed(&self.store).await
    }
}

/// The sequence number of the last checkpoint; 0 if there is none.
async fn last_signed<S: Store>(store: &S) -> Result<u64> {
    const PAGE: usize = 256;
    let (mut after, mut last) = (None, 0);
    loop {
        let page = store.scan(&checkpoints(), after.as_ref(), PAGE).await?;
        let Some(entry) = page.last() else { return Ok(last) };
        last = Checkpoint::parse(&String::from_utf8_lossy(&entry.value))?.sequence;
        after = Some(entry.key.clone());
    }
}
