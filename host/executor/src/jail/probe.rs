//! Finds out which walls this machine can raise, by raising them: on a thread that is thrown away, or in a process that
//! ends at once. What a configuration file says may be forbidden by another.

use super::cgroup;
use super::clone::{ALL, block_signals, try_namespaces};
use super::enter::landlock;
use super::seal::try_filter;
use super::walls::{MIN_LANDLOCK_ABI, Policy};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, geteuid, getpid, pidfd_open};
use serde::Serialize;
use std::ffi::c_int;
use std::fs;

/// What was found of every wall.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Each wall, those first without which a TaskManager does not start.
    pub walls: Vec<Finding>,
}

/// What was found of one wall.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Its name.
    pub name: &'static str,
    /// Whether a TaskManager does not start without it, unless the operator says so.
    pub required: bool,
    /// Whether this machine can raise it.
    pub stands: bool,
    /// What was found: a version, or what the kernel answered.
    pub found: String,
    /// What to change to have it, if it is missing.
    pub change: Option<String>,
}

impl Report {
    /// Whether this machine has all that is required.
    pub fn sufficient(&self) -> bool {
        self.walls.iter().all(|wall| wall.stands || !wall.required)
    }
}

/// Tries every wall on this machine. Nothing of this process is changed.
///
/// # Errors
/// `LG0920` if no thread can be made to try on.
pub fn probe() -> Result<Report> {
    let failed = || Error::new(code::EXECUTOR_NOT_STARTED, "no thread can be made to try the walls on");
    let thread = std::thread::Builder::new().name("probe".into()).spawn(tried).map_err(|_| failed())?;
    Ok(Report { walls: thread.join().map_err(|_| failed())? })
}

/// On a thread of its own, which has the last three walls around it from then on.
fn tried() -> Vec<Finding> {
    block_signals();
    let optional: Vec<Finding> = namespaces().into_iter().chain([oom_score(), control_group()]).collect();
    let mut walls = vec![
        required("pidfd", pidfd_open(getpid(), PidfdFlags::empty()).map(drop), "use Linux 5.3 or later"),
        required("memfd", memfd(), "use Linux 5.1 or later"),
        required("no-new-privileges", rustix::thread::set_no_new_privs(true), "use Linux 3.5 or later"),
        landlocked(),
        filtered(),
    ];
    walls.extend(optional);
    walls
}

fn required(name: &'static str, tried: Result<(), Errno>, change: &str) -> Finding {
    Finding {
        required: true,
        ..finding(name, tried.map(|()| "works".into()).map_err(|errno| errno.to_string()), change)
    }
}

fn finding(name: &'static str, tried: Result<String, String>, change: &str) -> Finding {
    let stands = tried.is_ok();
    let found = tried.unwrap_or_else(|why| why);
    Finding { name, required: false, stands, found, change: (!stands).then(|| change.to_owned()) }
}

/// A memory that can be sealed against every later writer, as machine code is handed over.
fn memfd() -> Result<(), Errno> {
    let fd = memfd_create(c"probe", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK | SealFlags::FUTURE_WRITE | SealFlags::SEAL)
}

fn landlocked() -> Finding {
    let abi = landlock(Policy::BestEffort).unwrap_or(0);
    let list = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let change = if abi > 0 {
        "use Linux 6.2 or later"
    } else if !list.is_empty() && !list.contains("landlock") {
        "add landlock to lsm= on the kernel's command line"
    } else {
        "use Linux 6.2 or later with Landlock, and allow landlock_create_ruleset, landlock_add_rule and \
         landlock_restrict_self in the container's seccomp profile"
    };
    let found = if abi == 0 { "none".into() } else { format!("ABI {abi}") };
    let tried = if abi >= MIN_LANDLOCK_ABI { Ok(found) } else { Err(found) };
    Finding { required: true, ..finding("landlock", tried, change) }
}

