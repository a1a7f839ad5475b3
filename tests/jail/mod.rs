//! The second wall from within: a program that plays a compromised executor raises the walls that a test names, attempts
//! one thing, and tells what came of it. What it attempts is in `escapes`; here is what must work, and how it ends.
//!
//! Everything runs as root and as nobody, since each has other rights to lose. What depends on the machine (namespaces,
//! Landlock's newer rights) is asked of the walls that were really raised.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

#[test]
fn an_honest_executor_works_behind_all_walls() {
    for &user in users() {
        for walls in ["all", "all,-namespaces"] {
            let got = play(user, walls, "work");
            assert!(got.succeeded() && got.code == Some(0), "{walls} as {user:?}: {got:?}");
        }
    }
}

#[test]
fn a_compiler_has_less_still() {
    for &user in users() {
        for attempt in ["open", "socket", "fork", "exec", "map-code-shared", "map-other-code", "write-then-execute"] {
            let got = play(user, "all,compiler", attempt);
            assert!(!got.succeeded() && got.said[0] == "sealed", "{attempt} as {user:?}: {got:?}");
        }
        // What it may not and an executor may: send, map code, and close memory that it has filled, which an executor's
        // pool needs and which hides from RLIMIT_DATA. There the watchdog and the control group are the bound.
        for attempt in ["send-socket", "map-code", "hide-and-repeat"] {
            let got = play(user, "all,compiler", attempt);
            assert_eq!(got.signal, Some(SIGSYS), "{attempt} as {user:?}: {got:?}");
            assert!(play(user, "all", attempt).succeeded(), "{attempt} as {user:?}");
        }
        let got = play(user, "all,compiler", "allocate");
        assert!(got.succeeded(), "{got:?}");
    }
}

#[test]
fn aborts_faults_and_used_up_cpu_end_it_in_every_namespace() {
    const SIGABRT: i64 = 6;
    const SIGSEGV: i64 = 11;
    const SIGKILL: i64 = 9;
    for &user in users() {
        for walls in ["all", "all,-namespaces"] {
            let aborted = play(user, walls, "abort");
            // The first process of a pid namespace ignores its own signals; abort then faults on purpose.
            let expected = if aborted.namespaces { SIGSEGV } else { SIGABRT };
            assert_eq!(aborted.signal, Some(expected), "{walls} as {user:?}: {aborted:?}");
            assert_eq!(play(user, walls, "fault").signal, Some(SIGSEGV), "{walls} as {user:?}");
            let spun = play(user, walls, "spin");
            assert_eq!(spun.signal, Some(SIGKILL), "{walls} as {user:?}: {spun:?}");
            assert!(!spun.hung && spun.cpu_ms >= 500, "ended by its limit of a second of CPU: {spun:?}");
        }
    }
}

#[test]
fn in_a_container_all_but_the_namespaces_stand() {
    for &user in users() {
        let got = on(user, "container", "all", "work");
        assert!(got.succeeded() && !got.namespaces, "{user:?}: {got:?}");
        assert_eq!(got.said[0], sealed(false));
        let got = on(user, "container", "all", "open");
        assert!(!got.succeeded() && got.said[0] == sealed(false), "{user:?}: {got:?}");
    }
}

#[test]
fn without_landlock_or_seccomp_nothing_is_run() {
    for &user in users() {
        for machine in ["without-landlock", "without-seccomp"] {
            let got = on(user, machine, "all", "work");
            assert!(got.said.is_empty() && got.code == Some(1), "{machine} as {user:?}: {got:?}");
        }
    }
}

