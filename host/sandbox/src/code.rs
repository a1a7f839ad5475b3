//! Where machine code comes from when no memory of this process may be both written and executed.
//!
//! In a jail executable pages are mapped from one descriptor that the process cannot write. So the artefact is not
//! copied: it lies where whoever set the engine up has mapped it, and only its text becomes executable, by mapping the
//! same bytes again.

use std::io;
use std::sync::Arc;
use wasmtime::CustomCodeMemory;

/// Makes parts of mapped artefacts executable.
pub trait CodeMemory: Send + Sync {
    /// Makes the `length` bytes at `text` executable, with the content that they have; both are multiples of the page
    /// size but for the end of the last page.
    ///
    /// # Errors
    /// If they are not a part of a mapped artefact, or the system refuses.
    fn publish(&self, text: *const u8, length: usize) -> io::Result<()>;
}

/// wasmtime's view of a [`CodeMemory`].
pub(crate) struct Custom(pub(crate) Arc<dyn CodeMemory>);

impl CustomCodeMemory for Custom {
    fn required_alignment(&self) -> usize {
        4_096
    }

    fn publish_executable(&self, text: *const u8, length: usize) -> wasmtime::Result<()> {
        self.0.publish(text, length).map_err(wasmtime::Error::from)
    }

    /// Nothing: the mapping goes as a whole, when no engine can refer to it any more.
    fn unpublish_executable(&self, _: *const u8, _: usize) -> wasmtime::Result<()> {
        Ok(())
    }
}
