//! Ways out that need no bug: imports that nobody offers or whose names come near to one that is, parts of WebAssembly that
//! are switched off, files that are something else, signatures over untruths, and components with one bit changed.

use super::attack::Verdict::{self, Fails, Harmless, Refused};
use super::attack::{attempt, survive};
use super::memory::beside;
use super::wat::{ECHO, Guest, described, forged, leaked, parse, signed};
use crate::harness;
use crate::harness::suite::Ended;
use lockgate_core::bundle::Part;
use lockgate_core::error::code::*;

const LOG: &str = r#"(import "lockgate:udf/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    let imports = imports().into_iter().map(|(name, part, code)| (name, part, Refused(code)));
    let run = |(name, part, verdict): Case| verdict.of("escape", name, attempt(part, "f", "", verdict));
    imports.chain(components()).map(run).collect()
}

type Case = (&'static str, Part, Verdict);

/// Honest components with one bit changed, signed as they are: anything may come of them but what the host does not
/// understand.
pub fn mutants() -> Vec<Ended> {
    let honest = Guest::default().component();
    // From one bit to the next by a stride without a common divisor: the same mutants in every run, from all over.
    let mutant = |number: usize| {
        let bit = number * 7_919 % (honest.len() * 8);
        let mut wasm = honest.clone();
        wasm[bit / 8] ^= 1 << (bit % 8);
        Ended {
            group: "mutants",
            name: format!("bit {bit}"),
            verdict: "understood".into(),
            billed: "its job",
            result: survive(forged(wasm), "f"),
        }
    };
    (1..=MUTANTS).map(mutant).collect()
}

const MUTANTS: usize = 64;

/// What a component must not import.
fn imports() -> Vec<(&'static str, Part, lockgate_core::Code)> {
    let instance = |name: &str| forged(parse(&format!("(component (import \"{name}\" (instance)))")));
    let (near, malformed) = (IMPORT_NOT_OFFERED, INVALID_COMPONENT);
    let mut cases = vec![
        ("import-of-a-host", instance("evil:host/x"), near),
        ("import-of-http", instance("wasi:http/outgoing-handler@0.2.0"), near),
        ("import-of-keyvalue", instance("wasi:keyvalue/store@0.2.0-draft"), near),
        ("import-of-a-near-version", instance("lockgate:udf/log@0.2.0"), near),
        ("import-of-a-near-name", instance("lockgate:udf/logs@0.1.0"), near),
        ("import-of-a-near-package", instance("lockgate:udfs/log@0.1.0"), near),
        ("import-of-a-near-wasi", instance("wasi:cli/stdout@0.3.0"), near),
        ("exfiltrate", forged(harness::component("exfiltrate")), near),
        ("import-of-a-function", forged(parse("(component (import \"abort\" (func)))")), near),
        ("a-core-import", forged(parse("(component (import \"memory\" (core module)))")), near),
        ("a-component-import", forged(parse("(component (import \"helper\" (component)))")), near),
        ("a-type-import", forged(parse("(component (import \"secret\" (type (sub resource))))")), near),
    ];
    let names: [(&str, &str, lockgate_core::Code); 22] = [
        ("sockets-of-the-future", "wasi:sockets/types@0.3.0", near),
        ("files-of-a-candidate", "wasi:filesystem/types@0.2.0-rc-2023-11-10", near),
        ("stdout-of-a-candidate", "wasi:cli/stdout@0.2.6-rc1", near),
        ("stdout-without-a-version", "wasi:cli/stdout", near),
        ("stdout-of-a-version-too-long", "wasi:cli/stdout@0.2.9999999999", near),
        ("stdout-with-build", "wasi:cli/stdout@0.2.6+lockgate", near),
        ("run-as-a-command", "wasi:cli/run@0.2.6", near),
        ("timezone", "wasi:clocks/timezone@0.2.6", near),
        ("threads", "wasi:thread/spawn@0.2.0", near),
        ("outgoing-http", "wasi:http/types@0.2.6", near),
        ("blobstore", "wasi:blobstore/blobstore@0.2.0", near),
        ("config-of-wasi", "wasi:config/store@0.2.0", near),
        ("messaging", "wasi:messaging/producer@0.2.0", near),
        ("logging-of-wasi", "wasi:logging/logging@0.1.0", near),
        ("neural-networks", "wasi:nn/graph@0.2.0", near),
        ("the-executor", "lockgate:executor/memory@0.1.0", near),
        ("the-contract-itself", "lockgate:udf/transform@0.1.0", near),
        ("log-with-a-tail", "lockgate:udf/log-all@0.1.0", near),
        ("log-of-another-line", "lockgate:udf/log@0.10.0", near),
        ("by-url", "url=<https://example.com/x.wasm>", near),
        ("by-digest", "integrity=<sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=>", near),
        ("a-dependency", "unlocked-dep=<evil:host/x>", near),
    ];
    cases.extend(names.map(|(case, name, code)| (leaked(format!("import-of-{case}")), instance(name), code)));
    // Names that the text format does not let through, byte by byte in place of one that it does.
    let plain = parse("(component (import \"wasi:cli/stdout@0.2.6\" (instance)))");
    let replaced = |with: &[u8; 21]| {
        let at = plain.windows(21).position(|name| name == b"wasi:cli/stdout@0.2.6").expect("the name");
        let mut wasm = plain.clone();
        wasm[at..at + 21].copy_from_slice(with);
        forged(wasm)
    };
    let spellings: [(&str, &[u8; 21], lockgate_core::Code); 6] = [
        ("import-in-capitals", b"WASI:CLI/STDOUT@0.2.6", near),
        ("import-with-a-null", b"wasi:cli/stdout\x000.2.6", near),
        ("import-with-an-escape", b"wasi:cli/\x1b[2Jut@0.2.6", near),
        ("import-with-a-path", b"wasi:cli/../http@0.2.", near),
        ("import-not-utf8", b"wasi:cli/stdou\xff@0.2.6", malformed),
        ("import-that-looks-alike", "wasi:cli/st\u{501}out@0.2.".as_bytes().try_into().expect("21 bytes"), near),
    ];
    cases.extend(spellings.map(|(case, name, code)| (case, replaced(name), code)));
    cases
}

/// Components that are refused before anything of them runs, and signatures over untruths.
fn components() -> Vec<Case> {
    let honest = Guest::default();
    let text = |text: &str| forged(parse(text));
    let module = |items: &'static str| Guest { items, ..honest }.part();
    let logging = Guest {
        imports: LOG,
        call: leaked(format!("(call $log (i32.const 0) (i32.const 512) (i32.const 1)) {ECHO}")),
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
        ("nothing", forged(Vec::new()), Refused(INVALID_COMPONENT)),
        ("text", forged(b"#!/bin/sh\nrm -rf /\n".to_vec()), Refused(INVALID_COMPONENT)),
        ("elf", forged(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec()), Refused(INVALID_COMPONENT)),
        ("core-module", text("(module)"), Refused(NOT_A_COMPONENT)),
        ("empty-component", text("(component)"), Refused(EXPORT_MISSING)),
        ("half-a-component", truncated, Refused(INVALID_COMPONENT)),
        (
            "import-of-another-type",
            text("(component (import \"lockgate:udf/log@0.1.0\" (func)))"),
            Refused(EXPORT_MISSING),
        ),
        ("memory64", signed(beside("(memory i64 1)", 1)), Refused(INVALID_COMPONENT)),
        ("shared-memory", module("(memory $m 1 2 shared)"), Refused(INVALID_COMPONENT)),
        ("two-memories", module("(memory $second 1)"), Refused(INVALID_COMPONENT)),
        ("tail-calls", module("(func $t (return_call $t))"), Refused(INVALID_COMPONENT)),
        ("garbage-collection", module("(type $s (struct (field i32)))"), Refused(INVALID_COMPONENT)),
        ("exceptions", module("(tag $t) (func (throw $t))"), Refused(INVALID_COMPONENT)),
        ("stack-switching", module("(type $f (func)) (type $c (cont $f))"), Refused(INVALID_COMPONENT)),
        (
            "wide-arithmetic",
            module("(func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 2)))"),
            Refused(INVALID_COMPONENT),
        ),
        (
            "typed-function-references",
            module("(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))"),
            Refused(INVALID_COMPONENT),
        ),
        ("small-pages", signed(beside("(memory 1 (pagesize 1))", 1)), Refused(INVALID_COMPONENT)),
        (
            "relaxed-simd",
            module("(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))"),
            Refused(INVALID_COMPONENT),
        ),
        ("type-error", module("(func (result i32) (i64.const 1))"), Refused(INVALID_COMPONENT)),
        (
            "signed-description-of-another-function",
            lying(|part| part.describe[0].attributes.push(("role".into(), "other".into()))),
            Fails(DESCRIBE_DIFFERS),
        ),
        (
            "signed-description-of-more-functions",
            lying(|part| {
                part.describe.push(lockgate_core::types::FunctionDescription { name: "g".into(), ..described() })
            }),
            Fails(DESCRIBE_DIFFERS),
        ),
        (
            "signed-description-of-another-type",
            lying(|part| part.describe[0].outputs[0].fields[0].nullable = true),
            Fails(DESCRIBE_DIFFERS),
        ),
        ("signed-with-fewer-imports", forged(logging.component()), Refused(IMPORTS_DIFFER)),
        (
            "signed-with-more-imports",
            lying(|part| part.imports.extend(["lockgate:udf/log@0.1.0".into()])),
            Refused(IMPORTS_DIFFER),
        ),
        ("signed-truly-with-imports", logging.part(), Harmless),
    ]
}
