//! What tests of a TaskManager need: the slot's end of the protocol without a slot behind it, which says whatever they want
//! to hear refused, and the program that is started as a jailed process.

use crate::jail::Policy;
use crate::link::{SlotLink, link};
use crate::protocol::{Answer, Ask, Frame, Verb};
use crate::{ExecutorOptions, Executors, SlotHandle};
use std::path::PathBuf;

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
