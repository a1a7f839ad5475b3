//! What names mean on this machine: the configuration of a TaskManager, read from TOML and from flags.
//!
//! ```toml
//! slots = 4                            # as many as there are cores if absent
//! jail = "required"                    # or "best-effort": goes on where this machine cannot raise a wall
//! executor-memory = 4_294_967_296      # of a tenant's executor, in bytes; what its job needs if absent
//! executor-nice = 5                    # how far executors stand back when CPU is short
//! state = "/var/lib/lockgate/state"
//! cache = "/var/cache/lockgate"
//! cache-bytes = 2_147_483_648          # 1 GiB if absent
//!
//! [volumes]
//! flights = "/srv/flights"
//! ```
//!
//! Relative paths are relative to the file that has them.

use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use lockgate_executor::ExecutorOptions;
use lockgate_executor::jail::Policy;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most slots.
pub const MAX_SLOTS: u32 = 1_024;

/// The configuration of a TaskManager.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How many task slots run at once.
    #[serde(default = "cores")]
    pub slots: u32,
    /// What happens where a wall around executors cannot be raised.
    #[serde(default)]
    pub jail: Policy,
    /// Bytes of memory of a tenant's executor; what its job needs if none.
    #[serde(default)]
    pub executor_memory: Option<u64>,
    /// How far executors stand back for others when CPU is short: 0 to 19.
    #[serde(default = "nice")]
    pub executor_nice: i32,
    /// The directory of the states of runs; the caller's default if none.
    #[serde(default)]
    pub state: Option<PathBuf>,
    /// The directory of compiled components; the caller's default if none.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// The most bytes of compiled components.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: u64,
    /// The directories of the volumes.
    #[serde(default)]
    pub volumes: BTreeMap<Name, PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: cores(),
            jail: Policy::Required,
            executor_memory: None,
            executor_nice: nice(),
            state: None,
            cache: None,
            cache_bytes: cache_bytes(),
            volumes: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `LG0002` if it cannot be read, `LG0860` if it is not understood.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::new(code::IO, format!("{}: {error}", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|error| error.at(path.display().to_string()))
    }

    /// Reads `text`; relative paths in it are relative to `folder`.
    ///
    /// # Errors
    /// `LG0860`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        let mut config: Self = toml::from_str(text).map_err(|error| invalid(located(text, &error)))?;
        if config.slots == 0 || config.slots > MAX_SLOTS {
            return Err(invalid(format!("slots is {}, not 1 to {MAX_SLOTS}", config.slots)));
        }
        if !(0..=19).contains(&config.executor_nice) {
            return Err(invalid(format!("executor-nice is {}, not 0 to 19", config.executor_nice)));
        }
        let paths = config.volumes.values_mut().chain(&mut config.state).chain(&mut config.cache);
        for path in paths {
            if path.as_os_str().is_empty() {
                return Err(invalid("a directory is empty".into()));
            }
            *path = folder.join(&*path);
        }
        Ok(config)
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

fn nice() -> i32 {
    5
}

fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(MAX_SLOTS).min(MAX_SLOTS)
}

fn cache_bytes() -> u64 {
    1 << 30
}

fn invalid(cause: String) -> Error {
    Error::new(code::INVALID_CONFIGURATION, cause)
}

/// The parser's message with the line it speaks of.
fn located(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_file_and_flags() {
        let text = "slots = 3\nstate = \"/s\"\ncache = \"c\"\n[volumes]\nflights = \"data\"\nresults = \"/out\"\n";
        let mut config = Config::parse(text, Path::new("/etc/lockgate")).unwrap();
        config.add_volume("results=./a=b").unwrap();
        assert_eq!(config.slots, 3);
        assert_eq!((config.state, config.cache), (Some("/s".into()), Some("/etc/lockgate/c".into())));
        let volumes = [("flights", "/etc/lockgate/data"), ("results", "./a=b")];
        assert_eq!(config.volumes, volumes.map(|(name, path)| (name.parse().unwrap(), path.into())).into());
        let empty = Config::parse("", Path::new("")).unwrap();
        assert_eq!(empty, Config::default());
        assert!(empty.slots > 0);
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, line) in [
            ("slots = 1\nslotz = 2\n", "line 2: "),
            ("[volumes]\nA = \"x\"\n", "line 2: "),
            ("[volumes]\na = 3\n", "line 2: "),
            ("slots = 0", ""),
            ("slots = 1025", ""),
            ("slots = -1", "line 1: "),
            ("state = \"\"", ""),
            ("[volumes]\na = \"\"", ""),
            ("[volumes]\na = \"x\"\na = \"y\"", "line 3: "),
            ("slots", "line 1: "),
        ] {
            let error = Config::parse(text, Path::new("")).unwrap_err();
            assert_eq!(error.code(), code::INVALID_CONFIGURATION, "{text}");
            assert!(error.cause().starts_with(line), "{text}: {error}");
        }
        for (flag, expected) in [
            ("flights", code::INVALID_CONFIGURATION),
            ("flights=", code::INVALID_CONFIGURATION),
            ("=data", code::INVALID_NAME),
            ("Flights=data", code::INVALID_NAME),
        ] {
            assert_eq!(Config::default().add_volume(flag).unwrap_err().code(), expected, "{flag}");
        }
        assert_eq!(Config::read(Path::new("/nowhere/taskmanager.toml")).unwrap_err().code(), code::IO);
    }
}
