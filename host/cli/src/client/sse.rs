//! Server-sent events out of bytes as they come (WHATWG HTML, section 9.2.6), each line and event bounded.

use super::malformed;
use lockgate_core::Result;
use std::collections::VecDeque;

/// The longest line, in bytes: an event's text has at most 8 KiB, which JSON may write six times as long.
const MAX_LINE: usize = 128 << 10;
/// The most data of one event, in bytes.
const MAX_DATA: usize = 256 << 10;

/// An event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// Its number, if it has one.
    pub id: Option<u64>,
    /// What kind of event; empty if that is not said.
    pub kind: String,
    /// What it says.
    pub data: String,
}

/// Puts events together.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    after_return: bool,
    begun: Event,
    has_data: bool,
}

impl Parser {
    /// Takes further bytes, and adds the events that they complete.
    ///
    /// # Errors
    /// `LG1076` if a line or an event is too long.
    pub fn feed(&mut self, bytes: &[u8], events: &mut VecDeque<Event>) -> Result<()> {
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take(&String::from_utf8_lossy(&line))?);
                }
                _ if self.line.len() >= MAX_LINE => {
                    return Err(malformed("a line of the stream of events is too long"));
                }
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &str) -> Result<Option<Event>> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.begun);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.begun.id = value.parse().ok(),
            "event" => self.begun.kind = value.to_owned(),
            "data" => {
                if self.begun.data.len().saturating_add(value.len()) > MAX_DATA {
                    return Err(malformed("an event of the stream is too long"));
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.begun.data.push('\n');
                }
                self.begun.data.push_str(value);
            }
            // Comments, which keep the connection open, and fields of later versions.
            _ => {}
        }
        Ok(None)
    }
}
