//! Starts a process with nothing but what it is given.
//!
//! The kernel's parent-death signal fires when the *thread* that started a process ends, so one thread per process starts
//! them all and lives as long as the process.

use super::clone::{ABOVE, ALL, Failed, Program, Step, block_signals, start};
use super::process::Child;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, geteuid};
use serde::{Deserialize, Serialize};
use std::ffi::{CString, c_int};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The most descriptors that a process is given, besides the three standard ones.
pub const MAX_DESCRIPTORS: usize = 80;

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
        let ways: &[c_int] = match self.namespaces {
            Namespaces::Without => &[0],
            Namespaces::Try if geteuid().is_root() => &[ALL, ALL | libc::CLONE_NEWUSER, 0],
            Namespaces::Try => &[ALL | libc::CLONE_NEWUSER, 0],
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

    fn clone_with(&self, namespaces: c_int) -> std::result::Result<(Pid, OwnedFd), Failed> {
        let mut argv: Vec<*const libc::c_char> = self.args.iter().map(|arg| arg.as_ptr()).collect();
        argv.push(std::ptr::null());
        let sources: Vec<RawFd> = self.descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
        let program = Program {
            file: self.program.as_raw_fd(),
            argv: argv.as_ptr(),
            null: self.null.as_raw_fd(),
            sources: &sources,
        };
        start(Some(&program), namespaces)
    }
}
