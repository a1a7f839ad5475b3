//! Checks before compiling: bombs, imports, exports, and bytes that are no component.

use super::guest::{Guest, compile, encode, try_load};
use crate::{CheckLimits, inspect};
use lockgate_core::Code;
use lockgate_core::error::code;
use proptest::prelude::*;
use std::sync::LazyLock;

/// The unchanged guest.
static PLAIN: LazyLock<Vec<u8>> = LazyLock::new(|| Guest::default().component());
const DEFAULT: fn() -> CheckLimits = CheckLimits::default;

#[track_caller]
fn refused(component: &[u8], limits: &CheckLimits, code: Code, text: &str) {
    let error = inspect(component, limits).unwrap_err();
    assert!(error.code() == code && error.cause().contains(text), "{error}");
    assert_eq!(compile(component, limits).unwrap_err(), error);
}

fn with_function(body: &str) -> Vec<u8> {
    Guest { items: &format!("(func $bomb {body})"), ..Guest::default() }.component()
}

#[test]
fn reports_what_a_component_is() {
    let component = Guest {
        imports: r#"(import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
            (import "lockgate:udf/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#,
        ..Guest::default()
    }
    .component();
    let info = inspect(&component, &DEFAULT()).unwrap();
    assert_eq!(info.imports, ["lockgate:udf/log@0.1.0", "lockgate:udf/types@0.1.0", "wasi:random/random@0.2.6"]);
    assert_eq!(info.exports, ["lockgate:udf/describe@0.1.0", "lockgate:udf/transform@0.1.0"]);
    assert!(info.size == component.len() as u64 && info.modules >= 1 && info.functions >= 9 && info.largest_body > 50);
}

#[test]
fn imports_that_are_not_offered_are_refused() {
    let core = Guest { imports: r#"(import "other:net/raw@1.0.0" "send" (func))"#, ..Guest::default() }.core();
    refused(&encode(&core, "nosy"), &DEFAULT(), code::IMPORT_NOT_OFFERED, "other:net/raw@1.0.0");
    for (name, offered) in [
        ("wasi:cli/environment@0.2.0", true),
        ("wasi:cli/environment@0.2.1234", true),
        ("lockgate:udf/config@0.1.3", true),
        ("wasi:cli/environment@0.2", false),
        ("wasi:cli/environment@0.2.x", false),
        ("wasi:cli/environment@0.2.1-rc.1", false),
        ("wasi:cli/environment@0.3.0", false),
        ("wasi:cli/environment", false),
        ("wasi:http/types@0.2.0", false),
        ("cli/environment@0.2.0", false),
        ("lockgate:udf/config@0.2.0", false),
        ("lockgate:udf/secret@0.1.0", false),
        ("", false),
    ] {
        assert_eq!(crate::wasi::is_offered(name), offered, "{name}");
    }
}

#[test]
fn exports_that_are_missing_are_named() {
    let empty = wat::parse_str("(component)").unwrap();
    refused(&empty, &DEFAULT(), code::EXPORT_MISSING, "lockgate:udf/describe@0.1");
    // The right names with wrong types pass the first check and are refused when the program is linked.
    let wrong = wat::parse_str(
        r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $describe (export "describe" (func $f))) (instance $transform (export "call" (func $f)))
            (export "lockgate:udf/describe@0.1.0" (instance $describe))
            (export "lockgate:udf/transform@0.1.0" (instance $transform)))"#,
    )
    .unwrap();
    assert!(inspect(&wrong, &DEFAULT()).is_ok());
    let error = try_load(&wrong).unwrap_err();
    assert_eq!(error.code(), code::INTERFACE_MISMATCH, "{error}");
}

#[test]
fn what_is_no_component_is_refused() {
    refused(b"", &DEFAULT(), code::INVALID_COMPONENT, "malformed");
    refused(b"#!/bin/sh", &DEFAULT(), code::INVALID_COMPONENT, "malformed");
    refused(&wat::parse_str("(module)").unwrap(), &DEFAULT(), code::NOT_A_COMPONENT, "core WebAssembly module");
    let whole = Guest::default().component();
    refused(&whole[..whole.len() / 2], &DEFAULT(), code::INVALID_COMPONENT, "malformed");
    // Well-formed, yet it does not validate: the function leaves nothing on the stack.
    let mut broken = with_function("(result i32) (i32.const 77777)");
    let at = broken.windows(4).position(|bytes| bytes == [0x41, 0xd1, 0xdf, 0x04]).unwrap();
    broken[at..at + 4].copy_from_slice(&[0x01, 0x01, 0x01, 0x01]);
    assert_eq!(compile(&broken, &DEFAULT()).unwrap_err().code(), code::INVALID_COMPONENT);
}

#[test]
fn proposals_that_are_off_are_refused() {
    for items in [
        "(memory 1) (memory 1)",
        "(func (result i32) (return_call $ok))",
        "(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))",
        "(func (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))",
        "(tag $e)",
        "(type $s (struct))",
    ] {
        let module = wat::parse_str(format!("(module {items} (func $ok (result i32) (i32.const 0)))")).unwrap();
        let mut component = Guest::default().component();
        // A second core module, not even instantiated, is compiled as well: section 1 holds a core module.
        component.append(&mut section(1, &module));
        let code = compile(&component, &DEFAULT()).err().map(|error| error.code());
        assert_eq!(code, Some(code::INVALID_COMPONENT), "{items}");
    }
}

