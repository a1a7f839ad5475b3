//! A slot's end of the protocol: asks, lends regions, keeps several asks under way.
//!
//! Writes and reads ahead are not waited for, so that moving bytes overlaps with work; a refusal of one of them comes up
//! at the next ask. Regions are the only budget: no ask without one, so nothing here can grow.

use crate::link::{SlotLink, gone};
use crate::protocol::{Answer, Ask, REGION_BYTES, SLOT_REGIONS, VERSION, Verb, payload};
use crate::shared::Control;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// A slot's end of the protocol.
pub(crate) struct Port {
    link: SlotLink,
    tickets: u64,
    free: Vec<u32>,
    under_way: BTreeMap<u64, UnderWay>,
    answered: BTreeMap<u64, (u32, Answer)>,
    refused: Option<Error>,
}

#[derive(Clone, Copy)]
struct UnderWay {
    region: u32,
    /// Whether somebody comes for the answer.
    awaited: bool,
}

/// An ask whose answer somebody comes for.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Ticket(u64);

impl Port {
    /// A port on `link`.
    pub(crate) fn new(link: SlotLink) -> Self {
        let free = (0..SLOT_REGIONS).collect();
        Self { link, tickets: 0, free, under_way: BTreeMap::new(), answered: BTreeMap::new(), refused: None }
    }

    /// Asks for the other side's version.
    pub(crate) fn hello(&mut self) -> Result<()> {
        let version = self.call(Verb::Hello { version: VERSION }, &[], &mut Vec::new())?;
        if version == u64::from(VERSION) {
            return Ok(());
        }
        Err(Error::new(code::PROTOCOL_MESSAGE, format!("the TaskManager speaks version {version}, not {VERSION}")))
    }

    /// How the slot is told to stop, and says that it gets on.
    pub(crate) fn control(&self) -> Control {
        Control::new(self.link.controls())
    }

    /// A port on `link` after so many tickets, none of which is open.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn resumed(link: SlotLink, tickets: u64) -> Self {
        Self { tickets, ..Self::new(link) }
    }

    /// The last ticket that was used.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn tickets(&self) -> u64 {
        self.tickets
    }

    /// The last ask. What was refused before no longer matters.
    pub(crate) fn end(&mut self, end: &impl Serialize) -> Result<()> {
        let bytes = payload::write(end)?;
        // Answers that are still to come may be refusals too, so that a region is waited for first.
        while self.free.is_empty() {
            self.receive()?;
        }
        self.refused = None;
        self.call(Verb::End, &bytes, &mut Vec::new()).map(|_| ())
    }

    /// The link, for the slot's next run.
    pub(crate) fn into_link(self) -> SlotLink {
        self.link
    }

    /// Asks and waits: `bytes` go in the region, what comes back in it is appended to `back`. The answer's value.
    pub(crate) fn call(&mut self, verb: Verb, bytes: &[u8], back: &mut Vec<u8>) -> Result<u64> {
        let ticket = self.ask(verb, bytes, None, true)?;
        self.take(Ticket(ticket), back)
    }

    /// Asks with a JSON document and waits.
    pub(crate) fn call_with(&mut self, verb: Verb, document: &impl Serialize) -> Result<u64> {
        let bytes = payload::write(document)?;
        self.call(verb, &bytes, &mut Vec::new())
    }

    /// Asks and does not wait. A refusal comes up at a later ask, at the latest at a [`Port::call`] for a commit.
    pub(crate) fn post(&mut self, verb: Verb, bytes: &[u8]) -> Result<()> {
        self.ask(verb, bytes, None, false).map(|_| ())
    }

    /// Begins to read at most a region of an input.
    pub(crate) fn read_ahead(&mut self, input: u32, offset: u64, length: usize) -> Result<Ticket> {
        let length = u32::try_from(length.min(REGION_BYTES)).unwrap_or(0);
        self.ask(Verb::Read { input, offset }, &[], Some(length), true).map(Ticket)
    }

    /// Waits for the answer to `ticket`; what came in the region is appended to `back`. The answer's value.
    pub(crate) fn take(&mut self, Ticket(ticket): Ticket, back: &mut Vec<u8>) -> Result<u64> {
        loop {
            if let Some((region, answer)) = self.answered.remove(&ticket) {
                return self.settle(region, answer, back);
            }
            self.receive()?;
        }
    }

    /// Whether a region is free without waiting, beside `spare` others.
    pub(crate) fn has_room(&self, spare: usize) -> bool {
        self.free.len() > spare
    }

    fn ask(&mut self, verb: Verb, bytes: &[u8], wanted: Option<u32>, awaited: bool) -> Result<u64> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let region = loop {
            match self.free.pop() {
                Some(region) => break region,
                None => self.receive()?,
            }
        };
        self.link.arena.copy_in(region, bytes)?;
        let length = wanted.unwrap_or_else(|| u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.tickets += 1;
        self.under_way.insert(self.tickets, UnderWay { region, awaited });
        self.link.send(Ask { ticket: self.tickets, region, length, verb }.encode())?;
        Ok(self.tickets)
    }

    /// Waits for one answer, whichever comes.
    fn receive(&mut self) -> Result<()> {
        let frame = self.link.receive().ok_or_else(gone)?;
        let answer = Answer::decode(&frame)?;
        let Some(UnderWay { region, awaited }) = self.under_way.remove(&answer.ticket) else {
            return Err(Error::new(
                code::PROTOCOL_RANGE,
                format!("an answer to ticket {}, which is not open", answer.ticket),
            ));
        };
        if awaited {
            self.answered.insert(answer.ticket, (region, answer));
        } else if let Err(error) = self.settle(region, answer, &mut Vec::new()) {
            self.refused.get_or_insert(error);
        }
        Ok(())
    }

    fn settle(&mut self, region: u32, answer: Answer, back: &mut Vec<u8>) -> Result<u64> {
        self.free.push(region);
        if answer.refused {
            let mut text = Vec::new();
            self.link.arena.copy_out(region, answer.length as usize, &mut text)?;
            return Err(answer.error(&text));
        }
        self.link.arena.copy_out(region, answer.length as usize, back)?;
        Ok(answer.value)
    }
}
