//! A split held in memory, for the targets that decode.

use bytes::Bytes;
use lockgate_core::Result;
use lockgate_dataflow::Input;

/// The bytes of a split.
pub struct Memory(pub Bytes);

impl Input for Memory {
    fn size(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn read(&mut self, offset: u64, length: usize) -> Result<Bytes> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let to = from.saturating_add(length).min(self.0.len());
        Ok(self.0.slice(from..to))
    }
}
