//! A compiled component, linked and checked once, of which instances are made.

use crate::cancel::{Cancel, Watch};
use crate::contract::{self, CallParams, CallResult, DescribeParams, DescribeResult};
use crate::engine::Engine;
use crate::failure::MAX_MESSAGE;
use crate::failure::{CallError, Context, Kind, Phase};
use crate::host::Host;
use crate::instance::{Instance, drive};
use crate::limiter::Limiter;
use crate::log::{LogSink, Logs, NoLog};
use crate::random::{Random, RandomBase};
use crate::wasi;
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::text::tame;
use lockgate_core::types::FunctionDescription;
use lockgate_core::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

/// A compiled component with its imports resolved and its exports type-checked. Clones share everything.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    engine: Engine,
    pre: InstancePre<Host>,
    describe: ComponentExportIndex,
    call: ComponentExportIndex,
}

/// What an instance of a program is made with.
#[derive(Clone)]
pub struct Settings {
    /// Configuration: `config` and the environment.
    pub config: Arc<BTreeMap<String, String>>,
    /// The limits that are enforced.
    pub limits: Limits,
    /// What every clock of the guest says, in nanoseconds since 1970-01-01T00:00:00Z.
    pub clock: u64,
    /// What random numbers depend on beside the batch.
    pub seed: Seed,
    /// Cancels calls.
    pub cancel: Cancel,
    /// Where logs go.
    pub log: Arc<dyn LogSink>,
}

impl Default for Settings {
    /// No configuration, the default limits, the year 1970, no logs.
    fn default() -> Self {
        Self {
            config: Arc::default(),
            limits: Limits::default(),
            clock: 0,
            seed: Seed::default(),
            cancel: Cancel::new(),
            log: Arc::new(NoLog),
        }
    }
}

/// The part of a seed that is the same for all batches of a function.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seed {
    /// What tells this job from every other, the same for each of its runs.
    pub job: Vec<u8>,
    /// The function, or the node that calls it.
    pub function: String,
}

/// The part of a seed that tells a batch from every other of the function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchSeed<'a> {
    /// The split that its rows came from.
    pub split: &'a str,
    /// The record of its first row.
    pub first_row: u64,
    /// Which of several batches that begin with the same record, 0 for the first.
    pub part: u32,
}

impl Seed {
    /// What random numbers of all batches begin with; `purpose` keeps those of an instance's making apart from those of
    /// its calls.
    pub(crate) fn base(&self, purpose: &str) -> RandomBase {
        RandomBase::new(&[purpose.as_bytes(), &self.job, self.function.as_bytes()])
    }

    /// The seed of hash tables.
    fn hash_seed(&self) -> (u64, u64) {
        let mut random = Random::new(&[b"hash", &self.job, self.function.as_bytes()]);
        (random.next_u64(), random.next_u64())
    }
}

impl BatchSeed<'_> {
    /// The random numbers of this batch.
    pub(crate) fn random(&self, base: &RandomBase) -> Random {
        base.stream(&[self.split.as_bytes(), &self.first_row.to_le_bytes(), &self.part.to_le_bytes()])
    }
}

impl Program {
    /// Links `component` and checks the types of its exports.
    ///
    /// # Errors
    /// `LG0504` and `LG0505`.
    pub(crate) fn new(engine: &Engine, component: &Component) -> Result<Self> {
        let mismatch = |error: wasmtime::Error| {
            let text = tame(&format!("{error:#}"), MAX_MESSAGE);
            Error::new(code::INTERFACE_MISMATCH, format!("the component's interfaces do not fit: {text}"))
        };
        let mut linker = Linker::<Host>::new(engine.wasmtime());
        wasi::link(&mut linker, component).map_err(mismatch)?;
        let pre = linker.instantiate_pre(component).map_err(mismatch)?;
        let types = pre.instance_type();
        let function = |interface: &str, name: &str| {
            let missing = || {
                let text = format!("the component does not export {interface}@0.1 with the function {name}");
                Error::new(code::EXPORT_MISSING, text)
            };
            let exports = component.component_type();
            let mut names = exports.exports(engine.wasmtime()).map(|(name, _)| name);
            let full = names.find(|name| is_ours(name, interface)).ok_or_else(missing)?;
            let instance = component.get_export_index(None, full).ok_or_else(missing)?;
            match component.get_export(Some(&instance), name) {
                Some((ComponentItem::ComponentFunc(function), index)) => Ok((function, index)),
                _ => Err(missing()),
            }
        };
        let (describe_type, describe) = function(contract::DESCRIBE, "describe")?;
        let (call_type, call) = function(contract::TRANSFORM, "call")?;
        describe_type.typecheck::<DescribeParams, DescribeResult>(&types).map_err(mismatch)?;
        // `Instance` calls without checking again: this check is what makes that sound.
        call_type.typecheck::<CallParams<'static>, CallResult>(&types).map_err(mismatch)?;
        Ok(Self(Arc::new(Inner { engine: engine.clone(), pre, describe, call })))
    }

