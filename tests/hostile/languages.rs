//! Guests in Python and JavaScript that misbehave: whole language runtimes within the sandbox. `cargo xtask hostile` builds
//! them, because that takes compilers that are not Rust's and their engines take long to compile.

use super::attack::{Verdict, attempt};
use crate::harness;
use crate::harness::suite::Ended;
use Verdict::{Fails, Harmless};
use lockgate_core::error::code::*;
use lockgate_core::limits::Limits;

/// What an engine needs more than a function of Rust.
const ROOM: &str = "memory = \"256 MiB\"\nfuel-per-batch = \"2G\"\nfuel-per-instance = \"20G\"\ndeadline = \"60 s\"";

type Case = (&'static str, Verdict);

const PYTHON: &[Case] = &[
    ("honest", Harmless),
    ("loop", Fails(OUT_OF_FUEL)),
    ("grow", Fails(MEMORY_LIMIT)),
    ("exception", Fails(GUEST_TRAP)),
    ("error", Fails(GUEST_ERROR)),
    ("giant-output", Fails(OUTPUT_BYTES)),
    ("recursion", Fails(OUT_OF_FUEL)),
    ("log-flood", Harmless),
    ("wrong-type", Fails(GUEST_TRAP)),
    ("open-a-file", Fails(GUEST_ERROR)),
    ("environment", Fails(GUEST_ERROR)),
    ("connect", Fails(GUEST_ERROR)),
    ("run-a-program", Fails(GUEST_ERROR)),
    ("exit-at-once", Fails(GUEST_EXIT)),
    ("sleep", Harmless),
];

const JAVASCRIPT: &[Case] = &[
    ("honest", Harmless),
    ("loop", Fails(OUT_OF_FUEL)),
    ("grow", Fails(GUEST_ERROR)),
    ("exception", Fails(GUEST_TRAP)),
    ("error", Fails(GUEST_ERROR)),
    ("giant-output", Fails(OUTPUT_BYTES)),
    ("recursion", Fails(GUEST_TRAP)),
    ("log-flood", Harmless),
    ("wrong-type", Fails(GUEST_TRAP)),
    ("regular-expression", Fails(OUT_OF_FUEL)),
    ("giant-string", Fails(GUEST_TRAP)),
    ("evaluate", Harmless),
    ("fetch", Fails(GUEST_TRAP)),
    ("endless-promise", Fails(OUT_OF_FUEL)),
    ("clock", Fails(GUEST_ERROR)),
];

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    let languages = [("python", PYTHON), ("javascript", JAVASCRIPT)];
    // As `ROOM`, for `describe`.
    let limits = Limits {
        memory: 256 << 20,
        fuel_per_batch: 2_000_000_000,
        fuel_per_instance: 20_000_000_000,
        deadline: 60_000,
        ..Limits::default()
    };
    let run = |(language, cases): (&'static str, &'static [Case])| {
        let part = harness::language(language, &limits);
        cases.iter().map(move |(function, verdict)| {
            let result = attempt(part.clone(), function, ROOM, *verdict);
            verdict.of("languages", &format!("{language}, {function}"), result)
        })
    };
    languages.into_iter().flat_map(run).collect()
}
