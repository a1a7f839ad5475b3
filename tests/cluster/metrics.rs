//! A TaskManager's figures, as Prometheus asks for them, and that without being asked to it listens on nothing.

use super::ENDLESS;
use crate::calls::client::{Client, request};
use crate::harness::cluster::Cluster;
use crate::harness::service::PATIENCE;
use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SETTINGS: &str =
    "slots = 2\n[metrics]\nlisten = [\"127.0.0.1:0\"]\ntoken-file = \"metrics.token\"\nnames = [\"localhost\"]";

/// The sockets that process `id` waits for others on: streams that listen, and whatever takes datagrams.
fn open_to_others(id: u32) -> Vec<String> {
    let descriptors = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let own: BTreeSet<String> =
        links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect();
    assert!(!own.is_empty(), "it has not even a connection to its JobManager");
    let mut found = Vec::new();
    for (table, listening) in [("tcp", Some("0A")), ("tcp6", Some("0A")), ("udp", None), ("udp6", None)] {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{id}/net/{table}")) else { continue };
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if own.contains(fields[9]) && listening.is_none_or(|state| fields[3] == state) {
                found.push(format!("{table} {}", fields[1]));
            }
        }
    }
    found
}

#[test]
fn a_taskmanager_listens_on_nothing_unless_it_is_asked_to() {
    let mut cluster = Cluster::start(ENDLESS, "");
    cluster.join("tm-1", "slots = 1");
    let job = cluster.submit(ENDLESS, &[]);
    cluster.await_state(&job, "RUNNING");
    assert_eq!(open_to_others(cluster.taskmanager("tm-1").id()), Vec::<String>::new());
    // The same look finds what the JobManager listens on.
    assert_eq!(open_to_others(cluster.jobmanager().id()).len(), 2);
}

#[test]
fn the_figures_of_a_running_job_are_shown_to_whoever_has_the_token() {
    let mut cluster = Cluster::start(ENDLESS, "");
    let token = cluster.path("metrics.token");
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    cluster.join("tm-1", SETTINGS);
    let service = cluster.taskmanager("tm-1");
    let line = service.await_message("listening for who asks for figures");
    let address: SocketAddrV4 = line["address"].as_str().unwrap().parse().unwrap();
    assert_eq!(open_to_others(service.id()).len(), 1, "{line}");
    let ca = cluster.path("tm-1/metrics/ca.pem");
    let client = Client::new(address, &ca);
    let bearer = format!("Bearer {TOKEN}");
    let ask = || client.ask(&request("GET /metrics", &[("authorization", &bearer)], b""));
    let figure = |text: &str, name: &str| -> Option<u64> {
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value)
    };
    let before = ask();
    assert_eq!(before.status, 200, "{before:?}");
    assert_eq!(figure(&before.body, "lockgate_taskmanager_slots"), Some(2), "{before:?}");
    assert_eq!(figure(&before.body, "lockgate_taskmanager_slots_used"), Some(0), "{before:?}");
    let now = figure(&before.body, "lockgate_taskmanager_clock_timestamp_seconds").unwrap();
    let expires = figure(&before.body, "lockgate_taskmanager_certificate_expiry_timestamp_seconds").unwrap();
    let answered = figure(&before.body, "lockgate_taskmanager_last_answer_timestamp_seconds").unwrap();
    assert!(expires > now && answered <= now && now - answered < 60, "{before:?}");
    assert!(figure(&before.body, "lockgate_taskmanager_audit_head").unwrap() > 0, "{before:?}");

    let job = cluster.submit(ENDLESS, &[]);
    cluster.await_state(&job, "RUNNING");
    let labels = "{tenant=\"tests\",job=\"endless\"";
    let wanted = [
        format!("task_commits_total{labels}}}"),
        format!("operator_rows_out_total{labels},operator=\"bids\"}}"),
        format!("operator_rows_in_total{labels},operator=\"nowhere\"}}"),
        format!("task_slots{labels}}}"),
        format!("task{labels},state=\"running\"}}"),
        "slots_used".to_owned(),
    ];
    let begun = Instant::now();
    loop {
        let text = ask().body;
        if wanted.iter().all(|name| figure(&text, &format!("lockgate_taskmanager_{name}")).is_some_and(|of| of > 0)) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{text}\n{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Nothing of it is for anybody else.
    let other = format!("Bearer {}", TOKEN.replace('0', "1"));
    for headers in [&[][..], &[("authorization", other.as_str())]] {
        let answer = client.ask(&request("GET /metrics", headers, b""));
        assert!(answer.status == 401 && !answer.body.contains("endless"), "{answer:?}");
    }
    assert_eq!(client.only_1_2(&ca).ask(&request("GET /metrics", &[("authorization", &bearer)], b"")).status, 0);
    let status = cluster.taskmanager("tm-1").stop();
    assert!(status.success(), "{}", cluster.logs());
    assert!(!cluster.logs().contains(TOKEN), "the token stands in a log");
}

#[test]
fn a_taskmanager_whose_token_others_can_read_neither_joins_nor_listens() {
    let mut cluster = Cluster::start(ENDLESS, "");
    let token = cluster.path("metrics.token");
    let mode = |mode| std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::write(&token, TOKEN).unwrap();
    mode(0o600);
    cluster.join("tm-1", SETTINGS);
    let check = || {
        let mut check = Command::new(lockgate_executor::testing::program());
        check.args(["config", "check"]).arg(cluster.path("tm-1.toml")).output().unwrap()
    };
    assert!(check().status.success(), "{:?}", check());
    assert!(cluster.taskmanager("tm-1").stop().success());
    mode(0o644);
    cluster.start_taskmanager("tm-1");
    let service = cluster.taskmanager("tm-1");
    assert!(!service.end().success());
    assert!(service.lines().iter().any(|line| line.to_string().contains("LG0850")), "{:?}", service.lines());
}
