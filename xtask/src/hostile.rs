//! `cargo xtask hostile`: only the tests that attack, all of them, with their tables and the line that sums them up.

use crate::process::{cargo, line};
use crate::{Result, guests, languages, unknown_argument};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// `cargo xtask hostile --help`.
pub const HELP: &str = "\
Usage: cargo xtask hostile [--without-languages] [--write]

Builds the guests and runs everything that attacks: hostile guests, hostile inputs, escapes from the jail, hostile calls to
the JobManager, a hostile JobManager. A table for each group tells how every case ended; the last line counts them. What takes too long for `cargo xtask test` is run here too:
components that compile for long, and guests in Python and JavaScript, whose compilers are fetched with pip and npm.

  --without-languages   leave the Python and JavaScript guests out, where there is no Python, Node or network
  --write               write which wall stops which attempt into docs/threat-model.md, rather than compare
";

/// What suites call themselves in the lines that sum them up, and what becomes of their cases.
const SUITES: [(&str, &str); 5] = [
    ("guests", "contained"),
    ("inputs", "contained"),
    ("escapes", "stopped"),
    ("calls", "refused"),
    ("assignments", "refused"),
];
/// The suites that every run has.
const ALWAYS: [&str; 5] = ["guests", "inputs", "escapes", "calls", "assignments"];

/// Runs them, with their output.
///
/// # Errors
/// For an unknown argument, and when a case gets away with something.
pub fn run(arguments: &[String]) -> Result {
    let (mut languages, mut write) = (true, false);
    for argument in arguments {
        match argument.as_str() {
            "--without-languages" => languages = false,
            "--write" => write = true,
            other => return Err(unknown_argument("hostile", other)),
        }
    }
    guests::build()?;
    if languages {
        languages::build()?;
    }
    crate::process::run(&mut cargo(["build", "--workspace", "--bins", "--examples"]))?;
    let filters = ["hostile::", "inputs::", "jail::", "escapes::", "calls::no_", "assignments::"];
    let mut command = cargo(["test", "--workspace", "--test", "lockgate", "--"]);
    command.args(filters).args(["--nocapture", "--test-threads", "1"]);
    command.env("LOCKGATE_TEST_HOSTILE_ALL", if languages { "languages" } else { "1" });
    if write {
        command.env("LOCKGATE_TEST_HOSTILE_WRITE", "1");
    }
    let mut tests = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("{}: {error}", line(&command)))?;
    let mut sum = Sum::default();
    if let Some(output) = tests.stdout.take() {
        for text in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            println!("{text}");
            sum.add(&text);
        }
    }
    let ended = tests.wait().map_err(|error| format!("{}: {error}", line(&command)))?;
    println!("{}", sum.line());
    if let Some(missing) = sum.missing() {
        return Err(format!("the suite of hostile {missing} did not sum up"));
    }
    if ended.success() && sum.held() { Ok(()) } else { Err("a hostile test failed".into()) }
}

/// What the suites have counted: cases that held and cases that did not, none for a suite that has not summed up.
#[derive(Default)]
struct Sum([Option<(u64, u64)>; SUITES.len()]);

impl Sum {
    /// Takes a line such as `guests: 258 contained, 0 not` into account; a suite may sum up in several.
    fn add(&mut self, text: &str) {
        for ((suite, what), sum) in SUITES.iter().zip(&mut self.0) {
            let counts = text.strip_prefix(suite).and_then(|rest| rest.strip_prefix(": "));
            let counts = counts.and_then(|rest| rest.strip_suffix(" not")?.split_once(&format!(" {what}, ")));
            if let Some((Ok(held), Ok(not))) = counts.map(|(held, not)| (held.parse::<u64>(), not.parse::<u64>())) {
                let before = sum.unwrap_or_default();
                *sum = Some((before.0.saturating_add(held), before.1.saturating_add(not)));
            }
        }
    }

    /// All of it, `guests: N contained, 0 not; inputs: N contained, 0 not; escapes: N stopped, 0 not; …`.
    fn line(&self) -> String {
        let parts = SUITES.iter().zip(&self.0).filter_map(|((suite, what), sum)| {
            let (held, not) = (*sum)?;
            Some(format!("{suite}: {held} {what}, {not} not"))
        });
        parts.collect::<Vec<_>>().join("; ")
    }

    /// A suite that should have run and has not summed up.
    fn missing(&self) -> Option<&'static str> {
        let ran = |suite: &str| SUITES.iter().zip(&self.0).any(|((name, _), sum)| *name == suite && sum.is_some());
        ALWAYS.into_iter().find(|suite| !ran(suite))
    }

    /// Whether no case got away.
    fn held(&self) -> bool {
        self.0.iter().flatten().all(|(_, not)| *not == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_summed() {
        let mut sum = Sum::default();
        sum.add("guests: 7 contained, 0 not");
        sum.add("guests, cpu: 7");
        assert_eq!(sum.missing(), Some("inputs"));
        sum.add("inputs: 20 contained, 0 not");
        assert_eq!((sum.missing(), sum.held()), (Some("escapes"), true));
        sum.add("escapes: 40 stopped, 0 not");
        assert_eq!(sum.missing(), Some("calls"));
        sum.add("calls: 64 refused, 0 not");
        assert_eq!(sum.missing(), Some("assignments"));
        sum.add("assignments: 99 refused, 0 not");
        assert_eq!((sum.missing(), sum.held()), (None, true));
        sum.add("guests: 3 contained, 0 not");
        let line = "guests: 10 contained, 0 not; inputs: 20 contained, 0 not; escapes: 40 stopped, 0 not";
        assert_eq!(sum.line(), format!("{line}; calls: 64 refused, 0 not; assignments: 99 refused, 0 not"));
        assert!(sum.held());
        sum.add("escapes: 1 stopped, 2 not");
        assert!(!sum.held() && sum.line().contains("escapes: 41 stopped, 2 not"));
    }
}
