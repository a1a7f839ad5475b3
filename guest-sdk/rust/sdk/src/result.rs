//! Writing columns: what a result of a function can be.
//!
//! [`Emit`] is a value that goes into columns; [`Return`] is what a function gives back for a row, which besides a
//! value may be a null, nothing or an error.

use crate::argument::{Describe, malformed};
use crate::raw::Column;
use std::fmt::Display;

/// Columns that are being written.
pub trait Build: Sized {
    /// Empty columns with room for `rows` rows.
    fn with_capacity(rows: usize) -> Self;

    /// Appends a row of nulls.
    fn push_null(&mut self);

    /// Adds the columns.
    ///
    /// # Errors
    /// When a column is larger than the contract allows.
    fn finish(self, columns: &mut Vec<Column>) -> Result<(), String>;
}

/// A value of one column or, for a `#[derive(Row)]` struct, of several.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a value of a result",
    note = "results are made of bool, i8 to i64, u8 to u64, f32, f64, &str, String, &[u8], Vec<u8>, Date, Timestamp, \
            TimestampUtc, Decimal<P, S>, Option<T> of these, and structs with #[derive(Row)]"
)]
pub trait Emit: Sized {
    /// The columns that it goes into.
    type Builder: Build;

    /// Whether it is a row of its own, so that an `Option` of it that is `None` is no row rather than a null.
    const ROW: bool = false;

    /// Bytes a value, if it is one column of fixed width without nulls.
    const WIDTH: Option<usize> = None;

    /// Appends the value.
    fn emit(self, builder: &mut Self::Builder);

    /// The columns of `rows` values.
    #[inline]
    fn fill(rows: usize, mut value: impl FnMut(usize) -> Self) -> Self::Builder {
        let mut builder = Self::Builder::with_capacity(rows);
        (0..rows).for_each(|row| value(row).emit(&mut builder));
        builder
    }

    /// Writes the value as [`Emit::WIDTH`] bytes.
    fn encode(self, _bytes: &mut [u8]) {
        malformed()
    }
}

/// A value of exactly one column.
pub trait Cell: Emit {}

impl<T: Cell> Emit for Option<T> {
    type Builder = T::Builder;

    #[inline(always)]
    fn emit(self, builder: &mut Self::Builder) {
        match self {
            Some(value) => value.emit(builder),
            None => builder.push_null(),
        }
    }
}

/// The end of a list of columns.
impl Build for () {
    fn with_capacity(_rows: usize) {}

    fn push_null(&mut self) {}

    fn finish(self, _columns: &mut Vec<Column>) -> Result<(), String> {
        Ok(())
    }
}

impl<A: Build, B: Build> Build for (A, B) {
    fn with_capacity(rows: usize) -> Self {
        (A::with_capacity(rows), B::with_capacity(rows))
    }

    fn push_null(&mut self) {
        self.0.push_null();
        self.1.push_null();
    }

    fn finish(self, columns: &mut Vec<Column>) -> Result<(), String> {
        self.0.finish(columns)?;
        self.1.finish(columns)
    }
}

impl Emit for () {
    type Builder = ();

    fn emit(self, _builder: &mut ()) {}
}

/// The columns of a row: `(A, (B, (C, ())))`.
impl<A: Emit, B: Emit> Emit for (A, B) {
    type Builder = (A::Builder, B::Builder);

    #[inline(always)]
    fn emit(self, builder: &mut Self::Builder) {
        self.0.emit(&mut builder.0);
        self.1.emit(&mut builder.1);
    }
}

/// What became of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<T> {
    /// A value.
    Value(T),
    /// A null in every result column.
    Null,
    /// No row.
    Drop,
    /// The row failed, with a message.
    Fail(String),
}

impl<T> Outcome<T> {
    /// The value, where there is always one.
    #[inline(always)]
    pub(crate) fn value(self) -> T {
        match self {
            Self::Value(value) => value,
            _ => malformed(),
        }
    }
}

