//! The verbs.

mod audit;
mod backup;
mod build;
mod completions;
mod diff;
mod doctor;
mod explain;
mod inspect;
mod jobmanager;
mod keys;
mod new;
mod run;
mod sign;
mod trust;
mod verify;

use crate::output::Output;
use lockgate_core::Error;
use lockgate_core::error::code;

/// Why a command ends without success: at least one error.
#[derive(Debug)]
pub struct Failure(pub Vec<Error>);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl From<Vec<Error>> for Failure {
    fn from(errors: Vec<Error>) -> Self {
        Self(errors)
    }
}

impl Failure {
    /// Somebody stopped the command.
    pub fn interrupted() -> Self {
        Self(vec![
            Error::new(code::INTERRUPTED, "stopped before the end").help("run it again to go on from the last commit"),
        ])
    }
}

/// What a command gives.
pub type Outcome = Result<(), Failure>;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Makes a project that builds, passes its test and runs as it is.
    New(new::New),
    /// Builds a project into a bundle that waits for its signatures.
    Build(build::Build),
    /// Checks a project and says what it would be allowed to do.
    Check(build::Check),
    /// Runs a project or a bundle on this machine.
    Run(run::Run),
    /// Makes keys and shows public keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Makes and renews trust documents, as files of a folder.
    #[command(subcommand)]
    Trust(trust::Trust),
    /// Shows what a file is: a bundle, component, envelope, trust document, manifest or key.
    Inspect(inspect::Inspect),
    /// Shows what an upgrade newly touches and changes.
    Diff(diff::Diff),
    /// Signs a bundle or a trust document, or adds a further signature.
    Sign(sign::Sign),
    /// Verifies a bundle as a TaskManager does.
    Verify(verify::Verify),
    /// Runs a JobManager: the control plane, over HTTPS.
    #[command(name = "jobmanager")]
    JobManager(jobmanager::JobManager),
    /// Checks configuration files.
    #[command(subcommand)]
    Config(jobmanager::ConfigCommand),
    /// Verifies, exports and shows a JobManager's audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Writes all that a JobManager keeps into one file.
    Backup(backup::Backup),
    /// Puts a backup in place as a new data directory, or only checks it.
    Restore(backup::Restore),
    /// Shows which walls this machine can raise around executors.
    Doctor(doctor::Doctor),
    /// Explains an error code.
    Explain(explain::Explain),
    /// Writes a completion script for a shell.
    Completions(completions::Completions),
}

impl Command {
    /// Whether it says itself how it logs, as a service does.
    pub fn logs_itself(&self) -> bool {
        matches!(self, Self::JobManager(_))
    }

    /// Does it.
    ///
    /// # Errors
    /// The errors that made it stop, as they are shown.
    pub fn run(&self, output: &Output) -> Outcome {
        match self {
            Self::New(new) => new.run(output),
            Self::Build(build) => build.run(output),
            Self::Check(check) => check.run(output),
            Self::Run(run) => run.run(output),
            Self::Keys(keys) => keys.run(output),
            Self::Trust(trust) => trust.run(output),
            Self::Inspect(inspect) => inspect.run(output),
            Self::Diff(diff) => diff.run(output),
            Self::Sign(sign) => sign.run(output),
            Self::Verify(verify) => verify.run(output),
            Self::JobManager(jobmanager) => jobmanager.run(),
            Self::Config(config) => config.run(output),
            Self::Audit(audit) => audit.run(output),
            Self::Backup(backup) => backup.run(output),
            Self::Restore(restore) => restore.run(output),
            Self::Doctor(doctor) => doctor.run(output),
            Self::Explain(explain) => explain.run(output),
            Self::Completions(completions) => completions.run(),
        }
    }
}