fn filtered() -> Finding {
    let tried = try_filter().map(|()| "works".into()).map_err(|error| error.cause().to_owned());
    let change = "use a kernel with CONFIG_SECCOMP_FILTER, and allow seccomp in the container's profile";
    Finding { required: true, ..finding("seccomp", tried, change) }
}

/// Each kind of namespace, as an executor would get it: within a user namespace, or directly as root.
fn namespaces() -> Vec<Finding> {
    let user = try_namespaces(libc::CLONE_NEWUSER);
    let direct = geteuid().is_root() && try_namespaces(ALL).is_ok();
    let change = change_for_namespaces();
    let kinds: [(&'static str, c_int); 6] = [
        ("user-namespace", libc::CLONE_NEWUSER),
        ("mount-namespace", libc::CLONE_NEWNS),
        ("network-namespace", libc::CLONE_NEWNET),
        ("pid-namespace", libc::CLONE_NEWPID),
        ("ipc-namespace", libc::CLONE_NEWIPC),
        ("uts-namespace", libc::CLONE_NEWUTS),
    ];
    let tried = |kind: c_int| {
        if kind == libc::CLONE_NEWUSER {
            user.map(|()| "works".to_owned())
        } else if direct {
            try_namespaces(kind).map(|()| "works, as root".to_owned())
        } else {
            try_namespaces(kind | libc::CLONE_NEWUSER).map(|()| "works, in a user namespace".to_owned())
        }
    };
    kinds.into_iter().map(|(name, kind)| finding(name, tried(kind).map_err(|e| e.to_string()), &change)).collect()
}

/// What forbids namespaces here, as far as the kernel's settings say.
fn change_for_namespaces() -> String {
    let setting = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    if setting("/proc/sys/user/max_user_namespaces") == "0" {
        "sysctl -w user.max_user_namespaces=10000".into()
    } else if setting("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        "sysctl -w kernel.unprivileged_userns_clone=1".into()
    } else if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        "load an AppArmor profile with `userns,` for lockgate, or sysctl -w \
         kernel.apparmor_restrict_unprivileged_userns=0"
            .into()
    } else {
        "allow clone with namespaces and mount in the container's seccomp and AppArmor profiles; without them the other \
         walls hold alone"
            .into()
    }
}

/// Whether an executor can be made the kernel's first choice when memory is short: as is written here, what is there.
fn oom_score() -> Finding {
    const PATH: &str = "/proc/self/oom_score_adj";
    let tried = fs::read_to_string(PATH).and_then(|score| fs::write(PATH, score));
    finding(
        "oom-score",
        tried.map(|()| "works".into()).map_err(|error| error.to_string()),
        "mount /proc for reading and writing; until then the TaskManager may be ended in place of an executor",
    )
}

fn control_group() -> Finding {
    let tried = cgroup::delegated().map(|path| format!("delegated: {}", path.display()));
    finding(
        "control-group",
        tried,
        "set Delegate=memory cpu in the systemd unit, or give the container a writable cgroup v2; until then RLIMIT_DATA \
         and the watchdog bound memory",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probing_changes_nothing_of_this_process() {
        let report = probe().unwrap();
        assert!(!rustix::thread::no_new_privs().unwrap());
        assert!(fs::read("/etc/passwd").is_ok() && std::env::current_dir().is_ok());
        assert_eq!(report, probe().unwrap());
    }

    #[test]
    fn what_is_missing_comes_with_what_to_change() {
        let missing = required("pidfd", Err(Errno::NOSYS), "use Linux 5.3 or later");
        assert!(!missing.stands && missing.required && missing.change.is_some());
        let there = finding("oom-score", Ok("works".into()), "change");
        assert!(there.stands && there.change.is_none());
        assert!(Report { walls: vec![there.clone()] }.sufficient());
        assert!(!Report { walls: vec![there.clone(), missing.clone()] }.sufficient());
        assert!(Report { walls: vec![Finding { required: false, ..missing }] }.sufficient());
    }
}