    /// What the component says of its functions. Runs its start functions and `describe`, never `transform`.
    ///
    /// # Errors
    /// `LG0506` if what it says is malformed, `LG06nn` if it fails or breaks `limits`.
    pub fn describe(&self, limits: &Limits) -> Result<Vec<FunctionDescription>> {
        let settings = Settings { limits: *limits, ..Settings::default() };
        let described = self.instance(&settings, &BatchSeed::default()).and_then(|mut instance| instance.describe());
        described.map_err(|failed| failed.error)
    }

    /// Makes an instance, running its initialisers and start functions; `first` is the batch it is made for.
    ///
    /// An instance made anew for the same batch starts alike, any other differently, so that generators which a guest
    /// seeds at its start never repeat each other.
    ///
    /// # Errors
    /// [`CallError`] if the guest fails, breaks a limit, or there is no room for another instance.
    pub fn instance(&self, settings: &Settings, first: &BatchSeed<'_>) -> Result<Instance, CallError> {
        let limits = &settings.limits;
        self.0.engine.admits(limits).map_err(|error| CallError::new(Kind::Host, error, 0))?;
        let watch = Watch { cancel: settings.cancel.clone(), deadline: deadline(limits) };
        let mut logs = Logs::new(settings.log.clone());
        logs.begin(limits.log);
        let host = Host {
            limiter: Limiter::new(limits.memory),
            config: settings.config.clone(),
            clock: settings.clock,
            random: first.random(&settings.seed.base("start")),
            hash_seed: settings.seed.hash_seed(),
            logs,
            watch: watch.clone(),
        };
        let mut store = Store::new(self.0.engine.wasmtime(), host);
        store.limiter(|host| &mut host.limiter);
        store.set_hostcall_fuel(usize::try_from(limits.transfer).unwrap_or(usize::MAX));
        store.set_max_component_handles(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        let budget = limits.fuel_per_instance;
        let made = (|| {
            store.set_fuel(budget)?;
            store.fuel_async_yield_interval(Some(Engine::YIELD_INTERVAL))?;
            let instance = drive(self.0.pre.instantiate_async(&mut store), &watch)?;
            let function = |store: &mut Store<Host>, index: &ComponentExportIndex| {
                instance.get_func(store, index).ok_or_else(|| wasmtime::Error::msg("a function is missing"))
            };
            let describe = function(&mut store, &self.0.describe)?;
            Ok((describe, function(&mut store, &self.0.call)?))
        })();
        store.data_mut().logs.end();
        let context = Context::new(Phase::Start, limits, budget, &store);
        match made {
            Ok((describe, call)) => {
                let used = context.used;
                Ok(Instance::new(store, describe, call, settings.clone(), used))
            }
            Err(error) => Err(context.explain(&error)),
        }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

/// When a call that begins now must end.
pub(crate) fn deadline(limits: &Limits) -> Option<Instant> {
    Instant::now().checked_add(Duration::from_millis(limits.deadline))
}

/// Whether `full` is `interface` at a version 0.1.
pub(crate) fn is_ours(full: &str, interface: &str) -> bool {
    version(full, interface).is_some_and(|version| is_patch_of(version, "0.1."))
}

/// The version behind `interface@` in `full`.
pub(crate) fn version<'a>(full: &'a str, interface: &str) -> Option<&'a str> {
    full.strip_prefix(interface)?.strip_prefix('@')
}

/// Whether `version` is `line` (such as "0.2.") and a number.
pub(crate) fn is_patch_of(version: &str, line: &str) -> bool {
    let digits = |patch: &str| (1..=9).contains(&patch.len()) && patch.bytes().all(|byte| byte.is_ascii_digit());
    version.strip_prefix(line).is_some_and(digits)
}
