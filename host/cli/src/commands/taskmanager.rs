//! `lockgate taskmanager`: runs a TaskManager of a cluster, shows what it knows of itself, and steers a JobManager's.
//!
//! No setting is a flag: one file says what counts, and secrets would show in the list of processes.

use super::taskmanagers::TaskManagers;
use super::{Failure, Outcome, jobmanager};
use crate::output::{Output, pairs};
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_jobmanager::notify::Notify;
use lockgate_jobmanager::serve::left_alone;
use lockgate_taskmanager::agent;
use lockgate_taskmanager::config::{Config, LogFormat};
use serde_json::json;
use std::path::PathBuf;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "SIGTERM lets what runs commit and end, within 30 seconds; a second one ends it at once. A join token \
                  is read from the file that the configuration names or from LOCKGATE_JOIN_TOKEN, and needed once. \
                  LOCKGATE_LOG chooses what is logged, such as `debug`."
)]
pub struct TaskManager {
    /// Runs a TaskManager by this configuration, taskmanager.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Shows what this machine's TaskManager knows of itself, from its state folder.
    Status(Status),
    #[command(flatten)]
    Steer(TaskManagers),
}

#[derive(Debug, clap::Args)]
struct Status {
    /// The configuration, taskmanager.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl TaskManager {
    /// Whether it is a service, which logs what happens.
    pub fn serves(&self) -> bool {
        self.config.is_some()
    }

    pub fn run(&self, output: &Output) -> Outcome {
        match (&self.config, &self.command) {
            (_, Some(Command::Status(status))) => status.run(output),
            (_, Some(Command::Steer(steer))) => steer.run(output),
            (Some(file), None) => serve(&Config::read(file)?),
            (None, None) => Err(Error::new(code::USAGE, "a configuration is needed: --config FILE").into()),
        }
    }
}

fn serve(config: &Config) -> Outcome {
    let json = config.cluster.as_ref().is_some_and(|cluster| cluster.log == LogFormat::Json);
    jobmanager::listen(json);
    let failed = |error: std::io::Error| Failure::from(Error::new(code::INTERNAL, format!("no threads: {error}")));
    let runtime = tokio::runtime::Runtime::new().map_err(failed)?;
    let served = runtime.block_on(async {
        let notify = Notify::from_environment();
        let mut signals = Signals::new()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let watching = tokio::spawn(async move {
            tokio::select! {
                () = signals.next() => {}
                () = left_alone() => {}
            }
            drop(stop);
            signals.next().await;
            tracing::warn!("ended at once; what was not committed is done again elsewhere");
            std::process::exit(i32::from(crate::exit::INTERRUPTED));
        });
        let alive = async {
            match notify.interval() {
                Some(interval) => loop {
                    tokio::time::sleep(interval).await;
                    notify.alive();
                },
                None => std::future::pending().await,
            }
        };
        let stopped = async {
            let _ = stopped.await;
            notify.stopping();
        };
        let served = tokio::select! {
            served = agent::serve(config, stopped, || notify.ready()) => served,
            () = alive => Ok(()),
        };
        watching.abort();
        served
    });
    // What was cut off and did not end has had its time.
    runtime.shutdown_background();
    Ok(served?)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::new(code::INTERNAL, format!("no signals: {error}"));
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Status {
    fn run(&self, output: &Output) -> Outcome {
        let status = agent::status(&Config::read(&self.config)?)?;
        let (version, digest) = status.root;
        let witness = &status.witness;
        let value = json!({
            "name": status.name, "domain": status.domain, "expires": status.expires, "renewed-from": status.renew_at,
            "operator-root": { "version": version, "digest": digest },
            "tenants": status.tenants, "audit": witness,
        });
        output.result(&value, || {
            let tenants: Vec<&str> = status.tenants.iter().map(|tenant| tenant.as_str()).collect();
            let head = witness.head.map(|head| format!("record {} ({})", head.sequence, head.hash));
            let mut rows = vec![
                ("name", status.name.to_string()),
                ("trust domain", status.domain.to_string()),
                ("certificate", format!("until {}, renewed from {}", status.expires, status.renew_at)),
                ("operator root", format!("version {version} ({digest})")),
                ("tenants", if tenants.is_empty() { "none yet".to_owned() } else { tenants.join(", ") }),
                ("audit log", head.unwrap_or_else(|| "not heard of yet".to_owned())),
            ];
            rows.extend(
                witness.found.iter().map(|found| ("CONTRADICTION", format!("{}: {}", found.at, found.error()))),
            );
            pairs(rows)
        });
        Ok(())
    }
}
