//! A sled database as rows of one tree, with what sled 0.34 leaves to its user:
//!
//! - It flushes with `sync_file_range`, which is no barrier: [`Disk::write`] syncs the file itself.
//! - It writes pages over 128 KiB to files of their own that it never syncs: values are cut into pieces that keep every
//!   page far below that.
//! - It moves old pages in the background, and when that finds no room, reading fails too: a database that is opened on a
//!   full disk is [calm](Disk::is_calm) and does nothing by itself.
//! - It takes a snapshot of its log that it was writing when it was killed for a finished one, and then for damage:
//!   [`Disk::open`] removes what is unfinished.
//!
//! Rows, told apart by their first byte:
//!
//! ```text
//! m NAME           what the store knows of itself
//! v KEY            revision (8 bytes), length of the sealed value (4), its first piece
//! p KEY NUMBER     a further piece (NUMBER has 4 bytes, from 1)
//! ```

use crate::store::Key;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A page holds at most 17 rows before it is split, so it stays below 17 * (4,096 + 512 + 32) = 78,880 bytes.
const PIECE: usize = 4 << 10;

const META: u8 = b'm';
const VALUE: u8 = b'v';
const FURTHER: u8 = b'p';

/// The whole of an entry's value may be read, so it has a bound: the largest value and what sealing adds.
const MAX_SEALED: usize = crate::store::MAX_VALUE + 1_024;

/// A value as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub revision: u64,
    pub sealed: Vec<u8>,
}

/// An open database.
#[derive(Debug)]
pub(super) struct Disk {
    db: sled::Db,
    file: File,
    is_calm: bool,
    #[cfg(test)]
    pub syncs: std::sync::atomic::AtomicU32,
}

/// Rows to write at once.
#[derive(Default, Debug)]
pub(super) struct Rows {
    batch: sled::Batch,
    /// About what it takes on the disk, in bytes.
    pub size: u64,
}

impl Disk {
    /// Opens the database in `folder`, which exists. The caller has the folder's lock.
    pub fn open(folder: &Path, cache: u64, is_calm: bool) -> Result<Self> {
        let path = database(folder);
        remove_unfinished(&path).map_err(|error| io_failed(&error))?;
        let config = sled::Config::new().path(&path).cache_capacity(cache).flush_every_ms((!is_calm).then_some(500));
        // After a failure the old handles' last threads may still hold sled's own lock for a moment.
        let mut attempt = 0;
        let db = loop {
            attempt += 1;
            match config.open() {
                Ok(db) => break db,
                Err(error) if is_locked(&error) && attempt < 50 => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => return Err(failed(&error)),
            }
        };
        let file = File::open(path.join("db")).map_err(|error| io_failed(&error))?;
        for folder in [path.as_path(), folder] {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| io_failed(&error))?;
        }
        Ok(Self {
            db,
            file,
            is_calm,
            #[cfg(test)]
            syncs: Default::default(),
        })
    }

    /// Whether it does nothing in the background. Such a one is for reading: it never frees what it does not use any more.
    pub fn is_calm(&self) -> bool {
        self.is_calm
    }

    /// Whether the database would take a write: not after a failure in the background.
    pub fn is_well(&self) -> bool {
        self.db.flush().is_ok()
    }

    /// What the store knows of itself under `name`.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let found = self.db.get(meta_row(name)).map_err(|error| failed(&error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// A key's revision.
    pub fn revision(&self, key: &Key) -> Result<Option<u64>> {
        let found = self.db.get(value_row(key)).map_err(|error| failed(&error))?;
        found.map(|first| head(key, &first).map(|(revision, ..)| revision)).transpose()
    }

    /// A key's row.
    pub fn row(&self, key: &Key) -> Result<Option<Row>> {
        let found = self.db.get(value_row(key)).map_err(|error| failed(&error))?;
        found.map(|first| self.whole(key, &first)).transpose()
    }

    /// All rows from `begin` on.
    pub fn rows(&self, begin: Bound<&Key>) -> impl Iterator<Item = Result<(Key, Row)>> + '_ {
        let begin = match begin {
            Bound::Included(key) => Bound::Included(value_row(key)),
            Bound::Excluded(key) => Bound::Excluded(value_row(key)),
            Bound::Unbounded => Bound::Included(vec![VALUE]),
        };
        self.db.range((begin, Bound::Excluded(vec![VALUE + 1]))).map(|found| {
            let (row, first) = found.map_err(|error| failed(&error))?;
            let key = row.get(1..).and_then(Key::from_bytes);
            let key = key.ok_or_else(|| Error::new(code::STORE_DAMAGED, "a key in the store is malformed"))?;
            let row = self.whole(&key, &first)?;
            Ok((key, row))
        })
    }

    /// How many further pieces a key has now.
    fn pieces(&self, key: &Key) -> Result<usize> {
        let found = self.db.get(value_row(key)).map_err(|error| failed(&error))?;
        let length = found.map(|first| head(key, &first).map(|(_, length, _)| length)).transpose()?;
        Ok(length.map_or(0, |length| length.div_ceil(PIECE).max(1) - 1))
    }

    /// Adds to `rows` what makes `row` the row of `key`, or removes it.
    pub fn set(&self, rows: &mut Rows, key: &Key, row: Option<&Row>) -> Result<()> {
        let before = self.pieces(key)?;
        let mut now = 0;
        if let Some(Row { revision, sealed }) = row {
            let length = u32::try_from(sealed.len())
                .map_err(|_| Error::new(code::STORE_LIMIT, format!("the value of {key} is too long")))?;
            let mut pieces = sealed.chunks(PIECE);
            let first = pieces.next().unwrap_or_default();
            rows.insert(value_row(key), [&revision.to_be_bytes()[..], &length.to_be_bytes(), first].concat());
            for (number, piece) in (1_u32..).zip(pieces) {
                rows.insert(piece_row(key, number), piece.to_vec());
                now += 1;
            }
        } else {
            rows.remove(value_row(key));
        }
        for number in (1_u32..).take(before).skip(now) {
            rows.remove(piece_row(key, number));
        }
        Ok(())
    }

    /// Writes `rows` as one, for good.
    pub fn write(&self, rows: Rows) -> io::Result<()> {
        self.db.apply_batch(rows.batch).map_err(into_io)?;
        self.db.flush().map_err(into_io)?;
        #[cfg(test)]
        self.syncs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.file.sync_data()
    }

    fn whole(&self, key: &Key, first: &[u8]) -> Result<Row> {
        let damaged = || Error::new(code::STORE_DAMAGED, format!("a part of the value of {key} is missing"));
        let (revision, length, first) = head(key, first)?;
        if length > MAX_SEALED {
            return Err(damaged());
        }
        let mut sealed = Vec::with_capacity(length);
        sealed.extend_from_slice(first);
        let mut number = 1_u32;
        while sealed.len() < length {
            let piece = self.db.get(piece_row(key, number)).map_err(|error| failed(&error))?.ok_or_else(damaged)?;
            if piece.is_empty() {
                return Err(damaged());
            }
            sealed.extend_from_slice(&piece);
            number = number.saturating_add(1);
        }
        if sealed.len() == length { Ok(Row { revision, sealed }) } else { Err(damaged()) }
    }
}

