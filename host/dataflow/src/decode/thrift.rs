//! Looks over Thrift structures of a Parquet file before the Parquet reader sees them.
//!
//! That reader makes room for as many elements as a list claims to have, recurses as deep as a schema nests, and makes
//! room for what a page claims to unpack to. This walk over the compact protocol refuses such claims first; it keeps
//! nothing and understands only what it needs.

/// What is wrong with a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It is not Thrift.
    Malformed,
    /// It claims too much; what.
    Excessive(&'static str),
}

/// How deep structures may nest (Parquet's own nest 6 deep), and how deep a schema.
const DEPTH: usize = 16;
const SCHEMA_DEPTH: usize = 32;
/// The most structures in a list: row groups of a file, columns of a row group, elements of a schema.
const LIST: u64 = 1 << 16;

const BINARY: u8 = 8;
const LIST_TYPE: u8 = 9;
const STRUCT: u8 = 12;
/// The type of a page that is a dictionary, and the encoding whose values share prefixes.
const DICTIONARY_PAGE: i64 = 2;
const DELTA_BYTE_ARRAY: i64 = 7;

/// Looks over a `FileMetaData`.
///
/// # Errors
/// What the structure claims too much of.
pub(super) fn check_footer(bytes: &[u8]) -> Result<(), Fault> {
    let mut walk = Walk { bytes, at: 0 };
    let mut id = 0;
    while let Some(kind) = walk.field(&mut id)? {
        if (id, kind) == (2, LIST_TYPE) {
            walk.schema()?;
        } else {
            walk.skip(kind, 1, &mut |_, _| {})?;
        }
    }
    Ok(())
}

/// What the pages of a column chunk are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pages {
    /// Whether the first of them is a dictionary.
    pub(super) dictionary: bool,
    /// Bytes of the largest page, unpacked, whose values share prefixes; 0 if there is none.
    pub(super) prefixed: u64,
}

