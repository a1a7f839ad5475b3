//! A schema from a sample of the data, for a person to look at once and then fixed in the signed manifest.
//!
//! It reads the first 10,000 records, or 16 MiB of text, of one split. What the sample does not show (a null, a larger
//! number further down) is a bad record later, not a reason to guess wider here.

use crate::Input;
use crate::civil::{parse_date, parse_timestamp};
use crate::columns::truncate;
use crate::decode::csv::Records;
use crate::decode::stream::Stream;
use crate::decode::{Limits, compression, parquet};
use lockgate_core::error::code;
use lockgate_core::plan::{Format, FormatKind, Plan};
use lockgate_core::types::{Field, LogicalType};
use lockgate_core::{Error, Result};
use memchr::memchr;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

const SAMPLE_RECORDS: usize = 10_000;
const SAMPLE_BYTES: u64 = 16 << 20;
/// The most bytes of an error's text.
const MAX_CAUSE: usize = 500;

/// The columns of a split named `split` (its ending decides `Compression::Auto`), as the format's decoder can read them.
///
/// Parquet says itself what it holds. Values of JSON and CSV become, whichever comes first and takes all of them: bool,
/// int64, uint64, float64, date32, timestamp, utf8; objects and arrays utf8 that holds their JSON. A column of JSON is
/// nullable if the sample has a null or lacks the key, one of CSV always. CSV without a header gets `column_1` and so on.
///
/// # Errors
/// `LG0711` with the column's name, else what reading the data gives.
pub fn infer(format: &Format, split: &str, input: &mut dyn Input) -> Result<Vec<Field>> {
    let fields = match &format.kind {
        FormatKind::Lines => vec![Field::new("line", LogicalType::Utf8, false)],
        FormatKind::Parquet => from_parquet(input)?,
        kind => {
            let mut stream = Stream::new(compression(format, split), Limits::DEFAULT)?;
            stream.seek(input, 0)?;
            match kind {
                FormatKind::Csv { header, delimiter, null } => from_csv(&mut stream, input, *header, *delimiter, null)?,
                _ => from_json(&mut stream, input)?,
            }
        }
    };
    if fields.is_empty() || fields.len() > Plan::MAX_COLUMNS {
        return Err(refuse(format!(
            "the sample has {} columns where there may be 1 to {}",
            fields.len(),
            Plan::MAX_COLUMNS
        )));
    }
    for (at, field) in fields.iter().enumerate() {
        let shown: String = field.name.chars().take(80).collect();
        if field.name.is_empty() || field.name.len() > Field::MAX_NAME || field.name.contains(char::is_control) {
            return Err(refuse(format!("the name of column {}, {shown:?}, is not allowed", at + 1)));
        }
        if fields.iter().take(at).any(|other| other.name == field.name) {
            return Err(refuse(format!("two columns are named {shown:?}")));
        }
    }
    Ok(fields)
}

/// Names of columns and the parsers' own words come from the data, however long.
fn refuse(cause: String) -> Error {
    Error::new(code::NOT_INFERRED, truncate(&cause, MAX_CAUSE))
}

fn from_parquet(input: &mut dyn Input) -> Result<Vec<Field>> {
    let reader = parquet::metadata(input)?;
    let field = |field: &arrow_schema::FieldRef| {
        let data_type = parquet::declared(field.data_type()).ok_or_else(|| {
            refuse(format!("column {:?} is of type {}, which is not supported", field.name(), field.data_type()))
                .help("declare the columns that you need in the source's schema and leave this one out")
        })?;
        Ok(Field::new(field.name(), data_type, field.is_nullable()))
    };
    reader.schema().fields().iter().map(field).collect()
}

fn from_csv(stream: &mut Stream, input: &mut dyn Input, header: bool, delimiter: u8, null: &str) -> Result<Vec<Field>> {
    let mut records = Records::new(delimiter, Limits::DEFAULT.record);
    let mut columns: Vec<(String, Kind)> = Vec::new();
    let mut seen = 0;
    while seen < SAMPLE_RECORDS && stream.offset() < SAMPLE_BYTES && records.next(stream, input)? {
        let text = simdutf8::basic::from_utf8(records.bytes())
            .map_err(|_| refuse(format!("record {} is not UTF-8", seen + 1)))?;
        let fields = (0..records.fields()).map(|at| records.field(text, at).unwrap_or_default());
        if seen == 0 {
            let name = |(at, text): (usize, &str)| {
                (if header { text.to_owned() } else { format!("column_{}", at + 1) }, Kind::Unknown)
            };
            columns = fields.clone().enumerate().map(name).collect();
        }
        if records.fields() != columns.len() {
            let (found, wanted) = (records.fields(), columns.len());
            return Err(refuse(format!("record {} has {found} fields where there should be {wanted}", seen + 1)));
        }
        if seen > 0 || !header {
            for ((_, kind), text) in columns.iter_mut().zip(fields).filter(|(_, text)| *text != null) {
                *kind = kind.with(Kind::of_text(text)).unwrap_or(Kind::Text);
            }
        }
        seen += 1;
    }
    Ok(columns.into_iter().map(|(name, kind)| Field::new(name, kind.logical(), true)).collect())
}

