//! The casts that a `select` may ask for.
//!
//! | from | to | a value that does not fit |
//! |---|---|---|
//! | integer | integer, decimal | becomes null, where one can be out of range |
//! | integer, decimal | float | is rounded to the nearest |
//! | float, decimal | integer, decimal | becomes null |
//! | float | float | is rounded to the nearest |
//! | bool | integer, and back | 0 is false, all else true |
//! | everything but binary | utf8 | |
//! | utf8 | everything but binary | becomes null |
//! | utf8 | binary, and back | becomes null where it is not UTF-8 |
//! | date32 | timestamp, and back | becomes null out of range; back, the time of day is dropped |
//! | timestamp[us] | timestamp[us, UTC], and back | read as UTC |
//! | timestamp | int64 (µs), and back; date32 | int32 (days), and back | |
//!
//! Where a value can become null the new column is nullable.

use crate::types::LogicalType;

/// How a cast goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cast {
    /// Every value has an image, rounded perhaps.
    Total,
    /// A value may not fit and becomes null.
    Partial,
}

/// How values of `from` are cast to `to`; none where that is not allowed.
pub fn cast(from: LogicalType, to: LogicalType) -> Option<Cast> {
    use LogicalType::{Binary, Bool, Date32, Decimal128, Float32, Float64, Int32, Int64, Timestamp, Utf8};
    if from == to {
        return Some(Cast::Total);
    }
    let total = |holds: bool| Some(if holds { Cast::Total } else { Cast::Partial });
    match (from, to) {
        (Utf8, Binary) => Some(Cast::Total),
        (Binary, Utf8) => Some(Cast::Partial),
        (Binary, _) | (_, Binary) => None,
        (Utf8, _) => Some(Cast::Partial),
        (_, Utf8) => Some(Cast::Total),
        (Date32, Timestamp { .. }) => Some(Cast::Partial),
        (Timestamp { .. }, Date32 | Timestamp { .. } | Int64) | (Int64, Timestamp { .. }) => Some(Cast::Total),
        (Date32, Int32) | (Int32, Date32) => Some(Cast::Total),
        (Float32 | Float64, Float32 | Float64) => Some(Cast::Total),
        (Float32 | Float64, Decimal128 { .. }) => Some(Cast::Partial),
        (Float32 | Float64, to) => integer(to).map(|_| Cast::Partial),
        (Decimal128 { .. }, Float32 | Float64) => Some(Cast::Total),
        (Decimal128 { precision, scale }, Decimal128 { precision: wider, scale: finer }) => {
            // Rounding to a coarser scale can carry into one more digit.
            total(precision - scale + u8::from(finer < scale) <= wider - finer)
        }
        (Decimal128 { .. }, to) => integer(to).map(|_| Cast::Partial),
        (Bool, to) => integer(to).map(|_| Cast::Total),
        (from, Bool | Float32 | Float64) => integer(from).map(|_| Cast::Total),
        (from, Decimal128 { precision, scale }) => {
            let (signed, bits) = integer(from)?;
            total(digits(signed, bits) <= precision - scale)
        }
        (from, to) => {
            let ((signed, bits), (to_signed, to_bits)) = (integer(from)?, integer(to)?);
            total(if signed == to_signed { bits <= to_bits } else { !signed && bits < to_bits })
        }
    }
}

/// Whether it is signed, and its bits.
fn integer(logical: LogicalType) -> Option<(bool, u8)> {
    Some(match logical {
        LogicalType::Int8 => (true, 8),
        LogicalType::Int16 => (true, 16),
        LogicalType::Int32 => (true, 32),
        LogicalType::Int64 => (true, 64),
        LogicalType::UInt8 => (false, 8),
        LogicalType::UInt16 => (false, 16),
        LogicalType::UInt32 => (false, 32),
        LogicalType::UInt64 => (false, 64),
        _ => return None,
    })
}

/// The most decimal digits of an integer.
fn digits(signed: bool, bits: u8) -> u8 {
    match (bits, signed) {
        (8, _) => 3,
        (16, _) => 5,
        (32, _) => 10,
        (_, true) => 19,
        (_, false) => 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast_text(from: &str, to: &str) -> Option<Cast> {
        cast(from.parse().unwrap(), to.parse().unwrap())
    }

    #[test]
    fn follows_the_table() {
        for (from, to) in [
            ("int8", "int64"),
            ("uint32", "int64"),
            ("int64", "float32"),
            ("float64", "float32"),
            ("bool", "int8"),
            ("int32", "bool"),
            ("int64", "utf8"),
            ("utf8", "binary"),
            ("timestamp[us]", "date32"),
            ("timestamp[us]", "timestamp[us, UTC]"),
            ("int64", "timestamp[us]"),
            ("date32", "int32"),
            ("int64", "decimal128(19, 0)"),
            ("decimal128(5, 2)", "decimal128(7, 4)"),
            ("decimal128(5, 2)", "decimal128(5, 1)"),
            ("decimal128(5, 2)", "float64"),
            ("binary", "binary"),
        ] {
            assert_eq!(cast_text(from, to), Some(Cast::Total), "{from} {to}");
        }
        for (from, to) in [
            ("int64", "int32"),
            ("int64", "uint64"),
            ("uint64", "int64"),
            ("float64", "int64"),
            ("utf8", "int8"),
            ("utf8", "timestamp[us]"),
            ("binary", "utf8"),
            ("int64", "decimal128(18, 0)"),
            ("date32", "timestamp[us]"),
            ("decimal128(5, 2)", "decimal128(4, 1)".replace('4', "3").as_str()),
            ("decimal128(5, 2)", "int64"),
            ("float32", "decimal128(9, 2)"),
        ] {
            assert_eq!(cast_text(from, to), Some(Cast::Partial), "{from} {to}");
        }
        for (from, to) in [
            ("bool", "date32"),
            ("bool", "float64"),
            ("float64", "bool"),
            ("binary", "int64"),
            ("int32", "timestamp[us]"),
            ("date32", "int64"),
            ("decimal128(5, 2)", "bool"),
            ("float64", "timestamp[us]"),
            ("int64", "binary"),
        ] {
            assert_eq!(cast_text(from, to), None, "{from} {to}");
        }
    }
}
