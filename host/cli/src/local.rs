//! What names mean on this machine, as the command line and a configuration file say it.

use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::plan::Format;
use lockgate_core::types::{Field, FunctionDescription};
use lockgate_core::{Error, Name, Result};
use lockgate_executor::{Compiler, ComponentInfo, Executor, ExecutorOptions, Executors, Input};
use lockgate_taskmanager::config::Config;
use lockgate_taskmanager::volume::Volumes;
use std::cell::OnceCell;
use std::path::PathBuf;

/// Bytes of memory of an executor that only looks.
const MEMORY: u64 = 2 << 30;

/// Looks at an author's own components and data in the same jails as a TaskManager at a tenant's: a component may have
/// come from elsewhere, data mostly has.
pub struct Author {
    compiler: Compiler,
    options: ExecutorOptions,
    /// Started when it is first needed; with the watchdog that looks after it.
    executor: OnceCell<(Executors, Executor)>,
}

impl Author {
    /// What a component imports and exports.
    ///
    /// # Errors
    /// As [`Compiler::inspect`].
    pub fn inspect(&self, component: &[u8]) -> Result<ComponentInfo> {
        self.compiler.inspect(component)
    }

    /// What a component says of its functions.
    ///
    /// # Errors
    /// As [`Compiler::describe`], and `LG09nn` if no executor can be started.
    pub fn describe(&self, component: &[u8], limits: &Limits) -> Result<Vec<FunctionDescription>> {
        self.compiler.describe(self.executor()?, component, limits)
    }

    /// The schema of a file.
    ///
    /// # Errors
    /// As [`Executor::infer`], and `LG09nn` if no executor can be started.
    pub fn infer(&self, format: &Format, split: &str, input: &mut dyn Input) -> Result<Vec<Field>> {
        self.executor()?.infer(format, split, input)
    }

    fn executor(&self) -> Result<&Executor> {
        if let Some((_, executor)) = self.executor.get() {
            return Ok(executor);
        }
        let executors = Executors::new(self.options.clone())?;
        let started = executors.of(&Name::new("author")?)?;
        Ok(&self.executor.get_or_init(|| (executors, started)).1)
    }
}

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
            // One of several mistakes; `lockgate config check` tells them all.
            Some(path) => Config::read(path).map_err(|errors| {
                let none = || Error::new(code::INTERNAL, "a configuration is refused without a reason");
                errors.into_iter().next().unwrap_or_else(none)
            })?,
            None => Config::default(),
        };
        self.volumes.iter().try_for_each(|flag| config.add_volume(flag))?;
        Ok(config)
    }

    /// What looks at an author's own components and data.
    ///
    /// # Errors
    /// As [`Machine::config`].
    pub fn author(&self) -> Result<Author> {
        let config = self.config()?;
        let compiler = Compiler::new().with_policy(config.jail);
        Ok(Author { compiler, options: config.executors(1, MEMORY), executor: OnceCell::new() })
    }

    /// The volumes, opened.
    ///
    /// # Errors
    /// As [`Machine::config`], and `LG0802` if a directory cannot be opened.
    pub fn volumes(&self) -> Result<Volumes> {
        Volumes::open(&self.config()?.volumes)
    }
}
