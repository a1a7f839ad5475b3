//! A TaskManager's end of the protocol: takes a slot's asks, checks them, answers.
//!
//! What an executor says is hostile. A frame is copied out before it is looked at, its region must not be lent already,
//! its ticket must be the next; whether an input, a sink or an epoch is open is the TaskManager's to check.

use crate::link::{Link, gone};
use crate::process::Lease;
use crate::protocol::{Answer, Ask, REGION_BYTES};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::collections::BTreeMap;

/// A TaskManager's end of a task slot that runs. It must be [finished](SlotHandle::finish) after the slot's last ask; if it
/// is dropped before, the executor is not what it should be, and is killed.
pub struct SlotHandle {
    /// None only while it is dropped.
    link: Option<Link>,
    tickets: u64,
    lent: BTreeMap<u64, u32>,
    lease: Option<Lease>,
}

impl SlotHandle {
    pub(crate) fn new(link: Link, lease: Option<Lease>) -> Self {
        Self { link: Some(link), tickets: 0, lent: BTreeMap::new(), lease }
    }

    /// Waits for the next ask; none when the slot has ended.
    ///
    /// # Errors
    /// `LG0901` or `LG0902` if the slot does not keep to the protocol: it must be ended.
    pub fn receive(&mut self) -> Result<Option<Ask>> {
        self.tell();
        let link = self.link.as_mut().ok_or_else(gone)?;
        let Some(frame) = link.receive()? else { return Ok(None) };
        let ask = Ask::decode(&frame)?;
        let wrong = |what: &str| Error::new(code::PROTOCOL_RANGE, format!("ticket {}: {what}", ask.ticket));
        if ask.ticket != self.tickets + 1 {
            return Err(wrong("not the next ticket"));
        }
        if ask.region >= link.arena.regions() || self.lent.values().any(|region| *region == ask.region) {
            return Err(wrong("a region that is not the slot's to lend"));
        }
        self.tickets = ask.ticket;
        self.lent.insert(ask.ticket, ask.region);
        self.tell();
        Ok(Some(ask))
    }

