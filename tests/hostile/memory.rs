//! Attacks on memory by guests written by hand: growth in every way, many memories, tables and instances, data segments,
//! what is asked of the host at once, and what another guest may have left.

use super::attack::Verdict::{self, Fails, Harmless, Refused};
use super::attack::attempt;
use super::bombs::{leb, section};
use super::wat::{self, Case, FUEL, Guest, call, first, items, leaked, signed};
use crate::harness::suite::Ended;
use lockgate_core::error::code::*;

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    let many = many().into_iter().map(|(name, module, times, limits, verdict)| {
        verdict.of("memory", name, attempt(signed(beside(module, times)), "f", limits, verdict))
    });
    wat::outcomes("memory", cases()).into_iter().chain(many).collect()
}

const RANDOM: &str = r#"(import "wasi:random/random@0.2.6" "get-random-bytes" (func $random (param i64 i32)))"#;

fn cases() -> Vec<Case> {
    let honest = Guest::default();
    let in_all = |instruction: &str| first(&format!("(if (i32.eq {instruction} (i32.const -1)) (then unreachable))"));
    let random =
        |count: &str| Guest { imports: RANDOM, ..first(&format!("(call $random (i64.const {count}) (i32.const 64))")) };
    vec![
        ("initial-memory-above-limit", Guest { pages: 2_000, ..honest }, "", Fails(ARTEFACT_REFUSED)),
        ("initial-memory-of-4-gib", Guest { pages: 65_536, ..honest }, "", Fails(ARTEFACT_REFUSED)),
        ("initial-table-of-a-million", items("(table 1000000 funcref)"), "", Fails(ARTEFACT_REFUSED)),
        ("initial-table-above-limit", items("(table 150000 funcref)"), "memory = \"1 MiB\"", Fails(MEMORY_LIMIT)),
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
        // Growing.
        (
            "memory-grow-without-end",
            call("(loop $l (drop (memory.grow (i32.const 1))) (br $l)) unreachable"),
            "",
            Fails(OUT_OF_FUEL),
        ),
        (
            "memory-grow-to-all",
            first("(if (i32.eq (memory.grow (i32.const 65534)) (i32.const -1)) (then unreachable))"),
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
            "table-grow-to-all",
            Guest { items: "(table $t 1 funcref)", ..in_all("(table.grow $t (ref.null func) (i32.const 100000000))") },
            FUEL,
            Fails(MEMORY_LIMIT),
        ),
        (
            "table-grow-past-its-maximum",
            Guest { items: "(table $t 1 2 funcref)", ..in_all("(table.grow $t (ref.null func) (i32.const 2))") },
            "",
            Fails(GUEST_TRAP),
        ),
        ("memory-grow-by-the-most-there-is", in_all("(memory.grow (i32.const -1))"), "", Fails(OUT_OF_FUEL)),
        (
            "memory-grows-at-the-start",
            items(
                "(func $s (if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable))) (start $s)",
            ),
            FUEL,
            Fails(MEMORY_LIMIT),
        ),
        (
            "memory-grows-in-describe",
            Guest {
                describe: "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable)) (i32.const 0)",
                ..honest
            },
            "",
            Fails(MEMORY_LIMIT),
        ),
        (
            "memory-grows-in-realloc",
            Guest {
                realloc: "(if (i32.eq (memory.grow (i32.const 600)) (i32.const -1)) (then unreachable))",
                ..honest
            },
            FUEL,
            Fails(MEMORY_LIMIT),
        ),
        (
            "memory-grows-after-the-call",
            Guest { post: "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable))", ..honest },
            FUEL,
            Fails(MEMORY_LIMIT),
        ),
        ("memory-grow-that-takes-no-for-an-answer", first("(drop (memory.grow (i32.const 60000)))"), FUEL, Harmless),
        (
            "all-of-its-memory-touched",
            first(
                "(drop (memory.grow (i32.const 900))) (memory.fill (i32.const 131072) (i32.const 7) (i32.const 58982400))",
            ),
            FUEL,
            Harmless,
        ),
        (
            "memory-left-by-others",
            // What memory grows by is new: not one byte of whoever had it before.
            Guest {
                items: "(func $scan (local $at i32) (local.set $at (i32.const 131072)) (loop $l
                    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if $l (i32.lt_u (local.get $at) (i32.const 52559872)))))",
                ..first(
                    "(drop (memory.grow (i32.const 800))) (call $scan) (memory.fill (i32.const 131072) (i32.const 7) (i32.const 52428800))",
                )
            },
            "fuel-per-batch = \"500M\"\nmemory = \"60 MiB\"",
            Harmless,
        ),
        ("an-exabyte-of-random-bytes", random("0x1000000000000000"), "", Fails(IMPORT_REFUSED)),
        ("more-random-bytes-than-there-is-memory", random("1048576"), FUEL, Fails(ABI_VIOLATION)),
        // A million ports, columns or messages that are one and the same few bytes.
        ("ports-again-and-again", again(4_124, 1_000_000), FUEL, Fails(OUTPUT_PORTS)),
        ("columns-again-and-again", again(4_100, 1_000_000), FUEL, Fails(OUTPUT_COLUMNS)),
        (
            "an-error-of-all-memory",
            Guest {
                pages: 900,
                ..call(
                    "(i32.store (i32.const 4120) (i32.const 1)) (i32.store (i32.const 4124) (i32.const 0))
                    (memory.fill (i32.const 8192) (i32.const 97) (i32.const 58000000))
                    (memory.fill (i32.const 0) (i32.const 97) (i32.const 4096))
                    (i32.store (i32.const 4124) (i32.const 8192)) (i32.store (i32.const 4128) (i32.const 58000000))
                    (i32.const 4120)",
                )
            },
            FUEL,
            Fails(GUEST_ERROR),
        ),
        (
            "data-that-fills-memory",
            items(leaked(format!("(data (i32.const 16384) \"{}\")", "x".repeat(100_000)))),
            "",
            Harmless,
        ),
        (
            "data-segments-that-overlap",
            items(leaked("(data (i32.const 16384) \"0123456789abcdef\")".repeat(10_000))),
            "",
            Harmless,
        ),
    ]
}

