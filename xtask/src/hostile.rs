//! `cargo xtask hostile`: only the tests that attack the sandbox, with the line that sums them up.

use crate::process::{cargo, line};
use crate::{Result, guests, unknown_argument};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

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
    let mut command = cargo(["test", "--workspace", "--test", "lockgate", "--", "hostile::", "--nocapture"]);
    let mut tests = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("{}: {error}", line(&command)))?;
    let mut sum = None;
    if let Some(output) = tests.stdout.take() {
        for text in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            println!("{text}");
            if text.starts_with("guests: ") {
                sum = Some(text);
            }
        }
    }
    let ended = tests.wait().map_err(|error| format!("{}: {error}", line(&command)))?;
    let sum = sum.ok_or("the hostile tests did not sum up")?;
    println!("{sum}");
    if ended.success() { Ok(()) } else { Err("a hostile test failed".into()) }
}
