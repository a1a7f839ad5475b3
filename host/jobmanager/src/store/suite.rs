//! The contract, as tests that every adapter passes.

use super::*;
use crate::audit::{Head, Outcome, Record, export};
use lockgate_core::error::code;
use lockgate_core::{Digest, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn key(text: &str) -> Key {
    Key::new(text.split('/'))
}

fn put(name: &str, value: &str) -> Batch {
    Batch::default().put(key(name), value)
}

pub(super) fn event(action: &str) -> Event {
    Event::system(Timestamp::from_seconds(1_800_000_000), action, "job/a")
}

/// All of it, for an adapter that `open` makes anew and empty.
pub(super) async fn contract<S: Store>(open: impl AsyncFn() -> S) {
    atomic_and_conditional(&open().await).await;
    ordered(&open().await).await;
    revisions(&open().await).await;
    bounded(&open().await).await;
    big(&open().await).await;
    audited(&open().await).await;
    concurrent(open().await).await;
    consistent(open().await).await;
    moments(open().await).await;
    closed(open().await).await;
}

async fn atomic_and_conditional<S: Store>(store: &S) {
    let first = store.commit(put("a", "1").expect(key("a"), Expect::Absent)).await.unwrap();
    let refused = [
        put("b", "x").put(key("a"), "x").expect(key("a"), Expect::Absent),
        put("b", "x").put(key("a"), "x").expect(key("a"), Expect::Revision(first + 1)),
        put("b", "x").expect(key("c"), Expect::Revision(first)),
        put("b", "x").remove(key("a")).expect(key("a"), Expect::Revision(first)).expect(key("a"), Expect::Absent),
        put("b", "x").event(event("job.create")).expect(key("a"), Expect::Absent),
    ];
    for batch in refused {
        let error = store.commit(batch).await.unwrap_err();
        assert_eq!(error.code(), code::CONFLICT);
        assert!(store.get(&key("b")).await.unwrap().is_none(), "part of a refused batch was written");
        let found = store.get(&key("a")).await.unwrap().unwrap();
        assert_eq!((found.revision, found.value.as_slice()), (first, &b"1"[..]));
        assert!(store.get(&head_key()).await.unwrap().is_none(), "an event of a refused batch was recorded");
    }
    assert!(store.commit(put("a", "2").expect(key("a"), Expect::Revision(first))).await.is_ok());
    let error = store.commit(put("a", "3").expect(key("a"), Expect::Revision(first))).await.unwrap_err();
    assert!(error.cause().starts_with("a is at revision 2, not 1"), "{error}");
    store.commit(Batch::default().remove(key("a"))).await.unwrap();
    assert!(store.get(&key("a")).await.unwrap().is_none());
    assert!(store.commit(put("a", "4").expect(key("a"), Expect::Absent)).await.is_ok());
}

async fn ordered<S: Store>(store: &S) {
    let names = ["jobs/a/1", "jobs/a/2", "jobs/a/3", "jobs/ab/1", "jobs/b/1", "jobsx", "k"];
    for name in names.iter().rev() {
        store.commit(put(name, name)).await.unwrap();
    }
    let listed = async |prefix: &str, after: Option<&str>, limit: usize| {
        let (prefix, after) = (if prefix.is_empty() { Key::new([]) } else { key(prefix) }, after.map(key));
        let entries = store.scan(&prefix, after.as_ref(), limit).await.unwrap();
        entries.into_iter().map(|entry| entry.key.parts().join("/")).collect::<Vec<_>>()
    };
    assert_eq!(listed("", None, 100).await, names);
    assert_eq!(listed("jobs", None, 100).await, names[..5]);
    assert_eq!(listed("jobs/a", None, 100).await, names[..3]);
    assert_eq!(listed("jobs/a", None, 2).await, names[..2]);
    assert_eq!(listed("jobs/a", Some("jobs/a/1"), 2).await, names[1..3]);
    assert_eq!(listed("jobs", Some("jobs/a/2x"), 2).await, names[2..4], "behind a key that is not there");
    assert_eq!(listed("jobs/b", Some("a"), 100).await, ["jobs/b/1"], "behind a key before the prefix");
    assert!(listed("jobs/a", Some("k"), 100).await.is_empty());
    assert!(listed("jobs/a", None, 0).await.is_empty() && listed("none", None, 9).await.is_empty());
}

async fn revisions<S: Store>(store: &S) {
    let mut watch = store.revision();
    let before = *watch.borrow_and_update();
    let one = store.commit(put("a", "1").put(key("b"), "1")).await.unwrap();
    let two = store.commit(put("b", "2")).await.unwrap();
    let three = store.commit(Batch::default().event(event("x"))).await.unwrap();
    assert!(before < one && one < two && two < three, "{before} {one} {two} {three}");
    assert!(watch.has_changed().unwrap() && *watch.borrow_and_update() == three);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, one);
    assert_eq!(store.get(&key("b")).await.unwrap().unwrap().revision, two);
    store.commit(Batch::default().remove(key("b"))).await.unwrap();
    let again = store.commit(put("b", "3")).await.unwrap();
    assert!(again > two, "a key that was removed and made again has an old revision");
}

