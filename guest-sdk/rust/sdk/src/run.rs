//! The batch loops that `#[udf]` puts around a function, one for each form.
//!
//! Each decides once for the batch what it would otherwise ask for every row: whether any required column has nulls,
//! and (at compile time) whether the function can give anything but a value. The plain case is then a loop over
//! slices and nothing else, as one would write it by hand.

use crate::argument::{Argument, Inputs, Mask, bit};
use crate::raw::{Batch, Failures, Output, PortOutput};
use crate::result::{Build, Emit, Keep, Outcome, Return, Written};
use crate::writer::{TextWriter, Writer};

/// One row for each, in place: the results overwrite the only column when it is of the same width, has no nulls and
/// every row has a value. None if that is not so; then nothing has been done.
#[inline]
pub fn replace<'a, A: Argument<'a>, R: Return>(batch: &mut Batch, f: &mut impl FnMut(A) -> R) -> Option<Output> {
    let width = A::WIDTH.filter(|width| R::TOTAL && <R::Value as Emit>::WIDTH == Some(*width))?;
    let rows = batch.len();
    let [column] = batch.columns.as_mut_slice() else { return None };
    let [data] = column.buffers.as_mut_slice() else { return None };
    if column.validity.is_some() || rows.checked_mul(width) != Some(data.len()) {
        return None;
    }
    data.chunks_exact_mut(width).for_each(|bytes| f(A::decode(bytes)).outcome().value().encode(bytes));
    Some(single(std::mem::take(batch), None))
}

/// At most one row for each.
///
/// # Errors
/// When a column is malformed or becomes too large.
#[inline]
pub fn map<'a, A: Argument<'a>, R: Return>(batch: &'a Batch, mut f: impl FnMut(A) -> R) -> Result<Output, String> {
    let (reader, mask) = Inputs::new(batch).open::<A>()?;
    let rows = batch.len();
    if R::TOTAL && mask.bits().is_none() {
        let builder = R::Value::fill(rows, |row| f(A::read(&reader, row)).outcome().value());
        return Ok(single(finish(builder, rows)?, None));
    }
    let mut builder = <R::Value as Emit>::Builder::with_capacity(rows);
    let mut rest = Survivors::new(rows);
    each_row(rows, &mask, |row, valid| match if valid { f(A::read(&reader, row)).outcome() } else { Outcome::Null } {
        Outcome::Value(value) => {
            value.emit(&mut builder);
            rest.keep(row);
        }
        Outcome::Null => {
            builder.push_null();
            rest.keep(row);
        }
        Outcome::Drop => rest.remove(row),
        Outcome::Fail(message) => rest.fail(row, &message),
    });
    rest.output(builder)
}

/// One row for each, written by the function itself.
///
/// # Errors
/// When a column is malformed or becomes too large.
#[inline]
pub fn write<'a, A: Argument<'a>, W: Writer, R: Written>(
    batch: &'a Batch,
    mut f: impl FnMut(A, &mut W) -> R,
) -> Result<Output, String> {
    let (reader, mask) = Inputs::new(batch).open::<A>()?;
    let rows = batch.len();
    let mut writer = W::with_capacity(rows);
    // What is written is often about as long as what was read.
    writer.reserve(batch.columns.iter().flat_map(|column| column.buffers.get(1)).map(Vec::len).sum());
    let mut rest = Survivors::new(rows);
    each_row(rows, &mask, |row, valid| {
        match if valid { f(A::read(&reader, row), &mut writer).outcome() } else { Outcome::Null } {
            Outcome::Value(()) => {
                writer.end_row();
                rest.keep(row);
            }
            Outcome::Null => {
                writer.push_null();
                rest.keep(row);
            }
            Outcome::Drop => {
                writer.clear_row();
                rest.remove(row);
            }
            Outcome::Fail(message) => {
                writer.clear_row();
                rest.fail(row, &message);
            }
        }
    });
    rest.output(writer)
}

/// The rows that the function says yes to.
///
/// # Errors
/// When a column is malformed.
#[inline]
pub fn filter<'a, A: Argument<'a>, K: Keep>(batch: &'a Batch, mut f: impl FnMut(A) -> K) -> Result<Output, String> {
    let (reader, mask) = Inputs::new(batch).open::<A>()?;
    let rows = batch.len();
    if K::TOTAL && mask.bits().is_none() {
        // Every index is written and only then kept or not: no branch on data that cannot be predicted.
        let mut origin = vec![[0; 4]; rows];
        let mut kept = 0;
        for row in 0..rows {
            if let Some(slot) = origin.get_mut(kept) {
                *slot = (row as u32).to_le_bytes();
            }
            kept += usize::from(matches!(f(A::read(&reader, row)).keep(), Ok(true)));
        }
        origin.truncate(kept);
        let origin = if kept == rows { None } else { Some(origin.into_flattened()) };
        return Ok(single(finish((), kept)?, origin));
    }
    let mut rest = Survivors::new(rows);
    each_row(rows, &mask, |row, valid| match if valid { f(A::read(&reader, row)).keep() } else { Ok(false) } {
        Ok(true) => rest.keep(row),
        Ok(false) => rest.remove(row),
        Err(message) => rest.fail(row, &message),
    });
    rest.output(())
}

