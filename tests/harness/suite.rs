//! The cases of a suite of attacks, how each ended, and the tables in which `cargo xtask hostile` shows them.
//!
//! A suite runs in a process of its own, so that what it leaves behind can be counted, and hands its tables back in a
//! file: standard output belongs to the test harness.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// How a case ended.
pub struct Ended {
    /// What is attacked.
    pub group: &'static str,
    pub name: String,
    /// How it had to end.
    pub verdict: String,
    /// Who pays for what it burnt.
    pub billed: &'static str,
    /// How it got away, if it did.
    pub result: Result<(), String>,
}

/// Set in the process that runs a suite: the file that takes its tables.
const INSIDE: &str = "LOCKGATE_TEST_SUITE";
/// Set by `cargo xtask hostile`: what is too long for every test run is run too, with guests in other languages if it says
/// `languages`.
const ALL: &str = "LOCKGATE_TEST_HOSTILE_ALL";

/// Whether the cases that are too long for every test run are to be run.
pub fn all() -> bool {
    std::env::var_os(ALL).is_some()
}

/// Whether the guests in other languages have been built and are to be run.
pub fn languages() -> bool {
    std::env::var_os(ALL).is_some_and(|what| what == "languages")
}

/// Runs `inside` in a process of its own, as the test of the name `test`, and shows the tables that it makes.
pub fn alone(test: &str, inside: impl FnOnce() -> String) {
    if let Some(file) = std::env::var_os(INSIDE) {
        let tables = inside();
        return std::fs::write(file, tables).expect("the file of tables");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let this = std::env::current_exe().expect("this binary");
    let output = Command::new(this).args(["--exact", test, "--nocapture"]).env(INSIDE, file.path()).output();
    let output = output.expect("a child");
    let tables = std::fs::read_to_string(file.path()).expect("the tables");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !tables.is_empty(), "{tables}\n{}\n{errors}", output.status);
    println!("{tables}");
    assert!(!tables.lines().any(|line| line.starts_with(NOT)), "not every case ended as it must");
}

/// What a line begins with that tells how a case got away.
const NOT: &str = "got away: ";

/// A table for each group, a line for each case that got away, and the line that sums up, such as
/// `guests: 258 contained, 0 not`; `done` is what became of the cases that did not.
pub fn tables(suite: &str, done: &str, cases: &[Ended]) -> String {
    let mut out = String::new();
    let mut groups: Vec<&str> = Vec::new();
    for case in cases {
        if !groups.contains(&case.group) {
            groups.push(case.group);
        }
    }
    for group in groups {
        let of_group: Vec<&Ended> = cases.iter().filter(|case| case.group == group).collect();
        let width = |text: fn(&Ended) -> usize| of_group.iter().map(|case| text(case)).max().unwrap_or(0);
        let (name, verdict) = (width(|case| case.name.len()), width(|case| case.verdict.len()));
        let _ = writeln!(out, "\n{suite}, {group}: {}", of_group.len());
        for case in of_group {
            let not = if case.result.is_ok() { "" } else { "NOT " };
            let _ = writeln!(out, "  {:name$}  {:verdict$}  {:9}  {not}{done}", case.name, case.verdict, case.billed);
        }
    }
    out.push('\n');
    for case in cases {
        if let Err(why) = &case.result {
            let _ = writeln!(out, "{NOT}{}: {why}", case.name);
        }
    }
    let escaped = cases.iter().filter(|case| case.result.is_err()).count();
    let _ = writeln!(out, "{suite}: {} {done}, {escaped} not", cases.len() - escaped);
    out
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    pub descriptors: usize,
    pub threads: usize,
    pub children: usize,
    /// Resident bytes, now and at most.
    pub memory: u64,
    pub peak: u64,
}

impl Left {
    /// What is left once the slots' threads have ended: one that has said its last word may still have to return.
    pub fn now() -> Self {
        let mut threads = Self::threads();
        for _ in 0..100_000 {
            if !threads.iter().any(|name| name.starts_with("slot-")) {
                break;
            }
            std::thread::yield_now();
            threads = Self::threads();
        }
        let status = std::fs::read_to_string("/proc/self/status").expect("the status");
        let bytes = |key: &str| {
            let text = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line of the status");
            text.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
        };
        let descriptors = std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
        let (memory, peak) = (bytes("VmRSS:"), bytes("VmHWM:"));
        Self { descriptors, threads: threads.len(), children: Self::children(), memory, peak }
    }

    /// What must be as it was before the suite, as two cases of it: nothing is left open, and at most `most` bytes of
    /// memory are kept.
    pub fn compare(&self, most: u64) -> [Ended; 2] {
        let after = Self::now();
        let counts = |left: &Self| (left.descriptors, left.threads, left.children);
        let open = match (counts(self), counts(&after)) {
            (before, after) if after.0 <= before.0 && after.1 <= before.1 && after.2 <= before.2 => Ok(()),
            (before, after) => Err(format!("descriptors, threads and children were {before:?} and are {after:?}")),
        };
        let memory = match after.memory.saturating_sub(self.memory) {
            kept if kept <= most => Ok(()),
            kept => Err(format!("{} MiB more are held than before", kept >> 20)),
        };
        let case = |name: &str, verdict: String, result| Ended {
            group: "afterwards",
            name: name.into(),
            verdict,
            billed: "nobody",
            result,
        };
        [
            case("descriptors, threads and children", "as before".into(), open),
            case("memory", format!("within {} MiB", most >> 20), memory),
        ]
    }

    /// Forgets the peak so far, where the system can.
    pub fn forget_peak() {
        let _ = std::fs::write("/proc/self/clear_refs", "5");
    }

    /// The names of all threads.
    fn threads() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
        // A thread may end between the two looks at it.
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
    }

    /// Processes that were started and are not gone.
    fn children() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
        let of = |task: &Path| std::fs::read_to_string(task.join("children")).unwrap_or_default();
        tasks.filter_map(|task| Some(of(&task.ok()?.path()).split_whitespace().count())).sum()
    }
}
