//! `cargo xtask hostile`: only the tests that attack the sandbox, with the line that sums them up.

use crate::process::{cargo, run as run_command};
use crate::{Result, guests, unknown_argument};

/// `cargo xtask hostile --help`.
pub const HELP: &str = "\
Usage: cargo xtask hostile

Builds the guests and runs the hostile ones: loops, recursion, memory in every way, malformed results, traps in every
phase, floods, imports that were not granted. Each must end as its test says; the last line counts them.
";

/// Runs them, with their output.
///
/// # Errors
/// For any argument, and when a guest gets away with something.
pub fn run(arguments: &[String]) -> Result {
    if let Some(argument) = arguments.first() {
        return Err(unknown_argument("hostile", argument));
    }
    guests::build()?;
    run_command(&mut cargo(["test", "--workspace", "--test", "lockgate", "--", "hostile::", "--nocapture"]))
}
