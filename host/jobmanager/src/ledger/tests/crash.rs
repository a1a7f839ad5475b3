//! A JobManager that ends at any commit leaves nothing behind that counts and should not, nor takes away what was answered:
//! over the real store, which is opened anew each time.

use super::*;
use crate::store::{Batch, Entry, Options, Sled, Snapshot};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;

/// A store that takes so many commits and none after that.
struct Mortal {
    store: Arc<Sled>,
    left: Arc<AtomicU32>,
}

impl Store for Mortal {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.store.get(key).await
    }

    async fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Entry>> {
        self.store.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: Batch) -> Result<u64> {
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        taken.map_err(|_| Error::new(code::STORE_CLOSED, "dead"))?;
        self.store.commit(batch).await
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.store.revision()
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        self.store.snapshot().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

/// More than one change takes.
const SPLITS: usize = 2_500;

fn listing(fingerprint: &str) -> Open {
    let split =
        |index: usize| Split { name: format!("{index:04}"), size: Some(1), fingerprint: fingerprint.to_owned() };
    Open { fence: fence(5), splits: BTreeMap::from([(name("in"), (0..SPLITS).map(split).collect())]) }
}

async fn open(bench: &Bench, fingerprint: &str) -> Result<Opened> {
    bench.ledger.open(&name("t1"), &late(), listing(fingerprint)).await
}

/// Opens a run, claims and commits until no commit is taken any more: whether it was opened, and how many commits were
/// answered.
async fn go(bench: &Bench) -> (bool, u64) {
    if open(bench, "f").await.is_err() {
        return (false, 0);
    }
    for sequence in 1.. {
        let Ok(Claimed { split: Some((_, split)), .. }) = bench.claim("t1", 5, 0, sequence).await else {
            return (true, sequence - 1);
        };
        if bench.commit("t1", &commit(5, 0, sequence, &[(&split.name, Position::Finished)])).await.is_err() {
            return (true, sequence - 1);
        }
    }
    unreachable!("it ends before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_is_kept_and_nothing_half_done_counts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &std::path::Path| Arc::new(Sled::open(Options { reserve: 0, ..Options::new(path) }).unwrap());
    for dies_after in 0..12 {
        let path = folder.path().join(dies_after.to_string());
        let (store, left) = (at(&path), Arc::new(AtomicU32::new(u32::MAX)));
        let bench = Bench::over(Mortal { store: Arc::clone(&store), left: Arc::clone(&left) });
        bench.put(&job(5, &[("t1", 1)])).await;
        left.store(dies_after, Ordering::SeqCst);
        let (opened, answered) = go(&bench).await;
        store.close().await;
        drop((bench, store));
        let store = at(&path);
        let bench = Bench::over(Arc::clone(&store));
        // As long as a run has no head nothing of it counts: not even which content its splits had.
        let has_head = bench.records.any(&keys::all_runs()).await.unwrap();
        assert!(has_head || !opened);
        if has_head {
            assert_eq!(code_of(open(&bench, "g").await), code::INPUT_CHANGED);
        }
        let found = open(&bench, if has_head { "f" } else { "g" }).await.unwrap();
        assert_eq!((found.commits, found.left), (answered, SPLITS as u64 - answered), "at {dies_after}");
        // What nobody goes on with goes.
        bench.ledger.collect(std::time::Duration::from_secs(3_600)).await.unwrap();
        let drafts = bench.records.any(&keys::all_drafts()).await.unwrap();
        let later: Clock = Arc::new(|| UnixMillis(8_000_000));
        let later = Ledger::new(bench.records.clone(), Arc::clone(&later), later);
        later.collect(std::time::Duration::from_secs(3_600)).await.unwrap();
        assert!(!bench.records.any(&keys::all_drafts()).await.unwrap());
        assert_eq!(drafts, (1..5).contains(&dies_after), "at {dies_after}");
        let kept = bench.records.keys(&Key::new(["ledger"]), 10_000).await.unwrap();
        assert!(kept.len() < SPLITS + 10, "{} are left at {dies_after}", kept.len());
        store.close().await;
    }
}
