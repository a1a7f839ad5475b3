//! What names mean on this machine, as the command line and a configuration file say it.

use lockgate_core::{Name, Result};
use lockgate_executor::{Executor, Executors};
use lockgate_taskmanager::config::Config;
use lockgate_taskmanager::volume::Volumes;
use std::path::PathBuf;

/// Bytes of memory of an executor that only looks.
const AUTHOR: u64 = 2 << 30;

/// The flags that say what volumes are.
#[derive(Debug, Default, clap::Args)]
pub struct Machine {
    /// What a volume is on this machine; may be given several times.
    #[arg(long = "volume", value_name = "NAME=DIRECTORY")]
    volumes: Vec<String>,
    /// A configuration with volumes, slots and directories, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Machine {
    /// The configuration: the file's, with the flags on top.
    ///
    /// # Errors
    /// `LG0002` or `LG0860` if the file is not to be had or not understood, `LG0860` for a flag.
    pub fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        self.volumes.iter().try_for_each(|flag| config.add_volume(flag))?;
        Ok(config)
    }

    /// An executor that looks at an author's own component or data, as any executor would.
    ///
    /// # Errors
    /// As [`Machine::config`], and `LG09nn` if it cannot be started.
    pub fn author(&self) -> Result<Executor> {
        Executors::new(self.config()?.executors(1, AUTHOR))?.of(&Name::new("author")?)
    }

    /// The volumes, opened.
    ///
    /// # Errors
    /// As [`Machine::config`], and `LG0802` if a directory cannot be opened.
    pub fn volumes(&self) -> Result<Volumes> {
        Volumes::open(&self.config()?.volumes)
    }
}
