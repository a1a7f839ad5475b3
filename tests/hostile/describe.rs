//! What a guest says of itself: malformed, other than was signed, or never the same.

use super::attack::Verdict::{Fails, Harmless};
use super::wat::{self, Case, Guest, describe, leaked};
use crate::harness::suite::Ended;
use lockgate_core::error::code::*;

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    wat::outcomes("contract", cases())
}

/// The body of `describe` that stores `value` at `address` of what it gives.
fn describe_with(address: u32, value: u32) -> &'static str {
    leaked(format!("(i32.store (i32.const {address}) (i32.const {value})) (i32.const 0)"))
}

fn cases() -> Vec<Case> {
    let honest = Guest::default();
    vec![
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
        ("describe-misaligned", describe("(i32.const 2)"), "", Fails(ABI_VIOLATION)),
        ("describe-at-the-very-end", describe("(i32.const 131072)"), "", Fails(ABI_VIOLATION)),
        ("describe-functions-out-of-range", describe(describe_with(0, 0x7fff_fff0)), "", Fails(ABI_VIOLATION)),
        ("describe-functions-misaligned", describe(describe_with(0, 9)), "", Fails(ABI_VIOLATION)),
        ("describe-name-out-of-range", describe(describe_with(8, 0xffff_fff0)), "", Fails(ABI_VIOLATION)),
        ("describe-name-of-100-kb", describe(describe_with(12, 100_000)), "", Fails(DESCRIBE_INVALID)),
        ("describe-kind-of-100-kb", describe(describe_with(20, 100_000)), "", Fails(DESCRIBE_INVALID)),
        ("describe-fields-without-end", describe(describe_with(60, u32::MAX)), "", Fails(ABI_VIOLATION)),
        ("describe-no-ports", describe(describe_with(28, 0)), "", Fails(DESCRIBE_DIFFERS)),
        ("describe-attributes-from-nowhere", describe(describe_with(44, 3)), "", Fails(DESCRIBE_INVALID)),
        (
            // 3,000 functions, each of them zeroes: without a name.
            "describe-thousands-of-nothing",
            describe(
                "(i32.store (i32.const 0) (i32.const 8192)) (i32.store (i32.const 4) (i32.const 3000)) (i32.const 0)",
            ),
            "",
            Fails(DESCRIBE_INVALID),
        ),
        (
            "describe-a-type-that-nobody-knows",
            describe("(i32.store (i32.const 528) (i32.const 0x78787878)) (i32.const 0)"),
            "",
            Fails(UNKNOWN_TYPE),
        ),
    ]
}
