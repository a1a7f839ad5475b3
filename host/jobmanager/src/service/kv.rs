//! The store as services use it: records instead of bytes, a change that collects what it is conditional on, and a bounded
//! number of new attempts when another change came in between.

use crate::audit::{Event, Head, export, prune};
use crate::backup::{self, Contents, Recipient};
use crate::bundles::Bundles;
use crate::model::keys;
use crate::model::record::{decode, encode};
use crate::model::{Kept, Record};
use crate::store::{Batch, Entry, Expect, Key, Store, head_key, read_head};
use futures_util::future::BoxFuture;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use std::io::Write;
use std::sync::Arc;
use tokio::sync::watch;

/// How often a change is tried again when another one came in between.
const ATTEMPTS: u32 = 16;

/// What a backup is written to.
pub type Sink = Box<dyn Write + Send>;

/// A [`Store`] behind a pointer, so that what is above it need not be generic.
trait Keeper: Send + Sync {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>>;
    fn scan<'a>(&'a self, prefix: &'a Key, after: Option<&'a Key>, n: usize) -> BoxFuture<'a, Result<Vec<Entry>>>;
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<u64>>;
    fn revision(&self) -> watch::Receiver<u64>;
    fn audit(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<(Vec<String>, u64)>>;
    fn audit_end(&self, named: Option<u64>) -> BoxFuture<'_, Result<(Head, Option<Digest>)>>;
    fn cut_audit(&self, at: u64, event: Event) -> BoxFuture<'_, Result<Head>>;
    fn sweep_audit(&self) -> BoxFuture<'_, Result<u64>>;
    fn backup<'a>(&'a self, bundles: &'a Bundles, to: &'a Recipient, sink: Sink) -> BoxFuture<'a, Result<Contents>>;
}

impl<S: Store> Keeper for S {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(Store::get(self, key))
    }

    fn scan<'a>(&'a self, prefix: &'a Key, after: Option<&'a Key>, n: usize) -> BoxFuture<'a, Result<Vec<Entry>>> {
        Box::pin(Store::scan(self, prefix, after, n))
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<u64>> {
        Box::pin(Store::commit(self, batch))
    }

    fn revision(&self) -> watch::Receiver<u64> {
        Store::revision(self)
    }

    fn audit(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<(Vec<String>, u64)>> {
        Box::pin(export::lines(self, after, limit))
    }

    fn audit_end(&self, named: Option<u64>) -> BoxFuture<'_, Result<(Head, Option<Digest>)>> {
        Box::pin(async move {
            let head = Store::get(self, &head_key()).await?;
            let head = head.map_or(Ok(Head::START), |entry| read_head(&entry.value))?;
            let named = match named.filter(|sequence| *sequence <= head.sequence) {
                Some(sequence) => export::record(self, sequence).await?.map(|record| record.hash),
                None => None,
            };
            Ok((head, named))
        })
    }

    fn cut_audit(&self, at: u64, event: Event) -> BoxFuture<'_, Result<Head>> {
        Box::pin(prune::cut(self, at, event))
    }

    fn sweep_audit(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(prune::sweep(self))
    }

    fn backup<'a>(&'a self, bundles: &'a Bundles, to: &'a Recipient, sink: Sink) -> BoxFuture<'a, Result<Contents>> {
        Box::pin(async move { Ok(backup::write(self, bundles, Some(to), sink).await?.0) })
    }
}

/// Records by key.
#[derive(Clone)]
pub struct Records {
    store: Arc<dyn Keeper>,
    /// Counts the commits on which it may depend what is to be done about a job.
    work: Arc<watch::Sender<u64>>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Records")
    }
}

impl Records {
    /// The records of `store`.
    pub fn new(store: impl Store) -> Self {
        Self { store: Arc::new(store), work: Arc::new(watch::Sender::new(0)) }
    }

    /// The record under `key`.
    ///
    /// # Errors
    /// `LG1020` if it cannot be read, `LG12nn` if the store cannot.
    pub async fn get<T: Record>(&self, key: &Key) -> Result<Option<Kept<T>>> {
        self.store.get(key).await?.map(read).transpose()
    }

