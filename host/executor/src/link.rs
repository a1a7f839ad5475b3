//! The way that frames take between a slot and its TaskManager: two rings in shared memory, and a bell each way.
//!
//! The slot sleeps on a word of the shared memory (futex), the TaskManager on an eventfd, so that it can wait for the
//! executor's death as well. A ring has as many places as a slot has regions, and no ask goes without a region, so
//! neither ring is ever full between sides that keep to the protocol. What a bell's count or a ring's counter says is
//! believed only as far as "look": a frame is copied out before it is read, and more frames than there are places end
//! the executor.

use crate::arena::Arena;
use crate::protocol::{FRAME_BYTES, Frame, SLOT_REGIONS};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::thread::futex;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Words of a place in a ring: a frame, and the rest of its cache line.
const PLACE: usize = 16;
const RING: usize = SLOT_REGIONS as usize * PLACE;
const FRAME_WORDS: usize = FRAME_BYTES / 4;

/// Where the control words are; counters that different sides write stand in different cache lines.
mod at {
    use super::{PLACE, RING};

    pub(super) const ASKS: usize = 0;
    pub(super) const ANSWERS: usize = RING;
    pub(super) const ASKED: usize = 2 * RING;
    pub(super) const ANSWERED: usize = ASKED + PLACE;
    /// Rung by the TaskManager for the slot.
    pub(super) const BELL: usize = ANSWERED + PLACE;
    /// Which run of the slot this is; each has a number of its own, 0 is none.
    pub(super) const RUN: usize = BELL + PLACE;
    /// What the TaskManager orders, as bits.
    pub(super) const ORDERS: usize = RUN + 1;
    /// Whether the slot has gone.
    pub(super) const SLOT_GONE: usize = RUN + PLACE;
    /// Changes whenever the slot gets on with its work.
    pub(super) const PROGRESS: usize = SLOT_GONE + 1;
    /// Whether the process was refused memory, in the first slot's page.
    pub(super) const REFUSED: usize = SLOT_GONE + 2;
}

const DRAIN: u32 = 1;
const CANCEL: u32 = 2;
const CLOSED: u32 = 4;

/// The control words of a slot as both sides see them.
#[derive(Clone)]
pub(crate) struct Controls(Arena);

/// The slot's end.
pub(crate) struct SlotLink {
    pub(crate) arena: Arena,
    asked: u32,
    answered: u32,
    signal: Arc<OwnedFd>,
}

/// How often a slot may ring without an ask. One that keeps to the protocol rings once an ask, so that a bell may be
/// heard after its ask was taken.
const MAX_RINGS: u32 = 100;

/// The TaskManager's end.
pub(crate) struct Link {
    pub(crate) arena: Arena,
    asked: u32,
    answered: u32,
    signal: Arc<OwnedFd>,
    /// Can be read when the executor has ended.
    death: Option<Arc<OwnedFd>>,
}

impl Controls {
    pub(crate) fn new(arena: Arena) -> Self {
        Self(arena)
    }

    fn word(&self, at: usize) -> Option<&AtomicU32> {
        self.0.control().get(at)
    }

    fn read(&self, at: usize) -> u32 {
        self.word(at).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn write(&self, at: usize, value: u32) {
        if let Some(word) = self.word(at) {
            word.store(value, Ordering::Release);
        }
    }

    /// Writes a word whoever it belongs to.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn forge(&self, word: crate::testing::Word, change: impl Fn(u32) -> u32) {
        use crate::testing::Word;
        let at = match word {
            Word::Asked => at::ASKED,
            Word::Answered => at::ANSWERED,
            Word::Run => at::RUN,
            Word::Orders => at::ORDERS,
            Word::Gone => at::SLOT_GONE,
            Word::Progress => at::PROGRESS,
            Word::Refused => at::REFUSED,
        };
        self.write(at, change(self.read(at)));
    }

    /// Wakes the slot so that it looks at everything again.
    fn ring(&self) {
        if let Some(bell) = self.word(at::BELL) {
            bell.fetch_add(1, Ordering::Release);
            // Fails only for an address that is not mapped.
            let _ = futex::wake(bell, futex::Flags::empty(), 1);
        }
    }

