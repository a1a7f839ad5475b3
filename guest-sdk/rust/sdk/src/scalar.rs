//! The types of the contract: how a value of each is read from a column and written to one.

use crate::argument::{Argument, Describe, Inputs, Logical, Scalar, bit, malformed, open_required};
use crate::decimal::Decimal;
use crate::describe::Field;
use crate::raw::Column;
use crate::result::{Cell, Emit, Outcome, Return};
use crate::time::{Date, Timestamp, TimestampUtc};
use crate::writer::{BoolBuilder, BytesWriter, FixedBuilder, TextWriter, Writer};
use std::borrow::Cow;

/// What every type of one column has in common: it describes itself, is a whole result, and may be in an `Option`.
macro_rules! column {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> Describe for $type {
            fn fields(name: &str, fields: &mut Vec<Field>) {
                fields.push(Field::new(name, Self::logical(), false));
            }
        }

        impl<$($generics)*> Cell for $type {}

        impl<$($generics)*> Return for $type {
            type Value = Self;

            const TOTAL: bool = true;

            #[inline(always)]
            fn outcome(self) -> Outcome<Self> {
                Outcome::Value(self)
            }
        }
    };
}

/// A type of fixed width: `decode` and `encode` convert from and to little-endian bytes.
macro_rules! fixed {
    ([$($generics:tt)*] $type:ty, $width:literal, $logical:expr, $decode:expr, $encode:expr) => {
        impl<$($generics)*> Logical for $type {
            fn logical() -> String {
                $logical
            }
        }

        impl<'a, $($generics)*> Scalar<'a> for $type {
            type Values = &'a [[u8; $width]];

            #[inline]
            fn values(column: &'a Column, rows: usize) -> Result<Self::Values, String> {
                values(column, rows)
            }

            #[inline(always)]
            fn value(values: &Self::Values, row: usize) -> Self {
                match values.get(row) {
                    Some(bytes) => $decode(*bytes),
                    None => malformed(),
                }
            }
        }

        impl<'a, $($generics)*> Argument<'a> for $type {
            type Reader = &'a [[u8; $width]];

            const WIDTH: Option<usize> = Some($width);

            #[inline]
            fn open(inputs: &mut Inputs<'a>) -> Result<Self::Reader, String> {
                open_required::<Self>(inputs)
            }

            #[inline(always)]
            fn read(reader: &Self::Reader, row: usize) -> Self {
                Self::value(reader, row)
            }

            #[inline(always)]
            fn decode(bytes: &[u8]) -> Self {
                match bytes.first_chunk() {
                    Some(bytes) => $decode(*bytes),
                    None => malformed(),
                }
            }
        }

        impl<$($generics)*> Emit for $type {
            type Builder = FixedBuilder<$width>;

            const WIDTH: Option<usize> = Some($width);

            #[inline(always)]
            fn emit(self, builder: &mut Self::Builder) {
                builder.push($encode(self));
            }

            #[inline(always)]
            fn fill(rows: usize, mut value: impl FnMut(usize) -> Self) -> Self::Builder {
                FixedBuilder::of((0..rows).map(|row| $encode(value(row))))
            }

            #[inline(always)]
            fn encode(self, bytes: &mut [u8]) {
                match bytes.first_chunk_mut() {
                    Some(bytes) => *bytes = $encode(self),
                    None => malformed(),
                }
            }
        }

        column!([$($generics)*] $type);
    };
}

macro_rules! number {
    ($type:ty, $width:literal, $logical:literal) => {
        fixed!([] $type, $width, $logical.to_owned(), <$type>::from_le_bytes, <$type>::to_le_bytes);
    };
}

number!(i8, 1, "int8");
number!(i16, 2, "int16");
number!(i32, 4, "int32");
number!(i64, 8, "int64");
number!(u8, 1, "uint8");
number!(u16, 2, "uint16");
number!(u32, 4, "uint32");
number!(u64, 8, "uint64");
number!(f32, 4, "float32");
number!(f64, 8, "float64");
fixed!(
    [] Date, 4, "date32".to_owned(),
    |bytes| Date::from_days(i32::from_le_bytes(bytes)),
    |value: Date| value.days().to_le_bytes()
);
fixed!(
    [] Timestamp, 8, "timestamp[us]".to_owned(),
    |bytes| Timestamp::from_micros(i64::from_le_bytes(bytes)),
    |value: Timestamp| value.micros().to_le_bytes()
);
fixed!(
    [] TimestampUtc, 8, "timestamp[us, UTC]".to_owned(),
    |bytes| TimestampUtc::from_micros(i64::from_le_bytes(bytes)),
    |value: TimestampUtc| value.micros().to_le_bytes()
);
fixed!(
    [const P: u8, const S: u8] Decimal<P, S>, 16, format!("decimal128({P}, {S})"),
    |bytes| Decimal::from_column(i128::from_le_bytes(bytes)),
    |value: Decimal<P, S>| value.unscaled().to_le_bytes()
);

/// The only buffer of a column of fixed width.
#[inline]
fn values<const N: usize>(column: &Column, rows: usize) -> Result<&[[u8; N]], String> {
    match column.buffers.as_slice() {
        [data] => match data.as_chunks() {
            // Cut to the number of rows, so that the compiler sees that the loop stays within.
            (values, []) if values.len() == rows => values.get(..rows).ok_or_else(|| wrong_size(rows)),
            _ => Err(wrong_size(rows)),
        },
        _ => Err("a column of fixed width has one buffer".to_owned()),
    }
}

#[cold]
fn wrong_size(rows: usize) -> String {
    format!("a buffer is not as long as {rows} rows are")
}

impl Logical for bool {
    fn logical() -> String {
        "bool".to_owned()
    }
}

impl<'a> Scalar<'a> for bool {
    type Values = &'a [u8];