    /// The bytes that an open ask carries.
    ///
    /// # Errors
    /// `LG0902` if the ask is not open.
    pub fn bytes(&self, ask: &Ask) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.bytes_into(ask, &mut bytes)?;
        Ok(bytes)
    }

    /// Appends the bytes that an open ask carries to `out`.
    ///
    /// # Errors
    /// `LG0902` if the ask is not open.
    pub fn bytes_into(&self, ask: &Ask, out: &mut Vec<u8>) -> Result<()> {
        if self.lent.get(&ask.ticket) != Some(&ask.region) {
            return Err(Error::new(code::PROTOCOL_RANGE, format!("ticket {} is not open", ask.ticket)));
        }
        self.link.as_ref().ok_or_else(gone)?.arena.copy_out(ask.region, ask.length as usize, out)
    }

    /// Answers an open ask with a value and bytes.
    ///
    /// # Errors
    /// `LG0902` if the bytes do not fit, `LG0904` if the ask is not open.
    pub fn answer(&mut self, ask: &Ask, value: u64, bytes: &[u8]) -> Result<()> {
        self.settle(ask, false, value, bytes)
    }

    /// Refuses an open ask.
    ///
    /// # Errors
    /// As [`SlotHandle::answer`].
    pub fn refuse(&mut self, ask: &Ask, error: &Error) -> Result<()> {
        let text = match error.place() {
            Some(place) => format!("{place}: {}", error.cause()),
            None => error.cause().to_owned(),
        };
        let text = text.as_bytes();
        let text = text.get(..text.len().min(4_096)).unwrap_or_default();
        self.settle(ask, true, u64::from(error.code().number()), text)
    }

    /// Gives the slot back, whose last ask has been answered.
    pub fn finish(mut self) {
        if let (Some(link), Some(lease)) = (self.link.take(), self.lease.take()) {
            lease.give_back(link);
        }
    }

    /// Tells the slot to stop at once. It still has to be served to its last ask; the watchdog sees to it that this
    /// comes soon.
    pub fn stop(&self) {
        if let Some(lease) = &self.lease {
            lease.stop();
        }
    }

    /// Why the executor has ended, as far as it is known.
    pub fn death(&self) -> Error {
        self.lease.as_ref().map_or_else(gone, Lease::death)
    }

    fn settle(&mut self, ask: &Ask, refused: bool, value: u64, bytes: &[u8]) -> Result<()> {
        let region = self.lent.remove(&ask.ticket).ok_or_else(gone)?;
        self.tell();
        let link = self.link.as_mut().ok_or_else(gone)?;
        let length = bytes.len().min(REGION_BYTES);
        link.arena.copy_in(region, bytes)?;
        let length = u32::try_from(length).unwrap_or(0);
        link.send(Answer { ticket: ask.ticket, refused, length, value }.encode());
        Ok(())
    }

    /// Lets the watchdog know whether it is the slot's turn or the TaskManager's.
    fn tell(&self) {
        if let Some(lease) = &self.lease {
            lease.owes(!self.lent.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::link;
    use crate::port::Port;
    use crate::protocol::{SLOT_REGIONS, VERSION, Verb};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    fn ask(ticket: u64, region: u32) -> Ask {
        Ask { ticket, region, length: 0, verb: Verb::Split }
    }

    #[test]
    fn a_slot_that_does_not_keep_to_the_protocol_is_found_out() {
        for (bad, why) in [
            (ask(2, 0), "a ticket left out"),
            (ask(0, 0), "an old ticket"),
            (ask(1, SLOT_REGIONS), "a region that is not there"),
        ] {
            let (mut slot, end) = link();
            slot.send(bad.encode()).unwrap();
            assert_eq!(SlotHandle::new(end, None).receive().unwrap_err().code(), code::PROTOCOL_RANGE, "{why}");
        }
        let (mut slot, end) = link();
        let mut handle = SlotHandle::new(end, None);
        slot.send(ask(1, 0).encode()).unwrap();
        slot.send(ask(2, 0).encode()).unwrap();
        handle.receive().unwrap().unwrap();
        assert!(handle.receive().is_err(), "a region lent twice");
    }

    #[test]
    fn a_flood_of_asks_is_found_out() {
        let (mut slot, end) = link();
        for ticket in 1..=u64::from(SLOT_REGIONS) + 1 {
            slot.send(ask(ticket, 0).encode()).unwrap();
        }
        assert_eq!(SlotHandle::new(end, None).receive().unwrap_err().code(), code::PROTOCOL_RANGE);
    }

    #[test]
    fn a_bell_without_an_ask_is_found_out() {
        let (slot, end) = link();
        let (stop, ringing) = (Arc::new(AtomicBool::new(false)), slot);
        let stopped = Arc::clone(&stop);
        let rings = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                ringing.ring();
            }
        });
        assert_eq!(SlotHandle::new(end, None).receive().unwrap_err().code(), code::PROTOCOL_RANGE);
        stop.store(true, Ordering::Relaxed);
        rings.join().unwrap();
    }

    #[test]
    fn an_ask_is_answered_once() {
        let (mut slot, end) = link();
        let mut handle = SlotHandle::new(end, None);
        slot.send(ask(1, 3).encode()).unwrap();
        let open = handle.receive().unwrap().unwrap();
        handle.answer(&open, 7, b"x").unwrap();
        assert!(handle.answer(&open, 7, b"x").is_err());
        assert!(handle.bytes(&open).is_err());
    }

    #[test]
    fn a_refused_write_comes_up_at_a_later_ask() {
        let (slot, end) = link();
        let other = thread::spawn(move || {
            let mut handle = SlotHandle::new(end, None);
            while let Some(ask) = handle.receive().unwrap() {
                match ask.verb {
                    Verb::Hello { .. } => handle.answer(&ask, u64::from(VERSION), &[]).unwrap(),
                    Verb::Write { .. } => handle.refuse(&ask, &Error::new(code::IO, "the disk is full")).unwrap(),
                    _ => handle.answer(&ask, 5, b"abc").unwrap(),
                }
            }
        });
        let mut port = Port::new(slot);
        port.hello().unwrap();
        port.post(Verb::Write { sink: 0, epoch: 1 }, b"1").unwrap();
        let ahead = port.read_ahead(1, 0, 3).unwrap();
        let mut back = Vec::new();
        assert_eq!((port.take(ahead, &mut back).unwrap(), &*back), (5, &b"abc"[..]));
        let error = port.call(Verb::Commit { epoch: 1 }, &[], &mut back).unwrap_err();
        assert_eq!((error.code(), error.cause()), (code::IO, "the disk is full"));
        drop(port);
        other.join().unwrap();
    }

    #[test]
    fn the_end_is_told_whatever_was_refused_before() {
        for writes in [1, SLOT_REGIONS] {
            let (slot, end) = link();
            let other = thread::spawn(move || {
                let (mut handle, mut ended) = (SlotHandle::new(end, None), false);
                while let Some(ask) = handle.receive().unwrap() {
                    ended |= ask.verb == Verb::End;
                    match ask.verb {
                        Verb::Hello { .. } => handle.answer(&ask, u64::from(VERSION), &[]).unwrap(),
                        Verb::Write { .. } => handle.refuse(&ask, &Error::new(code::IO, "the disk is full")).unwrap(),
                        _ => handle.answer(&ask, 0, &[]).unwrap(),
                    }
                }
                ended
            });
            let mut port = Port::new(slot);
            port.hello().unwrap();
            if writes == 1 {
                // The refusal is here before the end, and has come up nowhere.
                port.post(Verb::Write { sink: 0, epoch: 1 }, b"1").unwrap();
                let ahead = port.read_ahead(1, 0, 3).unwrap();
                port.take(ahead, &mut Vec::new()).unwrap();
            } else {
                // No region is free, so that refusals come while the end waits for one.
                (0..writes).for_each(|_| port.post(Verb::Write { sink: 0, epoch: 1 }, b"1").unwrap());
            }
            port.end(&"the last words").unwrap();
            drop(port);
            assert!(other.join().unwrap(), "{writes} writes");
        }
    }

    #[test]
    fn nothing_waits_for_an_end_that_is_gone() {
        let (slot, end) = link();
        drop(end);
        assert_eq!(Port::new(slot).hello().unwrap_err().code(), code::EXECUTOR_GONE);
    }
}
