//! The executor's process: what `lockgate executor` is.
//!
//! It raises its jail, says that it is ready, and then knows nothing but its slots, each a thread that sleeps until the
//! TaskManager starts a run in it. The main thread waits for the TaskManager's end, and ends with it. Nothing of a tenant
//! is touched before the filter of system calls stands on every thread.

use crate::arena::{Arena, Memory};
use crate::jail::{self, Policy, Profile, ResourceLimits, Walls};
use crate::link::{Controls, SlotLink};
use crate::memory;
use crate::protocol::{Failed, payload};
use crate::shared::Shared;
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::{Error, Result};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread;

/// The hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "executor";
/// The most slots of an executor.
pub const MAX_SLOTS: u32 = 64;
/// The most bytes of a message on the socket.
pub(crate) const MAX_MESSAGE: usize = 16 << 10;

/// The descriptors that an executor is started with.
pub(crate) const SOCKET: RawFd = 3;
const CODE: RawFd = 4;
const ARENA: RawFd = 5;
const SIGNALS: RawFd = 6;

/// Bytes of stack of a slot's thread.
const STACK: usize = 4 << 20;

/// How an executor is set up: the first and only message to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    pub(crate) slots: u32,
    /// Bytes that it may have for itself.
    pub(crate) memory: u64,
    pub(crate) nice: i32,
    pub(crate) policy: Policy,
    pub(crate) namespaces: bool,
}

/// That it is ready, or why not: the only message from it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum Ready {
    Ready(Walls),
    Failed(Failed),
}

/// Runs one task in a slot, from its first ask to its last; its link, for the next.
pub(crate) type Perform = fn(SlotLink, &Shared) -> SlotLink;

/// Runs the subcommand, whose slots do `perform`. Must be called before any thread is made.
pub(crate) fn main(perform: Perform) -> ExitCode {
    // A panic is told to the TaskManager by the slot that had it; here is nobody who could read it.
    std::panic::set_hook(Box::new(|_| {}));
    let Ok([socket, code, arena]) = inherited([SOCKET, CODE, ARENA]) else { return ExitCode::FAILURE };
    match start(&socket, code, arena, perform) {
        Ok(()) => {
            // Nothing is ever sent: this returns when the other side has gone, or when it breaks the rule.
            let _ = recv(&socket, &mut [0; 1], RecvFlags::empty());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = tell(&socket, &Ready::Failed(Failed::of(&error)));
            ExitCode::FAILURE
        }
    }
}

fn start(socket: &OwnedFd, code: OwnedFd, arena: OwnedFd, perform: Perform) -> Result<()> {
    let mut message = [0; MAX_MESSAGE];
    let (length, _) = recv(socket, &mut message, RecvFlags::empty())
        .map_err(|error| Error::new(code::EXECUTOR_START, format!("not told what to do: {error}")))?;
    let setup: Setup = payload::read(message.get(..length).unwrap_or_default())?;
    let signals = signals(&setup)?;
    let root = jail::root()?;
    jail::shed(signals.end - 1, setup.nice)?;
    let landlock = jail::landlock(setup.policy)?;

    let memory = Arc::new(Memory::map(arena, setup.slots)?);
    arenas(2);
    // Kept for as long as the process, as the allocator is.
    let controls = Box::leak(Box::new(Controls::new(Arena::new(&memory, 0))));
    if let Some(word) = controls.refused() {
        memory::tell(word, setup.memory);
    }
    let shared = Arc::new(Shared::new(code));
    // What wasmtime sets up once in a process, signal handlers above all, is set up now.
    shared.engine(1, &Limits::default())?;
    // So is the way to the clocks, for which a file is read.
    let _ = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    jail::limit(&ResourceLimits {
        data: setup.memory,
        address_space: None,
        cpu: None,
        descriptors: u64::try_from(signals.end).unwrap_or(0),
    })?;
    let there = Arc::new(Barrier::new(setup.slots as usize + 1));
    for (number, signal) in (0..setup.slots).zip(signals.clone()) {
        let [signal] = inherited([signal])?;
        let link = SlotLink::new(Arena::new(&memory, number), Arc::new(signal));
        let (shared, there) = (Arc::clone(&shared), Arc::clone(&there));
        thread::Builder::new()
            .name(format!("slot-{number}"))
            .stack_size(STACK)
            .spawn(move || {
                there.wait();
                serve(link, &shared, perform);
            })
            .map_err(|error| Error::new(code::EXECUTOR_START, format!("no thread for a task slot: {error}")))?;
    }
    // What a thread does before its first line is done when they have met.
    there.wait();
    let sealed = jail::seal(&profile(signals, setup.memory));
    let seccomp = match (sealed, setup.policy) {
        (Ok(()), _) => true,
        (Err(_), Policy::BestEffort) => false,
        (Err(error), Policy::Required) => return Err(error),
    };
    let walls =
        Walls { namespaces: setup.namespaces, empty_root: root, no_privileges: true, landlock, seccomp, cgroup: false };
    tell(socket, &Ready::Ready(walls))
}

/// Runs one task after the other in a slot, for ever.
fn serve(mut link: SlotLink, shared: &Shared, perform: Perform) {
    let controls = link.controls();
    let mut last = 0;
    loop {
        last = controls.next_run(last);
        link = perform(link, shared);
    }
}

fn signals(setup: &Setup) -> Result<Range<RawFd>> {
    let slots = RawFd::try_from(setup.slots.min(MAX_SLOTS + 1)).unwrap_or(0);
    if setup.slots == 0 || setup.slots > MAX_SLOTS {
        return Err(Error::new(code::EXECUTOR_START, format!("{} slots, not 1 to {MAX_SLOTS}", setup.slots)));
    }
    Ok(SIGNALS..SIGNALS + slots)
}

/// What an executor may do: it reads nothing, since it sleeps on shared memory.
pub(crate) fn profile(signal: Range<RawFd>, memory: u64) -> Profile {
    Profile::Executor { socket: SOCKET, code: CODE, wake: 0..0, signal, memory }
}

fn tell(socket: impl AsFd, message: &Ready) -> Result<()> {
    let bytes = payload::write(message)?;
    send(socket, &bytes, SendFlags::NOSIGNAL)
        .map(|_| ())
        .map_err(|error| Error::new(code::EXECUTOR_START, format!("nobody listens: {error}")))
}

/// The descriptors with these numbers, if they are there.
#[expect(unsafe_code, reason = "descriptors come by their numbers")]
fn inherited<const N: usize>(numbers: [RawFd; N]) -> Result<[OwnedFd; N]> {
    let missing = || Error::new(code::EXECUTOR_START, "started by hand: only a TaskManager starts an executor");
    for number in numbers {
        // SAFETY: asks about a number; whether it is open is what it finds out.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            return Err(missing());
        }
    }
    // SAFETY: they are open, and nobody else in this process, which was given them by number, takes them: each number is
    // asked for once.
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }))
}

/// Bounds the number of malloc's arenas, each of which keeps memory that it does not need.
#[expect(unsafe_code, reason = "no wrapper sets the allocator's options")]
fn arenas(most: libc::c_int) {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number in the allocator, before there are threads.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, most);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = most;
}

const _: () = assert!(SIGNALS == ARENA + 1 && ARENA == CODE + 1 && CODE == SOCKET + 1);