async fn bounded<S: Store>(store: &S) {
    let long = "k".repeat(MAX_KEY);
    let fits = [
        put(&long[..MAX_KEY - 1], "x"),
        Batch::default().put(key("v"), vec![7; MAX_VALUE]),
        (0..MAX_WRITES).fold(Batch::default(), |batch, at| batch.put(key(&at.to_string()), "")),
    ];
    for batch in fits {
        store.commit(batch).await.unwrap();
    }
    assert_eq!(store.get(&key("v")).await.unwrap().unwrap().value, vec![7; MAX_VALUE]);
    let beyond = [
        put(&long, "x"),
        Batch::default().put(key("v"), vec![7; MAX_VALUE + 1]),
        (0..=MAX_WRITES).fold(Batch::default(), |batch, at| batch.put(key(&at.to_string()), "")),
        (0..=MAX_WRITES).fold(Batch::default(), |batch, _| batch.expect(key("none"), Expect::Absent)),
        (0..=MAX_EVENTS).fold(Batch::default(), |batch, _| batch.event(event("x"))),
        (0..17).fold(Batch::default(), |batch, at| batch.put(key(&at.to_string()), vec![7; MAX_VALUE])),
    ];
    for batch in beyond {
        assert_eq!(store.commit(batch).await.unwrap_err().code(), code::STORE_LIMIT);
    }
    for own in [head_key(), record_key(1), Key::new(["audit"])] {
        for batch in [Batch::default().put(own.clone(), "x"), Batch::default().remove(own.clone())] {
            assert_eq!(store.commit(batch).await.unwrap_err().code(), code::STORE_RESERVED);
        }
    }
}

async fn big<S: Store>(store: &S) {
    let lengths = [0, 1, 4_095, 4_096, 4_097, 100_000, 1_000_000];
    let value = |length: usize| (0..length).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    let batch =
        lengths.iter().fold(Batch::default(), |batch, length| batch.put(key(&length.to_string()), value(*length)));
    store.commit(batch).await.unwrap();
    // Over one another, so that what a longer value left behind would show.
    for (at, length) in lengths.iter().enumerate() {
        let shorter = lengths[lengths.len() - 1 - at];
        assert_eq!(store.get(&key(&length.to_string())).await.unwrap().unwrap().value, value(*length));
        store.commit(Batch::default().put(key(&length.to_string()), value(shorter))).await.unwrap();
        assert_eq!(store.get(&key(&length.to_string())).await.unwrap().unwrap().value, value(shorter));
    }
    assert_eq!(store.scan(&Key::new([]), None, 100).await.unwrap().len(), lengths.len());
}

