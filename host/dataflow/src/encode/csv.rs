//! CSV after RFC 4180, except that records end with LF alone, as every tool of today writes and reads them.
//!
//! A field is put in quotes if it holds a quote, the delimiter or a line break, and if it would otherwise be a line of
//! nothing, which readers take for no record at all.

use super::Text;
use super::text::{Cells, Values};
use arrow_array::RecordBatch;
use lockgate_core::error::code;
use lockgate_core::types::Field;
use lockgate_core::{Error, Result};

/// Writes CSV.
pub(super) struct Csv {
    names: Option<Vec<String>>,
    delimiter: u8,
    null: String,
}

impl Csv {
    pub(super) fn new(fields: &[Field], header: bool, delimiter: u8, null: &str) -> Self {
        let names = header.then(|| fields.iter().map(|field| field.name.clone()).collect());
        Self { names, delimiter, null: null.to_owned() }
    }

    fn field(&self, field: &[u8], alone: bool, out: &mut Vec<u8>) {
        let quote = |byte: &u8| matches!(*byte, b'"' | b'\n' | b'\r') || *byte == self.delimiter;
        let needs_quotes = field.iter().any(quote) || (alone && field.is_empty());
        if !needs_quotes {
            out.extend_from_slice(field);
            return;
        }
        out.push(b'"');
        for byte in field {
            if *byte == b'"' {
                out.push(b'"');
            }
            out.push(*byte);
        }
        out.push(b'"');
    }

    fn end(&self, out: &mut Vec<u8>) {
        // One delimiter too many, behind the last field.
        if out.last() == Some(&self.delimiter) {
            out.pop();
        }
        out.push(b'\n');
    }
}

impl Text for Csv {
    fn begin(&self, out: &mut Vec<u8>) {
        let Some(names) = self.names.as_ref().filter(|names| !names.is_empty()) else { return };
        for name in names {
            self.field(name.as_bytes(), names.len() == 1, out);
            out.push(self.delimiter);
        }
        self.end(out);
    }

    fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let columns: Option<Vec<_>> = batch.columns().iter().map(|column| Cells::new(column)).collect();
        let columns = columns
            .filter(|columns| !columns.is_empty())
            .ok_or_else(|| Error::new(code::NOT_ENCODABLE, "CSV cannot hold such columns, or none at all"))?;
        let alone = columns.len() == 1;
        for row in 0..batch.num_rows() {
            for cells in &columns {
                if cells.is_null(row) {
                    self.field(self.null.as_bytes(), alone, out);
                } else if let Values::Utf8(array) = &cells.values {
                    self.field(array.value(row).as_bytes(), alone, out);
                } else {
                    let start = out.len();
                    cells.values.write(row, out);
                    // Only an odd delimiter such as `-` makes quotes necessary here.
                    if out.get(start..).is_some_and(|written| written.is_empty() || written.contains(&self.delimiter)) {
                        let written = out.split_off(start);
                        self.field(&written, alone, out);
                    }
                }
                out.push(self.delimiter);
            }
            self.end(out);
        }
        Ok(())
    }
}
