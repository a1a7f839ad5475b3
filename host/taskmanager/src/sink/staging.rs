//! Output that waits as hidden files in a folder until its epoch is committed.
//!
//! The file of a node's slot and epoch is `.NODE-RUN-LEASE-SLOT-EPOCH.ENDING.tmp` while it waits. The run's id, which is
//! random, makes the names of other nodes and other runs distinct, and says which leftovers are ours to delete. The epoch of
//! the lease keeps who still writes under an earlier one apart from its successor: only the record knows which of both
//! counts, and the final name, without the lease, is that one's.
//!
//! Several TaskManagers may publish the same output at once, and one that is late may do so again: whoever finds that it
//! waits no more looks for its final name.

use super::{Leftovers, Prepared, RunId, Writer};
use crate::durable;
use cap_std::fs::{Dir, File, MetadataExt, OpenOptions};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;

/// A folder with the waiting output of one node in one run.
#[derive(Debug)]
pub(super) struct Staging {
    folder: Dir,
    /// `NODE-RUN-`
    prefix: String,
    /// The epoch of the lease under which is written.
    lease: u64,
    ending: String,
}

impl Staging {
    pub(super) fn new(folder: Dir, node: &Name, run: &RunId, lease: u64, ending: &str) -> Self {
        Self { folder, prefix: format!("{node}-{run}-"), lease, ending: ending.to_owned() }
    }

    /// A writer for `slot`.
    pub(super) fn writer(self: &Arc<Self>, slot: u32) -> Box<dyn Writer> {
        Box::new(StagedWriter { staging: self.clone(), slot, current: None, failed: false })
    }

    /// The name of the file of `prepared`; none if it does not wait any more. Opens nothing: whoever else may write to the
    /// folder could have put a pipe there.
    ///
    /// # Errors
    /// `LG0822` if it is not a file as long as it was.
    pub(super) fn waiting(&self, prepared: &Prepared) -> Result<Option<String>> {
        let temporary = self.temporary(prepared.lease, prepared.slot, prepared.epoch);
        match self.folder.symlink_metadata(&temporary) {
            Ok(metadata) if metadata.is_file() && metadata.len() == prepared.bytes => Ok(Some(temporary)),
            Ok(_) => {
                let cause = format!("{temporary} is not a file of {} bytes, as was prepared", prepared.bytes);
                Err(Error::new(code::OUTPUT_LOST, cause))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&temporary, &error)),
        }
    }

    /// Gives `prepared` its final name, unless it has it already. Overwrites nothing. The folder is not synced yet.
    ///
    /// # Errors
    /// `LG0820` to `LG0822`.
    pub(super) fn publish(&self, prepared: &Prepared) -> Result<()> {
        let last = self.name(prepared.slot, prepared.epoch);
        let Some(temporary) = self.waiting(prepared)? else { return self.published(&last) };
        match rustix::fs::renameat_with(&self.folder, &temporary, &self.folder, &last, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // A file system that cannot do so; a link refuses to overwrite as well.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.publish_by_link(&temporary, &last),
            Err(Errno::EXIST) => self.settle_existing(&temporary, &last),
            // Somebody else has published it since.
            Err(Errno::NOENT) => self.published(&last),
            Err(errno) => Err(failed(&last, &errno.into())),
        }
    }

    /// Whether output that does not wait any more has its final name.
    fn published(&self, last: &str) -> Result<()> {
        if self.identity(last)?.is_some() {
            return Ok(());
        }
        Err(Error::new(code::OUTPUT_LOST, format!("neither {last} nor its temporary file is there")))
    }

    fn publish_by_link(&self, temporary: &str, last: &str) -> Result<()> {
        match self.folder.hard_link(temporary, &self.folder, last) {
            Ok(()) => self.remove(temporary),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.settle_existing(temporary, last),
            Err(error) if error.kind() == ErrorKind::NotFound => self.published(last),
            Err(error) => Err(failed(last, &error)),
        }
    }

    /// The final name is there, and the other one was a moment ago: either a crash came between link and unlink, or
    /// somebody else publishes it right now, or the final one is not ours.
    fn settle_existing(&self, temporary: &str, last: &str) -> Result<()> {
        match self.identity(temporary)? {
            None => self.published(last),
            waiting if waiting == self.identity(last)? => self.remove(temporary),
            Some(_) => Err(Error::new(
                code::OUTPUT_EXISTS,
                format!("{last} is there already and is not the output of this job"),
            )),
        }
    }

    /// What tells a file from another; none if it is not there.
    fn identity(&self, name: &str) -> Result<Option<(u64, u64)>> {
        match self.folder.symlink_metadata(name) {
            Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(name, &error)),
        }
    }

    /// Opens a waiting file of a folder that is ours alone.
    pub(super) fn open(&self, temporary: &str) -> Result<File> {
        self.folder.open(temporary).map_err(|error| failed(temporary, &error))
    }

    /// Removes a waiting file, if it is there.
    pub(super) fn remove(&self, temporary: &str) -> Result<()> {
        match self.folder.remove_file(temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(temporary, &error)),
            _ => Ok(()),
        }
    }

    /// Removes output that waits and is refused.
    pub(super) fn discard(&self, prepared: &Prepared) -> Result<()> {
        self.remove(&self.temporary(prepared.lease, prepared.slot, prepared.epoch))
    }

    /// Removes what this node in this run left waiting.
    pub(super) fn sweep(&self, leftovers: &Leftovers) -> Result<()> {
        let list = |error: io::Error| failed("the sink's folder", &error);
        for entry in self.folder.entries().map_err(list)? {
            let name = entry.map_err(list)?.file_name();
            if let Some(name) = name.to_str()
                && self.written(name).is_some_and(|(lease, slot)| leftovers.has(lease, slot))
            {
                self.remove(name)?;
            }
        }
        self.sync()
    }

    /// Under which lease and by which slot the waiting file `name` was written; none if it is not of this node and run.
    fn written(&self, name: &str) -> Option<(u64, u32)> {
        let rest = name.strip_prefix('.')?.strip_prefix(&self.prefix)?.strip_suffix(".tmp")?;
        let mut parts = rest.splitn(3, '-');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// Syncs the folder.
    pub(super) fn sync(&self) -> Result<()> {
        durable::sync_dir(&self.folder).map_err(|error| failed("the sink's folder", &error))
    }

    fn name(&self, slot: u32, epoch: u64) -> String {
        format!("{}{slot:05}-{epoch:08}.{}", self.prefix, self.ending)
    }

    fn temporary(&self, lease: u64, slot: u32, epoch: u64) -> String {
        format!(".{}{lease}-{slot:05}-{epoch:08}.{}.tmp", self.prefix, self.ending)
    }
}

