//! The `lockgate` command.
//!
//! One module a verb, each with its arguments and what it does. What a verb finds goes through [`output`], so that text
//! and JSON say the same; what goes wrong is a [`lockgate_core::Error`] and decides the exit code.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod client;
mod commands;
mod content;
mod contexts;
mod exit;
mod files;
mod home;
mod keyfile;
mod local;
mod output;
mod progress;
mod project;

use clap::Parser;
use lockgate_core::Error;
use lockgate_core::error::code;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Runs signed WebAssembly functions on streams of data without trusting them.
#[derive(Debug, Parser)]
#[command(name = "lockgate", version, after_help = exit::HELP)]
struct Cli {
    /// How results and errors are written: for people, or one JSON object each.
    #[arg(long, global = true, value_enum, default_value = "text")]
    output: output::Format,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    // Before there is a thread, or anything open: this may be a process that is to be jailed.
    if let Some(exit) = lockgate_executor::child(std::env::args_os()) {
        return exit;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    if !cli.command.logs_itself() {
        listen();
    }
    let output = output::Output::new(cli.output);
    match cli.command.run(&output) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(failure) => {
            output.errors(&failure.0);
            ExitCode::from(exit::code(&failure.0))
        }
    }
}

/// Shows events of the TaskManager (an artefact that cannot be trusted, for example) on standard error: warnings and
/// worse, or what `LOCKGATE_LOG` asks for.
fn listen() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .with_env_var("LOCKGATE_LOG")
        .from_env_lossy();
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_ansi(terminal)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .without_time()
        .init();
}

/// Help and version go to standard output; a mistake is told as every other error is when JSON was asked for.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "json" || argument == "--output=json");
    if json && error.use_stderr() {
        let text = error.to_string();
        let cause = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        output::Output::new(output::Format::Json).errors(&[Error::new(code::USAGE, cause)]);
    } else {
        let _ = error.print();
    }
    ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::OK })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
