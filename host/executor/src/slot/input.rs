//! A granted input as the decoders want it: ranges of bytes, cut into regions, read ahead.

use crate::port::{Port, Ticket};
use crate::protocol::REGION_BYTES;
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
}

impl Reading {
    pub(crate) fn new(input: u32, size: Option<u64>) -> Self {
        Self { input, size, ahead: VecDeque::new(), read: 0 }
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

    /// Begins to read `[offset, offset + length)`, region by region, as far as there is room.
    fn begin(&mut self, port: &mut Port, mut offset: u64, mut length: usize) -> Result<()> {
        while length > 0 && self.ahead.len() < AHEAD && port.has_room(SPARE) {
            let part = length.min(REGION_BYTES);
            self.ahead.push_back((offset, part, port.read_ahead(self.input, offset, part)?));
            offset += part as u64;
            length -= part;
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
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            if self.ahead.is_empty() {
                self.begin(port, at, length - bytes.len())?;
            }
            let (wanted, ticket) = match self.ahead.pop_front() {
                Some((_, wanted, ticket)) => (wanted, ticket),
                // Every region is busy with writes: wait for one.
                None => {
                    let part = (length - bytes.len()).min(REGION_BYTES);
                    (part, port.read_ahead(self.input, at, part)?)
                }
            };
            let got = port.take(ticket, &mut bytes)?;
            self.read += got;
            if let Some((behind, _, _)) = self.ahead.back()
                && bytes.len() < length
            {
                let next = behind + REGION_BYTES as u64;
                let done = next.saturating_sub(offset);
                self.begin(port, next, (length as u64).saturating_sub(done) as usize)?;
            }
            if got < wanted as u64 {
                self.close(port)?;
                break;
            }
        }
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

    fn prefetch(&mut self, offset: u64, length: usize) {
        let left = self.reading.size.map_or(0, |size| size.saturating_sub(offset));
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.reading.ahead.is_empty() {
            // A hint that fails is a read that will fail, and that one is asked about.
            let _ = self.reading.begin(self.port, offset, length);
        }
    }
}
