//! The TaskManager's side of an executor: one process for each tenant, started when it is needed and again when it has
//! died, watched as long as it lives.

mod look;
mod watchdog;

use crate::arena::{self, Arena, Memory};
use crate::child::{self, MAX_MESSAGE, Ready, Setup};
use crate::code::{CodeRange, CodeStore};
use crate::jail::{self, Cgroup, Cgroups, Child, Policy, Walls};
use crate::link::{Controls, Link, bell};
use crate::protocol::payload;
use crate::{SlotHandle, jail::Namespaces};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Name, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{Signal, pidfd_send_signal};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use watchdog::{Watch, Watchdog};

/// How long a new executor may take until it is ready.
const START: Duration = Duration::from_secs(20);
/// What an executor may have beyond what it may allocate: page tables, the first pages of its threads.
const OVERHEAD: u64 = 64 << 20;
/// Its weight when CPU is short, where 100 is the TaskManager's.
const WEIGHT: u32 = 50;

/// How executors are set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecutorOptions {
    /// The program that is `lockgate`; this very program if none.
    pub program: Option<PathBuf>,
    /// Slots of each, at most 64.
    pub slots: u32,
    /// Bytes of memory that each may have for itself.
    pub memory: u64,
    /// How far they stand back for others when CPU is short: 0 to 19.
    pub nice: i32,
    /// What happens where a wall cannot be raised.
    pub jail: Policy,
}

/// The executors of a TaskManager, one for each tenant.
pub struct Executors {
    pool: Arc<Pool>,
    _watchdog: Watchdog,
}

struct Pool {
    options: ExecutorOptions,
    homes: Mutex<BTreeMap<Home, Arc<Mutex<Option<Executor>>>>>,
    /// Every process that was started, whether or not it still is the one for new runs.
    watched: Mutex<Vec<Weak<Process>>>,
}

/// A tenant, or a job of it that has an executor of its own.
type Home = (Name, Option<Name>);

/// One tenant's executor. Clones are the same.
#[derive(Clone)]
pub struct Executor(Arc<Process>);

struct Process {
    tenant: Name,
    /// Whose end is the sign for the executor to end.
    _socket: OwnedFd,
    held: Mutex<Held>,
    /// The process again, so that it can be killed while somebody waits for its end.
    death: Arc<OwnedFd>,
    pid: u32,
    memory: u64,
    walls: Walls,
    code: Mutex<CodeStore>,
    slots: Mutex<Slots>,
    /// Why it was killed.
    killed: Mutex<Option<Error>>,
}

struct Held {
    child: Child,
    /// After the child, which must be gone before its group.
    group: Option<Cgroup>,
}

struct Slots {
    slots: Vec<Slot>,
    /// When the last of them became free.
    idle: Instant,
}

struct Slot {
    controls: Controls,
    /// While it is free.
    link: Option<Link>,
    runs: u32,
    watch: Option<Watch>,
}

/// A slot that runs, as whoever stops it holds it.
pub struct Running {
    process: Weak<Process>,
    slot: usize,
    run: u32,
}

/// A slot's place in its executor while it runs.
pub(crate) struct Lease {
    process: Arc<Process>,
    slot: usize,
    owes: Arc<AtomicBool>,
    returned: bool,
}

impl Executors {
    /// No executor yet.
    ///
    /// # Errors
    /// `LG0910` if the options are out of range or no thread can be had.
    pub fn new(options: ExecutorOptions) -> Result<Self> {
        if options.slots == 0 || options.slots > child::MAX_SLOTS {
            let cause = format!("an executor of {} slots, not 1 to {}", options.slots, child::MAX_SLOTS);
            return Err(Error::new(code::EXECUTOR_START, cause));
        }
        let pool = Arc::new(Pool { options, homes: Mutex::default(), watched: Mutex::default() });
        let watchdog = Watchdog::start(&pool)?;
        Ok(Self { pool, _watchdog: watchdog })
    }

    /// The executor of `tenant`, started if there is none that lives.
    ///
    /// # Errors
    /// `LG0910` if it cannot be started; `LG092n` if a wall is missing.
    pub fn of(&self, tenant: &Name) -> Result<Executor> {
        self.home((tenant.clone(), None))
    }