/// Looks over the page headers of a column chunk: no page may unpack to more than `limit` bytes, only the first may be a
/// dictionary.
///
/// # Errors
/// As [`check_footer`].
pub(super) fn check_pages(chunk: &[u8], limit: i64) -> Result<Pages, Fault> {
    let mut walk = Walk { bytes: chunk, at: 0 };
    let mut pages = Pages::default();
    while walk.at < chunk.len() {
        let first = walk.at == 0;
        let (mut kind, mut unpacked, mut packed, mut encoding) = (-1, -1, -1, -1);
        let mut id = 0;
        while let Some(field) = walk.field(&mut id)? {
            match (id, field) {
                (1..=3, 4..=6) => {
                    let value = walk.zigzag()?;
                    *(match id {
                        1 => &mut kind,
                        2 => &mut unpacked,
                        _ => &mut packed,
                    }) = value;
                }
                // The header of a data page has its encoding second, that of one in the second version fourth.
                (5 | 8, STRUCT) => {
                    let place = if id == 5 { 2 } else { 4 };
                    walk.structure(2, &mut |id, value| {
                        if id == place {
                            encoding = value;
                        }
                    })?;
                }
                _ => walk.skip(field, 2, &mut |_, _| {})?,
            }
        }
        if kind == DICTIONARY_PAGE {
            if !first {
                return Err(Fault::Malformed);
            }
            pages.dictionary = true;
        }
        if encoding == DELTA_BYTE_ARRAY {
            pages.prefixed = pages.prefixed.max(u64::try_from(unpacked).unwrap_or(0));
        }
        if unpacked > limit {
            return Err(Fault::Excessive("a page's size"));
        }
        if unpacked < 0 {
            return Err(Fault::Malformed);
        }
        walk.take(u64::try_from(packed).map_err(|_| Fault::Malformed)?)?;
    }
    Ok(pages)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn take(&mut self, count: u64) -> Result<(), Fault> {
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(Fault::Malformed);
        }
        self.at += usize::try_from(count).map_err(|_| Fault::Malformed)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.bytes.get(self.at).ok_or(Fault::Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Fault::Malformed)
    }

    fn zigzag(&mut self) -> Result<i64, Fault> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The next field's type; `id` goes on to its id. None at the structure's end.
    fn field(&mut self, id: &mut i64) -> Result<Option<u8>, Fault> {
        let byte = self.byte()?;
        if byte & 0x0f == 0 {
            return Ok(None);
        }
        *id = match byte >> 4 {
            0 => self.zigzag()?,
            delta => id.wrapping_add(i64::from(delta)),
        };
        Ok(Some(byte & 0x0f))
    }

    fn structure(&mut self, depth: usize, integer: &mut dyn FnMut(i64, i64)) -> Result<(), Fault> {
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            if matches!(kind, 4..=6) {
                integer(id, self.zigzag()?);
            } else {
                self.skip(kind, depth + 1, &mut |_, _| {})?;
            }
        }
        Ok(())
    }

    /// Steps over a value; `integer` sees the integers of a structure itself.
    fn skip(&mut self, kind: u8, depth: usize, integer: &mut dyn FnMut(i64, i64)) -> Result<(), Fault> {
        if depth > DEPTH {
            return Err(Fault::Excessive("the depth of its metadata"));
        }
        match kind {
            1 | 2 => Ok(()),
            3 => self.take(1),
            4..=6 => self.varint().map(drop),
            7 => self.take(8),
            BINARY => {
                let length = self.varint()?;
                self.take(length)
            }
            LIST_TYPE | 10 => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    self.element(kind, depth)?;
                }
                Ok(())
            }
            11 => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                self.count(count, STRUCT)?;
                let kinds = self.byte()?;
                for _ in 0..count {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 0x0f, depth)?;
                }
                Ok(())
            }
            STRUCT => self.structure(depth, integer),
            13 => self.take(16),
            _ => Err(Fault::Malformed),
        }
    }

    /// Steps over an element of a list, where a boolean is a byte of its own.
    fn element(&mut self, kind: u8, depth: usize) -> Result<(), Fault> {
        if matches!(kind, 1 | 2) { self.take(1) } else { self.skip(kind, depth + 1, &mut |_, _| {}) }
    }

    /// How many elements a list has, and their type.
    fn list(&mut self) -> Result<(u64, u8), Fault> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        self.count(count, header & 0x0f)?;
        Ok((count, header & 0x0f))
    }

    /// Every element takes a byte at least, and a structure takes much more when it is read.
    fn count(&self, count: u64, kind: u8) -> Result<(), Fault> {
        let left = (self.bytes.len() - self.at) as u64;
        if count > left || (kind >= BINARY && count > LIST) {
            return Err(Fault::Excessive("the length of a list"));
        }
        Ok(())
    }

    /// The schema: a tree as a list, each element with the number of its children.
    fn schema(&mut self) -> Result<(), Fault> {
        let (count, kind) = self.list()?;
        if kind != STRUCT {
            return Err(Fault::Malformed);
        }
        let mut open: Vec<i64> = Vec::new();
        for _ in 0..count {
            let mut children = 0;
            self.structure(2, &mut |id, value| {
                if id == 5 {
                    children = value;
                }
            })?;
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                open.push(children);
            }
            if open.len() > SCHEMA_DEPTH {
                return Err(Fault::Excessive("the depth of its schema"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_lists_longer_than_their_bytes() {
        // Field 4, a list of 2^31 structures.
        assert_eq!(
            check_footer(&[0x49, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x08, 0]),
            Err(Fault::Excessive("the length of a list"))
        );
        // 100,000 empty structures, all there.
        let mut long = vec![0x49, 0xfc, 0xa0, 0x8d, 0x06];
        long.resize(200_000, 0);
        assert_eq!(check_footer(&long), Err(Fault::Excessive("the length of a list")));
    }

    #[test]
    fn refuses_what_nests_too_deep() {
        assert_eq!(check_footer(&[0x1c; 100]), Err(Fault::Excessive("the depth of its metadata")));
        // A schema of 40 elements with one child each.
        let mut schema = vec![0x29, 0xfc, 40];
        schema.extend([0x55, 0x02, 0x00].repeat(40));
        schema.push(0);
        assert_eq!(check_footer(&schema), Err(Fault::Excessive("the depth of its schema")));
    }

    #[test]
    fn refuses_pages_that_claim_too_much() {
        // type 0, unpacked 100, packed 2, then the page.
        let page = [0x15, 0, 0x15, 0xc8, 0x01, 0x15, 4, 0, 7, 7];
        assert_eq!(check_pages(&page, 100), Ok(Pages::default()));
        assert_eq!(check_pages(&page.repeat(3), 99), Err(Fault::Excessive("a page's size")));
        assert_eq!(check_pages(&page[..9], 100), Err(Fault::Malformed));
    }

    #[test]
    fn notices_dictionaries_and_shared_prefixes() {
        // A dictionary (type 2), then data (type 0) of encoding 7, of 100 and 50 bytes unpacked, 2 and 1 packed.
        let dictionary = [0x15, 4, 0x15, 0xc8, 0x01, 0x15, 4, 0, 7, 7];
        let data = [0x15, 0, 0x15, 100, 0x15, 2, 0x2c, 0x15, 2, 0x15, 14, 0, 0, 7];
        let both = [&dictionary[..], &data].concat();
        assert_eq!(check_pages(&both, 100), Ok(Pages { dictionary: true, prefixed: 50 }));
        assert_eq!(check_pages(&[&data[..], &dictionary].concat(), 100), Err(Fault::Malformed));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (check_footer(&bytes), check_pages(&bytes, 1000));
        }
    }
}
