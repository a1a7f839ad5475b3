//! The schema of a source, read off its data: for authors, who have it signed.

use lockgate_core::error::code;
use lockgate_core::plan::Format;
use lockgate_core::types::Field;
use lockgate_core::{Error, Result};
use lockgate_dataflow::Input;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Infers the schema of a source of this format from the bytes of one of its splits: for authors, whose manifest then has
/// it signed.
///
/// # Errors
/// `LG07nn` if the bytes are not of the source's format.
pub fn infer(format: &Format, split: &str, input: &mut dyn Input) -> Result<Vec<Field>> {
    // The Parquet reader panics on some damaged files.
    let inferred = catch_unwind(AssertUnwindSafe(|| lockgate_dataflow::infer(format, split, input)));
    inferred.unwrap_or_else(|_| {
        let cause = format!("{split:?} is damaged: its reader broke down");
        Err(Error::new(code::EXECUTOR_GONE, cause).help("write the schema into the manifest, or give other data"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use lockgate_core::plan::{Compression, FormatKind};

    /// An input that breaks its reader down.
    struct Broken;

    impl Input for Broken {
        fn size(&self) -> Option<u64> {
            Some(1)
        }

        fn read(&mut self, _: u64, _: usize) -> Result<Bytes> {
            panic!("as a reader would")
        }
    }

    #[test]
    fn a_reader_that_breaks_down_is_an_error() {
        let format = Format { kind: FormatKind::Json, compression: Compression::None };
        assert_eq!(infer(&format, "x", &mut Broken).unwrap_err().code(), code::EXECUTOR_GONE);
    }
}
