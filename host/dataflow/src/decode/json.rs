//! JSON lines: one pass over each line that notes where every column's value is, a second that converts them.
//!
//! The scanner bets that the keys of a line come in the order of the line before, spelt the same way: then a key costs
//! one comparison. It loses nothing when the bet fails but the price of a look-up. Strings without escapes are slices
//! of the line. What is rare is left to serde_json: escapes, and whatever nests. The language is exactly serde_json's;
//! a property test holds that. A key that comes twice counts the last time. Unknown keys are read over.

use super::batch::Batch;
use super::column::Cell;
use super::lines::Line;
use lockgate_core::error::code;
use lockgate_core::types::Field;
use lockgate_core::{Error, Result};
use serde::de::IgnoredAny;
use std::collections::HashMap;

/// The most keys of a line, and bytes of a key, that are remembered for the next.
const REMEMBERED: usize = 1024;
const REMEMBERED_KEY: usize = 256;

/// What is where in a line. Lines are shorter than 4 GiB.
#[derive(Clone, Copy)]
enum Span {
    Null,
    Bool(bool),
    Number(u32, u32),
    Text(u32, u32),
    /// An index into the unescaped strings.
    Unescaped(u32),
    Nested(u32, u32),
}

/// Scans JSON objects for certain keys.
pub(super) struct Json {
    columns: HashMap<String, usize>,
    /// Keys of the last line, each with the quote that ends it, and their columns.
    order: Vec<(Box<[u8]>, Option<usize>)>,
    spans: Vec<Span>,
    unescaped: Vec<String>,
}

impl Json {
    /// A scanner for these columns.
    pub(super) fn new(fields: &[Field]) -> Self {
        let columns = fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at)).collect();
        Self { columns, order: Vec::new(), spans: vec![Span::Null; fields.len()], unescaped: Vec::new() }
    }

    /// Notes where the columns' values are.
    ///
    /// # Errors
    /// What is wrong with the line.
    fn scan(&mut self, line: &str) -> Result<(), Fault> {
        self.spans.fill(Span::Null);
        self.unescaped.clear();
        let mut scanner = Scanner { text: line, bytes: line.as_bytes(), at: 0 };
        scanner.space();
        if scanner.peek() != b'{' {
            return Err(scanner.fault("is not a JSON object"));
        }
        scanner.at += 1;
        scanner.space();
        if scanner.peek() == b'}' {
            scanner.at += 1;
        } else {
            let mut ordinal = 0;
            loop {
                let column = self.key(&mut scanner, ordinal)?;
                scanner.space();
                scanner.expect(b':', "lacks a colon")?;
                scanner.space();
                let span = match column {
                    Some(_) => scanner.value(&mut self.unescaped)?,
                    None => {
                        scanner.skip_value()?;
                        Span::Null
                    }
                };
                if let Some(place) = column.and_then(|column| self.spans.get_mut(column)) {
                    *place = span;
                }
                scanner.space();
                match scanner.peek() {
                    b',' => scanner.at += 1,
                    b'}' => {
                        scanner.at += 1;
                        break;
                    }
                    _ => return Err(scanner.fault("lacks a comma or closing brace")),
                }
                scanner.space();
                ordinal += 1;
            }
        }
        scanner.space();
        if scanner.at < scanner.bytes.len() {
            return Err(scanner.fault("goes on after the JSON object"));
        }
        Ok(())
    }

    /// Reads a key and finds its column.
    #[inline]
    fn key(&mut self, scanner: &mut Scanner<'_>, ordinal: usize) -> Result<Option<usize>, Fault> {
        scanner.expect(b'"', "lacks a key in quotes")?;
        if let Some((key, column)) = self.order.get(ordinal)
            && scanner.rest().starts_with(key)
        {
            scanner.at += key.len();
            return Ok(*column);
        }
        self.unexpected_key(scanner, ordinal)
    }

    #[cold]
    fn unexpected_key(&mut self, scanner: &mut Scanner<'_>, ordinal: usize) -> Result<Option<usize>, Fault> {
        let start = scanner.at;
        let (end, escaped) = scanner.string()?;
        if escaped {
            let key = scanner.unescape(start, end)?;
            return Ok(self.columns.get(&key).copied());
        }
        let key = scanner.text.get(start..end).unwrap_or_default();
        let column = self.columns.get(key).copied();
        if key.len() <= REMEMBERED_KEY && ordinal < REMEMBERED {
            let quoted = [key.as_bytes(), b"\""].concat().into_boxed_slice();
            if let Some(place) = self.order.get_mut(ordinal) {
                *place = (quoted, column);
            } else if ordinal == self.order.len() {
                // Otherwise keys that are not remembered have left a gap.
                self.order.push((quoted, column));
            }
        }
        Ok(column)
    }
}

