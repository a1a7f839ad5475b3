//! Attempts on the descriptors that there are, and to have more.

use super::{Attempt, CODE, SOCKET, WAKE, address, call1, call2, call3, call4, call6, number};

pub(super) const ATTEMPTS: &[(&str, Attempt)] = &[
    ("copy-by-control", |_| number(call3(libc::SYS_fcntl, SOCKET.into(), libc::F_DUPFD.into(), 0))),
    ("replace", |_| number(call3(libc::SYS_dup3, WAKE.into(), CODE.into(), 0))),
    ("device-control", |_| number(call3(libc::SYS_ioctl, SOCKET.into(), libc::FIOCLEX as libc::c_long, 0))),
    ("read-at", |_| {
        let mut bytes = [0u8; 8];
        number(call4(libc::SYS_pread64, CODE.into(), address(bytes.as_mut_ptr()), 8, 0))
    }),
    ("write-parts", |_| {
        let byte = [b'v'];
        let part = libc::iovec { iov_base: byte.as_ptr().cast_mut().cast(), iov_len: 1 };
        number(call3(libc::SYS_writev, SOCKET.into(), address(&raw const part), 1))
    }),
    ("send-file", |_| number(call4(libc::SYS_sendfile, SOCKET.into(), CODE.into(), 0, 1))),
    ("send-to-address", |_| {
        let to = [libc::AF_UNIX as u16; 8];
        let byte = [b't'];
        let (byte, to) = (address(byte.as_ptr()), address(to.as_ptr()));
        number(call6(libc::SYS_sendto, [SOCKET.into(), byte, 1, libc::MSG_NOSIGNAL.into(), to, 2]))
    }),
    ("pipe", |_| {
        let mut pair = [0i32; 2];
        number(call2(libc::SYS_pipe2, address(pair.as_mut_ptr()), 0))
    }),
    ("wait-for-many", |_| number(call1(libc::SYS_epoll_create1, 0))),
    ("event", |_| number(call2(libc::SYS_eventfd2, 0, 0))),
    ("signal-descriptor", |_| {
        let signals = [0u64; 1];
        number(call4(libc::SYS_signalfd4, -1, address(signals.as_ptr()), 8, 0))
    }),
    ("close-all", |_| number(call3(libc::SYS_close_range, 100, libc::c_long::from(u32::MAX), 0))),
];