impl Rows {
    /// Notes something that the store knows of itself.
    pub fn set_meta(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.insert(meta_row(name), value.into());
    }

    fn insert(&mut self, row: Vec<u8>, value: Vec<u8>) {
        self.size = self.size.saturating_add((row.len() + value.len() + 64) as u64);
        self.batch.insert(row, value);
    }

    fn remove(&mut self, row: Vec<u8>) {
        self.size = self.size.saturating_add((row.len() + 64) as u64);
        self.batch.remove(row);
    }
}

/// Takes the folder for this process, until the file is dropped.
///
/// # Errors
/// `LG1210` if another one has it.
pub(super) fn lock(folder: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"));
    let file = file.map_err(|error| io_failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(code::STORE_IN_USE, format!("{} is used by another process", folder.display())))
        }
        Err(TryLockError::Error(error)) => Err(io_failed(&error)),
    }
}

fn remove_unfinished(database: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(database) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Where in the store's folder the database lies.
pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("sled")
}

/// `revision, length of the sealed value, its first piece`.
fn head<'a>(key: &Key, row: &'a [u8]) -> Result<(u64, usize, &'a [u8])> {
    let parts = row.split_first_chunk::<8>().and_then(|(revision, rest)| {
        let (length, first) = rest.split_first_chunk::<4>()?;
        Some((u64::from_be_bytes(*revision), usize::try_from(u32::from_be_bytes(*length)).ok()?, first))
    });
    parts.ok_or_else(|| Error::new(code::STORE_DAMAGED, format!("the row of {key} is malformed")))
}

fn meta_row(name: &str) -> Vec<u8> {
    [&[META], name.as_bytes()].concat()
}

fn value_row(key: &Key) -> Vec<u8> {
    [&[VALUE], key.as_bytes()].concat()
}

fn piece_row(key: &Key, number: u32) -> Vec<u8> {
    [&[FURTHER], key.as_bytes(), &number.to_be_bytes()].concat()
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("lock"))
}

fn into_io(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// What a failure of sled is to a user.
fn failed(error: &sled::Error) -> Error {
    match error {
        sled::Error::Corruption { .. } => {
            Error::new(code::STORE_DAMAGED, "the store's files do not fit their checksums")
        }
        sled::Error::Io(error) => io_failed(error),
        other => Error::new(code::STORE_FAILED, format!("the store: {other}")),
    }
}

/// What a failure of the system is to a user.
pub(super) fn io_failed(error: &io::Error) -> Error {
    let code = if is_full(error) { code::STORE_FULL } else { code::STORE_FAILED };
    Error::new(code, format!("the store: {error}"))
}

/// Whether there was no room. sled passes errors on as text, with the kind kept.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || error.to_string().contains("os error 28")
}
