//! Traps of every kind, ways out, and things that a guest is not given.

use crate::{Attack, honest};
use std::hint::black_box;

pub fn attacks() -> Vec<(&'static str, &'static str, Attack)> {
    vec![
        ("panic", "int64", |_| panic!("on purpose")),
        ("panic-on-seven", "int64", |x| {
            assert!(!x.contains(&7), "seven is not allowed");
            Ok(honest(x))
        }),
        ("fail-on-seven", "int64", |x| if x.contains(&7) { Err("no sevens".into()) } else { Ok(honest(x)) }),
        ("unreachable", "int64", |_| core::arch::wasm32::unreachable()),
        ("division", "int64", |_| Ok(honest(&[1 / black_box(0)]))),
        ("out-of-bounds", "int64", |_| {
            let far = black_box(usize::MAX - 64) as *const u64;
            // SAFETY: none; this is the attack. The host must trap it.
            Ok(honest(&[unsafe { far.read_volatile() } as i64]))
        }),
        ("null-call", "int64", |_| {
            let nowhere = black_box(0xffff_usize);
            // SAFETY: none; this is the attack. The host must trap it.
            let call: fn() = unsafe { std::mem::transmute(nowhere) };
            call();
            Err("an empty table entry was called".into())
        }),
        ("exit", "int64", |_| std::process::exit(0)),
        ("exit-with-code", "int64", |_| std::process::exit(3)),
        ("abort", "int64", |_| std::process::abort()),
        ("open-a-file", "int64", |_| taken("a file", std::fs::read("/etc/passwd"))),
        ("list-the-root", "int64", |_| taken("the root", std::fs::read_dir("/").map(|_| ()))),
        ("write-a-file", "int64", |_| taken("a file", std::fs::write("/tmp/owned", "x"))),
        ("connect", "int64", |_| taken("a socket", std::net::TcpStream::connect("127.0.0.1:22"))),
        ("listen", "int64", |_| taken("a socket", std::net::TcpListener::bind("127.0.0.1:0"))),
        ("datagram", "int64", |_| taken("a socket", std::net::UdpSocket::bind("127.0.0.1:0"))),
        ("resolve", "int64", |_| {
            use std::net::ToSocketAddrs;
            taken("a name", ("localhost", 80).to_socket_addrs())
        }),
        ("spawn", "int64", |_| taken("a thread", std::thread::Builder::new().spawn(|| ()))),
        ("arguments", "int64", |_| match std::env::args().count() {
            0 => Err("refused: no arguments".into()),
            some => Err(format!("the host gave {some} arguments")),
        }),
        ("environment", "int64", |_| match std::env::vars().next() {
            None => Err("refused: no environment".into()),
            Some((name, _)) => Err(format!("the host gave {name}")),
        }),
        ("standard-input", "int64", |_| match std::io::stdin().lines().next() {
            None => Err("refused: no input".into()),
            Some(_) => Err("the host gave its input".into()),
        }),
        ("parent-directory", "int64", |_| taken("a folder", std::fs::read_dir("../../../../../../").map(|_| ()))),
        ("own-memory-as-a-file", "int64", |_| taken("its memory", std::fs::read("/proc/self/mem"))),
        ("symbolic-link", "int64", |_| {
            #[allow(deprecated)]
            let made = std::fs::soft_link("/etc", "etc").or_else(|_| std::fs::hard_link("/etc/passwd", "passwd"));
            taken("a link", made)
        }),
        ("remove-a-file", "int64", |_| taken("a file", std::fs::remove_file("/etc/passwd"))),
        ("working-directory", "int64", |_| taken("a folder", std::fs::read_dir(".").map(|_| ()))),
        ("run-a-program", "int64", |_| taken("a process", std::process::Command::new("/bin/sh").spawn().map(|_| ()))),
        ("unix-time", "int64", |_| {
            let read = || std::time::SystemTime::UNIX_EPOCH.elapsed().map(|since| since.as_nanos()).unwrap_or(0);
            let before = read();
            (0..1_000_000).for_each(|at| {
                black_box(at);
            });
            Err(if read() == before { "refused: time stands still" } else { "the host gave its clock" }.into())
        }),
        ("sleep-as-a-clock", "int64", |_| {
            let before = std::time::Instant::now();
            std::thread::sleep(std::time::Duration::from_secs(1));
            Err(if before.elapsed().is_zero() { "refused: time stands still" } else { "the host gave its clock" }
                .into())
        }),
        ("entropy-of-addresses", "int64", |x| {
            // Where the host puts things is no business of a guest: its addresses are its own and always the same.
            let (stack, heap) = (&raw const x as usize, Box::into_raw(Box::new(0_u64)) as usize);
            if stack < 64 << 20 && heap < 64 << 20 { Ok(honest(x)) } else { Err("an address of the host".into()) }
        }),
        ("host-clock", "int64", |_| {
            let start = std::time::Instant::now();
            (0..1_000_000).for_each(|at| {
                black_box(at);
            });
            let (once, twice) = (start.elapsed(), start.elapsed());
            if once.is_zero() && twice.is_zero() {
                Err("refused: time stands still".into())
            } else {
                Err("the host gave its clock".into())
            }
        }),
    ]
}

/// A guest has nothing that could be taken: says whether the host held.
fn taken<T, E: std::fmt::Display>(
    what: &str,
    got: Result<T, E>,
) -> Result<crate::bindings::lockgate::udf::types::Output, String> {
    Err(match got {
        Ok(_) => format!("the host gave {what}"),
        Err(error) => format!("refused: {error}"),
    })
}
