//! Starts a process with nothing but what it is given.
//!
//! The kernel's parent-death signal fires when the *thread* that started a process ends, so one thread per process starts
//! them all and lives as long as the process. The new process shares the parent's memory until it executes its program,
//! as `posix_spawn` does it: no page of a TaskManager, which holds secrets, is ever copied into another process, and a
//! large TaskManager spawns as fast as a small one. `clone` and not `clone3`, which container profiles refuse unseen.

use super::process::{Child, wait};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, PidfdFlags, getegid, geteuid, getpid, pidfd_open};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString, c_int, c_void};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The most descriptors that a process is given, besides the three standard ones.
pub const MAX_DESCRIPTORS: usize = 32;

/// Whether a process gets namespaces of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespaces {
    /// Where the kernel allows them.
    #[default]
    Try,
    /// Not, for tests of the other walls.
    Without,
}

/// Starts `program` with `args` (the first is its own name), an empty environment, `/dev/null` as descriptors 0 to 2,
/// `descriptors` from 3 upwards in their order, and nothing else. It is killed when this process ends.
///
/// With [`Namespaces::Try`] it gets mount, network, pid, ipc and uts namespaces: as root directly, otherwise within a
/// user namespace where it is root. Where these are refused it is started without ([`Child::has_namespaces`]).
///
/// # Errors
/// `LG0920` if the process cannot be made or the program cannot be executed.
pub fn spawn(program: &Path, args: &[&str], descriptors: Vec<OwnedFd>, namespaces: Namespaces) -> Result<Child> {
    let order = Order::new(program, args, descriptors, namespaces)?;
    let (answer, child) = sync_channel(1);
    let gone = || Error::new(code::EXECUTOR_NOT_STARTED, "the thread that starts processes is gone");
    spawner()?.send((order, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

type Request = (Order, SyncSender<Result<Child>>);

/// The thread that starts all processes of this one. Its queue is bounded: who finds it full waits.
fn spawner() -> Result<&'static SyncSender<Request>> {
    static SPAWNER: OnceLock<std::result::Result<SyncSender<Request>, String>> = OnceLock::new();
    let start = || {
        let (send, receive) = sync_channel(16);
        let thread = std::thread::Builder::new().name("spawner".into());
        thread.spawn(move || serve(&receive)).map(|_| send).map_err(|error| error.to_string())
    };
    SPAWNER.get_or_init(start).as_ref().map_err(|error| {
        Error::new(code::EXECUTOR_NOT_STARTED, format!("no thread can be made that starts processes: {error}"))
    })
}

fn serve(requests: &Receiver<Request>) {
    block_signals();
    while let Ok((order, answer)) = requests.recv() {
        // Who asked may have gone; the child then ends with the value.
        let _ = answer.send(order.start());
    }
}

/// A process to start: all that it needs, made beforehand, because nothing may be allocated in it.
struct Order {
    name: String,
    program: OwnedFd,
    args: Vec<CString>,
    null: OwnedFd,
    descriptors: Vec<OwnedFd>,
    namespaces: Namespaces,
}

/// The lowest number for what the new process copies from, so that nothing is overwritten before it is copied.
const ABOVE: RawFd = 64;

impl Order {
    fn new(program: &Path, args: &[&str], descriptors: Vec<OwnedFd>, namespaces: Namespaces) -> Result<Self> {
        let name = program.display().to_string();
        let refused = |what: &str, errno: Errno| Error::new(code::EXECUTOR_NOT_STARTED, format!("{what}: {errno}"));
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(Error::new(code::EXECUTOR_NOT_STARTED, "too many descriptors for a new process"));
        }
        let above =
            |fd: OwnedFd| fcntl_dupfd_cloexec(&fd, ABOVE).map_err(|errno| refused("no descriptor is left", errno));
        let opened = |path: &Path, flags| {
            let fd = open(path, flags | OFlags::CLOEXEC, Mode::empty());
            fd.map_err(|errno| refused(&path.display().to_string(), errno)).and_then(above)
        };
        let text = |text: &[u8]| {
            CString::new(text).map_err(|_| Error::new(code::EXECUTOR_NOT_STARTED, "an argument has a zero byte"))
        };
        text(program.as_os_str().as_bytes())?;
        Ok(Self {
            program: opened(program, OFlags::PATH)?,
            args: args.iter().map(|arg| text(arg.as_bytes())).collect::<Result<_>>()?,
            null: opened(Path::new("/dev/null"), OFlags::RDWR)?,
            descriptors: descriptors.into_iter().map(above).collect::<Result<_>>()?,
            namespaces,
            name,
        })
    }

    /// Starts it with the most namespaces that the kernel gives.
    fn start(&self) -> Result<Child> {
        const OWN: c_int =
            libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        let ways: &[c_int] = match self.namespaces {
            Namespaces::Without => &[0],
            Namespaces::Try if geteuid().is_root() => &[OWN, OWN | libc::CLONE_NEWUSER, 0],
            Namespaces::Try => &[OWN | libc::CLONE_NEWUSER, 0],
        };
        let mut refusal = Failed { step: Step::Clone, errno: Errno::INVAL };
        for way in ways {
            match self.clone_with(*way) {
                Ok((pid, pidfd)) => return Ok(Child::new(pid, pidfd, *way != 0)),
                Err(failed) => refusal = failed,
            }
            if refusal.step != Step::Clone && refusal.step != Step::Namespaces {
                break;
            }
        }
        let Failed { step, errno } = refusal;
        Err(Error::new(code::EXECUTOR_NOT_STARTED, format!("{} cannot be started ({step:?}): {errno}", self.name)))
    }

    #[expect(unsafe_code, reason = "no wrapper starts a process in namespaces")]
    fn clone_with(&self, namespaces: c_int) -> Result<(Pid, OwnedFd), Failed> {
        let failed = |errno| Failed { step: Step::Clone, errno };
        let mut argv: Vec<*const libc::c_char> = self.args.iter().map(|arg| arg.as_ptr()).collect();
        argv.push(null());
        let sources: Vec<RawFd> = self.descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
        let parent =
            pidfd_open(getpid(), PidfdFlags::empty()).and_then(|fd| fcntl_dupfd_cloexec(&fd, ABOVE)).map_err(failed)?;
        let mut plan = Plan {
            program: self.program.as_raw_fd(),
            argv: argv.as_ptr(),
            environment: null(),
            null: self.null.as_raw_fd(),
            sources: &sources,
            parent: parent.as_raw_fd(),
            uid_map: (namespaces & libc::CLONE_NEWUSER != 0).then(|| format!("0 {} 1", geteuid().as_raw())),
            gid_map: format!("0 {} 1", getegid().as_raw()),
            own_mounts: namespaces != 0,
            failed: None,
        };
        let mut stack = vec![0u128; STACK / size_of::<u128>()];
        let mut pidfd: RawFd = -1;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | namespaces;
        // SAFETY: the new process runs `child` on a stack of its own, which grows downwards from its end and is aligned
        // as `u128` is. Because of CLONE_VFORK this thread does not go on, and so none of what `plan` points to is
        // freed or looked at, until that process has executed its program or ended. `child` neither allocates nor
        // takes a lock, both of which other threads of this process may be doing.
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
}

/// Bytes of stack between `clone` and `execveat`.
const STACK: usize = 64 << 10;

#[derive(Clone, Copy)]
struct Failed {
    step: Step,
    errno: Errno,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Clone,
    Namespaces,
    ParentGone,
    Descriptors,
    Execute,
}

struct Plan<'a> {
    program: RawFd,
    argv: *const *const libc::c_char,
    environment: *const libc::c_char,
    null: RawFd,
    sources: &'a [RawFd],
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
    // SAFETY: `clone_with` passes a `Plan` and waits, so this is the only reference to it.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    let failed = prepare(plan).err().unwrap_or_else(|| {
        let empty = &raw const plan.environment;
        // SAFETY: `argv` and the environment, which is just the end, are arrays of C strings that end in null.
        unsafe {
            libc::syscall(libc::SYS_execveat, plan.program, c"".as_ptr(), plan.argv, empty, libc::AT_EMPTY_PATH);
        }
        Failed { step: Step::Execute, errno: last_errno() }
    });
    plan.failed = Some(failed);
    // SAFETY: ends this process alone, without what `exit` would run of the parent's.
    unsafe { libc::_exit(127) }
}

