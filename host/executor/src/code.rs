//! Machine code on its way into an executor: one memory file that the TaskManager writes and the executor only reads.
//!
//! The executor maps an artefact from it and then, once more, that artefact's text as executable. It can make no other
//! memory executable: writing and executing never meet in one page, and what is executed is what the TaskManager wrote.

use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use lockgate_sandbox::CodeMemory;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a page: artefacts begin on one.
const PAGE: u64 = 4_096;
/// The most bytes of an artefact.
pub(crate) const MAX_ARTEFACT: u64 = 512 << 20;
/// The most bytes of all artefacts of an executor. One that has had half of it is replaced when it is idle.
const MAX_CODE: u64 = 2 << 30;

/// Where an artefact is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeRange {
    /// Its first byte, on a page.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
}

/// The TaskManager's side: appends.
pub(crate) struct CodeStore {
    file: OwnedFd,
    used: u64,
    ranges: BTreeMap<Digest, CodeRange>,
}

impl CodeStore {
    /// An empty one.
    ///
    /// # Errors
    /// `LG0002` if the system refuses.
    pub(crate) fn new() -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Said to be executable, since kernels may be told to take silence for the opposite; those before 6.3 know
        // neither.
        let file = rustix::fs::memfd_create(c"lockgate-code", flags | MemfdFlags::EXEC)
            .or_else(|_| rustix::fs::memfd_create(c"lockgate-code", flags))
            .map_err(|error| refused(error.into()))?;
        Ok(Self { file, used: 0, ranges: BTreeMap::new() })
    }

    /// A descriptor through which it can be read and mapped, and not written.
    ///
    /// # Errors
    /// `LG0002` if the system refuses.
    pub(crate) fn reader(&self) -> Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|error| refused(error.into()))
    }

    /// Where the artefact of a component is; `artefact` is put there if it is new.
    ///
    /// # Errors
    /// `LG0912` if there is no room, `LG0002` if the system refuses.
    pub(crate) fn put(&mut self, component: Digest, artefact: &[u8]) -> Result<CodeRange> {
        if let Some(range) = self.ranges.get(&component) {
            return Ok(*range);
        }
        let range = CodeRange { offset: self.used, size: artefact.len() as u64 };
        if range.size > MAX_ARTEFACT || range.size > MAX_CODE - self.used.min(MAX_CODE) {
            return Err(Error::new(code::EXECUTOR_FULL, format!("no room for {} bytes of machine code", range.size)));
        }
        let mut written = 0;
        while let Some(rest) = artefact.get(written..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(&self.file, rest, range.offset + written as u64) {
                Ok(0) => return Err(refused(io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(refused(error.into())),
            }
        }
        self.used = (range.offset + range.size).next_multiple_of(PAGE);
        // The last page is there as a whole, so that it can be mapped.
        rustix::fs::ftruncate(&self.file, self.used).map_err(|error| refused(error.into()))?;
        // From now on it only grows: nobody takes code away under a process that runs it.
        rustix::fs::fcntl_add_seals(&self.file, SealFlags::SHRINK).map_err(|error| refused(error.into()))?;
        self.ranges.insert(component, range);
        Ok(range)
    }

    /// Whether it is time for another.
    pub(crate) fn worn_out(&self) -> bool {
        self.used > MAX_CODE / 2
    }
}

/// The executor's side: the artefacts that a run has mapped, for as long as its engine is there.
pub(crate) struct Code {
    file: Arc<OwnedFd>,
    mapped: Mutex<Vec<Mapped>>,
}

struct Mapped {
    start: NonNull<c_void>,
    length: usize,
    offset: u64,
}

// SAFETY: what is behind the pointers is mapped read-only or execute-only for as long as the value lives.
#[expect(unsafe_code, reason = "mapped machine code")]
unsafe impl Send for Mapped {}

impl Code {
    pub(crate) fn new(file: Arc<OwnedFd>) -> Self {
        Self { file, mapped: Mutex::default() }
    }

    /// Maps an artefact. What is returned begins on a page and is never written to in this process; it is mapped until
    /// `self` is dropped.
    ///
    /// # Errors
    /// `LG0902` if there is no such artefact, `LG0002` if the system refuses.
    #[expect(unsafe_code, reason = "mapped machine code")]
    pub(crate) fn map(&self, range: CodeRange) -> Result<NonNull<[u8]>> {
        // That the file is as long is the TaskManager's word: the jail does not let this process ask.
        let whole = range.size > 0 && range.size <= MAX_ARTEFACT && range.offset.checked_add(range.size).is_some();
        if !whole || !range.offset.is_multiple_of(PAGE) {
            return Err(Error::new(code::PROTOCOL_RANGE, format!("no machine code at {range:?}")));
        }
        let length = usize::try_from(range.size).map_err(|_| refused(io::ErrorKind::OutOfMemory.into()))?;
        let (none, flags) = (std::ptr::null_mut(), MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address of the system's choice, of a part of a file that cannot shrink.
        let start = unsafe { rustix::mm::mmap(none, length, ProtFlags::READ, flags, &*self.file, range.offset) };
        let start = NonNull::new(start.map_err(|error| refused(error.into()))?)
            .ok_or_else(|| refused(io::ErrorKind::OutOfMemory.into()))?;
        self.lock().push(Mapped { start, length, offset: range.offset });
        Ok(NonNull::slice_from_raw_parts(start.cast(), length))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Mapped>> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CodeMemory for Code {
    #[expect(unsafe_code, reason = "mapped machine code")]
    fn publish(&self, text: *const u8, length: usize) -> io::Result<()> {
        let mapped = self.lock();
        let begin = text.addr();
        let inside = |mapped: &&Mapped| {
            let start = mapped.start.addr().get();
            begin >= start && length <= mapped.length && begin - start <= mapped.length - length
        };
        let found = mapped.iter().find(inside).ok_or(io::ErrorKind::InvalidInput)?;
        let offset = found.offset + (begin - found.start.addr().get()) as u64;
        if !(begin as u64).is_multiple_of(PAGE) || !offset.is_multiple_of(PAGE) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (protection, flags) = (ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE | MapFlags::FIXED);
        // SAFETY: it replaces pages of a mapping of ours by the same pages of the same file, so that every reference
        // into it reads what it read before. `length` may end within the last page, which belongs to the mapping.
        unsafe { rustix::mm::mmap(text.cast_mut().cast(), length, protection, flags, &*self.file, offset) }?;
        Ok(())
    }
}

impl Drop for Code {
    #[expect(unsafe_code, reason = "mapped machine code")]
    fn drop(&mut self) {
        for mapped in self.lock().drain(..) {
            // SAFETY: the mapping was made with this length. The engine holds this value and drops it last, so nothing
            // refers to the artefact any more. It cannot fail for such a mapping.
            let _ = unsafe { rustix::mm::munmap(mapped.start.as_ptr(), mapped.length) };
        }
    }
}

fn refused(error: io::Error) -> Error {
    Error::new(code::IO, format!("machine code cannot be handed over: {error}"))
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_mapped_and_cannot_be_written() {
        let mut store = CodeStore::new().unwrap();
        let first = store.put(Digest::of(b"a"), &[1; 5_000]).unwrap();
        let second = store.put(Digest::of(b"b"), b"second").unwrap();
        assert_eq!(store.put(Digest::of(b"a"), b"other").unwrap(), first, "put once");
        assert_eq!(second, CodeRange { offset: 8_192, size: 6 });
        let reader = store.reader().unwrap();
        assert!(rustix::io::pwrite(&reader, b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(&store.file, 0).is_err(), "cut off under its readers");
        let code = Code::new(Arc::new(reader));
        let mapped = code.map(second).unwrap();
        #[expect(unsafe_code, reason = "a test of mapped memory")]
        // SAFETY: `code` lives, nothing writes there.
        let found = unsafe { mapped.as_ref() };
        assert_eq!(found, b"second");
    }

    #[test]
    fn only_whole_pages_of_sensible_size_are_mapped() {
        let mut store = CodeStore::new().unwrap();
        store.put(Digest::of(b"a"), &[1; 5_000]).unwrap();
        let code = Code::new(Arc::new(store.reader().unwrap()));
        for (offset, size) in [(0, 0), (1, 10), (u64::MAX - 4_095, 4_096), (0, MAX_ARTEFACT + 1)] {
            assert_eq!(code.map(CodeRange { offset, size }).unwrap_err().code(), code::PROTOCOL_RANGE);
        }
    }

    #[test]
    fn only_what_was_mapped_becomes_executable() {
        let mut store = CodeStore::new().unwrap();
        let range = store.put(Digest::of(b"a"), &[0xc3; 9_000]).unwrap();
        let code = Code::new(Arc::new(store.reader().unwrap()));
        let mapped = code.map(range).unwrap().cast::<u8>().as_ptr().cast_const();
        code.publish(mapped.wrapping_add(4_096), 4_904).unwrap();
        for (text, length) in [(mapped.wrapping_add(1), 10), (mapped, 9_001), (mapped.wrapping_sub(4_096), 4_096)] {
            assert!(code.publish(text, length).is_err());
        }
        let other = Box::new([0_u8; 8_192]);
        assert!(code.publish(other.as_ptr(), 4_096).is_err(), "memory that is no artefact");
    }
}
