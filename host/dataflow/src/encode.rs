//! Batches to bytes: Parquet, CSV, JSON lines and raw lines, the texts plain or compressed as a whole.
//!
//! The bytes depend on the batches alone: no clock, no random number, no machine goes into them, so that a job run
//! again writes the same file.

mod csv;
mod json;
mod lines;
mod parquet;
mod text;

use crate::Encoder;
use arrow_array::RecordBatch;
use flate2::write::GzEncoder;
use lockgate_core::error::code;
use lockgate_core::plan::{Compression, Format, FormatKind};
use lockgate_core::types::{Field, LogicalType};
use lockgate_core::{Error, Result};
use std::io::{self, Write};

/// Zstandard's level for streams and pages: 3, its own default, takes twice the time and saves a hundredth on JSON.
const ZSTD_LEVEL: i32 = 1;

/// An encoder of batches with these columns.
///
/// Text formats write integers in full, floats in the shortest form that reads back the same, dates and times after
/// RFC 3339 (as integers beyond the year 9999), binary as base64. JSON has no NaN or infinity: they become null; CSV
/// writes `NaN`, `inf`, `-inf`. In CSV a null is the format's null text, and a text equal to it reads back as null.
///
/// # Errors
/// `LG0712` if the format cannot hold such columns.
pub fn encoder(format: &Format, fields: &[Field]) -> Result<Box<dyn Encoder>> {
    let rows: Box<dyn Text> = match &format.kind {
        FormatKind::Parquet => return Ok(Box::new(parquet::Parquet::new(fields)?)),
        FormatKind::Csv { header, delimiter, null } => Box::new(csv::Csv::new(fields, *header, *delimiter, null)),
        FormatKind::Json => Box::new(json::Json::new(fields)),
        FormatKind::Lines => match fields {
            [Field { data_type: LogicalType::Utf8, .. }] => Box::new(lines::Lines),
            _ => {
                return Err(Error::new(code::NOT_ENCODABLE, "format lines writes one utf8 column and nothing else")
                    .help("choose the column with a `select` before the sink, or another format"));
            }
        },
    };
    let packer = match format.compression {
        Compression::Auto | Compression::None => Packer::None,
        // The header's time stays 0. The usual level 6 takes many times as long as everything else that a job does.
        Compression::Gzip => Packer::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
        Compression::Zstd => {
            let mut packer = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(|e| not_taken(&e))?;
            packer.include_checksum(true).map_err(|e| not_taken(&e))?;
            Packer::Zstd(packer)
        }
    };
    Ok(Box::new(TextFile {
        schema: crate::schema::arrow_schema(fields),
        rows,
        packer,
        begun: false,
        buffer: Vec::new(),
    }))
}

/// Rows as text.
trait Text: Send {
    /// Appends what a file begins with.
    fn begin(&self, out: &mut Vec<u8>);

    /// Appends the rows.
    ///
    /// # Errors
    /// `LG0712` for a value that the format cannot hold.
    fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;
}

enum Packer {
    None,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

struct TextFile {
    schema: arrow_schema::SchemaRef,
    rows: Box<dyn Text>,
    packer: Packer,
    begun: bool,
    buffer: Vec<u8>,
}

impl TextFile {
    fn begin(&mut self) {
        self.buffer.clear();
        if !self.begun {
            self.begun = true;
            self.rows.begin(&mut self.buffer);
        }
    }

    /// Sends the buffer on its way.
    fn send(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let packed = match &mut self.packer {
            Packer::None => &mut self.buffer,
            Packer::Gzip(packer) => {
                packer.write_all(&self.buffer)?;
                packer.get_mut()
            }
            Packer::Zstd(packer) => {
                packer.write_all(&self.buffer)?;
                packer.get_mut()
            }
        };
        if !packed.is_empty() {
            out.write_all(packed)?;
            packed.clear();
        }
        Ok(())
    }
}

impl Encoder for TextFile {
    fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        fits(batch, &self.schema)?;
        self.begin();
        self.rows.rows(batch, &mut self.buffer)?;
        self.send(out).map_err(|error| not_taken(&error))
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Write) -> Result<()> {
        self.begin();
        self.send(out).map_err(|error| not_taken(&error))?;
        let rest = match self.packer {
            Packer::None => return Ok(()),
            Packer::Gzip(packer) => packer.finish(),
            Packer::Zstd(packer) => packer.finish(),
        };
        rest.and_then(|rest| out.write_all(&rest)).map_err(|error| not_taken(&error))
    }
}

/// Checks that a batch has the columns that the encoder was made for. Names are the encoder's.
fn fits(batch: &RecordBatch, schema: &arrow_schema::SchemaRef) -> Result<()> {
    let same = batch.num_columns() == schema.fields().len()
        && batch.columns().iter().zip(schema.fields()).all(|(column, field)| column.data_type() == field.data_type());
    if same { Ok(()) } else { Err(Error::new(code::NOT_ENCODABLE, "a batch has other columns than its sink declares")) }
}

/// An error of the writer: ours if it is one, else in its own words.
fn not_taken(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => error.clone(),
        None => Error::new(code::NOT_TAKEN, format!("encoded bytes were not taken: {error}")),
    }
}

#[cfg(test)]
mod tests;
