//! Components that no compiler makes: each breaks one rule of loading, the canonical ABI or the contract, and is signed
//! nevertheless, because a signature says who is to blame and not that something is harmless.

use super::attack::{Outcome, Verdict, attempt, survive};
use super::wat::{Guest, described, forged};
use crate::harness;
use Verdict::{Fails, Harmless, Refused};
use lockgate_core::bundle::Part;
use lockgate_core::error::code::*;

const LOG: &str = r#"(import "lockgate:udf/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
const STDOUT: &str = r#"(import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))"#;
const LOOP: &str = "(loop $again (br $again))";
/// More fuel, for attacks that are not after fuel.
const FUEL: &str = "fuel-per-batch = \"500M\"";
const HONEST: &str = "(call $echo (local.get $batches))";

/// Runs them all.
pub fn outcomes() -> impl Iterator<Item = Outcome> {
    let guests = guests().into_iter().map(|(name, guest, limits, verdict)| (name, guest.part(), limits, verdict));
    guests
        .chain(components())
        .map(|(name, part, limits, verdict)| (name.to_owned(), attempt(part, "f", limits, verdict)))
}

/// Honest components with one byte changed, signed as they are: anything may come of them but what the host does not
/// understand.
pub fn mutants() -> impl Iterator<Item = Outcome> {
    let honest = Guest::default().component();
    // From one bit to the next by a stride without a common divisor: the same mutants in every run, from all over.
    (1..=MUTANTS).map(move |number| {
        let bit = number * 7_919 % (honest.len() * 8);
        let mut wasm = honest.clone();
        wasm[bit / 8] ^= 1 << (bit % 8);
        (format!("mutant-{bit}"), survive(forged(wasm), "f"))
    })
}

const MUTANTS: usize = 64;

/// The body of `call` that echoes after it has stored `value` at `address` of the result.
fn echo_with(address: u32, value: u32) -> &'static str {
    // Leaked: a case is made once in a process.
    let body = format!("(drop {HONEST}) (i32.store (i32.const {address}) (i32.const {value})) (i32.const 4120)");
    Box::leak(body.into_boxed_str())
}

/// As [`echo_with`], for `describe`.
fn describe_with(address: u32, value: u32) -> &'static str {
    Box::leak(format!("(i32.store (i32.const {address}) (i32.const {value})) (i32.const 0)").into_boxed_str())
}

type Case<T> = (&'static str, T, &'static str, Verdict);

