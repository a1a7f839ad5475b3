//! Guests that attack, run as signed jobs: each must end as its table says, beside an honest job of another tenant that
//! notices nothing, and leave nothing behind in the process.
//!
//! The whole table runs in a process of its own, so that what it leaves behind can be counted.

mod attack;
mod bombs;
mod components;
mod functions;
mod wat;

use attack::Outcome;
use std::process::Command;

/// Set in the process that runs the table.
const INSIDE: &str = "LOCKGATE_TEST_HOSTILE";

#[test]
fn suite() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let this = std::env::current_exe().expect("this binary");
    let mut command = Command::new(this);
    let output = command.args(["--exact", "hostile::suite", "--nocapture"]).env(INSIDE, "1").output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| line.starts_with("guests: ") || line.starts_with("not contained: "));
    let lines: Vec<&str> = lines.collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !lines.is_empty(), "{}\n{errors}", lines.join("\n"));
    println!("{}", lines.join("\n"));
}

/// Runs everything and counts.
fn inside() {
    // What is made once in a process is made before anything is counted.
    attack::attempt(crate::harness::part("hostile"), "honest", "", attack::Verdict::Harmless)
        .expect("the honest guest");
    let before = Left::now();
    let outcomes: Vec<Outcome> = functions::outcomes()
        .chain(components::outcomes())
        .chain(components::mutants())
        .chain(bombs::outcomes())
        .collect();
    let after = Left::now();
    let escaped: Vec<&Outcome> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    for (name, outcome) in &escaped {
        println!("not contained: {name}: {}", outcome.as_ref().err().map_or("", String::as_str));
    }
    println!("guests: {} contained, {} not", outcomes.len() - escaped.len(), escaped.len());
    assert!(escaped.is_empty());
    assert_eq!((after.descriptors, after.threads), (before.descriptors, before.threads), "something was left open");
    assert!(after.memory < before.memory + (128 << 20), "memory grew from {} to {} bytes", before.memory, after.memory);
}

/// What a process holds.
struct Left {
    descriptors: usize,
    threads: usize,
    /// Resident bytes.
    memory: u64,
}

impl Left {
    /// What is left once the slots' threads have ended: one that has said its last word may still have to return.
    fn now() -> Self {
        let mut threads = Self::threads();
        for _ in 0..100_000 {
            if !threads.iter().any(|name| name.starts_with("slot-")) {
                break;
            }
            std::thread::yield_now();
            threads = Self::threads();
        }
        let status = std::fs::read_to_string("/proc/self/status").expect("the status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
        let descriptors = std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
        Self { descriptors, threads: threads.len(), memory: kibibytes << 10 }
    }

    /// The names of all threads.
    fn threads() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
        // A thread may end between the two looks at it.
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
    }
}
