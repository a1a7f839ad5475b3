//! Attempts to break out, for tests: what a compromised executor would try, as plainly as it would.
//!
//! Each is a system call or a few, made by hand so that no library stands between. Only what is needed without `unsafe`
//! elsewhere is here: the program that enters the jail and plays them is `tests/src/bin/compromised`.

mod descriptors;
mod files;
mod kernel;
mod machine;
mod others;
mod sockets;
mod space;
mod work;

pub use machine::Machine;

use std::io::{Error, Result};
use std::os::fd::RawFd;
use std::ptr::{null, null_mut};

/// Where the program's descriptors are.
pub const SOCKET: RawFd = 3;
/// Machine code: one page that holds a function which returns at once.
pub const CODE: RawFd = 4;
/// An eventfd that may be read.
pub const WAKE: RawFd = 5;
/// An eventfd that may be written.
pub const SIGNAL: RawFd = 6;
/// Bytes of private memory in these tests, both as the limit and as the longest mapping.
pub const MEMORY: u64 = 256 << 20;

/// The page that [`CODE`] holds.
pub fn machine_code() -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    let code = [0xc3];
    #[cfg(target_arch = "aarch64")]
    let code = [0xc0, 0x03, 0x5f, 0xd6];
    let mut page = vec![0; PAGE];
    page.iter_mut().zip(code).for_each(|(byte, code)| *byte = code);
    page
}

type Attempt = fn(&Stage) -> Result<String>;

/// What an attempt knows of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// The process that started this one, by its id outside.
    pub parent: i32,
    /// An address that can be read and written there.
    pub address: usize,
    /// A port of this machine on which that process listens, over TCP. It also listens at the abstract socket
    /// `lockgate-escape-PID` and at the path `/tmp/lockgate-escape-PID`.
    pub port: u16,
}

