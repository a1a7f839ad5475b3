//! `lockgate completions`: a script for a shell.

use super::Outcome;
use clap::CommandFactory as _;
use std::io::Write as _;

#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    pub fn run(&self) -> Outcome {
        // Into memory first: the generator panics when it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "lockgate", &mut script);
        let _ = std::io::stdout().write_all(&script);
        Ok(())
    }
}
