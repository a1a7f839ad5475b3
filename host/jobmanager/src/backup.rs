//! Backups: everything the store holds at one moment and the bundles it refers to, as one stream; and back.
//!
//! A backup is made while commits go on ([`Store::snapshot`]). It carries the values in plain form whatever key they are
//! under in the store, so encrypt it to a [`Recipient`] unless it goes where nobody else reads. Every byte is under a
//! digest, encrypted or not. Restoring puts everything beside the place first, checks it whole, the audit log's chain
//! among it, and only then gives it its name: what is damaged leaves nothing behind. What is not in it: keys. The audit
//! log's key is made anew, and recorded, when a JobManager starts on what was restored.
//!
//! ```text
//! MAGIC, a byte: 0 plain, 1 encrypted (the rest is `seal`'s stream)
//! E key length (4 bytes), key, revision (8), value length (4), value      for each entry, in the order of keys
//! B digest (32), length (8), bytes                                        for each bundle
//! Z entries (8), bundles (8), revision (8), SHA-256 of all since MAGIC's end
//! ```

mod read;
mod seal;
#[cfg(test)]
mod tests;

pub use read::{read, restore};
pub use seal::{Identity, Recipient};

use crate::bundles::Bundles;
use crate::store::{Entry, Store};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use seal::Encrypt;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"lockgate-backup-1\n";
const PLAIN: u8 = 0;
const ENCRYPTED: u8 = 1;

const ENTRY: u8 = b'E';
const BUNDLE: u8 = b'B';
const END: u8 = b'Z';

/// Where a JobManager keeps what it keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout(PathBuf);

impl Layout {
    /// The layout of this data directory.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self(data.into())
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.0
    }

    /// The store's folder.
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The folder of bundles.
    pub fn bundles(&self) -> PathBuf {
        self.0.join("bundles")
    }

    /// The file of the key that signs the audit log's checkpoints.
    pub fn audit_key(&self) -> PathBuf {
        self.0.join("audit.key")
    }
}

/// What a backup holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Contents {
    /// Entries of the store.
    pub entries: u64,
    /// Bundles.
    pub bundles: u64,
    /// The store's last revision.
    pub revision: u64,
}

/// Writes a backup of `store` and `bundles` to `sink`, encrypted if there is a recipient; gives the sink back, flushed but
/// not synced.
///
/// # Errors
/// Those of the store; `LG1230` if a bundle is damaged; `LG1203` if the sink takes no more.
pub async fn write<S: Store, W: Write + Send + 'static>(
    store: &S,
    bundles: &Bundles,
    recipient: Option<&Recipient>,
    sink: W,
) -> Result<(Contents, W)> {
    // Spared by the sweeper for its grace, so that what the snapshot refers to is there until it is written.
    for digest in bundles.list()? {
        bundles.claim(&digest)?;
    }
    let mut snapshot = store.snapshot().await?;
    // That of the snapshot or a little later, which does no harm: a restored store goes on from it.
    let revision = *store.revision().borrow();
    // Again: what was uploaded in between and is referred to. Every bundle is there before what refers to it.
    let kept = bundles.list()?;
    let mut writer = Some(Writer::begin(sink, recipient)?);
    while let Some(page) = snapshot.next().await? {
        writer = step(writer, move |writer| page.iter().try_for_each(|entry| writer.entry(entry))).await?;
    }
    let bundles = bundles.clone();
    writer = step(writer, move |writer| writer.bundles(&bundles, &kept)).await?;
    let mut writer = writer.ok_or_else(broken_off)?;
    writer.contents.revision = writer.contents.revision.max(revision);
    tokio::task::spawn_blocking(move || writer.finish()).await.unwrap_or_else(|_| Err(broken_off()))
}

/// Does something with the writer on a thread that may block.
async fn step<W: Write + Send + 'static>(
    writer: Option<Writer<W>>,
    work: impl FnOnce(&mut Writer<W>) -> Result<()> + Send + 'static,
) -> Result<Option<Writer<W>>> {
    let mut writer = writer.ok_or_else(broken_off)?;
    let done = tokio::task::spawn_blocking(move || work(&mut writer).map(|()| Some(writer)));
    done.await.unwrap_or_else(|_| Err(broken_off()))
}

