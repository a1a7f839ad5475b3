//! Named steps, one after the other, each timed, with a summary at the end.

use crate::Result;
use std::time::{Duration, Instant};

/// One step of a command.
pub struct Step {
    /// What `--only` and `--skip` call it.
    pub name: &'static str,
    /// What it does, in a few words.
    pub what: &'static str,
    /// Does it. Gets what stood behind `--`.
    pub run: fn(&[String]) -> Result,
}

/// Which steps to run, parsed from the command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The names of the steps to run, in the order of the steps.
    pub names: Vec<&'static str>,
    /// Whether a step that fails ends the run.
    pub keep_going: bool,
    /// What stood behind `--`.
    pub rest: Vec<String>,
}

impl Selection {
    /// Parses `--only STEP`, `--skip STEP` (each any number of times), `--quick`, `--keep-going` and `-- …`.
    /// `quick` names the steps that `--quick` leaves out.
    ///
    /// # Errors
    /// For what is not known, with the names of the steps.
    pub fn parse(command: &str, steps: &[Step], quick: &[&str], arguments: &[String]) -> Result<Self> {
        let mut selection = Self { names: steps.iter().map(|step| step.name).collect(), ..Self::default() };
        let mut only: Vec<&str> = Vec::new();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--only" => only.push(known(steps, argument, arguments.next())?),
                "--skip" => {
                    let name = known(steps, argument, arguments.next())?;
                    selection.names.retain(|step| *step != name);
                }
                "--quick" => selection.names.retain(|step| !quick.contains(step)),
                "--keep-going" => selection.keep_going = true,
                "--" => selection.rest = arguments.by_ref().cloned().collect(),
                other => return Err(crate::unknown_argument(command, other)),
            }
        }
        selection.names.retain(|step| only.is_empty() || only.contains(step));
        if selection.names.is_empty() {
            return Err("no step is left to run".into());
        }
        Ok(selection)
    }
}

/// Runs the selected steps and prints the summary.
///
/// # Errors
/// The names of the steps that failed.
pub fn run(steps: &[Step], selection: &Selection) -> Result {
    let selected: Vec<&Step> = steps.iter().filter(|step| selection.names.contains(&step.name)).collect();
    let begun = Instant::now();
    let mut done: Vec<(&Step, Duration, Result)> = Vec::new();
    for (number, step) in selected.iter().enumerate() {
        eprintln!("\n== [{}/{}] {}: {}", number + 1, selected.len(), step.name, step.what);
        let started = Instant::now();
        let result = (step.run)(&selection.rest);
        if let Err(message) = &result {
            eprintln!("xtask: {message}");
        }
        let stop = result.is_err() && !selection.keep_going;
        done.push((step, started.elapsed(), result));
        if stop {
            break;
        }
    }

    eprintln!();
    for (step, time, result) in &done {
        eprintln!("{:<6} {:<14} {:>9}", if result.is_ok() { "ok" } else { "FAILED" }, step.name, shown(*time));
    }
    for step in selected.iter().skip(done.len()) {
        eprintln!("{:<6} {:<14}", "-", step.name);
    }
    eprintln!("{:<6} {:<14} {:>9}", "", "all", shown(begun.elapsed()));

    let failed: Vec<&str> = done.iter().filter(|(_, _, result)| result.is_err()).map(|(step, ..)| step.name).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// The help's table of steps.
pub fn table(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("  {:<14} {}\n", step.name, step.what)).collect()
}

fn known(steps: &[Step], option: &str, name: Option<&String>) -> Result<&'static str> {
    let names = || steps.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
    let name = name.ok_or_else(|| format!("{option} needs the name of a step: {}", names()))?;
    let step = steps.iter().find(|step| step.name == name);
    step.map(|step| step.name).ok_or_else(|| format!("there is no step {name:?}; there are: {}", names()))
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{}:{:02} min", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step] = &[
        Step { name: "good", what: "succeeds", run: |_| Ok(()) },
        Step { name: "bad", what: "fails", run: |_| Err("it failed".into()) },
        Step {
            name: "after",
            what: "must not run after a failure",
            run: |rest| if rest.is_empty() { Ok(()) } else { Err("ran".into()) },
        },
    ];

    fn select(arguments: &[&str]) -> Result<Selection> {
        Selection::parse("test", STEPS, &["after"], &arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn steps_are_selected() {
        assert_eq!(select(&[]).unwrap().names, ["good", "bad", "after"]);
        assert_eq!(select(&["--quick"]).unwrap().names, ["good", "bad"]);
        assert_eq!(select(&["--only", "after", "--only", "good"]).unwrap().names, ["good", "after"]);
        assert_eq!(select(&["--skip", "bad", "--", "--only"]).unwrap().rest, ["--only"]);
    }

    #[test]
    fn a_wrong_selection_is_refused() {
        assert!(select(&["--only"]).unwrap_err().contains("good, bad, after"));
        assert!(select(&["--skip", "goof"]).unwrap_err().contains("\"goof\""));
        assert!(select(&["--only", "good", "--skip", "good"]).unwrap_err().contains("no step"));
        assert!(select(&["fast"]).unwrap_err().contains("\"fast\""));
    }

    #[test]
    fn a_failure_ends_the_run_unless_told_otherwise() {
        assert_eq!(run(STEPS, &select(&["--", "x"]).unwrap()), Err("failed: bad".into()));
        assert_eq!(run(STEPS, &select(&["--keep-going", "--", "x"]).unwrap()), Err("failed: bad, after".into()));
        assert_eq!(run(STEPS, &select(&["--skip", "bad"]).unwrap()), Ok(()));
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(shown(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(shown(Duration::from_secs(605)), "10:05 min");
    }
}
