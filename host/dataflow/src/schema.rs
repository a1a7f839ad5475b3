//! Our fields and types as Arrow has them, and back.
//!
//! Ours are a subset with one Arrow type each: utf8 and binary with 32-bit offsets, timestamps in microseconds, an
//! instant's zone always "UTC". Attributes stay behind: Arrow arrays do not need them.

use arrow_schema::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use lockgate_core::types::{Field, LogicalType};
use std::sync::Arc;

/// The one Arrow type of a logical type.
pub fn arrow_type(logical: LogicalType) -> DataType {
    match logical {
        LogicalType::Bool => DataType::Boolean,
        LogicalType::Int8 => DataType::Int8,
        LogicalType::Int16 => DataType::Int16,
        LogicalType::Int32 => DataType::Int32,
        LogicalType::Int64 => DataType::Int64,
        LogicalType::UInt8 => DataType::UInt8,
        LogicalType::UInt16 => DataType::UInt16,
        LogicalType::UInt32 => DataType::UInt32,
        LogicalType::UInt64 => DataType::UInt64,
        LogicalType::Float32 => DataType::Float32,
        LogicalType::Float64 => DataType::Float64,
        LogicalType::Utf8 => DataType::Utf8,
        LogicalType::Binary => DataType::Binary,
        LogicalType::Date32 => DataType::Date32,
        LogicalType::Timestamp { utc } => DataType::Timestamp(TimeUnit::Microsecond, utc.then(|| "UTC".into())),
        // A scale is at most 38: it fits.
        LogicalType::Decimal128 { precision, scale } => DataType::Decimal128(precision, scale.cast_signed()),
    }
}

/// The logical type that is exactly this Arrow type; none if there is none.
pub fn logical_type(arrow: &DataType) -> Option<LogicalType> {
    Some(match arrow {
        DataType::Boolean => LogicalType::Bool,
        DataType::Int8 => LogicalType::Int8,
        DataType::Int16 => LogicalType::Int16,
        DataType::Int32 => LogicalType::Int32,
        DataType::Int64 => LogicalType::Int64,
        DataType::UInt8 => LogicalType::UInt8,
        DataType::UInt16 => LogicalType::UInt16,
        DataType::UInt32 => LogicalType::UInt32,
        DataType::UInt64 => LogicalType::UInt64,
        DataType::Float32 => LogicalType::Float32,
        DataType::Float64 => LogicalType::Float64,
        DataType::Utf8 => LogicalType::Utf8,
        DataType::Binary => LogicalType::Binary,
        DataType::Date32 => LogicalType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None) => LogicalType::Timestamp { utc: false },
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
            LogicalType::Timestamp { utc: true }
        }
        &DataType::Decimal128(precision, scale) => {
            let scale = u8::try_from(scale).ok().filter(|scale| *scale <= precision)?;
            LogicalType::Decimal128 { precision, scale }
        }
        _ => return None,
    })
}

/// A field as Arrow has it.
pub fn arrow_field(field: &Field) -> ArrowField {
    ArrowField::new(&field.name, arrow_type(field.data_type), field.nullable)
}

/// The Arrow schema of these fields, in order.
pub fn arrow_schema(fields: &[Field]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(arrow_field).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_arrow_type_and_comes_back() {
        for text in [
            "bool",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float32",
            "float64",
            "utf8",
            "binary",
            "date32",
            "timestamp[us]",
            "timestamp[us, UTC]",
            "decimal128(38, 0)",
            "decimal128(10, 10)",
        ] {
            let logical: LogicalType = text.parse().unwrap();
            assert_eq!(logical_type(&arrow_type(logical)), Some(logical), "{text}");
        }
    }

    #[test]
    fn other_arrow_types_are_not_ours() {
        for other in [
            DataType::LargeUtf8,
            DataType::Timestamp(TimeUnit::Millisecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("+01:00".into())),
            DataType::Decimal128(10, -2),
            DataType::Null,
        ] {
            assert_eq!(logical_type(&other), None, "{other}");
        }
    }
}
