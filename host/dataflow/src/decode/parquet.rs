//! Parquet, by range: the footer, then of each row group the chunks of the columns that are wanted.
//!
//! The schema that writers embed for Arrow is ignored: it is one more structure to be lied in, and Parquet's own types
//! say all that is needed. A batch ends where its row group ends, so that nothing is copied together.
//!
//! Bounds are checked before the reader sees the bytes ([`super::thrift`]). On contradictory pages that reader, the
//! `parquet` crate, is known to panic rather than to return an error now and then; such a panic stands for a damaged
//! split and is for whoever runs the decoder to catch.

mod values;

use super::batch::{Shape, internal, rows_without};
use super::position::{PARQUET, Position};
use super::thrift::{Fault, check_footer, check_pages};
use crate::{BadRecord, Decoded, Decoder, Input, Tracked};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::NullBuffer;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::filter::filter_record_batch;
use bytes::{Bytes, BytesMut};
use lockgate_core::error::code;
use lockgate_core::types::{Field, LogicalType};
use lockgate_core::{Error, Result};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Bytes asked for at once.
const REQUEST: u64 = 1 << 20;
/// The largest footer.
const FOOTER: u64 = 16 << 20;
/// The eight bytes at the end: the footer's length and the magic.
const TAIL: u64 = 8;

/// Reads and checks the footer.
///
/// # Errors
/// `LG0708`, `LG0709`, or the input's own.
pub(crate) fn metadata(input: &mut dyn Input) -> Result<ArrowReaderMetadata> {
    let size = input.size().ok_or_else(|| {
        Error::new(code::CORRUPT_PARQUET, "Parquet cannot be read from a stream").help("read it from a file")
    })?;
    let corrupt = |what: &str| Error::new(code::CORRUPT_PARQUET, what);
    let start = size.checked_sub(TAIL).ok_or_else(|| corrupt("the file is too short to be Parquet"))?;
    let tail = read(input, start..size)?;
    let (length, magic) = tail.split_first_chunk().ok_or_else(|| corrupt("the file is too short to be Parquet"))?;
    if magic != b"PAR1" {
        let what =
            if magic == b"PARE" { "the Parquet file is encrypted" } else { "the file does not end as Parquet does" };
        return Err(corrupt(what));
    }
    let length = u64::from(u32::from_le_bytes(*length));
    if length > FOOTER {
        return Err(Error::new(code::PARQUET_LIMIT, format!("the Parquet footer has {length} bytes")));
    }
    let range = start.checked_sub(length).ok_or_else(|| corrupt("the Parquet footer is longer than the file"))?..start;
    let footer = read(input, range.clone())?;
    check_footer(&footer).map_err(claim)?;
    let mut decoder =
        ParquetMetaDataPushDecoder::try_new(size).map_err(damaged)?.with_page_index_policy(PageIndexPolicy::Skip);
    decoder.push_ranges(vec![start..size, range], vec![tail, footer]).map_err(damaged)?;
    let DecodeResult::Data(metadata) = decoder.try_decode().map_err(damaged)? else {
        return Err(corrupt("the Parquet footer is incomplete"));
    };
    check(&metadata, size)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(damaged)
}

/// Checks what the reader would take for granted.
fn check(metadata: &ParquetMetaData, size: u64) -> Result<()> {
    let leaves = metadata.file_metadata().schema_descr().num_columns();
    let mut rows = 0_i64;
    for group in metadata.row_groups() {
        let sound = group.num_columns() == leaves && group.num_rows() >= 0;
        let sound = sound
            && group.columns().iter().all(|column| {
                let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
                let end = start.checked_add(column.compressed_size());
                start >= 0
                    && column.data_page_offset() >= start
                    && column.compressed_size() >= 0
                    && column.uncompressed_size() >= 0
                    && column.num_values() >= 0
                    && (column.column_descr().max_rep_level() > 0 || column.num_values() == group.num_rows())
                    && end.is_some_and(|end| end.cast_unsigned() <= size)
            });
        rows = rows.checked_add(group.num_rows()).filter(|_| sound).ok_or_else(|| {
            Error::new(code::CORRUPT_PARQUET, "a row group's metadata contradicts itself or the size of the file")
        })?;
    }
    Ok(())
}

/// Decodes Parquet.
pub(super) struct Parquet {
    shape: Shape,
    row: u64,
    open: Option<Open>,
}

