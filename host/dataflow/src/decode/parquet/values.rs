//! How large the values of a column chunk can be, before any is decoded.
//!
//! Dictionaries and shared prefixes let a few bytes of a page stand for a long value in every row: 4,000 rows of a
//! megabyte take less than 10 KB. The reader makes an array of whole values, so the rows of a batch are held to what the
//! largest value allows.

use super::super::thrift::Pages;
use bytes::{Buf, Bytes};
use parquet::basic::Type;
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use std::sync::Arc;

/// Bytes that no value of the chunk exceeds, of those that take more room in an array than in a page: 0 where none do.
///
/// # Errors
/// If the dictionary cannot be unpacked.
pub(super) fn largest(column: &ColumnChunkMetaData, chunk: &Bytes, pages: Pages) -> Result<u64> {
    match column.column_type() {
        Type::BYTE_ARRAY => {
            let dictionary = if pages.dictionary { in_dictionary(column, chunk)? } else { 0 };
            // A value is made of a part of the one before and a suffix, so that it is never longer than all suffixes.
            Ok(dictionary.max(pages.prefixed))
        }
        // Nulls take as much room as values.
        Type::FIXED_LEN_BYTE_ARRAY => Ok(u64::try_from(column.column_descr().type_length()).unwrap_or(0)),
        _ => Ok(0),
    }
}

/// The largest value of the dictionary: in plain encoding, each behind its length.
fn in_dictionary(column: &ColumnChunkMetaData, chunk: &Bytes) -> Result<u64> {
    let window = Window { start: column.byte_range().0, chunk: chunk.clone() };
    let mut reader = SerializedPageReader::new(Arc::new(window), column, 0, None)?;
    let Some(Page::DictionaryPage { mut buf, .. }) = reader.get_next_page()? else { return Ok(0) };
    let mut largest = 0;
    while buf.len() >= 4 {
        let length = buf.get_u32_le();
        largest = largest.max(u64::from(length));
        // A length behind the end is for the reader to refuse.
        buf.advance(buf.len().min(length as usize));
    }
    Ok(largest)
}

/// A chunk where it lies in its file.
struct Window {
    start: u64,
    chunk: Bytes,
}

impl Window {
    fn from(&self, start: u64) -> Result<Bytes> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.chunk.len());
        at.map(|at| self.chunk.slice(at..)).ok_or_else(|| ParquetError::EOF("behind the column chunk".into()))
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.start + self.chunk.len() as u64
    }
}

impl ChunkReader for Window {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF("behind the column chunk".into()));
        }
        Ok(bytes.slice(..length))
    }
}
