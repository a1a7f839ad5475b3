//! `cargo xtask crash`: only the tests that kill what must survive it, and much more often than `cargo xtask test` does.

use crate::process::{cargo, line};
use crate::{Result, unknown_argument};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// `cargo xtask crash --help`.
pub const HELP: &str = "\
Usage: cargo xtask crash [--kills N]

Asks the JobManager's store for random changes, kills it with SIGKILL at random points, starts it again and compares it
with what was acknowledged. The last line says how many kills there were, and what was lost or is not as it should be.

Options:
  --kills N   kills so often (1000)
";

/// How often it is killed if nothing else is asked for.
const KILLS: u32 = 1_000;

/// Kills, with the tests' output.
///
/// # Errors
/// For an argument that is not known, and when anything was lost.
pub fn run(arguments: &[String]) -> Result {
    let kills = match arguments {
        [] => KILLS,
        [option, number] if option == "--kills" => {
            number.parse().map_err(|_| format!("--kills wants a number, not {number:?}"))?
        }
        [other, ..] => return Err(unknown_argument("crash", other)),
    };
    let mut command = cargo(["test", "--workspace", "--test", "lockgate", "--", "killed::", "--nocapture"]);
    command.env("LOCKGATE_KILLS", kills.to_string()).stdout(Stdio::piped());
    let mut tests = command.spawn().map_err(|error| format!("{}: {error}", line(&command)))?;
    let mut sum = None;
    if let Some(output) = tests.stdout.take() {
        for text in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            println!("{text}");
            if text.contains(" kills, ") && text.ends_with(" diverged") {
                sum = Some(text);
            }
        }
    }
    let ended = tests.wait().map_err(|error| format!("{}: {error}", line(&command)))?;
    let sum = sum.ok_or("the crash tests did not sum up")?;
    println!("{sum}");
    if ended.success() { Ok(()) } else { Err("a crash test failed".into()) }
}
