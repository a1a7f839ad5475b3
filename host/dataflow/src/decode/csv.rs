//! CSV after RFC 4180: fields in quotes may hold delimiters, doubled quotes and line breaks.
//!
//! Tokenised by csv-core, a state machine that never fails; what makes a record bad is decided here: the number of its
//! fields, its UTF-8, its values. Records end with LF, CR or CR LF; empty lines are none.

use super::batch::{Batch, Shape};
use super::position::{Position, TEXT};
use super::stream::Stream;
use crate::{Decoded, Decoder, Input};
use csv_core::ReadRecordResult;
use lockgate_core::error::code;
use lockgate_core::plan::Plan;
use lockgate_core::{Error, Result};

/// Splits a stream into records.
pub(crate) struct Records {
    reader: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    used: usize,
    fields: usize,
    limit: usize,
}

impl Records {
    /// For this delimiter and records of at most `limit` bytes.
    pub(crate) fn new(delimiter: u8, limit: usize) -> Self {
        let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        // It would take a byte-order mark off wherever it begins: let it have begun.
        reader.read_record(b"\n", &mut [0], &mut [0]);
        Self { reader, text: vec![0; 4096], ends: vec![0; 32], used: 0, fields: 0, limit }
    }

    /// Reads the next record; false at the end.
    ///
    /// # Errors
    /// `LG0704`, or the stream's own.
    pub(crate) fn next(&mut self, stream: &mut Stream, input: &mut dyn Input) -> Result<bool> {
        (self.used, self.fields) = (0, 0);
        let mut taken = 0;
        loop {
            if stream.pending().is_empty() && !stream.fill(input)? && stream.is_cut() {
                return Ok(false);
            }
            // No more than the limit and one: where it is passed must not depend on how the bytes came.
            let pending = stream.pending();
            if self.used == 0 && self.fields == 0 && taken == 0 {
                // Empty lines do not belong to the record, whether or not they come together with its beginning.
                let blank = pending.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
                if blank > 0 {
                    stream.consume(blank);
                    continue;
                }
            }
            let pending = pending.get(..self.limit + 1 - taken).unwrap_or(pending);
            let text = self.text.get_mut(self.used..).unwrap_or_default();
            let ends = self.ends.get_mut(self.fields..).unwrap_or_default();
            let (result, read, written, ended) = self.reader.read_record(pending, text, ends);
            stream.consume(read);
            taken += read;
            self.used += written;
            self.fields += ended;
            match result {
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            }
            if taken > self.limit {
                return Err(Error::new(
                    code::RECORD_TOO_LONG,
                    format!("the CSV record is longer than {} bytes", self.limit),
                )
                .help("look for a quote before it that is never closed"));
            }
            if result == ReadRecordResult::OutputFull {
                self.text.resize(self.text.len() * 2, 0);
            } else if result == ReadRecordResult::OutputEndsFull {
                // Fields beyond any schema are counted, not kept apart.
                if self.ends.len() > 4 * Plan::MAX_COLUMNS {
                    self.fields = self.ends.len() - 1;
                } else {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
            }
        }
    }

    /// The record's fields one behind the other.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.get(..self.used).unwrap_or_default()
    }

    /// How many fields the record has.
    pub(crate) fn fields(&self) -> usize {
        self.fields
    }

    /// The field at `index` of the record, of which `text` is [`Records::bytes`]; none if it splits a character.
    pub(crate) fn field<'a>(&self, text: &'a str, index: usize) -> Option<&'a str> {
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        text.get(start..*self.ends.get(index)?)
    }
}

/// How a file is written.
pub(super) struct Dialect {
    /// Whether the first record names the columns.
    pub(super) header: bool,
    /// Between fields.
    pub(super) delimiter: u8,
    /// The text that stands for null.
    pub(super) null: String,
    /// Without a header: for each column its index in a record, and how many fields a record has (or at least).
    pub(super) places: Vec<usize>,
    pub(super) width: usize,
    pub(super) exact: bool,
}