/// What a function gives back for one row.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a function over columns",
    note = "results are values (numbers, bool, &str, String, &[u8], Vec<u8>, Date, Timestamp, TimestampUtc, \
            Decimal<P, S>) and structs with #[derive(Row)], as they are, in an Option, in a Result or in both",
    note = "several rows for one: return an iterator or a Vec; a filter: #[udf(filter)] and bool; text without a \
            String for each row: a last parameter `out: &mut TextWriter`"
)]
pub trait Return: Sized {
    /// The value within.
    type Value: Emit + Describe;

    /// Whether every row has a value.
    const TOTAL: bool = false;

    /// Whether it makes nulls of its own.
    const NULLABLE: bool = false;

    /// What became of the row.
    fn outcome(self) -> Outcome<Self::Value>;
}

/// A null where `T` is a column, no row where `T` is a row.
impl<T: Emit + Describe> Return for Option<T> {
    type Value = T;

    const NULLABLE: bool = !T::ROW;

    #[inline(always)]
    fn outcome(self) -> Outcome<T> {
        match self {
            Some(value) => Outcome::Value(value),
            None if T::ROW => Outcome::Drop,
            None => Outcome::Null,
        }
    }
}

impl<R: Return, E: Display> Return for Result<R, E> {
    type Value = R::Value;

    const NULLABLE: bool = R::NULLABLE;

    #[inline(always)]
    fn outcome(self) -> Outcome<R::Value> {
        match self {
            Ok(value) => value.outcome(),
            Err(error) => failed(&error),
        }
    }
}

#[cold]
#[inline(never)]
fn failed<T>(error: &dyn Display) -> Outcome<T> {
    Outcome::Fail(error.to_string())
}

/// What a filter gives back for one row: `bool`, an `Option` of it (a null drops the row) or a `Result` of either.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a filter",
    note = "a filter gives bool, Option<bool>, Result<bool, E> or Result<Option<bool>, E>"
)]
pub trait Keep {
    /// Whether no row can fail.
    const TOTAL: bool = false;

    /// Whether the row stays.
    ///
    /// # Errors
    /// The message when the row failed.
    fn keep(self) -> Result<bool, String>;
}

impl Keep for bool {
    const TOTAL: bool = true;

    #[inline(always)]
    fn keep(self) -> Result<bool, String> {
        Ok(self)
    }
}

impl Keep for Option<bool> {
    const TOTAL: bool = true;

    #[inline(always)]
    fn keep(self) -> Result<bool, String> {
        Ok(self.unwrap_or(false))
    }
}

impl<K: Keep, E: Display> Keep for Result<K, E> {
    #[inline(always)]
    fn keep(self) -> Result<bool, String> {
        match self {
            Ok(keep) => keep.keep(),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What a function that writes into its column gives back for one row: nothing, `Option<()>` (`None` is a null) or a
/// `Result` of either.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a function with a writer",
    note = "a function that writes into its column gives (), Option<()>, Result<(), E> or Result<Option<()>, E>"
)]
pub trait Written: Sized {
    /// Whether it makes nulls of its own.
    const NULLABLE: bool = false;

    /// What became of the row.
    fn outcome(self) -> Outcome<()>;
}

impl Written for () {
    #[inline(always)]
    fn outcome(self) -> Outcome<()> {
        Outcome::Value(())
    }
}

impl Written for Option<()> {
    const NULLABLE: bool = true;

    #[inline(always)]
    fn outcome(self) -> Outcome<()> {
        self.map_or(Outcome::Null, Outcome::Value)
    }
}

impl<W: Written, E: Display> Written for Result<W, E> {
    const NULLABLE: bool = W::NULLABLE;

    #[inline(always)]
    fn outcome(self) -> Outcome<()> {
        match self {
            Ok(written) => written.outcome(),
            Err(error) => failed(&error),
        }
    }
}
