//! The way that frames take between a slot and its TaskManager: two bounded queues and an arena.
//!
//! Here both ends are in one process. Whatever carries frames and regions can take its place; neither the slot nor the
//! TaskManager sees more of it than [`Link`] and [`SlotHandle`](crate::SlotHandle) show.

use crate::arena::Arena;
use crate::protocol::{Frame, SLOT_REGIONS};
use async_channel::{Receiver, Sender};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::sync::Arc;

/// One end of a slot's way to its TaskManager.
pub(crate) struct Link {
    sender: Sender<Frame>,
    receiver: Receiver<Frame>,
    pub(crate) arena: Arc<Arena>,
}

/// Both ends of a new link: the slot's and the TaskManager's.
pub(crate) fn link() -> (Link, Link) {
    let arena = Arc::new(Arena::new(SLOT_REGIONS));
    // A slot has at most one ask a region under way, so that neither queue is ever full.
    let (asks, asked) = async_channel::bounded(SLOT_REGIONS as usize);
    let (answers, answered) = async_channel::bounded(SLOT_REGIONS as usize);
    let slot = Link { sender: asks, receiver: answered, arena: Arc::clone(&arena) };
    (slot, Link { sender: answers, receiver: asked, arena })
}

impl Link {
    /// Sends a frame.
    ///
    /// # Errors
    /// `LG0904` if the other end is gone or does not keep to the number of asks under way.
    pub(crate) fn send(&self, frame: Frame) -> Result<()> {
        self.sender.try_send(frame).map_err(|_| gone())
    }

    /// Waits for a frame; none when the other end is gone.
    pub(crate) fn receive(&self) -> Option<Frame> {
        self.receiver.recv_blocking().ok()
    }
}

pub(crate) fn gone() -> Error {
    Error::new(code::EXECUTOR_GONE, "the other side of a task slot has ended")
}