    /// At most `limit` records below `prefix`, behind `after`, with their keys.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn scan<T: Record>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Kept<T>)>> {
        let entries = self.scan_each(prefix, after, limit).await?;
        entries.into_iter().map(|(key, record)| Ok((key, record?))).collect()
    }

    /// As [`Self::scan`], each record with its own error: for those to whom one that cannot be read is no reason to leave
    /// the others alone.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read; `LG1020` in the place of a record that cannot.
    pub async fn scan_each<T: Record>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Result<Kept<T>>)>> {
        let entries = self.store.scan(prefix, after, limit).await?;
        Ok(entries.into_iter().map(|entry| (entry.key.clone(), read(entry))).collect())
    }

    /// The first keys below `prefix`, at most `limit`, whatever they hold.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read.
    pub async fn keys(&self, prefix: &Key, limit: usize) -> Result<Vec<Key>> {
        Ok(self.store.scan(prefix, None, limit).await?.into_iter().map(|entry| entry.key).collect())
    }

    /// Whether there is anything below `prefix`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn any(&self, prefix: &Key) -> Result<bool> {
        Ok(!self.store.scan(prefix, None, 1).await?.is_empty())
    }

    /// Commits a change; the revision of what it wrote.
    ///
    /// # Errors
    /// `LG1201` if something it is conditional on was changed, other `LG12nn` if it could not be written.
    pub async fn commit(&self, change: Change) -> Result<u64> {
        let works = change.0.writes.iter().any(|(key, _)| !keys::is_quiet(key));
        let revision = self.store.commit(change.0).await?;
        if works {
            self.work.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(revision)
    }

    /// Changes with every commit through these records on which it may depend what is to be done about a job: not with
    /// what runs write of themselves, which is most of what is written.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// The end of the audit log, and the hash of the record with this number, if it is there.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read.
    pub async fn audit_end(&self, named: Option<u64>) -> Result<(Head, Option<Digest>)> {
        self.store.audit_end(named).await
    }

    /// Changes with every commit.
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.store.revision()
    }

    /// Lines of the audit log behind the record numbered `after`, and the number of the last record among them.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read.
    pub async fn audit(&self, after: u64, limit: usize) -> Result<(Vec<String>, u64)> {
        self.store.audit(after, limit).await
    }

    /// Cuts the audit log off behind a record and records `event` with it.
    ///
    /// # Errors
    /// As [`prune::cut`].
    pub async fn cut_audit(&self, at: u64, event: Event) -> Result<Head> {
        self.store.cut_audit(at, event).await
    }

    /// Removes what the audit log was cut off; how many records.
    ///
    /// # Errors
    /// As [`prune::sweep`].
    pub async fn sweep_audit(&self) -> Result<u64> {
        self.store.sweep_audit().await
    }

    /// Writes a backup of everything and of `bundles` to `sink`, encrypted.
    ///
    /// # Errors
    /// As [`backup::write`].
    pub async fn backup(&self, bundles: &Bundles, recipient: &Recipient, sink: Sink) -> Result<Contents> {
        self.store.backup(bundles, recipient, sink).await
    }

    /// Does `work`, which reads and commits, again as long as another change comes in between.
    ///
    /// # Errors
    /// Those of `work`; `LG1019` if it met another change every time.
    pub async fn attempt<T, F>(&self, work: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        for _ in 0..ATTEMPTS {
            match work().await {
                Err(error) if error.code() == code::CONFLICT => tokio::task::yield_now().await,
                other => return other,
            }
        }
        Err(Error::new(code::CONTENDED, format!("{ATTEMPTS} attempts met other changes of the same thing")))
    }
}

fn read<T: Record>(entry: Entry) -> Result<Kept<T>> {
    Ok(Kept { revision: entry.revision, record: decode(&entry.value)? })
}

/// A change: everything in it happens at once, or nothing does.
#[derive(Debug, Default)]
pub struct Change(Batch);

impl Change {
    /// Writes a record that must not be there yet.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn create<T: Record>(&mut self, key: Key, record: &T) -> Result<()> {
        self.0.expect.push((key.clone(), Expect::Absent));
        self.0.writes.push((key, Some(encode(record)?)));
        Ok(())
    }

    /// Writes a record in the place of the one that was read at `revision`.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn replace<T: Record>(&mut self, key: Key, revision: u64, record: &T) -> Result<()> {
        self.0.expect.push((key.clone(), Expect::Revision(revision)));
        self.0.writes.push((key, Some(encode(record)?)));
        Ok(())
    }

    /// Writes a record in the place of what was read, be it nothing.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn put<T: Record>(&mut self, key: Key, read: Option<&Kept<T>>, record: &T) -> Result<()> {
        match read {
            Some(kept) => self.replace(key, kept.revision, record),
            None => self.create(key, record),
        }
    }

    /// Writes a record whatever is there: for what only ever one writer writes.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn set<T: Record>(&mut self, key: Key, record: &T) -> Result<()> {
        self.0.writes.push((key, Some(encode(record)?)));
        Ok(())
    }

    /// Removes the record that was read at `revision`.
    pub fn remove(&mut self, key: Key, revision: u64) {
        self.0.expect.push((key.clone(), Expect::Revision(revision)));
        self.0.writes.push((key, None));
    }

    /// Removes what is there, if anything is.
    pub fn clear(&mut self, key: Key) {
        self.0.writes.push((key, None));
    }

    /// Demands that a record that was read is unchanged.
    pub fn require(&mut self, key: Key, revision: u64) {
        self.0.expect.push((key, Expect::Revision(revision)));
    }

    /// Records an event with it.
    pub fn event(&mut self, event: Event) {
        self.0.events.push(event);
    }
}