/// A result whose list at this address has `count` elements, all of zeroes.
fn again(list: u32, count: u32) -> Guest<'static> {
    let text = format!(
        "(drop {}) (i32.store (i32.const {list}) (i32.const 131072)) (i32.store (i32.const {}) (i32.const {count}))
            (i32.const 4120)",
        wat::ECHO,
        list + 4
    );
    Guest { pages: 900, ..call(leaked(text)) }
}

/// Modules that are instantiated beside the honest one, so many times.
fn many() -> Vec<(&'static str, &'static str, usize, &'static str, Verdict)> {
    vec![
        ("many-memories", "(memory 1)", 8, "", Fails(ARTEFACT_REFUSED)),
        ("memories-that-sum-up", "(memory 400)", 3, "", Fails(MEMORY_LIMIT)),
        ("memories-that-grow-and-sum-up", GROW, 3, FUEL, Fails(MEMORY_LIMIT)),
        ("many-tables", "(table 10 funcref)", 40, "", Fails(ARTEFACT_REFUSED)),
        ("many-tables-in-one", MANY_TABLES, 1, "", Fails(ARTEFACT_REFUSED)),
        ("tables-that-sum-up", "(table 190000 funcref)", 10, "memory = \"8 MiB\"", Fails(MEMORY_LIMIT)),
        ("many-instances", "", 127, "", Harmless),
        ("too-many-instances", "", 128, "", Refused(COMPONENT_TOO_LARGE)),
        ("many-starts-that-loop", "(func $s (loop $l (br $l))) (start $s)", 20, "", Fails(OUT_OF_FUEL)),
        ("many-globals-in-many-instances", "(global i64 (i64.const 1))", 100, "", Harmless),
    ]
}

const GROW: &str = "(memory 1) (func $s (if (i32.eq (memory.grow (i32.const 400)) (i32.const -1)) (then unreachable)))
    (start $s)";
const MANY_TABLES: &str = "(table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref)
    (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref)";

/// The honest guest with `times` instances of another module beside it.
pub fn beside(module: &str, times: usize) -> Vec<u8> {
    let module = wat::parse(&format!("(module {module})"));
    // The guest's own module is number 0.
    let instances = section(2, &[leb(times), [0, 1, 0].repeat(times)].concat());
    [Guest::default().component(), section(1, &module), instances].concat()
}
