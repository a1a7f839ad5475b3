//! Attempts on files, those of `/proc` among them: what names a file.

use super::{Attempt, CODE, CWD, address, call3, call4, call6, number, path};
use std::ffi::CString;
use std::io::{Error, Result};

pub(super) const ATTEMPTS: &[(&str, Attempt)] = &[
    ("stat", |_| {
        let mut found = [0u8; 512];
        number(call4(libc::SYS_newfstatat, CWD, path(c"/etc/passwd"), address(found.as_mut_ptr()), 0))
    }),
    ("list", |_| {
        let folder = open("/etc", libc::O_RDONLY | libc::O_DIRECTORY)?;
        let mut names = [0u8; 4096];
        number(call3(libc::SYS_getdents64, folder, address(names.as_mut_ptr()), 4096))
    }),
    ("own-memory", |_| open("/proc/self/mem", libc::O_RDWR).map(|_| "code can be written".into())),
    ("parent-memory", |stage| {
        let memory = open(&format!("/proc/{}/mem", stage.parent), libc::O_RDONLY)?;
        let mut bytes = [0u8; 8];
        let from = libc::c_long::try_from(stage.address).unwrap_or(0);
        number(call4(libc::SYS_pread64, memory, address(bytes.as_mut_ptr()), 8, from))
    }),
    ("parent-root", |stage| shown(&format!("/proc/{}/root/etc/passwd", stage.parent))),
    ("parent-descriptor", |stage| shown(&format!("/proc/{}/fd/0", stage.parent))),
    ("parent-environment", |stage| shown(&format!("/proc/{}/environ", stage.parent))),
    ("reopen-code", |_| open(&format!("/proc/self/fd/{CODE}"), libc::O_RDWR).map(|_| "code can be written".into())),
    ("watch-files", |_| {
        let watch = call3(libc::SYS_inotify_init1, 0, 0, 0)?;
        number(call3(libc::SYS_inotify_add_watch, watch, path(c"/etc"), libc::IN_OPEN.into()))
    }),
    ("file-handle", |_| file_handle()),
];

/// Opens a file and reads some of it.
fn shown(path: &str) -> Result<String> {
    let file = open(path, libc::O_RDONLY)?;
    let mut bytes = [0u8; 64];
    number(call3(libc::SYS_read, file, address(bytes.as_mut_ptr()), 64))
}

fn open(path: &str, flags: i32) -> Result<libc::c_long> {
    let path = CString::new(path).map_err(Error::other)?;
    call4(libc::SYS_openat, CWD, address(path.as_ptr()), flags.into(), 0)
}

/// Opens a file by its number in the file system, without a path. The number is of no file: only who may ask is told so.
fn file_handle() -> Result<String> {
    let handle: [u32; 4] = [8, 1, 7, 7];
    match call6(libc::SYS_open_by_handle_at, [CWD, address(handle.as_ptr()), libc::O_RDONLY.into(), 0, 0, 0]) {
        Err(error) if error.raw_os_error() == Some(libc::ESTALE) => Ok("the file system looked".into()),
        result => number(result),
    }
}
