//! A program that plays a compromised executor, and for each the TaskManager that started it.
//!
//! `compromised host WALLS ATTEMPT...` starts itself in the jail for each attempt, listens to what is said on the socket,
//! and writes what came of it as a line of JSON. It is a process of its own so that it can run as another user and be
//! killed.
//! `compromised on MACHINE PROGRAM ARGUMENTS` executes a program that sees a machine which lacks something.
//! `compromised jailed ...` is what it starts: it raises WALLS (a list with commas, see [`Raised`]) in the order that an
//! executor does and then plays ATTEMPT. With a wall left out a test shows what that wall alone stops.
//! `compromised executor` is a real executor, as a TaskManager starts it, whose slots turn on the TaskManager: see
//! [`slot`].
#![forbid(unsafe_code)]

mod slot;

use lockgate_executor::jail::attempt::{self, MEMORY, Machine, SIGNAL, SOCKET, Stage, Voice, WAKE};
use lockgate_executor::jail::{self, Cause, Namespaces, Policy, Profile, ResourceLimits, Walls};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use serde_json::{Value, json};
use std::error::Error;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == "executor") {
        return lockgate_executor::testing::compromised(slot::play);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "on", machine, program, ref arguments @ ..] => {
            let machine = match machine {
                "without-landlock" => Machine::WithoutLandlock,
                "without-seccomp" => Machine::WithoutSeccomp,
                "container" => Machine::Container,
                _ => return Err("no such machine".into()),
            };
            machine.enter()?;
            Err(Command::new(program).args(arguments).exec().into())
        }
        [_, "host", walls, ref attempts @ ..] => {
            let open = Open::new()?;
            for attempt in attempts {
                println!("{}", host(walls, attempt, open.port)?);
            }
            Ok(())
        }
        [_, "jailed", walls, attempt, parent, address, port] => jailed(
            &Raised::of(walls),
            attempt,
            Stage { parent: parent.parse()?, address: address.parse()?, port: port.parse()? },
        ),
        _ => Err("host WALLS ATTEMPT...".into()),
    }
}

/// The walls that are raised, by their names on the command line; `all` for each of them.
struct Raised(Vec<String>);

impl Raised {
    fn of(walls: &str) -> Self {
        Self(walls.split(',').map(String::from).collect())
    }

    fn has(&self, wall: &str) -> bool {
        self.says(wall) || (self.says("all") && !self.says(&format!("-{wall}")))
    }

    fn says(&self, word: &str) -> bool {
        self.0.iter().any(|said| said == word)
    }
}

/// What the process that starts others has open, as a TaskManager has: sockets on which it listens.
struct Open {
    port: u16,
    path: String,
    _sockets: (TcpListener, UnixListener, UnixListener),
}

impl Open {
    fn new() -> Outcome<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let name = format!("lockgate-escape-{}", std::process::id());
        let path = format!("/tmp/{name}");
        let unnamed = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        Ok(Self { port: tcp.local_addr()?.port(), _sockets: (tcp, UnixListener::bind(&path)?, unnamed), path })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Starts the jailed process and reports how it went. It has ten seconds.
fn host(walls: &str, attempt: &str, port: u16) -> Outcome<Value> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let bell = |count| eventfd(count, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let descriptors = vec![theirs, code()?, bell(1)?, bell(0)?];
    let namespaces = if Raised::of(walls).has("namespaces") { Namespaces::Try } else { Namespaces::Without };
    let parent = std::process::id().to_string();
    static SECRET: AtomicU64 = AtomicU64::new(42);
    let address = (&raw const SECRET).addr().to_string();
    let port = port.to_string();
    let arguments = ["compromised", "jailed", walls, attempt, &parent, &address, &port];
    let mut child = jail::spawn("/proc/self/exe".as_ref(), &arguments, descriptors, namespaces)?;
    let mut said: Vec<String> = Vec::new();
    let mut buffer = vec![0; 4096];
    while said.len() < 16 && ready(&ours, if attempt == "wait" { 600 } else { 10 })? {
        let (length, _) = recv(&ours, buffer.as_mut_slice(), RecvFlags::empty())?;
        if length == 0 {
            break;
        }
        if attempt == "wait" {
            // The test looks at this process, kills its parent and waits for it to end.
            println!("{}", json!({ "pid": child.pid(), "namespaces": child.has_namespaces() }));
        }
        said.push(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned());
    }
    let alive = child.is_alive() && !ready(&child, 10)?;
    if alive {
        child.kill()?;
    }
    let exit = child.reap()?;
    let (ended, number) = match exit.cause {
        Cause::Code(number) => ("code", number),
        Cause::Signal(number) => ("signal", number),
    };
    Ok(json!({
        "attempt": attempt,
        "namespaces": child.has_namespaces(),
        "said": said,
        "hung": alive,
        ended: number,
        "cpu-ms": u64::try_from(exit.cpu.as_millis())?,
        "peak": exit.peak_memory,
    }))
}

/// Waits until there is something to read, or the end.
fn ready(fd: &impl std::os::fd::AsFd, seconds: i64) -> Outcome<bool> {
    let until = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Ok(poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&until))? > 0)
}

