//! A granted input as the decoders want it: ranges of bytes, cut into regions, read ahead.

use crate::port::{Port, Ticket};
use crate::protocol::REGION_BYTES;
use crate::shared::Control;
use bytes::Bytes;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_dataflow::Input;
use std::collections::VecDeque;

/// The most bytes that one read may ask for.
const MAX_READ: usize = 512 << 20;
/// Regions that reads ahead may hold.
const AHEAD: usize = 3;
/// Regions that reads ahead leave free for everything else.
const SPARE: usize = 3;

/// What is known of an input between reads.
pub(crate) struct Reading {
    input: u32,
    size: Option<u64>,
    ahead: VecDeque<(u64, usize, Ticket)>,
    /// Bytes read so far.
    pub(crate) read: u64,
    /// What stops a stream before its end.
    control: Control,
}

impl Reading {
    pub(crate) fn new(input: u32, size: Option<u64>, control: &Control) -> Self {
        Self { input, size, ahead: VecDeque::new(), read: 0, control: control.clone() }
    }

    /// The input, through `port`.
    pub(crate) fn on<'a>(&'a mut self, port: &'a mut Port) -> PortInput<'a> {
        PortInput { reading: self, port }
    }

    /// Takes back what was read ahead in vain.
    pub(crate) fn close(&mut self, port: &mut Port) -> Result<()> {
        while let Some((_, _, ticket)) = self.ahead.pop_front() {
            port.take(ticket, &mut Vec::new())?;
        }
        Ok(())
    }

    /// Begins to read `[offset, end)`, region by region, behind what is under way, as far as there is room.
    fn begin(&mut self, port: &mut Port, offset: u64, end: u64) -> Result<()> {
        let mut at = self.ahead.back().map_or(offset, |(at, wanted, _)| at + *wanted as u64);
        while at < end && self.ahead.len() < AHEAD && port.has_room(SPARE) {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(REGION_BYTES);
            self.ahead.push_back((at, wanted, port.read_ahead(self.input, at, wanted)?));
            at += wanted as u64;
        }
        Ok(())
    }

    /// Reads a range of the input whole.
    pub(crate) fn read(&mut self, port: &mut Port, offset: u64, length: usize) -> Result<Vec<u8>> {
        let left = self.size.map_or(u64::MAX, |size| size.saturating_sub(offset));
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        if length > MAX_READ {
            return Err(Error::new(code::PROTOCOL_RANGE, format!("{length} bytes are too many for one read")));
        }
        if self.size.is_none() {
            return self.read_stream(port, offset, length);
        }
        // What was read ahead is of use only if it is what is wanted now.
        if self.ahead.front().is_some_and(|(at, _, _)| *at != offset) {
            self.close(port)?;
        }
        let end = offset + length as u64;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            self.begin(port, at, end)?;
            let (wanted, ticket) = match self.ahead.pop_front() {
                Some((_, wanted, ticket)) => (wanted, ticket),
                // Every region is busy with writes: wait for one.
                None => {
                    let wanted = (length - bytes.len()).min(REGION_BYTES);
                    (wanted, port.read_ahead(self.input, at, wanted)?)
                }
            };
            let got = port.take(ticket, &mut bytes)?;
            self.read += got;
            if got < wanted as u64 {
                self.close(port)?;
                break;
            }
        }
        // More than this may have been read ahead.
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Reads what a stream has: up to `length` bytes, none only at its end. Never ahead, since what comes is not known.
    fn read_stream(&mut self, port: &mut Port, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let part = (length - bytes.len()).min(REGION_BYTES);
            let ticket = port.read_ahead(self.input, offset + bytes.len() as u64, part)?;
            let got = port.take(ticket, &mut bytes)?;
            self.read += got;
            if got < part as u64 {
                break;
            }
        }
        Ok(bytes)
    }
}

/// An input of the slot.
pub(crate) struct PortInput<'a> {
    reading: &'a mut Reading,
    port: &'a mut Port,
}

