//! Positions: a few opaque bytes from which a decoder goes on.
//!
//! Layout: version, kind, then little-endian numbers. Whatever else is handed back is refused rather than guessed at.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};

const VERSION: u8 = 1;

/// The kind of positions in text formats.
pub(super) const TEXT: u8 = 1;
/// The kind of positions in Parquet files; there `offset` is 0.
pub(super) const PARQUET: u8 = 2;

/// A place between two records.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Position {
    /// Bytes of the uncompressed stream before it.
    pub(super) offset: u64,
    /// Records before it.
    pub(super) record: u64,
}

impl Position {
    pub(super) fn to_bytes(self, kind: u8) -> Vec<u8> {
        let mut bytes = vec![VERSION, kind];
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.record.to_le_bytes());
        bytes
    }

    /// Reads what [`Position::to_bytes`] made; none is the beginning.
    ///
    /// # Errors
    /// `LG0710`.
    pub(super) fn from_bytes(bytes: Option<&[u8]>, kind: u8) -> Result<Self> {
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        let parse = || {
            let rest = bytes.strip_prefix(&[VERSION, kind])?;
            let (offset, rest) = rest.split_first_chunk()?;
            let (record, rest) = rest.split_first_chunk()?;
            let position = Self { offset: u64::from_le_bytes(*offset), record: u64::from_le_bytes(*record) };
            // A record has a byte at least; a sum of two positions must not overflow.
            let sane = match kind {
                TEXT => position.record <= position.offset && position.offset <= u64::MAX / 4,
                _ => position.offset == 0 && position.record <= u64::MAX / 4,
            };
            (rest.is_empty() && sane).then_some(position)
        };
        parse().ok_or_else(|| Error::new(code::INVALID_POSITION, "the position is not of this format"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_nothing_else() {
        let position = Position { offset: 70_000, record: 12 };
        let bytes = position.to_bytes(TEXT);
        assert_eq!(Position::from_bytes(Some(&bytes), TEXT), Ok(position));
        assert_eq!(Position::from_bytes(None, TEXT), Ok(Position::default()));
        let longer = [&bytes[..], b"x"].concat();
        let version = [&[2], &bytes[1..]].concat();
        let more_records_than_bytes = Position { offset: 1, record: 2 }.to_bytes(TEXT);
        for refused in [&b""[..], &bytes[..17], &longer, &version, &more_records_than_bytes] {
            assert_eq!(Position::from_bytes(Some(refused), TEXT).unwrap_err().code(), code::INVALID_POSITION);
        }
        assert!(Position::from_bytes(Some(&bytes), PARQUET).is_err());
    }
}
