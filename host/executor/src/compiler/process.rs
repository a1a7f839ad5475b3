//! Starting the compiler's process, and ending it.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running process, killed when this is dropped.
pub(super) struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    ended: bool,
}

/// How a process ended, and what it had used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Exit {
    pub(super) cause: Cause,
    /// Processor time, the system's included.
    pub(super) cpu: Duration,
}

/// Why a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    Code(i32),
    Signal(i32),
}

/// Starts `program` with these arguments and descriptors from 3 upwards.
pub(super) fn spawn(program: &Path, args: &[&str], descriptors: Vec<OwnedFd>) -> Result<Child> {
    let refused = |error: io::Error| Error::new(code::COMPILER_UNAVAILABLE, error.to_string());
    let mut command = Command::new(program);
    command.args(args.get(1..).unwrap_or_default()).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let above = |fd: OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 16).map_err(|errno| refused(errno.into()));
    let descriptors = descriptors.into_iter().map(above).collect::<Result<Vec<_>>>()?;
    let place = move || {
        for (number, descriptor) in (3..).zip(&descriptors) {
            place(descriptor.as_fd(), number)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec it only duplicates descriptors, which allocates nothing and takes no lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(place);
    }
    let child = command.spawn().map_err(refused)?;
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| refused(errno.into()))?;
    Ok(Child { pid, pidfd, ended: false })
}

impl Child {
    pub(super) fn kill(&self) {
        // It fails only if there is nothing left to kill.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    pub(super) fn reap(&mut self) -> Result<Exit> {
        let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
        loop {
            // SAFETY: both pointers are to memory of this frame of the type that they are to be of.
            #[allow(unsafe_code)]
            let reaped = unsafe { libc::wait4(self.pid.as_raw_nonzero().get(), &mut status, 0, usage.as_mut_ptr()) };
            if reaped >= 0 {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(Error::new(code::INTERNAL, error.to_string()));
            }
        }
        self.ended = true;
        // SAFETY: all of it was zeroed, which is a value of its type, and the system has filled it in.
        #[allow(unsafe_code)]
        let usage = unsafe { usage.assume_init() };
        let time = |time: libc::timeval| {
            let micros = u64::try_from(time.tv_usec).unwrap_or(0);
            Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)).saturating_add(Duration::from_micros(micros))
        };
        let cpu = time(usage.ru_utime).saturating_add(time(usage.ru_stime));
        let status = ExitStatus::from_raw(status);
        let cause = status.signal().map_or_else(|| Cause::Code(status.code().unwrap_or(-1)), Cause::Signal);
        Ok(Exit { cause, cpu })
    }
}

impl AsFd for Child {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
            let _ = self.reap();
        }
    }
}

/// Makes `descriptor` known as `number` behind the next exec.
fn place(descriptor: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: in the child, where nothing that is in use has this number; never dropped.
    #[allow(unsafe_code)]
    let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
    Ok(rustix::io::dup2(descriptor, &mut target)?)
}
