//! The contract with the real database, and what only a disk can do: be full, be someone else's, hold the wrong key.

mod full;

use super::*;
use crate::audit::export;
use crate::store::suite::{self, event};
use proptest::prelude::*;
use std::path::Path;
use tempfile::TempDir;

fn small(folder: &Path) -> Options {
    Options { reserve: 0, cache: 8 << 20, ..Options::new(folder) }
}

fn with_keys(folder: &Path, keys: &[u8]) -> Options {
    Options { keys: keys.iter().map(|key| StoreKey::new([*key; 32])).collect(), ..small(folder) }
}

async fn put(store: &Sled, name: &str, value: impl Into<Vec<u8>>) -> Result<u64> {
    store.commit(Batch::default().put(Key::new([name]), value)).await
}

async fn value(store: &Sled, name: &str) -> Option<Vec<u8>> {
    store.get(&Key::new([name])).await.unwrap().map(|entry| entry.value)
}

/// All bytes of all files below `folder`.
fn bytes(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { bytes(&path) } else { std::fs::read(path).unwrap() }).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    for keys in [&[][..], &[7]] {
        let count = std::cell::Cell::new(0);
        suite::contract(async || {
            count.set(count.get() + 1);
            Sled::open(with_keys(&root.path().join(format!("{keys:?}-{}", count.get())), keys)).unwrap()
        })
        .await;
    }
    for folder in std::fs::read_dir(root.path()).unwrap() {
        let blobs = folder.unwrap().path().join("sled/blobs");
        assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0, "sled wrote a file that it never syncs");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn sled_does_as_a_map_does(steps in suite::steps()) {
        let folder = tempfile::tempdir().unwrap();
        let open = || Sled::open(with_keys(folder.path(), &[3])).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(suite::model(open(), steps, async |store| {
            store.close().await;
            drop(store);
            open()
        }));
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sled::open(small(folder.path())).unwrap();
    let batch = Batch::default().put(Key::new(["a"]), "1").event(event("job.create"));
    let revision = store.commit(batch).await.unwrap();
    store.close().await;
    drop(store);
    let store = Sled::open(small(folder.path())).unwrap();
    assert_eq!(*store.revision().borrow(), revision);
    assert_eq!(store.get(&Key::new(["a"])).await.unwrap().unwrap().revision, revision);
    let next = store.commit(Batch::default().put(Key::new(["b"]), "2").event(event("job.cancel"))).await.unwrap();
    assert!(next > revision, "revisions begin anew");
    assert_eq!(export::verify(&store, vec![], &[]).await.unwrap().records, 2, "the chain goes on");
}

/// Entries that are held from one read to the next are what the database has, whatever happens around them.
#[tokio::test]
async fn what_is_held_from_a_former_read_is_never_older_than_what_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sled::open(with_keys(folder.path(), &[3])).unwrap());
    assert_eq!(value(&store, "a").await, None);
    for at in 0..20_u8 {
        put(&store, "a", [at]).await.unwrap();
        assert_eq!((value(&store, "a").await, value(&store, "a").await), (Some(vec![at]), Some(vec![at])));
    }
    store.commit(Batch::default().remove(Key::new(["a"]))).await.unwrap();
    assert_eq!(value(&store, "a").await, None, "what was removed is still held");
    // What is not durable yet does not come to be held, and what did not come about is not taken for what is.
    put(&store, "a", "before").await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"before");
    let entry = store.view.get(&Key::new(["a"])).unwrap();
    store.view.hide([(Key::new(["a"]), entry)].into());
    assert_eq!(value(&store, "a").await.unwrap(), b"before");
    store.view.forget();
    assert_eq!(value(&store, "a").await.unwrap(), b"before");
    // Readers all the while: none sees what is older than an answer that came before he asked.
    let known = Arc::new(std::sync::atomic::AtomicU64::new(0));
    put(&store, "n", 0_u64.to_be_bytes()).await.unwrap();
    let readers = (0..4).map(|_| {
        let (store, known) = (Arc::clone(&store), Arc::clone(&known));
        std::thread::spawn(move || {
            loop {
                let answered = known.load(std::sync::atomic::Ordering::SeqCst);
                let found = store.view.get(&Key::new(["n"])).unwrap().unwrap().value;
                let found = u64::from_be_bytes(found.try_into().unwrap());
                assert!(found >= answered, "{found} was read after {answered} was answered");
                if answered >= 100 {
                    return;
                }
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for n in 1..=100_u64 {
        put(&store, "n", n.to_be_bytes()).await.unwrap();
        known.store(n, std::sync::atomic::Ordering::SeqCst);
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[tokio::test]
async fn commits_that_wait_together_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sled::open(small(folder.path())).unwrap());
    let syncs = || store.view.disk().unwrap().syncs.load(std::sync::atomic::Ordering::SeqCst);
    let before = syncs();
    let commits: Vec<_> = (0..200)
        .map(|at| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { put(&store, &at.to_string(), "x").await.unwrap() })
        })
        .collect();
    let mut revisions = Vec::new();
    for commit in commits {
        revisions.push(commit.await.unwrap());
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 200, "two commits have one revision");
    assert!(syncs() - before < 50, "{} syncs", syncs() - before);
}

/// One of a group that is refused takes nobody with it, and sees those before it.
#[tokio::test]
async fn a_refused_commit_does_not_touch_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sled::open(small(folder.path())).unwrap());
    let commits: Vec<_> = (0..100)
        .map(|_| {
            let (store, key) = (Arc::clone(&store), Key::new(["one"]));
            let batch = Batch::default().expect(key.clone(), crate::store::Expect::Absent).put(key, "x");
            tokio::spawn(async move { store.commit(batch.event(event("make"))).await })
        })
        .collect();
    let mut made = 0;
    for commit in commits {
        match commit.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code(), code::CONFLICT),
        }
    }
    assert_eq!((made, export::verify(&store, vec![], &[]).await.unwrap().records), (1, 1));
}

