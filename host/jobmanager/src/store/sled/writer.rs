//! The one thread that writes: many batches, one sync.

use super::disk::{Disk, Row, Rows, io_failed};
use super::view::View;
use super::{Options, TIP, Task, Waiting};
use crate::store::overlay::Overlay;
use crate::store::rules::{self, Tip};
use crate::store::{Batch, Key};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// The most batches that are written with one sync.
const GROUP: usize = 256;

/// No more batches are added once a group has so many bytes.
const GROUP_BYTES: u64 = 8 << 20;

/// What sled writes for each byte of a batch, at most: the rows, and pages that it writes anew for them.
const AMPLIFICATION: u64 = 6;

/// Takes tasks from the queue.
pub(super) struct Writer {
    view: Arc<View>,
    options: Options,
    tip: Tip,
    revision: watch::Sender<u64>,
    /// Whether the database has to be opened anew.
    broken: bool,
    /// Held as long as anything may be written.
    _lock: File,
}

/// Batches that are written together.
#[derive(Default)]
struct Group {
    /// What is there to write; none removes. Each with the revision that it gets.
    writes: BTreeMap<Key, Option<(u64, Vec<u8>)>>,
    bytes: u64,
    /// Who waits, and for what if all goes well.
    answers: Vec<(oneshot::Sender<Result<u64>>, Result<u64>)>,
}

impl Writer {
    pub fn new(view: Arc<View>, options: Options, lock: File, tip: Tip, revision: watch::Sender<u64>) -> Self {
        Self { view, options, tip, revision, broken: false, _lock: lock }
    }

    /// Works until the queue is closed and empty.
    pub fn run(mut self, mut queue: mpsc::Receiver<Task>) {
        let mut next = None;
        loop {
            match next.take().or_else(|| queue.blocking_recv()) {
                Some(Task::Commit(first)) => {
                    // sled asserts much. A panic in it costs those who wait their answer, not the store its writer.
                    let worked = catch_unwind(AssertUnwindSafe(|| self.work(first, &mut queue)));
                    next = worked.unwrap_or_else(|_| {
                        tracing::error!("the database broke down; it is opened anew");
                        self.broken = true;
                        None
                    });
                }
                Some(Task::Mend(done)) => {
                    self.broken |= !self.view.disk().is_ok_and(|disk| disk.is_well());
                    if let Err(error) = self.mend() {
                        tracing::error!(%error, "the store failed and could not be opened again");
                    }
                    // Whoever dropped his receiver does not want to know.
                    let _ = done.send(());
                }
                None => return,
            }
        }
    }

    /// Commits the first batch and those that wait behind it; what else was found in the queue.
    fn work(&mut self, first: Waiting, queue: &mut mpsc::Receiver<Task>) -> Option<Task> {
        let disk = match self.mend().and_then(|()| self.view.disk()) {
            Ok(disk) => disk,
            Err(error) => {
                let _ = first.answer.send(Err(error));
                return None;
            }
        };
        let (mut group, mut tip, mut other) = (Group::default(), self.tip, None);
        let mut next = Some(first);
        while let Some(Waiting { batch, answer }) = next.take() {
            let expected = group.add(&disk, &mut tip, batch);
            group.answers.push((answer, expected));
            if group.answers.len() < GROUP && group.bytes < GROUP_BYTES {
                match queue.try_recv() {
                    Ok(Task::Commit(waiting)) => next = Some(waiting),
                    Ok(task) => other = Some(task),
                    Err(_) => {}
                }
            }
        }
        drop(disk);
        let result = self.write_for_good(&group, tip);
        if result.is_ok() {
            self.tip = tip;
            self.view.show();
            self.announce();
        }
        for (answer, expected) in group.answers {
            // What was refused was refused with regard to others of this group: it holds only if they do.
            let _ = answer.send(result.clone().and(expected));
        }
        other
    }

