//! Control groups: where a part of the cgroup v2 tree was delegated to the TaskManager, each executor gets a group of its
//! own, which bounds all its memory (page tables and shared pages too, which no other limit counts) and weighs its CPU.
//!
//! Delegated means that the TaskManager may write its own group and has the controllers there (cgroups(7), "Delegation").
//! A group with controllers for its children holds no process itself, so the TaskManager moves into a child first.

use super::process::Child;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::fs::{Access, access, getxattr};
use rustix::process::geteuid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The part of the tree that was delegated to this process.
#[derive(Debug)]
pub struct Cgroups {
    base: PathBuf,
    made: AtomicU64,
}

/// The group of one child. Dropping it kills what is left in it and removes it: reap the child first.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

/// What groups of children are called, before a number.
const PREFIX: &str = "executor-";
/// The group of the TaskManager itself.
const OWN: &str = "taskmanager";

impl Cgroups {
    /// Takes over what was delegated to this process: moves it into a group of its own beside those of its children,
    /// gives these the controllers, and removes groups that an earlier process left. Once, when a TaskManager starts.
    ///
    /// None where nothing is delegated; [`super::probe()`] says what to change.
    ///
    /// # Errors
    /// `LG0927` if it is delegated and yet cannot be taken.
    pub fn take() -> Result<Option<Self>> {
        match delegated() {
            Ok(base) => Self::at(base, std::process::id()).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn at(base: PathBuf, pid: u32) -> Result<Self> {
        for left in fs::read_dir(&base).map_err(|error| refused(&base, &error))?.take(10_000).flatten() {
            if left.file_name().to_string_lossy().starts_with(PREFIX) {
                // One that still holds a process is another TaskManager's.
                let _ = fs::remove_dir(left.path());
            }
        }
        let own = base.join(OWN);
        make(&own)?;
        put(&own, "cgroup.procs", &pid.to_string())?;
        put(&base, "cgroup.subtree_control", "+memory +cpu")?;
        Ok(Self { base, made: AtomicU64::new(0) })
    }

    /// Moves `child` into a group with at most `memory` bytes, where the kernel ends all of it when they are used up,
    /// and with this weight when CPU is short (1 to 10,000; 100 is what others have).
    ///
    /// # Errors
    /// `LG0927` if a file of the group cannot be written.
    pub fn confine(&self, child: &Child, memory: u64, weight: u32) -> Result<Cgroup> {
        self.confine_pid(child.pid(), memory, weight)
    }

    fn confine_pid(&self, pid: u32, memory: u64, weight: u32) -> Result<Cgroup> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let path = self.base.join(format!("{PREFIX}{}-{number}", std::process::id()));
        make(&path)?;
        // From here on dropping it removes what was made.
        let group = Cgroup { path };
        put(&group.path, "memory.max", &memory.to_string())?;
        put(&group.path, "memory.oom.group", "1")?;
        put(&group.path, "cpu.weight", &weight.clamp(1, 10_000).to_string())?;
        // Without swap, or without accounting of it, there is no such file.
        let _ = put(&group.path, "memory.swap.max", "0");
        put(&group.path, "cgroup.procs", &pid.to_string())?;
        Ok(group)
    }
}

impl Cgroup {
    /// Bytes of memory that are charged to the group now; none if the kernel does not say.
    pub fn memory(&self) -> Option<u64> {
        fs::read_to_string(self.path.join("memory.current")).ok()?.trim().parse().ok()
    }

    /// Whether the kernel ended a process of it because its memory was used up.
    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Since Linux 5.14; the child was killed before in any case.
        let kill = self.path.join("cgroup.kill");
        if kill.exists() {
            let _ = fs::write(kill, "1");
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// The group that was delegated to this process, or why there is none.
pub(super) fn delegated() -> Result<PathBuf, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mounted = mount_point(&read("/proc/self/mountinfo")?).ok_or("cgroup v2 is not mounted")?;
    let own = own_group(&read("/proc/self/cgroup")?).ok_or("this process has no group of cgroup v2")?;
    writable(&mounted, &own)
}

/// Whether the group `own` below `mounted` has the controllers and may be written.
fn writable(mounted: &Path, own: &str) -> Result<PathBuf, String> {
    let base = mounted.join(own.trim_start_matches('/'));
    // The root of the tree has no such file, and is nobody's.
    let kind = fs::read_to_string(base.join("cgroup.type")).map_err(|_| "this process is in the root group")?;
    if kind.trim() != "domain" {
        return Err(format!("the own group is of type {}", kind.trim()));
    }
    let controllers = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
    for needed in ["memory", "cpu"] {
        if !controllers.split_whitespace().any(|controller| controller == needed) {
            return Err(format!("the own group lacks the controller {needed}"));
        }
    }
    for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
        access(base.join(file), Access::WRITE_OK)
            .map_err(|errno| format!("the own group may not be changed: {errno}"))?;
    }
    // Root may write what systemd has not given away, and would take back. In a namespace it is "/" and given.
    if geteuid().is_root() && own != "/" && !marked(&base) {
        return Err("the own group is not marked as delegated".into());
    }
    Ok(base)
}

/// Whether systemd has marked the group (systemd.resource-control(5), `Delegate=`).
fn marked(base: &Path) -> bool {
    let mut value = [0; 8];
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        getxattr(base, *name, &mut value).is_ok_and(|length| value.get(..length).is_some_and(|value| value == b"1"))
    })
}

