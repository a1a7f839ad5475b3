//! Handles that were never given, are gone, are of another type or are held without end.

use super::attack::Verdict::{Fails, Harmless};
use super::wat::{self, Case, Guest, call, leaked};
use crate::harness::suite::Ended;
use lockgate_core::error::code::*;

/// A resource of the guest's own, of the world `owner`.
pub const OWN: &str = r#"(import "[export]test:hostile/things" "[resource-new]thing" (func $new-thing (param i32) (result i32)))
    (import "[export]test:hostile/things" "[resource-rep]thing" (func $rep-thing (param i32) (result i32)))
    (import "[export]test:hostile/things" "[resource-drop]thing" (func $drop-thing (param i32)))"#;

const STREAMS: &str = r#"(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stdin@0.2.6" "get-stdin" (func $stdin (result i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
    (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $drop-output (param i32)))
    (import "wasi:io/streams@0.2.6" "[resource-drop]input-stream" (func $drop-input (param i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.subscribe" (func $subscribe (param i32) (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))"#;

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    wat::outcomes("contract", forged()).into_iter().chain(wat::outcomes("memory", leaks())).collect()
}

/// A guest that does this with streams before it is honest.
fn streams(instructions: &str) -> Guest<'static> {
    let text = leaked(format!("(local $s i32) {instructions} {}", wat::ECHO));
    Guest { imports: STREAMS, ..call(text) }
}

/// A guest that does this with things of its own before it is honest.
fn things(instructions: &str) -> Guest<'static> {
    let items = r#"(func (export "test:hostile/things#[dtor]thing") (param i32))"#;
    Guest { world: "owner", imports: OWN, items, ..streams(instructions) }
}

fn forged() -> Vec<Case> {
    let forgeries = [
        ("drop-of-a-handle-never-given", streams("(call $drop-output (i32.const 7))")),
        ("drop-of-handle-zero", streams("(call $drop-output (i32.const 0))")),
        ("drop-of-the-greatest-handle", streams("(call $drop-output (i32.const -1))")),
        (
            "drop-twice",
            streams(
                "(local.set $s (call $stdout)) (call $drop-output (local.get $s)) (call $drop-output (local.get $s))",
            ),
        ),
        ("drop-as-another-type", streams("(call $drop-input (call $stdout))")),
        (
            "use-after-drop",
            streams(
                "(local.set $s (call $stdout)) (call $drop-output (local.get $s)) (drop (call $subscribe (local.get $s)))",
            ),
        ),
        ("use-of-a-handle-never-given", streams("(drop (call $subscribe (i32.const 1000000)))")),
        ("use-as-another-type", streams("(drop (call $subscribe (call $stdin)))")),
        (
            "write-to-a-handle-never-given",
            streams("(call $write (i32.const 99) (i32.const 0) (i32.const 8) (i32.const 64))"),
        ),
        ("poll-of-handles-never-given", streams("(call $poll (i32.const 65536) (i32.const 4) (i32.const 64))")),
        (
            "poll-of-streams",
            streams(
                "(i32.store (i32.const 5000) (call $stdout)) (call $poll (i32.const 5000) (i32.const 1) (i32.const 64))",
            ),
        ),
        ("own-thing-never-made", things("(drop (call $rep-thing (i32.const 5)))")),
        (
            "own-thing-dropped-twice",
            things(
                "(local.set $s (call $new-thing (i32.const 5))) (call $drop-thing (local.get $s)) (call $drop-thing (local.get $s))",
            ),
        ),
        (
            "own-thing-used-after-drop",
            things(
                "(local.set $s (call $new-thing (i32.const 5))) (call $drop-thing (local.get $s)) (drop (call $rep-thing (local.get $s)))",
            ),
        ),
        ("poll-out-of-range", streams("(call $poll (i32.const 0x7ffffff0) (i32.const 1000000) (i32.const 64))")),
        ("poll-misaligned", streams("(call $poll (i32.const 5001) (i32.const 1) (i32.const 64))")),
        (
            "poll-result-out-of-range",
            streams(
                "(i32.store (i32.const 5000) (call $sleep (i64.const 1))) (call $poll (i32.const 5000) (i32.const 1) (i32.const -4))",
            ),
        ),
        (
            "write-out-of-range",
            streams("(call $write (call $stdout) (i32.const 131000) (i32.const 1000) (i32.const 64))"),
        ),
        ("write-of-4-gib", streams("(call $write (call $stdout) (i32.const 0) (i32.const -1) (i32.const 64))")),
    ];
    let mut cases: Vec<Case> =
        forgeries.into_iter().map(|(name, guest)| (name, guest, "", Fails(ABI_VIOLATION))).collect();
    cases.extend([
        (
            "poll-of-nothing",
            streams("(call $poll (i32.const 0) (i32.const 0) (i32.const 64))"),
            "",
            Fails(IMPORT_REFUSED),
        ),
        (
            "write-more-than-permitted",
            streams("(call $write (call $stdout) (i32.const 0) (i32.const 65537) (i32.const 64))"),
            "",
            Fails(IMPORT_REFUSED),
        ),
        (
            "zeroes-more-than-permitted",
            streams("(call $zeroes (call $stdout) (i64.const -1) (i32.const 64))"),
            "",
            Fails(IMPORT_REFUSED),
        ),
        ("honest-things", things("(call $drop-thing (call $new-thing (i32.const 5)))"), "", Harmless),
    ]);
    cases
}

fn leaks() -> Vec<Case> {
    vec![
        ("handles-without-end", streams("(loop $l (drop (call $stdout)) (br $l))"), "", Fails(HANDLE_LIMIT)),
        (
            "timers-without-end",
            streams("(loop $l (drop (call $sleep (i64.const -1))) (br $l))"),
            "",
            Fails(HANDLE_LIMIT),
        ),
        (
            "pollables-without-end",
            streams("(local.set $s (call $stdout)) (loop $l (drop (call $subscribe (local.get $s))) (br $l))"),
            "",
            Fails(HANDLE_LIMIT),
        ),
        (
            "own-things-without-end",
            things("(loop $l (drop (call $new-thing (i32.const 5))) (br $l))"),
            "",
            Fails(HANDLE_LIMIT),
        ),
        (
            "handles-that-leak-with-every-batch",
            streams("(drop (call $stdout)) (drop (call $stdin)) (drop (call $sleep (i64.const 1)))"),
            "",
            Harmless,
        ),
    ]
}
