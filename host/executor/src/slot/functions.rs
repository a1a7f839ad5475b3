//! The functions of a slot: one sandboxed instance for each function node, made when it is first called and made anew
//! after whatever ended it.

use crate::assignment::Assignment;
use crate::port::Port;
use crate::protocol::{FunctionUsage, LogLine, Verb, payload};
use crate::shared::{Control, Run};
use lockgate_core::columns::BatchRef;
use lockgate_core::error::code;
use lockgate_core::plan::NodeKind;
use lockgate_core::{Error, Result};
use lockgate_dataflow::{CallContext, Called, Failure, Udf};
use lockgate_sandbox::{BatchSeed, CallError, Instance, Level, LogSink, Program, Seed, Settings, Usage};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The most log lines kept until they are sent.
const MAX_LINES: usize = 1_000;

/// What the guests of a slot have logged and nobody has been told yet.
pub(super) type Lines = Arc<Mutex<Vec<LogLine>>>;

/// The functions of a plan by its node indexes.
pub(crate) struct Functions {
    nodes: Vec<Option<Function>>,
    control: Control,
}

struct Function {
    index: u32,
    program: Program,
    settings: Settings,
    instance: Option<Instance>,
    /// Of instances that are gone.
    usage: Usage,
}

impl Functions {
    /// Loads the artefacts that `assignment` names; logs go to `lines`.
    pub(crate) fn load(assignment: &Assignment, run: &Run, control: &Control, lines: &Lines) -> Result<Self> {
        let mut nodes = Vec::with_capacity(assignment.plan.nodes.len());
        for (at, node) in assignment.plan.nodes.iter().enumerate() {
            let NodeKind::Function(function) = &node.kind else {
                nodes.push(None);
                continue;
            };
            let grant = assignment.components.get(&function.component).ok_or_else(|| {
                Error::new(code::PROTOCOL_PAYLOAD, format!("component {} is not granted", function.component))
            })?;
            let program = run.program(grant.digest, grant.code)?;
            let settings = settings(assignment, at, &function.config, control, lines);
            control.progress();
            let described = program.instance(&settings, &BatchSeed::default()).and_then(|mut made| made.describe());
            if described.map_err(|failed| failed.error.at(format!("operator {}", node.name)))? != grant.describe {
                let cause = format!("component {} describes itself other than it was signed", function.component);
                return Err(Error::new(code::DESCRIBE_DIFFERS, cause));
            }
            let usage = Usage::default();
            nodes.push(Some(Function { index: function.index, program, settings, instance: None, usage }));
        }
        Ok(Self { nodes, control: control.clone() })
    }

    /// Counters of every function node.
    pub(crate) fn usage(&self) -> Vec<(u32, FunctionUsage)> {
        let functions = self.nodes.iter().enumerate();
        functions.filter_map(|(at, node)| Some((u32::try_from(at).ok()?, node.as_ref()?.usage()))).collect()
    }
}

/// Sends what the guests have logged since the last time.
pub(super) fn send_logs(lines: &Lines, port: &mut Port) -> Result<()> {
    let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
    lines.chunks(payload::LINES).try_for_each(|part| port.post(Verb::Log, &payload::write(&part)?))
}

impl Udf for Functions {
    fn call(&mut self, node: usize, batch: &BatchRef<'_>, context: &CallContext<'_>) -> Result<Called, Failure> {
        let Some(Some(function)) = self.nodes.get_mut(node) else {
            return Err(Failure {
                error: Error::new(code::INTERNAL, format!("node {node} is not a function")),
                backtrace: None,
                fuel: 0,
                divisible: false,
            });
        };
        let seed = BatchSeed { split: context.split, first_row: context.first_row, part: context.part };
        self.control.progress();
        function.call(batch, &seed)
    }
}

impl Function {
    fn call(&mut self, batch: &BatchRef<'_>, seed: &BatchSeed<'_>) -> Result<Called, Failure> {
        if self.instance.as_ref().is_some_and(Instance::should_replace)
            && let Some(old) = self.instance.take()
        {
            self.usage.merge(old.usage());
        }
        // What making an instance costs is billed to the call that needs it, so that a guest with a dear start cannot make
        // a batch's division cheap.
        let mut made = 0;
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => {
                let instance = self.program.instance(&self.settings, seed).map_err(|failed| {
                    self.usage.traps += 1;
                    self.usage.instance_fuel = self.usage.instance_fuel.saturating_add(failed.fuel);
                    failure(failed)
                })?;
                made = instance.usage().instance_fuel;
                none.insert(instance)
            }
        };
        match instance.call(self.index, &[*batch], seed) {
            Ok(called) => Ok(Called { output: called.output, fuel: called.fuel.saturating_add(made) }),
            Err(failed) => {
                let failed = failure(failed);
                Err(Failure { fuel: failed.fuel.saturating_add(made), ..failed })
            }
        }
    }

    fn usage(&self) -> FunctionUsage {
        let mut usage = self.usage.clone();
        if let Some(instance) = &self.instance {
            usage.merge(instance.usage());
        }
        FunctionUsage {
            calls: usage.calls,
            traps: usage.traps,
            instances: usage.instances,
            fuel: usage.fuel,
            start_fuel: usage.instance_fuel,
            fuel_p50: usage.per_record.quantile(500),
            fuel_p99: usage.per_record.quantile(990),
            fuel_max: usage.per_record.max(),
            memory: usage.peak_memory,
            log_dropped: usage.log_dropped,
        }
    }
}

fn failure(failed: CallError) -> Failure {
    let divisible = failed.divisible();
    Failure { error: failed.error, backtrace: failed.backtrace, fuel: failed.fuel, divisible }
}

fn settings(
    assignment: &Assignment,
    at: usize,
    config: &BTreeMap<String, String>,
    control: &Control,
    lines: &Lines,
) -> Settings {
    let function = assignment.plan.nodes.get(at).map(|node| node.name.to_string()).unwrap_or_default();
    Settings {
        config: Arc::new(config.clone()),
        limits: assignment.plan.limits,
        clock: u64::try_from(assignment.clock).unwrap_or(0).saturating_mul(1_000_000_000),
        // Names hold no slash, so that no two jobs of any tenants have the same seed.
        seed: Seed { job: format!("{}/{}", assignment.tenant, assignment.job).into_bytes(), function },
        cancel: control.cancel.clone(),
        log: Arc::new(NodeLog { node: u32::try_from(at).unwrap_or(u32::MAX), lines: Arc::clone(lines) }),
    }
}

/// Takes a node's lines.
struct NodeLog {
    node: u32,
    lines: Lines,
}

impl LogSink for NodeLog {
    fn line(&self, level: Level, line: &str) {
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Bytes are bounded by the quota of a batch; this bounds what empty lines cost.
        if lines.len() < MAX_LINES {
            lines.push(LogLine { node: self.node, level: level.into(), text: line.into() });
        }
    }
}