#[test]
fn doctor_says_what_is_missing() {
    let doctor = |machine: &str| {
        let program = lockgate_executor::testing::program();
        let mut command = Command::new(&*PROGRAM);
        command.args(["on", machine]).arg(program).args(["doctor", "--output", "json"]);
        let output = command.output().expect("doctor runs");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        let missing: Vec<String> = report["walls"]
            .as_array()
            .expect("walls")
            .iter()
            .filter(|wall| wall["stands"] == false && wall["name"] != "control-group")
            .map(|wall| wall["name"].as_str().expect("a name").to_owned())
            .collect();
        (output.status.code(), missing, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (machine, wall) in [("without-landlock", "landlock"), ("without-seccomp", "seccomp")] {
        let (code, missing, error) = doctor(machine);
        assert_eq!((code, &missing[..]), (Some(3), &[wall.to_owned()][..]), "{error}");
        assert!(error.contains("LG0926") && error.contains(wall), "{error}");
    }
    let (code, missing, error) = doctor("container");
    assert_eq!((code, missing.len()), (Some(0), 6), "{missing:?} {error}");
    assert!(missing.iter().all(|name| name.ends_with("-namespace")), "{missing:?}");
}

#[test]
fn a_job_runs_without_a_wall_only_if_the_operator_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = "[job]\ntenant = \"acme\"\nname = \"bids\"\nversion = 1\n[source.in]\nconnector = \"nexmark\"\n\
        table = \"bid\"\nevents = 100\n[sink.out]\ninput = \"in\"\nconnector = \"discard\"\n";
    std::fs::write(folder.path().join("lockgate.toml"), manifest).expect("a manifest");
    for (machine, refusal) in [("without-landlock", "no Landlock"), ("without-seccomp", "system calls cannot")] {
        for (policy, runs) in [("required", false), ("best-effort", true)] {
            let config = folder.path().join("machine.toml");
            std::fs::write(&config, format!("jail = \"{policy}\"\n")).expect("a configuration");
            let mut command = Command::new(&*PROGRAM);
            command.args(["on", machine]).arg(lockgate_executor::testing::program()).args(["run", "--config"]);
            command.arg(&config).arg(folder.path()).env("LOCKGATE_HOME", folder.path().join("home"));
            let output = command.output().expect("a run");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), runs, "{machine}, {policy}: {said}");
            // What is missing is said either way: as the reason, or in the log and to whoever looks on.
            let tells = |text: &str| said.contains(text);
            assert!(if runs { tells("without walls that are missing here") } else { tells(refusal) }, "{said}");
        }
    }
}

#[test]
fn it_holds_nothing_and_ends_with_its_parent() {
    for &user in users() {
        for walls in ["all", "all,-namespaces"] {
            let mut host = command(user, &["host", walls, "wait"]).stdout(Stdio::piped()).spawn().expect("a host");
            let mut line = String::new();
            BufReader::new(host.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
            let told: Value = serde_json::from_str(&line).expect("JSON");
            let pid = i32::try_from(told["pid"].as_i64().expect("a pid")).expect("a pid");
            let watch = pidfd_open(Pid::from_raw(pid).expect("a pid"), PidfdFlags::empty()).expect("a pidfd");

            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                line.trim_start_matches(':').split_whitespace().map(String::from).collect::<Vec<_>>()
            };
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(field(set), ["0000000000000000"], "{set} as {user:?}");
            }
            assert_eq!((field("NoNewPrivs"), field("Seccomp")), (vec!["1".into()], vec!["2".into()]));
            if user == User::Root {
                assert_eq!(field("Uid"), ["65534"; 4]);
                assert_eq!(field("CapBnd"), ["0000000000000000"]);
                assert!(field("Groups").is_empty());
                let mut open: Vec<i32> = std::fs::read_dir(format!("/proc/{pid}/fd"))
                    .expect("its descriptors")
                    .map(|fd| fd.expect("one").file_name().to_str().expect("a number").parse().expect("a number"))
                    .collect();
                open.sort_unstable();
                assert_eq!(open, [0, 1, 2, 3, 4, 5, 6]);
                assert_eq!(std::fs::read(format!("/proc/{pid}/environ")).expect("its environment"), b"");
            }
            let first = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("its score");
            assert_eq!(first.trim(), "1000");
            assert_eq!(niceness(pid), [10, 10], "every thread is nice");

            host.kill().expect("a signal");
            host.wait().expect("its end");
            // What it removes itself when it is not killed.
            std::fs::remove_file(format!("/tmp/lockgate-escape-{}", host.id())).expect("its socket");
            let ended = poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&Timespec { tv_sec: 10, tv_nsec: 0 }));
            assert_eq!(ended, Ok(1), "{walls} as {user:?}");
        }
    }
}

/// The niceness of each thread of a process: field 19 of its `stat` (proc(5)).
fn niceness(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let stat = |path: PathBuf| std::fs::read_to_string(path.join("stat")).expect("its state");
    let nice = |stat: String| stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(17)?.parse().ok());
    threads.map(|thread| nice(stat(thread.expect("a thread").path())).expect("a number")).collect()
}

