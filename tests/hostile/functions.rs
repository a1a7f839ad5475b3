//! What each function of the hostile guest must meet.

use super::attack::{self, Outcome, Verdict, attempt, divide};
use crate::harness::{self, Home};
use Verdict::{Fails, Harmless};
use lockgate_core::Code;
use lockgate_core::error::code::{self, *};

/// More fuel, for attacks that are not after fuel.
const FUEL: &str = "fuel-per-batch = \"500M\"";

/// Function, limits that differ from the defaults, how a batch of it ends, and how a row alone ends where that differs.
const CASES: &[(&str, &str, Verdict, &[Code])] = &[
    ("honest", "", Harmless, &[]),
    ("no-port", "", Fails(OUTPUT_PORTS), &[]),
    ("two-ports", "", Fails(OUTPUT_PORTS), &[]),
    ("no-column", "", Fails(OUTPUT_COLUMNS), &[]),
    ("two-columns", "", Fails(OUTPUT_COLUMNS), &[]),
    ("no-buffer", "", Fails(OUTPUT_BUFFERS), &[]),
    ("two-buffers", "", Fails(OUTPUT_BUFFERS), &[]),
    ("short-buffer", "", Fails(BUFFER_LENGTH), &[]),
    ("long-buffer", "", Fails(BUFFER_LENGTH), &[]),
    ("more-rows", "", Fails(ROW_COUNT), &[]),
    ("huge-rows", "", Fails(code::OUTPUT_ROWS), &[]),
    ("fewer-rows-without-origin", "", Fails(ROW_COUNT), &[]),
    ("validity-short", "", Fails(VALIDITY_LENGTH), &[]),
    ("validity-long", "", Fails(VALIDITY_LENGTH), &[]),
    ("null-where-none-may-be", "", Fails(UNEXPECTED_NULL), &[]),
    ("bool-short", "", Fails(BUFFER_LENGTH), &[]),
    ("bool-long", "", Fails(BUFFER_LENGTH), &[]),
    ("offsets-short", "", Fails(BUFFER_LENGTH), &[]),
    ("offsets-from-one", "", Fails(OFFSETS_START), &[]),
    ("offsets-fall", "", Fails(OFFSETS_ORDER), &[OFFSETS_END]),
    ("offsets-negative", "", Fails(OFFSETS_ORDER), &[]),
    ("offsets-overrun", "", Fails(OFFSETS_END), &[]),
    ("offsets-end-early", "", Fails(OFFSETS_END), &[]),
    ("utf8-invalid", "", Fails(NOT_UTF8), &[]),
    ("utf8-split", "", Fails(SPLIT_CHARACTER), &[OFFSETS_END]),
    ("binary-offsets-fall", "", Fails(OFFSETS_ORDER), &[OFFSETS_END]),
    ("decimal-too-wide", "", Fails(DECIMAL_RANGE), &[]),
    ("origin-short", "", Fails(ORIGIN_LENGTH), &[]),
    ("origin-odd", "", Fails(ORIGIN_LENGTH), &[]),
    ("origin-falls", "", Fails(ORIGIN_ORDER), &[]),
    ("origin-overruns", "", Fails(ORIGIN_RANGE), &[]),
    ("failed-odd", "", Fails(FAILED_LENGTH), &[]),
    ("failed-overruns", "", Fails(FAILED_RANGE), &[]),
    ("failed-twice", "", Fails(FAILED_ORDER), &[]),
    ("failed-falls", "", Fails(FAILED_ORDER), &[]),
    ("failed-too-few-messages", "", Fails(BUFFER_LENGTH), &[FAILED_RANGE]),
    ("failed-no-messages", "", Fails(OUTPUT_BUFFERS), &[]),
    ("failed-bad-text", "", Fails(NOT_UTF8), &[]),
    ("failed-and-kept", "", Fails(FAILED_WITH_OUTPUT), &[]),
    ("loop", "", Fails(OUT_OF_FUEL), &[]),
    ("loop-on-seven", "", Fails(OUT_OF_FUEL), &[]),
    // A stack of Rust lies at the bottom of the memory, and this one falls out of it.
    ("recursion", "", Fails(GUEST_TRAP), &[]),
    ("memory-fill", "", Fails(OUT_OF_FUEL), &[]),
    ("memory-copy", "", Fails(OUT_OF_FUEL), &[]),
    ("grow", FUEL, Fails(MEMORY_LIMIT), &[]),
    ("grow-at-once", FUEL, Fails(MEMORY_LIMIT), &[]),
    ("leak", "", Harmless, &[]),
    ("log-flood", FUEL, Harmless, &[]),
    ("log-giant", FUEL, Harmless, &[]),
    ("log-escapes", "", Harmless, &[]),
    ("print-flood", FUEL, Harmless, &[]),
    ("log-storm", "", Fails(OUT_OF_FUEL), &[]),
    ("config-storm", "", Fails(OUT_OF_FUEL), &[]),
    ("config-giant-name", FUEL, Fails(OUT_OF_FUEL), &[]),
    ("clock-storm", "", Fails(OUT_OF_FUEL), &[]),
    ("sleep", FUEL, Harmless, &[]),
    ("random-storm", "", Fails(OUT_OF_FUEL), &[]),
    ("giant-error", FUEL, Fails(GUEST_ERROR), &[]),
    ("escape-error", "", Fails(GUEST_ERROR), &[]),
    ("failure-flood", "", Fails(ROW_REFUSED), &[]),
    ("amplify-rows", FUEL, Fails(code::OUTPUT_ROWS), &[]),
    ("amplify-bytes", FUEL, Fails(code::OUTPUT_BYTES), &[]),
    ("many-columns", FUEL, Fails(OUTPUT_COLUMNS), &[]),
    ("many-buffers", FUEL, Fails(OUTPUT_BUFFERS), &[]),
    ("large-buffers", FUEL, Fails(code::OUTPUT_BYTES), &[]),
    ("panic", "", Fails(GUEST_TRAP), &[]),
    ("panic-on-seven", "", Fails(GUEST_TRAP), &[]),
    ("fail-on-seven", "", Fails(GUEST_ERROR), &[]),
    ("unreachable", "", Fails(GUEST_TRAP), &[]),
    ("division", "", Fails(GUEST_TRAP), &[]),
    ("out-of-bounds", "", Fails(GUEST_TRAP), &[]),
    ("null-call", "", Fails(GUEST_TRAP), &[]),
    ("exit", "", Fails(GUEST_EXIT), &[]),
    ("exit-with-code", "", Fails(GUEST_EXIT), &[]),
    ("abort", "", Fails(GUEST_TRAP), &[]),
    ("open-a-file", "", Fails(GUEST_ERROR), &[]),
    ("list-the-root", "", Fails(GUEST_ERROR), &[]),
    ("write-a-file", "", Fails(GUEST_ERROR), &[]),
    ("connect", "", Fails(GUEST_ERROR), &[]),
    ("listen", "", Fails(GUEST_ERROR), &[]),
    ("datagram", "", Fails(GUEST_ERROR), &[]),
    ("resolve", "", Fails(GUEST_ERROR), &[]),
    ("spawn", "", Fails(GUEST_ERROR), &[]),
    ("arguments", "", Fails(GUEST_ERROR), &[]),
    ("environment", "", Fails(GUEST_ERROR), &[]),
    ("standard-input", "", Fails(GUEST_ERROR), &[]),
    ("host-clock", FUEL, Fails(GUEST_ERROR), &[]),
];