    /// Waits until the bell has rung since it was `heard`.
    fn wait(&self, heard: u32) {
        if let Some(bell) = self.word(at::BELL) {
            // Woken, not asleep at all, interrupted: in each case the caller looks again.
            let _ = futex::wait(bell, futex::Flags::empty(), heard, None);
        }
    }

    /// Tells the slot to finish its batch, commit and end.
    pub(crate) fn drain(&self) {
        self.order(DRAIN);
    }

    /// Tells the slot to stop at once.
    pub(crate) fn cancel(&self) {
        self.order(CANCEL);
    }

    fn order(&self, order: u32) {
        if let Some(orders) = self.word(at::ORDERS) {
            orders.fetch_or(order, Ordering::Release);
        }
        self.ring();
    }

    pub(crate) fn draining(&self) -> bool {
        self.read(at::ORDERS) & DRAIN != 0
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.read(at::ORDERS) & (CANCEL | CLOSED) != 0
    }

    /// Where the process leaves word that it was refused memory.
    pub(crate) fn refused(&self) -> Option<&AtomicU32> {
        self.word(at::REFUSED)
    }

    /// Says that the slot gets on.
    pub(crate) fn progress(&self) {
        if let Some(word) = self.word(at::PROGRESS) {
            word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// What [`Controls::progress`] has changed since the last look, if anything.
    pub(crate) fn look(&self) -> u32 {
        self.read(at::PROGRESS)
    }

    /// Starts run `number`, which is not that of an earlier one.
    pub(crate) fn start(&self, number: u32) {
        self.write(at::ORDERS, 0);
        self.write(at::RUN, number);
        self.ring();
    }

    /// Waits for another run than number `last`; its number.
    pub(crate) fn next_run(&self, last: u32) -> u32 {
        loop {
            let heard = self.read(at::BELL);
            let number = self.read(at::RUN);
            if number != last && number != 0 {
                return number;
            }
            self.wait(heard);
        }
    }
}

impl SlotLink {
    /// The slot's end; `signal` wakes the TaskManager.
    pub(crate) fn new(arena: Arena, signal: Arc<OwnedFd>) -> Self {
        let controls = Controls::new(arena.clone());
        let (asked, answered) = (controls.read(at::ASKED), controls.read(at::ANSWERED));
        Self { arena, asked, answered, signal }
    }

    pub(crate) fn controls(&self) -> Controls {
        Controls::new(self.arena.clone())
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// `LG0904` if the other side is gone.
    pub(crate) fn send(&mut self, frame: Frame) -> Result<()> {
        let controls = self.controls();
        if controls.read(at::ORDERS) & CLOSED != 0 {
            return Err(gone());
        }
        put(&controls, at::ASKS, self.asked, frame);
        self.asked = self.asked.wrapping_add(1);
        controls.write(at::ASKED, self.asked);
        ring(&self.signal);
        Ok(())
    }

    /// Rings without anything to say.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn ring(&self) {
        ring(&self.signal);
    }

    /// Waits for a frame; none when the other side is gone.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        let controls = self.controls();
        loop {
            let heard = controls.read(at::BELL);
            // Looked at before the ring: what was sent before the end is then seen.
            let closed = controls.read(at::ORDERS) & CLOSED != 0;
            if controls.read(at::ANSWERED) != self.answered {
                let frame = take(&controls, at::ANSWERS, self.answered);
                self.answered = self.answered.wrapping_add(1);
                return Some(frame);
            }
            if closed {
                return None;
            }
            controls.wait(heard);
        }
    }
}

impl Drop for SlotLink {
    fn drop(&mut self) {
        self.controls().write(at::SLOT_GONE, 1);
        ring(&self.signal);
    }
}

impl Link {
    /// The TaskManager's end; `signal` is rung by the slot, `death` can be read when its process has ended.
    pub(crate) fn new(arena: Arena, signal: Arc<OwnedFd>, death: Option<Arc<OwnedFd>>) -> Self {
        Self { arena, asked: 0, answered: 0, signal, death }
    }

    pub(crate) fn controls(&self) -> Controls {
        Controls::new(self.arena.clone())
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: Frame) {
        let controls = self.controls();
        put(&controls, at::ANSWERS, self.answered, frame);
        self.answered = self.answered.wrapping_add(1);
        controls.write(at::ANSWERED, self.answered);
        controls.ring();
    }

