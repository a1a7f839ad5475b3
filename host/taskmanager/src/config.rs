//! What names mean on this machine: the configuration of a TaskManager, read from TOML and from flags.
//!
//! ```toml
//! slots = 4                            # as many as there are cores if absent
//! jail = "required"                    # or "best-effort": goes on where this machine cannot raise a wall
//! executor-memory = "4 GiB"            # of a tenant's executor; what its job needs if absent
//! executor-nice = 5                    # how far executors stand back when CPU is short
//! state = "/var/lib/lockgate/state"
//! cache = "/var/cache/lockgate"
//! cache-bytes = "2 GiB"                # 1 GiB if absent
//!
//! [volumes]
//! flights = "/srv/flights"
//! ```
//!
//! `lockgate run` takes no more than this. `lockgate taskmanager` needs besides what [`Cluster`] has, and may have
//! [`Metrics`]. Relative paths are
//! relative to the file that has them. All mistakes are told at once, each with its line.

mod cluster;
mod metrics;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use cluster::host_port;
pub use cluster::{Cluster, LogFormat, own_name};
pub use metrics::Metrics;

use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use lockgate_executor::ExecutorOptions;
use lockgate_executor::jail::Policy;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most slots.
pub const MAX_SLOTS: u32 = 1_024;
/// The longest configuration file, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// The configuration of a TaskManager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// How many task slots run at once.
    pub slots: u32,
    /// What happens where a wall around executors cannot be raised.
    pub jail: Policy,
    /// Bytes of memory of a tenant's executor; what its job needs if none.
    pub executor_memory: Option<u64>,
    /// How far executors stand back for others when CPU is short: 0 to 19.
    pub executor_nice: i32,
    /// The directory of the states of runs, or of a TaskManager of a cluster; the caller's default if none.
    pub state: Option<PathBuf>,
    /// The directory of compiled components; the caller's default if none.
    pub cache: Option<PathBuf>,
    /// The most bytes of compiled components.
    pub cache_bytes: u64,
    /// The directories of the volumes.
    pub volumes: BTreeMap<Name, PathBuf>,
    /// Which cluster it belongs to, if it does.
    pub cluster: Option<Cluster>,
    /// Where a TaskManager of a cluster shows its figures, if it does.
    pub metrics: Option<Metrics>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: cores(),
            jail: Policy::Required,
            executor_memory: None,
            executor_nice: 5,
            state: None,
            cache: None,
            cache_bytes: 1 << 30,
            volumes: BTreeMap::new(),
            cluster: None,
            metrics: None,
        }
    }
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// All that is wrong with it: `LG0002` if it cannot be read, `LG0860` if it is not understood, `LG0850` if it is of a
    /// TaskManager of a cluster and others may change it.
    pub fn read(path: &Path) -> Result<Self, Vec<Error>> {
        let failed = |error: std::io::Error| vec![Error::new(code::IO, format!("{}: {error}", path.display()))];
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.len() > MAX_BYTES {
            return Err(vec![invalid("the configuration is longer than 1 MiB".into()).at(path.display().to_string())]);
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = Self::parse(&text, &path.display().to_string(), folder)?;
        if config.cluster.is_some() {
            // It says whom to trust.
            use std::os::unix::fs::MetadataExt as _;
            let owner = metadata.uid();
            if (owner != 0 && owner != rustix::process::geteuid().as_raw()) || metadata.mode() & 0o022 != 0 {
                let cause = format!("{} belongs to another user, or other users may change it", path.display());
                let error = Error::new(code::EXPOSED_TO_OTHERS, cause);
                return Err(vec![error.help(format!("if nobody else has, `chmod 644 {}`", path.display()))]);
            }
        }
        Ok(config)
    }

    /// Reads `text`, which errors call `file`; relative paths in it are relative to `folder`.
    ///
    /// # Errors
    /// `LG0860`, all of them.
    pub fn parse(text: &str, file: &str, folder: &Path) -> Result<Self, Vec<Error>> {
        read::config(text, file, folder)
    }

    /// Whether `text` looks like a configuration of a TaskManager rather than of a JobManager, which are both TOML and
    /// have no key in common but that of the log.
    pub fn looks_like(text: &str) -> bool {
        read::looks_like(text)
    }

    /// How this machine's executors are set up, if a job needs `slots` slots and `memory` bytes.
    pub fn executors(&self, slots: u32, memory: u64) -> ExecutorOptions {
        ExecutorOptions {
            program: None,
            slots: slots.clamp(1, lockgate_executor::MAX_SLOTS),
            memory: self.executor_memory.unwrap_or(memory),
            nice: self.executor_nice,
            jail: self.jail,
        }
    }

    /// Adds the volume of a flag, `NAME=DIRECTORY`, in place of one of the same name in the file.
    ///
    /// # Errors
    /// `LG0860`; `LG0101` if the name is not one.
    pub fn add_volume(&mut self, flag: &str) -> Result<()> {
        let (name, directory) = volume_flag(flag)?;
        self.volumes.insert(name, directory);
        Ok(())
    }
}

/// Reads `NAME=DIRECTORY`.
///
/// # Errors
/// `LG0860` if there is no `=` or no directory; `LG0101` if the name is not one.
pub fn volume_flag(flag: &str) -> Result<(Name, PathBuf)> {
    match flag.split_once('=') {
        Some((name, directory)) if !directory.is_empty() => Ok((Name::new(name)?, directory.into())),
        _ => Err(invalid(format!("the volume {flag:?} is not of the form NAME=DIRECTORY"))
            .help("for example: --volume data=./data")),
    }
}

fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(MAX_SLOTS).min(MAX_SLOTS)
}

fn invalid(cause: String) -> Error {
    Error::new(code::INVALID_CONFIGURATION, cause)
}
