//! A backup is worth what comes back of it, and what it refuses.

use super::*;
use crate::audit::{Event, Record, export};
use crate::store::{Batch, Key, Memory, Options, Sled, StoreKey};
use lockgate_core::Timestamp;
use std::io::Cursor;
use std::sync::Arc;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

fn key(at: u32) -> Key {
    Key::new(["jobs", &format!("{at:04}")])
}

async fn upload(bundles: &Bundles, content: &[u8]) -> Digest {
    let mut upload = bundles.begin(1 << 20).await.unwrap();
    upload.write(content).await.unwrap();
    upload.complete(None).await.unwrap().keep().await.unwrap()
}

struct Origin {
    folder: tempfile::TempDir,
    store: Arc<Memory>,
    bundles: Bundles,
}

impl Origin {
    async fn new(count: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bundles = Bundles::open(folder.path().join("origin"), 0).unwrap();
        let store = Arc::new(Memory::new());
        for at in 0..count {
            let event = Event::system(now(), "job.create", format!("job/{at}"));
            let batch = Batch::default().put(key(at), vec![at as u8; 300 * at as usize]).event(event);
            store.commit(batch).await.unwrap();
        }
        upload(&bundles, b"").await;
        upload(&bundles, &vec![7; 100_000]).await;
        Self { folder, store, bundles }
    }

    async fn backup(&self, recipient: Option<&Recipient>) -> (Contents, Vec<u8>) {
        write(&self.store, &self.bundles, recipient, Vec::new()).await.unwrap()
    }

    fn target(&self) -> Layout {
        Layout::new(self.folder.path().join("target"))
    }

    async fn restore(&self, bytes: Vec<u8>, identity: Option<&Identity>, keys: &[StoreKey]) -> Result<Contents> {
        restore(Cursor::new(bytes), identity.cloned(), &self.target(), keys.to_vec(), now()).await
    }

    fn is_clean(&self) -> bool {
        let names = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<Vec<_>>() == ["origin"]
    }
}

async fn all<S: Store>(store: &S) -> Vec<Entry> {
    store.scan(&Key::new([]), None, 10_000).await.unwrap()
}

#[tokio::test]
async fn what_comes_back_is_what_was_there() {
    for encrypted in [false, true] {
        let origin = Origin::new(50).await;
        let identity = Identity::generate().unwrap();
        let recipient = encrypted.then(|| identity.recipient());
        let (contents, bytes) = origin.backup(recipient.as_ref()).await;
        assert_eq!((contents.entries, contents.bundles), (101, 2));
        assert_eq!(read(&bytes[..], Some(&identity), &mut ()).unwrap(), contents);
        let clear = bytes.windows(10).any(|window| window == b"job.create");
        assert_eq!(clear, !encrypted);
        let keys = if encrypted { vec![StoreKey::new([1; 32])] } else { vec![] };
        assert_eq!(origin.restore(bytes, Some(&identity), &keys).await.unwrap(), contents);
        let target = origin.target();
        let store = Sled::open(Options { keys, reserve: 0, ..Options::new(target.store()) }).unwrap();
        let jobs = async |entries: Vec<Entry>| {
            entries.into_iter().filter(|entry| entry.key.starts_with(&Key::new(["jobs"]))).collect::<Vec<_>>()
        };
        assert_eq!(jobs(all(&store).await).await, jobs(all(&origin.store).await).await, "values and revisions");
        let summary = export::verify(&store, vec![], &[]).await.unwrap();
        let last = export::record(&store, 51).await.unwrap().unwrap();
        assert_eq!((summary.records, last.event.action.as_str()), (51, "store.restore"));
        assert!(*store.revision().borrow() > contents.revision, "revisions go on");
        let bundles = Bundles::open(target.bundles(), 0).unwrap();
        assert_eq!(bundles.list().unwrap(), origin.bundles.list().unwrap());
        for digest in bundles.list().unwrap() {
            bundles.check(&digest).unwrap();
        }
    }
}

