//! Breaches of the canonical ABI by guests written by hand: pointers, lengths, discriminants and text that lie, in
//! results, in what lowering asks for, and in arguments of imports.

use super::attack::Verdict::{Fails, Harmless};
use super::wat::{self, Case, ECHO, Guest, call, first, leaked, realloc};
use crate::harness::suite::Ended;
use lockgate_core::error::code::*;

const LOG: &str = r#"(import "lockgate:udf/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
const CONFIG: &str = r#"(import "lockgate:udf/config@0.1.0" "get" (func $config (param i32 i32 i32)))"#;

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    [results(), lowering(), arguments()].into_iter().flat_map(|cases| wat::outcomes("contract", cases)).collect()
}

/// The body of `call` that echoes after it has stored `value` at `address` of the result.
fn echo_with(address: u32, value: u32) -> &'static str {
    leaked(format!("(drop {ECHO}) (i32.store (i32.const {address}) (i32.const {value})) (i32.const 4120)"))
}

/// As [`echo_with`], in the only column that the guest was given and gives back.
fn column_with(offset: u32, value: u32) -> &'static str {
    leaked(format!("(i32.store offset={offset} (i32.load offset=4 (local.get $batches)) (i32.const {value})) {ECHO}"))
}

fn results() -> Vec<Case> {
    let honest = Guest::default();
    vec![
        ("honest-wat", honest, "", Harmless),
        ("result-out-of-range", call("(i32.const 0x7ffffff0)"), "", Fails(ABI_VIOLATION)),
        ("result-at-the-end", call("(i32.const 131068)"), "", Fails(ABI_VIOLATION)),
        ("result-misaligned", call("(i32.const 4121)"), "", Fails(ABI_VIOLATION)),
        ("result-discriminant", call(echo_with(4_120, 9)), "", Fails(ABI_VIOLATION)),
        ("option-discriminant", call(echo_with(4_132, 9)), "", Fails(ABI_VIOLATION)),
        ("origin-discriminant", call(echo_with(4_108, 2)), "", Fails(ABI_VIOLATION)),
        ("ports-without-end", call(echo_with(4_128, u32::MAX)), "", Fails(ABI_VIOLATION)),
        ("ports-out-of-range", call(echo_with(4_124, 0x7fff_fff0)), "", Fails(ABI_VIOLATION)),
        ("ports-misaligned", call(echo_with(4_124, 4_097)), "", Fails(ABI_VIOLATION)),
        ("columns-without-end", call(echo_with(4_104, u32::MAX)), "", Fails(ABI_VIOLATION)),
        ("rows-without-end", call(echo_with(4_096, u32::MAX)), "", Fails(OUTPUT_ROWS)),
        (
            "error-out-of-range",
            call(
                "(drop (call $echo (local.get $batches))) (i32.store (i32.const 4120) (i32.const 1)) (i32.store (i32.const 4128) (i32.const -1)) (i32.const 4120)",
            ),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "error-not-utf8",
            call(
                "(drop (call $echo (local.get $batches))) (i32.store (i32.const 4120) (i32.const 1)) (i32.store (i32.const 5000) (i32.const -1)) (i32.store (i32.const 4124) (i32.const 5000)) (i32.const 4120)",
            ),
            "",
            Fails(ABI_VIOLATION),
        ),
        ("validity-discriminant", call(column_with(0, 7)), "", Fails(ABI_VIOLATION)),
        ("validity-from-nowhere", call(column_with(0, 1)), "", Fails(VALIDITY_LENGTH)),
        ("buffers-out-of-range", call(column_with(12, 0x7fff_fff0)), "", Fails(ABI_VIOLATION)),
        ("buffers-misaligned", call(column_with(12, 4_097)), "", Fails(ABI_VIOLATION)),
        ("buffers-without-end", call(column_with(16, u32::MAX)), "", Fails(ABI_VIOLATION)),
        ("no-buffers", call(column_with(16, 0)), "", Fails(OUTPUT_BUFFERS)),
        (
            "buffer-out-of-range",
            call(leaked(format!(
                "(i32.store (i32.load offset=12 (i32.load offset=4 (local.get $batches))) (i32.const -8)) {ECHO}"
            ))),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "buffer-without-end",
            call(leaked(format!(
                "(i32.store offset=4 (i32.load offset=12 (i32.load offset=4 (local.get $batches))) (i32.const -1)) {ECHO}"
            ))),
            "",
            Fails(ABI_VIOLATION),
        ),
        ("no-ports", call(echo_with(4_128, 0)), "", Fails(OUTPUT_PORTS)),
        ("one-row-less", call(echo_with(4_096, 9)), "", Fails(ROW_COUNT)),
        ("origin-from-nowhere", call(echo_with(4_108, 1)), "", Fails(ORIGIN_LENGTH)),
        ("failures-from-nowhere", call(echo_with(4_132, 1)), "", Fails(OUTPUT_BUFFERS)),
        ("result-at-the-very-end", call("(i32.const 131072)"), "", Fails(ABI_VIOLATION)),
        ("result-at-minus-one", call("(i32.const -1)"), "", Fails(ABI_VIOLATION)),
        ("result-is-the-input", call("(local.get $batches)"), "", Fails(ABI_VIOLATION)),
    ]
}

