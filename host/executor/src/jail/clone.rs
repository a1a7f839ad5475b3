//! The moment between `clone` and `execveat`.
//!
//! The new process shares the parent's memory until it executes its program, as `posix_spawn` does it: no page of a
//! TaskManager, which holds secrets, is ever copied into another process, and a large one spawns as fast as a small one.
//! `clone` and not `clone3`, which container profiles refuse unseen.

use super::process::wait;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, PidfdFlags, Signal, getegid, geteuid, getpid, pidfd_open, set_parent_process_death_signal};
use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr::{null, null_mut};

/// The lowest number for what a new process copies from, so that nothing is overwritten before it is copied.
pub(super) const ABOVE: RawFd = 128;

/// The namespaces that a process gets, besides the user namespace that they may need.
pub(super) const ALL: c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// What to execute. Descriptors are numbers of at least [`ABOVE`].
pub(super) struct Program<'a> {
    pub(super) file: RawFd,
    /// Arguments, with a null at their end.
    pub(super) argv: *const *const libc::c_char,
    pub(super) null: RawFd,
    pub(super) sources: &'a [RawFd],
}

/// Why there is no process, or it ended before it executed its program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) step: Step,
    pub(super) errno: Errno,
}

/// How far it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Clone,
    Namespaces,
    ParentGone,
    Descriptors,
    Execute,
}

/// Starts a process in these new namespaces. Without a program it ends at once, having shown that it can be in them.
///
/// Of a thread that has its signals blocked.
#[expect(unsafe_code, reason = "no wrapper starts a process in namespaces")]
pub(super) fn start(program: Option<&Program<'_>>, namespaces: c_int) -> Result<(Pid, OwnedFd), Failed> {
    let failed = |errno| Failed { step: Step::Clone, errno };
    let parent =
        pidfd_open(getpid(), PidfdFlags::empty()).and_then(|fd| fcntl_dupfd_cloexec(&fd, ABOVE)).map_err(failed)?;
    let mut plan = Plan {
        program,
        parent: parent.as_raw_fd(),
        uid_map: (namespaces & libc::CLONE_NEWUSER != 0).then(|| format!("0 {} 1", geteuid().as_raw())),
        gid_map: format!("0 {} 1", getegid().as_raw()),
        own_mounts: namespaces & libc::CLONE_NEWNS != 0,
        failed: None,
    };
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | namespaces;
    // SAFETY: the new process runs `child` on a stack of its own, which grows downwards from its end and is aligned as
    // `u128` is. Because of CLONE_VFORK this thread does not go on, and so none of what `plan` points to is freed or
    // looked at, until that process has executed its program or ended. `child` neither allocates nor takes a lock, both
    // of which other threads of this process may be doing.
    let pid = unsafe {
        libc::clone(child, stack.as_mut_ptr_range().end.cast(), flags, (&raw mut plan).cast(), &raw mut pidfd)
    };
    if pid < 0 {
        return Err(failed(last_errno()));
    }
    // SAFETY: the kernel has just made it, for this caller.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: `plan` is alive, and the other process no longer has this memory.
    if let Some(failed) = unsafe { (&raw const plan.failed).read_volatile() } {
        // It ends by itself.
        let _ = wait(&pidfd);
        return Err(failed);
    }
    Pid::from_raw(pid).map(|pid| (pid, pidfd)).ok_or(failed(Errno::SRCH))
}

/// Whether this kernel gives a process these namespaces.
pub(super) fn try_namespaces(namespaces: c_int) -> Result<(), Errno> {
    let (_, pidfd) = start(None, namespaces).map_err(|failed| failed.errno)?;
    wait(&pidfd).map(drop)
}

/// Bytes of stack between `clone` and `execveat`.
const STACK: usize = 64 << 10;

struct Plan<'a> {
    program: Option<&'a Program<'a>>,
    parent: RawFd,
    uid_map: Option<String>,
    gid_map: String,
    own_mounts: bool,
    failed: Option<Failed>,
}

