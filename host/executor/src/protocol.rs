//! The one interface between a TaskManager and an executor: fixed frames, tickets, and byte regions lent with them.
//!
//! A slot asks, the TaskManager answers; every ask lends one region and gets exactly one answer, which gives the region
//! back. Bytes that are larger than a region go in several asks: inputs are read by range, outputs written one after
//! the other. So the slot pulls at its own pace (back-pressure needs no mechanism of its own), the TaskManager never
//! has to guess what is wanted, and either side can be replaced without the other noticing: nothing but these bytes
//! crosses.
//!
//! | ask | region on the way there | answer's value | region on the way back |
//! |---|---|---|---|
//! | `Hello` | | the TaskManager's protocol version | |
//! | `Read` | | bytes read; fewer than wanted only at the end of an input with a size, none only at the end | those bytes |
//! | `Split` | | 1 if there is one, 0 if none is left | a [`SplitGrant`] |
//! | `Write` | bytes for a sink's file of an epoch | | |
//! | `Commit` | a [`Commit`] | | |
//! | `Log`, `Usage` | [`LogLine`]s, a [`Usage`] | | |
//! | `End` | an [`End`] | | |
//!
//! A refusal has the error's code as its value and its text in the region.

pub mod payload;

pub use payload::{
    Commit, End, Failed, FailedRow, FunctionUsage, LogLine, NodeUsage, Outcome, SplitGrant, SplitPosition, Usage,
};

use lockgate_core::error::{Code, code};
use lockgate_core::{Error, Result};

/// The version of the protocol. Both sides are of one build for now, so they must agree.
pub const VERSION: u32 = 1;
/// Bytes of a region.
pub const REGION_BYTES: usize = 1 << 20;
/// Regions of a slot.
pub const SLOT_REGIONS: u32 = 8;
/// Bytes of a frame.
pub const FRAME_BYTES: usize = 40;
/// The input that holds the assignment; artefacts and splits have higher numbers.
pub const ASSIGNMENT: u32 = 0;

/// A message as it crosses.
pub type Frame = [u8; FRAME_BYTES];

/// What a slot asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Rises by one with every ask of a slot, from 1.
    pub ticket: u64,
    /// The region that is lent.
    pub region: u32,
    /// Bytes in the region that the ask carries; for `Read` the bytes that are wanted.
    pub length: u32,
    /// What is asked.
    pub verb: Verb,
}

/// The kinds of asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// The first ask: is the version right?
    Hello {
        /// The executor's protocol version.
        version: u32,
    },
    /// Bytes of a granted input.
    Read {
        /// The input.
        input: u32,
        /// Where they begin.
        offset: u64,
    },
    /// The next split.
    Split,
    /// Bytes for the file that a sink writes in an epoch.
    Write {
        /// The sink's index in the plan.
        sink: u32,
        /// The open epoch.
        epoch: u64,
    },
    /// The epoch is complete: make it durable.
    Commit {
        /// The open epoch.
        epoch: u64,
    },
    /// Log lines of guests.
    Log,
    /// Counters so far.
    Usage,
    /// The slot's last ask.
    End,
}

/// An answer to an ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The ask's ticket.
    pub ticket: u64,
    /// Whether it was refused.
    pub refused: bool,
    /// Bytes in the region that the answer carries.
    pub length: u32,
    /// See the table above.
    pub value: u64,
}

