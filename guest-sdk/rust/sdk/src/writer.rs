//! The columns that results are written into, one kind for each layout.

use crate::describe::Field;
use crate::raw::Column;
use crate::result::Build;
use std::fmt;

/// Which rows are null. Rows with a value cost nothing.
#[derive(Clone, Default, Debug)]
struct Nulls(Vec<u8>);

impl Nulls {
    #[cold]
    fn add(&mut self, row: usize) {
        let byte = row / 8;
        if self.0.len() <= byte {
            self.0.resize(byte + 1, u8::MAX);
        }
        if let Some(byte) = self.0.get_mut(byte) {
            *byte &= !(1 << (row % 8));
        }
    }

    /// The validity bitmap, with zeroes behind its last row.
    fn finish(mut self, rows: usize) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        self.0.resize(rows.div_ceil(8), u8::MAX);
        if let Some(last) = self.0.last_mut()
            && !rows.is_multiple_of(8)
        {
            *last &= (1 << (rows % 8)) - 1;
        }
        Some(self.0)
    }
}

/// Values of `N` bytes.
#[derive(Clone, Default, Debug)]
pub struct FixedBuilder<const N: usize> {
    values: Vec<[u8; N]>,
    nulls: Nulls,
}

impl<const N: usize> FixedBuilder<N> {
    /// Appends a value.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: [u8; N]) {
        self.values.push(value);
    }

    /// The column of these values.
    #[inline(always)]
    pub(crate) fn of(values: impl Iterator<Item = [u8; N]>) -> Self {
        Self { values: values.collect(), nulls: Nulls::default() }
    }
}

impl<const N: usize> Build for FixedBuilder<N> {
    fn with_capacity(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), nulls: Nulls::default() }
    }

    fn push_null(&mut self) {
        self.nulls.add(self.values.len());
        self.values.push([0; N]);
    }

    fn finish(self, columns: &mut Vec<Column>) -> Result<(), String> {
        let validity = self.nulls.finish(self.values.len());
        columns.push(Column { validity, buffers: vec![self.values.into_flattened()] });
        Ok(())
    }
}

/// Values of one bit.
#[derive(Clone, Default, Debug)]
pub struct BoolBuilder {
    bits: Vec<u8>,
    rows: usize,
    nulls: Nulls,
}

impl BoolBuilder {
    /// Appends a value.
    #[inline]
    pub(crate) fn push(&mut self, value: bool) {
        let bit = u8::from(value) << (self.rows % 8);
        match self.bits.last_mut() {
            Some(last) if !self.rows.is_multiple_of(8) => *last |= bit,
            _ => self.bits.push(bit),
        }
        self.rows += 1;
    }
}

impl Build for BoolBuilder {
    fn with_capacity(rows: usize) -> Self {
        Self { bits: Vec::with_capacity(rows.div_ceil(8)), rows: 0, nulls: Nulls::default() }
    }

    fn push_null(&mut self) {
        self.nulls.add(self.rows);
        self.push(false);
    }

    fn finish(self, columns: &mut Vec<Column>) -> Result<(), String> {
        let validity = self.nulls.finish(self.rows);
        columns.push(Column { validity, buffers: vec![self.bits] });
        Ok(())
    }
}

/// The longest run of bytes that is copied word by word.
const SHORT: usize = 40;

/// Writes the bytes of one row straight into the column.
#[derive(Clone, Debug)]
pub struct BytesWriter {
    data: Vec<u8>,
    /// Where each row ends, after a first 0. What lies behind the last one belongs to the row that is being written.
    offsets: Vec<[u8; 4]>,
    /// Where the row that is being written begins.
    start: usize,
    nulls: Nulls,
}

impl BytesWriter {
    /// Appends `bytes` to the row.
    #[inline(always)]
    pub fn push(&mut self, bytes: &[u8]) {
        // A copy of any length is a call to the host's runtime, which costs more than to copy a few bytes here.
        if bytes.len() > SHORT {
            return self.data.extend_from_slice(bytes);
        }
        self.data.reserve(bytes.len());
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.data.extend_from_slice(word));
        let (halves, rest) = rest.as_chunks::<4>();
        halves.iter().for_each(|half| self.data.extend_from_slice(half));
        rest.iter().for_each(|byte| self.data.push(*byte));
    }

    /// What has been written of the row.
    pub fn written(&mut self) -> &mut [u8] {
        self.data.get_mut(self.start..).unwrap_or_default()
    }

    /// Ends the row.
    #[inline(always)]
    fn end(&mut self) {
        // A length beyond u32 is found when the column is finished.
        self.start = self.data.len();
        self.offsets.push((self.start as u32).to_le_bytes());
    }

    /// Takes back what has been written of the row.
    fn clear(&mut self) {
        self.data.truncate(self.start);
    }
}

impl Build for BytesWriter {
    fn with_capacity(rows: usize) -> Self {
        // 16 bytes a row: a guess that the usual growth by doubling corrects.
        let mut offsets = Vec::with_capacity(rows.saturating_add(1));
        offsets.push([0; 4]);
        Self { data: Vec::with_capacity(rows.saturating_mul(16)), offsets, start: 0, nulls: Nulls::default() }
    }

    fn push_null(&mut self) {
        self.clear();
        self.nulls.add(self.offsets.len() - 1);
        self.end();
    }

    fn finish(self, columns: &mut Vec<Column>) -> Result<(), String> {
        if i32::try_from(self.data.len()).is_err() {
            return Err("a text or binary column of one batch is larger than 2 GiB".to_owned());
        }
        let validity = self.nulls.finish(self.offsets.len() - 1);
        columns.push(Column { validity, buffers: vec![self.offsets.into_flattened(), self.data] });
        Ok(())
    }
}

