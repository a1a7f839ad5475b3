//! What somebody could do to a log, and that it is seen; and that floods leave little.

mod cut;

use super::chain::MAX_LINE;
use super::checkpoint::{self, Keeper};
use super::tally::{MAX_KINDS, MAX_READERS, OTHERS, Reader, Tally};
use super::verify::Verifier;
use super::*;
use crate::store::{Batch, Memory, Options, Sled, Store};
use lockgate_core::error::{Code, code};
use lockgate_core::keys::{PublicKey, SecretKey};
use lockgate_core::{Digest, Error, Result};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

fn event(resource: &str) -> Event {
    Event::system(now(), "job.create", resource)
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A log of `count` records with a checkpoint after each fifth.
fn log(count: u64) -> Vec<String> {
    let mut head = Head::START;
    let mut lines = Vec::new();
    for number in 1..=count {
        let record = head.link(event(&format!("job/{number}")));
        head = record.head();
        lines.push(record.line());
        if number % 5 == 0 {
            lines.push(Checkpoint::sign(head, now(), &key(1)).line());
        }
    }
    lines
}

fn verify_with(keys: Vec<PublicKey>, known: &[Checkpoint], lines: &[String]) -> Result<verify::Summary, Code> {
    let whole = || {
        let mut verifier = Verifier::new(keys, known)?;
        lines.iter().try_for_each(|line| verifier.line(line))?;
        verifier.finish()
    };
    whole().map_err(|error: Error| error.code())
}

fn verify(lines: &[String]) -> Result<verify::Summary, Code> {
    verify_with(vec![key(1).public()], &[], lines)
}

/// The same records with other content, hashed anew: what somebody with the disk but without the key can make.
fn forged(lines: &[String], from: u64, text: &str) -> Vec<String> {
    let mut head = Head::START;
    let mut made = Vec::new();
    for line in lines {
        match Record::parse(line) {
            Ok(mut record) => {
                if record.sequence >= from {
                    record.event.resource = text.into();
                }
                let record = head.link(record.event);
                head = record.head();
                made.push(record.line());
            }
            Err(_) => made.push(line.clone()),
        }
    }
    made
}

#[test]
fn a_log_as_it_was_written_is_taken() {
    let summary = verify(&log(12)).unwrap();
    assert_eq!((summary.records, summary.first, summary.checkpoints, summary.signed), (12, 1, 2, 10));
    assert_eq!(summary.keys, [key(1).public()]);
    assert_eq!(verify(&[]).unwrap().records, 0);
}

#[test]
fn whatever_is_deleted_changed_added_or_moved_is_detected() {
    let lines = log(12);
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        let is_record = Record::parse(&lines[at]).is_ok();
        // A checkpoint less pins less, and the last record is pinned by none yet.
        assert_eq!(verify(&without).is_err(), is_record && at + 1 < lines.len(), "line {at} was deleted");
        for other in 0..at {
            let mut swapped = lines.clone();
            swapped.swap(other, at);
            assert!(verify(&swapped).is_err(), "lines {other} and {at} were swapped");
        }
        let mut twice = lines.clone();
        twice.insert(at, lines[at].clone());
        assert_eq!(verify(&twice).is_err(), is_record, "line {at} stands twice");
        for (from, to) in [
            ("job/", "jub/"),
            ("system", "sistem"),
            ("2027", "2026"),
            ("\"sequence\":", "\"sequence\":1"),
            ("done", "denied"),
        ] {
            let mut changed = lines.clone();
            changed[at] = changed[at].replacen(from, to, 1);
            assert!(changed == lines || verify(&changed).is_err(), "line {at}: {from} became {to}");
        }
    }
}

#[test]
fn truncating_behind_a_checkpoint_is_detected() {
    let lines = log(12);
    // The records 6 to 10 are cut out, and their checkpoint is left.
    let cut = [&lines[..6], &lines[11..12]].concat();
    assert_eq!(verify(&cut), Err(code::AUDIT_TRUNCATED));
    // All is cut behind the first checkpoint: seen by whoever has the second.
    let second = Checkpoint::parse(&lines[11]).unwrap();
    assert_eq!(verify_with(vec![], std::slice::from_ref(&second), &lines[..6]), Err(code::AUDIT_TRUNCATED));
    assert!(verify_with(vec![], &[second], &lines).is_ok());
}