/// Runs them all, each once so that a failure fails the job and once so that it goes to the dead letters.
pub fn outcomes() -> impl Iterator<Item = Outcome> {
    CASES.iter().map(|(function, limits, verdict, alone)| {
        let outcome = attempt(harness::part("hostile"), function, limits, *verdict).and_then(|()| match verdict {
            Fails(code) => divide(harness::part("hostile"), function, limits, &[&[*code], *alone].concat()),
            _ => Ok(()),
        });
        ((*function).to_owned(), outcome)
    })
}

#[test]
fn every_function_of_the_guest_has_a_verdict() {
    let described: Vec<String> =
        harness::part("hostile").describe.iter().map(|function| function.name.clone()).collect();
    let mut expected: Vec<&str> = CASES.iter().map(|(function, ..)| *function).collect();
    expected.sort_unstable();
    let mut found: Vec<&str> = described.iter().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}

/// Runs `function` where every row is to come out; what it logged and how many bytes were dropped.
fn logged(function: &str) -> (harness::Ran, u64) {
    let job = attack::job(harness::part("hostile"), function, attack::OnError::Fail, FUEL).unwrap();
    let ran = Home::with_rows(0..attack::ROWS).run(&job);
    let dropped = ran.usage().values().map(|usage| usage.log_dropped).sum();
    (ran, dropped)
}

#[test]
fn a_flood_of_logs_is_bounded_and_counted() {
    let quota = 64 << 10;
    for (function, sent) in [("log-flood", 10_000 << 10), ("print-flood", 10_000 << 10), ("log-giant", 16 << 20)] {
        let (ran, dropped) = logged(function);
        assert!(attack::bytes(&ran.logs) <= quota, "{function}: {} bytes", attack::bytes(&ran.logs));
        assert!(attack::bytes(&ran.logs) > quota / 2, "{function}: {} bytes", attack::bytes(&ran.logs));
        assert!(dropped >= sent - quota as u64, "{function}: {dropped} of {sent} bytes were counted");
    }
}

#[test]
fn escapes_in_logs_do_nothing() {
    let (ran, _) = logged("log-escapes");
    let text: Vec<&str> = ran.logs.iter().map(|line| line.text.as_str()).collect();
    assert!(text.iter().any(|line| line.contains("owned")), "{text:?}");
    text.iter().for_each(|line| attack::tame(line).unwrap());
}

#[test]
fn a_guest_that_leaks_is_replaced_before_it_fails() {
    let text = attack::manifest("leak", attack::OnError::Fail, "batch-rows = 1", "");
    let job = harness::prepare(&text, &[("guest", harness::part("hostile"))]).unwrap();
    let home = Home::with_rows(0..40);
    let ran = home.run(&job);
    let usage = ran.usage().into_values().next().unwrap();
    assert_eq!(home.rows("good").len(), 40);
    // 4 MiB leak with each of 40 calls, an instance may have 64.
    assert!(usage.instances >= 3 && usage.traps == 0, "{usage:?}");
    assert!(usage.memory <= 64 << 20, "{usage:?}");
}
