//! The border between Arrow and raw columns.
//!
//! On the way into a guest columns are borrowed, not copied ([`Lowering`]). On the way back everything is hostile:
//! [`check`] looks at each count, length, offset, bit and index before an array is made of it, names what is wrong
//! with a code of its own, and hands a guest's vectors to Arrow as they are. Arrays come from safe constructors only.

#[cfg(not(target_endian = "little"))]
compile_error!("columns cross as little-endian bytes and are borrowed as they lie in memory");

mod array;
mod check;
mod lower;

pub use check::{Checked, CheckedPort, FailedRows, check};
pub use lower::Lowering;

use lockgate_core::error::Error;

/// The longest message of a failed row that is kept, in bytes; more is cut off.
pub const MAX_MESSAGE: usize = 1024;

/// The beginning of `text`, of at most `most` bytes and whole characters.
pub fn truncate(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// `error` with `place` before the place that it has already.
pub(crate) fn within(error: Error, place: &str) -> Error {
    let inner = error.place().map_or_else(|| place.to_owned(), |inner| format!("{place}, {inner}"));
    let moved = Error::new(error.code(), error.cause()).at(inner);
    match error.help_text() {
        Some(help) => moved.help(help),
        None => moved,
    }
}
