//! `cargo xtask`: the developer commands, so that a clone needs no shell script, no make and no tool beside cargo.
//!
//! No dependency on purpose: this is the first thing that a fresh machine compiles. What the commands say goes to
//! standard error; standard output carries results only (`guests`, `bench --json`).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod api;
mod bench;
mod chaos;
mod check;
mod crash;
mod demo;
mod guests;
mod hostile;
mod image;
mod languages;
mod process;
mod steps;
mod workspace;

use std::process::ExitCode;

/// What went wrong, in one sentence or with what to do on further lines.
type Result<T = ()> = std::result::Result<T, String>;

/// A command: its name, one line for the overview, its own help, and what it does with its arguments.
struct Command {
    name: &'static str,
    summary: &'static str,
    help: fn() -> String,
    run: fn(&[String]) -> Result,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "demo",
        summary: "run the example jobs and the nine refusals",
        help: || demo::HELP.into(),
        run: demo::run,
    },
    Command {
        name: "test",
        summary: "everything that must pass before a merge",
        help: check::test_help,
        run: check::test,
    },
    Command { name: "lint", summary: "formatting and clippy", help: || check::LINT_HELP.into(), run: check::lint },
    Command {
        name: "guests",
        summary: "build all guests for wasm32-wasip2",
        help: || guests::HELP.into(),
        run: guests::run,
    },
    Command { name: "bench", summary: "measure what the sandbox costs", help: || bench::HELP.into(), run: bench::run },
    Command {
        name: "hostile",
        summary: "run the hostile guests and say how they ended",
        help: || hostile::HELP.into(),
        run: hostile::run,
    },
    Command {
        name: "api",
        summary: "hold the API against its own description, for long",
        help: || api::HELP.into(),
        run: api::run,
    },
    Command {
        name: "crash",
        summary: "kill the store at random points and say what was lost",
        help: || crash::HELP.into(),
        run: crash::run,
    },
    Command {
        name: "chaos",
        summary: "let everything fail under jobs and say what came out wrong",
        help: || chaos::HELP.into(),
        run: chaos::run,
    },
    Command {
        name: "image",
        summary: "build the container image and run it as it is to be run",
        help: || image::HELP.into(),
        run: image::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result {
    let Some((name, rest)) = arguments.split_first() else {
        return Err(format!("which command?\n\n{}", overview()));
    };
    if is_help(name) || name == "help" {
        print!("{}", overview());
        return Ok(());
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("there is no command {name:?}\n\n{}", overview()));
    };
    let own = rest.iter().take_while(|argument| *argument != "--");
    if own.clone().any(|argument| is_help(argument)) {
        print!("{}", (command.help)());
        return Ok(());
    }
    (command.run)(rest)
}

fn is_help(argument: &str) -> bool {
    matches!(argument, "-h" | "--help")
}

fn overview() -> String {
    let mut text = String::from("Usage: cargo xtask <COMMAND> [OPTIONS]\n\nCommands:\n");
    for command in COMMANDS {
        text += &format!("  {:<8} {}\n", command.name, command.summary);
    }
    text + "\n`cargo xtask <COMMAND> --help` says more.\n"
}

/// The error for an argument that a command does not know.
fn unknown_argument(command: &str, argument: &str) -> String {
    format!("{command} does not know the argument {argument:?}; see `cargo xtask {command} --help`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &[&str]) -> Result {
        dispatch(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn every_command_has_help_that_names_it() {
        for command in COMMANDS {
            assert!((command.help)().contains(&format!("cargo xtask {}", command.name)), "{}", command.name);
            assert_eq!(call(&[command.name, "--help"]), Ok(()));
        }
    }

    #[test]
    fn what_is_unknown_is_refused_by_name() {
        assert!(call(&["tset"]).is_err_and(|message| message.contains("\"tset\"")));
        assert!(call(&[]).is_err_and(|message| message.contains("Commands:")));
        for command in COMMANDS {
            let answer = call(&[command.name, "--nonsense"]);
            assert!(answer.is_err_and(|message| message.contains("--nonsense")), "{}", command.name);
        }
    }
}
