//! Bytes to batches: Parquet, CSV, JSON lines and raw lines, the texts plain or compressed as a whole.
//!
//! All of it reads what a tenant supplies and nothing vouches for, so everything that input could make large has a
//! bound: records, batches, what a compressed byte may become, what a Parquet file may claim. A record that cannot be
//! decoded is set aside with its number; only what makes the rest unreadable fails the split.

mod batch;
mod column;
pub(crate) mod csv;
pub(crate) mod json;
mod lines;
pub(crate) mod parquet;
mod position;
pub(crate) mod stream;
mod thrift;
mod value;

use self::batch::Shape;
use self::position::{PARQUET, Position, TEXT};
use self::stream::Stream;
use crate::Decoder;
use lockgate_core::error::code;
use lockgate_core::plan::{Compression, Format, FormatKind, Plan, Source};
use lockgate_core::types::{Field, LogicalType};
use lockgate_core::{Error, Result};

/// Bounds on what input can cost. One set is in force; tests make smaller ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest line or CSV record, in bytes.
    pub(crate) record: usize,
    /// Text from which on a batch is full whatever its rows. With one more record it stays below 2 GiB, the most that a
    /// utf8 column holds.
    pub(crate) batch_bytes: usize,
    /// The most that a compressed byte may become, once `ratio_from` bytes have come out.
    pub(crate) ratio: u64,
    pub(crate) ratio_from: u64,
    /// The logarithm of zstd's largest window.
    pub(crate) window_log: u32,
    /// The largest Parquet row group, counting the columns that are read, and what a page may unpack to.
    pub(crate) row_group: u64,
    pub(crate) page: i64,
}

impl Limits {
    /// The set in force. RFC 8878 asks readers for a window of 8 MiB.
    pub(crate) const DEFAULT: Self = Self {
        record: 16 << 20,
        batch_bytes: 64 << 20,
        ratio: 256,
        ratio_from: 16 << 20,
        window_log: 23,
        row_group: 512 << 20,
        page: 128 << 20,
    };
}

/// A decoder for one split of `source`.
///
/// It delivers exactly `fields`, in this order; they are found by name. CSV without a header goes by place: the
/// columns are the record's fields in order, or, if [`Source::projection`] has as many entries as `fields`, the
/// record's fields at those places. `split` is the split's name, whose ending decides `Compression::Auto`. A batch
/// covers `batch_rows` records, good or bad; it is shorter at the end of the split, at the end of a Parquet row group,
/// and when its text passes 64 MiB. `start` is a position from an earlier decoder of this split; batches from there on
/// are the same as they were.
///
/// Rows are numbered by record: lines (blank ones do not count in JSON), CSV records behind the header, Parquet rows.
///
/// # Errors
/// `LG0701` if the format cannot hold such fields, `LG0710` if `start` is not a position of this format, `LG0003` if
/// the source has no format.
pub fn decoder(
    source: &Source,
    fields: &[Field],
    split: &str,
    batch_rows: u32,
    start: Option<&[u8]>,
) -> Result<Box<dyn Decoder>> {
    decoder_within(Limits::DEFAULT, source, fields, split, batch_rows, start)
}

fn decoder_within(
    limits: Limits,
    source: &Source,
    fields: &[Field],
    split: &str,
    batch_rows: u32,
    start: Option<&[u8]>,
) -> Result<Box<dyn Decoder>> {
    let format =
        source.format.as_ref().ok_or_else(|| Error::new(code::INTERNAL, "a source to decode has no format"))?;
    let shape = Shape::new(fields, batch_rows.min(Plan::MAX_BATCH_ROWS), limits);
    if matches!(format.kind, FormatKind::Parquet) {
        return Ok(Box::new(parquet::Parquet::new(shape, Position::from_bytes(start, PARQUET)?)));
    }
    let start = Position::from_bytes(start, TEXT)?;
    let stream = Stream::new(compression(format, split), limits)?;
    Ok(match &format.kind {
        FormatKind::Csv { header, delimiter, null } => {
            let projection = source.projection.as_ref().filter(|projection| projection.len() == fields.len());
            let places = match projection {
                Some(places) => places.iter().map(|place| *place as usize).collect(),
                None => (0..fields.len()).collect::<Vec<_>>(),
            };
            let width = places.iter().max().map_or(0, |place| place + 1);
            let exact = projection.is_none() && !*header;
            let null = null.clone();
            let dialect = csv::Dialect { header: *header, delimiter: *delimiter, null, places, width, exact };
            Box::new(csv::Csv::new(shape, stream, start, dialect))
        }
        FormatKind::Json => Box::new(lines::Lines::new(shape, stream, start, json::Json::new(fields))),
        FormatKind::Lines | FormatKind::Parquet => {
            if !fields.iter().all(|field| field.name == "line" && field.data_type == LogicalType::Utf8)
                || fields.len() > 1
            {
                return Err(Error::new(code::SCHEMA_MISMATCH, "format lines has one column, `line` of type utf8"));
            }
            Box::new(lines::Lines::new(shape, stream, start, lines::Raw))
        }
    })
}

/// The compression in force, `Auto` decided.
pub(crate) fn compression(format: &Format, split: &str) -> Compression {
    match format.compression {
        Compression::Auto if split.ends_with(".gz") => Compression::Gzip,
        Compression::Auto if split.ends_with(".zst") => Compression::Zstd,
        Compression::Auto => Compression::None,
        other => other,
    }
}

#[cfg(test)]
pub(crate) mod tests;
