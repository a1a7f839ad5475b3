//! `cargo xtask chaos`: only the test that lets failures drawn by chance happen to jobs, and much more often than
//! `cargo xtask test` does.

use crate::process::{self, cargo, line};
use crate::{Result, unknown_argument};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// `cargo xtask chaos --help`.
pub const HELP: &str = "\
Usage: cargo xtask chaos [--runs N] [--seed S]

Runs jobs over three TaskManagers and a JobManager, all of them processes, while these and their executors are killed,
stopped and restarted, networks are cut and slow, clocks jump and disks are full. Networks and disks are made as root only,
with iproute2 and iptables; clocks are set by Debian's libfaketime, which is fetched if it is not installed. Every row must
be in a job's output once. The last line says how many runs there were, and how many diverged from that; each of those names
its seed.

Options:
  --runs N   so many runs, of seeds one after the other (100)
  --seed S   the first seed (1)
";

/// How many runs there are if nothing else is asked for.
const RUNS: u64 = 100;

/// Runs, with the test's output.
///
/// # Errors
/// For an argument that is not known, and when a run diverged.
pub fn run(arguments: &[String]) -> Result {
    let (mut runs, mut seed) = (RUNS, 1_u64);
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = match option.as_str() {
            "--runs" => &mut runs,
            "--seed" => &mut seed,
            other => return Err(unknown_argument("chaos", other)),
        };
        let number = rest.next().ok_or_else(|| format!("{option} wants a number"))?;
        *value = number.parse().map_err(|_| format!("{option} wants a number, not {number:?}"))?;
    }
    // The processes are those of this build, not of an earlier one.
    process::run(&mut cargo(["build", "--workspace", "--bins", "--examples"]))?;
    let test = "chaos::a_job_survives_what_chance_brings";
    let mut command = cargo(["test", "--workspace", "--test", "lockgate", "--", "--exact", test, "--nocapture"]);
    command.env("LOCKGATE_CHAOS_RUNS", runs.to_string()).env("LOCKGATE_CHAOS_SEED", seed.to_string());
    command.stdout(Stdio::piped());
    let mut tests = command.spawn().map_err(|error| format!("{}: {error}", line(&command)))?;
    let mut last = None;
    if let Some(output) = tests.stdout.take() {
        for text in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            println!("{text}");
            if text.ends_with(" diverged") && text.contains(" runs, ") {
                last = Some(text);
            }
        }
    }
    let ended = tests.wait().map_err(|error| format!("{}: {error}", line(&command)))?;
    println!("{}", last.ok_or("the test did not sum up")?);
    if ended.success() { Ok(()) } else { Err("a run diverged".into()) }
}
