//! What each function of the hostile guest must meet.

use super::attack::{self, Verdict, attempt, divide};
use super::wat::FUEL;
use crate::harness::suite::Ended;
use crate::harness::{self, Home};
use Verdict::{Fails, Harmless};
use lockgate_core::Code;
use lockgate_core::error::code::{self, *};

/// Group, function, limits that differ from the defaults, how a batch of it ends, and how a row alone ends where that differs.
const CASES: &[(&str, &str, &str, Verdict, &[Code])] = &[
    ("contract", "honest", "", Harmless, &[]),
    ("contract", "no-port", "", Fails(OUTPUT_PORTS), &[]),
    ("contract", "two-ports", "", Fails(OUTPUT_PORTS), &[]),
    ("contract", "no-column", "", Fails(OUTPUT_COLUMNS), &[]),
    ("contract", "two-columns", "", Fails(OUTPUT_COLUMNS), &[]),
    ("contract", "no-buffer", "", Fails(OUTPUT_BUFFERS), &[]),
    ("contract", "two-buffers", "", Fails(OUTPUT_BUFFERS), &[]),
    ("contract", "short-buffer", "", Fails(BUFFER_LENGTH), &[]),
    ("contract", "long-buffer", "", Fails(BUFFER_LENGTH), &[]),
    ("contract", "more-rows", "", Fails(ROW_COUNT), &[]),
    ("contract", "huge-rows", "", Fails(code::OUTPUT_ROWS), &[]),
    ("contract", "fewer-rows-without-origin", "", Fails(ROW_COUNT), &[]),
    ("contract", "validity-short", "", Fails(VALIDITY_LENGTH), &[]),
    ("contract", "validity-long", "", Fails(VALIDITY_LENGTH), &[]),
    ("contract", "null-where-none-may-be", "", Fails(UNEXPECTED_NULL), &[]),
    ("contract", "bool-short", "", Fails(BUFFER_LENGTH), &[]),
    ("contract", "bool-long", "", Fails(BUFFER_LENGTH), &[]),
    ("contract", "offsets-short", "", Fails(BUFFER_LENGTH), &[]),
    ("contract", "offsets-from-one", "", Fails(OFFSETS_START), &[]),
    ("contract", "offsets-fall", "", Fails(OFFSETS_ORDER), &[OFFSETS_END]),
    ("contract", "offsets-negative", "", Fails(OFFSETS_ORDER), &[]),
    ("contract", "offsets-overrun", "", Fails(OFFSETS_END), &[]),
    ("contract", "offsets-end-early", "", Fails(OFFSETS_END), &[]),
    ("contract", "utf8-invalid", "", Fails(NOT_UTF8), &[]),
    ("contract", "utf8-split", "", Fails(SPLIT_CHARACTER), &[OFFSETS_END]),
    ("contract", "binary-offsets-fall", "", Fails(OFFSETS_ORDER), &[OFFSETS_END]),
    ("contract", "decimal-too-wide", "", Fails(DECIMAL_RANGE), &[]),
    ("contract", "origin-short", "", Fails(ORIGIN_LENGTH), &[]),
    ("contract", "origin-odd", "", Fails(ORIGIN_LENGTH), &[]),
    ("contract", "origin-falls", "", Fails(ORIGIN_ORDER), &[]),
    ("contract", "origin-overruns", "", Fails(ORIGIN_RANGE), &[]),
    ("contract", "failed-odd", "", Fails(FAILED_LENGTH), &[]),
    ("contract", "failed-overruns", "", Fails(FAILED_RANGE), &[]),
    ("contract", "failed-twice", "", Fails(FAILED_ORDER), &[]),
    ("contract", "failed-falls", "", Fails(FAILED_ORDER), &[]),
    ("contract", "failed-too-few-messages", "", Fails(BUFFER_LENGTH), &[FAILED_RANGE]),
    ("contract", "failed-no-messages", "", Fails(OUTPUT_BUFFERS), &[]),
    ("contract", "failed-bad-text", "", Fails(NOT_UTF8), &[]),
    ("contract", "failed-and-kept", "", Fails(FAILED_WITH_OUTPUT), &[]),
    ("cpu", "loop", "", Fails(OUT_OF_FUEL), &[]),
    ("cpu", "loop-on-seven", "", Fails(OUT_OF_FUEL), &[]),
    // A stack of Rust lies at the bottom of the memory, and this one falls out of it.
    ("cpu", "recursion", "", Fails(GUEST_TRAP), &[]),
    ("cpu", "memory-fill", "", Fails(OUT_OF_FUEL), &[]),
    ("cpu", "memory-copy", "", Fails(OUT_OF_FUEL), &[]),
    ("memory", "grow", FUEL, Fails(MEMORY_LIMIT), &[]),
    ("memory", "grow-at-once", FUEL, Fails(MEMORY_LIMIT), &[]),
    ("memory", "leak", "", Harmless, &[]),
    ("memory", "log-flood", FUEL, Harmless, &[]),
    ("memory", "log-giant", FUEL, Harmless, &[]),
    ("memory", "log-escapes", "", Harmless, &[]),
    ("memory", "print-flood", FUEL, Harmless, &[]),
    ("cpu", "log-storm", "", Fails(OUT_OF_FUEL), &[]),
    ("cpu", "config-storm", "", Fails(OUT_OF_FUEL), &[]),
    ("memory", "config-giant-name", FUEL, Fails(OUT_OF_FUEL), &[]),
    ("cpu", "clock-storm", "", Fails(OUT_OF_FUEL), &[]),
    ("cpu", "sleep", FUEL, Harmless, &[]),
    ("cpu", "random-storm", "", Fails(OUT_OF_FUEL), &[]),
    ("memory", "giant-error", FUEL, Fails(GUEST_ERROR), &[]),
    ("memory", "escape-error", "", Fails(GUEST_ERROR), &[]),
    ("memory", "failure-flood", "", Fails(ROW_REFUSED), &[]),
    ("memory", "amplify-rows", FUEL, Fails(code::OUTPUT_ROWS), &[]),
    ("memory", "amplify-bytes", FUEL, Fails(code::OUTPUT_BYTES), &[]),
    ("memory", "many-columns", FUEL, Fails(OUTPUT_COLUMNS), &[]),
    ("memory", "many-buffers", FUEL, Fails(OUTPUT_BUFFERS), &[]),
    ("memory", "large-buffers", FUEL, Fails(code::OUTPUT_BYTES), &[]),
    ("traps", "panic", "", Fails(GUEST_TRAP), &[]),
    ("traps", "panic-on-seven", "", Fails(GUEST_TRAP), &[]),
    ("traps", "fail-on-seven", "", Fails(GUEST_ERROR), &[]),
    ("traps", "unreachable", "", Fails(GUEST_TRAP), &[]),
    ("traps", "division", "", Fails(GUEST_TRAP), &[]),
    ("traps", "out-of-bounds", "", Fails(GUEST_TRAP), &[]),
    ("traps", "null-call", "", Fails(GUEST_TRAP), &[]),
    ("traps", "exit", "", Fails(GUEST_EXIT), &[]),
    ("traps", "exit-with-code", "", Fails(GUEST_EXIT), &[]),
    ("traps", "abort", "", Fails(GUEST_TRAP), &[]),
    ("escape", "open-a-file", "", Fails(GUEST_ERROR), &[]),
    ("escape", "list-the-root", "", Fails(GUEST_ERROR), &[]),
    ("escape", "write-a-file", "", Fails(GUEST_ERROR), &[]),
    ("escape", "connect", "", Fails(GUEST_ERROR), &[]),
    ("escape", "listen", "", Fails(GUEST_ERROR), &[]),
    ("escape", "datagram", "", Fails(GUEST_ERROR), &[]),
    ("escape", "resolve", "", Fails(GUEST_ERROR), &[]),
    ("escape", "spawn", "", Fails(GUEST_ERROR), &[]),
    ("escape", "arguments", "", Fails(GUEST_ERROR), &[]),
    ("escape", "environment", "", Fails(GUEST_ERROR), &[]),
    ("escape", "standard-input", "", Fails(GUEST_ERROR), &[]),
    ("escape", "parent-directory", "", Fails(GUEST_ERROR), &[]),
    ("escape", "own-memory-as-a-file", "", Fails(GUEST_ERROR), &[]),
    ("escape", "symbolic-link", "", Fails(GUEST_ERROR), &[]),
    ("escape", "remove-a-file", "", Fails(GUEST_ERROR), &[]),
    ("escape", "working-directory", "", Fails(GUEST_ERROR), &[]),
    ("escape", "run-a-program", "", Fails(GUEST_ERROR), &[]),
    ("escape", "unix-time", FUEL, Fails(GUEST_ERROR), &[]),
    ("escape", "sleep-as-a-clock", "", Fails(GUEST_ERROR), &[]),
    ("escape", "entropy-of-addresses", "", Harmless, &[]),
    ("escape", "host-clock", FUEL, Fails(GUEST_ERROR), &[]),
];

/// Runs them all, each once so that a failure fails the job and once so that it goes to the dead letters.
pub fn outcomes() -> Vec<Ended> {
    let run = |(group, function, limits, verdict, alone): &(&'static str, &str, &str, Verdict, &[Code])| {
        let result = attempt(harness::part("hostile"), function, limits, *verdict).and_then(|()| match verdict {
            Fails(code) => divide(harness::part("hostile"), function, limits, &[&[*code], *alone].concat()),
            _ => Ok(()),
        });
        verdict.of(group, function, result)
    };
    CASES.iter().map(run).collect()
}

#[test]
fn every_function_of_the_guest_has_a_verdict() {
    let described: Vec<String> =
        harness::part("hostile").describe.iter().map(|function| function.name.clone()).collect();
    let mut expected: Vec<&str> = CASES.iter().map(|(_, function, ..)| *function).collect();
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
