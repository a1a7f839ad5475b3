//! Raw → Arrow: all that a call gave back, checked before anything is made of it.

use super::{MAX_MESSAGE, array, truncate, within};
use arrow_array::{ArrayRef, StringArray};
use arrow_buffer::ScalarBuffer;
use lockgate_core::columns::{Failures, Output, PortOutput};
use lockgate_core::error::{Error, Result, code};
use lockgate_core::types::Field;

/// What a call gave back, every word of it checked.
#[derive(Debug)]
pub struct Checked {
    /// One for each output port.
    pub ports: Vec<CheckedPort>,
    /// The rows that failed, if any.
    pub failed: Option<FailedRows>,
}

/// One output port.
#[derive(Debug)]
pub struct CheckedPort {
    /// Rows in every column.
    pub rows: usize,
    /// The new columns, in the order of the port's fields.
    pub columns: Vec<ArrayRef>,
    /// For each output row the input row that it came from: non-decreasing, below the input's rows. None if each input
    /// row has just one output row, whether the guest said so or listed them all.
    pub origin: Option<ScalarBuffer<u32>>,
    /// Whether an input row is in `origin` more than once.
    pub repeats: bool,
}

/// Rows that a function refused.
#[derive(Debug)]
pub struct FailedRows {
    rows: ScalarBuffer<u32>,
    messages: StringArray,
}

impl FailedRows {
    /// Each failed row, strictly ascending, with its message, which is cut at [`MAX_MESSAGE`].
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        let messages = self.messages.iter().map(|message| truncate(message.unwrap_or_default(), MAX_MESSAGE));
        self.rows.iter().copied().zip(messages)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Checks the output of a call on `rows` rows against the fields of each output port.
///
/// # Errors
/// `LG0652` to `LG0672`, one for each way in which it can be malformed; the place names port and column.
pub fn check(output: Output, ports: &[&[Field]], rows: u32) -> Result<Checked> {
    if output.ports.len() != ports.len() {
        return Err(Error::new(
            code::OUTPUT_PORTS,
            format!("{} output ports, the function has {}", output.ports.len(), ports.len()),
        ));
    }
    let failed = output.failed.map(|failed| check_failed(failed, rows)).transpose()?.filter(|rows| !rows.is_empty());
    let mut checked = Vec::with_capacity(ports.len());
    for (index, (port, fields)) in output.ports.into_iter().zip(ports).enumerate() {
        let port = check_port(port, fields, rows, failed.as_ref());
        checked.push(port.map_err(|error| within(error, &format!("output port {index}")))?);
    }
    Ok(Checked { ports: checked, failed })
}

fn check_port(port: PortOutput, fields: &[Field], rows: u32, failed: Option<&FailedRows>) -> Result<CheckedPort> {
    if port.columns.len() != fields.len() {
        return Err(Error::new(
            code::OUTPUT_COLUMNS,
            format!("{} columns, the port has {}", port.columns.len(), fields.len()),
        ));
    }
    let (origin, repeats) = match port.origin {
        Some(bytes) => check_origin(bytes, port.rows, rows, failed)?,
        None if failed.is_some() => {
            return Err(Error::new(code::ORIGIN_MISSING, "rows failed, yet the port has no origin"));
        }
        None if port.rows != rows => {
            return Err(Error::new(
                code::ROW_COUNT,
                format!("{} rows without an origin, the input has {rows}", port.rows),
            ));
        }
        None => (None, false),
    };
    let rows = port.rows as usize;
    let columns = fields.iter().zip(port.columns).map(|(field, column)| array::build(field, rows, column));
    Ok(CheckedPort { rows, columns: columns.collect::<Result<_>>()?, origin, repeats })
}

/// The origin, unless it is one to one, and whether it repeats a row.
fn check_origin(
    bytes: Vec<u8>,
    given: u32,
    rows: u32,
    failed: Option<&FailedRows>,
) -> Result<(Option<ScalarBuffer<u32>>, bool)> {
    if bytes.len() != given as usize * size_of::<u32>() {
        return Err(Error::new(code::ORIGIN_LENGTH, format!("origin has {} bytes for {given} rows", bytes.len())));
    }
    let origin = array::scalars::<u32>(bytes);
    let repeats = !indexes::ascends_strictly(&origin);
    if repeats && let Some(row) = indexes::first_descent(&origin) {
        return Err(Error::new(code::ORIGIN_ORDER, format!("origin decreases behind row {row}")));
    }
    if let Some(last) = origin.last().filter(|last| **last >= rows) {
        return Err(Error::new(code::ORIGIN_RANGE, format!("origin names row {last}, the input has {rows}")));
    }
    if let Some(row) = failed.and_then(|failed| indexes::first_common(&failed.rows, &origin)) {
        return Err(Error::new(code::FAILED_WITH_OUTPUT, format!("row {row} failed and has output as well")));
    }
    let one_to_one = !repeats && given == rows;
    Ok(((!one_to_one).then_some(origin), repeats))
}

fn check_failed(failed: Failures, rows: u32) -> Result<FailedRows> {
    if !failed.rows.len().is_multiple_of(size_of::<u32>()) {
        return Err(Error::new(
            code::FAILED_LENGTH,
            format!("the indexes of failed rows have {} bytes", failed.rows.len()),
        ));
    }
    let indexes = array::scalars::<u32>(failed.rows);
    if !indexes::ascends_strictly(&indexes) {
        return Err(Error::new(code::FAILED_ORDER, "the failed rows are not strictly ascending"));
    }
    if let Some(last) = indexes.last().filter(|last| **last >= rows) {
        return Err(Error::new(code::FAILED_RANGE, format!("row {last} failed, the input has {rows}")));
    }
    let messages = array::strings(failed.messages, indexes.len(), None)
        .map_err(|error| error.at("the messages of failed rows"))?;
    Ok(FailedRows { rows: indexes, messages })
}

/// Properties of sequences of indexes.
pub(super) mod indexes {
    /// The position before the first value that is lower than the one before it.
    pub fn first_descent<T: PartialOrd>(values: &[T]) -> Option<usize> {
        // The common answer first: this loop is vectorised, a search is not.
        if values.is_sorted() {
            return None;
        }
        values.iter().zip(values.iter().skip(1)).position(|(before, after)| after < before)
    }

    /// Whether each value is above the one before it.
    pub fn ascends_strictly(values: &[u32]) -> bool {
        values.is_sorted_by(|before, after| before < after)
    }

    /// The first value that two non-decreasing sequences share.
    pub fn first_common(a: &[u32], b: &[u32]) -> Option<u32> {
        let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => a.next(),
                std::cmp::Ordering::Greater => b.next(),
                std::cmp::Ordering::Equal => return Some(**x),
            };
        }
        None
    }
}

#[cfg(test)]
mod tests;