/// The signal by which the filter ends a process.
pub const SIGSYS: i64 = 31;

/// The line that a process says when all walls are raised.
fn sealed(namespaces: bool) -> String {
    let abi = *ABI;
    format!(
        r#"{{"namespaces":false,"empty-root":{namespaces},"no-privileges":true,"landlock":{abi},"seccomp":true,"cgroup":false}}"#
    )
}

/// Landlock's ABI here, as a process says it that raised it alone.
pub static ABI: LazyLock<u64> = LazyLock::new(|| {
    let got = play(users()[0], "landlock", "open");
    serde_json::from_str::<Value>(&got.said[0]).expect("JSON")["landlock"].as_u64().expect("a number")
});

/// Whether the kernel itself keeps written memory from being executed: since Linux 6.3.
pub static WRITE_OR_EXECUTE: LazyLock<bool> = LazyLock::new(|| {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(3))
});

/// The first ABI that keeps signals in.
pub const SIGNALS_SINCE: u64 = 6;

/// Who attempts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum User {
    Root,
    Nobody,
    /// Whoever runs the tests, if not root.
    Own,
}

/// Everyone that this process can be.
pub fn users() -> &'static [User] {
    if geteuid().is_root() { &[User::Root, User::Nobody] } else { &[User::Own] }
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Got {
    pub namespaces: bool,
    pub said: Vec<String>,
    pub hung: bool,
    pub code: Option<i64>,
    pub signal: Option<i64>,
    cpu_ms: u64,
}

impl Got {
    fn succeeded(&self) -> bool {
        self.said.last().is_some_and(|last| last.starts_with("succeeded"))
    }

    /// Whether it got what it was after, which may have left nobody to tell of it: then the process, whose walls stood,
    /// ended by itself.
    pub fn got_through(&self) -> bool {
        self.succeeded() || (self.said.len() == 1 && self.code.is_some())
    }
}

/// Plays on a machine that lacks something.
fn on(user: User, machine: &str, walls: &str, attempt: &str) -> Got {
    got(user, &["on", machine, &PROGRAM.to_string_lossy(), "host", walls, attempt])
}

fn play(user: User, walls: &str, attempt: &str) -> Got {
    got(user, &["host", walls, attempt])
}

fn got(user: User, arguments: &[&str]) -> Got {
    let mut all = all_of(user, arguments);
    assert_eq!(all.len(), 1, "{arguments:?}");
    all.remove(0)
}

/// What came of each of these attempts behind these walls.
pub fn play_all(user: User, walls: &str, attempts: &[&str]) -> Vec<Got> {
    let got = all_of(user, &[&["host", walls], attempts].concat());
    assert_eq!(got.len(), attempts.len(), "{walls} as {user:?}: the process that starts them was stopped");
    got
}

fn all_of(user: User, arguments: &[&str]) -> Vec<Got> {
    let output = command(user, arguments).output().expect("the program runs");
    let lines = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let all = lines.map(|value| {
        let value = value.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
        let said = value["said"].as_array().expect("a list").iter();
        Got {
            namespaces: value["namespaces"].as_bool().expect("whether"),
            said: said.map(|text| text.as_str().expect("text").to_owned()).collect(),
            hung: value["hung"].as_bool().expect("whether"),
            code: value["code"].as_i64(),
            signal: value["signal"].as_i64(),
            cpu_ms: value["cpu-ms"].as_u64().expect("a number"),
        }
    });
    let all: Vec<Got> = all.collect();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    all
}

fn command(user: User, arguments: &[&str]) -> Command {
    let mut command = Command::new(&*PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
    if user == User::Nobody {
        command.uid(65534).gid(65534);
    }
    command
}

/// The program, where nobody may execute it: a folder above the build's may be closed to him.
pub static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_compromised"));
    if !geteuid().is_root() || Command::new(&built).uid(65534).gid(65534).stderr(Stdio::null()).status().is_ok() {
        return built;
    }
    let copy = std::env::temp_dir().join(format!("lockgate-compromised-{}", std::process::id()));
    std::fs::copy(&built, &copy).expect("a copy that nobody can reach");
    copy
});