/// The attempts that stand here, with their names.
pub const ATTEMPTS: &[(&str, Attempt)] = &[
    ("open", |_| number(call4(libc::SYS_openat, CWD, path(c"/etc/passwd"), libc::O_RDONLY.into(), 0))),
    ("create", |_| {
        // A file without a name leaves nothing behind.
        number(call4(libc::SYS_openat, CWD, path(c"/dev/shm"), (libc::O_TMPFILE | libc::O_RDWR).into(), 0o600))
    }),
    ("socket", |_| number(call3(libc::SYS_socket, libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0))),
    ("fork", |_| fork()),
    ("thread", |_| {
        let thread = std::thread::Builder::new().spawn(|| ())?;
        thread.join().map(|()| "a thread ran".into()).map_err(|_| Error::other("panicked"))
    }),
    ("exec", |_| execute()),
    ("map-writable-code", |_| map(PAGE, READ | WRITE | EXECUTE, PRIVATE | ANONYMOUS, -1).map(shown)),
    ("map-other-code", |_| map(PAGE, READ | EXECUTE, PRIVATE | ANONYMOUS, -1).map(shown)),
    ("map-code-writable", |_| map(PAGE, READ | WRITE, PRIVATE, CODE).map(shown)),
    ("map-code-shared", |_| map(PAGE, READ, libc::MAP_SHARED, CODE).map(shown)),
    ("write-then-execute", |_| write_then_execute()),
    ("map-shared", |_| map(MANY, READ | WRITE, libc::MAP_SHARED | ANONYMOUS, -1).map(shown)),
    ("map-huge-pages", |_| map(2 << 20, READ | WRITE, PRIVATE | ANONYMOUS | libc::MAP_HUGETLB, -1).map(shown)),
    ("map-growing", |_| map(PAGE, READ | WRITE, PRIVATE | ANONYMOUS | libc::MAP_GROWSDOWN, -1).map(shown)),
    ("map-readable", |_| map(1 << 40, READ, PRIVATE | ANONYMOUS | libc::MAP_NORESERVE, -1).map(shown)),
    ("map-too-long", |_| map(MANY * 2, READ | WRITE, PRIVATE | ANONYMOUS | libc::MAP_NORESERVE, -1).map(shown)),
    ("map-too-much", |_| {
        (0..8).try_for_each(|_| map(MANY / 4, READ | WRITE, PRIVATE | ANONYMOUS, -1).map(drop)).map(done)
    }),
    ("protect-too-long", |_| protect_too_long()),
    ("protect-too-much", |_| protect_too_much()),
    ("hide-and-repeat", |_| hide(8)),
    ("kill", |stage| number(call2(libc::SYS_kill, stage.parent.into(), 0))),
    ("kill-thread", |stage| number(call3(libc::SYS_tgkill, stage.parent.into(), stage.parent.into(), 0))),
    ("ptrace", |stage| number(call4(libc::SYS_ptrace, libc::PTRACE_SEIZE.into(), stage.parent.into(), 0, 0))),
    ("read-memory", read_memory),
    ("raise-limit", |_| raise_limit()),
    ("io-uring", |_| io_uring()),
    ("other-numbers", |_| number(call1(OTHER_NUMBERS + libc::SYS_getpid, 0))),
    #[cfg(target_arch = "x86_64")]
    ("other-entry", |_| other_entry()),
    ("memfd", |_| number(call2(libc::SYS_memfd_create, path(c"x"), 0))),
    ("unshare", |_| number(call1(libc::SYS_unshare, libc::CLONE_NEWUTS.into()))),
    ("read-code", |_| transfer(libc::SYS_read, CODE)),
    ("write-socket", |_| transfer(libc::SYS_write, SOCKET)),
    ("send-socket", |_| tell("sent", Voice::Send).map(done)),
    ("map-code", |_| map(PAGE, READ, PRIVATE, CODE).map(shown)),
    ("allocate", |_| {
        work::allocate();
        Ok(done(()))
    }),
    ("read-signal", |_| transfer(libc::SYS_read, SIGNAL)),
    ("duplicate", |_| number(call1(libc::SYS_dup, SOCKET.into()))),
    ("close", |_| number(call1(libc::SYS_close, SOCKET.into()))),
    ("abort", |_| std::process::abort()),
    ("fault", |_| fault()),
    ("hide-for-ever", |_| hide(usize::MAX)),
    ("page-tables", |_| page_tables()),
    ("spin", |_| spin()),
    ("wait", |_| wait()),
    ("work", |_| work::work()),
];

/// Plays the attempt called `name`: what it got, or why it was refused. None if there is none of that name.
pub fn play(name: &str, stage: &Stage) -> Option<Result<String>> {
    let groups = [
        ATTEMPTS,
        files::ATTEMPTS,
        sockets::ATTEMPTS,
        others::ATTEMPTS,
        space::ATTEMPTS,
        descriptors::ATTEMPTS,
        kernel::ATTEMPTS,
    ];
    let mut all = groups.into_iter().flatten();
    all.find(|(known, _)| *known == name).map(|(_, attempt)| attempt(stage))
}

/// How to say something on the socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Voice {
    /// As an executor may.
    Send,
    /// As a compiler may, to which it is a pipe.
    Write,
}

