//! Collects the records of one batch: rows, and those that could not be decoded.
//!
//! A batch covers a fixed number of records, good or bad, or fewer if their text passes a bound. Where it ends depends
//! on nothing but where it begins and on the data, so that a run resumed from any position sees the same batches.

use super::Limits;
use super::column::Column;
use crate::{BadRecord, Decoded, Rows, Tracked};
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::filter::filter;
use lockgate_core::error::code;
use lockgate_core::types::Field;
use lockgate_core::{Error, Result};

/// The most of a bad record that is kept.
const SHOWN: usize = 4 << 10;

/// What batches of one split have in common.
pub(super) struct Shape {
    /// The columns to deliver.
    pub(super) fields: Vec<Field>,
    /// The same in Arrow.
    pub(super) schema: SchemaRef,
    /// Records in a full batch.
    pub(super) rows: usize,
    /// Bounds.
    pub(super) limits: Limits,
    /// Bytes that each column's values had in the last batch.
    hints: Vec<usize>,
}

impl Shape {
    pub(super) fn new(fields: &[Field], batch_rows: u32, limits: Limits) -> Self {
        Self {
            fields: fields.to_vec(),
            schema: crate::schema::arrow_schema(fields),
            rows: batch_rows.max(1) as usize,
            limits,
            hints: vec![0; fields.len()],
        }
    }
}

/// A batch that is being collected.
pub(super) struct Batch {
    /// Its columns, one value longer with each row.
    pub(super) columns: Vec<Column>,
    first: u64,
    records: usize,
    rows: usize,
    spoilt: Vec<usize>,
    bad: Vec<BadRecord>,
    bytes: usize,
    full_rows: usize,
    full_bytes: usize,
}

impl Batch {
    /// An empty batch that begins with record `first`.
    pub(super) fn new(shape: &Shape, first: u64) -> Self {
        let hints = shape.hints.iter().map(|bytes| bytes + bytes / 8);
        Self {
            columns: shape
                .fields
                .iter()
                .zip(hints)
                .map(|(field, bytes)| Column::new(field, shape.rows, bytes))
                .collect(),
            first,
            records: 0,
            rows: 0,
            spoilt: Vec::new(),
            bad: Vec::new(),
            bytes: 0,
            full_rows: shape.rows,
            full_bytes: shape.limits.batch_bytes,
        }
    }

    /// How many records there is still room for.
    pub(super) fn room(&self) -> usize {
        if self.bytes < self.full_bytes { self.full_rows.saturating_sub(self.records) } else { 0 }
    }

    /// The number of the next record.
    pub(super) fn next_record(&self) -> u64 {
        self.first + self.records as u64
    }

    /// Counts a record of `text`, whose row `append` adds to the columns, all or nothing: after an error it may have
    /// got only to one of them.
    pub(super) fn row(&mut self, text: &[u8], append: impl FnOnce(&mut [Column]) -> Result<(), (usize, Error)>) {
        match append(&mut self.columns) {
            Ok(()) => self.count(text.len()),
            Err((reached, error)) => {
                for column in self.columns.iter_mut().skip(reached) {
                    column.spoil();
                }
                self.spoilt.push(self.rows);
                self.failed(text, error);
            }
        }
        self.rows += 1;
    }

    /// Counts a record of `text` for which nothing was appended.
    pub(super) fn failed(&mut self, text: &[u8], error: Error) {
        let shown = text.get(..SHOWN).unwrap_or(text);
        // A character cut in half becomes one of three bytes: cut again.
        let mut input = String::from_utf8_lossy(shown).into_owned();
        let end = (0..=SHOWN.min(input.len())).rev().find(|end| input.is_char_boundary(*end)).unwrap_or(0);
        input.truncate(end);
        self.bad.push(BadRecord { row: self.next_record(), error, input });
        self.count(text.len());
    }

    fn count(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    /// The batch, if it has any record.
    ///
    /// # Errors
    /// `LG0003` if Arrow does not take the columns.
    pub(super) fn finish(self, shape: &mut Shape, position: Vec<u8>) -> Result<Option<Decoded>> {
        if self.records == 0 {
            return Ok(None);
        }
        for (hint, column) in shape.hints.iter_mut().zip(&self.columns) {
            *hint = column.bytes();
        }
        let mut rows = self.rows;
        let mut columns: Vec<ArrayRef> = self.columns.into_iter().map(Column::finish).collect();
        if !self.spoilt.is_empty() {
            let mut keep = vec![true; rows];
            for row in &self.spoilt {
                if let Some(keep) = keep.get_mut(*row) {
                    *keep = false;
                }
            }
            rows -= self.spoilt.len();
            let keep = BooleanArray::from(keep);
            columns = columns.iter().map(|column| filter(column, &keep)).collect::<Result<_, _>>().map_err(internal)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(shape.schema.clone(), columns, &options).map_err(internal)?;
        let rows = rows_without(self.first, self.records as u64, &self.bad);
        Ok(Some(Decoded { tracked: Tracked { batch, rows }, bad: self.bad, position }))
    }
}

/// The `count` records from `first` on without the bad ones.
pub(super) fn rows_without(first: u64, count: u64, bad: &[BadRecord]) -> Rows {
    if bad.is_empty() {
        return Rows::From(first);
    }
    let mut bad = bad.iter().map(|bad| bad.row).peekable();
    Rows::Each((first..first + count).filter(|record| bad.next_if_eq(record).is_none()).collect())
}

pub(super) fn internal(error: ArrowError) -> Error {
    Error::new(code::INTERNAL, format!("Arrow does not take decoded columns: {error}"))
}