impl Ask {
    /// The frame of this ask.
    pub fn encode(&self) -> Frame {
        let (kind, small, large) = match self.verb {
            Verb::Hello { version } => (1, version, 0),
            Verb::Read { input, offset } => (2, input, offset),
            Verb::Split => (3, 0, 0),
            Verb::Write { sink, epoch } => (4, sink, epoch),
            Verb::Commit { epoch } => (5, 0, epoch),
            Verb::Log => (6, 0, 0),
            Verb::Usage => (7, 0, 0),
            Verb::End => (8, 0, 0),
        };
        frame(kind, self.region, self.length, small, self.ticket, large)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// `LG0901` if it is not an ask, `LG0902` if a length is over the region's.
    pub fn decode(frame: &Frame) -> Result<Self> {
        let [kind, region, length, small] = words(frame);
        let [ticket, large] = longs(frame);
        let verb = match (kind, small, large) {
            (1, version, 0) => Verb::Hello { version },
            (2, input, offset) => Verb::Read { input, offset },
            (3, 0, 0) => Verb::Split,
            (4, sink, epoch) => Verb::Write { sink, epoch },
            (5, 0, epoch) => Verb::Commit { epoch },
            (6, 0, 0) => Verb::Log,
            (7, 0, 0) => Verb::Usage,
            (8, 0, 0) => Verb::End,
            _ => return Err(Error::new(code::PROTOCOL_MESSAGE, format!("a message of kind {kind} is not an ask"))),
        };
        bounded(frame, length)?;
        Ok(Self { ticket, region, length, verb })
    }
}

impl Answer {
    /// The frame of this answer.
    pub fn encode(&self) -> Frame {
        frame(if self.refused { 102 } else { 101 }, 0, self.length, 0, self.ticket, self.value)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// `LG0901` if it is not an answer, `LG0902` if a length is over the region's.
    pub fn decode(frame: &Frame) -> Result<Self> {
        let [kind, region, length, small] = words(frame);
        let [ticket, value] = longs(frame);
        let refused = match (kind, region, small) {
            (101, 0, 0) => false,
            (102, 0, 0) => true,
            _ => return Err(Error::new(code::PROTOCOL_MESSAGE, format!("a message of kind {kind} is not an answer"))),
        };
        bounded(frame, length)?;
        Ok(Self { ticket, refused, length, value })
    }

    /// The error behind a refusal, whose text was in the region.
    pub fn error(&self, text: &[u8]) -> Error {
        let known = u16::try_from(self.value).ok().and_then(Code::from_number);
        Error::new(known.unwrap_or(code::PROTOCOL_MESSAGE), String::from_utf8_lossy(text))
    }
}

/// `kind, region, length, small` as u32, `ticket, large` as u64, all little-endian, then 8 bytes of zeroes.
fn frame(kind: u32, region: u32, length: u32, small: u32, ticket: u64, large: u64) -> Frame {
    let mut frame = [0; FRAME_BYTES];
    let bytes = [kind, region, length, small].into_iter().flat_map(u32::to_le_bytes);
    let bytes = bytes.chain([ticket, large].into_iter().flat_map(u64::to_le_bytes));
    frame.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    frame
}

fn words(frame: &Frame) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(frame.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

fn longs(frame: &Frame) -> [u64; 2] {
    let mut longs = [0; 2];
    for (long, bytes) in longs.iter_mut().zip(frame.as_chunks::<8>().0.iter().skip(2)) {
        *long = u64::from_le_bytes(*bytes);
    }
    longs
}

fn bounded(frame: &Frame, length: u32) -> Result<()> {
    if length as usize > REGION_BYTES {
        return Err(Error::new(code::PROTOCOL_RANGE, format!("{length} bytes are more than a region holds")));
    }
    if frame.iter().skip(32).any(|byte| *byte != 0) {
        return Err(Error::new(code::PROTOCOL_MESSAGE, "a message has bytes where there should be none"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBS: [Verb; 8] = [
        Verb::Hello { version: VERSION },
        Verb::Read { input: 7, offset: u64::MAX },
        Verb::Split,
        Verb::Write { sink: 3, epoch: 9 },
        Verb::Commit { epoch: 9 },
        Verb::Log,
        Verb::Usage,
        Verb::End,
    ];

    #[test]
    fn frames_read_what_they_write() {
        for verb in VERBS {
            let ask = Ask { ticket: 5, region: 6, length: REGION_BYTES as u32, verb };
            assert_eq!(Ask::decode(&ask.encode()).unwrap(), ask);
            assert!(Answer::decode(&ask.encode()).is_err(), "{verb:?} reads as an answer");
        }
        for refused in [false, true] {
            let answer = Answer { ticket: 5, refused, length: 1, value: 903 };
            assert_eq!(Answer::decode(&answer.encode()).unwrap(), answer);
            assert!(Ask::decode(&answer.encode()).is_err());
        }
    }

    #[test]
    fn a_length_over_the_region_is_refused() {
        let ask = Ask { ticket: 1, region: 0, length: REGION_BYTES as u32 + 1, verb: Verb::Log };
        assert_eq!(Ask::decode(&ask.encode()).unwrap_err().code(), code::PROTOCOL_RANGE);
    }

    #[test]
    fn no_other_frame_is_understood() {
        // Every single-byte change of a frame either reads as another valid message that says what its bytes say, or
        // is refused: what is read always writes the same bytes again.
        for verb in VERBS {
            let whole = Ask { ticket: 1, region: 2, length: 3, verb }.encode();
            for at in 0..FRAME_BYTES {
                for bit in 0..8 {
                    let mut changed = whole;
                    changed[at] ^= 1 << bit;
                    if let Ok(ask) = Ask::decode(&changed) {
                        assert_eq!(ask.encode(), changed);
                    }
                }
            }
        }
    }
}