#[test]
fn hashing_anew_does_not_help() {
    let lines = log(12);
    assert_eq!(verify(&forged(&lines, 3, "job/other")), Err(code::AUDIT_BROKEN), "record 3 is under a checkpoint");
    assert!(verify(&forged(&lines, 11, "job/other")).is_ok(), "record 11 is not pinned yet");
    // With checkpoints of a key of one's own.
    let own: Vec<String> =
        forged(&lines, 3, "job/other").into_iter().filter(|line| Record::parse(line).is_ok()).collect();
    let head = Record::parse(own.last().unwrap()).unwrap().head();
    let own = [own, vec![Checkpoint::sign(head, now(), &key(2)).line()]].concat();
    assert_eq!(verify(&own), Err(code::AUDIT_FORGED));
    // Even with the true key: seen by whoever kept a checkpoint.
    let own = [&own[..12], &[Checkpoint::sign(head, now(), &key(1)).line()]].concat();
    assert!(verify(&own).is_ok());
    let kept = Checkpoint::parse(&lines[5]).unwrap();
    assert_eq!(verify_with(vec![key(1).public()], &[kept], &own), Err(code::AUDIT_BROKEN));
}

#[test]
fn a_checkpoint_cannot_be_edited() {
    let line = log(5).pop().unwrap();
    let checkpoint = Checkpoint::parse(&line).unwrap();
    checkpoint.verify(&[]).unwrap();
    let other = Checkpoint::sign(Head { sequence: 5, hash: Digest::of(b"x") }, now(), &key(2));
    let edits = [
        ("\"sequence\":5", "\"sequence\":6".to_owned()),
        ("2027", "2028".to_owned()),
        (&checkpoint.head().unwrap().hash.hex(), other.head().unwrap().hash.hex()),
        (&key(1).public().to_string(), key(2).public().to_string()),
    ];
    for (from, to) in edits {
        let edited = Checkpoint::parse(&line.replace(from, &to)).unwrap();
        assert_eq!(edited.verify(&[]).unwrap_err().code(), code::AUDIT_FORGED, "{from}");
    }
    assert_eq!(Checkpoint::parse(&line.replace(',', ", ")).unwrap_err().code(), code::AUDIT_MALFORMED);
}

#[test]
fn a_later_part_stands_on_the_checkpoint_before_it() {
    let lines = log(12);
    let summary = verify(&lines[5..]).unwrap();
    assert_eq!((summary.first, summary.records, summary.head.sequence), (6, 7, 12));
    // Without a key to check it against, anyone could have made that checkpoint.
    assert_eq!(verify_with(vec![], &[], &lines[5..]), Err(code::AUDIT_TRUNCATED));
    assert_eq!(verify(&lines[6..]), Err(code::AUDIT_BROKEN));
}