/// A descriptor that holds machine code which nobody can change any more.
fn code() -> Outcome<OwnedFd> {
    let code = memfd_create("code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::io::write(&code, &attempt::machine_code())?;
    fcntl_add_seals(&code, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(code)
}

fn jailed(raised: &Raised, attempt: &str, stage: Stage) -> Outcome<()> {
    let mut walls = Walls::default();
    if raised.has("namespaces") {
        walls.empty_root = jail::root()?;
    }
    if raised.has("shed") {
        jail::shed(SIGNAL, 10)?;
        walls.no_privileges = true;
    }
    if raised.has("landlock") {
        walls.landlock = jail::landlock(Policy::Required)?;
    }
    if raised.has("limits") {
        let cpu = (attempt == "spin").then_some(Duration::from_secs(1));
        jail::limit(&ResourceLimits { data: MEMORY, address_space: None, cpu, descriptors: 16 })?;
    }
    if raised.says("compiler") {
        return compile(raised, attempt, stage);
    }
    // A thread that runs already is sealed like this one. One that has yet to begin would register itself with the
    // kernel by calls that the filter does not know.
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let (began, begun) = std::sync::mpsc::sync_channel::<()>(1);
    let name = attempt.to_owned();
    let worker = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        began.send(())?;
        wait.recv()?;
        Ok::<_, Box<dyn Error + Send + Sync>>(attempt::tell(&played(&name, stage), Voice::Send)?)
    })?;
    begun.recv()?;
    if raised.has("limits") {
        jail::no_more_threads()?;
    }
    if raised.has("seccomp") {
        let (wake, signal) = (WAKE..WAKE + 1, SIGNAL..SIGNAL + 1);
        jail::seal(&Profile::Executor { socket: SOCKET, code: attempt::CODE, wake, signal, memory: MEMORY })?;
        walls.seccomp = true;
    }
    attempt::tell(&serde_json::to_string(&walls)?, Voice::Send)?;
    go.send(())?;
    worker.join().map_err(|_| "the attempt panicked")?.map_err(|error| error.to_string())?;
    Ok(())
}

/// As a compiler: one thread, and a socket that it may only write.
fn compile(raised: &Raised, attempt: &str, stage: Stage) -> Outcome<()> {
    if raised.has("seccomp") {
        jail::seal(&Profile::Compiler { input: WAKE, output: SOCKET, memory: MEMORY })?;
    }
    attempt::tell("sealed", Voice::Write)?;
    Ok(attempt::tell(&played(attempt, stage), Voice::Write)?)
}

fn played(attempt: &str, stage: Stage) -> String {
    match attempt::play(attempt, &stage) {
        None => "no attempt of that name".into(),
        Some(Ok(got)) => format!("succeeded: {got}"),
        Some(Err(error)) => format!("refused: {error}"),
    }
}