struct Open {
    reader: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// For each column to deliver its index in the batches that come.
    places: Vec<usize>,
    /// Row groups that are still to be read, with the row at which each ends.
    groups: VecDeque<(usize, u64)>,
    /// Rows of the first of them that are left out.
    offset: usize,
    group: Option<Group>,
}

/// A row group that is being read.
struct Group {
    decoder: ParquetPushDecoder,
    /// Its column chunks, until they are asked for.
    chunks: Vec<(Range<u64>, Bytes)>,
    end: u64,
}

impl Parquet {
    pub(super) fn new(shape: Shape, start: Position) -> Self {
        Self { shape, row: start.record, open: None }
    }

    fn begin(&self, input: &mut dyn Input) -> Result<Open> {
        let reader = metadata(input)?;
        let roots = self.shape.fields.iter().map(|field| root(field, reader.schema())).collect::<Result<Vec<_>>>()?;
        let mut sorted = roots.clone();
        sorted.sort_unstable();
        let places = roots.iter().map(|root| sorted.partition_point(|other| other < root)).collect();

        // Row groups that end behind the position are read, the first of them from some row on.
        let (mut end, mut skipped, mut groups) = (0, 0, VecDeque::new());
        for (index, group) in reader.metadata().row_groups().iter().enumerate() {
            end += group.num_rows().cast_unsigned();
            if end > self.row {
                groups.push_back((index, end));
            } else {
                skipped = end;
            }
        }
        if self.row > end {
            return Err(Error::new(
                code::INVALID_POSITION,
                format!("row {} lies behind the end of the file", self.row),
            ));
        }
        let offset = usize::try_from(self.row - skipped).unwrap_or(usize::MAX);
        let mask = ProjectionMask::roots(reader.parquet_schema(), sorted);
        Ok(Open { reader, mask, places, groups, offset, group: None })
    }

    /// Reads the column chunks of a row group and makes a decoder of batches that are not too large.
    fn group(&self, open: &mut Open, index: usize, end: u64, input: &mut dyn Input) -> Result<Group> {
        let metadata = open.reader.metadata();
        let columns = metadata.row_group(index).columns().iter().enumerate();
        let columns: Vec<_> =
            columns.filter(|(at, _)| open.mask.leaf_included(*at)).map(|(_, column)| column).collect();
        let total = columns.iter().map(|column| column.byte_range().1).fold(0, u64::saturating_add);
        if total > self.shape.limits.row_group {
            return Err(Error::new(
                code::PARQUET_LIMIT,
                format!("the columns that are read of a Parquet row group have {total} bytes"),
            ));
        }
        let range = |(start, length): (u64, u64)| start..start.saturating_add(length);
        let (mut chunks, mut largest) = (Vec::with_capacity(columns.len()), 0_u64);
        for (at, column) in columns.iter().enumerate() {
            let place = range(column.byte_range());
            let chunk = read(input, place.clone())?;
            if let Some(next) = columns.get(at + 1).map(|next| range(next.byte_range())) {
                input.prefetch(next.start, request(&next));
            }
            let pages = check_pages(&chunk, self.shape.limits.page).map_err(claim)?;
            largest = largest.saturating_add(values::largest(column, &chunk, pages).map_err(damaged)?);
            chunks.push((place, chunk));
        }
        // A batch depends on nothing but its row group, so that a run resumed anywhere sees the same batches.
        let fitting = (self.shape.limits.batch_bytes as u64).checked_div(largest);
        let fitting = fitting.map_or(usize::MAX, |rows| usize::try_from(rows).unwrap_or(usize::MAX));
        let mut builder = ParquetPushDecoderBuilder::new_with_metadata(open.reader.clone())
            .with_batch_size(fitting.clamp(1, self.shape.rows))
            .with_row_groups(vec![index])
            .with_projection(open.mask.clone());
        let offset = std::mem::take(&mut open.offset);
        if offset > 0 {
            builder = builder.with_offset(offset);
        }
        Ok(Group { decoder: builder.build().map_err(damaged)?, chunks, end })
    }

