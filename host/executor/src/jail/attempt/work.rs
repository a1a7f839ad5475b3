//! What must go on working in the jail, for tests: a wall that stops it would be taken down by whoever runs into it.

use super::{CODE, EXECUTE, PAGE, PRIVATE, READ, SIGNAL, WAKE, map};
use std::collections::HashMap;
use std::io::{Error, Result};

/// Does a little of everything that an executor does.
pub(super) fn work() -> Result<String> {
    allocate();
    code()?;
    events()?;
    let caught = std::panic::catch_unwind(|| assert!(std::hint::black_box(false), "a panic is told to standard error"));
    if caught.is_ok() {
        return Err(Error::other("the panic was lost"));
    }
    let options = lockgate_sandbox::EngineOptions { slots: 2, memory_ceiling: 1 << 30, stack: 1 << 20 };
    let engine = lockgate_sandbox::Engine::new(&options).map_err(|error| Error::other(error.to_string()))?;
    drop(engine);
    let started = std::time::Instant::now();
    std::thread::yield_now();
    let map: HashMap<_, _> = (0..100).map(|n| (n, started.elapsed())).collect();
    Ok(format!("worked, {} entries", map.len()))
}

/// The heap grows and shrinks, blocks move.
pub(super) fn allocate() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for round in 0..200usize {
        let mut block = vec![1u8; 1000 + round * 997];
        block.resize(block.len() * 3, 2);
        kept.push(block);
        if kept.len() > 50 {
            kept.clear();
            kept.shrink_to_fit();
        }
    }
    let mut large = vec![0u8; 8 << 20];
    large.resize(48 << 20, 1);
    large.truncate(1 << 20);
    large.shrink_to_fit();
    std::hint::black_box(large);
}

/// Maps the code, reads it, makes it executable in place, runs it.
#[expect(unsafe_code, reason = "runs machine code")]
fn code() -> Result<()> {
    let page = map(PAGE, READ, PRIVATE, CODE)?;
    // SAFETY: replaces the mapping that was just made.
    let fixed = unsafe { libc::mmap(page, PAGE, READ | EXECUTE, PRIVATE | libc::MAP_FIXED, CODE, 0) };
    if fixed == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    // SAFETY: the page holds a function that returns at once; nothing uses it after that.
    unsafe {
        std::mem::transmute::<*mut libc::c_void, extern "C" fn()>(page)();
        libc::munmap(page, PAGE);
    }
    Ok(())
}

/// Waits for an eventfd, and signals one.
#[expect(unsafe_code, reason = "uses descriptors by their numbers")]
fn events() -> Result<()> {
    let mut count = 0u64;
    // SAFETY: both calls are given eight bytes of their own.
    let moved =
        unsafe { [libc::read(WAKE, (&raw mut count).cast(), 8), libc::write(SIGNAL, (&raw const count).cast(), 8)] };
    if moved == [8, 8] { Ok(()) } else { Err(Error::last_os_error()) }
}