#[tokio::test]
async fn whatever_byte_is_flipped_nothing_is_put_in_place() {
    let origin = Origin::new(3).await;
    let identity = Identity::generate().unwrap();
    for recipient in [None, Some(identity.recipient())] {
        let (_, bytes) = origin.backup(recipient.as_ref()).await;
        // All of the head and the tail, and some of the long middle.
        let places = (0..bytes.len()).filter(|at| *at < 400 || *at + 150 > bytes.len() || at % 5_003 == 0);
        for at in places {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let error = read(&flipped[..], Some(&identity), &mut ()).unwrap_err();
            assert!([code::BACKUP_DAMAGED, code::BACKUP_LOCKED].contains(&error.code()), "{at}: {error}");
        }
        for end in [0, 10, MAGIC.len() + 1, 100, bytes.len() / 2, bytes.len() - 1] {
            let error = read(&bytes[..end], Some(&identity), &mut ()).unwrap_err();
            assert_eq!(error.code(), code::BACKUP_DAMAGED, "cut at {end}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(read(&longer[..], Some(&identity), &mut ()).unwrap_err().code(), code::BACKUP_DAMAGED);
        let mut flipped = bytes.clone();
        let late = bytes.len() - 20;
        flipped[late] ^= 1;
        assert_eq!(origin.restore(flipped, Some(&identity), &[]).await.unwrap_err().code(), code::BACKUP_DAMAGED);
        assert!(origin.is_clean(), "something of a damaged backup is left");
    }
}

#[tokio::test]
async fn an_encrypted_backup_needs_its_key() {
    let origin = Origin::new(3).await;
    let (own, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let (_, bytes) = origin.backup(Some(&own.recipient())).await;
    for identity in [None, Some(&other)] {
        let error = origin.restore(bytes.clone(), identity, &[]).await.unwrap_err();
        assert_eq!(error.code(), code::BACKUP_LOCKED);
        assert!(origin.is_clean());
    }
}

#[tokio::test]
async fn nothing_is_restored_over_something() {
    let origin = Origin::new(3).await;
    let (_, bytes) = origin.backup(None).await;
    let target = origin.target();
    std::fs::create_dir(target.data()).unwrap();
    origin.restore(bytes.clone(), None, &[]).await.expect("an empty directory is no obstacle");
    assert_eq!(origin.restore(bytes, None, &[]).await.unwrap_err().code(), code::RESTORE_REFUSED);
    assert!(
        Sled::open(Options { reserve: 0, ..Options::new(target.store()) }).is_ok(),
        "what was there is not touched"
    );
}

#[tokio::test]
async fn a_log_that_was_changed_before_the_backup_is_not_restored() {
    let origin = Origin::new(3).await;
    let (_, bytes) = origin.backup(None).await;
    let mut entries = Vec::new();
    struct Collect<'a>(&'a mut Vec<Entry>);
    impl read::Sink for Collect<'_> {
        fn entry(&mut self, entry: Entry) -> Result<()> {
            self.0.push(entry);
            Ok(())
        }
        fn bundle(&mut self, digest: &Digest, bytes: &mut dyn Read) -> Result<()> {
            read::Sink::bundle(&mut (), digest, bytes)
        }
    }
    read(&bytes[..], None, &mut Collect(&mut entries)).unwrap();
    let mut writer = Writer::begin(Vec::new(), None).unwrap();
    for mut entry in entries {
        if let Ok(mut record) = Record::parse(&String::from_utf8_lossy(&entry.value)) {
            record.event.resource = "job/other".into();
            entry.value = record.line().into_bytes();
        }
        writer.entry(&entry).unwrap();
    }
    let (_, bytes) = writer.finish().unwrap();
    assert_eq!(origin.restore(bytes, None, &[]).await.unwrap_err().code(), code::AUDIT_BROKEN);
    assert!(origin.is_clean());
}

/// While clients write in pairs, backups are made: each holds both of a pair or none, and all that was there before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment_while_commits_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sled::open(Options { reserve: 0, ..Options::new(folder.path().join("store")) }).unwrap());
    let bundles = Bundles::open(folder.path().join("bundles"), 0).unwrap();
    let put = |at: u32| {
        Batch::default()
            .put(Key::new(["a", &at.to_string()]), vec![1; 2_000])
            .put(Key::new(["z", &at.to_string()]), "2")
    };
    for at in 0..300 {
        store.commit(put(at)).await.unwrap();
    }
    let writing = Arc::clone(&store);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let task = tokio::spawn(async move {
        let mut at = 300;
        while !*stopped.borrow() {
            writing.commit(put(at)).await.unwrap();
            at += 1;
        }
        at
    });
    let mut revision = store.revision();
    for _ in 0..5 {
        revision.changed().await.unwrap();
        let (contents, bytes) = write(&store, &bundles, None, Vec::new()).await.unwrap();
        struct Count(u32, u32);
        impl read::Sink for Count {
            fn entry(&mut self, entry: Entry) -> Result<()> {
                *(if entry.key.starts_with(&Key::new(["a"])) { &mut self.0 } else { &mut self.1 }) += 1;
                Ok(())
            }
            fn bundle(&mut self, _: &Digest, _: &mut dyn Read) -> Result<()> {
                unreachable!("there is none")
            }
        }
        let mut count = Count(0, 0);
        assert_eq!(read(&bytes[..], None, &mut count).unwrap(), contents);
        assert!(count.0 == count.1 && count.0 >= 300, "{} and {}", count.0, count.1);
    }
    stop.send(true).unwrap();
    assert!(task.await.unwrap() > 300, "nothing was written meanwhile");
}
