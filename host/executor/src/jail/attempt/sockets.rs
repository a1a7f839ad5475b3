//! Attempts on sockets of every kind.

use super::{Attempt, SOCKET, address, call2, call3, call4, call6, number};
use std::io::Result;

pub(super) const ATTEMPTS: &[(&str, Attempt)] = &[
    ("tcp", |stage| {
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
        let to = local(stage.port);
        number(call3(libc::SYS_connect, socket, address(&raw const to), LOCAL))
    }),
    ("udp", |stage| {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
        let to = local(stage.port);
        number(call6(libc::SYS_sendto, [socket, address([0u8].as_ptr()), 1, 0, address(&raw const to), LOCAL]))
    }),
    ("listen", |_| {
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
        let at = local(0);
        call3(libc::SYS_bind, socket, address(&raw const at), LOCAL)?;
        number(call2(libc::SYS_listen, socket, 1))
    }),
    ("unix-path", |stage| unix(&format!("/tmp/lockgate-escape-{}", stage.parent))),
    ("unix-abstract", |stage| unix(&format!("\0lockgate-escape-{}", stage.parent))),
    ("socket-pair", |_| {
        let mut pair = [0i32; 2];
        let (family, kind) = (libc::AF_UNIX.into(), libc::SOCK_STREAM.into());
        number(call4(libc::SYS_socketpair, family, kind, 0, address(pair.as_mut_ptr())))
    }),
    ("netlink", |_| number(socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE))),
    ("raw", |_| number(socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP))),
    ("packet", |_| number(socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0))),
    ("vsock", |_| number(socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0))),
    ("crypto-socket", |_| number(socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0))),
    ("send-descriptor", |_| message(libc::SYS_sendmsg, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)),
    ("take-descriptor", |_| match message(libc::SYS_recvmsg, libc::MSG_DONTWAIT) {
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok("nothing was sent, it may be taken".into()),
        result => result,
    }),
    ("shut-down", |_| number(call2(libc::SYS_shutdown, SOCKET.into(), libc::SHUT_RD.into()))),
    ("socket-option", |_| {
        let size = 1i32 << 20;
        let (level, name) = (libc::SOL_SOCKET.into(), libc::SO_SNDBUF.into());
        number(call6(libc::SYS_setsockopt, [SOCKET.into(), level, name, address(&raw const size), 4, 0]))
    }),
];

const LOCAL: libc::c_long = size_of::<libc::sockaddr_in>() as libc::c_long;

fn socket(family: i32, kind: i32, protocol: i32) -> Result<libc::c_long> {
    call3(libc::SYS_socket, family.into(), kind.into(), protocol.into())
}

fn local(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    }
}

/// Connects to the socket of this name; one that begins with a zero is no file.
#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn unix(name: &str) -> Result<String> {
    let socket = socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    // SAFETY: plain data, valid as zeroes.
    let mut to: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    to.sun_family = libc::AF_UNIX as libc::sa_family_t;
    to.sun_path.iter_mut().zip(name.as_bytes()).for_each(|(to, from)| *to = from.cast_signed() as libc::c_char);
    let length = size_of::<libc::sa_family_t>() + name.len();
    number(call3(libc::SYS_connect, socket, address(&raw const to), length.cast_signed() as libc::c_long))
}

/// A message with a descriptor, to or from the socket.
#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn message(way: libc::c_long, flags: i32) -> Result<String> {
    // A header (length, level, kind) and one descriptor: cmsg(3).
    let mut control: [u64; 3] = [20, u64::from(libc::SCM_RIGHTS.cast_unsigned()) << 32 | 1, 2];
    let mut byte = [b'd'];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: plain data, valid as zeroes.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control) as _);
    number(call3(way, SOCKET.into(), address(&raw const message), flags.into()))
}
