//! The adapter for one machine: sled 0.34 in a folder, with one thread that writes.
//!
//! Commits wait in a bounded queue. The writer takes all that wait (up to a bound), checks each against the ones before it,
//! writes what holds as one batch of sled, syncs once and then answers all of them. Readers never wait for the disk's
//! sync and never see what is not durable: while a batch is on its way, what it replaces lies over the database
//! ([`overlay`](super::overlay)), and is taken away once the batch is safe.
//!
//! Before it writes, the writer looks at the free space: below the reserve it refuses (`LG1202`). When a write fails all
//! the same, the database is opened anew, which tells whether the batch is in it.

mod disk;
mod held;
mod import;
mod schema;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub use import::Import;

use super::rules::Tip;
use super::seal::{KeyId, Seal, StoreKey};
use super::{Batch, Entry, Key, Snapshot, Store, rules};
use disk::{Disk, Row, Rows, io_failed};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
use view::View;

/// Where and how a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder; made with mode 0700 if it is missing.
    pub folder: PathBuf,
    /// Keys that encrypt values: the first one new values, the others are for reading. Plain if there are none.
    pub keys: Vec<StoreKey>,
    /// The free space, in bytes, below which changes are refused.
    pub reserve: u64,
    /// The most memory that pages take, in bytes.
    pub cache: u64,
}

impl Options {
    /// A store in `folder`, plain, with a reserve of 64 MiB and a cache of 128 MiB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), keys: Vec::new(), reserve: 64 << 20, cache: 128 << 20 }
    }
}

/// A store in a folder of this machine.
#[derive(Debug)]
pub struct Sled {
    view: Arc<View>,
    queue: Mutex<Option<mpsc::Sender<Task>>>,
    ended: watch::Receiver<bool>,
    revision: watch::Sender<u64>,
}

/// What the writer is asked for.
#[derive(Debug)]
enum Task {
    Commit(Waiting),
    /// To see whether the database still works and to open it anew if not.
    Mend(oneshot::Sender<()>),
}

/// A batch in the queue, and who waits for it.
#[derive(Debug)]
struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Result<u64>>,
}

/// The most batches that wait in the queue; further ones wait before it.
const QUEUE: usize = 1_024;