/// Says `text` on the socket.
///
/// # Errors
/// Those of the system call.
#[expect(unsafe_code, reason = "plays what a compromised process does")]
pub fn tell(text: &str, how: Voice) -> Result<()> {
    let (bytes, length) = (text.as_ptr().cast(), text.len());
    // SAFETY: the pointer and length are those of `text`.
    let sent = unsafe {
        match how {
            Voice::Send => libc::send(SOCKET, bytes, length, libc::MSG_NOSIGNAL),
            Voice::Write => libc::write(SOCKET, bytes, length),
        }
    };
    if sent < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

const PAGE: usize = 4096;
const MANY: usize = 256 << 20;
/// What marks the numbers of x32, another table of the same calls on x86-64.
const OTHER_NUMBERS: libc::c_long = 0x4000_0000;
const CWD: libc::c_long = libc::AT_FDCWD as libc::c_long;
const READ: i32 = libc::PROT_READ;
const WRITE: i32 = libc::PROT_WRITE;
const EXECUTE: i32 = libc::PROT_EXEC;
const PRIVATE: i32 = libc::MAP_PRIVATE;
const ANONYMOUS: i32 = libc::MAP_ANONYMOUS;

/// An attempt that takes nothing of this process with it if it works.
fn call(
    number: libc::c_long,
    a: libc::c_long,
    b: libc::c_long,
    c: libc::c_long,
    d: libc::c_long,
) -> Result<libc::c_long> {
    call6(number, [a, b, c, d, 0, 0])
}

#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn call6(number: libc::c_long, [a, b, c, d, e, f]: [libc::c_long; 6]) -> Result<libc::c_long> {
    // SAFETY: each attempt passes numbers, pointers to constants, or pointers to memory of its own that outlives the call.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

fn call1(number: libc::c_long, a: libc::c_long) -> Result<libc::c_long> {
    call(number, a, 0, 0, 0)
}

fn call2(number: libc::c_long, a: libc::c_long, b: libc::c_long) -> Result<libc::c_long> {
    call(number, a, b, 0, 0)
}

fn call3(number: libc::c_long, a: libc::c_long, b: libc::c_long, c: libc::c_long) -> Result<libc::c_long> {
    call(number, a, b, c, 0)
}

fn call4(
    number: libc::c_long,
    a: libc::c_long,
    b: libc::c_long,
    c: libc::c_long,
    d: libc::c_long,
) -> Result<libc::c_long> {
    call(number, a, b, c, d)
}

fn number(result: Result<libc::c_long>) -> Result<String> {
    result.map(|number| format!("the kernel answered {number}"))
}

fn shown(address: *mut libc::c_void) -> String {
    format!("mapped at {address:?}")
}

fn done(_: ()) -> String {
    "done".into()
}

fn path(text: &'static std::ffi::CStr) -> libc::c_long {
    address(text.as_ptr())
}

fn address<T>(pointer: *const T) -> libc::c_long {
    pointer.expose_provenance().cast_signed() as libc::c_long
}

#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn map(length: usize, protection: i32, flags: i32, fd: RawFd) -> Result<*mut libc::c_void> {
    // SAFETY: without MAP_FIXED nothing that is mapped already is touched.
    let address = unsafe { libc::mmap(null_mut(), length, protection, flags, fd, 0) };
    if address == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(address) }
}

#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn protect(address: *mut libc::c_void, length: usize, protection: i32) -> Result<()> {
    // SAFETY: every caller passes a mapping of its own.
    let result = unsafe { libc::mprotect(address, length, protection) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn write_then_execute() -> Result<String> {
    let page = map(PAGE, READ | WRITE, PRIVATE | ANONYMOUS, -1)?;
    let code = machine_code();
    // SAFETY: the page is fresh, writable and as long as the code.
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), page.cast(), PAGE) };
    protect(page, PAGE, READ | EXECUTE)?;
    // SAFETY: the page holds a function that returns at once.
    unsafe { std::mem::transmute::<*mut libc::c_void, extern "C" fn()>(page)() };
    Ok("ran what was written".into())
}

/// Opens a reservation of twice the limit in one piece.
fn protect_too_long() -> Result<String> {
    let space = map(MANY * 2, 0, PRIVATE | ANONYMOUS | libc::MAP_NORESERVE, -1)?;
    protect(space, MANY * 2, READ | WRITE).map(done)
}

/// Opens a reservation of twice the limit piece by piece.
fn protect_too_much() -> Result<String> {
    const PIECE: usize = 1 << 20;
    let space = map(MANY * 2, 0, PRIVATE | ANONYMOUS | libc::MAP_NORESERVE, -1)?;
    for piece in 0..MANY * 2 / PIECE {
        protect(space.wrapping_byte_add(piece * PIECE), PIECE, READ | WRITE)?;
    }
    Ok("opened all of it".into())
}