/// Writes one waiting file after the other.
struct StagedWriter {
    staging: Arc<Staging>,
    slot: u32,
    current: Option<Current>,
    /// After a failed write or sync nobody knows what the file holds, and a second sync may succeed without it.
    failed: bool,
}

struct Current {
    epoch: u64,
    file: File,
    bytes: u64,
}

impl Writer for StagedWriter {
    fn write(&mut self, epoch: u64, bytes: &[u8]) -> Result<()> {
        self.attempt(epoch, |writer| if bytes.is_empty() { Ok(()) } else { writer.append(epoch, bytes) })
    }

    fn prepare(&mut self, epoch: u64) -> Result<Option<Prepared>> {
        self.attempt(epoch, |writer| {
            let Some(current) = &writer.current else {
                return Ok(None);
            };
            let synced = current.file.sync_all();
            synced.map_err(|error| failed(&writer.temporary(epoch), &error))?;
            writer.staging.sync()?;
            let (slot, lease) = (writer.slot, writer.staging.lease);
            Ok(writer.current.take().map(|Current { bytes, .. }| Prepared { epoch, slot, bytes, lease }))
        })
    }
}

impl StagedWriter {
    /// Does `work` for `epoch` unless something has failed before or another epoch is not prepared yet.
    fn attempt<T>(&mut self, epoch: u64, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.failed {
            return Err(Error::new(code::INTERNAL, "a writer was used after it had failed"));
        }
        if let Some(current) = self.current.as_ref().filter(|current| current.epoch != epoch) {
            let cause = format!("output of epoch {epoch} came before epoch {} was prepared", current.epoch);
            return Err(Error::new(code::INTERNAL, cause));
        }
        work(self).inspect_err(|_| self.failed = true)
    }

    fn temporary(&self, epoch: u64) -> String {
        self.staging.temporary(self.staging.lease, self.slot, epoch)
    }

    fn append(&mut self, epoch: u64, bytes: &[u8]) -> Result<()> {
        let temporary = self.temporary(epoch);
        let current = match &mut self.current {
            Some(current) => current,
            empty => {
                let options = OpenOptions::new().write(true).create_new(true).clone();
                let file = self.staging.folder.open_with(&temporary, &options);
                let file = file.map_err(|error| failed(&temporary, &error))?;
                empty.insert(Current { epoch, file, bytes: 0 })
            }
        };
        current.file.write_all(bytes).map_err(|error| failed(&temporary, &error))?;
        current.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for StagedWriter {
    /// What was not prepared is of no use; what a crash leaves instead, the next start sweeps.
    fn drop(&mut self) {
        if let Some(current) = &self.current {
            let temporary = self.temporary(current.epoch);
            if let Err(error) = self.staging.remove(&temporary) {
                tracing::warn!(%error, "a temporary file is left behind");
            }
        }
    }
}

fn failed(name: &str, error: &io::Error) -> Error {
    Error::new(code::OUTPUT_FAILED, format!("{name}: {error}"))
}
