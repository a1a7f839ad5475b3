//! Reading what sinks have committed, with other code than the host's, to plain values that a test can compare.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow_array::{Array, ArrayRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Records as JSON objects; numbers are exact, timestamps are microseconds.
pub type Rows = Vec<Map<String, Value>>;

/// The records of every committed file of a sink's folder, by slot, in the order of the epochs.
pub fn folder(path: &Path) -> BTreeMap<u32, Rows> {
    let Ok(entries) = std::fs::read_dir(path) else { return BTreeMap::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| !name(path).starts_with('.'));
    // NODE-RUN-SLOT-EPOCH.ENDING, the numbers of fixed width.
    files.sort();
    let mut slots: BTreeMap<u32, Rows> = BTreeMap::new();
    for file in files {
        let slot = name(&file).rsplit('-').nth(1).and_then(|slot| slot.parse().ok()).expect("a slot in the name");
        let rows = match file.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => parquet_columns(&file, &[]),
            Some("csv") => csv(&std::fs::read_to_string(&file).expect("text")),
            _ => json(&std::fs::read_to_string(&file).expect("text")),
        };
        slots.entry(slot).or_default().extend(rows);
    }
    slots
}

/// The records of a Parquet file, with all columns or those named.
pub fn parquet_columns(path: &Path, named: &[&str]) -> Rows {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
    let mut rows = Vec::new();
    for batch in reader.unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        let batch = batch.expect("a batch");
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let columns = schema.fields().iter().zip(batch.columns());
            let columns = columns.filter(|(field, _)| named.is_empty() || named.contains(&field.name().as_str()));
            rows.push(columns.map(|(field, column)| (field.name().clone(), value(column, row))).collect());
        }
    }
    rows
}

/// The records of RFC 4180 text with a header, all as text; an empty field is null.
pub fn csv(text: &str) -> Rows {
    let mut records: Vec<Vec<String>> = Vec::new();
    let (mut record, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.push(characters.next().expect("a quote")),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted && characters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            other => field.push(other),
        }
    }
    assert!(record.is_empty() && field.is_empty(), "the last record has no end");
    let mut records = records.into_iter();
    let header = records.next().unwrap_or_default();
    let value = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
    records.map(|record| header.iter().cloned().zip(record.into_iter().map(value)).collect()).collect()
}

fn json(text: &str) -> Rows {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn name(path: &Path) -> &str {
    path.file_stem().and_then(|name| name.to_str()).expect("a name")
}

fn value(column: &ArrayRef, row: usize) -> Value {
    use arrow_schema::DataType::{Binary, Boolean, Float64, Int64, Timestamp, UInt32, Utf8};
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        Boolean => column.as_boolean().value(row).into(),
        Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        Timestamp(_, _) => column.as_primitive::<TimestampMicrosecondType>().value(row).into(),
        Utf8 => column.as_string::<i32>().value(row).into(),
        Binary => column.as_binary::<i32>().value(row).iter().copied().map(Value::from).collect(),
        other => panic!("no test reads {other}"),
    }
}
