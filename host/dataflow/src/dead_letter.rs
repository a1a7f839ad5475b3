//! Dead letters: records that failed, as batches of [`dead_letter_fields`].
//!
//! Every part of a letter is bounded, so that a guest's long message or a record of a hundred megabytes costs the sink
//! a few kilobytes.

use crate::columns::truncate;
use crate::schema::arrow_schema;
use crate::select::with_offset;
use arrow_array::builder::{StringBuilder, UInt64Builder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, SchemaRef};
use lockgate_core::error::{Code, Error, Result, code};
use lockgate_core::plan::dead_letter_fields;
use std::fmt::Write;
use std::sync::Arc;

/// The most bytes of a letter's `message`, and of its `backtrace`.
const MAX_TEXT: usize = 4096;
/// The most bytes of a letter's `input`.
pub const MAX_INPUT: usize = 4096;
/// Letters in a full batch.
const MAX_LETTERS: usize = 1024;

/// One record that failed.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The node where it failed.
    pub node: &'a str,
    /// The component's digest (its name where there is none) and the function's name, if a function refused it.
    pub function: Option<(&'a str, &'a str)>,
    /// The split, with its source's name.
    pub split: &'a str,
    /// The record in the split.
    pub row: u64,
    /// Why.
    pub code: Code,
    /// Why, in words.
    pub message: &'a str,
    /// The guest's stack.
    pub backtrace: Option<&'a str>,
    /// Fuel that the call used.
    pub fuel: Option<u64>,
    /// The beginning of the record.
    pub input: &'a str,
}

/// A letter of which is told beside the sink: who reads it there may not be who reads the sink. Its texts are bounded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// The node where it failed.
    pub node: String,
    /// The split, with its source's name.
    pub split: String,
    /// The record in the split.
    pub row: u64,
    /// Why.
    pub code: Code,
    /// Why, in words.
    pub message: String,
    /// The beginning of the record.
    pub input: String,
}

/// The most bytes of a sample's texts, each.
const MAX_SAMPLE_TEXT: usize = 1_024;

/// The first letters since it was last asked, as many as the plan says.
#[derive(Debug)]
pub(crate) struct Samples {
    most: usize,
    held: Vec<Sample>,
}

impl Samples {
    /// None yet, and never more than so many.
    pub(crate) fn new(most: u32) -> Self {
        Self { most: most as usize, held: Vec::new() }
    }

    /// Keeps a letter, if there is room.
    pub(crate) fn keep(&mut self, letter: &Letter<'_>) {
        if self.held.len() >= self.most {
            return;
        }
        let text = |text: &str| truncate(text, MAX_SAMPLE_TEXT).to_owned();
        let Letter { node, split, row, code, message, input, .. } = *letter;
        let (node, split) = (node.to_owned(), text(split));
        self.held.push(Sample { node, split, row, code, message: text(message), input: text(input) });
    }

    /// What was kept; then there is room again.
    pub(crate) fn take(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.held)
    }
}

/// Collects letters for one sink.
#[derive(Debug)]
pub struct DeadLetters {
    schema: SchemaRef,
    node: StringBuilder,
    component: StringBuilder,
    function: StringBuilder,
    split: StringBuilder,
    row: UInt64Builder,
    code: StringBuilder,
    message: StringBuilder,
    backtrace: StringBuilder,
    fuel: UInt64Builder,
    input: StringBuilder,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self {
            schema: arrow_schema(&dead_letter_fields()),
            node: StringBuilder::new(),
            component: StringBuilder::new(),
            function: StringBuilder::new(),
            split: StringBuilder::new(),
            row: UInt64Builder::new(),
            code: StringBuilder::new(),
            message: StringBuilder::new(),
            backtrace: StringBuilder::new(),
            fuel: UInt64Builder::new(),
            input: StringBuilder::new(),
        }
    }
}