/// sled itself would take the unfinished snapshot for damage.
#[tokio::test]
async fn a_snapshot_that_was_being_written_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sled::open(small(folder.path())).unwrap();
    put(&store, "a", "1").await.unwrap();
    store.close().await;
    drop(store);
    std::fs::write(folder.path().join("sled/snap.7FFFFFFFFFFFFFFF.generating"), "half").unwrap();
    let store = Sled::open(small(folder.path())).unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"1");
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _store = Sled::open(small(folder.path())).unwrap();
    assert_eq!(Sled::open(small(folder.path())).unwrap_err().code(), code::STORE_IN_USE);
}

#[tokio::test]
async fn values_are_encrypted_with_the_first_key_and_no_other_opens_them() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let reopened = async |keys: &[u8]| Sled::open(with_keys(folder.path(), keys));
    let store = reopened(&[1]).await.unwrap();
    put(&store, "a", "a rather secret value").await.unwrap();
    store.commit(Batch::default().event(event("an.unusual.action"))).await.unwrap();
    store.close().await;
    drop(store);
    let disk = bytes(folder.path());
    assert!(!contains(&disk, b"a rather secret value") && !contains(&disk, b"an.unusual.action"));
    for (keys, wanted) in
        [(&[][..], code::STORE_KEY_MISSING), (&[2], code::STORE_KEY_WRONG), (&[2, 3], code::STORE_KEY_WRONG)]
    {
        let error = reopened(keys).await.unwrap_err();
        assert!(error.code() == wanted && error.cause().contains(&StoreKey::new([1; 32]).id().to_string()), "{error}");
    }
    // Rotation: the new key first, then it alone.
    let store = reopened(&[2, 1]).await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"a rather secret value");
    store.close().await;
    drop(store);
    assert_eq!(reopened(&[1]).await.unwrap_err().code(), code::STORE_KEY_WRONG, "values stay under the old key");
    let store = reopened(&[2]).await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"a rather secret value");
    assert_eq!(export::verify(&store, vec![], &[]).await.unwrap().records, 1);
}

#[tokio::test]
async fn a_plain_store_is_encrypted_when_a_key_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sled::open(small(folder.path())).unwrap();
    for at in 0..40 {
        put(&store, &format!("{at}"), vec![at; 5_000]).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = Sled::open(with_keys(folder.path(), &[1])).unwrap();
    for at in 0..40 {
        assert_eq!(value(&store, &format!("{at}")).await.unwrap(), vec![at; 5_000]);
    }
    let view = Arc::clone(&store.view);
    let rows: Vec<_> = view.disk().unwrap().rows(Bound::Unbounded).map(Result::unwrap).collect();
    assert!(rows.iter().all(|(_, row)| Seal::id_of(&row.sealed) == Some(StoreKey::new([1; 32]).id())));
    drop(view);
    store.close().await;
    drop(store);
    assert_eq!(Sled::open(small(folder.path())).unwrap_err().code(), code::STORE_KEY_MISSING);
}

#[tokio::test]
async fn below_the_reserve_changes_are_refused_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sled::open(small(folder.path())).unwrap();
    put(&store, "a", "1").await.unwrap();
    store.close().await;
    drop(store);
    // A reserve that no disk has.
    let store = Sled::open(Options { reserve: 1 << 60, ..small(folder.path()) }).unwrap();
    let error = put(&store, "a", "2").await.unwrap_err();
    assert_eq!(error.code(), code::STORE_FULL);
    assert_eq!(value(&store, "a").await.unwrap(), b"1");
    let conflict = Batch::default().expect(Key::new(["a"]), crate::store::Expect::Absent);
    assert_eq!(store.commit(conflict).await.unwrap_err().code(), code::CONFLICT, "what needs no room is answered");
}
