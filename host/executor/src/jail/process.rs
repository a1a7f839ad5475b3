//! A process that was spawned into the jail, as its parent holds it. Everything goes by its pidfd: a pid may be another's
//! by the time it is used.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, pidfd_send_signal};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A jailed process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    namespaces: bool,
    exit: Option<Exit>,
}

/// How a process ended and what it had used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// Why it ended.
    pub cause: Cause,
    /// CPU time of all its threads, in user and kernel mode.
    pub cpu: Duration,
    /// The most memory that it had resident at once, in bytes.
    pub peak_memory: u64,
}

/// Why a process ended. In a pid namespace of its own a process ignores signals that it sends to itself, so that an
/// abort ends as SIGSEGV and a breach of RLIMIT_CPU as SIGKILL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal; SIGSYS (31) is a system call that its filter does not allow.
    Signal(i32),
}

impl Exit {
    /// Whether the process was ended by the filter of system calls.
    pub fn broke_filter(&self) -> bool {
        self.cause == Cause::Signal(libc::SIGSYS)
    }
}

impl Child {
    pub(super) fn new(pid: Pid, pidfd: OwnedFd, namespaces: bool) -> Self {
        Self { pid, pidfd, namespaces, exit: None }
    }

    /// Its id among the parent's processes: for messages and `/proc`, not for signals.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it has namespaces of its own.
    pub fn has_namespaces(&self) -> bool {
        self.namespaces
    }

    /// Kills it, and with a pid namespace all that it may have started. Does not wait; killing the dead is no error.
    ///
    /// # Errors
    /// `LG0003` if the kernel refuses, which it has no reason for.
    pub fn kill(&self) -> Result<()> {
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(fault("kill", errno)),
        }
    }

    /// Whether it still runs. Its pidfd becomes readable when it does not.
    pub fn is_alive(&self) -> bool {
        let mut watched = [PollFd::new(&self.pidfd, PollFlags::IN)];
        self.exit.is_none() && !matches!(poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
    }

    /// Waits for its end and takes what it leaves. Blocks until it has ended: watch the pidfd, or kill it, first.
    ///
    /// # Errors
    /// `LG0003` if the kernel refuses, which it has no reason for.
    pub fn reap(&mut self) -> Result<Exit> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let exit = wait(&self.pidfd).map_err(|errno| fault("wait for", errno))?;
        self.exit = Some(exit);
        Ok(exit)
    }
}

impl AsFd for Child {
    /// The pidfd: readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Without a kill there may be nothing to wait for.
        if self.exit.is_none() && self.kill().is_ok() {
            let _ = self.reap();
        }
    }
}

fn fault(what: &str, errno: Errno) -> Error {
    Error::new(code::INTERNAL, format!("cannot {what} a jailed process: {errno}"))
}

/// Waits for a child. `waitid` itself, because no wrapper gives what the process used (`waitid(2)`, its fifth argument).
#[expect(unsafe_code, reason = "a system call that has no wrapper")]
pub(super) fn wait(pidfd: &OwnedFd) -> Result<Exit, Errno> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let (info, usage) = loop {
        // SAFETY: both pointers are to writable memory of the right types, valid as all zeroes.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PIDFD,
                pidfd.as_raw_fd(),
                info.as_mut_ptr(),
                libc::WEXITED,
                usage.as_mut_ptr(),
            )
        };
        match result {
            // SAFETY: all zeroes are valid values of both, whatever the kernel wrote of them.
            0 => break unsafe { (info.assume_init(), usage.assume_init()) },
            _ => match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => {}
                errno => return Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EINVAL))),
            },
        }
    };
    // SAFETY: `waitid` filled in the fields for a child that ended.
    let status = unsafe { info.si_status() };
    let time = |t: libc::timeval| {
        Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_usec).unwrap_or(0).saturating_mul(1000))
    };
    Ok(Exit {
        cause: if info.si_code == libc::CLD_EXITED { Cause::Code(status) } else { Cause::Signal(status) },
        cpu: time(usage.ru_utime).saturating_add(time(usage.ru_stime)),
        peak_memory: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    })
}