/// Any number of rows for each.
///
/// # Errors
/// When a column is malformed or becomes too large.
#[inline]
pub fn flat_map<'a, A: Argument<'a>, I: IntoIterator<Item: Emit>>(
    batch: &'a Batch,
    mut f: impl FnMut(A) -> I,
) -> Result<Output, String> {
    try_flat_map(batch, |argument| Ok::<_, std::convert::Infallible>(f(argument)))
}

/// Any number of rows for each that does not fail.
///
/// # Errors
/// When a column is malformed or becomes too large.
#[inline]
pub fn try_flat_map<'a, A: Argument<'a>, I: IntoIterator<Item: Emit>, E: std::fmt::Display>(
    batch: &'a Batch,
    mut f: impl FnMut(A) -> Result<I, E>,
) -> Result<Output, String> {
    let (reader, mask) = Inputs::new(batch).open::<A>()?;
    let rows = batch.len();
    let mut builder = <I::Item as Emit>::Builder::with_capacity(rows);
    let mut origin: Vec<[u8; 4]> = Vec::with_capacity(rows);
    let mut failed = Failed::default();
    each_row(rows, &mask, |row, valid| {
        if !valid {
            return;
        }
        match f(A::read(&reader, row)) {
            Ok(items) => items.into_iter().for_each(|item| {
                item.emit(&mut builder);
                origin.push((row as u32).to_le_bytes());
            }),
            Err(error) => failed.add(row, &error.to_string()),
        }
    });
    let mut output = single(finish(builder, origin.len())?, Some(origin.into_flattened()));
    output.failed = failed.finish()?;
    Ok(output)
}

/// Calls `f` with every row and whether all required columns have a value there.
#[inline(always)]
fn each_row(rows: usize, mask: &Mask<'_>, mut f: impl FnMut(usize, bool)) {
    match mask.bits() {
        None => (0..rows).for_each(|row| f(row, true)),
        Some(bits) => (0..rows).for_each(|row| f(row, bit(bits, row))),
    }
}

/// The output of the only port.
fn single(data: Batch, origin: Option<Vec<u8>>) -> Output {
    Output { ports: vec![PortOutput { data, origin }], failed: None }
}

fn finish(builder: impl Build, rows: usize) -> Result<Batch, String> {
    let rows = u32::try_from(rows).map_err(|_| "the result has 2^32 rows or more")?;
    let mut columns = Vec::new();
    builder.finish(&mut columns)?;
    Ok(Batch { rows, columns })
}

/// Which input rows have an output row: all, until the first has none.
struct Survivors {
    rows: usize,
    kept: usize,
    origin: Option<Vec<[u8; 4]>>,
    failed: Failed,
}

impl Survivors {
    fn new(rows: usize) -> Self {
        Self { rows, kept: 0, origin: None, failed: Failed::default() }
    }

    #[inline(always)]
    fn keep(&mut self, row: usize) {
        if let Some(origin) = &mut self.origin {
            origin.push((row as u32).to_le_bytes());
        }
        self.kept += 1;
    }

    #[inline(always)]
    fn remove(&mut self, row: usize) {
        if self.origin.is_none() {
            self.begin(row);
        }
    }

    #[cold]
    fn begin(&mut self, row: usize) {
        let mut origin = Vec::with_capacity(self.rows);
        origin.extend((0..row as u32).map(u32::to_le_bytes));
        self.origin = Some(origin);
    }

    #[cold]
    fn fail(&mut self, row: usize, message: &str) {
        self.remove(row);
        self.failed.add(row, message);
    }

    fn output(self, builder: impl Build) -> Result<Output, String> {
        let mut output = single(finish(builder, self.kept)?, self.origin.map(Vec::into_flattened));
        output.failed = self.failed.finish()?;
        Ok(output)
    }
}

/// The rows that failed, with their messages.
#[derive(Default)]
pub(crate) struct Failed(Option<(Vec<[u8; 4]>, TextWriter)>);

impl Failed {
    pub(crate) fn add(&mut self, row: usize, message: &str) {
        let (rows, messages) = self.0.get_or_insert_with(|| (Vec::new(), TextWriter::with_capacity(1)));
        rows.push((row as u32).to_le_bytes());
        message.emit(messages);
    }

    pub(crate) fn finish(self) -> Result<Option<Failures>, String> {
        let Some((rows, messages)) = self.0 else { return Ok(None) };
        let mut columns = Vec::new();
        messages.finish(&mut columns)?;
        let messages = columns.pop().map(|column| column.buffers).unwrap_or_default();
        Ok(Some(Failures { rows: rows.into_flattened(), messages }))
    }
}