    /// Whether there are asks that were not received.
    pub(crate) fn is_pending(&self) -> bool {
        self.controls().read(at::ASKED) != self.asked
    }

    /// Waits for a frame; none when the other side is gone.
    ///
    /// # Errors
    /// `LG0902` if there are more than a slot can have under way, or it rings for nothing.
    pub(crate) fn receive(&mut self) -> Result<Option<Frame>> {
        let controls = self.controls();
        for _ in 0..MAX_RINGS {
            // Looked at before the ring, as above.
            let gone = controls.read(at::SLOT_GONE) != 0;
            match controls.read(at::ASKED).wrapping_sub(self.asked) {
                0 => {}
                1..=SLOT_REGIONS => {
                    let frame = take(&controls, at::ASKS, self.asked);
                    self.asked = self.asked.wrapping_add(1);
                    return Ok(Some(frame));
                }
                asks => {
                    return Err(Error::new(code::PROTOCOL_RANGE, format!("{asks} asks at once")));
                }
            }
            if gone || self.wait()? {
                return Ok(None);
            }
        }
        Err(Error::new(code::PROTOCOL_RANGE, format!("a slot rang {MAX_RINGS} times for nothing")))
    }

    /// Sleeps until the slot rings or its process ends; whether that has ended.
    fn wait(&self) -> Result<bool> {
        let signal = self.signal.as_fd();
        let mut waits = vec![PollFd::new(&signal, PollFlags::IN)];
        let death: Option<BorrowedFd<'_>> = self.death.as_ref().map(|death| death.as_fd());
        waits.extend(death.as_ref().map(|death| PollFd::new(death, PollFlags::IN)));
        match poll(&mut waits, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                return Err(Error::new(code::IO, format!("a task slot cannot be waited for: {error}")));
            }
        }
        let ended = waits.get(1).is_some_and(|death| !death.revents().is_empty());
        // How often it rang means nothing; that it is empty again does, so that the next wait waits.
        let _ = rustix::io::read(&*self.signal, &mut [0; 8]);
        // What was sent before the end is still read.
        Ok(ended && !self.is_pending())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.controls().order(CLOSED);
    }
}

/// An eventfd that rings for a TaskManager.
///
/// # Errors
/// `LG0002` if the system refuses.
pub(crate) fn bell() -> Result<OwnedFd> {
    use rustix::event::{EventfdFlags, eventfd};
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| Error::new(code::IO, format!("no bell for a task slot: {error}")))
}

fn ring(bell: &OwnedFd) {
    // It is full only if it has rung.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

fn put(controls: &Controls, ring: usize, count: u32, frame: Frame) {
    let place = ring + (count % SLOT_REGIONS) as usize * PLACE;
    let words = controls.0.control().get(place..place + FRAME_WORDS).unwrap_or_default();
    for (word, bytes) in words.iter().zip(frame.as_chunks::<4>().0) {
        word.store(u32::from_le_bytes(*bytes), Ordering::Relaxed);
    }
}

fn take(controls: &Controls, ring: usize, count: u32) -> Frame {
    let place = ring + (count % SLOT_REGIONS) as usize * PLACE;
    let words = controls.0.control().get(place..place + FRAME_WORDS).unwrap_or_default();
    let mut frame = [0; FRAME_BYTES];
    for (bytes, word) in frame.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.load(Ordering::Relaxed).to_le_bytes();
    }
    frame
}

/// Both ends of a new link within one process: the slot's and the TaskManager's.
#[cfg(any(test, feature = "testing"))]
#[expect(clippy::panic, reason = "for tests alone")]
pub(crate) fn link() -> (SlotLink, Link) {
    let made = || -> Result<_> {
        let memory = Arc::new(crate::arena::Memory::map(crate::arena::create(1)?, 1)?);
        let (arena, signal) = (Arena::new(&memory, 0), Arc::new(bell()?));
        Ok((SlotLink::new(arena.clone(), Arc::clone(&signal)), Link::new(arena, signal, None)))
    };
    made().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn gone() -> Error {
    Error::new(code::EXECUTOR_GONE, "the other side of a task slot has ended")
}
