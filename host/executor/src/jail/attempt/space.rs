//! Attempts on the address space by calls other than the plain ones.

use super::{
    ANONYMOUS, Attempt, CODE, EXECUTE, MANY, MEMORY, PAGE, PRIVATE, READ, WRITE, address, call1, call2, call3, call4,
    call6, done, machine_code, map, number, protect,
};
use std::io::Result;

pub(super) const ATTEMPTS: &[(&str, Attempt)] = &[
    ("execute-with-keys", |_| {
        let page = filled()?;
        let protection = (READ | EXECUTE).into();
        number(call4(libc::SYS_pkey_mprotect, page, PAGE as libc::c_long, protection, -1))
    }),
    ("change-code", |_| change_code()),
    ("execute-in-place", |_| {
        let page = map(PAGE, READ, PRIVATE, CODE)?;
        protect(page, PAGE, READ | EXECUTE).map(done)
    }),
    ("everything-at-once", |_| {
        let page = map(PAGE, READ | WRITE, PRIVATE | ANONYMOUS, -1)?;
        protect(page, PAGE, READ | WRITE | EXECUTE).map(done)
    }),
    ("move-over", |_| {
        let (page, over) = (filled()?, filled()?);
        let how = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED).into();
        number(call6(libc::SYS_mremap, [page, PAGE as _, PAGE as _, how, over, 0]))
    }),
    ("keep-and-move", |_| {
        let how = (libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP).into();
        number(call6(libc::SYS_mremap, [filled()?, PAGE as _, PAGE as _, how, 0, 0]))
    }),
    ("grow-too-long", |_| {
        let long = (MEMORY * 2).cast_signed() as libc::c_long;
        number(call6(libc::SYS_mremap, [filled()?, PAGE as _, long, libc::MREMAP_MAYMOVE.into(), 0, 0]))
    }),
    ("shared-code", |_| map(PAGE, READ | EXECUTE, libc::MAP_SHARED, CODE).map(|_| "shared code".into())),
    ("every-protection-of-code", |_| map(PAGE, READ | WRITE | EXECUTE, PRIVATE, CODE).map(|_| "writable code".into())),
    ("lock", |_| number(call2(libc::SYS_mlock, filled()?, PAGE as _))),
    ("lock-everything", |_| number(call1(libc::SYS_mlockall, libc::MCL_FUTURE.into()))),
    ("same-pages", |_| number(call3(libc::SYS_madvise, filled()?, PAGE as _, libc::MADV_MERGEABLE.into()))),
    ("fill-at-once", |_| {
        let space = map(MANY / 4, READ | WRITE, PRIVATE | ANONYMOUS, -1)?;
        number(call3(libc::SYS_madvise, address(space), (MANY / 4) as _, libc::MADV_POPULATE_WRITE.into()))
    }),
    ("shuffle-pages", |_| {
        let page = map(PAGE, READ | WRITE, libc::MAP_SHARED | ANONYMOUS, -1)?;
        number(call6(libc::SYS_remap_file_pages, [address(page), PAGE as _, 0, 0, 0, 0]))
    }),
    ("resident-pages", |_| {
        let mut there = [0u8; 1];
        number(call3(libc::SYS_mincore, filled()?, PAGE as _, address(there.as_mut_ptr())))
    }),
];

/// Opens machine code for writing, which makes a copy of it that is not executable, changes that and executes it.
#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn change_code() -> Result<String> {
    let page = map(PAGE, READ, PRIVATE, CODE)?;
    protect(page, PAGE, READ | WRITE)?;
    // SAFETY: the page may be written, and nothing refers to it.
    unsafe { std::ptr::copy_nonoverlapping(machine_code().as_ptr(), page.cast(), PAGE) };
    protect(page, PAGE, READ | EXECUTE).map(done)
}

/// A page that holds machine code.
#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn filled() -> Result<libc::c_long> {
    let page = map(PAGE, READ | WRITE, PRIVATE | ANONYMOUS, -1)?;
    // SAFETY: the page is fresh, writable and as long as the code.
    unsafe { std::ptr::copy_nonoverlapping(machine_code().as_ptr(), page.cast(), PAGE) };
    Ok(address(page))
}