    fn values(column: &'a Column, rows: usize) -> Result<Self::Values, String> {
        match column.buffers.as_slice() {
            [bits] if bits.len() == rows.div_ceil(8) => Ok(bits),
            [_] => Err(wrong_size(rows)),
            _ => Err("a column of bool has one buffer".to_owned()),
        }
    }

    #[inline(always)]
    fn value(values: &Self::Values, row: usize) -> Self {
        bit(values, row)
    }
}

impl Emit for bool {
    type Builder = BoolBuilder;

    #[inline(always)]
    fn emit(self, builder: &mut Self::Builder) {
        builder.push(self);
    }
}

column!([] bool);

/// The offsets and the data of a column of variable width; one offset more than there are rows.
#[inline]
fn ranges(column: &Column, rows: usize) -> Result<(&[[u8; 4]], &[u8]), String> {
    match column.buffers.as_slice() {
        [offsets, data] => match offsets.as_chunks() {
            (offsets, []) if offsets.len().checked_sub(1) == Some(rows) => Ok((offsets, data)),
            _ => Err(wrong_size(rows)),
        },
        _ => Err("a column of text or bytes has two buffers".to_owned()),
    }
}

/// Where the value in `row` lies.
#[inline(always)]
fn range(offsets: &[[u8; 4]], row: usize) -> std::ops::Range<usize> {
    match (offsets.get(row), offsets.get(row + 1)) {
        (Some(start), Some(end)) => u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize,
        _ => malformed(),
    }
}

/// A column of text: checked as a whole once, so that a row is a cut at two character boundaries.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    offsets: &'a [[u8; 4]],
    text: &'a str,
}

/// A column of byte strings.
#[derive(Clone, Copy, Debug)]
pub struct Blobs<'a> {
    offsets: &'a [[u8; 4]],
    data: &'a [u8],
}

impl Logical for &str {
    fn logical() -> String {
        "utf8".to_owned()
    }
}

impl<'a> Scalar<'a> for &'a str {
    type Values = Texts<'a>;

    fn values(column: &'a Column, rows: usize) -> Result<Self::Values, String> {
        let (offsets, data) = ranges(column, rows)?;
        let text = std::str::from_utf8(data).map_err(|error| format!("a column of text is not UTF-8: {error}"))?;
        Ok(Texts { offsets, text })
    }

    #[inline(always)]
    fn value(values: &Self::Values, row: usize) -> Self {
        match values.text.get(range(values.offsets, row)) {
            Some(text) => text,
            None => malformed(),
        }
    }
}

impl Emit for &str {
    type Builder = TextWriter;

    #[inline(always)]
    fn emit(self, builder: &mut Self::Builder) {
        builder.push_str(self);
        builder.end_row();
    }
}

impl Logical for &[u8] {
    fn logical() -> String {
        "binary".to_owned()
    }
}

impl<'a> Scalar<'a> for &'a [u8] {
    type Values = Blobs<'a>;

    fn values(column: &'a Column, rows: usize) -> Result<Self::Values, String> {
        let (offsets, data) = ranges(column, rows)?;
        Ok(Blobs { offsets, data })
    }

    #[inline(always)]
    fn value(values: &Self::Values, row: usize) -> Self {
        match values.data.get(range(values.offsets, row)) {
            Some(data) => data,
            None => malformed(),
        }
    }
}

impl Emit for &[u8] {
    type Builder = BytesWriter;

    #[inline(always)]
    fn emit(self, builder: &mut Self::Builder) {
        builder.push(self);
        builder.end_row();
    }
}

column!([] & str);
column!([] & [u8]);

/// A type that is read and written as the borrowed one of the same column.
macro_rules! variable {
    ([$($generics:tt)*] $type:ty, $lifetime:lifetime, $borrowed:ty, $builder:ty, $own:expr) => {
        impl<$($generics)*> Logical for $type {
            fn logical() -> String {
                <&$borrowed>::logical()
            }
        }

        impl<$lifetime> Scalar<$lifetime> for $type {
            type Values = <&$lifetime $borrowed as Scalar<$lifetime>>::Values;

            fn values(column: &$lifetime Column, rows: usize) -> Result<Self::Values, String> {
                <&$lifetime $borrowed>::values(column, rows)
            }

            #[inline(always)]
            fn value(values: &Self::Values, row: usize) -> Self {
                $own(<&$lifetime $borrowed>::value(values, row))
            }
        }

        impl<$($generics)*> Emit for $type {
            type Builder = $builder;

            #[inline(always)]
            fn emit(self, builder: &mut Self::Builder) {
                let borrowed: &$borrowed = self.as_ref();
                borrowed.emit(builder);
            }
        }

        column!([$($generics)*] $type);
    };
}

variable!([] String, 'a, str, TextWriter, str::to_owned);
variable!([] Vec<u8>, 'a, [u8], BytesWriter, <[u8]>::to_vec);
variable!(['a] Cow<'a, str>, 'a, str, TextWriter, Cow::Borrowed);
variable!(['a] Cow<'a, [u8]>, 'a, [u8], BytesWriter, Cow::Borrowed);

/// A required column of any width.
macro_rules! argument {
    ($($type:ty),*) => {$(
        impl<'a> Argument<'a> for $type {
            type Reader = <Self as Scalar<'a>>::Values;

            #[inline]
            fn open(inputs: &mut Inputs<'a>) -> Result<Self::Reader, String> {
                open_required::<Self>(inputs)
            }

            #[inline(always)]
            fn read(reader: &Self::Reader, row: usize) -> Self {
                Self::value(reader, row)
            }
        }
    )*};
}

argument!(bool, &'a str, String, &'a [u8], Vec<u8>, Cow<'a, str>, Cow<'a, [u8]>);