/// What lowering asks of the guest.
fn lowering() -> Vec<Case> {
    let honest = Guest::default();
    let logs = |realloc| Guest { imports: LOG, realloc, ..honest };
    vec![
        ("realloc-out-of-range", realloc("(return (i32.const 0xfffffff0))"), "", Fails(ABI_VIOLATION)),
        ("realloc-at-the-end", realloc("(return (i32.const 131064))"), "", Fails(ABI_VIOLATION)),
        ("realloc-misaligned", realloc("(return (i32.const 8193))"), "", Fails(ABI_VIOLATION)),
        ("realloc-at-minus-one", realloc("(return (i32.const -1))"), "", Fails(ABI_VIOLATION)),
        ("realloc-always-the-same", realloc("(return (i32.const 8192))"), "", Fails(ROW_COUNT)),
        ("realloc-where-the-result-will-be", realloc("(return (i32.const 4096))"), "", Fails(ROW_COUNT)),
        (
            "realloc-overlaps",
            realloc("(global.set $heap (i32.sub (global.get $heap) (i32.const 16)))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "realloc-calls-the-host",
            logs("(call $log (i32.const 0) (i32.const 512) (i32.const 1))"),
            "",
            Fails(GUEST_TRAP),
        ),
        (
            "post-return-calls-the-host",
            Guest { imports: LOG, post: "(call $log (i32.const 0) (i32.const 512) (i32.const 1))", ..honest },
            "",
            Fails(GUEST_TRAP),
        ),
        (
            "post-return-changes-the-result",
            Guest { post: "(memory.fill (i32.const 0) (i32.const 255) (i32.const 131072))", ..honest },
            "",
            Harmless,
        ),
        (
            "heap-that-runs-out",
            Guest {
                items: "(global $runs (mut i32) (i32.const 0))",
                ..realloc("(global.set $heap (i32.const 131064))")
            },
            "",
            Fails(ABI_VIOLATION),
        ),
    ]
}

/// Arguments of imports.
fn arguments() -> Vec<Case> {
    let logs = |instructions: &str| Guest { imports: LOG, ..first(instructions) };
    let config = |instructions: &str| Guest { imports: CONFIG, ..first(instructions) };
    vec![
        (
            "log-out-of-range",
            logs("(call $log (i32.const 0) (i32.const 131000) (i32.const 1000))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        ("log-of-4-gib", logs("(call $log (i32.const 0) (i32.const 0) (i32.const -1))"), "", Fails(ABI_VIOLATION)),
        ("log-level", logs("(call $log (i32.const 9) (i32.const 512) (i32.const 1))"), "", Fails(ABI_VIOLATION)),
        (
            "log-not-utf8",
            logs(
                "(i32.store (i32.const 5000) (i32.const -1)) (call $log (i32.const 0) (i32.const 5000) (i32.const 4))",
            ),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "log-of-nothing-from-nowhere",
            logs("(call $log (i32.const 0) (i32.const -1) (i32.const 0))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "config-out-of-range",
            config("(call $config (i32.const -4) (i32.const 8) (i32.const 64))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "config-not-utf8",
            config(
                "(i32.store (i32.const 5000) (i32.const -1)) (call $config (i32.const 5000) (i32.const 4) (i32.const 64))",
            ),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "config-result-out-of-range",
            config("(call $config (i32.const 512) (i32.const 1) (i32.const -4))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "config-result-misaligned",
            config("(call $config (i32.const 512) (i32.const 1) (i32.const 65))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        ("signalling-nan", first("(drop (f64.div (f64.const nan:0x4000000000000) (f64.const 0)))"), "", Harmless),
    ]
}