    /// Makes the declared columns of what was read, and sets rows aside that have nulls where there must be none.
    fn deliver(&self, batch: &RecordBatch, places: &[usize]) -> Result<Decoded> {
        let mut columns = Vec::with_capacity(places.len());
        let mut missing: Option<(NullBuffer, Vec<BadRecord>)> = None;
        for (field, place) in self.shape.fields.iter().zip(places) {
            let column =
                batch.columns().get(*place).ok_or_else(|| damaged(ParquetError::NYI("no such column".into())))?;
            let column = convert(column, field)?;
            if let Some(nulls) = column.logical_nulls().filter(|nulls| !field.nullable && nulls.null_count() > 0) {
                let (all, bad) = missing.get_or_insert_with(|| (NullBuffer::new_valid(batch.num_rows()), Vec::new()));
                for at in (0..nulls.len()).filter(|at| nulls.is_null(*at) && all.is_valid(*at)) {
                    let message = format!("column {:?} is not nullable, but the row has no value for it", field.name);
                    let error = Error::new(code::BAD_VALUE, message);
                    bad.push(BadRecord { row: self.row + at as u64, error, input: String::new() });
                }
                *all = NullBuffer::union(Some(all), Some(&nulls)).unwrap_or(nulls);
            }
            columns.push(column);
        }
        let schema = match &missing {
            // Not the declared schema yet: the nulls are still there.
            Some(_) => nullable(&self.shape.schema),
            None => self.shape.schema.clone(),
        };
        let count = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let mut delivered = RecordBatch::try_new_with_options(schema, columns, &count).map_err(internal)?;
        let mut bad = Vec::new();
        if let Some((keep, found)) = missing {
            bad = found;
            bad.sort_by_key(|bad| bad.row);
            let keep = BooleanArray::new(keep.into_inner(), None);
            let kept = filter_record_batch(&delivered, &keep).map_err(internal)?;
            let count = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
            delivered = RecordBatch::try_new_with_options(self.shape.schema.clone(), kept.columns().to_vec(), &count)
                .map_err(internal)?;
        }
        let rows = rows_without(self.row, batch.num_rows() as u64, &bad);
        let position = Position { offset: 0, record: self.row + batch.num_rows() as u64 }.to_bytes(PARQUET);
        Ok(Decoded { tracked: Tracked { batch: delivered, rows }, bad, position })
    }
}

impl Decoder for Parquet {
    fn next(&mut self, input: &mut dyn Input) -> Result<Option<Decoded>> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(input)?,
        };
        let decoded = loop {
            let Some(group) = &mut open.group else {
                let Some((index, end)) = open.groups.pop_front() else { break None };
                open.group = Some(self.group(&mut open, index, end, input)?);
                continue;
            };
            match group.decoder.try_decode().map_err(damaged)? {
                // Without a page index what is asked for are whole column chunks.
                DecodeResult::NeedsData(ranges) => {
                    let mut chunk = |range: &Range<u64>| {
                        let at = group.chunks.iter().position(|(place, _)| place == range);
                        at.map(|at| group.chunks.swap_remove(at).1)
                    };
                    let chunks: Option<Vec<Bytes>> = ranges.iter().map(&mut chunk).collect();
                    let chunks = chunks.ok_or_else(|| damaged(ParquetError::NYI("a part of a column chunk".into())))?;
                    group.decoder.push_ranges(ranges, chunks).map_err(damaged)?;
                }
                DecodeResult::Data(batch) if batch.num_rows() == 0 => {}
                DecodeResult::Data(batch) => {
                    let decoded = self.deliver(&batch, &open.places)?;
                    self.row += batch.num_rows() as u64;
                    break Some(decoded);
                }
                DecodeResult::Finished if self.row != group.end => {
                    let what = "a row group has another number of rows than its metadata says";
                    return Err(Error::new(code::CORRUPT_PARQUET, what));
                }
                DecodeResult::Finished => open.group = None,
            }
        };
        self.open = Some(open);
        Ok(decoded)
    }
}

/// The index of the file's column for this field.
fn root(field: &Field, schema: &SchemaRef) -> Result<usize> {
    let Field { name, data_type, .. } = field;
    let mut found = schema.fields().iter().enumerate().filter(|(_, other)| other.name() == name);
    let mismatch = |message: String| Err(Error::new(code::SCHEMA_MISMATCH, message));
    match (found.next(), found.next()) {
        (Some((at, other)), None) if convertible(other.data_type(), *data_type) => Ok(at),
        (Some((_, other)), None) => mismatch(format!(
            "column {name:?} is declared as {data_type}, but the Parquet file has it as {}",
            other.data_type()
        )),
        (Some(_), Some(_)) => mismatch(format!("the Parquet file has two columns {name:?}")),
        (None, _) => mismatch(format!("the Parquet file has no column {name:?}")),
    }
}

