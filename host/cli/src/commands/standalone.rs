//! `lockgate standalone`: a whole cluster on one machine. A JobManager and a TaskManager as processes of their own, by the same
//! code and over the same mutual TLS as anywhere else: this only writes their configuration, does what an operator does once,
//! with the verbs that he would use, starts both, and starts again whichever of them ends.
//!
//! All is in one folder, so that a second start goes on from the first one, and so that it can be read what was done.

mod process;
mod setup;

use super::Outcome;
use crate::home::Home;
use crate::output::{Output, pairs};
use lockgate_core::error::code;
use lockgate_core::trust::TrustDomain;
use lockgate_core::{Error, Result};
use lockgate_jobmanager::serve::asked_to_stop;
use lockgate_taskmanager::config::volume_flag;
use process::Supervised;
use serde_json::json;
use setup::Layout;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How often the operator's status is renewed, if its keys are here.
const RENEW: Duration = Duration::from_secs(12 * 3_600);

#[derive(Debug, clap::Args)]
#[command(after_help = "SIGTERM and Ctrl-C end both, the TaskManager first. Further TaskManagers may join: see \
                        `lockgate taskmanager token create --help`.")]
pub struct Standalone {
    /// The folder of everything: configuration, keys, state; made if missing. In the user's data directory if not given.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where the JobManager listens for TaskManagers.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    plane: SocketAddr,
    /// The task slots; as many as there are cores if not given.
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// What a volume is on this machine; as often as there are volumes.
    #[arg(long = "volume", value_name = "NAME=DIRECTORY")]
    volumes: Vec<String>,
    /// The trust domain, which bundles and trust documents name as their audience.
    #[arg(long, value_name = "NAME", default_value = "standalone.local")]
    domain: TrustDomain,
    /// A folder with the operator's root and status, whose keys are elsewhere. Without it the first start makes keys.
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
}

impl Standalone {
    pub fn run(&self, output: &Output) -> Outcome {
        super::jobmanager::listen(false);
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| Error::new(code::INTERNAL, format!("no threads: {error}")))?;
        runtime.block_on(self.supervise(output))?;
        Ok(())
    }

    async fn supervise(&self, output: &Output) -> Result<()> {
        let stop = asked_to_stop()?;
        tokio::pin!(stop);
        let layout = self.layout()?;
        layout.configure(self)?;
        let mut jobmanager = Supervised::new("jobmanager", layout.jobmanager_config(), layout.run());
        let mut taskmanager = Supervised::new("taskmanager", layout.taskmanager_config(), layout.run());
        let starting = async {
            layout.trust(self).await?;
            jobmanager.start().await?;
            layout.enrol(&self.url()).await?;
            layout.give_trust(self).await?;
            layout.admit_taskmanager().await?;
            taskmanager.start().await?;
            layout.greet(&self.url()).await
        };
        let started = tokio::select! {
            started = starting => Some(started),
            () = stop.as_mut() => None,
        };
        if let Some(Ok(())) = &started {
            self.say(output, &layout);
            let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + RENEW, RENEW);
            loop {
                tokio::select! {
                    () = stop.as_mut() => break,
                    () = jobmanager.keep() => {}
                    () = taskmanager.keep() => {}
                    _ = renew.tick() => {
                        if let Err(error) = layout.give_trust(self).await {
                            tracing::warn!(%error, "the operator's status could not be renewed");
                        }
                    }
                }
            }
        }
        taskmanager.stop().await;
        jobmanager.stop().await;
        started.unwrap_or(Ok(()))
    }

    fn layout(&self) -> Result<Layout> {
        match &self.data {
            Some(data) => Layout::at(data),
            None => Layout::at(&Home::open()?.standalone()),
        }
    }

    /// How the API is asked from this machine.
    fn url(&self) -> String {
        match self.listen.ip().is_loopback() || self.listen.ip().is_unspecified() {
            true => format!("https://localhost:{}", self.listen.port()),
            false => format!("https://{}", self.listen),
        }
    }

    fn volumes(&self) -> Result<toml::Table> {
        let mut volumes = toml::Table::new();
        for flag in &self.volumes {
            let (name, directory) = volume_flag(flag)?;
            let path = std::path::absolute(&directory).map_err(|error| crate::files::failed(&directory, &error))?;
            volumes.insert(name.to_string(), setup::text(&path)?.into());
        }
        Ok(volumes)
    }

    fn say(&self, output: &Output, layout: &Layout) {
        let (server, plane) = (self.url(), self.plane.to_string());
        let trust = layout.trust_folder(self).display().to_string();
        let value = json!({
            "server": server, "plane": plane, "data": layout.root(), "trust": trust, "domain": self.domain.to_string(),
            "context": setup::CONTEXT,
        });
        output.result(&value, || {
            let next = "lockgate tenant create NAME, lockgate submit; lockgate taskmanager list".to_owned();
            let context = format!("{} (the present one)", setup::CONTEXT);
            let data = layout.root().display().to_string();
            pairs([
                ("API", server),
                ("TaskManagers", plane),
                ("context", context),
                ("data", data),
                ("trust", trust),
                ("next", next),
            ])
        });
    }
}