/// Writes a backup.
struct Writer<W: Write> {
    sink: Sink<W>,
    hash: Sha256,
    contents: Contents,
}

enum Sink<W: Write> {
    Plain(BufWriter<W>),
    Encrypted(Encrypt<BufWriter<W>>),
}

impl<W: Write> Writer<W> {
    fn begin(sink: W, recipient: Option<&Recipient>) -> Result<Self> {
        let mut sink = BufWriter::with_capacity(256 << 10, sink);
        let mode = if recipient.is_some() { ENCRYPTED } else { PLAIN };
        sink.write_all(&[MAGIC, &[mode]].concat()).map_err(|error| failed(&error))?;
        let sink = match recipient {
            Some(recipient) => Sink::Encrypted(Encrypt::new(sink, recipient)?),
            None => Sink::Plain(sink),
        };
        Ok(Self { sink, hash: Sha256::new(), contents: Contents::default() })
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        let (key, value) = (entry.key.as_bytes(), entry.value.as_slice());
        self.put(&[ENTRY])?;
        self.put(&length(key)?)?;
        self.put(key)?;
        self.put(&entry.revision.to_be_bytes())?;
        self.put(&length(value)?)?;
        self.put(value)?;
        self.contents.entries = self.contents.entries.saturating_add(1);
        self.contents.revision = self.contents.revision.max(entry.revision);
        Ok(())
    }

    fn bundles(&mut self, bundles: &Bundles, kept: &BTreeSet<Digest>) -> Result<()> {
        let mut piece = vec![0; 256 << 10];
        for digest in kept {
            let (mut file, length) = bundles.file(digest)?;
            self.put(&[BUNDLE])?;
            self.put(digest.as_bytes())?;
            self.put(&length.to_be_bytes())?;
            let (mut hash, mut left) = (Sha256::new(), length);
            loop {
                let count = file.read(&mut piece).map_err(|error| failed(&error))?;
                let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
                left = left.checked_sub(count as u64).ok_or_else(|| lost(digest))?;
                hash.update(bytes);
                self.put(bytes)?;
            }
            if left > 0 || Digest::from_bytes(hash.finalize().into()) != *digest {
                return Err(lost(digest));
            }
            self.contents.bundles = self.contents.bundles.saturating_add(1);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Contents, W)> {
        let contents = self.contents;
        self.put(&[END])?;
        for number in [contents.entries, contents.bundles, contents.revision] {
            self.put(&number.to_be_bytes())?;
        }
        let digest = std::mem::take(&mut self.hash).finalize();
        self.put(&digest)?;
        let sink = match self.sink {
            Sink::Plain(sink) => Ok(sink),
            Sink::Encrypted(sink) => sink.finish(),
        };
        let sink = sink.and_then(|sink| sink.into_inner().map_err(io::IntoInnerError::into_error));
        Ok((contents, sink.map_err(|error| failed(&error))?))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        let written = match &mut self.sink {
            Sink::Plain(sink) => sink.write_all(bytes),
            Sink::Encrypted(sink) => sink.write_all(bytes),
        };
        written.map_err(|error| failed(&error))
    }
}

fn length(bytes: &[u8]) -> Result<[u8; 4]> {
    let length = u32::try_from(bytes.len());
    length.map(u32::to_be_bytes).map_err(|_| Error::new(code::STORE_LIMIT, "an entry is too long for a backup"))
}

fn lost(digest: &Digest) -> Error {
    Error::new(code::BUNDLE_LOST, format!("the file of bundle {digest} holds something else"))
}

fn broken_off() -> Error {
    Error::new(code::STORE_FAILED, "a backup was broken off")
}

/// What a failure of a stream is to a user: one that ends early or does not fit is damaged.
fn failed(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::new(code::BACKUP_DAMAGED, "the backup ends too early"),
        io::ErrorKind::InvalidData => Error::new(code::BACKUP_DAMAGED, format!("the backup is damaged: {error}")),
        _ => Error::new(code::STORE_FAILED, format!("the backup cannot be read or written: {error}")),
    }
}