impl Input for PortInput<'_> {
    fn size(&self) -> Option<u64> {
        self.reading.size
    }

    fn read(&mut self, offset: u64, length: usize) -> Result<Bytes> {
        self.reading.read(self.port, offset, length).map(Bytes::from)
    }

    fn cut(&self) -> bool {
        self.reading.size.is_none() && (self.reading.control.draining() || self.reading.control.cancelled())
    }

    fn prefetch(&mut self, offset: u64, length: usize) {
        let end = self.reading.size.unwrap_or(0).min(offset.saturating_add(length as u64));
        if self.reading.ahead.is_empty() {
            // A hint that fails is a read that will fail, and that one is asked about.
            let _ = self.reading.begin(self.port, offset, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SlotHandle;
    use crate::link::link;
    use crate::protocol::{SLOT_REGIONS, VERSION, Verb};
    use std::thread;

    /// Of a slot that nobody stops.
    fn control() -> Control {
        Control::new(link().0.controls())
    }

    const SIZE: usize = 5 * REGION_BYTES + 77;

    fn byte(at: usize) -> u8 {
        (at % 251) as u8
    }

    /// Serves an input of [`SIZE`] bytes, or of fewer than its size says, while `work` runs; the asks for bytes.
    fn with_port(there: usize, work: impl FnOnce(&mut Port)) -> Vec<(u64, u32)> {
        let (slot, end) = link();
        let server = thread::spawn(move || {
            let (mut handle, mut asked) = (SlotHandle::new(end, None), Vec::new());
            while let Some(ask) = handle.receive().unwrap() {
                let Verb::Read { offset, .. } = ask.verb else {
                    handle.answer(&ask, u64::from(VERSION), &[]).unwrap();
                    continue;
                };
                asked.push((offset, ask.length));
                let from = (offset as usize).min(there);
                let bytes: Vec<u8> = (from..(from + ask.length as usize).min(there)).map(byte).collect();
                handle.answer(&ask, bytes.len() as u64, &bytes).unwrap();
            }
            asked
        });
        let mut port = Port::new(slot);
        port.hello().unwrap();
        work(&mut port);
        drop(port);
        server.join().unwrap()
    }

    #[track_caller]
    fn assert_range(read: &[u8], offset: usize, length: usize) {
        assert_eq!(read.len(), length);
        assert!(read.iter().enumerate().all(|(at, found)| *found == byte(offset + at)), "other bytes");
    }

    #[test]
    fn a_range_is_what_was_asked_for_whatever_was_read_ahead() {
        // Ahead: nothing, a part, all, more, in several regions of which the last is short, elsewhere.
        let (one, few) = (REGION_BYTES, 1_000);
        for ahead in [(0, 0), (0, few), (few, one), (few, 3 * one / 2), (few, 9 * one), (2 * one, one), (0, usize::MAX)]
        {
            for read in [(few, few), (few, 4 * one), (few, one), (SIZE - 5, few), (SIZE, few), (0, 0)] {
                with_port(SIZE, |port| {
                    let mut reading = Reading::new(7, Some(SIZE as u64), &control());
                    reading.on(port).prefetch(ahead.0 as u64, ahead.1);
                    for _ in 0..2 {
                        let bytes = reading.read(port, read.0 as u64, read.1).unwrap();
                        assert_range(&bytes, read.0, read.1.min(SIZE - read.0));
                    }
                    reading.close(port).unwrap();
                    assert!(port.has_room(SLOT_REGIONS as usize - 1), "a region is not given back");
                });
            }
        }
    }

    #[test]
    fn nothing_is_read_twice_or_behind_the_end() {
        let asked = with_port(SIZE, |port| {
            let mut reading = Reading::new(7, Some(SIZE as u64), &control());
            let mut at = 0;
            while at < SIZE {
                let bytes = reading.read(port, at as u64, REGION_BYTES).unwrap();
                at += bytes.len();
                reading.on(port).prefetch(at as u64, REGION_BYTES);
            }
            assert_eq!(reading.read, SIZE as u64);
        });
        assert_eq!(asked.iter().map(|(_, length)| *length as usize).sum::<usize>(), SIZE);
    }

    #[test]
    fn an_input_that_ends_early_ends_the_read() {
        with_port(REGION_BYTES + 9, |port| {
            let mut reading = Reading::new(7, Some(SIZE as u64), &control());
            assert_range(&reading.read(port, 5, SIZE).unwrap(), 5, REGION_BYTES + 4);
            assert!(port.has_room(SLOT_REGIONS as usize - 1));
        });
    }

    #[test]
    fn a_stream_gives_what_it_has_and_one_read_is_bounded() {
        with_port(100, |port| {
            let mut reading = Reading::new(7, None, &control());
            reading.on(port).prefetch(0, 50);
            assert_range(&reading.read(port, 0, SIZE).unwrap(), 0, 100);
            assert_eq!(reading.read(port, 100, SIZE).unwrap(), b"");
            let error = reading.read(port, 0, MAX_READ + 1).unwrap_err();
            assert_eq!(error.code(), code::PROTOCOL_RANGE);
        });
    }
}
