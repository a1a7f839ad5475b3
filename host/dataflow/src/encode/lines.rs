//! Raw lines: the text of one column, each row with a line feed behind it.

use super::Text;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use memchr::memchr;

/// Writes lines.
pub(super) struct Lines;

impl Text for Lines {
    fn begin(&self, _: &mut Vec<u8>) {}

    fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let refuse = |what: &str| Error::new(code::NOT_ENCODABLE, format!("format lines cannot hold {what}"));
        let column = batch.columns().first().and_then(|column| column.as_string_opt::<i32>());
        let column = column.ok_or_else(|| refuse("a column other than utf8"))?;
        if column.null_count() > 0 {
            return Err(refuse("a null"));
        }
        for text in column.iter().flatten() {
            // A reader would take a carriage return at the end for part of the line break.
            if memchr(b'\n', text.as_bytes()).is_some() || text.ends_with('\r') {
                return Err(refuse("a text with a line break"));
            }
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        }
        Ok(())
    }
}
