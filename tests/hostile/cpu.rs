//! Attacks on the CPU by guests written by hand: loops, recursion and storms of calls, in every phase of a guest's life.

use super::attack::Verdict::Fails;
use super::wat::{self, Case, FUEL, Guest, LOOP, call, describe, items, realloc};
use crate::harness::suite::Ended;
use lockgate_core::error::code::*;

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    wat::outcomes("cpu", cases())
}

const ENVIRONMENT: &str = r#"(import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))"#;
const NOW: &str = r#"(import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))"#;
const RANDOM: &str = r#"(import "wasi:random/random@0.2.6" "get-random-bytes" (func $random (param i64 i32)))"#;
const STDOUT: &str = r#"(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $drop (param i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))"#;

fn cases() -> Vec<Case> {
    let honest = Guest::default();
    vec![
        ("start-loops", items("(func $s (loop $l (br $l))) (start $s)"), "", Fails(OUT_OF_FUEL)),
        ("start-recurses", items("(func $s (call $s)) (start $s)"), "", Fails(STACK_OVERFLOW)),
        (
            "start-loops-within-its-fuel-again-and-again",
            // Every instance may use what its start is given, and every call traps: the batch's budget must end that.
            Guest {
                items: "(func $s (local $n i32) (loop $l (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $l (i32.lt_u (local.get $n) (i32.const 1000000))))) (start $s)",
                call: "unreachable",
                ..honest
            },
            "",
            Fails(GUEST_TRAP),
        ),
        ("describe-loops", describe("(loop $again (br $again)) unreachable"), "", Fails(OUT_OF_FUEL)),
        ("realloc-loops", realloc(LOOP), "", Fails(OUT_OF_FUEL)),
        ("post-return-loops", Guest { post: LOOP, ..honest }, "", Fails(OUT_OF_FUEL)),
        (
            "loops-within-loops",
            call("(loop $a (loop $b (loop $c (br $c)) (br $b)) (br $a)) unreachable"),
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "mutual-recursion",
            Guest { items: "(func $a (call $b)) (func $b (call $a))", call: "(call $a) unreachable", ..honest },
            "",
            Fails(STACK_OVERFLOW),
        ),
        (
            "recursion-through-a-table",
            Guest {
                items: "(table $t 1 funcref) (elem (i32.const 0) $a) (type $v (func))
                    (func $a (call_indirect $t (type $v) (i32.const 0)))",
                call: "(call $a) unreachable",
                ..honest
            },
            "",
            Fails(STACK_OVERFLOW),
        ),
        (
            "recursion-with-wide-frames",
            Guest {
                items: "(func $a (param v128 v128 v128 v128 v128 v128 v128 v128) (result v128)
                    (i8x16.add (call $a (local.get 7) (local.get 6) (local.get 5) (local.get 4) (local.get 3)
                        (local.get 2) (local.get 1) (local.get 0)) (local.get 3)))
                    (global $z v128 (v128.const i64x2 0 0))",
                call: "(drop (call $a (global.get $z) (global.get $z) (global.get $z) (global.get $z) (global.get $z)
                    (global.get $z) (global.get $z) (global.get $z))) unreachable",
                ..honest
            },
            "",
            Fails(STACK_OVERFLOW),
        ),
        (
            "exponential-recursion",
            Guest {
                items: "(func $a (param $n i32) (if (local.get $n) (then
                    (call $a (i32.sub (local.get $n) (i32.const 1))) (call $a (i32.sub (local.get $n) (i32.const 1))))))",
                call: "(call $a (i32.const 60)) unreachable",
                ..honest
            },
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "memory-fill-of-all",
            call("(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 131072)) (br $l)) unreachable"),
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "memory-copy-onto-itself",
            call("(loop $l (memory.copy (i32.const 1) (i32.const 0) (i32.const 131071)) (br $l)) unreachable"),
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "memory-init-again-and-again",
            Guest {
                items: "(data $d \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\")",
                call: "(loop $l (memory.init $d (i32.const 0) (i32.const 0) (i32.const 64)) (br $l)) unreachable",
                ..honest
            },
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "table-fill-and-copy",
            Guest {
                items: "(table $t 100000 funcref)",
                call: "(loop $l (table.fill $t (i32.const 0) (ref.null func) (i32.const 100000))
                    (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 99999)) (br $l)) unreachable",
                ..honest
            },
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "division-as-slow-as-can-be",
            call("(loop $l (drop (f64.sqrt (f64.div (f64.const 1e-310) (f64.const 3)))) (br $l)) unreachable"),
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "environment-storm",
            Guest { imports: ENVIRONMENT, call: "(loop $l (call $environment (i32.const 64)) (br $l)) unreachable", ..honest },
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "clock-storm-without-a-library",
            Guest { imports: NOW, call: "(loop $l (drop (call $now)) (br $l)) unreachable", ..honest },
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "stream-storm",
            Guest { imports: STDOUT, call: "(loop $l (call $drop (call $stdout)) (br $l)) unreachable", ..honest },
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "empty-writes",
            Guest {
                imports: STDOUT,
                call: "(local $s i32) (local.set $s (call $stdout))
                    (loop $l (call $write (local.get $s) (i32.const 0) (i32.const 0) (i32.const 64)) (br $l)) unreachable",
                ..honest
            },
            FUEL,
            Fails(OUT_OF_FUEL),
        ),
        (
            "writes-of-zeroes",
            Guest {
                imports: STDOUT,
                call: "(local $s i32) (local.set $s (call $stdout))
                    (loop $l (call $zeroes (local.get $s) (i64.const 65536) (i32.const 64)) (br $l)) unreachable",
                ..honest
            },
            FUEL,
            Fails(OUT_OF_FUEL),
        ),
        (
            "random-mebibytes",
            // Each lands on the one before: only the host works.
            Guest {
                imports: RANDOM,
                pages: 64,
                realloc: "(if (i32.eq (local.get $size) (i32.const 1048576)) (then (return (i32.const 1048576))))",
                call: "(loop $l (call $random (i64.const 1048576) (i32.const 64)) (br $l)) unreachable",
                ..honest
            },
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "destructor-loops",
            Guest {
                world: "owner",
                imports: super::handles::OWN,
                items: r#"(func (export "test:hostile/things#[dtor]thing") (param i32) (loop $l (br $l)))"#,
                call: "(call $drop-thing (call $new-thing (i32.const 1))) unreachable",
                ..honest
            },
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "destructor-recurses",
            Guest {
                world: "owner",
                imports: super::handles::OWN,
                items: r#"(func (export "test:hostile/things#[dtor]thing") (param i32)
                    (call $drop-thing (call $new-thing (i32.const 1))))"#,
                call: "(call $drop-thing (call $new-thing (i32.const 1))) unreachable",
                ..honest
            },
            "",
            Fails(STACK_OVERFLOW),
        ),
        (
            "destructor-storm",
            Guest {
                world: "owner",
                imports: super::handles::OWN,
                items: r#"(func (export "test:hostile/things#[dtor]thing") (param i32))"#,
                call: "(loop $l (call $drop-thing (call $new-thing (i32.const 1))) (br $l)) unreachable",
                ..honest
            },
            "",
            Fails(OUT_OF_FUEL),
        ),
    ]
}
