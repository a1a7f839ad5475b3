//! What a JobManager keeps: its audit log verified and exported, its data backed up and restored.

use crate::support::{Home, mode};
use lockgate_core::Timestamp;
use lockgate_core::keys::SecretKey;
use lockgate_jobmanager::audit::Event;
use lockgate_jobmanager::audit::checkpoint::Keeper;
use lockgate_jobmanager::backup::Layout;
use lockgate_jobmanager::bundles::Bundles;
use lockgate_jobmanager::store::{Batch, Key, Options, Sled, Store as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[5; 32])
}

/// A data directory with `count` jobs, each with its event, a bundle, and a checkpoint; two more events behind it.
fn fill(data: &Path, count: u32) {
    let layout = Layout::new(data);
    runtime().block_on(async {
        let store = Arc::new(Sled::open(Options { reserve: 0, ..Options::new(layout.store()) }).unwrap());
        let commit = async |at: u32| {
            let event = Event::system(now(), "job.create", format!("job/{at}\u{1b}[2J"));
            store.commit(Batch::default().put(Key::new(["jobs", &at.to_string()]), "job").event(event)).await.unwrap();
        };
        for at in 0..count {
            commit(at).await;
        }
        let keeper =
            Keeper { store: store.clone(), key: key(), records: 1_000, interval: Duration::from_secs(60), clock: now };
        keeper.sign_if(1, 0).await.unwrap();
        commit(count).await;
        commit(count + 1).await;
        let mut upload = Bundles::open(layout.bundles(), 0).unwrap().begin(100).await.unwrap();
        upload.write(b"a bundle").await.unwrap();
        upload.complete(None).await.unwrap().keep().await.unwrap();
        store.close().await;
    });
}

#[test]
fn an_exported_log_is_verified_with_the_public_key() {
    let home = Home::new();
    fill(&home.path("data"), 600);
    let exported = home.run("audit export --data data");
    assert_eq!((exported.status, exported.err.as_str()), (0, ""));
    assert_eq!(exported.out.lines().count(), 603);
    home.write("log.jsonl", &exported.out);
    let public = key().public().to_string();
    let verified = home.run(&format!("audit verify log.jsonl --key {public} --output json")).json();
    assert_eq!((&verified["records"], &verified["signed"]), (&602.into(), &600.into()));
    // Each line is a flat object with a time that log collectors understand.
    for line in exported.out.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line.as_object().unwrap().values().all(|value| value.is_string() || value.is_u64()), "{line}");
        assert_eq!(line["time"], "2027-01-15T08:00:00Z");
    }
    let later = home.run("audit export --data data --after 600");
    assert_eq!(later.out.lines().count(), 3, "the checkpoint and two records");
    home.write("later.jsonl", &later.out);
    let verified = home.run(&format!("audit verify later.jsonl --key {public} --output json")).json();
    assert_eq!(verified["first"], 601);
}

#[test]
fn a_log_that_was_tampered_with_is_refused_with_its_line() {
    let home = Home::new();
    fill(&home.path("data"), 10);
    let log = home.run("audit export --data data").out;
    let lines: Vec<&str> = log.lines().collect();
    let public = key().public().to_string();
    let verify = |name: &str, lines: &[&str]| {
        home.write(name, lines.join("\n") + "\n");
        home.run(&format!("audit verify {name} --key {public}"))
    };
    assert_eq!(verify("whole", &lines).status, 0);
    let without = [&lines[..3], &lines[4..]].concat();
    assert!(verify("deleted", &without).refused(1, "LG1220").contains("deleted:4"));
    let changed = lines[3].replace("job.create", "job.delete");
    let changed = [&lines[..3], &[changed.as_str()], &lines[4..]].concat();
    verify("changed", &changed).refused(1, "LG1220");
    let moved = [&lines[..3], &[lines[4], lines[3]], &lines[5..]].concat();
    verify("moved", &moved).refused(1, "LG1220");
    let cut = [&lines[..5], &lines[10..11]].concat();
    verify("cut", &cut).refused(1, "LG1221");
    home.write("cut-clean", lines[..5].join("\n") + "\n");
    home.write("kept", lines[10].to_owned() + "\n");
    home.run(&format!("audit verify cut-clean --key {public} --known kept")).refused(1, "LG1221");
    home.run(&format!("audit verify whole --key {}", SecretKey::from_seed(&[6; 32]).public())).refused(1, "LG1222");
    home.write("other", "hello\n");
    home.run("audit verify other").refused(1, "LG1223");
}

#[test]
fn the_last_records_are_shown_without_steering_the_terminal() {
    let home = Home::new();
    fill(&home.path("data"), 10);
    home.write("log.jsonl", home.run("audit export --data data").out);
    let shown = home.run("audit tail log.jsonl -n 2");
    assert_eq!(shown.text().lines().count(), 2);
    assert!(shown.out.contains("job/11") && shown.out.contains("\\u{1b}") && !shown.out.contains('\u{1b}'));
}

#[test]
fn a_backup_is_encrypted_checked_and_restored() {
    let home = Home::new();
    fill(&home.path("data"), 10);
    let public = home.run("keys generate backup.key --for backup --output json").json()["public-key"].clone();
    assert_eq!(mode(&home.path("backup.key")), 0o600);
    let public = public.as_str().unwrap();
    home.run(&format!("backup --data data all.backup --recipient {public}"));
    assert_eq!(mode(&home.path("all.backup")), 0o600);
    home.run(&format!("backup --data data all.backup --recipient {public}")).refused(3, "LG0004");
    home.run("restore all.backup").refused(1, "LG1241");
    let checked = home.run("restore all.backup --key backup.key --output json").json();
    assert_eq!(checked["bundles"], 1);
    home.run("keys generate store.key --for store");
    home.run("restore all.backup --key backup.key --data again --store-key store.key").text();
    home.run("restore all.backup --key backup.key --data again").refused(3, "LG1242");
    home.run("audit export --data again").refused(1, "LG1214");
    let log = home.run("audit export --data again --store-key store.key").out;
    assert!(log.contains("store.restore") && log.starts_with(&home.run("audit export --data data").out));
    let mut bytes = std::fs::read(home.path("all.backup")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    home.write("flipped.backup", bytes);
    home.run("restore flipped.backup --key backup.key --data third").refused(1, "LG124");
    assert!(!home.path("third").exists() && !home.path("third.restoring").exists());
}

#[test]
fn a_directory_without_a_store_is_not_made_into_one() {
    let home = Home::new();
    home.run("backup --data none all.backup").refused(3, "LG0002");
    home.run("audit export --data none").refused(3, "LG0002");
    assert!(!home.path("none").exists() && !home.path("all.backup").exists());
}
