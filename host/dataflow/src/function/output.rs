//! From what calls gave back to batches: columns that pass through are taken by origin, and what has grown is cut.

use super::{Piece, Port};
use crate::Tracked;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::DataType;
use arrow_select::concat::concat;
use arrow_select::take::take;
use lockgate_core::error::{Error, Result, code};
use std::ops::Range;
use std::sync::Arc;

/// The most bytes of text that repeated rows may bring into one batch (or one row's, if that is more): a short output
/// could otherwise multiply long columns that pass through.
const MAX_TAKEN: usize = 64 << 20;
/// Results of a divided batch are put together up to this size.
const MAX_MERGED: u64 = 16 << 20;

/// Output of one port, from one call or several.
#[derive(Debug)]
pub(super) struct Section {
    rows: usize,
    /// The new columns.
    columns: Vec<ArrayRef>,
    /// The input row of each row; none is one to one with the whole input.
    origin: Option<ScalarBuffer<u32>>,
    repeats: bool,
}

/// Output of one port with the input that it was made of, given out as batches of bounded size.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Index of the port.
    pub(crate) port: usize,
    shape: Arc<Port>,
    input: Tracked,
    section: Section,
    at: usize,
}

impl Cursor {
    pub(super) fn new(port: usize, shape: &Arc<Port>, input: &Tracked, section: Section) -> Self {
        Self { port, shape: shape.clone(), input: input.clone(), section, at: 0 }
    }

    /// All of `input`, as it is, from port 0 of the shape `shape`.
    pub(crate) fn whole(shape: &Arc<Port>, input: Tracked) -> Self {
        let rows = input.batch.num_rows();
        let section = Section { rows, columns: Vec::new(), origin: None, repeats: false };
        Self { port: 0, shape: shape.clone(), input, section, at: 0 }
    }

    /// The next batch, of 1 to `most` rows; none at the end.
    ///
    /// # Errors
    /// `LG0003` if columns do not have the types that the plan says.
    pub(crate) fn next(&mut self, most: usize) -> Result<Option<Tracked>> {
        let range = self.at..self.cut(most);
        if range.is_empty() {
            return Ok(None);
        }
        self.at = range.end;
        let whole = range.len() == self.section.rows;
        let part = |column: &ArrayRef| if whole { column.clone() } else { column.slice(range.start, range.len()) };
        let all = self.input.batch.columns();
        let kept = self.shape.keep.iter().map(|index| all.get(*index).ok_or_else(|| internal("a column is missing")));
        let mut columns = Vec::with_capacity(self.shape.schema.fields().len());
        let rows = match &self.section.origin {
            None => {
                for column in kept {
                    columns.push(part(column?));
                }
                if whole { self.input.rows.clone() } else { self.input.rows.slice(range.clone()) }
            }
            Some(origin) => {
                let origin = origin.slice(range.start, range.len());
                let indexes = UInt32Array::new(origin.clone(), None);
                for column in kept {
                    columns.push(take(column?, &indexes, None).map_err(internal)?);
                }
                self.input.rows.take(&origin)
            }
        };
        columns.extend(self.section.columns.iter().map(part));
        let options = RecordBatchOptions::new().with_row_count(Some(range.len()));
        let batch = RecordBatch::try_new_with_options(self.shape.schema.clone(), columns, &options);
        Ok(Some(Tracked { batch: batch.map_err(internal)?, rows }))
    }

    /// Where the next batch ends.
    fn cut(&self, most: usize) -> usize {
        let end = self.at.saturating_add(most).min(self.section.rows);
        let Some(origin) = self.section.origin.as_ref().filter(|_| self.section.repeats) else { return end };
        let kept = self.shape.keep.iter().filter_map(|index| self.input.batch.columns().get(*index));
        let offsets: Vec<&[i32]> = kept.filter_map(text_offsets).collect();
        let length = |offsets: &&[i32], row: usize| {
            let (start, end) = (offsets.get(row).copied().unwrap_or(0), offsets.get(row + 1).copied().unwrap_or(0));
            usize::try_from(end - start).unwrap_or(0)
        };
        let mut bytes = 0_usize;
        let chosen = origin.iter().enumerate().skip(self.at).take(end - self.at);
        for (at, row) in chosen {
            let row_bytes = offsets.iter().map(|offsets| length(offsets, *row as usize)).sum();
            bytes = bytes.saturating_add(row_bytes);
            if bytes > MAX_TAKEN && at > self.at {
                return at;
            }
        }
        end
    }
}

