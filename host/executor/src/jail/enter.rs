//! The steps by which a fresh process gives up what it has, before it sees anything of a tenant's.

use super::clone::last_errno;
use super::walls::{MIN_LANDLOCK_ABI, Policy};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, Ruleset, RulesetAttr as _,
    RulesetStatus, Scope,
};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{
    DumpableBehavior, Gid, Resource, Rlimit, Signal, Uid, chdir, getpid, getppid, getuid, pivot_root,
    set_dumpable_behavior, set_parent_process_death_signal, setpriority_process, setrlimit, setsid, umask,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::os::fd::RawFd;
use std::time::Duration;

/// Bounds on what the process may use, set by [`limit()`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResourceLimits {
    /// Bytes of private writable memory, the pool's and the heap's together (`RLIMIT_DATA`).
    pub data: u64,
    /// Bytes of address space (`RLIMIT_AS`): for a compiler, whose bound it then is alone. The kernel does not hold
    /// `mprotect` to `RLIMIT_DATA` once the space in use and the length are together beyond `RLIMIT_AS`. None for an
    /// executor, whose pool reserves far more than it uses.
    pub address_space: Option<u64>,
    /// CPU time of the whole process, rounded up to seconds (`RLIMIT_CPU`): for a compiler. At its end comes SIGKILL.
    pub cpu: Option<Duration>,
    /// The number of open descriptors (`RLIMIT_NOFILE`).
    pub descriptors: u64,
}

/// Puts an empty, read-only directory in place of the machine's root, where the process has namespaces of its own:
/// [`super::spawn()`] gives all or none, and with them this process is the first of its pid namespace. Says whether.
///
/// # Errors
/// `LG0925` if it has namespaces and yet cannot leave.
pub fn root() -> Result<bool> {
    if !getpid().is_init() {
        return Ok(false);
    }
    let step = |step: &'static str| {
        move |errno: Errno| {
            Error::new(code::ROOT_NOT_EMPTIED, format!("cannot leave the file system ({step}): {errno}"))
        }
    };
    // Any directory will do that is there on every machine.
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"none", c"/proc", c"tmpfs", flags, c"size=4k,nr_inodes=1,mode=000").map_err(step("mount"))?;
    chdir(c"/proc").map_err(step("enter"))?;
    // pivot_root(2): with both at one place the old root lies over the new one and is taken off.
    pivot_root(c".", c".").map_err(step("pivot"))?;
    unmount(c".", UnmountFlags::DETACH).map_err(step("unmount"))?;
    chdir(c"/").map_err(step("descend"))?;
    Ok(true)
}

/// Gives up what the process inherited: privileges for good, every descriptor above `keep`, its session and terminal,
/// its priority (`nice`, 0 to 19), the right of others to look into it, and memory that is both written and executed. Asks again to be killed when the thread
/// that started it ends, because that is forgotten when a process changes its user.
///
/// As root of the machine it becomes nobody, where its parent can still kill it then. Before any thread is made.
///
/// # Errors
/// `LG0921` if any of it fails.
pub fn shed(keep: RawFd, nice: i32) -> Result<()> {
    let step = |step: &'static str| {
        move |errno: Errno| Error::new(code::PRIVILEGES_KEPT, format!("cannot give up privileges ({step}): {errno}"))
    };
    let parent = getppid();
    // A process that leads its group and session cannot make another, and need not.
    if let Err(errno) = setsid()
        && errno != Errno::PERM
    {
        return Err(step("session")(errno));
    }
    setpriority_process(None, nice).map_err(step("nice"))?;
    umask(Mode::RWXU | Mode::RWXG | Mode::RWXO);
    rustix::thread::set_no_new_privs(true).map_err(step("no new privileges"))?;
    drop_capabilities().map_err(step("capabilities"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step("not dumpable"))?;
    write_or_execute().map_err(step("write or execute"))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(step("death signal"))?;
    if getppid() != parent {
        return Err(Error::new(code::PRIVILEGES_KEPT, "the parent ended"));
    }
    close_above(keep).map_err(step("descriptors"))
}

fn drop_capabilities() -> Result<(), Errno> {
    let own = capabilities(None)?.effective;
    if own.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::from_bits_retain(u64::MAX).iter() {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // The first that this kernel does not know.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno),
            }
        }
    }
    match rustix::thread::clear_ambient_capability_set() {
        // Before Linux 4.3 there were none.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    // A parent that is root reaches a process of another user by CAP_KILL alone, which it has if this process does.
    if getuid().is_root() && own.contains(CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL) {
        become_nobody()?;
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)?;
    if capabilities(None)? == none { Ok(()) } else { Err(Errno::PERM) }
}

