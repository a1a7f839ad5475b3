//! JSON lines, written straight into the buffer: an object a row, keys in the order of the columns, nulls as `null`.
//!
//! Strings are escaped as serde_json escapes them; most need none, and eight bytes are looked at at once.

use super::Text;
use super::text::{Cells, Values, Written};
use crate::decode::json::special;
use arrow_array::RecordBatch;
use lockgate_core::error::code;
use lockgate_core::types::Field;
use lockgate_core::{Error, Result};

/// Writes JSON lines.
pub(super) struct Json {
    /// What stands before each value: `{"first":`, `,"second":`.
    keys: Vec<Vec<u8>>,
}

impl Json {
    pub(super) fn new(fields: &[Field]) -> Self {
        let key = |(at, field): (usize, &Field)| {
            let mut key = vec![if at == 0 { b'{' } else { b',' }];
            string(&field.name, &mut key);
            key.push(b':');
            key
        };
        Self { keys: fields.iter().enumerate().map(key).collect() }
    }
}

impl Text for Json {
    fn begin(&self, _: &mut Vec<u8>) {}

    fn rows(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let columns: Option<Vec<_>> = batch.columns().iter().map(|column| Cells::new(column)).collect();
        let columns = columns.ok_or_else(|| Error::new(code::NOT_ENCODABLE, "a column has no form in JSON"))?;
        for row in 0..batch.num_rows() {
            if columns.is_empty() {
                out.push(b'{');
            }
            for (key, cells) in self.keys.iter().zip(&columns) {
                out.extend_from_slice(key);
                if cells.is_null(row) {
                    out.extend_from_slice(b"null");
                } else {
                    value(&cells.values, row, out);
                }
            }
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }
}

#[inline]
fn value(values: &Values<'_>, row: usize, out: &mut Vec<u8>) {
    if let Values::Utf8(array) = values {
        return string(array.value(row), out);
    }
    let start = out.len();
    if values.quoted() {
        out.push(b'"');
    }
    match values.write(row, out) {
        Written::Plain => out.push(b'"'),
        Written::NotFinite => {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
        // A date too far for text: the integer without its quote.
        Written::Bare if values.quoted() => drop(out.remove(start)),
        Written::Bare => {}
    }
}

/// Writes a string in quotes.
#[inline]
fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let (chunks, rest) = bytes.as_chunks();
    let plain = chunks.iter().all(|chunk| special(u64::from_le_bytes(*chunk)) == 0);
    if plain && rest.iter().all(|byte| escape(*byte).is_none()) {
        out.extend_from_slice(bytes);
    } else {
        escaped(bytes, out);
    }
    out.push(b'"');
}

#[cold]
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match escape(*byte) {
            None => out.push(*byte),
            Some(b'u') => {
                out.extend_from_slice(b"\\u00");
                for digit in [byte >> 4, byte & 15] {
                    out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
                }
            }
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
        }
    }
}

/// The letter behind the backslash, `u` for `\u00XX`.
#[inline]
fn escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        0..=0x1f => b'u',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_written_as_serde_json_writes_them(text in "[\u{0}-\u{7f}\u{e4}\u{1f600}]{0,40}") {
            let mut out = Vec::new();
            string(&text, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}