/// Whether every value of the file's type is one of the declared type. (Timestamps in nanoseconds lose their last digits.)
fn convertible(from: &DataType, to: LogicalType) -> bool {
    use LogicalType::{
        Binary, Decimal128, Float32, Float64, Int16, Int32, Int64, Timestamp, UInt16, UInt32, UInt64, Utf8,
    };
    match from {
        _ if *from == crate::schema::arrow_type(to) => true,
        DataType::Int8 => matches!(to, Int16 | Int32 | Int64),
        DataType::Int16 => matches!(to, Int32 | Int64),
        DataType::Int32 => to == Int64,
        DataType::UInt8 => matches!(to, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64),
        DataType::UInt16 => matches!(to, UInt32 | UInt64 | Int32 | Int64),
        DataType::UInt32 => matches!(to, UInt64 | Int64),
        DataType::Float16 => matches!(to, Float32 | Float64),
        DataType::Float32 => to == Float64,
        DataType::LargeUtf8 | DataType::Utf8View => to == Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => to == Binary,
        DataType::Timestamp(_, zone) => to == Timestamp { utc: zone.is_some() },
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let Decimal128 { precision: digits, scale: places } = to else { return false };
            let whole = i16::from(*precision) - i16::from(*scale);
            i16::from(places) >= i16::from(*scale) && i16::from(digits) - i16::from(places) >= whole
        }
        DataType::Dictionary(_, values) => convertible(values, to),
        _ => false,
    }
}

/// The type in which a column of a file is best declared; none if there is none.
pub(crate) fn declared(from: &DataType) -> Option<LogicalType> {
    crate::schema::logical_type(from).or_else(|| {
        let candidates = [
            LogicalType::Utf8,
            LogicalType::Binary,
            LogicalType::Float32,
            LogicalType::Timestamp { utc: false },
            LogicalType::Timestamp { utc: true },
        ];
        let decimal = match from {
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal256(precision, scale)
                if *precision <= 38 && *scale >= 0 =>
            {
                Some(LogicalType::Decimal128 { precision: *precision, scale: scale.cast_unsigned() })
            }
            _ => None,
        };
        candidates.into_iter().chain(decimal).find(|candidate| convertible(from, *candidate))
    })
}

fn convert(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let wanted = crate::schema::arrow_type(field.data_type);
    if *column.data_type() == wanted {
        return Ok(column.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, &wanted, &options)
        .map_err(|error| Error::new(code::BAD_VALUE, format!("column {:?}: {error}", field.name)))
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(arrow_schema::Schema::new(fields.collect::<Vec<_>>()))
}

/// How much of a range to ask for at once.
fn request(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start).min(REQUEST)).unwrap_or(usize::MAX)
}

/// Reads a range that must be there as a whole.
fn read(input: &mut dyn Input, range: Range<u64>) -> Result<Bytes> {
    let mut at = range.start;
    let mut parts = BytesMut::new();
    while at < range.end {
        let length = request(&(at..range.end));
        let part = input.read(at, length)?;
        if part.is_empty() || part.len() > length {
            return Err(Error::new(code::CORRUPT_PARQUET, format!("the file ends before byte {}", range.end)));
        }
        at += part.len() as u64;
        if at < range.end {
            input.prefetch(at, request(&(at..range.end)));
        } else if parts.is_empty() {
            return Ok(part);
        }
        parts.extend_from_slice(&part);
    }
    Ok(parts.freeze())
}

fn damaged(error: ParquetError) -> Error {
    Error::new(code::CORRUPT_PARQUET, format!("the Parquet file cannot be read: {error}"))
}

fn claim(fault: Fault) -> Error {
    match fault {
        Fault::Malformed => Error::new(code::CORRUPT_PARQUET, "the Parquet file's metadata is malformed"),
        Fault::Excessive(what) => Error::new(code::PARQUET_LIMIT, format!("the Parquet file claims too much: {what}")),
    }
}

#[cfg(test)]
mod tests;