fn from_json(stream: &mut Stream, input: &mut dyn Input) -> Result<Vec<Field>> {
    struct Column {
        name: String,
        kind: Kind,
        records: usize,
    }
    let mut columns: Vec<Column> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let (mut seen, mut line) = (0, Vec::new());
    while seen < SAMPLE_RECORDS && stream.offset() < SAMPLE_BYTES && next_line(stream, input, &mut line)? {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        seen += 1;
        let Object(values) = serde_json::from_slice(&line)
            .map_err(|error| refuse(format!("record {seen} is not a JSON object: {error}")))?;
        for (name, kind) in values {
            let next = columns.len();
            let at = *places.entry(name.clone()).or_insert(next);
            if at == next {
                if next == Plan::MAX_COLUMNS {
                    return Err(refuse(format!("the sample has more than {next} columns")));
                }
                columns.push(Column { name: name.clone(), kind: Kind::Unknown, records: 0 });
            }
            let Some(column) = columns.get_mut(at) else { continue };
            let Some(kind) = kind else { continue };
            column.records += 1;
            column.kind = column.kind.with(kind).ok_or_else(|| {
                refuse(format!("column {name:?} has values of different types: {:?} and {kind:?}", column.kind))
            })?;
        }
    }
    let field = |column: Column| Field::new(column.name, column.kind.logical(), column.records < seen);
    Ok(columns.into_iter().map(field).collect())
}

/// Reads a line without its end; false at the end of the stream.
fn next_line(stream: &mut Stream, input: &mut dyn Input, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    loop {
        if stream.pending().is_empty() && !stream.fill(input)? {
            return Ok(!line.is_empty());
        }
        let end = memchr(b'\n', stream.pending());
        line.extend_from_slice(stream.pending().get(..end.unwrap_or(usize::MAX)).unwrap_or(stream.pending()));
        stream.consume(end.map_or(usize::MAX, |end| end + 1));
        if end.is_some() {
            return Ok(true);
        }
        if line.len() > Limits::DEFAULT.record {
            return Err(refuse("a line of the sample is longer than 16 MiB".to_owned()));
        }
    }
}

/// What values of a column have been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Unknown,
    Bool,
    /// Integers that fit int64; whether some were negative.
    Int {
        negative: bool,
    },
    /// Integers, none negative, some beyond int64.
    UInt,
    Float,
    Date,
    Timestamp {
        utc: bool,
    },
    Text,
    Nested,
}

impl Kind {
    fn of_number(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse::<i64>() {
            return Some(Self::Int { negative: value < 0 });
        }
        if text.parse::<u64>().is_ok() {
            return Some(Self::UInt);
        }
        let number = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
        (number && text.parse::<f64>().is_ok()).then_some(Self::Float)
    }

    /// Of a CSV field. Digits behind a leading zero are a code of some kind, not a number.
    fn of_text(text: &str) -> Self {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
        let code = matches!(digits, [b'0', b'0'..=b'9', ..]) || text.starts_with('+');
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Self::Bool;
        }
        Self::of_number(text).filter(|_| !code).unwrap_or_else(|| Self::of_string(text))
    }

    /// Of a JSON string.
    fn of_string(text: &str) -> Self {
        let text = text.as_bytes();
        if parse_date(text).is_some() {
            Self::Date
        } else if parse_timestamp(text, true).is_some() {
            Self::Timestamp { utc: true }
        } else if parse_timestamp(text, false).is_some() {
            Self::Timestamp { utc: false }
        } else {
            Self::Text
        }
    }

    /// What holds both; none if nothing does.
    fn with(self, other: Self) -> Option<Self> {
        use Kind::{Date, Float, Int, Text, Timestamp, UInt, Unknown};
        let text = |kind| matches!(kind, Date | Timestamp { .. } | Text);
        Some(match (self, other) {
            (Unknown, kind) | (kind, Unknown) => kind,
            (a, b) if a == b => a,
            (Int { .. }, Int { .. }) => Int { negative: true },
            (Int { negative: false }, UInt) | (UInt, Int { negative: false }) => UInt,
            (Float, Int { .. } | UInt) | (Int { .. } | UInt, Float) => Float,
            (a, b) if text(a) && text(b) => Text,
            _ => return None,
        })
    }

    fn logical(self) -> LogicalType {
        match self {
            Self::Bool => LogicalType::Bool,
            Self::Int { .. } => LogicalType::Int64,
            Self::UInt => LogicalType::UInt64,
            Self::Float => LogicalType::Float64,
            Self::Date => LogicalType::Date32,
            Self::Timestamp { utc } => LogicalType::Timestamp { utc },
            Self::Unknown | Self::Text | Self::Nested => LogicalType::Utf8,
        }
    }
}