/// Writes whole slices and never fails.
impl std::io::Write for BytesWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes the text of one row straight into the column: no `String` for each row.
///
/// It takes text by [`TextWriter::push_str`], [`TextWriter::push`] and `write!`.
#[derive(Clone, Debug)]
pub struct TextWriter(BytesWriter);

impl TextWriter {
    /// Appends `text` to the row.
    #[inline(always)]
    pub fn push_str(&mut self, text: &str) {
        self.0.push(text.as_bytes());
    }

    /// Appends a character to the row.
    #[inline]
    pub fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }

    /// Turns ASCII letters in what has been written of the row into upper case.
    pub fn make_ascii_uppercase(&mut self) {
        change_case(self.0.written(), b'a');
    }

    /// Turns ASCII letters in what has been written of the row into lower case.
    pub fn make_ascii_lowercase(&mut self) {
        change_case(self.0.written(), b'A');
    }
}

/// Changes the case of each byte that is one of the 26 letters from `first` on, eight bytes at a time.
#[inline]
fn change_case(text: &mut [u8], first: u8) {
    let (words, rest) = text.as_chunks_mut::<8>();
    for word in words {
        let value = u64::from_le_bytes(*word);
        *word = (value ^ cased(value, first)).to_le_bytes();
    }
    let (halves, rest) = rest.as_chunks_mut::<4>();
    for half in halves {
        let value = u32::from_le_bytes(*half);
        *half = (value ^ cased(u64::from(value), first) as u32).to_le_bytes();
    }
    for byte in rest {
        *byte ^= cased(u64::from(*byte), first) as u8;
    }
}

/// The bit between upper and lower case, in each byte that is one of the 26 letters from `first` on.
#[inline(always)]
fn cased(word: u64, first: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Without its top bit no byte carries into the next; the top bits then say which bytes reach a bound.
    let low = word & !HIGH;
    let reaches = |bound: u8| low + ONES * u64::from(0x80 - bound);
    ((reaches(first) ^ reaches(first + 26)) & !word & HIGH) >> 2
}

impl fmt::Write for TextWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl Build for TextWriter {
    fn with_capacity(rows: usize) -> Self {
        Self(BytesWriter::with_capacity(rows))
    }

    fn push_null(&mut self) {
        self.0.push_null();
    }

    fn finish(self, columns: &mut Vec<Column>) -> Result<(), String> {
        self.0.finish(columns)
    }
}

/// Takes UTF-8 only, each piece whole: what serialisers of text formats write.
impl std::io::Write for TextWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "not UTF-8"));
        }
        self.0.push(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A column that a function writes into by a last parameter `out: &mut TextWriter` (or `BytesWriter`).
#[diagnostic::on_unimplemented(
    message = "`&mut {Self}` cannot be a parameter of a function over columns",
    note = "a function can write into its column by a last parameter `out: &mut TextWriter` or `out: &mut BytesWriter`"
)]
pub trait Writer: Build {
    /// Adds the column's field.
    fn fields(name: &str, nullable: bool, fields: &mut Vec<Field>);

    /// Makes room for `bytes` bytes of all rows together.
    fn reserve(&mut self, bytes: usize);

    /// Ends the row.
    fn end_row(&mut self);

    /// Takes back what has been written of the row.
    fn clear_row(&mut self);
}

impl Writer for TextWriter {
    fn fields(name: &str, nullable: bool, fields: &mut Vec<Field>) {
        fields.push(Field::new(name, "utf8", nullable));
    }

    fn reserve(&mut self, bytes: usize) {
        self.0.data.reserve(bytes);
    }

    #[inline(always)]
    fn end_row(&mut self) {
        self.0.end();
    }

    fn clear_row(&mut self) {
        self.0.clear();
    }
}

impl Writer for BytesWriter {
    fn fields(name: &str, nullable: bool, fields: &mut Vec<Field>) {
        fields.push(Field::new(name, "binary", nullable));
    }

    fn reserve(&mut self, bytes: usize) {
        self.data.reserve(bytes);
    }

    #[inline(always)]
    fn end_row(&mut self) {
        self.end();
    }

    fn clear_row(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_copied_whatever_their_number() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let mut writer = BytesWriter::with_capacity(0);
        let mut expected = Vec::new();
        for length in (0..2 * SHORT).chain([all.len()]) {
            let part = all.get(..length).unwrap_or_default();
            writer.push(part);
            expected.extend_from_slice(part);
        }
        assert_eq!(writer.data, expected);
    }

    #[test]
    fn letters_change_their_case_and_nothing_else_does() {
        // Every byte of ASCII beside every kind of neighbour, and characters whose bytes are above.
        let text: String = (0..=127_u8).flat_map(|byte| [char::from(byte), 'é', 'z', char::from(127 - byte)]).collect();
        for change in [TextWriter::make_ascii_uppercase, TextWriter::make_ascii_lowercase] {
            let mut writer = TextWriter::with_capacity(1);
            writer.push_str("aZ");
            writer.end_row();
            writer.push_str(&text);
            change(&mut writer);
            let upper = writer.0.data.contains(&b'Q') && !writer.0.written().contains(&b'q');
            let expected = if upper { text.to_ascii_uppercase() } else { text.to_ascii_lowercase() };
            assert_eq!(writer.0.data, format!("aZ{expected}").into_bytes());
        }
    }
}
