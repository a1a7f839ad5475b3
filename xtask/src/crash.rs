//! `cargo xtask crash`: only the tests that kill what must survive it, and much more often than `cargo xtask test` does.

use crate::process::{cargo, line};
use crate::{Result, unknown_argument};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// `cargo xtask crash --help`.
pub const HELP: &str = "\
Usage: cargo xtask crash [--kills N]

Asks the JobManager over HTTPS, and its store alone, for random changes, kills it with SIGKILL at random points, starts it
again and compares it with what was acknowledged. The last line says how many kills there were, and what was lost or is
not as it should be.

Options:
  --kills N   kills each of the two so often (1000)
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
    let mut sum: Option<[u64; 3]> = None;
    if let Some(output) = tests.stdout.take() {
        for text in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            println!("{text}");
            if let Some(counts) = counts(&text) {
                let ([kills, lost, diverged], [k, l, d]) = (sum.unwrap_or_default(), counts);
                sum = Some([kills + k, lost + l, diverged + d]);
            }
        }
    }
    let ended = tests.wait().map_err(|error| format!("{}: {error}", line(&command)))?;
    let [kills, lost, diverged] = sum.ok_or("the crash tests did not sum up")?;
    println!("{kills} kills, {lost} lost, {diverged} diverged");
    if ended.success() { Ok(()) } else { Err("a crash test failed".into()) }
}

/// The numbers of a test's last line.
fn counts(line: &str) -> Option<[u64; 3]> {
    let mut words = line.split(' ');
    let counts = ["kills,", "lost,", "diverged"].map(|unit| {
        let count = words.next()?.parse().ok()?;
        (words.next()? == unit).then_some(count)
    });
    let [kills, lost, diverged] = counts;
    Some([kills?, lost?, diverged?]).filter(|_| words.next().is_none())
}
