//! A log that was cut off: at a signed checkpoint, which it is verified from, and nowhere else.

use super::*;
use crate::store::{Expect, head_key, record_key};

/// A log of twelve records with checkpoints at 4, 8 and 12, of a key that is noted.
async fn signed_log<S: Store>(store: std::sync::Arc<S>) -> Keeper<std::sync::Arc<S>, fn() -> Timestamp> {
    let keeper =
        Keeper { store, key: key(1), records: 4, interval: Duration::from_secs(3_600), clock: now as fn() -> _ };
    let announcing =
        Keeper { store: keeper.store.clone(), key: key(1), records: 4, interval: keeper.interval, clock: now };
    // The first record is that of the key.
    announcing.run(std::future::ready(())).await;
    record(keeper.store.as_ref(), 3).await;
    let mut last = keeper.sign_if(1, 1).await.unwrap();
    for _ in 0..2 {
        record(keeper.store.as_ref(), 4).await;
        last = keeper.sign_if(4, last).await.unwrap();
    }
    assert_eq!(last, 12);
    keeper
}

fn pruning() -> Event {
    event("audit")
}

#[tokio::test]
async fn a_log_is_cut_off_at_a_signed_checkpoint_and_verified_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(Sled::open(Options { reserve: 0, ..Options::new(folder.path()) }).unwrap());
    signed_log(std::sync::Arc::clone(&store)).await;
    let (before, _) = export::lines(&store, 0, 100).await.unwrap();
    let head = prune::cut(&store, 8, pruning()).await.unwrap();
    assert_eq!(head.sequence, 8);
    for swept in [8, 0] {
        // What is out of the log is out before it is removed, and a removal that is done again does nothing.
        let (lines, last) = export::lines(&store, 0, 100).await.unwrap();
        assert_eq!(last, 13, "and the cut itself");
        let anchor = Checkpoint::parse(&lines[0]).unwrap();
        assert_eq!((anchor.head().unwrap(), lines.len()), (head, 1 + 5 + 1));
        let mut verifier = Verifier::new(vec![key(1).public()], &[]).unwrap();
        lines.iter().for_each(|line| verifier.line(line).unwrap());
        let summary = verifier.finish().unwrap();
        assert_eq!((summary.first, summary.records, summary.signed), (9, 5, 12));
        assert!(lines.last().unwrap().contains(r#""detail_before":"8""#));
        let unkeyed = Verifier::new(Vec::new(), &[]).unwrap().line(&lines[0]).unwrap_err();
        assert_eq!(unkeyed.code(), code::AUDIT_TRUNCATED, "an anchor of nobody's key is none");
        assert_eq!(export::verify(&store, vec![], &[]).await.unwrap(), summary);
        assert!(export::verify(&store, vec![key(2).public()], &[]).await.is_err());
        assert_eq!(prune::sweep(&store).await.unwrap(), swept);
    }
    assert!(export::record(&store, 8).await.unwrap().is_none() && export::record(&store, 9).await.unwrap().is_some());
    // Checkpoints that were kept from before still hold the rest of it.
    let known: Vec<Checkpoint> = before.iter().filter_map(|line| Checkpoint::parse(line).ok()).collect();
    let later: Vec<Checkpoint> = known.into_iter().filter(|one| one.head().unwrap().sequence >= 8).collect();
    assert!(export::verify(&store, vec![key(1).public()], &later).await.is_ok());
    prune::cut(&store, 12, pruning()).await.unwrap();
    prune::sweep(&store).await.unwrap();
    assert_eq!(export::verify(&store, vec![], &[]).await.unwrap().first, 13);
}

#[tokio::test]
async fn a_log_is_cut_off_nowhere_else() {
    let store = std::sync::Arc::new(Memory::new());
    signed_log(std::sync::Arc::clone(&store)).await;
    let cut = async |at| prune::cut(store.as_ref(), at, pruning()).await.map(drop).map_err(|error| error.code());
    for at in [3, 5, 13, u64::MAX] {
        assert_eq!(cut(at).await, Err(code::AUDIT_NO_ANCHOR), "{at}");
    }
    assert_eq!(cut(0).await, Err(code::AUDIT_CUT_ALREADY));
    // A checkpoint of a stranger's key, one of another log, and one that stands at another record than it says.
    let (head, other) =
        (export::record(store.as_ref(), 6).await.unwrap().unwrap().head(), Head::START.link(event("x")).head());
    let forged = [
        (6, Checkpoint::sign(head, now(), &key(2))),
        (5, Checkpoint::sign(Head { sequence: 5, ..other }, now(), &key(1))),
        (7, Checkpoint::sign(head, now(), &key(1))),
    ];
    for (at, checkpoint) in forged {
        let batch = Batch::default().put(checkpoint::checkpoint_key(at), checkpoint.line());
        store.commit(batch).await.unwrap();
        assert_eq!(cut(at).await, Err(code::AUDIT_NO_ANCHOR), "{at}");
    }
    assert_eq!(prune::sweep(store.as_ref()).await.unwrap(), 0);
    cut(4).await.unwrap();
    assert_eq!(cut(4).await, Err(code::AUDIT_CUT_ALREADY));
    // The store itself removes nothing but behind a checkpoint that stands, and writes nothing there at all.
    let (four, eight) = (checkpoint::checkpoint_key(4), checkpoint::checkpoint_key(8));
    let at = store.get(&eight).await.unwrap().unwrap().revision;
    let place = record_key(9);
    for (batch, expected) in [
        (Batch::default().remove(record_key(1)), code::STORE_RESERVED),
        (Batch::default().expect(eight.clone(), Expect::Revision(at)).remove(place), code::STORE_RESERVED),
        (Batch::default().expect(eight.clone(), Expect::Revision(at + 1)).remove(record_key(1)), code::CONFLICT),
        (Batch::default().expect(four, Expect::Absent).remove(record_key(1)), code::STORE_RESERVED),
        (Batch::default().expect(eight.clone(), Expect::Revision(at)).put(record_key(1), "x"), code::STORE_RESERVED),
        (Batch::default().expect(eight, Expect::Revision(at)).remove(head_key()), code::STORE_RESERVED),
    ] {
        assert_eq!(store.commit(batch).await.unwrap_err().code(), expected);
    }
}