/// What the new process does before it executes its program. It shares all memory with its parent: nothing here
/// allocates, locks, panics or returns to a frame of the parent's.
#[expect(unsafe_code, reason = "runs between clone and exec")]
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `start` passes a `Plan` and waits, so this is the only reference to it.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    let failed = match (prepare(plan), plan.program) {
        (Err(failed), _) => failed,
        // SAFETY: ends this process alone, without what `exit` would run of the parent's.
        (Ok(()), None) => unsafe { libc::_exit(0) },
        (Ok(()), Some(program)) => execute(program),
    };
    plan.failed = Some(failed);
    // SAFETY: as above.
    unsafe { libc::_exit(127) }
}

fn prepare(plan: &Plan<'_>) -> Result<(), Failed> {
    let at = |step| move |errno| Failed { step, errno };
    reset_signals();
    die_with_parent(plan.parent).map_err(at(Step::ParentGone))?;
    if let Some(uid_map) = &plan.uid_map {
        // Without this the group cannot be mapped by one who may not set groups (user_namespaces(7)).
        put(c"/proc/self/setgroups", "deny").map_err(at(Step::Namespaces))?;
        put(c"/proc/self/uid_map", uid_map).map_err(at(Step::Namespaces))?;
        put(c"/proc/self/gid_map", &plan.gid_map).map_err(at(Step::Namespaces))?;
    }
    if plan.own_mounts {
        // Nothing that is mounted here shows outside. Where a security module gives namespaces without the right to
        // mount in them, this is where it shows.
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change(c"/", private).map_err(at(Step::Namespaces))?;
    }
    let Some(program) = plan.program else { return Ok(()) };
    // The kernel's first choice when memory is short. Where it cannot be said, this process counts as any other.
    let _ = put(c"/proc/self/oom_score_adj", "1000");
    place_descriptors(program).map_err(at(Step::Descriptors))
}

/// Executes the program with an empty environment. Comes back only if it cannot.
#[expect(unsafe_code, reason = "no wrapper executes a descriptor")]
fn execute(program: &Program<'_>) -> Failed {
    let environment: [*const libc::c_char; 1] = [null()];
    // SAFETY: arguments and environment are arrays of C strings that end in null.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.file,
            c"".as_ptr(),
            program.argv,
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    Failed { step: Step::Execute, errno: last_errno() }
}

/// Writes `text` to a file of `/proc`.
fn put(path: &CStr, text: &str) -> Result<(), Errno> {
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes()).map(|_| ())
}

/// Asks to be killed when the parent ends, and finds out whether it has already: across pid namespaces only a pidfd tells.
#[expect(unsafe_code, reason = "borrows a descriptor by its number")]
fn die_with_parent(parent: RawFd) -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // SAFETY: the copy of a descriptor that the parent holds open.
    let parent = unsafe { BorrowedFd::borrow_raw(parent) };
    let ended = poll(&mut [PollFd::new(&parent, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if ended == 0 { Ok(()) } else { Err(Errno::SRCH) }
}

/// Puts the descriptors in their places. All others close with the execution.
#[expect(unsafe_code, reason = "copies descriptors onto given numbers")]
fn place_descriptors(program: &Program<'_>) -> Result<(), Errno> {
    let mut next: RawFd = 0;
    for source in [program.null; 3].iter().chain(program.sources) {
        // SAFETY: overwrites descriptors of this process's own table, none of which is used again.
        if unsafe { libc::dup2(*source, next) } < 0 {
            return Err(last_errno());
        }
        next = next.saturating_add(1);
    }
    // SAFETY: marks descriptors of this process's own table.
    let result = unsafe { libc::syscall(libc::SYS_close_range, next, c_int::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Gives every signal its default effect and blocks none: a handler of the parent's must not run in shared memory.
#[expect(unsafe_code, reason = "sets signal handlers")]
fn reset_signals() {
    // SAFETY: the structures are plain data, valid as zeroes; the handlers are this process's own copies.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=libc::SIGRTMAX() {
            // Refused for those that cannot be handled anyway.
            libc::sigaction(signal, &raw const action, null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, null_mut());
    }
}

/// Blocks all signals in this thread: the processes that it starts run for a moment in its memory.
#[expect(unsafe_code, reason = "sets the signal mask")]
pub(super) fn block_signals() {
    // SAFETY: the set is plain data, and the mask is this thread's own.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, null_mut());
    }
}

pub(super) fn last_errno() -> Errno {
    Errno::from_raw_os_error(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))
}
