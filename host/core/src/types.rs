//! Logical types, fields and function descriptions: what `describe` says and the graph is checked against.
//!
//! Types are text on the wire, so that a new one breaks nobody; here they are parsed once into [`LogicalType`].

use crate::error::{Error, Result, code};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A logical type of `lockgate:udf`, named as Arrow names them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LogicalType {
    /// One bit a value.
    Bool,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// Unsigned, 8 bits.
    UInt8,
    /// Unsigned, 16 bits.
    UInt16,
    /// Unsigned, 32 bits.
    UInt32,
    /// Unsigned, 64 bits.
    UInt64,
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary64.
    Float64,
    /// UTF-8 text with 32-bit offsets.
    Utf8,
    /// Bytes with 32-bit offsets.
    Binary,
    /// Days since 1970-01-01, 32 bits.
    Date32,
    /// Microseconds since 1970-01-01T00:00:00, 64 bits; `utc` tells an instant from a wall-clock reading.
    Timestamp {
        /// Whether it is an instant (UTC) or has no zone.
        utc: bool,
    },
    /// A decimal of `precision` digits (1 to 38), `scale` of them (0 to `precision`) behind the point; 128 bits.
    Decimal128 {
        /// All digits.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
}

impl LogicalType {
    /// Bytes a value, where values have a fixed width of whole bytes.
    pub const fn width(self) -> Option<usize> {
        Some(match self {
            Self::Int8 | Self::UInt8 => 1,
            Self::Int16 | Self::UInt16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float32 | Self::Date32 => 4,
            Self::Int64 | Self::UInt64 | Self::Float64 | Self::Timestamp { .. } => 8,
            Self::Decimal128 { .. } => 16,
            Self::Bool | Self::Utf8 | Self::Binary => return None,
        })
    }

    /// How many buffers a column of this type has, validity apart.
    pub const fn buffers(self) -> usize {
        match self {
            Self::Utf8 | Self::Binary => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::UInt8 => "uint8",
            Self::UInt16 => "uint16",
            Self::UInt32 => "uint32",
            Self::UInt64 => "uint64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Utf8 => "utf8",
            Self::Binary => "binary",
            Self::Date32 => "date32",
            Self::Timestamp { utc: false } => "timestamp[us]",
            Self::Timestamp { utc: true } => "timestamp[us, UTC]",
            Self::Decimal128 { precision, scale } => {
                return write!(f, "decimal128({precision}, {scale})");
            }
        })
    }
}

impl fmt::Debug for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a type of the contract may begin with that this version knows but does not run.
const LATER: &[&str] = &[
    "list<",
    "large_list<",
    "fixed_size_list<",
    "struct<",
    "map<",
    "null",
    "large_utf8",
    "large_binary",
    "time32[",
    "time64[",
    "timestamp[",
    "duration[",
    "interval[",
    "date64",
    "float16",
    "decimal256(",
    "dictionary<",
    "fixed_size_binary[",
    "utf8_view",
    "binary_view",
];

impl std::str::FromStr for LogicalType {
    type Err = Error;

    /// # Errors
    /// `LG0201` if it is not a type of the contract, `LG0202` if it is one that this version does not run.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint8" => Self::UInt8,
            "uint16" => Self::UInt16,
            "uint32" => Self::UInt32,
            "uint64" => Self::UInt64,
            "float32" => Self::Float32,
            "float64" => Self::Float64,
            "utf8" => Self::Utf8,
            "binary" => Self::Binary,
            "date32" => Self::Date32,
            "timestamp[us]" => Self::Timestamp { utc: false },
            "timestamp[us, UTC]" => Self::Timestamp { utc: true },
            _ => return decimal(text).ok_or_else(|| refuse(text)),
        })
    }
}

fn decimal(text: &str) -> Option<LogicalType> {
    let (precision, scale) = text.strip_prefix("decimal128(")?.strip_suffix(')')?.split_once(", ")?;
    let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
    let parsed = LogicalType::Decimal128 { precision, scale };
    // One spelling only: "+3" and "03" parse as numbers too.
    ((1..=38).contains(&precision) && scale <= precision && parsed.to_string() == text).then_some(parsed)
}

fn refuse(text: &str) -> Error {
    let shown: String = text.chars().take(80).collect();
    if LATER.iter().any(|prefix| text.starts_with(prefix)) {
        Error::new(code::UNSUPPORTED_TYPE, format!("type {shown:?} is not supported yet"))
    } else {
        let error = Error::new(code::UNKNOWN_TYPE, format!("{shown:?} is not a logical type"));
        match meant(text) {
            Some(meant) => error.help(format!("did you mean `{meant}`?")),
            None => error,
        }
    }
}

/// What SQL, Rust or Python call otherwise.
fn meant(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "float" | "double" | "f64" | "number" => "float64",
        "real" | "f32" => "float32",
        "int" | "integer" | "long" | "bigint" | "i64" => "int64",
        "i32" => "int32",
        "string" | "str" | "text" | "varchar" | "char" => "utf8",
        "boolean" => "bool",
        "bytes" | "blob" | "bytea" | "varbinary" => "binary",
        "date" => "date32",
        "timestamp" | "datetime" => "timestamp[us]",
        "timestamptz" => "timestamp[us, UTC]",
        "decimal" | "numeric" => "decimal128(38, 10)",
        _ => return None,
    })
}

impl TryFrom<String> for LogicalType {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<LogicalType> for String {
    fn from(logical: LogicalType) -> Self {
        logical.to_string()
    }
}

/// A column of a table: its name, type and whether it may hold nulls.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The column's name: any text of 1 to [`Field::MAX_NAME`] bytes without control characters.
    pub name: String,
    /// Its logical type.
    #[serde(rename = "type")]
    pub data_type: LogicalType,
    /// Whether it may hold nulls.
    #[serde(default)]
    pub nullable: bool,
    /// Open roles (`rowtime`, `key`, `row-kind`), in the order that the component gave them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

impl Field {
    /// The longest column name, in bytes.
    pub const MAX_NAME: usize = 255;

    /// A field without attributes.
    pub fn new(name: impl Into<String>, data_type: LogicalType, nullable: bool) -> Self {
        Self { name: name.into(), data_type, nullable, attributes: Vec::new() }
    }
}

/// A named input or output of a function.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// The port's name.
    pub name: String,
    /// Its columns.
    pub fields: Vec<Field>,
}

/// What a component says of one of its functions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionDescription {
    /// The function's name, unique in its component.
    pub name: String,
    /// The kind, "transform" for now.
    pub kind: String,
    /// Its inputs. One for now.
    pub inputs: Vec<Port>,
    /// Its outputs; the first is the main one, the others are side outputs.
    pub outputs: Vec<Port>,
    /// Open attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_what_they_write() {
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
            assert_eq!(text.parse::<LogicalType>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_unknown_and_unsupported_types() {
        for text in
            ["", "int", "Int64", "decimal128(0, 0)", "decimal128(39, 0)", "decimal128(3, 4)", "decimal128(03, 1)"]
        {
            assert_eq!(text.parse::<LogicalType>().unwrap_err().code(), code::UNKNOWN_TYPE, "{text}");
        }
        for text in ["list<item: float64>", "timestamp[ns]", "map<utf8, utf8>", "large_utf8"] {
            assert_eq!(text.parse::<LogicalType>().unwrap_err().code(), code::UNSUPPORTED_TYPE, "{text}");
        }
    }
}