async fn audited<S: Store>(store: &S) {
    let denied = Event { outcome: Outcome::Denied("LG1101".into()), ..event("token.create") };
    store.commit(put("a", "1").event(event("job.create")).event(denied.clone())).await.unwrap();
    store.commit(Batch::default().event(event("job.cancel"))).await.unwrap();
    let (lines, last) = export::lines(store, 0, 100).await.unwrap();
    let records: Vec<Record> = lines.iter().map(|line| Record::parse(line).unwrap()).collect();
    assert_eq!((last, records.len()), (3, 3));
    assert_eq!(records[0].previous, Head::START.hash);
    assert!(records.windows(2).all(|two| two[1].previous == two[0].hash));
    assert_eq!(records[1].event, denied);
    let head = store.get(&head_key()).await.unwrap().unwrap();
    assert_eq!(read_head(&head.value).unwrap(), records[2].head());
    let summary = export::verify(store, vec![], &[]).await.unwrap();
    assert_eq!((summary.records, summary.head), (3, records[2].head()));
    assert_ne!(summary.head.hash, Digest::of(b""));
}

/// Many tasks raise one counter by compare-and-set, each beside a key of its own: no raise is lost.
async fn concurrent<S: Store>(store: S) {
    const TASKS: u64 = 8;
    const RAISES: u64 = 20;
    let store = Arc::new(store);
    store.commit(put("counter", "0").put(key("sum"), "0")).await.unwrap();
    let raise = |task: u64| {
        let store = Arc::clone(&store);
        async move {
            let mut conflicts = 0;
            for _ in 0..RAISES {
                loop {
                    let found = store.get(&key("counter")).await.unwrap().unwrap();
                    let count: u64 = std::str::from_utf8(&found.value).unwrap().parse().unwrap();
                    let next = (count + 1).to_string();
                    let batch = put("counter", &next)
                        .put(key(&format!("by/{task}/{next}")), next)
                        .event(event("raise"))
                        .expect(key("counter"), Expect::Revision(found.revision));
                    match store.commit(batch).await {
                        Ok(_) => break,
                        Err(error) => assert_eq!(error.code(), code::CONFLICT),
                    }
                    conflicts += 1;
                }
            }
            conflicts
        }
    };
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(raise(task))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let total = TASKS * RAISES;
    assert_eq!(store.get(&key("counter")).await.unwrap().unwrap().value, total.to_string().into_bytes());
    assert_eq!(store.scan(&key("by"), None, 1_000).await.unwrap().len() as u64, total);
    assert_eq!(export::verify(&store, vec![], &[]).await.unwrap().records, total, "an event of a refused raise stays");
}

/// Readers beside a writer that moves a token between two keys see it at one of them, never at both or none.
async fn consistent<S: Store>(store: S) {
    let store = Arc::new(store);
    store.commit(put("move/a", "token")).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let begun = Arc::new(tokio::sync::Barrier::new(3));
    let reader = |store: Arc<S>, stopped: watch::Receiver<bool>, begun: Arc<tokio::sync::Barrier>| async move {
        begun.wait().await;
        while !*stopped.borrow() {
            let found = store.scan(&key("move"), None, 10).await.unwrap();
            assert_eq!(found.len(), 1, "a part of a commit was seen: {found:?}");
            tokio::task::yield_now().await;
        }
    };
    let readers: Vec<_> =
        (0..2).map(|_| tokio::spawn(reader(Arc::clone(&store), stopped.clone(), Arc::clone(&begun)))).collect();
    begun.wait().await;
    for round in 0..100 {
        let (from, to) = if round % 2 == 0 { ("move/a", "move/b") } else { ("move/b", "move/a") };
        store.commit(put(to, "token").remove(key(from))).await.unwrap();
    }
    stop.send(true).unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
}

/// A snapshot is of the moment at which it was taken, whatever is written while it is read.
async fn moments<S: Store>(store: S) {
    for at in 0..50 {
        store.commit(put(&format!("old/{at:02}"), "before")).await.unwrap();
    }
    let mut snapshot = store.snapshot().await.unwrap();
    for at in 0..50 {
        let batch = put(&format!("new/{at:02}"), "after").put(key(&format!("old/{at:02}")), "after");
        store.commit(if at % 2 == 0 { batch } else { batch.remove(key(&format!("old/{at:02}"))) }).await.unwrap();
    }
    let mut found = Vec::new();
    while let Some(page) = snapshot.next().await.unwrap() {
        found.extend(page);
    }
    assert_eq!(found.len(), 50);
    assert!(found.iter().enumerate().all(|(at, entry)| entry.key == key(&format!("old/{at:02}"))));
    assert!(found.iter().all(|entry| entry.value == b"before"));
}

