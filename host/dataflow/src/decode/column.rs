//! A column that is being filled from text.

use super::value::{decimal, integer};
use crate::civil::{parse_date, parse_timestamp};
use crate::schema::arrow_type;
use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, Decimal128Builder, PrimitiveBuilder, StringBuilder,
};
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::error::code;
use lockgate_core::types::{Field, LogicalType};
use lockgate_core::{Error, Result};

/// A value of a JSON record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// `null`, or no such key.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    /// A string, escapes resolved.
    Text(&'a str),
    /// An object or array, as it is written.
    Nested(&'a str),
}

enum Values {
    Bool(BooleanBuilder),
    Int8(PrimitiveBuilder<Int8Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    UInt8(PrimitiveBuilder<UInt8Type>),
    UInt16(PrimitiveBuilder<UInt16Type>),
    UInt32(PrimitiveBuilder<UInt32Type>),
    UInt64(PrimitiveBuilder<UInt64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Utf8(StringBuilder),
    Binary(BinaryBuilder),
    Date32(PrimitiveBuilder<Date32Type>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>, bool),
    Decimal128(Decimal128Builder, u8, u8),
}

/// Runs the same expression on whichever builder it is.
macro_rules! each {
    ($values:expr, $builder:ident => $body:expr) => {
        match $values {
            Values::Bool($builder) => $body,
            Values::Int8($builder) => $body,
            Values::Int16($builder) => $body,
            Values::Int32($builder) => $body,
            Values::Int64($builder) => $body,
            Values::UInt8($builder) => $body,
            Values::UInt16($builder) => $body,
            Values::UInt32($builder) => $body,
            Values::UInt64($builder) => $body,
            Values::Float32($builder) => $body,
            Values::Float64($builder) => $body,
            Values::Utf8($builder) => $body,
            Values::Binary($builder) => $body,
            Values::Date32($builder) => $body,
            Values::Timestamp($builder, _) => $body,
            Values::Decimal128($builder, ..) => $body,
        }
    };
}

/// A column that is being filled.
pub(super) struct Column {
    field: Field,
    values: Values,
}

impl Column {
    /// An empty column with room for `rows` values and, if they vary in length, `bytes` bytes of them.
    pub(super) fn new(field: &Field, rows: usize, bytes: usize) -> Self {
        let values = match field.data_type {
            LogicalType::Bool => Values::Bool(BooleanBuilder::with_capacity(rows)),
            LogicalType::Int8 => Values::Int8(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::Int16 => Values::Int16(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::Int32 => Values::Int32(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::Int64 => Values::Int64(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::UInt8 => Values::UInt8(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::UInt16 => Values::UInt16(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::UInt32 => Values::UInt32(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::UInt64 => Values::UInt64(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::Float32 => Values::Float32(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::Float64 => Values::Float64(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::Utf8 => Values::Utf8(StringBuilder::with_capacity(rows, bytes)),
            LogicalType::Binary => Values::Binary(BinaryBuilder::with_capacity(rows, bytes)),
            LogicalType::Date32 => Values::Date32(PrimitiveBuilder::with_capacity(rows)),
            LogicalType::Timestamp { utc } => Values::Timestamp(
                PrimitiveBuilder::with_capacity(rows).with_data_type(arrow_type(field.data_type)),
                utc,
            ),
            LogicalType::Decimal128 { precision, scale } => Values::Decimal128(
                Decimal128Builder::with_capacity(rows).with_data_type(arrow_type(field.data_type)),
                precision,
                scale,
            ),
        };
        Self { field: field.clone(), values }
    }

    /// Bytes of the values that vary in length.
    pub(super) fn bytes(&self) -> usize {
        match &self.values {
            Values::Utf8(builder) => builder.values_slice().len(),
            Values::Binary(builder) => builder.values_slice().len(),
            _ => 0,
        }
    }

    /// Appends a placeholder for a record that failed; the row is taken out again before anybody sees it.
    pub(super) fn spoil(&mut self) {
        each!(&mut self.values, builder => builder.append_null());
    }

    /// Appends a value of a JSON record.
    ///
    /// # Errors
    /// `LG0703`; nothing has been appended.
    pub(super) fn json(&mut self, cell: Cell<'_>) -> Result<()> {
        let done = match (&mut self.values, cell) {
            (_, Cell::Null) => return self.null(),
            (Values::Utf8(builder), Cell::Text(text) | Cell::Nested(text)) => {
                put(Some(text), |v| builder.append_value(v))
            }
            (Values::Bool(builder), Cell::Bool(value)) => put(Some(value), |v| builder.append_value(v)),
            (
                Values::Binary(_) | Values::Date32(_) | Values::Timestamp(..) | Values::Decimal128(..),
                Cell::Text(text),
            )
            | (_, Cell::Number(text)) => match &self.values {
                Values::Bool(_) | Values::Utf8(_) | Values::Binary(_) if matches!(cell, Cell::Number(_)) => None,
                _ => self.parse(text),
            },
            _ => None,
        };
        done.ok_or_else(|| match cell {
            Cell::Null => self.misfit("null"),
            Cell::Bool(value) => self.misfit(if value { "true" } else { "false" }),
            Cell::Number(text) | Cell::Nested(text) => self.misfit(text),
            Cell::Text(text) => self.misfit(&format!("{:?}", shorten(text))),
        })
    }

    /// Appends a field of a CSV record; `null` is the text that stands for null.
    ///
    /// A column that is not nullable takes that text as it takes any other.
    ///
    /// # Errors
    /// `LG0703`; nothing has been appended.
    pub(super) fn csv(&mut self, text: &str, null: &str) -> Result<()> {
        if self.field.nullable && text == null {
            return self.null();
        }
        let done = match &mut self.values {
            Values::Utf8(builder) => put(Some(text), |v| builder.append_value(v)),
            Values::Bool(builder) if text.eq_ignore_ascii_case("true") => put(Some(true), |v| builder.append_value(v)),
            Values::Bool(builder) if text.eq_ignore_ascii_case("false") => {
                put(Some(false), |v| builder.append_value(v))
            }
            Values::Bool(_) => None,
            _ => self.parse(text),
        };
        done.ok_or_else(|| self.misfit(&format!("{:?}", shorten(text))))
    }

    /// The finished array.
    pub(super) fn finish(mut self) -> ArrayRef {
        each!(&mut self.values, builder => ArrayBuilder::finish(builder))
    }

    fn null(&mut self) -> Result<()> {
        if !self.field.nullable {
            return Err(Error::new(
                code::BAD_VALUE,
                format!("column {:?} is not nullable, but the record has no value for it", self.field.name),
            )
            .help(format!(
                "declare it as `{}: {}?`, or name a sink for such records in `on-error` of the source",
                self.field.name, self.field.data_type
            )));
        }
        self.spoil();
        Ok(())
    }

    /// Appends what the text says in the notation that CSV and JSON share.
    fn parse(&mut self, text: &str) -> Option<()> {
        match &mut self.values {
            Values::Bool(_) | Values::Utf8(_) => None,
            Values::Int8(builder) => put(integer(text), |v| builder.append_value(v)),
            Values::Int16(builder) => put(integer(text), |v| builder.append_value(v)),
            Values::Int32(builder) => put(integer(text), |v| builder.append_value(v)),
            Values::Int64(builder) => put(integer(text), |v| builder.append_value(v)),
            Values::UInt8(builder) => put(integer(text), |v| builder.append_value(v)),
            Values::UInt16(builder) => put(integer(text), |v| builder.append_value(v)),
            Values::UInt32(builder) => put(integer(text), |v| builder.append_value(v)),
            Values::UInt64(builder) => put(integer(text), |v| builder.append_value(v)),
            // Straight from the text: by way of f64 an f32 would be rounded twice. Digits do not make an infinity.
            Values::Float32(builder) => {
                put(text.parse().ok().filter(|v: &f32| !v.is_infinite() || named(text)), |v| builder.append_value(v))
            }
            Values::Float64(builder) => {
                put(text.parse().ok().filter(|v: &f64| !v.is_infinite() || named(text)), |v| builder.append_value(v))
            }
            Values::Binary(builder) => put(STANDARD.decode(text).ok(), |v| builder.append_value(v)),
            Values::Date32(builder) => {
                put(parse_date(text.as_bytes()).or_else(|| integer(text)), |v| builder.append_value(v))
            }
            Values::Timestamp(builder, utc) => {
                put(parse_timestamp(text.as_bytes(), *utc).or_else(|| integer(text)), |v| builder.append_value(v))
            }
            Values::Decimal128(builder, precision, scale) => {
                put(decimal(text, *precision, *scale), |v| builder.append_value(v))
            }
        }
    }

    fn misfit(&self, shown: &str) -> Error {
        let Field { name, data_type, .. } = &self.field;
        Error::new(code::BAD_VALUE, format!("column {name:?}: {} is not of type {data_type}", shorten(shown)))
    }
}

fn put<T>(value: Option<T>, append: impl FnOnce(T)) -> Option<()> {
    value.map(append)
}

fn named(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_digit())
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}