impl Line for Json {
    fn add(&mut self, line: &str, batch: &mut Batch) {
        match self.scan(line) {
            Ok(()) => batch.row(line.as_bytes(), |columns| {
                for (at, (column, span)) in columns.iter_mut().zip(&self.spans).enumerate() {
                    let cell = match *span {
                        Span::Null => Cell::Null,
                        Span::Bool(value) => Cell::Bool(value),
                        Span::Number(start, end) => Cell::Number(slice(line, start, end)),
                        Span::Text(start, end) => Cell::Text(slice(line, start, end)),
                        Span::Nested(start, end) => Cell::Nested(slice(line, start, end)),
                        Span::Unescaped(at) => Cell::Text(self.unescaped.get(at as usize).map_or("", String::as_str)),
                    };
                    column.json(cell).map_err(|error| (at, error))?;
                }
                Ok(())
            }),
            Err(_) if line.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) => {}
            Err(Fault { at, what }) => {
                batch.failed(line.as_bytes(), Error::new(code::BAD_RECORD, format!("the line {what} (byte {at})")));
            }
        }
    }
}

fn slice(line: &str, start: u32, end: u32) -> &str {
    line.get(start as usize..end as usize).unwrap_or_default()
}

/// What is wrong with a line, and where.
struct Fault {
    at: usize,
    what: &'static str,
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// The next byte; 0, which JSON has nowhere, at the end.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.peek() != byte {
            return Err(self.fault(what));
        }
        self.at += 1;
        Ok(())
    }

    #[cold]
    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    fn span(&self, start: usize) -> (u32, u32) {
        // Checked by the longest record.
        (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(self.at).unwrap_or(u32::MAX))
    }

    #[inline]
    fn value(&mut self, unescaped: &mut Vec<String>) -> Result<Span, Fault> {
        let start = self.at;
        match self.peek() {
            b'"' => {
                self.at += 1;
                let (end, escaped) = self.string()?;
                if escaped {
                    unescaped.push(self.unescape(start + 1, end)?);
                    return Ok(Span::Unescaped(u32::try_from(unescaped.len() - 1).unwrap_or(u32::MAX)));
                }
                let (_, behind) = self.span(start);
                Ok(Span::Text(u32::try_from(start + 1).unwrap_or(u32::MAX), behind - 1))
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                let (start, end) = self.span(start);
                Ok(Span::Number(start, end))
            }
            b'n' => self.literal(b"null", Span::Null),
            b't' => self.literal(b"true", Span::Bool(true)),
            b'f' => self.literal(b"false", Span::Bool(false)),
            b'{' | b'[' => {
                self.nested()?;
                let (start, end) = self.span(start);
                Ok(Span::Nested(start, end))
            }
            _ => Err(self.fault("lacks a value")),
        }
    }

    fn skip_value(&mut self) -> Result<(), Fault> {
        if self.peek() == b'"' {
            let start = self.at;
            self.at += 1;
            if self.string()?.1 {
                self.at = start;
                self.nested()?;
            }
            return Ok(());
        }
        self.value(&mut Vec::new()).map(drop)
    }

    fn literal(&mut self, literal: &[u8], span: Span) -> Result<Span, Fault> {
        if !self.rest().starts_with(literal) {
            return Err(self.fault("lacks a value"));
        }
        self.at += literal.len();
        Ok(span)
    }

    /// Steps over any value by serde_json, however deep (it does not recurse).
    #[cold]
    fn nested(&mut self) -> Result<(), Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at += values.byte_offset();
                Ok(())
            }
            _ => Err(self.fault("has a malformed value")),
        }
    }

    /// From behind an opening quote to behind the closing one: where the content ends and whether it has escapes.
    ///
    /// Eight bytes at a time: the lowest flagged byte is a quote, a backslash or a control character.
    #[inline]
    fn string(&mut self) -> Result<(usize, bool), Fault> {
        let mut escaped = false;
        loop {
            while let Some(chunk) = self.rest().first_chunk() {
                let flags = special(u64::from_le_bytes(*chunk));
                if flags != 0 {
                    self.at += flags.trailing_zeros() as usize / 8;
                    break;
                }
                self.at += 8;
            }
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok((self.at - 1, escaped));
                }
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                0..=0x1f => return Err(self.fault("has an unfinished string or a control character in one")),
                _ => self.at += 1,
            }
        }
    }

    /// Resolves the escapes of the string with this content.
    #[cold]
    fn unescape(&self, start: usize, end: usize) -> Result<String, Fault> {
        let quoted = self.text.get(start.wrapping_sub(1)..end + 1).unwrap_or_default();
        serde_json::from_str(quoted).map_err(|_| Fault { at: start, what: "has a malformed escape" })
    }

    /// Steps over a number: `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?`.
    #[inline]
    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(self.fault("has a malformed number")),
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Fault> {
        if !self.peek().is_ascii_digit() {
            return Err(self.fault("has a malformed number"));
        }
        self.digits();
        Ok(())
    }
}

/// Flags (the top bit of) quotes, backslashes and control characters; exact up to and with the lowest flag.
#[inline]
pub(crate) fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64)) | control) & HIGH
}

#[cfg(test)]
mod tests;
