//! The verbs.

mod audit;
mod backup;
mod build;
mod bundle;
mod certificate;
mod completions;
mod context;
mod diff;
mod doctor;
mod events;
mod explain;
mod health;
mod inspect;
mod jobmanager;
mod jobs;
mod keys;
mod label;
mod login;
mod member;
mod new;
mod quota;
mod remote;
mod run;
mod sign;
mod standalone;
mod submit;
mod taskmanager;
mod taskmanagers;
mod tenant;
mod token;
mod trust;
mod verify;
mod waiting;

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
    /// Makes and renews trust documents as files of a folder, and gives them to a JobManager.
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
    /// Runs a TaskManager of a cluster, or shows and steers those of a JobManager.
    #[command(name = "taskmanager")]
    TaskManager(taskmanager::TaskManager),
    /// Runs a JobManager and a TaskManager on this machine: a whole cluster in one command.
    Standalone(standalone::Standalone),
    /// Asks the JobManager of this machine whether it takes requests, without a credential.
    Health(health::Health),
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
    /// Makes a context: a JobManager, and the token that it is asked with.
    Login(login::Login),
    /// Shows which JobManagers there are, and chooses one.
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Shows who you are to the JobManager, and what you may do.
    Whoami(login::Whoami),
    /// Makes a job of a signed bundle, or takes a job to it.
    Submit(submit::Submit),
    /// Shows a tenant's jobs.
    List(jobs::List),
    /// Shows a job.
    Info(jobs::One),
    /// Ends a job at once.
    Cancel(jobs::End),
    /// Stops a job with drain: it takes in nothing more, commits what is in flight, and finishes.
    Stop(jobs::Stop),
    /// Ends a job and starts it again; one that has ended begins a new run.
    Restart(jobs::One),
    /// Takes a job's slots away until it is resumed.
    Suspend(jobs::One),
    /// Lets a suspended job go on.
    Resume(jobs::One),
    /// Sets and removes labels of a job.
    Label(label::Label),
    /// Deletes a job that has ended.
    Delete(jobs::Delete),
    /// Shows what happened to a job.
    Events(events::Events),
    /// Shows what a job's functions wrote.
    Logs(events::Events),
    /// Uploads and shows bundles.
    #[command(subcommand)]
    Bundle(bundle::Bundle),
    /// Makes, shows and suspends tenants.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Shows and changes who is what.
    #[command(subcommand)]
    Member(member::Member),
    /// Makes, shows and revokes API tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Shows and sets what a tenant may take up.
    #[command(subcommand)]
    Quota(quota::Quota),
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
        match self {
            Self::JobManager(_) | Self::Standalone(_) => true,
            Self::TaskManager(taskmanager) => taskmanager.serves(),
            _ => false,
        }
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
            Self::TaskManager(taskmanager) => taskmanager.run(output),
            Self::Standalone(standalone) => standalone.run(output),
            Self::Health(health) => health.run(output),
            Self::Config(config) => config.run(output),
            Self::Audit(audit) => audit.run(output),
            Self::Backup(backup) => backup.run(output),
            Self::Restore(restore) => restore.run(output),
            Self::Login(login) => login.run(output),
            Self::Context(context) => context.run(output),
            Self::Whoami(whoami) => whoami.run(output),
            Self::Submit(submit) => submit.run(output),
            Self::List(list) => list.run(output),
            Self::Info(job) => job.info(output),
            Self::Cancel(end) => end.run("cancel", output),
            Self::Stop(stop) => stop.run(output),
            Self::Restart(job) => job.ask("restart", output),
            Self::Suspend(job) => job.ask("suspend", output),
            Self::Resume(job) => job.ask("resume", output),
            Self::Label(label) => label.run(output),
            Self::Delete(delete) => delete.run(output),
            Self::Events(events) => events.run(false, output),
            Self::Logs(events) => events.run(true, output),
            Self::Bundle(bundle) => bundle.run(output),
            Self::Tenant(tenant) => tenant.run(output),
            Self::Member(member) => member.run(output),
            Self::Token(token) => token.run(output),
            Self::Quota(quota) => quota.run(output),
            Self::Doctor(doctor) => doctor.run(output),
            Self::Explain(explain) => explain.run(output),
            Self::Completions(completions) => completions.run(),
        }
    }
}