impl Sled {
    /// Opens the store, made anew if the folder is empty. Blocks while it reads the database's log, while an older store is
    /// migrated and while values are encrypted with a new key.
    ///
    /// # Errors
    /// `LG1210` if another process has it, `LG1211` if it is newer, `LG1212` if it is damaged, `LG1213` or `LG1214` if it
    /// is encrypted and the key is not here, `LG1202` or `LG1203` if the system refuses.
    pub fn open(options: Options) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&options.folder)
            .map_err(|error| io_failed(&error).at(options.folder.display().to_string()))?;
        let lock = disk::lock(&options.folder)?;
        let disk = writer::open_disk(&options).map_err(|error| error.at(options.folder.display().to_string()))?;
        schema::migrate(&disk, schema::STEPS)?;
        let seal = Seal::new(options.keys.clone());
        seal_all(&disk, seal.clone())?;
        let tip = tip(&disk, &seal)?;
        let view = Arc::new(View::new(disk, seal));
        let revision = watch::Sender::new(tip.revision);
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (end, ended) = watch::channel(false);
        let writer = writer::Writer::new(Arc::clone(&view), options, lock, tip, revision.clone());
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                writer.run(waiting);
                end.send_replace(true);
            })
            .map_err(|error| io_failed(&error))?;
        Ok(Self { view, queue: Mutex::new(Some(queue)), ended, revision })
    }

    /// After a read that failed: returns if it may be tried again, because the database was opened anew meanwhile. sled
    /// fails in reading, too, after it found no room in writing.
    async fn mend(&self, failed: Error) -> Result<()> {
        let queue = self.queue().filter(|_| [code::STORE_FULL, code::STORE_FAILED].contains(&failed.code()));
        let Some(queue) = queue else { return Err(failed) };
        let (done, mended) = oneshot::channel();
        if queue.send(Task::Mend(done)).await.is_err() {
            return Err(failed);
        }
        mended.await.map_err(|_| failed)
    }

    async fn scan_once(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Entry>> {
        let (view, prefix, after) = (Arc::clone(&self.view), prefix.clone(), after.cloned());
        let scan = move || {
            let begin = match &after {
                Some(after) if *after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(&prefix),
            };
            view.scan(begin, |key| key.starts_with(&prefix), limit)
        };
        let broken_off = || Error::new(code::STORE_FAILED, "a read of the store was broken off");
        tokio::task::spawn_blocking(scan).await.unwrap_or_else(|_| Err(broken_off()))
    }

    fn queue(&self) -> Option<mpsc::Sender<Task>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn closed() -> Error {
    Error::new(code::STORE_CLOSED, "the store takes no more changes")
}

impl Store for Sled {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        // Nearly always from memory, and far shorter than a hand-over to another thread.
        match self.view.get(key) {
            Err(error) => {
                self.mend(error).await?;
                self.view.get(key)
            }
            found => found,
        }
    }

    async fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Entry>> {
        match self.scan_once(prefix, after, limit).await {
            Err(error) => {
                self.mend(error).await?;
                self.scan_once(prefix, after, limit).await
            }
            found => found,
        }
    }

    async fn commit(&self, batch: Batch) -> Result<u64> {
        rules::check(&batch)?;
        let queue = self.queue().ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        queue.send(Task::Commit(Waiting { batch, answer })).await.map_err(|_| closed())?;
        drop(queue);
        let lost = || Error::new(code::STORE_UNCERTAIN, "the store's writer ended before it answered");
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        let (sender, pages) = mpsc::channel(2);
        let moment = self.view.moment();
        let view = Arc::clone(&self.view);
        tokio::task::spawn_blocking(move || view.send(&moment, &sender));
        Ok(Snapshot { pages })
    }

    async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = self.ended.clone();
        // An error means that the writer is gone already.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

const TIP: &str = "tip";
const SEALED_WITH: &str = "keys";

/// Where the store stands.
fn tip(disk: &Disk, seal: &Seal) -> Result<Tip> {
    let Some(revision) = disk.meta(TIP)? else { return Ok(Tip::default()) };
    let damaged = |_| Error::new(code::STORE_DAMAGED, "the store's revision is malformed");
    let revision = revision.try_into().map(u64::from_be_bytes).map_err(damaged)?;
    let head = match disk.row(&super::head_key())? {
        Some(row) => super::read_head(&seal.open(&super::head_key(), row.revision, &row.sealed)?)?,
        None => crate::audit::Head::START,
    };
    Ok(Tip { revision, head })
}

/// Sees to it that all values are under the current key, encrypting anew those that are not. Can be killed at any point
/// and begins again then: which keys are in use is noted before the first value and after the last.
fn seal_all(disk: &Disk, seal: Seal) -> Result<()> {
    const AT_ONCE: u64 = 1 << 20;
    let current = seal.current();
    let note = |rows: &mut Rows, ids: &BTreeSet<KeyId>| {
        rows.set_meta(SEALED_WITH, ids.iter().flat_map(|id| *id.as_bytes()).collect::<Vec<u8>>());
    };
    let write = |rows: Rows| disk.write(rows).map_err(|error| io_failed(&error));
    let noted = disk.meta(SEALED_WITH)?;
    let is_new = noted.is_none();
    let used: BTreeSet<KeyId> =
        noted.unwrap_or_default().as_chunks::<8>().0.iter().map(|id| KeyId::from_bytes(*id)).collect();
    let only = BTreeSet::from([current]);
    if used == only {
        return Ok(());
    }
    if !is_new {
        // Encrypted values do not become plain again by a key that was forgotten in the configuration.
        if let Some(missing) = used.iter().find(|id| !seal.has(**id) || (**id != current && current == KeyId::PLAIN)) {
            return Err(seal.lacks(*missing));
        }
        let seal = seal.reading_plain(used.contains(&KeyId::PLAIN));
        let mut rows = Rows::default();
        note(&mut rows, &used.union(&only).copied().collect());
        write(rows)?;
        tracing::info!(key = %current, "the store's values are encrypted anew");
        let mut rows = Rows::default();
        for found in disk.rows(Bound::Unbounded) {
            let (key, Row { revision, sealed }) = found?;
            if Seal::id_of(&sealed) != Some(current) {
                let value = seal.open(&key, revision, &sealed)?;
                let sealed = seal.seal(&key, revision, &value)?;
                disk.set(&mut rows, &key, Some(&Row { revision, sealed }))?;
            }
            if rows.size > AT_ONCE {
                write(std::mem::take(&mut rows))?;
            }
        }
        write(rows)?;
    }
    let mut rows = Rows::default();
    note(&mut rows, &only);
    write(rows)
}
