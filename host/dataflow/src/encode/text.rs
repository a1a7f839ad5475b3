//! What the text formats have in common: a column's values by row, and how those that are not text are written.

use crate::civil::{write_date, write_timestamp};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A column whose values can be written.
pub(super) struct Cells<'a> {
    pub(super) nulls: Option<&'a NullBuffer>,
    pub(super) values: Values<'a>,
}

/// The values by type.
pub(super) enum Values<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Utf8(&'a StringArray),
    Binary(&'a BinaryArray),
    Date32(&'a PrimitiveArray<Date32Type>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>, bool),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, u8),
}

/// What has been written of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// A number or a boolean.
    Bare,
    /// Text that needs no escapes.
    Plain,
    /// A float that is none: NaN or an infinity.
    NotFinite,
}

impl<'a> Cells<'a> {
    /// The cells of a column; none if it is of no type of ours.
    pub(super) fn new(column: &'a dyn Array) -> Option<Self> {
        let values = match column.data_type() {
            DataType::Boolean => Values::Bool(column.as_boolean_opt()?),
            DataType::Int8 => Values::Int8(column.as_primitive_opt()?),
            DataType::Int16 => Values::Int16(column.as_primitive_opt()?),
            DataType::Int32 => Values::Int32(column.as_primitive_opt()?),
            DataType::Int64 => Values::Int64(column.as_primitive_opt()?),
            DataType::UInt8 => Values::UInt8(column.as_primitive_opt()?),
            DataType::UInt16 => Values::UInt16(column.as_primitive_opt()?),
            DataType::UInt32 => Values::UInt32(column.as_primitive_opt()?),
            DataType::UInt64 => Values::UInt64(column.as_primitive_opt()?),
            DataType::Float32 => Values::Float32(column.as_primitive_opt()?),
            DataType::Float64 => Values::Float64(column.as_primitive_opt()?),
            DataType::Utf8 => Values::Utf8(column.as_string_opt()?),
            DataType::Binary => Values::Binary(column.as_binary_opt()?),
            DataType::Date32 => Values::Date32(column.as_primitive_opt()?),
            DataType::Timestamp(_, zone) => Values::Timestamp(column.as_primitive_opt()?, zone.is_some()),
            DataType::Decimal128(_, scale) => Values::Decimal128(column.as_primitive_opt()?, scale.cast_unsigned()),
            _ => return None,
        };
        Some(Self { nulls: column.nulls().filter(|nulls| nulls.null_count() > 0), values })
    }

    /// Whether row `row` is null.
    #[inline]
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

impl Values<'_> {
    /// Writes the value of row `row`, if it is not of type utf8.
    #[inline]
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> Written {
        match self {
            Self::Bool(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
                Written::Bare
            }
            Self::Int8(array) => integer(array.value(row), out),
            Self::Int16(array) => integer(array.value(row), out),
            Self::Int32(array) => integer(array.value(row), out),
            Self::Int64(array) => integer(array.value(row), out),
            Self::UInt8(array) => integer(array.value(row), out),
            Self::UInt16(array) => integer(array.value(row), out),
            Self::UInt32(array) => integer(array.value(row), out),
            Self::UInt64(array) => integer(array.value(row), out),
            Self::Float32(array) => float(array.value(row), array.value(row).is_finite(), out),
            Self::Float64(array) => float(array.value(row), array.value(row).is_finite(), out),
            Self::Utf8(_) => Written::Plain,
            Self::Binary(array) => {
                out.extend_from_slice(STANDARD.encode(array.value(row)).as_bytes());
                Written::Plain
            }
            Self::Date32(array) => {
                let days = array.value(row);
                if write_date(out, i64::from(days)) { Written::Plain } else { integer(days, out) }
            }
            Self::Timestamp(array, utc) => {
                let micros = array.value(row);
                if write_timestamp(out, micros, *utc) { Written::Plain } else { integer(micros, out) }
            }
            Self::Decimal128(array, scale) => {
                decimal(array.value(row), usize::from(*scale), out);
                Written::Bare
            }
        }
    }

    /// Whether [`Values::write`] writes text rather than a number, as a rule.
    pub(super) fn quoted(&self) -> bool {
        matches!(self, Self::Utf8(_) | Self::Binary(_) | Self::Date32(_) | Self::Timestamp(..))
    }
}

#[inline]
fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) -> Written {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    Written::Bare
}

#[inline]
fn float(value: impl zmij::Float, finite: bool, out: &mut Vec<u8>) -> Written {
    out.extend_from_slice(zmij::Buffer::new().format(value).as_bytes());
    if finite { Written::Bare } else { Written::NotFinite }
}

/// Writes an unscaled decimal with `scale` digits behind the point.
fn decimal(value: i128, scale: usize, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let whole = digits.len().saturating_sub(scale);
    let (whole, fraction) = digits.split_at_checked(whole).unwrap_or((digits, b""));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if scale > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', scale - fraction.len()));
        out.extend_from_slice(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_all_their_places() {
        for (value, scale, text) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (12_345, 2, "123.45"),
            (-7, 0, "-7"),
            (10_i128.pow(37), 38, "0.10000000000000000000000000000000000000"),
        ] {
            let mut out = Vec::new();
            decimal(value, scale, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
