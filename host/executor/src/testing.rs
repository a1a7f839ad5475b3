//! What tests of a TaskManager need: the slot's end of the protocol without a slot behind it, which says whatever they want
//! to hear refused, and the program that is started as a jailed process.

use crate::jail::Policy;
use crate::link::{Controls, SlotLink, link};
use crate::port::Port;
use crate::protocol::{Answer, Ask, Frame, Verb};
use crate::shared::Shared;
use crate::{Assignment, ExecutorOptions, Executors, SlotHandle, Task, child, slot as honest};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

/// A slot that does what it is told.
pub struct RawSlot {
    link: SlotLink,
    tickets: u64,
}

/// A slot and the TaskManager's end of it.
pub fn slot() -> (RawSlot, SlotHandle) {
    let (slot, end) = link();
    (RawSlot { link: slot, tickets: 0 }, SlotHandle::new(end, None))
}

/// What a compromised slot does once it knows its job; whether it did anything but what it was told to.
pub type Play = fn(&Assignment, &mut RawSlot) -> bool;

/// Runs this process as an executor whose slots ask `play` first. Must be called before any thread is made.
pub fn compromised(play: Play) -> ExitCode {
    PLAY.get_or_init(|| play);
    child::main(perform)
}

static PLAY: OnceLock<Play> = OnceLock::new();

fn perform(link: SlotLink, shared: &Shared) -> SlotLink {
    let mut port = Port::new(link);
    let control = port.control();
    let task = honest::begin(&mut port, &control);
    let (Some(play), Ok(Task::Job(assignment))) = (PLAY.get(), &task) else {
        return honest::perform(port, shared, |_, _| task);
    };
    let mut raw = RawSlot { tickets: port.tickets(), link: port.into_link() };
    if play(assignment, &mut raw) {
        return raw.link;
    }
    honest::perform(Port::resumed(raw.link, raw.tickets), shared, |_, _| task)
}

/// A word of those that the two sides share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// How many frames the slot has sent.
    Asked,
    /// How many frames the TaskManager has sent.
    Answered,
    /// The number of the run.
    Run,
    /// What the TaskManager orders.
    Orders,
    /// Whether the slot has gone.
    Gone,
    /// Changes when the slot gets on.
    Progress,
    /// Whether the process was refused memory.
    Refused,
}

/// The `lockgate` program that was built along with the calling test or bench.
///
/// # Panics
/// If there is none. `cargo test -p CRATE` does not build another crate's program.
#[expect(clippy::panic, reason = "for tests alone")]
pub fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    // target/debug/deps/TEST, target/debug/examples/EXAMPLE or target/debug/PROGRAM.
    let program = this.ancestors().skip(1).take(2).map(|folder| folder.join("lockgate")).find(|path| path.is_file());
    program.unwrap_or_else(|| {
        panic!("there is no `lockgate` beside {}: run `cargo build -p lockgate` in the same profile", this.display())
    })
}

/// Executors of `slots` slots each, which are that program.
///
/// # Panics
/// If there is no such program, or no executor can be had.
#[expect(clippy::panic, reason = "for tests alone")]
pub fn executors(slots: u32) -> Executors {
    let options = ExecutorOptions { program: Some(program()), slots, memory: 3 << 30, nice: 0, jail: Policy::Required };
    Executors::new(options).unwrap_or_else(|error| panic!("{error}"))
}

impl RawSlot {
    /// Sends a frame as it is; whether there was somebody to take it.
    pub fn send(&mut self, frame: Frame) -> bool {
        self.link.send(frame).is_ok()
    }

    /// The next ticket.
    pub fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Writes into a region, whoever it is lent to.
    pub fn put(&self, region: u32, bytes: &[u8]) {
        let _ = self.link.arena.copy_in(region, bytes);
    }

    /// Waits for an answer, none if the other side has ended.
    pub fn answer(&mut self) -> Option<Answer> {
        Answer::decode(&self.link.receive()?).ok()
    }

    /// Rings without an ask.
    pub fn ring(&self) {
        self.link.ring();
    }

    /// Changes a word of slot `slot`.
    #[cfg(any(test, feature = "testing"))]
    pub fn forge(&self, slot: u32, word: Word, change: impl Fn(u32) -> u32) {
        Controls::new(self.link.arena.of(slot)).forge(word, change);
    }

    /// Fills everything that the executor shares with the TaskManager.
    #[cfg(any(test, feature = "testing"))]
    pub fn scribble(&self, value: u64) {
        self.link.arena.scribble(value);
    }

    /// Asks `verb` with `bytes` in the first region and waits: the answer and its bytes, none if the other side has ended.
    pub fn ask(&mut self, verb: Verb, bytes: &[u8]) -> Option<(Answer, Vec<u8>)> {
        self.ask_for(verb, u32::try_from(bytes.len()).ok()?, bytes)
    }

    /// As [`RawSlot::ask`], with another length in the frame: what a read wants.
    pub fn ask_for(&mut self, verb: Verb, length: u32, bytes: &[u8]) -> Option<(Answer, Vec<u8>)> {
        self.link.arena.copy_in(0, bytes).ok()?;
        self.tickets += 1;
        self.link.send(Ask { ticket: self.tickets, region: 0, length, verb }.encode()).ok()?;
        let answer = Answer::decode(&self.link.receive()?).ok()?;
        let mut back = Vec::new();
        self.link.arena.copy_out(0, answer.length as usize, &mut back).ok()?;
        Some((answer, back))
    }
}
