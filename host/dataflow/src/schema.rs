//! Logical types as Arrow's: the one place where the two vocabularies meet.

use arrow_schema::{DataType, SchemaRef, TimeUnit};
use lockgate_core::types::{Field, LogicalType};
use std::sync::Arc;

/// The Arrow type of a logical type.
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
        // The scale is at most 38.
        LogicalType::Decimal128 { precision, scale } => DataType::Decimal128(precision, scale as i8),
    }
}

/// The Arrow field of a field; roles (attributes) stay behind.
pub fn arrow_field(field: &Field) -> arrow_schema::Field {
    arrow_schema::Field::new(&field.name, arrow_type(field.data_type), field.nullable)
}

/// The Arrow schema of these columns.
pub fn arrow_schema(fields: &[Field]) -> SchemaRef {
    Arc::new(arrow_schema::Schema::new(fields.iter().map(arrow_field).collect::<Vec<_>>()))
}
