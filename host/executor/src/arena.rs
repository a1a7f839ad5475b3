//! The memory that TaskManager and executor share: for each slot a page of control words and fixed regions of bytes.
//!
//! A region is lent with a message and comes back with its answer, so at any time one side uses it. Neither side
//! relies on that: the other may be hostile and write whenever it likes. So nothing here ever becomes a Rust slice of
//! bytes: what is shared are atomic words, for which a race is no undefined behaviour, and bytes are copied out before
//! anything looks at them. The size is sealed before the memory is handed on, so that nobody can cut it off under the
//! other.

use crate::protocol::{REGION_BYTES, SLOT_REGIONS};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes of a slot's control words: one page.
const CONTROL_BYTES: usize = 4_096;
/// Bytes of a slot.
const SLOT_BYTES: usize = CONTROL_BYTES + SLOT_REGIONS as usize * REGION_BYTES;
const WORD: usize = size_of::<AtomicU64>();

/// Memory that another process may share.
pub(crate) struct Memory {
    words: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the memory is a mapping that lives as long as this value and is reached through atomics alone.
#[expect(unsafe_code, reason = "shared memory")]
unsafe impl Send for Memory {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "shared memory")]
unsafe impl Sync for Memory {}

/// A slot's part of the memory.
#[derive(Clone)]
pub(crate) struct Arena {
    memory: Arc<Memory>,
    slot: usize,
}

/// Bytes of the memory of `slots` slots.
pub(crate) fn bytes(slots: u32) -> u64 {
    SLOT_BYTES as u64 * u64::from(slots)
}

/// The descriptor of new memory for `slots` slots, whose size nobody can change any more.
///
/// # Errors
/// `LG0002` if the system refuses.
pub(crate) fn create(slots: u32) -> Result<OwnedFd> {
    let make = || {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
        // Kernels before 6.3 do not know that one.
        let memory = rustix::fs::memfd_create(c"lockgate-arena", flags)
            .or_else(|_| rustix::fs::memfd_create(c"lockgate-arena", flags - MemfdFlags::NOEXEC_SEAL))?;
        rustix::fs::ftruncate(&memory, (SLOT_BYTES * slots as usize) as u64)?;
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(memory)
    };
    make().map_err(|error: rustix::io::Errno| refused(error.into()))
}

impl Memory {
    /// Maps the memory of `slots` slots.
    ///
    /// # Errors
    /// `LG0002` if the system refuses.
    #[expect(unsafe_code, reason = "shared memory")]
    pub(crate) fn map(descriptor: impl AsFd, slots: u32) -> Result<Self> {
        let bytes = SLOT_BYTES * slots.max(1) as usize;
        // What lies behind the end of a file cannot be touched: the size must be there before the mapping is used.
        let there = rustix::fs::fstat(&descriptor).map_err(|error| refused(error.into()))?.st_size;
        if u64::try_from(there).unwrap_or(0) < bytes as u64 {
            return Err(Error::new(code::PROTOCOL_RANGE, format!("an arena of {there} bytes for {slots} slots")));
        }
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the system's choice, of a file whose size is sealed.
        let mapped = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, protection, flags, &descriptor, 0) };
        let mapped = mapped.map_err(|error| refused(error.into()))?;
        let words = NonNull::new(mapped.cast()).ok_or_else(|| refused(std::io::ErrorKind::OutOfMemory.into()))?;
        Ok(Self { words, count: bytes / WORD })
    }

    #[expect(unsafe_code, reason = "shared memory")]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has this many words, is aligned to a page, is filled with zeroes at first, and lives as
        // long as `self`. Others may write to it at any time, which is what atomics are for.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }
}

impl Drop for Memory {
    #[expect(unsafe_code, reason = "shared memory")]
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this length, and nothing refers to it without borrowing `self`.
        // It cannot fail for such a mapping; if it did, address space would be lost, no more.
        let _ = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), self.count * WORD) };
    }
}

impl Arena {
    /// The part of slot `slot`.
    pub(crate) fn new(memory: &Arc<Memory>, slot: u32) -> Self {
        Self { memory: Arc::clone(memory), slot: slot as usize }
    }

    /// How many regions there are.
    pub(crate) fn regions(&self) -> u32 {
        SLOT_REGIONS
    }

    /// The control words.
    #[expect(unsafe_code, reason = "shared memory")]
    pub(crate) fn control(&self) -> &[AtomicU32] {
        let page = self.part(0, CONTROL_BYTES).unwrap_or_default();
        // SAFETY: the same memory as that of `page`, which lives as long as `self`. A control page is never seen as
        // anything but such words: `region` begins behind it.
        unsafe { std::slice::from_raw_parts(page.as_ptr().cast(), size_of_val(page) / size_of::<AtomicU32>()) }
    }

    /// Copies `bytes` to the beginning of a region.
    ///
    /// # Errors
    /// `LG0902` if there is no such region or it is too small.
    pub(crate) fn copy_in(&self, region: u32, bytes: &[u8]) -> Result<()> {
        let words = self.region(region).filter(|_| bytes.len() <= REGION_BYTES);
        copy_in(words.ok_or_else(|| out_of_range(region, bytes.len()))?, bytes);
        Ok(())
    }