/// The keys of an object with what their values are, in order.
struct Object(Vec<(String, Option<Kind>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut keys = Vec::new();
                while let Some(name) = map.next_key()? {
                    if keys.len() > Plan::MAX_COLUMNS {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    keys.push((name, kind_of(map.next_value::<&RawValue>()?.get())));
                }
                Ok(Object(keys))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Of a JSON value as it is written; none for null.
fn kind_of(raw: &str) -> Option<Kind> {
    match raw.as_bytes().first() {
        None | Some(b'n') => None,
        Some(b't' | b'f') => Some(Kind::Bool),
        Some(b'"') => {
            let text: Cow<'_, str> = serde_json::from_str(raw).unwrap_or_default();
            Some(Kind::of_string(&text))
        }
        Some(b'{' | b'[') => Some(Kind::Nested),
        Some(_) => Some(Kind::of_number(raw).unwrap_or(Kind::Float)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{Memory, csv, gzip};
    use lockgate_core::plan::Compression;

    fn inferred(kind: FormatKind, split: &str, bytes: impl Into<bytes::Bytes>) -> Result<Vec<String>> {
        let format = Format { kind, compression: Compression::Auto };
        let fields = infer(&format, split, &mut Memory::new(bytes))?;
        let shown =
            |field: Field| format!("{}: {}{}", field.name, field.data_type, if field.nullable { "?" } else { "" });
        Ok(fields.into_iter().map(shown).collect())
    }

    #[test]
    fn a_long_name_makes_no_long_error() {
        let name = "é".repeat(100_000);
        for text in [format!("{{\"{name}\":1}}\n{{\"{name}\":[]}}"), format!("{{\"{name}\":1}}")] {
            let error = inferred(FormatKind::Json, "x", text).unwrap_err();
            assert!(error.code() == code::NOT_INFERRED && error.cause().len() <= MAX_CAUSE, "{}", error.cause().len());
        }
    }

    #[test]
    fn json_by_its_values() {
        let text = r#"{"i":1,"u":1,"f":1,"b":true,"d":"2013-01-01","t":"2013-01-01T10:00:00Z","w":"2013-01-01 10:00:00","s":"2013-01-01","o":{}}

            {"i":-1,"u":18446744073709551615,"f":1e3,"b":false,"d":"2013-02-01","t":"2013-01-01T10:00:00+01:00","w":"2013-01-01T10:00:00","s":"x","o":{"a":1},"n":null,"late":2}"#;
        let expected = [
            "i: int64",
            "u: uint64",
            "f: float64",
            "b: bool",
            "d: date32",
            "t: timestamp[us, UTC]",
            "w: timestamp[us]",
            "s: utf8",
            "o: utf8",
            "n: utf8?",
            "late: int64?",
        ];
        assert_eq!(inferred(FormatKind::Json, "x", text).unwrap(), expected);
        assert_eq!(inferred(FormatKind::Json, "x.gz", gzip(text.as_bytes())).unwrap(), expected);
    }

    #[test]
    fn csv_by_its_values() {
        let text = "i,f,b,d,t,zip,s,none\n1,1,true,2013-01-01,2013-01-01T10:00:00Z,01234,x,\n,2.5,FALSE,,,5,\"7\",\n";
        let expected = [
            "i: int64?",
            "f: float64?",
            "b: bool?",
            "d: date32?",
            "t: timestamp[us, UTC]?",
            "zip: utf8?",
            "s: utf8?",
            "none: utf8?",
        ];
        assert_eq!(inferred(csv(true), "x", text).unwrap(), expected);
        assert_eq!(inferred(csv(false), "x", "1,a\n2,b").unwrap(), ["column_1: int64?", "column_2: utf8?"]);
    }

    #[test]
    fn lines_are_always_the_same() {
        assert_eq!(inferred(FormatKind::Lines, "x", "").unwrap(), ["line: utf8"]);
    }

    #[test]
    fn refuses_what_has_no_schema() {
        let refused = |kind, text: &str| {
            assert_eq!(inferred(kind, "x", text.to_owned()).unwrap_err().code(), code::NOT_INFERRED, "{text:.60}");
        };
        for text in [
            "",
            "[1]",
            "{\"a\":1}\n{\"a\":\"x\"}",
            "{\"a\":true}\n{\"a\":1}",
            "{\"\":1}",
            "{\"a\\n\":1}",
            "{\"a\":-1}\n{\"a\":18446744073709551615}",
            "{}",
        ] {
            refused(FormatKind::Json, text);
        }
        for text in ["", "a,a\n1,2", "a,b\n1", "a,\n1,2"] {
            refused(csv(true), text);
        }
        let keys: Vec<String> = (0..=Plan::MAX_COLUMNS).map(|n| format!("\"k{n}\":1")).collect();
        refused(FormatKind::Json, &format!("{{{}}}", keys.join(",")));
        refused(FormatKind::Json, &"x".repeat(17 << 20));
        assert_eq!(inferred(FormatKind::Parquet, "x", "PAR1").unwrap_err().code(), code::CORRUPT_PARQUET);
    }

    #[test]
    fn the_sample_is_bounded() {
        let mut text = "{\"a\":1}\n".repeat(SAMPLE_RECORDS);
        text.push_str("not looked at");
        assert_eq!(inferred(FormatKind::Json, "x", text).unwrap(), ["a: int64"]);
    }
}
