//! `cargo xtask demo`: what Lockgate is for, on real input, and what it refuses.
//!
//! A script of calls of the `lockgate` command, as a user would type them, each with how it must end. Whatever ends
//! otherwise fails the demo, so that it cannot drift from what the command does.

use crate::process::{line, run as run_command};
use crate::{Result, bench, guests, unknown_argument, workspace};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `cargo xtask demo --help`.
pub const HELP: &str = "\
Usage: cargo xtask demo

Builds `lockgate` in release and the example guests, runs the example jobs over examples/data (336,776 flights and some
text), and then shows four refusals. Everything it writes, keys included, goes to target/demo, made anew each time.
";

/// One step. `{demo}` in an argument stands for the folder that the demo writes to.
enum Step {
    /// What the following steps show.
    Say(&'static str),
    /// A call that must succeed.
    Run(&'static [&'static str]),
    /// A call that must be refused with this code.
    Refused(&'static [&'static str], &'static str),
    /// The first lines of the first file in this folder.
    Sample(&'static str),
    /// Copies a bundle with one bit of its first component flipped.
    Flip { from: &'static str, to: &'static str },
    /// Two calls at once: the first must be refused with this code, the second must succeed all the same.
    Beside { refused: &'static [&'static str], code: &'static str, neighbour: &'static [&'static str] },
}

const SCRIPT: &[Step] = &[
    Step::Say("Score every flight of New York in 2013 and keep those that were really late"),
    Step::Run(&[
        "run",
        "examples/flights",
        "--volume",
        "flights=examples/data/flights",
        "--volume",
        "results={demo}/results",
    ]),
    Step::Sample("{demo}/results/late"),
    Step::Say("Clean up names"),
    Step::Run(&["run", "examples/names", "--volume", "data=examples/data", "--volume", "results={demo}/results"]),
    Step::Sample("{demo}/results/names"),
    Step::Say("Parse JSON to columns; what cannot be parsed goes to the dead letters"),
    Step::Run(&["run", "examples/events", "--volume", "data=examples/data", "--volume", "results={demo}/results"]),
    Step::Sample("{demo}/results/events"),
    Step::Sample("{demo}/results/events-dead"),
    Step::Say("Split prose into words"),
    Step::Run(&["run", "examples/words", "--volume", "data=examples/data", "--volume", "results={demo}/results"]),
    Step::Sample("{demo}/results/words"),
    Step::Say("Refusal 1: a byte of a component was flipped after signing"),
    Step::Run(&["build", "examples/flights", "--output", "{demo}/flights.lgb"]),
    Step::Run(&["sign", "{demo}/flights.lgb", "--development"]),
    Step::Run(&["verify", "{demo}/flights.lgb", "--development"]),
    Step::Flip { from: "{demo}/flights.lgb", to: "{demo}/flipped.lgb" },
    Step::Refused(&["verify", "{demo}/flipped.lgb", "--development"], "LG03"),
    Step::Say("Refusal 2: a stranger signed the bundle"),
    Step::Run(&["build", "examples/flights", "--output", "{demo}/strange.lgb"]),
    Step::Run(&["keys", "generate", "{demo}/stranger.key"]),
    Step::Run(&["sign", "{demo}/strange.lgb", "--key", "{demo}/stranger.key"]),
    Step::Refused(&["verify", "{demo}/strange.lgb", "--development"], "LG04"),
    Step::Say("Refusal 3: an endless loop is cut off by fuel while a neighbour finishes"),
    Step::Beside {
        refused: &["run", "tests/guests/endless", "--volume", "data=examples/data"],
        code: "LG06",
        neighbour: &["run", "examples/words", "--volume", "data=examples/data", "--volume", "results={demo}/neighbour"],
    },
    Step::Say("Refusal 4: a guest asks for an import that it was not granted"),
    Step::Refused(&["check", "tests/guests/undeclared-import"], "LG05"),
];

/// Runs the demo.
///
/// # Errors
/// For any argument, and when a step does not end as it must.
pub fn run(arguments: &[String]) -> Result {
    if let Some(argument) = arguments.first() {
        return Err(unknown_argument("demo", argument));
    }
    guests::build()?;
    let folder = workspace::target().join("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    for folder in [folder.join("results"), folder.join("neighbour")] {
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let stage = Stage { lockgate: bench::build_lockgate()?, folder, guests: workspace::guest_target() };
    SCRIPT.iter().try_for_each(|step| stage.play(step))
}

struct Stage {
    lockgate: PathBuf,
    folder: PathBuf,
    guests: PathBuf,
}

impl Stage {
    fn play(&self, step: &Step) -> Result {
        match step {
            Step::Say(text) => println!("\n== {text}"),
            Step::Run(arguments) => run_command(&mut self.call(arguments))?,
            Step::Refused(arguments, code) => {
                let child = start(self.call(arguments).stderr(Stdio::piped()))?;
                refused(child, code)?;
            }
            Step::Sample(folder) => sample(Path::new(&self.fill(folder)))?,
            Step::Flip { from, to } => flip(Path::new(&self.fill(from)), Path::new(&self.fill(to)))?,
            Step::Beside { refused: arguments, code, neighbour } => {
                let child = start(self.call(arguments).stderr(Stdio::piped()))?;
                let beside = run_command(&mut self.call(neighbour));
                refused(child, code)?;
                beside?;
            }
        }
        Ok(())
    }

    /// `lockgate` with these arguments, shown as typed. Keys and guests go where the demo and `guests` keep them.
    fn call(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.lockgate);
        command
            .args(arguments.iter().map(|argument| self.fill(argument)))
            .current_dir(workspace::root())
            .env("XDG_DATA_HOME", self.folder.join("home"))
            .env("CARGO_TARGET_DIR", &self.guests);
        println!("\n$ {}", line(&command));
        command
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{demo}", &workspace::shown(&self.folder))
    }
}

fn start(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| format!("`{}` could not be started: {error}", line(command)))
}

/// Waits for a call that must be refused; shows what it says to the user.
fn refused(child: Child, code: &str) -> Result {
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    print!("{said}");
    match (output.status.success(), said.contains(code)) {
        (false, true) => Ok(()),
        (true, _) => Err("that should have been refused".into()),
        (false, false) => Err(format!("that should have been refused with {code}")),
    }
}

/// Prints the first five lines of the first file in `folder`.
fn sample(folder: &Path) -> Result {
    let files = workspace::files(folder)?;
    let file = files.first().ok_or_else(|| format!("{}: nothing was written", workspace::shown(folder)))?;
    let failed = |error: std::io::Error| format!("{}: {error}", workspace::shown(file));
    println!("\n{}:", workspace::shown(file));
    for line in BufReader::new(std::fs::File::open(file).map_err(failed)?).lines().take(5) {
        println!("  {}", line.map_err(failed)?);
    }
    Ok(())
}

/// Copies the bundle `from` to `to` with one bit flipped 100 bytes into its first component, where no header of the
/// tar is hit.
fn flip(from: &Path, to: &Path) -> Result {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    let mut bytes = std::fs::read(from).map_err(failed)?;
    let component = bytes.windows(4).position(|window| window == b"\0asm");
    let byte = component.and_then(|at| bytes.get_mut(at + 100));
    *byte.ok_or_else(|| format!("{}: no component in it", from.display()))? ^= 1;
    std::fs::write(to, bytes).map_err(failed)?;
    println!("\n(one bit flipped: {} is now {})", workspace::shown(from), workspace::shown(to));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_changes_one_bit_of_a_component() {
        let folder = std::env::temp_dir().join(format!("xtask-flip-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("a"), folder.join("b"));
        std::fs::write(&from, [&[7; 512][..], b"\0asm", &[0; 200]].concat()).unwrap();
        flip(&from, &to).unwrap();
        let (before, after) = (std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        assert_eq!((before.len(), changed), (after.len(), vec![612]));
        std::fs::write(&from, [7; 512]).unwrap();
        assert!(flip(&from, &to).unwrap_err().contains("no component"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_refusal_needs_failure_and_code() {
        let say = |script: &str| start(Command::new("sh").args(["-c", script]).stderr(Stdio::piped())).unwrap();
        assert_eq!(refused(say("echo LG0404: no >&2; exit 1"), "LG0404"), Ok(()));
        assert!(refused(say("echo LG0404: no >&2; exit 0"), "LG0404").is_err());
        assert!(refused(say("echo LG0405: no >&2; exit 1"), "LG0404").is_err_and(|message| message.contains("LG0404")));
    }
}