async fn closed<S: Store>(store: S) {
    store.commit(put("a", "1")).await.unwrap();
    store.close().await;
    assert_eq!(store.commit(put("a", "2")).await.unwrap_err().code(), code::STORE_CLOSED);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, b"1");
}

/// A step of a random history, over a few keys so that they meet.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Commit(Vec<(u8, Option<u16>)>, Vec<(u8, bool)>, u8),
    Get(u8),
    Scan(u8, Option<u8>, usize),
    Reopen,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let writes = prop::collection::vec((0..12_u8, prop::option::weighted(0.8, 0..9_000_u16)), 0..6);
    let expects = prop::collection::vec((0..12_u8, any::<bool>()), 0..2);
    let step = prop_oneof![
        8 => (writes, expects, 0..3_u8).prop_map(|(writes, expects, events)| Step::Commit(writes, expects, events)),
        2 => (0..12_u8).prop_map(Step::Get),
        2 => (0..4_u8, prop::option::of(0..12_u8), 0..15_usize).prop_map(|(prefix, after, limit)| Step::Scan(prefix, after, limit)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

fn numbered(number: u8) -> Key {
    key(&format!("{}/{}", number % 3, number))
}

/// Does `steps` with the adapter and with a plain map, which must agree at every step.
pub(super) async fn model<S: Store>(store: S, steps: Vec<Step>, reopen: impl AsyncFn(S) -> S) {
    let mut store = store;
    let mut map: BTreeMap<Key, (u64, Vec<u8>)> = BTreeMap::new();
    let mut events = 0;
    for step in steps {
        match step {
            Step::Commit(writes, expects, count) => {
                let mut batch = Batch::default();
                let mut holds = true;
                for (number, right) in expects {
                    let found = map.get(&numbered(number)).map(|(revision, _)| *revision);
                    let expect = match (found, right) {
                        (Some(revision), true) => Expect::Revision(revision),
                        (Some(revision), false) => Expect::Revision(revision + 1),
                        (None, true) => Expect::Absent,
                        (None, false) => Expect::Revision(1),
                    };
                    holds &= right;
                    batch = batch.expect(numbered(number), expect);
                }
                let writes: Vec<_> = writes
                    .into_iter()
                    .map(|(number, length)| (numbered(number), length.map(|length| vec![number; usize::from(length)])))
                    .collect();
                batch.writes.clone_from(&writes);
                batch.events = (0..count).map(|_| event("step")).collect();
                match store.commit(batch).await {
                    Ok(revision) => {
                        assert!(holds, "a batch was committed against its expectations");
                        events += u64::from(count);
                        for (key, value) in writes {
                            match value {
                                Some(value) => map.insert(key, (revision, value)),
                                None => map.remove(&key),
                            };
                        }
                    }
                    Err(error) => assert!(!holds && error.code() == code::CONFLICT, "{error}"),
                }
            }
            Step::Get(number) => {
                let found = store.get(&numbered(number)).await.unwrap().map(|entry| (entry.revision, entry.value));
                assert_eq!(found, map.get(&numbered(number)).cloned());
            }
            Step::Scan(prefix, after, limit) => {
                let (prefix, after) = (key(&prefix.to_string()), after.map(numbered));
                let found = store.scan(&prefix, after.as_ref(), limit).await.unwrap();
                let found: Vec<_> = found.into_iter().map(|entry| (entry.key, (entry.revision, entry.value))).collect();
                let within = map.iter().filter(|(key, _)| key.starts_with(&prefix) && Some(*key) > after.as_ref());
                let wanted: Vec<_> = within.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect();
                assert_eq!(found, wanted);
            }
            Step::Reopen => store = reopen(store).await,
        }
    }
    assert_eq!(export::verify(&store, vec![], &[]).await.unwrap().records, events);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    contract(async || Memory::new()).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn memory_does_as_a_map_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(model(Memory::new(), steps, async |store| store));
    }
}