    /// An executor of `tenant` for one job alone: for one whose executor has died, so that it takes no other job with it
    /// again, or is not taken.
    ///
    /// # Errors
    /// As [`Executors::of`].
    pub fn alone(&self, tenant: &Name, job: &Name) -> Result<Executor> {
        self.home((tenant.clone(), Some(job.clone())))
    }

    fn home(&self, home: Home) -> Result<Executor> {
        let tenant = home.0.clone();
        let entry = Arc::clone(lock(&self.pool.homes).entry(home).or_default());
        // Held while the process starts: others who want this tenant's wait, and nobody else does.
        let mut entry = lock(&entry);
        if let Some(executor) = entry.as_ref().filter(|executor| executor.0.usable()) {
            return Ok(executor.clone());
        }
        let started = Executor(Arc::new(Process::start(&tenant, &self.pool.options)?));
        lock(&self.pool.watched).push(Arc::downgrade(&started.0));
        *entry = Some(started.clone());
        Ok(started)
    }
}

impl Executor {
    /// Its process's id.
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// The walls around it.
    pub fn walls(&self) -> Walls {
        self.0.walls
    }

    /// Hands over the artefact of a component.
    ///
    /// # Errors
    /// `LG0912` if there is no room.
    pub fn put(&self, component: Digest, artefact: &[u8]) -> Result<CodeRange> {
        lock(&self.0.code).put(component, artefact)
    }

    /// Starts a run in a free slot, whose calls take no longer than `deadline` each. It asks for its task first.
    ///
    /// # Errors
    /// `LG0912` if no slot is free.
    pub fn slot(&self, deadline: Duration) -> Result<(SlotHandle, Running)> {
        self.slot_within(deadline, None)
    }

    /// The same for a run that may take no longer than `whole`.
    fn slot_within(&self, deadline: Duration, whole: Option<Duration>) -> Result<(SlotHandle, Running)> {
        let process = &self.0;
        let mut slots = lock(&process.slots);
        let free = slots.slots.iter_mut().enumerate().find_map(|(at, slot)| Some((at, slot.link.take()?, slot)));
        let Some((at, link, slot)) = free else {
            return Err(Error::new(code::EXECUTOR_FULL, format!("no slot of tenant {} is free", process.tenant)));
        };
        slot.runs = slot.runs.wrapping_add(1).max(1);
        // Until somebody waits for the slot, it is not the slot that is late.
        let owes = Arc::new(AtomicBool::new(true));
        slot.watch = Some(Watch::new(deadline, Arc::clone(&owes)).within(whole));
        slot.controls.start(slot.runs);
        let running = Running { process: Arc::downgrade(process), slot: at, run: slot.runs };
        let lease = Lease { process: Arc::clone(process), slot: at, owes, returned: false };
        Ok((SlotHandle::new(link, Some(lease)), running))
    }
}

impl Running {
    /// Lets the slot finish its batch, commit and end.
    pub fn drain(&self) {
        self.with(|slot| slot.controls.drain());
    }

    /// Cuts the slot off in the middle of a call; nothing is committed any more.
    pub fn cancel(&self) {
        self.with(Slot::stop);
    }

    /// Does something to the slot unless its run is over.
    fn with(&self, order: impl FnOnce(&mut Slot)) {
        let Some(process) = self.process.upgrade() else { return };
        let mut slots = lock(&process.slots);
        let slot = slots.slots.get_mut(self.slot).filter(|slot| slot.runs == self.run && slot.watch.is_some());
        if let Some(slot) = slot {
            order(slot);
        }
    }
}

impl Slot {
    fn stop(&mut self) {
        self.controls.cancel();
        if let Some(watch) = &mut self.watch {
            watch.stopped();
        }
    }
}