/// Fills memory and makes it inaccessible, again and again: `RLIMIT_DATA` counts what may be written now, not what was.
#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn hide(times: usize) -> Result<String> {
    const PIECE: usize = MANY / 4;
    for _ in 0..times {
        let piece = map(PIECE, READ | WRITE, PRIVATE | ANONYMOUS, -1)?;
        for page in 0..PIECE / PAGE {
            // SAFETY: within the mapping that was just made.
            unsafe { piece.cast::<u8>().add(page * PAGE).write_volatile(1) };
        }
        protect(piece, PIECE, 0)?;
    }
    Ok("holds twice the limit".into())
}

#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn fork() -> Result<String> {
    let child = call(libc::SYS_clone, libc::SIGCHLD.into(), 0, 0, 0)?;
    if child == 0 {
        // SAFETY: ends the new process alone.
        unsafe { libc::_exit(0) }
    }
    Ok("a process was made".into())
}

fn execute() -> Result<String> {
    let program = c"/bin/true".as_ptr();
    let arguments = [program, null()];
    number(call3(libc::SYS_execve, address(program), address(arguments.as_ptr()), address(&raw const arguments[1])))
}

fn read_memory(stage: &Stage) -> Result<String> {
    across(stage, libc::SYS_process_vm_readv)
}

/// Moves eight bytes between this process and its parent.
fn across(stage: &Stage, way: libc::c_long) -> Result<String> {
    let mut here = [0u8; 8];
    let to = libc::iovec { iov_base: here.as_mut_ptr().cast(), iov_len: here.len() };
    let from = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(stage.address), iov_len: here.len() };
    let (to, from) = (address(&raw const to), address(&raw const from));
    number(call6(way, [stage.parent.into(), to, 1, from, 1, 0]))
}

/// Enters the kernel as a program of 32 bits does, whose calls have other numbers: 20 is getpid there and writev here.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn other_entry() -> Result<String> {
    let result: i64;
    // SAFETY: the call takes no argument and touches no memory.
    unsafe { std::arch::asm!("int 0x80", inlateout("rax") 20i64 => result, options(nostack)) };
    Ok(format!("the kernel answered {result}"))
}

fn raise_limit() -> Result<String> {
    let limit = libc::rlimit { rlim_cur: 1 << 40, rlim_max: 1 << 40 };
    number(call4(libc::SYS_prlimit64, 0, libc::RLIMIT_DATA as libc::c_long, address(&raw const limit), 0))
}

fn io_uring() -> Result<String> {
    let mut parameters = [0u8; 256];
    number(call2(libc::SYS_io_uring_setup, 8, address(parameters.as_mut_ptr())))
}

fn transfer(how: libc::c_long, fd: RawFd) -> Result<String> {
    let mut bytes = [1u8; 8];
    number(call3(how, fd.into(), address(bytes.as_mut_ptr()), 8))
}

#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn fault() -> Result<String> {
    let page = map(PAGE, 0, PRIVATE | ANONYMOUS, -1)?;
    // SAFETY: it is not sound, and is to end the process.
    Ok(unsafe { page.cast::<u8>().read_volatile() }.to_string())
}

/// Touches a page in each GiB of a reservation, and hides it again: each costs three pages of tables.
#[expect(unsafe_code, reason = "plays what a compromised process does")]
fn page_tables() -> Result<String> {
    const SPACE: usize = 8 << 40;
    const APART: usize = 1 << 30;
    for round in 0..usize::MAX / PAGE {
        let space = map(SPACE, 0, PRIVATE | ANONYMOUS | libc::MAP_NORESERVE, -1)?;
        for at in (0..SPACE).step_by(APART) {
            let page = space.wrapping_byte_add(at + round % 512 * PAGE);
            protect(page, PAGE, READ | WRITE)?;
            // SAFETY: within the mapping that was just made, in a page that may be written.
            unsafe { page.cast::<u8>().write_volatile(1) };
            protect(page, PAGE, 0)?;
        }
    }
    Ok("filled the tables".into())
}

/// Uses CPU until it is ended.
fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Waits to be ended.
fn wait() -> ! {
    loop {
        std::thread::park();
    }
}
