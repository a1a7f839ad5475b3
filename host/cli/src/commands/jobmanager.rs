//! `lockgate jobmanager` and `lockgate config check`: the control plane as a service, and a look at its configuration.
//!
//! No setting is a flag: one file says what counts, and secrets would show in the list of processes.

use super::Outcome;
use crate::output::Output;
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_jobmanager::Config;
use lockgate_jobmanager::config::LogFormat;
use lockgate_jobmanager::serve::asked_to_stop;
use lockgate_taskmanager::config::Config as TaskManagerConfig;
use serde_json::json;
use std::path::{Path, PathBuf};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, clap::Args)]
#[command(after_help = "SIGTERM stops it when what has begun has ended, SIGHUP makes it look for new certificates. \
                        LOCKGATE_LOG chooses what is logged, such as `debug`.")]
pub struct JobManager {
    /// The configuration, jobmanager.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Make a set-up token although there are operators: when all of their tokens are lost.
    #[arg(long)]
    new_setup_token: bool,
}

#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Says all that is wrong with the configuration of a JobManager or a TaskManager, without starting it.
    Check(Check),
}

#[derive(Debug, clap::Args)]
pub struct Check {
    /// The file.
    file: PathBuf,
}

impl JobManager {
    pub fn run(&self) -> Outcome {
        let config = Config::read(&self.config)?;
        listen(config.log_format == LogFormat::Json);
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| Error::new(code::INTERNAL, format!("no threads: {error}")))?;
        let drained = runtime.block_on(async {
            let shutdown = asked_to_stop()?;
            lockgate_jobmanager::serve(&config, self.new_setup_token, shutdown).await
        })?;
        if !drained {
            tracing::warn!("stopped before all that had begun had ended");
        }
        Ok(())
    }
}

impl ConfigCommand {
    pub fn run(&self, output: &Output) -> Outcome {
        let Self::Check(check) = self;
        // They have no table in common: what is in the file says whose it is.
        if std::fs::read_to_string(&check.file).is_ok_and(|text| TaskManagerConfig::looks_like(&text)) {
            return taskmanager(&check.file, output);
        }
        let config = Config::read(&check.file)?;
        let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        let plane: Option<Vec<String>> =
            config.plane.as_ref().map(|plane| plane.listen.iter().map(ToString::to_string).collect());
        let result = json!({ "file": check.file, "listen": listen, "names": config.names, "plane": plane });
        output.result(&result, || {
            let plane = plane.map(|plane| format!(", and on {} for TaskManagers", plane.join(", ")));
            let plane = plane.unwrap_or_default();
            format!("{} is in order: listens on {}{plane}", check.file.display(), listen.join(", "))
        });
        Ok(())
    }
}

fn taskmanager(file: &Path, output: &Output) -> Outcome {
    let config = TaskManagerConfig::read(file)?;
    let domain = config.cluster.as_ref().map(|cluster| cluster.domain.to_string());
    let volumes: Vec<&str> = config.volumes.keys().map(|name| name.as_str()).collect();
    let metrics: Option<Vec<String>> =
        config.metrics.as_ref().map(|metrics| metrics.listen.iter().map(ToString::to_string).collect());
    let result =
        json!({ "file": file, "slots": config.slots, "domain": domain, "volumes": volumes, "metrics": metrics });
    output.result(&result, || {
        let of =
            domain.as_ref().map_or_else(|| "for `lockgate run` only".to_owned(), |of| format!("for the cluster {of}"));
        let metrics = metrics.map(|metrics| format!(", which shows its figures on {}", metrics.join(", ")));
        let metrics = metrics.unwrap_or_default();
        format!("{} is in order: a TaskManager with {} slots, {of}{metrics}", file.display(), config.slots)
    });
    Ok(())
}

/// A service's log on standard error: what happens, not only what goes wrong.
pub(super) fn listen(json: bool) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("LOCKGATE_LOG")
        .from_env_lossy();
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    match json {
        false => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        true => log.json().flatten_event(true).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_configuration_is_checked_without_being_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobmanager.toml");
        let check = |text: &str| {
            std::fs::write(&file, text).unwrap();
            ConfigCommand::Check(Check { file: file.clone() }).run(&Output::new(Format::Json))
        };
        check("data = \"data\"").unwrap_or_else(|failure| panic!("{:?}", failure.0));
        assert!(!folder.path().join("data").exists(), "a check made something");
        let errors = check("data = 1\nlisten = 2\ncolour = 3").unwrap_err().0;
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors.iter().all(|error| error.code() == code::JOBMANAGER_CONFIG && error.place().is_some()));
        check("slots = 2").unwrap_or_else(|failure| panic!("{:?}", failure.0));
        let errors = check("slots = 0\n[trust]\ndomain = 3\n").unwrap_err().0;
        assert!(errors.len() >= 2, "{errors:?}");
        assert!(errors.iter().all(|error| error.code() == code::INVALID_CONFIGURATION && error.place().is_some()));
    }
}