    /// Writes a group; once more on a database opened anew if the first try was broken off without effect.
    fn write_for_good(&mut self, group: &Group, tip: Tip) -> Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.write(group, tip) {
                Ok(()) => return Ok(()),
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Broken(failure)) => failure,
            };
            tracing::error!(%failure, "a write to the store failed; it is opened anew");
            self.broken = true;
            if let Err(error) = self.mend() {
                let cause =
                    format!("a write failed ({failure}), then the store could not be opened: {}", error.cause());
                return Err(Error::new(code::STORE_UNCERTAIN, cause));
            }
            if self.tip == tip {
                return Ok(());
            }
            if tries > 1 {
                return Err(io_failed(&failure));
            }
        }
    }

    fn write(&mut self, group: &Group, tip: Tip) -> Result<(), Failure> {
        if tip == self.tip {
            return Ok(());
        }
        self.check_room(group.bytes)?;
        if self.view.disk()?.is_calm() {
            // There is room again.
            self.broken = true;
            self.mend()?;
        }
        let disk = self.view.disk()?;
        let mut rows = Rows::default();
        let mut before = Overlay::new();
        for (key, value) in &group.writes {
            let row = match value {
                Some((revision, value)) => {
                    let sealed = self.view.seal().seal(key, *revision, value)?;
                    Some(Row { revision: *revision, sealed })
                }
                None => None,
            };
            disk.set(&mut rows, key, row.as_ref())?;
            before.insert(key.clone(), self.view.entry(&disk, key)?);
        }
        rows.set_meta(TIP, tip.revision.to_be_bytes());
        self.view.hide(before);
        #[cfg(test)]
        assert!(!PANICS.swap(false, std::sync::atomic::Ordering::SeqCst), "as sled might");
        disk.write(rows).map_err(Failure::Broken)
    }

    /// Whether there is room for so many bytes beside the reserve.
    fn check_room(&self, bytes: u64) -> Result<(), Failure> {
        if tests_skip_this() {
            return Ok(());
        }
        let free = free(&self.options)?;
        let needed = self.options.reserve.saturating_add(bytes.saturating_mul(AMPLIFICATION));
        if free >= needed || self.options.reserve == 0 {
            return Ok(());
        }
        let cause = format!(
            "{} has {} MiB free, this change needs {} MiB with the reserve",
            self.options.folder.display(),
            free >> 20,
            needed.div_ceil(1 << 20)
        );
        Err(Failure::Refused(Error::new(code::STORE_FULL, cause)))
    }

    /// Opens the database anew if it has to be; the tip is what is found there then.
    fn mend(&mut self) -> Result<()> {
        if !self.broken {
            return Ok(());
        }
        if let Some(old) = self.view.take() {
            // Readers hold it only while they read under the view's lock, so this is the last handle.
            drop(old);
        }
        let disk = open_disk(&self.options)?;
        let tip = super::tip(&disk, self.view.seal())?;
        if tip == self.tip {
            self.view.forget();
        } else {
            self.view.show();
        }
        self.tip = tip;
        self.view.put(disk);
        self.broken = false;
        self.announce();
        Ok(())
    }

    fn announce(&self) {
        let now = self.tip.revision;
        self.revision.send_if_modified(|revision| std::mem::replace(revision, now) != now);
    }
}

impl Group {
    /// Adds a batch if it holds after those before it; what it is answered if all goes well.
    fn add(&mut self, disk: &Disk, tip: &mut Tip, batch: Batch) -> Result<u64> {
        let current = |key: &Key| match self.writes.get(key) {
            Some(written) => Ok(written.as_ref().map(|(revision, _)| *revision)),
            None => disk.revision(key),
        };
        let prepared = rules::prepare(batch, *tip, current)?;
        *tip = prepared.tip;
        for (key, value) in prepared.writes {
            let length = key.as_bytes().len().saturating_add(value.as_ref().map_or(0, Vec::len));
            self.bytes = self.bytes.saturating_add(length as u64);
            self.writes.insert(key, value.map(|value| (tip.revision, value)));
        }
        Ok(tip.revision)
    }
}

/// Why a group was not written.
enum Failure {
    /// Nothing was begun.
    Refused(Error),
    /// It was begun, and how far it came is not known.
    Broken(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// So many looks at the free space are left out: a test's stand-in for whoever takes it between the look and the write.
#[cfg(test)]
pub(super) static SKIPPED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// The next write panics: a test's stand-in for an assertion of sled's.
#[cfg(test)]
pub(super) static PANICS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn tests_skip_this() -> bool {
    #[cfg(test)]
    {
        use std::sync::atomic::Ordering::SeqCst;
        SKIPPED.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
    }
    #[cfg(not(test))]
    false
}

/// A file that takes up space, to be given away when the database needs some to be opened on a full disk.
const BALLAST: &str = "ballast";

/// Opens the database, calm if the disk is full. The ballast makes room for what sled writes when it opens, and is laid in
/// again as soon as there is room for it.
pub(super) fn open_disk(options: &Options) -> Result<Disk> {
    let ballast = options.folder.join(BALLAST);
    let is_full = free(options)? < options.reserve;
    let disk = match Disk::open(&options.folder, options.cache, is_full) {
        Err(error) if error.code() == code::STORE_FULL && std::fs::remove_file(&ballast).is_ok() => {
            Disk::open(&options.folder, options.cache, true)
        }
        result => result,
    }?;
    let size = options.reserve / 4;
    if size > 0 && !ballast.exists() && free(options)? > options.reserve.saturating_add(size) {
        let laid = File::create(&ballast)
            .and_then(|file| Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size)?));
        if let Err(error) = laid {
            tracing::warn!(%error, "no space could be set aside for the store");
            // Half a ballast would be taken for a whole one.
            let _ = std::fs::remove_file(&ballast);
        }
    }
    Ok(disk)
}

/// The bytes that are free where the store lies.
fn free(options: &Options) -> Result<u64> {
    let found = rustix::fs::statvfs(&options.folder).map_err(|error| io_failed(&error.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
