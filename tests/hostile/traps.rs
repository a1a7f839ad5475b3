//! Every kind of trap in every phase of a guest's life: while it starts, while it makes room for its arguments, while it
//! describes itself, in the call, after it, and in a destructor.

use super::attack::Verdict::{self, Fails};
use super::attack::attempt;
use super::handles::OWN;
use super::wat::{ECHO, Guest, leaked};
use crate::harness::suite::Ended;
use lockgate_core::Code;
use lockgate_core::error::code::*;

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    let pairs = PHASES.iter().flat_map(|phase| KINDS.iter().map(move |kind| (*phase, kind)));
    pairs.map(|(phase, kind)| run(phase, kind)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Realloc,
    Describe,
    Call,
    PostReturn,
    Destructor,
}

use Phase::{Call, Describe, Destructor, PostReturn, Realloc, Start};

const PHASES: [Phase; 6] = [Start, Realloc, Describe, Call, PostReturn, Destructor];

/// Name, instructions, and the code that they end with, unless it is that of a trap.
type Kind = (&'static str, &'static str, Option<Code>);

const KINDS: &[Kind] = &[
    ("unreachable", "(if (i32.const 1) (then unreachable))", None),
    ("division-by-zero", "(drop (i32.div_u (i32.const 1) (global.get $zero)))", None),
    ("remainder-by-zero", "(drop (i64.rem_s (i64.const 1) (i64.const 0)))", None),
    ("integer-overflow", "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", None),
    ("conversion-of-nan", "(drop (i32.trunc_f32_s (f32.const nan)))", None),
    ("conversion-out-of-range", "(drop (i64.trunc_f64_u (f64.const 1e300)))", None),
    ("load-out-of-bounds", "(drop (i64.load offset=0xffffffff (i32.const -1)))", None),
    ("store-out-of-bounds", "(i32.store (i32.const 0x7fffffff) (i32.const 1))", None),
    ("fill-out-of-bounds", "(memory.fill (i32.const 131000) (i32.const 0) (i32.const 100))", None),
    ("copy-out-of-bounds", "(memory.copy (i32.const 131071) (i32.const 0) (i32.const 2))", None),
    ("segment-out-of-bounds", "(memory.init $segment (i32.const 0) (i32.const 0) (i32.const 9))", None),
    ("table-out-of-bounds", "(drop (table.get $table (i32.const 9)))", None),
    ("call-of-nothing", "(call_indirect $table (type $none) (i32.const 0))", None),
    ("call-of-another-type", "(call_indirect $table (type $none) (i32.const 1))", None),
    ("call-out-of-bounds", "(call_indirect $table (type $none) (i32.const -1))", None),
    ("stack", "(call $deep)", Some(STACK_OVERFLOW)),
    ("fuel", "(loop $again (br $again))", Some(OUT_OF_FUEL)),
    ("exit", "(call $exit (i32.const 0))", Some(GUEST_EXIT)),
];

const ITEMS: &str = r#"(global $zero (mut i32) (i32.const 0)) (data $segment "x") (type $none (func))
    (table $table 2 funcref) (elem (i32.const 1) $other) (func $other (param i64)) (func $deep (call $deep))"#;
const EXIT: &str = r#"(import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))"#;

fn run(phase: Phase, (kind, trap, code): &Kind) -> Ended {
    let honest = Guest { imports: EXIT, items: ITEMS, ..Guest::default() };
    let (at, guest) = match phase {
        Start => ("start", Guest { items: leaked(format!("{ITEMS} (func $start {trap}) (start $start)")), ..honest }),
        Realloc => ("realloc", Guest { realloc: trap, ..honest }),
        Describe => ("describe", Guest { describe: leaked(format!("{trap} (i32.const 0)")), ..honest }),
        Call => ("call", Guest { call: leaked(format!("{trap} {ECHO}")), ..honest }),
        PostReturn => ("post-return", Guest { post: trap, ..honest }),
        Destructor => {
            let destructor = format!(r#"(func (export "test:hostile/things#[dtor]thing") (param i32) {trap})"#);
            let guest = Guest {
                world: "owner",
                imports: leaked(format!("{EXIT} {OWN}")),
                items: leaked(format!("{ITEMS} {destructor}")),
                call: leaked(format!("(call $drop-thing (call $new-thing (i32.const 1))) {ECHO}")),
                ..honest
            };
            ("destructor", guest)
        }
    };
    let code = match (phase, code) {
        // The canonical ABI forbids a guest to call anything while it makes room or cleans up.
        (Realloc | PostReturn, Some(GUEST_EXIT)) => GUEST_TRAP,
        (_, Some(code)) => *code,
        (Start, None) => START_FAILED,
        (_, None) => GUEST_TRAP,
    };
    let verdict: Verdict = Fails(code);
    verdict.of("traps", &format!("{at}, {kind}"), attempt(guest.part(), "f", "", verdict))
}