impl DeadLetters {
    /// Adds a letter, its texts cut where they are too long. Says whether the batch is full now.
    pub fn push(&mut self, letter: &Letter<'_>) -> bool {
        self.node.append_value(letter.node);
        self.component.append_option(letter.function.map(|(component, _)| component));
        self.function.append_option(letter.function.map(|(_, function)| function));
        self.split.append_value(truncate(letter.split, MAX_TEXT));
        self.row.append_value(letter.row);
        self.code.append_value(letter.code.to_string());
        self.message.append_value(truncate(letter.message, MAX_TEXT));
        self.backtrace.append_option(letter.backtrace.map(|text| truncate(text, MAX_TEXT)));
        self.fuel.append_option(letter.fuel);
        self.input.append_value(truncate(letter.input, MAX_INPUT));
        self.row.values_slice().len() >= MAX_LETTERS
    }

    /// The letters so far, if there are any; then it is empty again.
    ///
    /// # Errors
    /// `LG0003`, were this not the schema of dead letters.
    pub fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.row.values_slice().is_empty() {
            return Ok(None);
        }
        let batch = RecordBatch::try_new(
            self.schema.clone(),
            vec![
                Arc::new(self.node.finish()),
                Arc::new(self.component.finish()),
                Arc::new(self.function.finish()),
                Arc::new(self.split.finish()),
                Arc::new(self.row.finish()),
                Arc::new(self.code.finish()),
                Arc::new(self.message.finish()),
                Arc::new(self.backtrace.finish()),
                Arc::new(self.fuel.finish()),
                Arc::new(self.input.finish()),
            ],
        );
        batch.map(Some).map_err(|error| Error::new(code::INTERNAL, format!("dead letters do not fit: {error}")))
    }
}

/// Row `row` of `batch`'s columns `columns` as a JSON object (RFC 8259), cut at [`MAX_INPUT`] bytes; an object that was
/// cut is no longer JSON. Binary is hexadecimal; dates, times and what JSON's numbers cannot hold are strings.
pub fn record_as_json(batch: &RecordBatch, columns: &[usize], row: usize) -> String {
    let mut json = String::from("{");
    let named = columns.iter().filter_map(|index| {
        Some((batch.schema_ref().fields().get(*index)?.name().as_str(), batch.columns().get(*index)?))
    });
    for (index, (name, column)) in named.enumerate() {
        if json.len() > MAX_INPUT {
            break;
        }
        if index > 0 {
            json.push(',');
        }
        push_text(&mut json, name);
        json.push(':');
        push_value(&mut json, column, row);
    }
    json.push('}');
    json.truncate(truncate(&json, MAX_INPUT).len());
    json
}

fn push_value(json: &mut String, column: &ArrayRef, row: usize) {
    if row >= column.len() || column.is_null(row) {
        return json.push_str("null");
    }
    match column.data_type() {
        DataType::Utf8 => push_text(json, column.as_string::<i32>().value(row)),
        DataType::Binary => {
            json.push('"');
            for byte in column.as_binary::<i32>().value(row).iter().take(MAX_INPUT) {
                // Writing to a string cannot fail.
                let _ = write!(json, "{byte:02x}");
            }
            json.push('"');
        }
        other => {
            let options = FormatOptions::default();
            let column = with_offset(column);
            let text = ArrayFormatter::try_new(&column, &options).and_then(|text| text.value(row).try_to_string());
            let text = text.unwrap_or_else(|error| error.to_string());
            let number = other.is_numeric() && text.parse::<f64>().is_ok_and(f64::is_finite);
            if number || *other == DataType::Boolean { json.push_str(&text) } else { push_text(json, &text) }
        }
    }
}

