//! Guests that attack, run as signed jobs: each must end as its table says, beside an honest job of another tenant that
//! notices nothing, and leave nothing behind in the process.
//!
//! The whole table runs in a process of its own, so that what it leaves behind can be counted.

pub mod attack;
mod bombs;
mod compile;
mod contract;
mod cpu;
mod describe;
mod escape;
mod functions;
mod handles;
mod languages;
mod memory;
mod traps;
pub mod wat;

use crate::harness::suite::{self, Ended, Left};

#[test]
fn suite() {
    suite::alone("hostile::suite", inside);
}

/// Runs everything, looks at what is left, and gives the tables.
fn inside() -> String {
    // What is made once in a process is made before anything is counted.
    attack::attempt(crate::harness::part("hostile"), "honest", "", attack::Verdict::Harmless)
        .expect("the honest guest");
    let before = Left::now();
    let suites: [fn() -> Vec<Ended>; 11] = [
        cpu::outcomes,
        functions::outcomes,
        memory::outcomes,
        bombs::outcomes,
        compile::outcomes,
        contract::outcomes,
        describe::outcomes,
        handles::outcomes,
        traps::outcomes,
        escape::outcomes,
        escape::mutants,
    ];
    let mut ended: Vec<Ended> = suites.into_iter().flat_map(|suite| suite()).collect();
    ended.extend(before.compare(MEMORY));
    if suite::all() {
        let before = Left::now();
        ended.extend(compile::long());
        if suite::languages() {
            ended.extend(languages::outcomes());
        }
        ended.extend(before.compare(MEMORY_OF_COMPILERS));
    }
    suite::tables("guests", "contained", &ended)
}

/// Resident bytes that the process may have more in the end than in the beginning: what allocators keep.
const MEMORY: u64 = 128 << 20;
/// The same where components of tens of megabytes are compiled, on many threads with an allocator's arena each.
const MEMORY_OF_COMPILERS: u64 = 1 << 30;
