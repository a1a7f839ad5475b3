//! The memory that TaskManager and executor share: fixed regions of bytes, copied in and copied out.
//!
//! A region is lent with a message and comes back with its answer, so at any time one side uses it. Neither side
//! relies on that for safety: the TaskManager copies bytes out before it looks at them, because the other side may be
//! hostile and change them meanwhile.

use crate::protocol::REGION_BYTES;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A fixed number of regions of [`REGION_BYTES`] each.
pub struct Arena {
    regions: Box<[Mutex<Box<[u8]>>]>,
}

impl Arena {
    /// An arena of `regions` regions. Their memory is touched only when it is used.
    pub fn new(regions: u32) -> Self {
        Self { regions: (0..regions).map(|_| Mutex::new(vec![0; REGION_BYTES].into_boxed_slice())).collect() }
    }

    /// How many regions there are.
    pub fn regions(&self) -> u32 {
        u32::try_from(self.regions.len()).unwrap_or(u32::MAX)
    }

    /// Copies `bytes` to the beginning of a region.
    ///
    /// # Errors
    /// `LG0902` if there is no such region or it is too small.
    pub fn copy_in(&self, region: u32, bytes: &[u8]) -> Result<()> {
        let mut memory = self.lock(region)?;
        memory.get_mut(..bytes.len()).ok_or_else(|| out_of_range(region, bytes.len()))?.copy_from_slice(bytes);
        Ok(())
    }

    /// Appends the first `length` bytes of a region to `out`.
    ///
    /// # Errors
    /// `LG0902` if there is no such region or it is too small.
    pub fn copy_out(&self, region: u32, length: usize, out: &mut Vec<u8>) -> Result<()> {
        let memory = self.lock(region)?;
        out.extend_from_slice(memory.get(..length).ok_or_else(|| out_of_range(region, length))?);
        Ok(())
    }

    fn lock(&self, region: u32) -> Result<MutexGuard<'_, Box<[u8]>>> {
        let region = self.regions.get(region as usize).ok_or_else(|| out_of_range(region, 0))?;
        // A thread that panicked while it copied has left bytes, not a broken invariant.
        Ok(region.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn out_of_range(region: u32, length: usize) -> Error {
    Error::new(code::PROTOCOL_RANGE, format!("{length} bytes of region {region} are outside of the arena"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_within_bounds_only() {
        let arena = Arena::new(2);
        arena.copy_in(1, b"abc").unwrap();
        let mut out = b"x".to_vec();
        arena.copy_out(1, 2, &mut out).unwrap();
        assert_eq!(out, b"xab");
        assert_eq!(arena.copy_in(2, b"").unwrap_err().code(), code::PROTOCOL_RANGE);
        assert_eq!(arena.copy_in(0, &vec![0; REGION_BYTES + 1]).unwrap_err().code(), code::PROTOCOL_RANGE);
        assert_eq!(arena.copy_out(0, REGION_BYTES + 1, &mut out).unwrap_err().code(), code::PROTOCOL_RANGE);
    }
}