fn push_text(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(truncate(text, MAX_INPUT)).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::UInt64Type;
    use arrow_array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };

    fn letter() -> Letter<'static> {
        Letter {
            node: "score",
            function: Some(("delays", "score")),
            split: "flights/a.parquet",
            row: 7,
            code: code::ROW_REFUSED,
            message: "too late",
            backtrace: None,
            fuel: Some(12),
            input: "{}",
        }
    }

    #[test]
    fn letters_become_a_batch() {
        let mut letters = DeadLetters::default();
        assert!(letters.take().unwrap().is_none());
        assert!(!letters.push(&letter()));
        letters.push(&Letter { function: None, fuel: None, backtrace: Some("0: f"), ..letter() });
        let batch = letters.take().unwrap().unwrap();
        assert!(letters.take().unwrap().is_none());
        assert_eq!(batch.schema(), arrow_schema(&dead_letter_fields()));
        let text = |name: &str| -> Vec<Option<String>> {
            let column = batch.column_by_name(name).unwrap().as_string::<i32>();
            column.iter().map(|text| text.map(str::to_owned)).collect()
        };
        assert_eq!(text("component"), [Some("delays".into()), None]);
        assert_eq!(text("code"), [Some("LG0650".into()), Some("LG0650".into())]);
        assert_eq!(text("backtrace"), [None, Some("0: f".into())]);
        let fuel = batch.column_by_name("fuel").unwrap().as_primitive::<UInt64Type>();
        assert_eq!(fuel.iter().collect::<Vec<_>>(), [Some(12), None]);
    }

    #[test]
    fn a_batch_is_full_and_texts_are_cut() {
        let mut letters = DeadLetters::default();
        let long = "é".repeat(10_000);
        let letter = Letter { message: &long, input: &long, backtrace: Some(&long), ..letter() };
        let pushed = (1..).find(|_| letters.push(&letter)).unwrap();
        assert_eq!(pushed, MAX_LETTERS);
        let batch = letters.take().unwrap().unwrap();
        for name in ["message", "input", "backtrace"] {
            assert_eq!(batch.column_by_name(name).unwrap().as_string::<i32>().value(0), &long[..4096]);
        }
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    #[test]
    fn a_record_is_json() {
        let decimals = Decimal128Array::from(vec![12345_i128]).with_precision_and_scale(10, 2).unwrap();
        let batch = batch(vec![
            ("n", Arc::new(Int64Array::from(vec![-1]))),
            ("t\"", Arc::new(StringArray::from(vec!["a\n\"b\""]))),
            ("unused", Arc::new(Int64Array::from(vec![5]))),
            ("x", Arc::new(BinaryArray::from_vec(vec![&[0, 255]]))),
            ("f", Arc::new(Float64Array::from(vec![f64::NAN]))),
            ("b", Arc::new(BooleanArray::from(vec![true]))),
            ("d", Arc::new(decimals)),
            ("day", Arc::new(Date32Array::from(vec![0]))),
            ("far", Arc::new(Date32Array::from(vec![i32::MAX]))),
            ("z", Arc::new(Int64Array::from(vec![None]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC"))),
        ]);
        let json = record_as_json(&batch, &[0, 1, 3, 4, 5, 6, 7, 8, 9, 10], 0);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["n"], -1);
        assert_eq!(value["t\""], "a\n\"b\"");
        assert_eq!(value["x"], "00ff");
        assert_eq!(value["f"], "NaN");
        assert_eq!(value["b"], true);
        assert_eq!(value["d"], 123.45);
        assert_eq!(value["day"], "1970-01-01");
        assert_eq!(value["at"], "1970-01-01T00:00:01.500Z");
        assert!(value["far"].is_string());
        assert!(value["z"].is_null() && value.get("unused").is_none());
    }

    #[test]
    fn a_long_record_is_cut() {
        let long = "\u{1}".repeat(100_000);
        let array: ArrayRef = Arc::new(StringArray::from(vec![long.as_str()]));
        let batch = batch(vec![("a", array.clone()), ("b", array)]);
        let json = record_as_json(&batch, &[0, 1], 0);
        assert!(json.len() == MAX_INPUT && json.starts_with("{\"a\":\"\\u0001"));
    }
}