/// Decodes CSV.
pub(super) struct Csv {
    shape: Shape,
    stream: Stream,
    records: Records,
    dialect: Dialect,
    start: Option<Position>,
    record: u64,
}

impl Csv {
    pub(super) fn new(shape: Shape, stream: Stream, start: Position, dialect: Dialect) -> Self {
        let records = Records::new(dialect.delimiter, shape.limits.record);
        Self { shape, stream, records, dialect, start: Some(start), record: start.record }
    }

    /// Reads the header and finds the columns in it.
    fn header(&mut self, input: &mut dyn Input) -> Result<()> {
        if !self.records.next(&mut self.stream, input)? {
            // An empty file is an empty table.
            return Ok(());
        }
        let text = simdutf8::basic::from_utf8(self.records.bytes())
            .map_err(|_| Error::new(code::SCHEMA_MISMATCH, "the CSV header is not UTF-8"))?;
        let width = self.records.fields();
        let names: Vec<&str> = (0..width).map(|at| self.records.field(text, at).unwrap_or_default()).collect();
        let place = |name: &str| {
            let mut places = names.iter().enumerate().filter(|(_, found)| **found == name).map(|(at, _)| at);
            match (places.next(), places.next()) {
                (Some(at), None) => Ok(at),
                (Some(_), Some(_)) => {
                    Err(Error::new(code::SCHEMA_MISMATCH, format!("the CSV header names column {name:?} twice")))
                }
                (None, _) => {
                    let shown: String = names.join(", ").chars().take(500).collect();
                    Err(Error::new(code::SCHEMA_MISMATCH, format!("the CSV header has no column {name:?}"))
                        .help(format!("the file has: {shown}")))
                }
            }
        };
        self.dialect.places = self.shape.fields.iter().map(|field| place(&field.name)).collect::<Result<_>>()?;
        self.dialect.width = width;
        self.dialect.exact = true;
        Ok(())
    }

    fn begin(&mut self, input: &mut dyn Input, start: Position) -> Result<()> {
        self.stream.seek(input, 0)?;
        if self.dialect.header {
            self.header(input)?;
        }
        if start.offset > 0 {
            self.stream.seek(input, start.offset)?;
            self.records = Records::new(self.dialect.delimiter, self.shape.limits.record);
        }
        Ok(())
    }

    fn add(&mut self, batch: &mut Batch) {
        let bytes = self.records.bytes();
        let (found, Dialect { places, null, width, exact, .. }) = (self.records.fields(), &self.dialect);
        if found < *width || (found > *width && *exact) {
            let message = format!("the record has {found} fields where there should be {width}");
            return batch.failed(bytes, Error::new(code::BAD_RECORD, message));
        }
        let not_utf8 = || Error::new(code::BAD_RECORD, "the record is not UTF-8");
        let Ok(text) = simdutf8::basic::from_utf8(bytes) else { return batch.failed(bytes, not_utf8()) };
        batch.row(bytes, |columns| {
            for (at, (column, place)) in columns.iter_mut().zip(places).enumerate() {
                let field = self.records.field(text, *place).ok_or_else(|| (at, not_utf8()))?;
                column.csv(field, null).map_err(|error| (at, error))?;
            }
            Ok(())
        });
    }
}

impl Decoder for Csv {
    fn next(&mut self, input: &mut dyn Input) -> Result<Option<Decoded>> {
        if let Some(start) = self.start.take() {
            self.begin(input, start)?;
        }
        let mut batch = Batch::new(&self.shape, self.record);
        while batch.room() > 0 && self.records.next(&mut self.stream, input)? {
            self.add(&mut batch);
        }
        self.record = batch.next_record();
        let position = Position { offset: self.stream.offset(), record: self.record }.to_bytes(TEXT);
        batch.finish(&mut self.shape, position)
    }
}