#[test]
fn bombs_are_refused_before_they_are_compiled() {
    let limits = DEFAULT();
    refused(&nested(46_000), &limits, code::COMPONENT_TOO_LARGE, "nested blocks");
    refused(
        &with_function(&format!("(local {})", "i64 ".repeat(10_001))),
        &limits,
        code::COMPONENT_TOO_LARGE,
        "locals",
    );
    // Each function is within its bounds, all together are not.
    let heavy = format!("(local {}) {}", "i64 ".repeat(9_000), "(if (i32.const 0) (then))".repeat(900));
    let items: String = (0..60).map(|_| format!("(func {heavy})")).collect();
    refused(
        &Guest { items: &items, ..Guest::default() }.component(),
        &limits,
        code::COMPONENT_TOO_LARGE,
        "compile work",
    );
    let many = "(func)".repeat(12_000);
    refused(
        &Guest { items: &many, ..Guest::default() }.component(),
        &limits,
        code::COMPONENT_TOO_LARGE,
        "for its size",
    );
    let table = format!("(br_table {} (i32.const 0))", "0 ".repeat(100_002));
    refused(&with_function(&table), &limits, code::COMPONENT_TOO_LARGE, "branch targets");
}

/// A component of one function of `depth` nested blocks; as text it would be too deep for the text's parser.
fn nested(depth: usize) -> Vec<u8> {
    let mut body = vec![0];
    body.extend([0x02, 0x40].repeat(depth));
    body.extend(vec![0x0b; depth + 1]);
    let code = section(10, &[vec![1], leb(body.len()), body].concat());
    let module = [b"\0asm\x01\0\0\0".as_slice(), &section(1, &[1, 0x60, 0, 0]), &section(3, &[1, 0]), &code].concat();
    [b"\0asm\x0d\0\x01\0".as_slice(), &section(1, &module)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[test]
fn components_that_multiply_are_refused() {
    let mut text = String::from("(component (component $c0)");
    for link in 1..=20 {
        let before = link - 1;
        text += &format!(
            "(component $c{link} (alias outer 1 $c{before} (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))"
        );
    }
    let chain = wat::parse_str(text + "(instance (instantiate $c20)))").unwrap();
    refused(&chain, &DEFAULT(), code::COMPONENT_TOO_LARGE, "instances of components");
    let nested = wat::parse_str(format!("{}{}", "(component ".repeat(7), ")".repeat(7))).unwrap();
    refused(&nested, &DEFAULT(), code::COMPONENT_TOO_LARGE, "levels of nested");
}

#[test]
fn components_that_call_each_other_are_refused() {
    let composed = wat::parse_str(
        r#"(component (component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f")))))"#,
    )
    .unwrap();
    refused(&composed, &DEFAULT(), code::COMPOSED_COMPONENT, "lifts or lowers");
}

#[test]
fn every_bound_is_enforced() {
    let items = format!(
        "(global i32 (i32.const 0)) (table 1 funcref) (elem func) (type $t (func)) (func {})",
        "(block (block))".repeat(3)
    );
    let component = Guest { items: &items, ..Guest::default() }.component();
    type Change = fn(&mut CheckLimits);
    let changes: [(Change, &str); 16] = [
        (|limits| limits.size = 100, "bytes"),
        (|limits| limits.modules = 0, "core modules"),
        (|limits| limits.core_instances = 0, "core instances"),
        (|limits| limits.components = 0, "components"),
        (|limits| limits.component_nesting = 0, "levels"),
        (|limits| limits.component_instances = 0, "instances of components"),
        (|limits| limits.externs = 0, "imports and exports"),
        (|limits| limits.types = 0, "types"),
        (|limits| limits.functions = 0, "functions"),
        (|limits| (limits.small_functions, limits.function_size) = (0, 1 << 10), "functions for its size"),
        (|limits| limits.body = 1, "bytes of a function"),
        (|limits| limits.locals = 0, "locals"),
        (|limits| limits.block_nesting = 1, "nested blocks"),
        (|limits| limits.work = 0, "compile work"),
        (|limits| limits.segments = 0, "segments"),
        (|limits| limits.definitions = 0, "globals, tables"),
    ];
    for (change, text) in changes {
        let mut limits = DEFAULT();
        change(&mut limits);
        let error = inspect(&component, &limits).unwrap_err();
        assert_eq!(error.code(), code::COMPONENT_TOO_LARGE, "{text}: {error}");
    }
    refused(&component, &CheckLimits { name: 3, ..DEFAULT() }, code::COMPONENT_TOO_LARGE, "name");
}

#[test]
fn types_that_nest_without_end_never_reach_a_reader_that_recurses() {
    // Types of instances (0x42) or components (0x41) that declare (0x01) one such type each.
    let nested = |kind: u8, depth: usize| {
        let section: Vec<u8> = [vec![1], [kind, 1, 1].repeat(depth), vec![0x7d]].concat();
        let mut component = PLAIN.clone();
        component.push(7);
        let mut length = section.len();
        while length > 0x7f {
            component.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        component.push(length as u8);
        [component, section].concat()
    };
    for kind in [0x41, 0x42] {
        assert!(compile(&nested(kind, 100), &DEFAULT()).is_ok());
        assert!(inspect(&nested(kind, 256), &DEFAULT()).is_ok());
        refused(&nested(kind, 257), &DEFAULT(), code::COMPONENT_TOO_LARGE, "257 nested types");
        refused(&nested(kind, 1_000_000), &DEFAULT(), code::COMPONENT_TOO_LARGE, "nested types");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn mutated_components_are_refused_or_inspected(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        truncate: bool,
    ) {
        let mut component = PLAIN.clone();
        for (at, byte) in &changes {
            let at = at.index(component.len());
            component[at] = *byte;
        }
        if truncate {
            component.truncate(cut.index(component.len()));
        }
        // Neither panics; what `inspect` lets through, validation still sees.
        if inspect(&component, &DEFAULT()).is_ok() && changes.len() == 1 {
            let _ = compile(&component, &DEFAULT());
        }
    }
}
