//! Filling a new store with entries as they were, their revisions and the audit log's own among them: for restoring.

use super::disk::{self, Disk, Row, Rows, io_failed};
use super::{Options, TIP, schema, seal_all};
use crate::store::Entry;
use crate::store::seal::Seal;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;

/// A store that is being filled. It can be opened once [`Import::finish`] is done.
#[derive(Debug)]
pub struct Import {
    disk: Disk,
    seal: Seal,
    rows: Rows,
    _lock: File,
}

/// Rows are written once there are so many bytes of them.
const AT_ONCE: u64 = 4 << 20;

impl Import {
    /// Makes a new store in a folder that is missing or empty.
    ///
    /// # Errors
    /// `LG1242` if there is a store already, otherwise as [`Sled::open`](super::Sled::open).
    pub fn begin(options: &Options) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&options.folder)
            .map_err(|error| io_failed(&error).at(options.folder.display().to_string()))?;
        let lock = disk::lock(&options.folder)?;
        let disk = Disk::open(&options.folder, options.cache, false)?;
        if disk.meta(TIP)?.is_some() || disk.rows(std::ops::Bound::Unbounded).next().is_some() {
            return Err(Error::new(code::RESTORE_REFUSED, format!("{} holds a store", options.folder.display())));
        }
        schema::migrate(&disk, schema::STEPS)?;
        let seal = Seal::new(options.keys.clone());
        seal_all(&disk, seal.clone())?;
        Ok(Self { disk, seal, rows: Rows::default(), _lock: lock })
    }

    /// Adds an entry. Each key once.
    ///
    /// # Errors
    /// `LG1202` or `LG1203` if it cannot be written.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        let sealed = self.seal.seal(&entry.key, entry.revision, &entry.value)?;
        self.disk.set(&mut self.rows, &entry.key, Some(&Row { revision: entry.revision, sealed }))?;
        if self.rows.size > AT_ONCE { self.write() } else { Ok(()) }
    }

    /// The end: `revision` is the last one that there was.
    ///
    /// # Errors
    /// `LG1202` or `LG1203` if it cannot be written.
    pub fn finish(mut self, revision: u64) -> Result<()> {
        self.rows.set_meta(TIP, revision.to_be_bytes());
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        self.disk.write(std::mem::take(&mut self.rows)).map_err(|error| io_failed(&error))
    }
}