/// Guests of the usual form with one part replaced.
fn guests() -> Vec<Case<Guest<'static>>> {
    let honest = Guest::default();
    let call = |call| Guest { call, ..honest };
    let realloc = |realloc| Guest { realloc, ..honest };
    let describe = |describe| Guest { describe, ..honest };
    let items = |items| Guest { items, ..honest };
    let logs = |call| Guest { imports: LOG, call, ..honest };
    vec![
        ("honest-wat", honest, "", Harmless),
        // Starting.
        ("start-loops", items("(func $s (loop $l (br $l))) (start $s)"), "", Fails(OUT_OF_FUEL)),
        ("start-traps", items("(func $s unreachable) (start $s)"), "", Fails(START_FAILED)),
        ("start-recurses", items("(func $s (call $s)) (start $s)"), "", Fails(STACK_OVERFLOW)),
        ("initial-memory-above-limit", Guest { pages: 2_000, ..honest }, "", Fails(ARTEFACT_REFUSED)),
        ("initial-memory-of-4-gib", Guest { pages: 65_536, ..honest }, "", Fails(ARTEFACT_REFUSED)),
        ("initial-table-of-a-million", items("(table 1000000 funcref)"), "", Fails(ARTEFACT_REFUSED)),
        ("initial-table-above-limit", items("(table 150000 funcref)"), "memory = \"1 MiB\"", Fails(MEMORY_LIMIT)),
        ("data-segment-out-of-range", items("(data (i32.const 10000000) \"x\")"), "", Fails(START_FAILED)),
        // What lowering calls.
        ("realloc-traps", realloc("unreachable"), "", Fails(GUEST_TRAP)),
        ("realloc-loops", realloc(LOOP), "", Fails(OUT_OF_FUEL)),
        ("realloc-out-of-range", realloc("(return (i32.const 0xfffffff0))"), "", Fails(ABI_VIOLATION)),
        ("realloc-at-the-end", realloc("(return (i32.const 131064))"), "", Fails(ABI_VIOLATION)),
        ("realloc-misaligned", realloc("(return (i32.const 8193))"), "", Fails(ABI_VIOLATION)),
        ("realloc-exhausts-the-stack", items("(func $deep (call $deep))"), "", Harmless),
        // Results.
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
        // A million buffers that are one and the same 64 KiB: the guest holds little, the host would copy 64 GiB.
        (
            "same-bytes-again-and-again",
            Guest {
                pages: 200,
                items: "(func $fill (local $at i32) (local.set $at (i32.const 65536)) (loop $l
                    (i64.store (local.get $at) (i64.const 0x0001000000000000))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if $l (i32.lt_u (local.get $at) (i32.const 8065536)))))",
                call: "(drop (call $echo (local.get $batches))) (call $fill)
                    (i32.store (i32.const 4160) (i32.const 0))
                    (i32.store (i32.const 4172) (i32.const 65536)) (i32.store (i32.const 4176) (i32.const 1000000))
                    (i32.store (i32.const 4100) (i32.const 4160)) (i32.const 4120)",
                ..honest
            },
            FUEL,
            Fails(TRANSFER_LIMIT),
        ),
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
        ("post-return-traps", Guest { post: "unreachable", ..honest }, "", Fails(GUEST_TRAP)),
        ("post-return-loops", Guest { post: LOOP, ..honest }, "", Fails(OUT_OF_FUEL)),
        // Describing.
        ("describe-traps", describe("unreachable"), "", Fails(GUEST_TRAP)),
        ("describe-loops", describe("(loop $again (br $again)) unreachable"), "", Fails(OUT_OF_FUEL)),
        ("describe-out-of-range", describe("(i32.const 0x7ffffff0)"), "", Fails(ABI_VIOLATION)),
        ("describe-without-end", describe(describe_with(4, u32::MAX)), "", Fails(ABI_VIOLATION)),
        ("describe-repeats", describe(describe_with(4, 0)), "", Fails(DESCRIBE_DIFFERS)),
        ("describe-not-utf8", describe(describe_with(512, 0xffff_ffff)), "", Fails(ABI_VIOLATION)),
        (
            "describe-controls",
            describe("(i32.store8 (i32.const 512) (i32.const 27)) (i32.const 0)"),
            "",
            Fails(DESCRIBE_INVALID),
        ),
        ("describe-empty-name", describe(describe_with(12, 0)), "", Fails(DESCRIBE_INVALID)),
        (
            "describe-another-name",
            describe("(i32.store8 (i32.const 512) (i32.const 103)) (i32.const 0)"),
            "",
            Fails(DESCRIBE_DIFFERS),
        ),
        (
            "describe-nullable",
            describe("(i32.store8 (i32.const 124) (i32.const 1)) (i32.const 0)"),
            "",
            Fails(DESCRIBE_DIFFERS),
        ),
        (
            "describe-changes-from-call-to-call",
            Guest {
                items: "(global $calls (mut i32) (i32.const 0))",
                describe: "(if (global.get $calls) (then (i32.store8 (i32.const 512) (i32.const 103)))) (global.set $calls (i32.const 1)) (i32.const 0)",
                ..honest
            },
            "",
            Harmless,
        ),
        // Growing.
        (
            "memory-grow-without-end",
            call("(loop $l (drop (memory.grow (i32.const 1))) (br $l)) unreachable"),
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "memory-grow-to-all",
            call(
                "(if (i32.eq (memory.grow (i32.const 65534)) (i32.const -1)) (then unreachable)) (call $echo (local.get $batches))",
            ),
            FUEL,
            Fails(MEMORY_LIMIT),
        ),
        (
            "table-grow-without-end",
            Guest {
                items: "(table $t 1 funcref)",
                call: "(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l)) unreachable",
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
        // Arguments of imports.
        (
            "log-out-of-range",
            logs("(call $log (i32.const 0) (i32.const 131000) (i32.const 1000)) (call $echo (local.get $batches))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "log-of-4-gib",
            logs("(call $log (i32.const 0) (i32.const 0) (i32.const -1)) (call $echo (local.get $batches))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "log-level",
            logs("(call $log (i32.const 9) (i32.const 512) (i32.const 1)) (call $echo (local.get $batches))"),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "log-not-utf8",
            logs(
                "(i32.store (i32.const 5000) (i32.const -1)) (call $log (i32.const 0) (i32.const 5000) (i32.const 4)) (call $echo (local.get $batches))",
            ),
            "",
            Fails(ABI_VIOLATION),
        ),
        (
            "handles-without-end",
            Guest { imports: STDOUT, call: "(loop $l (drop (call $stdout)) (br $l)) unreachable", ..honest },
            "",
            Fails(HANDLE_LIMIT),
        ),
        // Instructions.
        (
            "signalling-nan",
            call("(drop (f64.div (f64.const nan:0x4000000000000) (f64.const 0))) (call $echo (local.get $batches))"),
            "",
            Harmless,
        ),
        (
            "integer-overflow",
            call("(drop (i32.trunc_f64_s (f64.const 1e300))) (call $echo (local.get $batches))"),
            "",
            Fails(GUEST_TRAP),
        ),
        (
            "most-negative-by-minus-one",
            call("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1))) (call $echo (local.get $batches))"),
            "",
            Fails(GUEST_TRAP),
        ),
        (
            "call-of-another-type",
            Guest {
                items: "(table $t 1 funcref) (elem (i32.const 0) $g) (func $g (param i64)) (type $none (func))",
                call: "(call_indirect $t (type $none) (i32.const 0)) (call $echo (local.get $batches))",
                ..honest
            },
            "",
            Fails(GUEST_TRAP),
        ),
    ]
}

/// Components that are refused before anything of them runs, and signatures over untruths.
fn components() -> Vec<Case<Part>> {
    let honest = Guest::default();
    let text = |text: &str| forged(wat::parse_str(text).expect("text"));
    let imports = |name: &str| text(&format!("(component (import \"{name}\" (instance)))"));
    let module = |items: &'static str| Guest { items, ..honest }.part();
    let logging = Guest {
        imports: LOG,
        call: "(call $log (i32.const 0) (i32.const 512) (i32.const 1)) (call $echo (local.get $batches))",
        ..honest
    };
    let lying = |change: fn(&mut Part)| {
        let mut part = honest.part();
        change(&mut part);
        part
    };
    let truncated = {
        let mut wasm = honest.component();
        wasm.truncate(wasm.len() / 2);
        forged(wasm)
    };
    vec![
        ("nothing", forged(Vec::new()), "", Refused(INVALID_COMPONENT)),
        ("text", forged(b"#!/bin/sh\nrm -rf /\n".to_vec()), "", Refused(INVALID_COMPONENT)),
        ("elf", forged(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec()), "", Refused(INVALID_COMPONENT)),
        ("core-module", text("(module)"), "", Refused(NOT_A_COMPONENT)),
        ("empty-component", text("(component)"), "", Refused(EXPORT_MISSING)),
        ("half-a-component", truncated, "", Refused(INVALID_COMPONENT)),
        ("import-of-a-host", imports("evil:host/x"), "", Refused(IMPORT_NOT_OFFERED)),
        ("exfiltrate", forged(harness::component("exfiltrate")), "", Refused(IMPORT_NOT_OFFERED)),
        ("import-of-http", imports("wasi:http/outgoing-handler@0.2.0"), "", Refused(IMPORT_NOT_OFFERED)),
        ("import-of-keyvalue", imports("wasi:keyvalue/store@0.2.0-draft"), "", Refused(IMPORT_NOT_OFFERED)),
        ("import-of-a-near-version", imports("lockgate:udf/log@0.2.0"), "", Refused(IMPORT_NOT_OFFERED)),
        ("import-of-a-near-name", imports("lockgate:udf/logs@0.1.0"), "", Refused(IMPORT_NOT_OFFERED)),
        ("import-of-a-near-package", imports("lockgate:udfs/log@0.1.0"), "", Refused(IMPORT_NOT_OFFERED)),
        ("import-of-a-near-wasi", imports("wasi:cli/stdout@0.3.0"), "", Refused(IMPORT_NOT_OFFERED)),
        ("import-of-a-function", text("(component (import \"abort\" (func)))"), "", Refused(IMPORT_NOT_OFFERED)),
        (
            "import-of-another-type",
            text("(component (import \"lockgate:udf/log@0.1.0\" (func)))"),
            "",
            Refused(EXPORT_MISSING),
        ),
        ("memory64", text_in_component("(memory i64 1)"), "", Refused(EXPORT_MISSING)),
        ("shared-memory", module("(memory $m 1 2 shared)"), "", Refused(INVALID_COMPONENT)),
        ("two-memories", module("(memory $second 1)"), "", Refused(INVALID_COMPONENT)),
        ("tail-calls", module("(func $t (return_call $t))"), "", Refused(INVALID_COMPONENT)),
        ("garbage-collection", module("(type $s (struct (field i32)))"), "", Refused(INVALID_COMPONENT)),
        (
            "relaxed-simd",
            module("(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))"),
            "",
            Refused(INVALID_COMPONENT),
        ),
        ("type-error", module("(func (result i32) (i64.const 1))"), "", Refused(INVALID_COMPONENT)),
        (
            "signed-description-of-another-function",
            lying(|part| part.describe[0].attributes.push(("role".into(), "other".into()))),
            "",
            Fails(DESCRIBE_DIFFERS),
        ),
        (
            "signed-description-of-more-functions",
            lying(|part| {
                part.describe.push(lockgate_core::types::FunctionDescription { name: "g".into(), ..described() })
            }),
            "",
            Fails(DESCRIBE_DIFFERS),
        ),
        (
            "signed-description-of-another-type",
            lying(|part| part.describe[0].outputs[0].fields[0].nullable = true),
            "",
            Fails(DESCRIBE_DIFFERS),
        ),
        ("signed-with-fewer-imports", forged(logging.component()), "", Refused(IMPORTS_DIFFER)),
        (
            "signed-with-more-imports",
            lying(|part| part.imports.extend(["lockgate:udf/log@0.1.0".into()])),
            "",
            Refused(IMPORTS_DIFFER),
        ),
        ("signed-truly-with-imports", logging.part(), "", Harmless),
    ]
}

/// A component around one core module.
fn text_in_component(items: &str) -> Part {
    forged(wat::parse_str(format!("(component (core module {items}))")).expect("text"))
}
