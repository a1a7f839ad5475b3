//! The allocator, which tells the TaskManager when it was refused memory.
//!
//! A process that is at the end of what it may have aborts at the next allocation, and an abort says nothing. So an
//! executor leaves word in the memory that it shares with the TaskManager, and a job that failed for this can say so. A
//! hostile executor can leave that word without need: it only chooses the text of its own end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// The system's allocator, and where it says that it was refused.
struct Telling;

#[global_allocator]
static ALLOCATOR: Telling = Telling;

/// Where word is left; nowhere in a process that is no executor.
static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());

/// The most bytes at once: more would be more than the process may have, and to ask the kernel would end it.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From now on a refusal is told in `word`, which is never freed, and nothing above `most` bytes is asked for.
pub(crate) fn tell(word: &'static AtomicU32, most: u64) {
    MOST.store(usize::try_from(most).unwrap_or(usize::MAX), Ordering::Release);
    WORD.store(std::ptr::from_ref(word).cast_mut(), Ordering::Release);
}

// SAFETY: everything is the system allocator's; between its answer and ours stands a store to an atomic.
#[expect(unsafe_code, reason = "an allocator is unsafe to write")]
unsafe impl GlobalAlloc for Telling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST.load(Ordering::Relaxed) {
            return told(null_mut());
        }
        // SAFETY: the caller's promise about `layout`.
        told(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST.load(Ordering::Relaxed) {
            return told(null_mut());
        }
        // SAFETY: the caller's promise about `layout`.
        told(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > MOST.load(Ordering::Relaxed) {
            return told(null_mut());
        }
        // SAFETY: the caller's promise about all three.
        told(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about both.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn told(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        refused();
    }
    pointer
}

#[cold]
#[expect(unsafe_code, reason = "a pointer in an atomic")]
fn refused() {
    let word = WORD.load(Ordering::Acquire);
    if !word.is_null() {
        // SAFETY: it came from a reference that lives for ever.
        unsafe { &*word }.store(1, Ordering::Release);
    }
}