fn prepare(plan: &Plan<'_>) -> std::result::Result<(), Failed> {
    let at = |step| move |errno| Failed { step, errno };
    reset_signals();
    die_with_parent(plan.parent).map_err(at(Step::ParentGone))?;
    // By the kernel's choice this goes first when memory is short. Where it cannot be said, it counts as any other.
    let _ = put(c"/proc/self/oom_score_adj", "1000");
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
    place_descriptors(plan).map_err(at(Step::Descriptors))
}

/// Writes `text` to a file of `/proc`.
fn put(path: &CStr, text: &str) -> std::result::Result<(), Errno> {
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes()).map(|_| ())
}

/// Asks to be killed when the parent ends, and finds out whether it has already: across pid namespaces only a pidfd tells.
#[expect(unsafe_code, reason = "borrows a descriptor by its number")]
fn die_with_parent(parent: RawFd) -> std::result::Result<(), Errno> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // SAFETY: the copy of a descriptor that the parent holds open.
    let parent = unsafe { BorrowedFd::borrow_raw(parent) };
    let ended = poll(&mut [PollFd::new(&parent, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if ended == 0 { Ok(()) } else { Err(Errno::SRCH) }
}

/// Puts the descriptors in their places. All others close with the execution.
#[expect(unsafe_code, reason = "copies descriptors onto given numbers")]
fn place_descriptors(plan: &Plan<'_>) -> std::result::Result<(), Errno> {
    let mut next: RawFd = 0;
    for source in [plan.null; 3].iter().chain(plan.sources) {
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
fn block_signals() {
    // SAFETY: the set is plain data, and the mask is this thread's own.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, null_mut());
    }
}

fn last_errno() -> Errno {
    Errno::from_raw_os_error(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))
}