    /// Fills everything that is shared, of all slots.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn scribble(&self, value: u64) {
        self.memory.words().iter().for_each(|word| word.store(value, Ordering::Relaxed));
    }

    /// The part of another slot.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn of(&self, slot: u32) -> Self {
        Self::new(&self.memory, slot)
    }

    /// Appends the first `length` bytes of a region to `out`.
    ///
    /// # Errors
    /// `LG0902` if there is no such region or it is too small.
    pub(crate) fn copy_out(&self, region: u32, length: usize, out: &mut Vec<u8>) -> Result<()> {
        let words = self.region(region).filter(|_| length <= REGION_BYTES);
        copy_out(words.ok_or_else(|| out_of_range(region, length))?, length, out);
        Ok(())
    }

    fn region(&self, region: u32) -> Option<&[AtomicU64]> {
        if region >= SLOT_REGIONS {
            return None;
        }
        self.part(CONTROL_BYTES + region as usize * REGION_BYTES, REGION_BYTES)
    }

    fn part(&self, offset: usize, length: usize) -> Option<&[AtomicU64]> {
        let from = (self.slot * SLOT_BYTES + offset) / WORD;
        self.memory.words().get(from..from + length / WORD)
    }
}

/// Stores `bytes`, of which there are at most as many as the words hold.
fn copy_in(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<WORD>();
    for (word, bytes) in words.iter().zip(whole) {
        word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
    }
    if let (Some(word), false) = (words.get(whole.len()), rest.is_empty()) {
        let mut last = [0; WORD];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
    }
}

/// Appends the first `length` bytes of what the words hold at this moment.
#[expect(unsafe_code, reason = "memory that is written whole need not be zeroed before")]
fn copy_out(words: &[AtomicU64], length: usize, out: &mut Vec<u8>) {
    let length = length.min(words.len() * WORD);
    let padded = length.next_multiple_of(WORD);
    out.reserve(padded);
    let (spare, _) = out.spare_capacity_mut().split_at_mut(padded);
    for (bytes, word) in spare.as_chunks_mut::<WORD>().0.iter_mut().zip(words) {
        *bytes = word.load(Ordering::Relaxed).to_ne_bytes().map(std::mem::MaybeUninit::new);
    }
    // SAFETY: `padded / WORD` words were there to be zipped with as many chunks, so the first `padded` bytes of the spare
    // capacity are written, and `length` is at most that.
    unsafe { out.set_len(out.len() + length) };
}

fn out_of_range(region: u32, length: usize) -> Error {
    Error::new(code::PROTOCOL_RANGE, format!("{length} bytes of region {region} are outside of the arena"))
}

fn refused(error: std::io::Error) -> Error {
    Error::new(code::IO, format!("no memory to share with the executor: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_whatever_its_length() {
        let words: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(u64::MAX)).collect();
        for length in 0..=32 {
            let bytes: Vec<u8> = (1..=length).collect();
            copy_in(&words, &bytes);
            let mut out = b"x".to_vec();
            copy_out(&words, bytes.len(), &mut out);
            assert_eq!(out.split_first().unwrap(), (&b'x', &*bytes));
        }
        let mut out = Vec::new();
        copy_out(&words, 33, &mut out);
        assert_eq!(out.len(), 32, "more than there is");
    }

    #[cfg(not(miri))]
    #[test]
    fn copies_within_bounds_only() {
        let memory = Arc::new(Memory::map(create(2).unwrap(), 2).unwrap());
        let arena = Arena::new(&memory, 1);
        arena.copy_in(1, b"abc").unwrap();
        let mut out = b"x".to_vec();
        arena.copy_out(1, 2, &mut out).unwrap();
        assert_eq!(out, b"xab");
        for (region, bytes) in [(SLOT_REGIONS, 0), (u32::MAX, 0), (0, REGION_BYTES + 1)] {
            assert_eq!(arena.copy_in(region, &vec![0; bytes]).unwrap_err().code(), code::PROTOCOL_RANGE);
            assert_eq!(arena.copy_out(region, bytes, &mut out).unwrap_err().code(), code::PROTOCOL_RANGE);
        }
        // Behind the regions of one slot begins the next one's page of control words.
        let first = Arena::new(&memory, 0);
        assert!(first.copy_in(SLOT_REGIONS, b"x").is_err() && first.copy_out(SLOT_REGIONS, 1, &mut out).is_err());
        let beyond = Arena::new(&memory, 2);
        assert!(beyond.copy_in(0, b"").is_err() && beyond.control().is_empty(), "a slot that is not there");
    }

    #[cfg(not(miri))]
    #[test]
    fn slots_and_regions_do_not_overlap() {
        let memory = Arc::new(Memory::map(create(2).unwrap(), 2).unwrap());
        let arenas = [Arena::new(&memory, 0), Arena::new(&memory, 1)];
        let mark = |slot: usize, region: u32| vec![(slot * 10) as u8 + region as u8 + 1; REGION_BYTES];
        for (slot, arena) in arenas.iter().enumerate() {
            arena.control().last().unwrap().store(slot as u32 + 7, Ordering::Relaxed);
            (0..SLOT_REGIONS).for_each(|region| arena.copy_in(region, &mark(slot, region)).unwrap());
        }
        for (slot, arena) in arenas.iter().enumerate() {
            assert_eq!(arena.control().last().unwrap().load(Ordering::Relaxed), slot as u32 + 7);
            for region in 0..SLOT_REGIONS {
                let mut out = Vec::new();
                arena.copy_out(region, REGION_BYTES, &mut out).unwrap();
                assert!(out == mark(slot, region), "slot {slot}, region {region}");
            }
        }
    }

    #[cfg(not(miri))]
    #[test]
    fn nobody_cuts_the_memory_off() {
        let descriptor = create(1).unwrap();
        for size in [0, bytes(1) - 1, bytes(1) + 1, bytes(2)] {
            assert!(rustix::fs::ftruncate(&descriptor, size).is_err(), "{size} bytes");
        }
        assert!(rustix::fs::fcntl_add_seals(&descriptor, SealFlags::WRITE).is_err());
        assert_eq!(Memory::map(&descriptor, 2).err().map(|error| error.code()), Some(code::PROTOCOL_RANGE));
    }
}
