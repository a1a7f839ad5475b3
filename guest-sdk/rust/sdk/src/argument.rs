//! Reading columns: what a parameter of a function can be.
//!
//! Values are read by row index from slices that are cut to the batch's length once, so that the compiler drops the
//! bounds checks in the loop. Nulls of parameters that are no `Option` are collected in one [`Mask`] for the batch,
//! and a batch without any never looks at validity again.

use crate::describe::Field;
use crate::raw::{Batch, Column};
use std::borrow::Cow;

/// Stops the instance: a column contradicts what the host has checked, so that no result could be right.
#[cold]
#[inline(never)]
pub(crate) fn malformed() -> ! {
    log::error!("a column does not have the form that the contract promises");
    std::process::abort()
}

/// A type of the contract.
pub trait Logical {
    /// The type as `describe` says it, "float64" for example.
    fn logical() -> String;
}

/// What columns a parameter or a result stands for: one, or those of a `#[derive(Row)]` struct.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the type of a column or a row",
    note = "columns are bool, i8 to i64, u8 to u64, f32, f64, &str, String, &[u8], Vec<u8>, Date, Timestamp, \
            TimestampUtc, Decimal<P, S>, and Option<T> of these",
    note = "a struct of columns is a row when it has #[derive(Row)]"
)]
pub trait Describe {
    /// Adds the fields. `name` is the column's name where there is only one.
    fn fields(name: &str, fields: &mut Vec<Field>);
}

impl<T: Logical> Describe for Option<T> {
    fn fields(name: &str, fields: &mut Vec<Field>) {
        fields.push(Field::new(name, T::logical(), true));
    }
}

/// The columns of a batch, to be taken one after the other.
#[derive(Debug)]
pub struct Inputs<'a> {
    rows: usize,
    columns: std::slice::Iter<'a, Column>,
    mask: Mask<'a>,
}

impl<'a> Inputs<'a> {
    /// All columns of `batch`.
    pub(crate) fn new(batch: &'a Batch) -> Self {
        Self::of(batch.len(), &batch.columns)
    }

    /// Columns with `rows` rows each.
    pub(crate) fn of(rows: usize, columns: &'a [Column]) -> Self {
        Self { rows, columns: columns.iter(), mask: Mask(None) }
    }

    /// The next column, of which no row may be null if it is `required`.
    fn next(&mut self, required: bool) -> Result<&'a Column, String> {
        let column = self.columns.next().ok_or("the batch has fewer columns than the function has parameters")?;
        if let Some(validity) = &column.validity {
            if validity.len() != self.rows.div_ceil(8) {
                return Err("a validity bitmap does not have a bit for every row".to_owned());
            }
            if required {
                self.mask.and(validity);
            }
        }
        Ok(column)
    }

    /// Opens the columns of `A`, which must be all there are.
    pub(crate) fn open<A: Argument<'a>>(mut self) -> Result<(A::Reader, Mask<'a>), String> {
        let reader = A::open(&mut self)?;
        match self.columns.next() {
            None => Ok((reader, self.mask)),
            Some(_) => Err("the batch has more columns than the function has parameters".to_owned()),
        }
    }
}

/// Which rows have a value in every required column; none if all rows do.
#[derive(Debug)]
pub struct Mask<'a>(Option<Cow<'a, [u8]>>);

impl<'a> Mask<'a> {
    fn and(&mut self, validity: &'a [u8]) {
        match &mut self.0 {
            None => self.0 = Some(Cow::Borrowed(validity)),
            Some(mask) => mask.to_mut().iter_mut().zip(validity).for_each(|(byte, other)| *byte &= other),
        }
    }

    /// The bits, least significant first, unless all are set.
    pub(crate) fn bits(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }
}

/// Bit `row` of `bits`.
#[inline(always)]
pub(crate) fn bit(bits: &[u8], row: usize) -> bool {
    match bits.get(row / 8) {
        Some(byte) => byte >> (row % 8) & 1 == 1,
        None => malformed(),
    }
}

/// A value of one column.
pub trait Scalar<'a>: Logical + Sized {
    /// The column's buffers, checked for their lengths.
    type Values: std::fmt::Debug;

    /// Opens the buffers of `column`.
    ///
    /// # Errors
    /// When they do not have the lengths that `rows` rows of this type need.
    fn values(column: &'a Column, rows: usize) -> Result<Self::Values, String>;

    /// The value in `row`; any value where the row is null.
    fn value(values: &Self::Values, row: usize) -> Self;
}

/// A parameter of a function: a value of one column, an `Option` of it, or a `#[derive(Row)]` struct.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a function over columns",
    note = "parameters are bool, i8 to i64, u8 to u64, f32, f64, &str, String, &[u8], Vec<u8>, Date, Timestamp, \
            TimestampUtc, Decimal<P, S>, Option<T> of these, and structs with #[derive(Row)]"
)]
pub trait Argument<'a>: Sized {
    /// What is needed to read any row.
    type Reader;

    /// Bytes a value, if the parameter is one required column of fixed width.
    const WIDTH: Option<usize> = None;

    /// Takes its columns.
    ///
    /// # Errors
    /// When a column is missing or malformed.
    fn open(inputs: &mut Inputs<'a>) -> Result<Self::Reader, String>;

    /// The value in `row`.
    fn read(reader: &Self::Reader, row: usize) -> Self;

    /// The value of [`Argument::WIDTH`] bytes.
    fn decode(_bytes: &[u8]) -> Self {
        malformed()
    }
}

/// A required column: opened with its nulls put into the mask.
#[inline]
pub(crate) fn open_required<'a, T: Scalar<'a>>(inputs: &mut Inputs<'a>) -> Result<T::Values, String> {
    let column = inputs.next(true)?;
    T::values(column, inputs.rows)
}

impl<'a, T: Scalar<'a>> Argument<'a> for Option<T> {
    type Reader = (Option<&'a [u8]>, T::Values);

    #[inline]
    fn open(inputs: &mut Inputs<'a>) -> Result<Self::Reader, String> {
        let column = inputs.next(false)?;
        Ok((column.validity.as_deref(), T::values(column, inputs.rows)?))
    }

    #[inline(always)]
    fn read((validity, values): &Self::Reader, row: usize) -> Self {
        match validity {
            Some(bits) if !bit(bits, row) => None,
            _ => Some(T::value(values, row)),
        }
    }
}

/// The end of a list of parameters: no column.
impl<'a> Argument<'a> for () {
    type Reader = ();

    fn open(_inputs: &mut Inputs<'a>) -> Result<(), String> {
        Ok(())
    }

    #[inline(always)]
    fn read((): &(), _row: usize) {}
}

/// A list of parameters: `(A, (B, (C, ())))`.
impl<'a, A: Argument<'a>, B: Argument<'a>> Argument<'a> for (A, B) {
    type Reader = (A::Reader, B::Reader);

    #[inline]
    fn open(inputs: &mut Inputs<'a>) -> Result<Self::Reader, String> {
        Ok((A::open(inputs)?, B::open(inputs)?))
    }

    #[inline(always)]
    fn read((first, rest): &Self::Reader, row: usize) -> Self {
        (A::read(first, row), B::read(rest, row))
    }
}