impl Process {
    fn start(tenant: &Name, options: &ExecutorOptions) -> Result<Self> {
        let refused = |error: rustix::io::Errno| Error::new(code::EXECUTOR_START, format!("no socket: {error}"));
        let family = (AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (socket, theirs) = socketpair(family.0, family.1, family.2, None).map_err(refused)?;
        let code = CodeStore::new()?;
        let arena = arena::create(options.slots)?;
        let memory = Arc::new(Memory::map(&arena, options.slots)?);
        let mut descriptors = vec![theirs, code.reader()?, arena];
        let mut signals = Vec::new();
        for _ in 0..options.slots {
            let signal = bell()?;
            descriptors.push(signal.try_clone().map_err(|error| Error::new(code::IO, error.to_string()))?);
            signals.push(Arc::new(signal));
        }
        let program = options.program.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        let child = jail::spawn(&program, &["lockgate", child::SUBCOMMAND], descriptors, Namespaces::Try)?;
        let setup = Setup {
            slots: options.slots,
            memory: options.memory,
            nice: options.nice,
            policy: options.jail,
            namespaces: child.has_namespaces(),
        };
        send(&socket, &payload::write(&setup)?, SendFlags::NOSIGNAL).map_err(refused)?;
        let mut held = Held { child, group: None };
        if let Some(groups) = groups() {
            // What both share is charged to whoever touches it first.
            let memory = options.memory.saturating_add(OVERHEAD).saturating_add(arena::bytes(options.slots));
            held.group = Some(groups.confine(&held.child, memory, WEIGHT)?);
        }
        let walls = Walls { cgroup: held.group.is_some(), ..ready(&socket, &held.child)? };
        if options.jail == Policy::Required && !walls.sufficient() {
            return Err(Error::new(code::EXECUTOR_START, format!("walls are missing: {walls:?}")));
        }
        let death = Arc::new(
            rustix::io::fcntl_dupfd_cloexec(&held.child, 0)
                .map_err(|error| Error::new(code::EXECUTOR_START, error.to_string()))?,
        );
        let slots = (0..).zip(signals).map(|(number, signal)| {
            let arena = Arena::new(&memory, number);
            let link = Link::new(arena, signal, Some(Arc::clone(&death)));
            Slot { controls: link.controls(), link: Some(link), runs: 0, watch: None }
        });
        let slots = Slots { slots: slots.collect(), idle: Instant::now() };
        if walls.sufficient() {
            tracing::debug!(%tenant, pid = held.child.pid(), ?walls, "an executor is ready");
        } else {
            tracing::warn!(%tenant, pid = held.child.pid(), ?walls, "an executor runs without walls that are missing here");
        }
        Ok(Self {
            tenant: tenant.clone(),
            _socket: socket,
            pid: held.child.pid(),
            held: Mutex::new(held),
            death,
            memory: options.memory,
            walls,
            code: Mutex::new(code),
            slots: Mutex::new(slots),
            killed: Mutex::default(),
        })
    }

    /// Whether it lives and is good for another run.
    fn usable(&self) -> bool {
        let slots = lock(&self.slots);
        let idle = slots.slots.iter().all(|slot| slot.link.is_some());
        let asks = slots.slots.iter().any(|slot| slot.link.as_ref().is_some_and(Link::is_pending));
        drop(slots);
        if asks {
            self.kill(Error::new(code::PROTOCOL_RANGE, "a task slot asked for something between its runs"));
        }
        // While an artefact is put there the store is not worn out enough.
        let worn_out = self.code.try_lock().is_ok_and(|code| code.worn_out());
        lock(&self.killed).is_none() && !self.ended() && !(idle && worn_out)
    }

    /// Whether the process has ended.
    fn ended(&self) -> bool {
        let mut watched = [PollFd::new(&*self.death, PollFlags::IN)];
        matches!(poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
    }

    /// Ends it. The first reason counts.
    fn kill(&self, why: Error) {
        let mut killed = lock(&self.killed);
        if killed.is_none() {
            tracing::warn!(tenant = %self.tenant, pid = self.pid, error = %why, "an executor is killed");
            *killed = Some(why);
        }
        // Not while somebody waits for the lock to learn how it ended. One that has ended already cannot be killed.
        drop(killed);
        let _ = pidfd_send_signal(&*self.death, Signal::KILL);
    }

    /// Whether its allocator has left word that it was refused memory.
    fn refused(&self) -> bool {
        let slots = lock(&self.slots);
        let word = slots.slots.first().and_then(|slot| slot.controls.refused());
        word.is_some_and(|word| word.load(Ordering::Acquire) != 0)
    }

    /// Why it has ended. It is killed first: one that says that it has ended may not have.
    fn died(&self) -> Error {
        let lives = !self.ended();
        let _ = pidfd_send_signal(&*self.death, Signal::KILL);
        let (exit, starved) = {
            let mut held = lock(&self.held);
            (held.child.reap(), held.group.as_ref().is_some_and(Cgroup::ran_out_of_memory))
        };
        if let Some(why) = &*lock(&self.killed) {
            return why.clone();
        }
        match exit {
            Ok(_) if lives => Error::new(code::PROTOCOL_MESSAGE, "the executor said that it had ended, and had not"),
            Ok(exit) if exit.broke_filter() => {
                Error::new(code::EXECUTOR_BROKE_OUT, "the executor made a system call that its jail forbids")
            }
            Ok(_) if starved || self.refused() => {
                let cause = format!("the executor was refused memory: it may have {} MiB", self.memory >> 20);
                Error::new(code::EXECUTOR_MEMORY, cause)
            }
            Ok(exit) => Error::new(code::EXECUTOR_CRASHED, format!("the executor ended with {:?}", exit.cause)),
            Err(error) => error,
        }
    }
}

impl Lease {
    /// Says whether the TaskManager has yet to answer an ask: then time runs for it and not for the slot.
    pub(crate) fn owes(&self, owes: bool) {
        self.owes.store(owes, Ordering::Relaxed);
    }

    /// Tells the slot to stop.
    pub(crate) fn stop(&self) {
        if let Some(slot) = lock(&self.process.slots).slots.get_mut(self.slot) {
            slot.stop();
        }
    }

    /// Gives the slot back for another run.
    ///
    /// One that goes on asking after its last ask would be heard by its next run.
    pub(crate) fn give_back(mut self, link: Link) {
        if link.is_pending() {
            self.process.kill(Error::new(code::PROTOCOL_RANGE, "a task slot asked for more after its last ask"));
        }
        let mut slots = lock(&self.process.slots);
        if let Some(slot) = slots.slots.get_mut(self.slot) {
            slot.watch = None;
            slot.link = Some(link);
        }
        slots.idle = Instant::now();
        drop(slots);
        self.returned = true;
    }

    /// Why the executor has ended.
    pub(crate) fn death(&self) -> Error {
        self.process.died()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.returned {
            self.process.kill(Error::new(code::EXECUTOR_GONE, "a task slot was given up before its end"));
        }
    }
}

/// The control groups that were delegated to this process, taken once.
fn groups() -> Option<&'static Cgroups> {
    static GROUPS: OnceLock<Option<Cgroups>> = OnceLock::new();
    let take = || {
        // Memory and CPU are bounded without them too.
        Cgroups::take().unwrap_or_else(|error| {
            tracing::warn!(%error, "executors get no control groups");
            None
        })
    };
    GROUPS.get_or_init(take).as_ref()
}

/// Waits until the executor says that it is ready.
fn ready(socket: &OwnedFd, child: &Child) -> Result<Walls> {
    let silent = |why: String| Error::new(code::EXECUTOR_START, why);
    let left = Timespec::try_from(START).map_err(|error| silent(error.to_string()))?;
    let mut waits = [PollFd::new(socket, PollFlags::IN), PollFd::new(child, PollFlags::IN)];
    loop {
        match poll(&mut waits, Some(&left)) {
            Ok(0) => return Err(silent(format!("it was not ready within {} s", START.as_secs()))),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(silent(error.to_string())),
        }
    }
    let mut message = [0; MAX_MESSAGE];
    let (length, whole) = recv(socket, &mut message, RecvFlags::DONTWAIT | RecvFlags::TRUNC)
        .map_err(|error| silent(format!("it ended before it was ready ({error})")))?;
    if length == 0 || whole > length {
        return Err(silent("it ended before it was ready".into()));
    }
    match payload::read(message.get(..length).unwrap_or_default())? {
        Ready::Ready(walls) => Ok(walls),
        Ready::Failed(failed) => Err(failed.error()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