#[test]
fn a_line_is_canonical_and_its_hash_is_as_documented() {
    let mut event = event("job/\u{e9}\"\\\n\u{7f}\u{2028}/");
    event.outcome = Outcome::Denied("LG1101".into());
    event.tenant = Some(Name::new("acme").unwrap());
    let record = Head::START.link(event.detail("z", "1").detail("a", "2"));
    let bare = concat!(
        r#"{"action":"job.create","code":"LG1101","detail_a":"2","detail_z":"1","outcome":"denied","principal":"system","#,
        "\"resource\":\"job/\u{e9}\\\"\\\\\\n\u{7f}\u{2028}/\",",
        r#""sequence":1,"tenant":"acme","time":"2027-01-15T08:00:00Z"}"#
    );
    let hash = Digest::of(&[&[0; 32], bare.as_bytes()].concat());
    assert_eq!(record.hash, hash);
    let line = record.line();
    assert!(line.contains(&format!(r#""hash":"{}","outcome""#, hash.hex())), "{line}");
    assert_eq!(Record::parse(&line).unwrap(), record);
}

#[test]
fn an_event_is_cut_to_its_bounds() {
    let mut event = event(&"\u{e9}".repeat(MAX_TEXT));
    event.details = (0..100).map(|at| (format!("{at:03}"), "x".repeat(5_000))).collect();
    let record = Head::START.link(event);
    assert!(record.event.resource.len() <= MAX_TEXT && record.event.resource.ends_with('…'));
    assert_eq!(record.event.details.len(), MAX_DETAILS);
    let line = record.line();
    assert!(line.len() < MAX_LINE && Record::parse(&line).unwrap().is_intact());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn every_record_reads_back_and_no_byte_of_it_can_be_changed(
        resource in any::<String>(), name in "[a-z_]{1,9}", value in any::<String>(), at in any::<prop::sample::Index>(), flip in 1_u8..128,
    ) {
        let record = Head::START.link(event(&resource).detail(&name, value));
        let line = record.line();
        let read = Record::parse(&line).unwrap();
        prop_assert!(read.is_intact());
        prop_assert_eq!(&read, &record);
        let mut bytes = line.clone().into_bytes();
        bytes[at.index(line.len())] ^= flip;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(verify_with(vec![], &[], &[changed]).is_err());
        }
    }

    #[test]
    fn noise_is_no_log(line in any::<String>()) {
        prop_assert_eq!(verify_with(vec![], &[], &[line]), Err(code::AUDIT_MALFORMED));
    }
}

async fn record<S: Store>(store: &S, count: u64) {
    for number in 0..count {
        store.commit(Batch::default().event(event(&format!("job/{number}")))).await.unwrap();
    }
}

#[tokio::test]
async fn checkpoints_are_signed_as_the_log_grows_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(Sled::open(Options { reserve: 0, ..Options::new(folder.path()) }).unwrap());
    let keeper =
        Keeper { store: store.clone(), key: key(1), records: 4, interval: Duration::from_secs(3_600), clock: now };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(keeper.run(async move { stopped.await.unwrap() }));
    record(store.as_ref(), 10).await;
    stop.send(()).unwrap();
    task.await.unwrap();
    let summary = export::verify(&store, vec![key(1).public()], &[]).await.unwrap();
    // Ten, and the one that records the key.
    assert_eq!((summary.records, summary.signed), (11, 11));
    assert!(summary.checkpoints >= 1 && summary.checkpoints <= 4, "{}", summary.checkpoints);
    // Once more with the same key: it is recorded once, and nothing new is nothing to sign.
    let keeper =
        Keeper { store: store.clone(), key: key(1), records: 4, interval: Duration::from_secs(3_600), clock: now };
    keeper.run(std::future::ready(())).await;
    assert_eq!(export::verify(&store, vec![key(1).public()], &[]).await.unwrap(), summary);
    let (lines, last) = export::lines(&store, 0, 100).await.unwrap();
    assert_eq!((last, lines.len() as u64), (11, 11 + summary.checkpoints));
    assert_eq!(verify(&lines).unwrap(), summary);
    let keys: Vec<&String> = lines.iter().filter(|line| line.contains(r#""action":"audit.key""#)).collect();
    assert!(keys.len() == 1 && keys[0].contains(&key(1).public().to_string()), "{keys:?}");
}

#[tokio::test]
async fn every_so_many_records_there_is_a_checkpoint() {
    let store = std::sync::Arc::new(Memory::new());
    let keeper =
        Keeper { store: store.clone(), key: key(1), records: 3, interval: Duration::from_secs(3_600), clock: now };
    let mut last = 0;
    for round in 1..=4 {
        record(store.as_ref(), 2).await;
        last = keeper.sign_if(keeper.records, last).await.unwrap();
        assert_eq!(last, [0, 4, 4, 8][round - 1]);
    }
    let (lines, _) = export::lines(&store, 4, 100).await.unwrap();
    assert_eq!(verify(&lines).unwrap().first, 5, "a later part begins with its checkpoint");
}

#[test]
fn the_key_is_made_once_and_belongs_to_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/audit.key");
    let made = checkpoint::open_key(&path).unwrap().public();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(checkpoint::open_key(&path).unwrap().public(), made);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(checkpoint::open_key(&path).unwrap_err().code(), code::AUDIT_KEY);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "nonsense").unwrap();
    assert_eq!(checkpoint::open_key(&path).unwrap_err().code(), code::AUDIT_KEY);
}

fn denial(code: &str) -> Event {
    Event { outcome: Outcome::Denied(code.into()), ..event("job/a") }
}

#[tokio::test]
async fn a_flood_of_denials_leaves_two_events_of_each_source() {
    let (store, tally) = (Memory::new(), Tally::new());
    let mut at_once = Vec::new();
    for _ in 0..1_000 {
        for source in ["10.0.0.1", "10.0.0.2"] {
            at_once.extend(tally.denied(source, denial("LG1101")));
        }
    }
    assert_eq!(at_once.len(), 2);
    assert_eq!(at_once[0].details["source"], "10.0.0.1");
    assert!(tally.denied("10.0.0.1", denial("LG1102")).is_some(), "another reason is another kind");
    tally.flush(&store, now()).await.unwrap();
    let (lines, count) = export::lines(&store, 0, 100).await.unwrap();
    assert_eq!(count, 2);
    assert!(lines.iter().all(|line| line.contains(r#""detail_count":"999""#) && line.contains(r#""code":"LG1101""#)));
    tally.flush(&store, now()).await.unwrap();
    assert_eq!(export::lines(&store, 0, 100).await.unwrap().1, 2, "nothing is recorded twice");
    assert!(tally.denied("10.0.0.1", denial("LG1101")).is_some(), "a new interval begins anew");
}

#[tokio::test]
async fn more_sources_and_readers_than_there_is_room_for_are_counted_together() {
    let (store, tally) = (Memory::new(), Tally::new());
    let mut at_once = 0;
    for source in 0..5_000 {
        at_once += usize::from(tally.denied(&format!("{source}"), denial("LG1101")).is_some());
        let reader =
            Reader { principal: "token:ci".into(), credential: format!("{source}"), tenant: None, action: "job.show" };
        tally.read(reader.clone());
        tally.read(reader);
    }
    assert_eq!(at_once, MAX_KINDS);
    tally.flush(&store, now()).await.unwrap();
    let (lines, count) = export::lines(&store, 0, 10_000).await.unwrap();
    assert_eq!(count as usize, MAX_READERS + 2);
    let counted = |action: &str| {
        let line = lines.iter().find(|line| line.contains(action) && line.contains(OTHERS)).unwrap();
        Record::parse(line).unwrap().event.details["count"].parse::<usize>().unwrap()
    };
    assert_eq!(counted("audit.denials"), 5_000 - MAX_KINDS);
    assert_eq!(counted("audit.reads"), 2 * (5_000 - MAX_READERS));
}

#[tokio::test]
async fn what_was_counted_is_recorded_at_the_end() {
    let (store, tally) = (Memory::new(), Tally::new());
    let reader = Reader { principal: "token:ci".into(), credential: "c".into(), tenant: None, action: "job.show" };
    tally.read(reader);
    tally.run(&store, Duration::from_secs(3_600), now, std::future::ready(())).await;
    assert_eq!(export::lines(&store, 0, 10).await.unwrap().1, 1);
}

#[tokio::test]
async fn counts_that_could_not_be_recorded_are_recorded_later() {
    let tally = Tally::new();
    let reader = Reader { principal: "token:ci".into(), credential: "c".into(), tenant: None, action: "job.show" };
    for _ in 0..3 {
        let _ = tally.denied("10.0.0.1", denial("LG1101"));
        tally.read(reader.clone());
    }
    let broken = Memory::new();
    broken.close().await;
    assert_eq!(tally.flush(&broken, now()).await.unwrap_err().code(), code::STORE_CLOSED);
    tally.read(reader);
    let store = Memory::new();
    tally.flush(&store, now()).await.unwrap();
    let (lines, _) = export::lines(&store, 0, 10).await.unwrap();
    assert!(lines[0].contains(r#""detail_count":"2""#) && lines[1].contains(r#""detail_count":"4""#), "{lines:?}");
}
