//! Records that are lines: raw lines and JSON lines.
//!
//! Lines are found first, then checked for UTF-8 together, since one long check is far cheaper than many short ones;
//! only if it fails is each line looked at alone.

use super::Limits;
use super::batch::{Batch, Shape};
use super::column::Cell;
use super::position::Position;
use super::stream::Stream;
use crate::{Decoded, Decoder, Input};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use memchr::{memchr, memchr_iter};

/// What becomes of a line.
pub(super) trait Line: Send {
    /// Adds the record that the line, its end taken off, stands for; a line may stand for none.
    fn add(&mut self, line: &str, batch: &mut Batch);
}

/// Decodes lines.
pub(super) struct Lines<L> {
    shape: Shape,
    stream: Stream,
    line: L,
    /// Where to begin, until it has begun.
    start: Option<Position>,
    record: u64,
    ends: Vec<usize>,
}

impl<L: Line> Lines<L> {
    pub(super) fn new(shape: Shape, stream: Stream, start: Position, line: L) -> Self {
        Self { shape, stream, line, start: Some(start), record: start.record, ends: Vec::new() }
    }

    /// Finds up to `room` whole lines of what is pending.
    fn find(&mut self, room: usize) {
        self.ends.clear();
        self.ends.extend(memchr_iter(b'\n', self.stream.pending()).map(|at| at + 1).take(room));
    }

    /// Adds the lines that [`Lines::find`] found, or as many as the batch takes.
    fn add(&mut self, batch: &mut Batch) {
        let pending = self.stream.pending();
        let block = pending.get(..self.ends.last().copied().unwrap_or(0)).unwrap_or_default();
        let text = simdutf8::basic::from_utf8(block).ok();
        let mut start = 0;
        for &end in &self.ends {
            if batch.room() == 0 {
                break;
            }
            let line = block.get(start..end).unwrap_or_default();
            if line.len() > self.shape.limits.record {
                too_long(line, &self.shape.limits, batch);
            } else if let Some(line) = text.and_then(|text| text.get(start..end)) {
                self.line.add(trim(line), batch);
            } else {
                match simdutf8::basic::from_utf8(line) {
                    Ok(line) => self.line.add(trim(line), batch),
                    Err(_) => batch.failed(line, Error::new(code::BAD_RECORD, "the line is not UTF-8")),
                }
            }
            start = end;
        }
        self.stream.consume(start);
    }

    /// Steps over a line whose end is not even in sight.
    fn skip(&mut self, input: &mut dyn Input, batch: &mut Batch) -> Result<()> {
        too_long(self.stream.pending(), &self.shape.limits, batch);
        loop {
            if let Some(end) = memchr(b'\n', self.stream.pending()) {
                self.stream.consume(end + 1);
                return Ok(());
            }
            self.stream.consume(usize::MAX);
            if !self.stream.fill(input)? {
                return Ok(());
            }
        }
    }
}

impl<L: Line> Decoder for Lines<L> {
    fn next(&mut self, input: &mut dyn Input) -> Result<Option<Decoded>> {
        if let Some(start) = self.start.take() {
            self.stream.seek(input, start.offset)?;
        }
        let mut batch = Batch::new(&self.shape, self.record);
        while batch.room() > 0 {
            self.find(batch.room());
            if self.ends.is_empty() {
                if self.stream.pending().len() > self.shape.limits.record {
                    self.skip(input, &mut batch)?;
                } else if !self.stream.fill(input)? {
                    // The last line may lack its end.
                    if self.stream.pending().is_empty() {
                        break;
                    }
                    self.ends.push(self.stream.pending().len());
                    self.add(&mut batch);
                }
                continue;
            }
            self.add(&mut batch);
        }
        self.record = batch.next_record();
        let position = Position { offset: self.stream.offset(), record: self.record }.to_bytes(super::position::TEXT);
        batch.finish(&mut self.shape, position)
    }
}

/// Takes each line as it is.
pub(super) struct Raw;

impl Line for Raw {
    fn add(&mut self, line: &str, batch: &mut Batch) {
        batch.row(line.as_bytes(), |columns| {
            columns
                .iter_mut()
                .enumerate()
                .try_for_each(|(at, column)| column.json(Cell::Text(line)).map_err(|e| (at, e)))
        });
    }
}

fn trim(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// Counts a line too long. As much of it as is always there, so that the batch does not depend on how it came.
fn too_long(line: &[u8], limits: &Limits, batch: &mut Batch) {
    let error = Error::new(code::RECORD_TOO_LONG, format!("the line is longer than {} bytes", limits.record));
    batch.failed(line.get(..limits.record).unwrap_or(line), error);
}
