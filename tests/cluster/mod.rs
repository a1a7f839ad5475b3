//! Jobs on a cluster: a JobManager and TaskManagers as processes, from the join token to the last row.

mod metrics;

use crate::harness;
use crate::harness::cluster::{Cluster, freeze};
use crate::harness::service::PATIENCE;
use lockgate_core::{Name, Timestamp};
use rustix::process::Signal;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FILES: i64 = 6;
const ROWS: i64 = 500;

/// A job that reads `in` and writes `out/good`, and dead letters beside it.
fn manifest(job: &str, slots: u32) -> String {
    format!(
        r#"
        [job]
        tenant = "tests"
        name = "{job}"
        version = 1
        batch-rows = 20
        parallelism = {{ min = 1, max = {slots} }}
        [component.guest]
        path = "guest.wasm"
        [source.rows]
        connector = "file"
        volume = "in"
        path = "*.json"
        schema = ["x: int64"]
        [operator.f]
        input = "rows"
        function = "guest/fail-on-seven"
        on-error = "dead"
        [sink.good]
        input = "f"
        connector = "file"
        volume = "out"
        path = "{job}/"
        [sink.dead]
        connector = "file"
        volume = "out"
        path = "{job}-dead/"
        "#
    )
}

/// Rows in `FILES` files, and a cluster that has them.
fn cluster(job: &str, slots: u32, rows: i64) -> (Cluster, String) {
    let manifest = manifest(job, slots);
    let cluster = Cluster::start(&manifest, "");
    for file in 0..FILES {
        cluster.write_rows(&format!("{file}.json"), (file * rows..(file + 1) * rows).map(|x| 10_000 + x));
    }
    (cluster, manifest)
}

/// What a TaskManager knows of itself, as its operator sees it.
fn status(cluster: &Cluster, name: &str) -> serde_json::Value {
    let mut status = Command::new(lockgate_executor::testing::program());
    status.args(["--output", "json", "taskmanager", "status", "--config"]).arg(cluster.path(&format!("{name}.toml")));
    serde_json::from_slice(&status.output().unwrap().stdout).unwrap()
}

/// Every row is there once.
fn check(cluster: &Cluster, job: &str, rows: i64) {
    let mut found: Vec<i64> = cluster.rows(job).iter().map(|row| row["y"].as_i64().unwrap() - 10_000).collect();
    found.sort_unstable();
    assert_eq!(found, (0..FILES * rows).collect::<Vec<_>>(), "{}", cluster.logs());
}

#[test]
fn a_job_runs_over_two_taskmanagers_and_its_output_is_whole() {
    let (mut cluster, manifest) = cluster("two", 2, ROWS);
    cluster.join("tm-1", "slots = 1");
    cluster.join("tm-2", "slots = 1");
    let job = cluster.submit(&manifest, &[("guest", harness::part("hostile"))]);
    cluster.await_state(&job, "FINISHED");
    check(&cluster, &job, ROWS);
    for name in ["tm-1", "tm-2"] {
        let status = cluster.taskmanager(name).stop();
        assert!(status.success(), "{name}: {status}\n{}", cluster.logs());
    }
}

#[test]
fn a_job_goes_on_while_the_jobmanager_stands_still() {
    // One split, and a batch for each row, so that it takes its time.
    let manifest = manifest("away", 1).replace("batch-rows = 20", "batch-rows = 1\ncheckpoint-interval = \"100 ms\"");
    let mut cluster = Cluster::start(&manifest, "lease = \"30 s\"");
    cluster.write_rows("0.json", (0..FILES * 20_000).map(|x| 10_000 + x));
    cluster.join("tm-1", "slots = 1");
    let job = cluster.submit(&manifest, &[("guest", harness::part("hostile"))]);
    let out = cluster.path("out").join(&job);
    let count = |hidden: bool| {
        let names = std::fs::read_dir(&out).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.as_encoded_bytes().starts_with(b".") == hidden).count()
    };
    until("a commit", &cluster, || count(false) > 0);
    freeze(cluster.jobmanager(), true);
    // One may be under way and one be written.
    until("commits that wait", &cluster, || count(true) > 4);
    freeze(cluster.jobmanager(), false);
    cluster.await_state(&job, "FINISHED");
    check(&cluster, &job, 20_000);
    assert_eq!(count(true), 0);
}