fn text_offsets(column: &ArrayRef) -> Option<&[i32]> {
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value_offsets()),
        DataType::Binary => Some(column.as_binary::<i32>().value_offsets()),
        _ => None,
    }
}

/// What becomes of the calls on a batch of `rows` rows: for each port its sections, in order.
///
/// # Errors
/// `LG0003` if columns of one port have different types.
pub(super) fn assemble(mut pieces: Vec<Piece>, rows: usize, batch_rows: usize) -> Result<Vec<Vec<Section>>> {
    if pieces.len() == 1 && pieces.first().is_some_and(|piece| piece.range == (0..rows)) {
        let ports = pieces.pop().map(|piece| piece.checked.ports).unwrap_or_default();
        let section = |port: crate::columns::CheckedPort| Section {
            rows: port.rows,
            columns: port.columns,
            origin: port.origin,
            repeats: port.repeats,
        };
        return Ok(ports.into_iter().map(|port| vec![section(port)]).collect());
    }
    let ports = pieces.first().map_or(0, |piece| piece.checked.ports.len());
    let mut assembled = Vec::with_capacity(ports);
    for port in 0..ports {
        let mut sections = Vec::new();
        for group in groups(&pieces, port, batch_rows) {
            sections.push(merge(pieces.get(group).unwrap_or_default(), port)?);
        }
        assembled.push(sections);
    }
    Ok(assembled)
}

/// Ranges of pieces that are small enough to be put together, so that what comes after a function does not get a
/// divided batch row by row.
fn groups(pieces: &[Piece], port: usize, batch_rows: usize) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let (mut rows, mut bytes) = (0_usize, 0_u64);
    for (index, piece) in pieces.iter().enumerate() {
        let more = piece.checked.ports.get(port).map_or(0, |port| port.rows);
        match groups.last_mut() {
            Some(group) if rows + more <= batch_rows && bytes + piece.bytes <= MAX_MERGED => {
                group.end = index + 1;
                (rows, bytes) = (rows + more, bytes + piece.bytes);
            }
            _ => {
                groups.push(index..index + 1);
                (rows, bytes) = (more, piece.bytes);
            }
        }
    }
    groups
}

fn merge(pieces: &[Piece], port: usize) -> Result<Section> {
    let mut origin: Vec<u32> = Vec::new();
    let mut repeats = false;
    let ports = || pieces.iter().filter_map(|piece| Some((piece, piece.checked.ports.get(port)?)));
    for (piece, port) in ports() {
        // Rows of a batch have 32-bit indexes.
        let start = piece.range.start as u32;
        match &port.origin {
            None => origin.extend(piece.range.clone().map(|row| row as u32)),
            Some(rows) => origin.extend(rows.iter().map(|row| start + row)),
        }
        repeats |= port.repeats;
    }
    let width = ports().next().map_or(0, |(_, port)| port.columns.len());
    let mut columns = Vec::with_capacity(width);
    for index in 0..width {
        let parts: Vec<&dyn Array> =
            ports().filter_map(|(_, port)| port.columns.get(index)).map(|column| column.as_ref()).collect();
        columns.push(concat(&parts).map_err(internal)?);
    }
    Ok(Section { rows: origin.len(), columns, origin: Some(origin.into()), repeats })
}

fn internal(what: impl std::fmt::Display) -> Error {
    Error::new(code::INTERNAL, format!("a function's output does not fit its plan: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;
    use crate::schema::arrow_schema;
    use arrow_array::StringArray;
    use lockgate_core::types::{Field, LogicalType};

    #[test]
    fn repeated_text_is_cut_by_its_size() {
        let fields = [Field::new("t", LogicalType::Utf8, false)];
        let text = "x".repeat(MAX_TAKEN / 2);
        let column: ArrayRef = Arc::new(StringArray::from(vec![text.as_str(), "y"]));
        let batch = RecordBatch::try_new(arrow_schema(&fields), vec![column]).unwrap();
        let input = Tracked { batch, rows: Rows::From(10) };
        let shape = Arc::new(Port::new(vec![0], vec![], arrow_schema(&fields)));
        let section = Section { rows: 5, columns: vec![], origin: Some(vec![0, 0, 0, 1, 1].into()), repeats: true };
        let mut cursor = Cursor::new(0, &shape, &input, section);
        let mut sizes = Vec::new();
        while let Some(tracked) = cursor.next(8192).unwrap() {
            sizes.push((tracked.batch.num_rows(), tracked.rows));
        }
        assert_eq!(sizes, [(2, Rows::Each([10, 10].into())), (3, Rows::Each([10, 11, 11].into()))]);
    }
}
