//! `lockgate taskmanager`: steers a JobManager's TaskManagers.

use super::Outcome;
use super::taskmanagers::TaskManagers;
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct TaskManager {
    #[command(subcommand)]
    steer: TaskManagers,
}

impl TaskManager {
    pub fn run(&self, output: &Output) -> Outcome {
        self.steer.run(output)
    }
}