/// Waits until it is so.
fn until(what: &str, cluster: &Cluster, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come about:\n{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_starts_again_without_a_token_and_says_what_it_knows() {
    let (mut cluster, manifest) = cluster("again", 1, 10);
    cluster.join("tm-1", "slots = 1");
    let file = cluster.path("tm-1.token");
    let token = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(cluster.taskmanager("tm-1").stop().success());
    assert!(!cluster.logs().contains(token.trim()), "the token stands in a log");
    cluster.start_taskmanager("tm-1");
    cluster.taskmanager("tm-1").await_message("the JobManager answers");
    let job = cluster.submit(&manifest, &[("guest", harness::part("hostile"))]);
    cluster.await_state(&job, "FINISHED");
    let value = status(&cluster, "tm-1");
    assert_eq!((value["name"].as_str(), value["tenants"][0].as_str()), (Some("tm-1"), Some("tests")), "{value}");
    assert!(value["audit"]["head"]["sequence"].as_u64().unwrap() > 0, "{value}");
    // One that has never joined does not start without a token, and says so.
    std::fs::rename(cluster.path("tm-1"), cluster.path("away")).unwrap();
    cluster.taskmanager("tm-1").kill();
    cluster.start_taskmanager("tm-1");
    let service = cluster.taskmanager("tm-1");
    assert!(!service.end().success());
    assert!(service.lines().iter().any(|line| line.to_string().contains("LG1420")), "{:?}", service.lines());
}

#[test]
fn what_a_killed_or_frozen_taskmanager_had_goes_on_elsewhere() {
    let rows = 4_000;
    let (mut cluster, manifest) = cluster("killed", 2, rows);
    for name in ["tm-1", "tm-2", "tm-3"] {
        cluster.join(name, "slots = 1");
    }
    let job = cluster.submit(&manifest, &[("guest", harness::part("hostile"))]);
    cluster.await_job(&job, "running", |_| cluster.path("out").join(&job).is_dir());
    cluster.taskmanager("tm-1").kill();
    freeze(cluster.taskmanager("tm-2"), true);
    assert_ne!(cluster.job(&job)["state"], "FINISHED", "it was over before anything happened to it");
    cluster.start_taskmanager("tm-1");
    cluster.await_state(&job, "FINISHED");
    freeze(cluster.taskmanager("tm-2"), false);
    check(&cluster, &job, rows);
}

#[test]
fn of_two_processes_with_one_certificate_the_newer_one_has_the_place() {
    let rows = 4_000;
    let (mut cluster, manifest) = cluster("copied", 1, rows);
    cluster.join("tm-1", "slots = 1");
    // So that it is not over before the other one is there.
    let fields = serde_json::json!({ "fuel-per-second": 2_000_000 });
    let job = cluster.submit_with(&manifest, &[("guest", harness::part("hostile"))], &fields);
    cluster.await_job(&job, "running", |_| cluster.path("out").join(&job).is_dir());
    cluster.start_copy("tm-1", "copy");
    cluster.taskmanager("copy").await_message("the JobManager answers");
    let refused = |line: &serde_json::Value| (line["code"] == "LG1436").then_some(());
    cluster.taskmanager("tm-1").await_line("that another one has its place", refused);
    cluster.jobmanager().await_line("that two have one name", refused);
    assert_ne!(cluster.job(&job)["state"], "FINISHED", "it was over before anything happened to it");
    cluster.await_state(&job, "FINISHED");
    check(&cluster, &job, rows);
    // Started again it is the newer one.
    assert!(cluster.taskmanager("tm-1").stop().success(), "{}", cluster.logs());
    cluster.start_taskmanager("tm-1");
    cluster.taskmanager("tm-1").await_message("the JobManager answers");
    cluster.taskmanager("copy").await_line("that another one has its place", refused);
}

#[test]
fn a_job_outlives_its_jobmanager() {
    let rows = 2_000;
    let (mut cluster, manifest) = cluster("outlives", 1, rows);
    cluster.join("tm-1", "slots = 1");
    let job = cluster.submit(&manifest, &[("guest", harness::part("hostile"))]);
    cluster.await_job(&job, "running", |_| cluster.path("out").join(&job).is_dir());
    assert_ne!(cluster.job(&job)["state"], "FINISHED", "it was over before anything happened to it");
    cluster.restart_jobmanager("");
    cluster.await_state(&job, "FINISHED");
    check(&cluster, &job, rows);
}

/// A job without an end.
const ENDLESS: &str = r#"
    [job]
    tenant = "tests"
    name = "endless"
    version = 1
    parallelism = { min = 1, max = 1 }
    [source.bids]
    connector = "nexmark"
    table = "bid"
    rate = 1_000
    [sink.nowhere]
    input = "bids"
    connector = "discard"
"#;

#[test]
fn certificates_are_renewed_under_a_job_that_goes_on() {
    let mut cluster = Cluster::start(ENDLESS, "certificate-lifetime = \"6 s\"");
    cluster.join("tm-1", "slots = 1");
    let job = cluster.submit(ENDLESS, &[]);
    let before = cluster.await_state(&job, "RUNNING");
    // The third one is asked for when the one of joining has long expired.
    let mut last = String::new();
    for _ in 0..3 {
        let newer = |line: &serde_json::Value| {
            let expires = line["expires"].as_str().filter(|expires| *expires > last.as_str())?;
            (line["message"] == "took the next certificate").then(|| expires.to_owned())
        };
        last = cluster.taskmanager("tm-1").await_line("another certificate", newer);
    }
    let after = cluster.job(&job);
    assert_eq!((&after["state"], &after["since"]), (&before["state"], &before["since"]), "{}", cluster.logs());
}

#[test]
fn whoever_was_away_until_its_certificate_expired_says_so_and_joins_again() {
    let mut cluster = Cluster::start(ENDLESS, "certificate-lifetime = \"6 s\"");
    cluster.join("tm-1", "slots = 1");
    assert!(cluster.taskmanager("tm-1").stop().success());
    std::fs::remove_file(cluster.path("tm-1.token")).unwrap();
    let expires: Timestamp = status(&cluster, "tm-1")["expires"].as_str().unwrap().parse().unwrap();
    // The second in which it expires is its last one.
    while SystemTime::now() < UNIX_EPOCH + Duration::from_secs(u64::try_from(expires.seconds() + 1).unwrap()) {
        std::thread::sleep(Duration::from_millis(20));
    }
    cluster.start_taskmanager("tm-1");
    let service = cluster.taskmanager("tm-1");
    assert!(!service.end().success());
    let said = format!("{:?}", service.lines());
    assert!(said.contains("LG1421") && said.contains("have a new join token made"), "{said}");
    // As it is told, with the state folder that it has.
    cluster.join("tm-1", "slots = 1");
}

/// Rows are data: they leave the TaskManager if its tenant's signers let them, and are for who may read dead letters.
#[test]
fn rows_that_failed_are_shown_to_whom_they_are_for_and_only_if_that_is_signed() {
    for signed in [true, false] {
        let job = if signed { "shown" } else { "hidden" };
        let manifest = manifest(job, 1);
        let manifest = match signed {
            true => manifest.replace("batch-rows = 20", "batch-rows = 20\nsample-failed-rows = 3"),
            false => manifest,
        };
        let mut cluster = Cluster::start(&manifest, "");
        cluster.write_rows("rows.json", [1, 7, 13_007, 7, 7, 7, 7]);
        cluster.join("tm-1", "slots = 1");
        let job = cluster.submit(&manifest, &[("guest", harness::part("hostile"))]);
        cluster.await_state(&job, "FINISHED");
        assert!(!cluster.rows(&format!("{job}-dead")).is_empty(), "nothing failed");
        let (admin, deployer) = (cluster.exceptions(&job, true), cluster.exceptions(&job, false));
        for exceptions in [&admin, &deployer] {
            assert_eq!(exceptions["items"].as_array().unwrap().len(), usize::from(signed), "{exceptions:#}");
        }
        if signed {
            let samples = admin["items"][0]["samples"].as_array().unwrap();
            assert_eq!(samples.len(), 3, "{admin:#}");
            assert_eq!((&samples[0]["record"], &samples[0]["value"]), (&1.into(), &"{\"x\":7}".into()), "{admin:#}");
            // Who may not read them learns that they are there, and none of what is in them.
            assert_eq!(deployer["items"][0]["code"], admin["items"][0]["code"]);
            assert_eq!(deployer["items"][0].get("samples"), None, "{deployer:#}");
            let text = deployer.to_string();
            let message = samples[0]["message"].as_str().unwrap();
            assert!(!text.contains(message) && !text.contains("rows.json"), "{text}");
        }
    }
}

/// What is to end waits for its commit to be answered, which does not come: whoever cannot wait says so once more.
#[test]
fn a_second_signal_ends_a_taskmanager_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut cluster, manifest) = cluster("impatient", 1, 4_000);
        cluster.join("tm-1", "slots = 1");
        let job = cluster.submit(&manifest, &[("guest", harness::part("hostile"))]);
        cluster.await_job(&job, "running", |_| cluster.path("out").join(&job).is_dir());
        freeze(cluster.jobmanager(), true);
        let service = cluster.taskmanager("tm-1");
        service.signal(signal);
        service.await_message("stopping: what runs commits and ends");
        service.signal(signal);
        let status = service.end();
        freeze(cluster.jobmanager(), false);
        assert_eq!(status.code(), Some(130), "{signal:?}: {}", cluster.logs());
        let messages = cluster.taskmanager("tm-1").lines();
        let said = |text: &str| messages.iter().any(|line| line["message"] == text);
        assert!(said("ended at once; what was not committed is done again elsewhere"), "{messages:#?}");
    }
}

#[test]
fn what_is_revoked_stops_on_the_cluster() {
    let manifest = ENDLESS;
    let mut cluster = Cluster::start(manifest, "");
    cluster.join("tm-1", "slots = 1");
    let job = cluster.submit(manifest, &[]);
    cluster.await_state(&job, "RUNNING");
    cluster.publish(|status| status.revoked_jobs.push(Name::new("endless").unwrap()));
    cluster.await_job(&job, "stopped", |job| job["state"] == "FAILED" || job["state"] == "CANCELED");
    cluster.taskmanager("tm-1").await_message("ended");
}