/// Changes to user and group 65534, unless the user namespace has no such users: there, root is nobody already.
fn become_nobody() -> Result<(), Errno> {
    const NOBODY: u32 = 65534;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    match rustix::thread::set_thread_groups(&[]) {
        // In a user namespace whose groups were not to be changed.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    match rustix::thread::set_thread_res_gid(group, group, group) {
        Err(Errno::INVAL) => return Ok(()),
        changed => changed?,
    }
    rustix::thread::set_thread_res_uid(user, user, user)
}

/// No memory is ever writable and executable, nor made executable after it was not: prctl(2), since Linux 6.3. Before that
/// the filter alone sees to it.
#[expect(unsafe_code, reason = "a system call that has no wrapper")]
fn write_or_execute() -> Result<(), Errno> {
    const REFUSE_EXEC_GAIN: libc::c_ulong = libc::PR_MDWE_REFUSE_EXEC_GAIN as libc::c_ulong;
    const UNUSED: libc::c_ulong = 0;
    // SAFETY: changes how later mappings of this process are checked, and none that there is.
    match unsafe { libc::prctl(libc::PR_SET_MDWE, REFUSE_EXEC_GAIN, UNUSED, UNUSED, UNUSED) } {
        0 => Ok(()),
        _ => match last_errno() {
            Errno::INVAL | Errno::NOSYS => Ok(()),
            errno => Err(errno),
        },
    }
}

#[expect(unsafe_code, reason = "a system call that has no wrapper")]
fn close_above(keep: RawFd) -> Result<(), Errno> {
    // SAFETY: at this point of the program nothing owns a descriptor above `keep`, which is what the caller promises by
    // being a fresh process.
    let result = unsafe { libc::syscall(libc::SYS_close_range, keep.saturating_add(1), libc::c_int::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Landlock without a rule: of everything that the kernel's ABI can forbid (files, TCP ports, signals to and abstract
/// sockets of others), nothing is allowed. Gives the ABI that holds; 0 for none, with [`Policy::BestEffort`] only. Before
/// any thread is made.
///
/// # Errors
/// `LG0922` with [`Policy::Required`], if less holds than [`MIN_LANDLOCK_ABI`].
pub fn landlock(policy: Policy) -> Result<u32> {
    // The newest that the library knows; what the kernel does not, it leaves out.
    const NEWEST: ABI = ABI::V10;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.restrict_self());
    let (abi, why) = match &status {
        Ok(status) => match (&status.landlock, &status.ruleset) {
            (_, RulesetStatus::NotEnforced) | (LandlockStatus::NotEnabled | LandlockStatus::NotImplemented, _) => {
                (0, "the kernel has no Landlock, or it is switched off".to_owned())
            }
            (LandlockStatus::Available { effective_abi, .. }, _) => {
                (*effective_abi as u32, format!("the kernel's ABI of Landlock is {}", *effective_abi as u32))
            }
        },
        Err(error) => (0, format!("Landlock cannot be enforced: {error}")),
    };
    if abi < MIN_LANDLOCK_ABI && policy == Policy::Required {
        let text = format!("{why}, where at least {MIN_LANDLOCK_ABI} is required");
        return Err(Error::new(code::LANDLOCK_MISSING, text));
    }
    Ok(abi)
}

/// Bounds what the process may use. After what needs more (the engine, the arena), before or after threads are made.
///
/// # Errors
/// `LG0924` if a limit cannot be set.
pub fn limit(limits: &ResourceLimits) -> Result<()> {
    lower(Resource::Data, limits.data)?;
    if let Some(bytes) = limits.address_space {
        lower(Resource::As, bytes)?;
    }
    if let Some(cpu) = limits.cpu {
        // Both limits alike: the signal at the lower one is ignored in a pid namespace of one's own.
        lower(Resource::Cpu, cpu.as_secs().saturating_add(u64::from(cpu.subsec_nanos() > 0)).max(1))?;
    }
    lower(Resource::Nofile, limits.descriptors)?;
    let none = [
        Resource::Core,
        Resource::Fsize,
        Resource::Memlock,
        Resource::Msgqueue,
        Resource::Locks,
        Resource::Nice,
        Resource::Rtprio,
    ];
    none.into_iter().try_for_each(|resource| lower(resource, 0))?;
    lower(Resource::Sigpending, 16)
}

/// No further process or thread, as far as the kernel counts them: not for root. When all threads are made;
/// [`super::seal()`] does it too.
///
/// # Errors
/// `LG0924` if it is refused.
pub fn no_more_threads() -> Result<()> {
    lower(Resource::Nproc, 0)
}

fn lower(resource: Resource, value: u64) -> Result<()> {
    let limit = Rlimit { current: Some(value), maximum: Some(value) };
    let refused = |errno| {
        Error::new(code::RESOURCES_UNBOUNDED, format!("the limit {resource:?} cannot be set to {value}: {errno}"))
    };
    setrlimit(resource, limit).map_err(refused)
}
