//! Installs the filter of system calls on every thread of the process, for good.

use super::enter::no_more_threads;
use super::filter::{REFUSED, table};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::RawFd;

/// What a process may do once it is sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Profile {
    /// Runs functions and decoders.
    Executor {
        /// A connected socket that it may send to and receive from.
        socket: RawFd,
        /// The only descriptor that it may map, for reading and for executing.
        code: RawFd,
        /// Eventfds that it may read.
        wake: Range<RawFd>,
        /// Eventfds that it may write.
        signal: Range<RawFd>,
        /// The longest accessible mapping in bytes: no more than [`super::ResourceLimits::data`].
        memory: u64,
    },
    /// Compiles a component, in one thread and without executable memory.
    Compiler {
        /// What it may read.
        input: RawFd,
        /// What it may write.
        output: RawFd,
        /// The longest accessible mapping in bytes.
        memory: u64,
    },
}

impl Profile {
    pub(super) fn memory(&self) -> u64 {
        match self {
            Self::Executor { memory, .. } | Self::Compiler { memory, .. } => *memory,
        }
    }
}

/// Allows from here on only what `profile` says, in this and every other thread. Whatever else a thread asks the kernel
/// for ends the process by SIGSYS. There is no way back, and no further thread. Threads must have begun to run: how one
/// registers itself with the kernel at its start is not allowed any more.
///
/// # Errors
/// `LG0923` if the filter cannot be installed, `LG0924` if the number of processes cannot be bounded.
pub fn seal(profile: &Profile) -> Result<()> {
    let programs = compile(profile).map_err(|error| {
        Error::new(code::SECCOMP_MISSING, format!("the filter of system calls cannot be made: {error}"))
    })?;
    no_more_threads()?;
    // What `shed` has done; the kernel takes no filter of an ordinary user's without.
    rustix::thread::set_no_new_privs(true).map_err(|errno| {
        Error::new(code::SECCOMP_MISSING, format!("the filter of system calls cannot be installed: {errno}"))
    })?;
    programs.iter().try_for_each(|program| install(program, libc::SECCOMP_FILTER_FLAG_TSYNC))?;
    // The filter refuses this call, which does no harm. Were it answered, there would be no filter.
    match rustix::thread::no_new_privs() {
        Err(rustix::io::Errno::PERM) => Ok(()),
        _ => Err(Error::new(code::SECCOMP_MISSING, "the filter of system calls was taken but does not work")),
    }
}

/// Two programs, because a program has one answer for all that it lists. The one that ends the process comes last: it
/// forbids to install another.
fn compile(profile: &Profile) -> Result<[BpfProgram; 2], BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let lines = table(profile)?;
    let refused = REFUSED.iter().map(|(call, _)| (*call, Vec::new()));
    let mut allowed: BTreeMap<_, _> = refused.clone().collect();
    allowed.extend(lines.into_iter().map(|line| (line.call, line.rules)));
    let refuse = SeccompFilter::new(
        refused.collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        arch,
    )?;
    let allow = SeccompFilter::new(allowed, SeccompAction::KillProcess, SeccompAction::Allow, arch)?;
    Ok([refuse.try_into()?, allow.try_into()?])
}

/// Tries on this thread alone whether system calls can be filtered, with a filter that refuses one harmless call.
pub(super) fn try_filter() -> Result<()> {
    let made = || -> Result<BpfProgram, BackendError> {
        let calls = [(libc::SYS_getcwd, Vec::new())].into();
        let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        SeccompFilter::new(calls, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?.try_into()
    };
    install(&made().map_err(|error| Error::new(code::SECCOMP_MISSING, error.to_string()))?, 0)?;
    match rustix::process::getcwd(Vec::new()) {
        Err(rustix::io::Errno::PERM) => Ok(()),
        _ => Err(Error::new(code::SECCOMP_MISSING, "a filter was taken but does not work")),
    }
}

/// By hand, because the library's own way asks first for no new privileges by a call that the first program refuses.
#[expect(unsafe_code, reason = "a system call that has no wrapper")]
pub(super) fn install(program: &BpfProgram, flags: libc::c_ulong) -> Result<()> {
    let missing = |why: String| Error::new(code::SECCOMP_MISSING, format!("system calls cannot be filtered: {why}"));
    let len = u16::try_from(program.len()).map_err(|_| missing("the filter is too long".into()))?;
    // `sock_filter` of both libraries is the kernel's.
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the kernel copies `len` instructions from `filter`, which lives until it is done.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    match result {
        0 => Ok(()),
        1.. => Err(missing(format!("thread {result} has another filter"))),
        _ => Err(missing(std::io::Error::last_os_error().to_string())),
    }
}
