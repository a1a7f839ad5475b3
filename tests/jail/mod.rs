//! The second wall, tried from within: a program that plays a compromised executor raises the walls that a test names,
//! attempts one thing, and tells what came of it.
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

/// Each attempt, the walls that stop it alone, and whether it works where there are none: `Root` needs to be root.
const ATTEMPTS: &[(&str, &[&str], Works)] = &[
    ("open", &["namespaces", "landlock", "seccomp"], Works::Always),
    ("create", &["namespaces", "landlock", "seccomp"], Works::Always),
    ("exec", &["namespaces", "landlock", "seccomp"], Works::Silently),
    ("socket", &["seccomp"], Works::Always),
    ("fork", &["seccomp"], Works::Always),
    ("thread", &["seccomp"], Works::Always),
    ("map-writable-code", &["shed", "seccomp"], Works::Always),
    ("map-other-code", &["seccomp"], Works::Always),
    ("map-code-writable", &["seccomp"], Works::Always),
    ("map-code-shared", &["seccomp"], Works::Always),
    ("write-then-execute", &["shed", "seccomp"], Works::Always),
    ("map-shared", &["seccomp"], Works::Always),
    ("map-huge-pages", &["seccomp"], Works::Never),
    ("map-growing", &["seccomp"], Works::Always),
    ("map-readable", &["seccomp"], Works::Always),
    ("map-too-long", &["limits", "seccomp"], Works::Always),
    ("map-too-much", &["limits"], Works::Always),
    ("protect-too-long", &["limits", "seccomp"], Works::Always),
    ("protect-too-much", &["limits"], Works::Always),
    ("kill", &["namespaces", "landlock", "seccomp"], Works::Always),
    ("kill-thread", &["namespaces", "landlock", "seccomp"], Works::Silently),
    ("ptrace", &["namespaces", "landlock", "seccomp"], Works::Always),
    ("read-memory", &["namespaces", "landlock", "seccomp"], Works::Always),
    ("raise-limit", &["limits", "seccomp"], Works::Always),
    ("io-uring", &["seccomp"], Works::Always),
    ("other-numbers", &["seccomp"], Works::Never),
    #[cfg(target_arch = "x86_64")]
    ("other-entry", &["seccomp"], Works::Never),
    ("memfd", &["seccomp"], Works::Always),
    ("unshare", &["shed", "seccomp"], Works::Root),
    ("read-code", &["seccomp"], Works::Always),
    ("write-socket", &["seccomp"], Works::Silently),
    ("read-signal", &["seccomp"], Works::Never),
    ("duplicate", &["seccomp"], Works::Always),
    ("close", &["seccomp"], Works::Silently),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Works {
    Always,
    Root,
    /// It leaves nobody who could tell of it.
    Silently,
    /// This machine refuses it for reasons of its own, or it waits for ever.
    Never,
}

#[test]
fn each_wall_stops_alone_what_it_is_for() {
    for &user in users() {
        for (attempt, walls, works) in ATTEMPTS {
            let expected = match works {
                Works::Always => Some(true),
                Works::Root => Some(user == User::Root),
                Works::Silently | Works::Never => None,
            };
            if let Some(expected) = expected {
                let free = play(user, "none", attempt);
                assert_eq!(free.succeeded(), expected, "{attempt} as {user:?} without walls: {free:?}");
            }
            for wall in *walls {
                let got = play(user, wall, attempt);
                let signals = attempt.starts_with("kill") && *ABI < SIGNALS_SINCE;
                let executes = attempt.contains("writ") && !*WRITE_OR_EXECUTE;
                let absent = match *wall {
                    "namespaces" => !got.namespaces,
                    "landlock" => signals,
                    "shed" => executes,
                    _ => false,
                };
                if absent {
                    continue;
                }
                let tried = !got.said.is_empty() && !got.succeeded();
                assert!(tried, "{attempt} as {user:?} behind {wall} alone: {got:?}");
                // The filter ends the process, but for what libraries try too.
                if *wall == "seccomp" && !["open", "create", "thread"].contains(attempt) {
                    assert_eq!(got.signal, Some(SIGSYS), "{attempt} as {user:?}: {got:?}");
                }
            }
        }
    }
}

#[test]
fn nothing_gets_through_all_walls_nor_with_one_of_several_taken_down() {
    for &user in users() {
        for (attempt, walls, _) in ATTEMPTS {
            let got = play(user, "all", attempt);
            assert!(!got.succeeded(), "{attempt} as {user:?}: {got:?}");
            assert_eq!(got.said[0], sealed(got.namespaces), "{attempt} as {user:?}");
            if walls.len() > 1 && (!walls.contains(&"shed") || *WRITE_OR_EXECUTE) {
                for wall in *walls {
                    let got = play(user, &format!("all,-{wall}"), attempt);
                    assert!(!got.succeeded(), "{attempt} as {user:?} without {wall}: {got:?}");
                }
            }
        }
    }
}

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

const SIGSYS: i64 = 31;

/// The line that a process says when all walls are raised.
fn sealed(namespaces: bool) -> String {
    let abi = *ABI;
    format!(
        r#"{{"namespaces":false,"empty-root":{namespaces},"no-privileges":true,"landlock":{abi},"seccomp":true,"cgroup":false}}"#
    )
}

/// Landlock's ABI here, as a process says it that raised it alone.
static ABI: LazyLock<u64> = LazyLock::new(|| {
    let got = play(users()[0], "landlock", "open");
    serde_json::from_str::<Value>(&got.said[0]).expect("JSON")["landlock"].as_u64().expect("a number")
});

/// Whether the kernel itself keeps written memory from being executed: since Linux 6.3.
static WRITE_OR_EXECUTE: LazyLock<bool> = LazyLock::new(|| {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(3))
});

/// The first ABI that keeps signals in.
const SIGNALS_SINCE: u64 = 6;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum User {
    Root,
    Nobody,
    /// Whoever runs the tests, if not root.
    Own,
}

fn users() -> &'static [User] {
    if geteuid().is_root() { &[User::Root, User::Nobody] } else { &[User::Own] }
}

/// What came of an attempt.
#[derive(Debug)]
struct Got {
    namespaces: bool,
    said: Vec<String>,
    hung: bool,
    code: Option<i64>,
    signal: Option<i64>,
    cpu_ms: u64,
}

impl Got {
    fn succeeded(&self) -> bool {
        self.said.last().is_some_and(|last| last.starts_with("succeeded"))
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
    let output = command(user, arguments).output().expect("the program runs");
    // Some attempts end their parent, or say nothing more, where nothing stops them.
    let Ok(value) = serde_json::from_slice::<Value>(&output.stdout) else {
        assert!(arguments.contains(&"none"), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        return Got { namespaces: false, said: Vec::new(), hung: false, code: None, signal: None, cpu_ms: 0 };
    };
    let said = value["said"].as_array().expect("a list").iter();
    Got {
        namespaces: value["namespaces"].as_bool().expect("whether"),
        said: said.map(|text| text.as_str().expect("text").to_owned()).collect(),
        hung: value["hung"].as_bool().expect("whether"),
        code: value["code"].as_i64(),
        signal: value["signal"].as_i64(),
        cpu_ms: value["cpu-ms"].as_u64().expect("a number"),
    }
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
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_compromised"));
    if !geteuid().is_root() || Command::new(&built).uid(65534).gid(65534).stderr(Stdio::null()).status().is_ok() {
        return built;
    }
    let copy = std::env::temp_dir().join(format!("lockgate-compromised-{}", std::process::id()));
    std::fs::copy(&built, &copy).expect("a copy that nobody can reach");
    copy
});