/// Where cgroup v2 is mounted: the fifth field of a line whose file system, behind " - ", is cgroup2 (proc(5)).
fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    let line =
        mountinfo.lines().find(|line| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("cgroup2 ")))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

/// The process's group: the line of hierarchy 0 (cgroups(7)).
fn own_group(cgroup: &str) -> Option<String> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::")).map(String::from)
}

fn make(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(refused(path, &error)),
        _ => Ok(()),
    }
}

fn put(group: &Path, file: &str, text: &str) -> Result<()> {
    let path = group.join(file);
    fs::write(&path, text).map_err(|error| refused(&path, &error))
}

fn refused(path: &Path, error: &io::Error) -> Error {
    Error::new(code::GROUP_REFUSED, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a delegated group.
    fn tree(test: &str) -> PathBuf {
        let mounted = std::env::temp_dir().join(format!("lockgate-cgroup-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&mounted);
        fs::create_dir_all(mounted.join("own")).unwrap();
        for (file, text) in [
            ("cgroup.type", "domain\n"),
            ("cgroup.controllers", "cpu io memory pids\n"),
            ("cgroup.procs", ""),
            ("cgroup.subtree_control", ""),
        ] {
            fs::write(mounted.join("own").join(file), text).unwrap();
        }
        mounted
    }

    #[test]
    fn a_child_is_confined_and_its_group_removed() {
        let mounted = tree("confine");
        let base = mounted.join("own");
        fs::create_dir(base.join("executor-left")).unwrap();
        let groups = Cgroups::at(base.clone(), 41).unwrap();
        assert!(!base.join("executor-left").exists());
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!(read(base.join("taskmanager/cgroup.procs")), "41");
        assert_eq!(read(base.join("cgroup.subtree_control")), "+memory +cpu");

        let first = groups.confine_pid(42, 1 << 20, 50).unwrap();
        let second = groups.confine_pid(43, 1 << 20, 0).unwrap();
        assert_ne!(first.path, second.path);
        for (file, text) in
            [("memory.max", "1048576"), ("memory.oom.group", "1"), ("cpu.weight", "50"), ("cgroup.procs", "42")]
        {
            assert_eq!(read(first.path.join(file)), text);
        }
        assert_eq!(read(second.path.join("cpu.weight")), "1");
        assert_eq!((first.memory(), first.ran_out_of_memory()), (None, false));
        fs::write(first.path.join("memory.current"), "4096\n").unwrap();
        fs::write(first.path.join("memory.events"), "oom 1\noom_kill 1\n").unwrap();
        assert_eq!((first.memory(), first.ran_out_of_memory()), (Some(4096), true));

        // The files of a real group go with it; these must be taken away by hand.
        let path = first.path.clone();
        for file in fs::read_dir(&path).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        drop(first);
        assert!(!path.exists());
        fs::remove_dir_all(mounted).unwrap();
    }

    #[test]
    fn only_what_is_delegated_is_taken() {
        let mounted = tree("delegated");
        // In a namespace of its own the delegated group is the root.
        assert_eq!(writable(&mounted.join("own"), "/").unwrap(), mounted.join("own/"));
        if geteuid().is_root() {
            assert!(writable(&mounted, "/own").unwrap_err().contains("not marked"));
        }
        for (file, text, why) in [
            ("cgroup.controllers", "cpu pids", "memory"),
            ("cgroup.controllers", "memory", "cpu"),
            ("cgroup.type", "threaded", "threaded"),
        ] {
            let path = mounted.join("own").join(file);
            let before = fs::read(&path).unwrap();
            fs::write(&path, text).unwrap();
            assert!(writable(&mounted.join("own"), "/").unwrap_err().contains(why));
            fs::write(&path, before).unwrap();
        }
        fs::remove_file(mounted.join("own/cgroup.type")).unwrap();
        assert!(writable(&mounted.join("own"), "/").unwrap_err().contains("root group"));
        fs::remove_dir_all(mounted).unwrap();
    }

    #[test]
    fn the_group_is_found_among_others() {
        let mounts = "24 30 0:22 / /proc rw - proc proc rw\n31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      33 30 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(mounts).unwrap(), Path::new("/sys/fs/cgroup"));
        assert_eq!(mount_point("24 30 0:22 / /proc rw - proc proc rw\n"), None);
        assert_eq!(own_group("4:memory:/a\n0::/system.slice/b.service\n").unwrap(), "/system.slice/b.service");
        assert_eq!(own_group("4:memory:/a\n"), None);
    }
}
