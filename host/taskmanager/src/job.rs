//! Running a verified job on this machine: sources and sinks are connected, task slots are started in an executor and
//! served until every split is committed.
//!
//! What runs is what was verified: the plan is made of the signed manifest, the artefacts of the signed components, and
//! `describe` is run again and compared with what was signed before the first record is read.

mod coordinator;
mod prepare;
mod serve;

pub use prepare::{Prepared, prepare};

use crate::checkpoint::{Identity, Start, State};
use crate::sink;
use crate::source::{self, Source};
use crate::volume::Volumes;
use coordinator::Coordinator;
use lockgate_core::error::code;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::{Error, Result};
use lockgate_executor::protocol::{LogLine, Usage};
use lockgate_executor::{Assignment, ComponentGrant, Executor, ExecutorOptions, Running};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// The first input number of artefacts; 0 is the assignment.
const FIRST_ARTEFACT: u32 = 1;
/// The most artefacts of a job, so that their inputs and those of splits are apart.
const MAX_ARTEFACTS: usize = 1 << 10;

/// Where and how a job runs.
pub struct RunOptions<'a> {
    /// What the volumes are.
    pub volumes: &'a Volumes,
    /// Where the state of jobs is kept.
    pub state: &'a Path,
    /// Slots; held to the signed range and to the number of splits.
    pub parallelism: u32,
    /// Whether an unfinished earlier run is given up rather than gone on with.
    pub fresh: bool,
    /// Takes what happens.
    pub events: Events,
}

/// What happens while a job runs.
#[derive(Clone, Debug)]
pub enum Event {
    /// The job is about to run.
    Started {
        /// Its slots.
        slots: u32,
        /// Splits that are to be read.
        splits: usize,
        /// All bytes of these splits, if known.
        bytes: Option<u64>,
        /// Whether it goes on from an earlier commit.
        resumed: bool,
    },
    /// Counters of a slot, replacing its earlier ones.
    Usage {
        /// The slot.
        slot: u32,
        /// Its counters.
        usage: Usage,
    },
    /// An epoch of a slot is durable.
    Committed {
        /// The slot.
        slot: u32,
        /// The epoch.
        epoch: u64,
        /// Counters up to it.
        usage: Usage,
    },
    /// Lines that guests logged.
    Log {
        /// The slot.
        slot: u32,
        /// The lines.
        lines: Vec<LogLine>,
    },
}

/// Takes events, on whichever thread they happen.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Hands events to `take`, which must not block for long.
    pub fn new(take: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    fn send(&self, event: Event) {
        (self.0)(event);
    }
}

/// How a run ended that did not fail.
#[derive(Clone, Debug)]
pub struct Report {
    /// The counters of each slot.
    pub slots: Vec<Usage>,
    /// Whether all splits have been read; otherwise the run was drained and goes on at the next start.
    pub finished: bool,
}

/// Asks a run to stop. Clones ask the same run.
#[derive(Clone, Default)]
pub struct Stop {
    /// Set once it is to stop, for connectors that wait.
    asked: Arc<AtomicBool>,
    stopping: Arc<Mutex<Stopping>>,
}

#[derive(Default)]
struct Stopping {
    drain: bool,
    cancel: bool,
    slots: Vec<Running>,
}

impl Stop {
    /// Lets every slot finish its batch and commit.
    pub fn drain(&self) {
        let mut stopping = self.lock();
        stopping.drain = true;
        stopping.slots.iter().for_each(|slot| slot.drain());
        // After that: a slot whose stream ends for this must not take it for the end of the data.
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Cuts every slot off.
    pub fn cancel(&self) {
        let mut stopping = self.lock();
        stopping.cancel = true;
        stopping.slots.iter().for_each(|slot| slot.cancel());
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether the run has been asked to stop, or has stopped itself because a slot failed.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn watch(&self, slot: Running) {
        let mut stopping = self.lock();
        if stopping.drain {
            slot.drain();
        }
        if stopping.cancel {
            slot.cancel();
        }
        stopping.slots.push(slot);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stopping> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a prepared job until it is done, drained or failed.
///
/// # Errors
/// Why it failed. What was committed stays, and the next run of the same version goes on from there.
pub async fn run(job: &Prepared, options: RunOptions<'_>, stop: &Stop) -> Result<Report> {
    let plan = &job.plan;
    let sources = sources(plan, options.volumes, stop)?;
    // What cannot be read a second time cannot be gone on with either.
    let resumable = sources.values().all(|source| source.resumable());
    let mut state = open(&job.identity, options.state, options.fresh || !resumable)?;
    let mut sinks = sink::Sinks::new();
    for node in &plan.nodes {
        if let NodeKind::Sink(sink) = &node.kind {
            let connected = sink::connect(&node.name, sink, &state.record().run, options.volumes, state.spool()?)?;
            sinks.insert(node.name.clone(), connected);
        }
    }
    state.recover(&sinks)?;
    let resumed = state.record().commits > 0;
    let clock = i64::try_from(state.record().started / 1_000_000).unwrap_or(i64::MAX);
    let coordinator = Arc::new(Coordinator::new(plan, documents(job, clock)?, sources, sinks, state)?);
    let (splits, bytes) = coordinator.outlook();
    let slots = options.parallelism.min(u32::try_from(splits).unwrap_or(u32::MAX)).max(1);
    coordinator.check_slots(slots)?;
    options.events.send(Event::Started { slots, splits, bytes, resumed });
    let report = serve_all(plan, slots, &coordinator, &options.events, stop).await?;
    coordinator.settle(report)
}

async fn serve_all(
    plan: &Arc<Plan>,
    slots: u32,
    coordinator: &Arc<Coordinator>,
    events: &Events,
    stop: &Stop,
) -> Result<Vec<Usage>> {
    let functions = plan.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Function(_))).count();
    let executor = Executor::start(&ExecutorOptions {
        slots,
        functions: u32::try_from(functions).unwrap_or(u32::MAX),
        memory: plan.limits.memory,
        stack: plan.limits.stack,
    })?;
    let mut served = JoinSet::new();
    let mut usage = vec![Usage::default(); slots as usize];
    let mut failed: Option<Error> = None;
    for slot in 0..slots {
        let (handle, running) = match executor.slot(slot) {
            Ok(started) => started,
            Err(error) => {
                stop.cancel();
                failed = Some(error);
                break;
            }
        };
        stop.watch(running);
        let (plan, coordinator, events) = (Arc::clone(plan), Arc::clone(coordinator), events.clone());
        served.spawn_blocking(move || (slot, serve::serve(slot, handle, &plan, &coordinator, &events)));
    }
    while let Some(ended) = served.join_next().await {
        let ended = ended.map_err(|error| Error::new(code::INTERNAL, format!("a slot's service broke down: {error}")));
        match ended.and_then(|(slot, result)| Ok((slot, result?))) {
            Ok((slot, last)) => {
                if let Some(usage) = usage.get_mut(slot as usize) {
                    *usage = last;
                }
            }
            Err(error) => {
                // The first failure is the cause; those that follow are its echo.
                failed.get_or_insert(error);
                // Connectors that wait stop too: nothing returns before every slot has been served.
                stop.cancel();
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(usage),
    }
}

fn open(identity: &Identity, root: &Path, anew: bool) -> Result<State> {
    if anew {
        return State::open_anew(root, identity);
    }
    match State::open(root, identity)? {
        (state, Start::Fresh | Start::Resume) => Ok(state),
        (state, Start::Finished) => state.restart(identity),
    }
}

fn sources(plan: &Plan, volumes: &Volumes, stop: &Stop) -> Result<BTreeMap<u32, Box<dyn Source>>> {
    let mut sources = BTreeMap::new();
    for (at, node) in (0..).zip(&plan.nodes) {
        if let NodeKind::Source(source) = &node.kind {
            let connected = source::connect(&source.connector, volumes, &stop.asked)
                .map_err(|error| error.at(node.name.as_str()))?;
            sources.insert(at, connected);
        }
    }
    Ok(sources)
}

/// What slots read beside splits: the assignment, then the artefacts.
fn documents(job: &Prepared, clock: i64) -> Result<Vec<Arc<[u8]>>> {
    if job.artefacts.len() > MAX_ARTEFACTS {
        return Err(Error::new(code::INTERNAL, format!("{} components", job.artefacts.len())));
    }
    let mut components = BTreeMap::new();
    let mut documents = Vec::new();
    for (input, (name, artefact)) in (FIRST_ARTEFACT..).zip(&job.artefacts) {
        let size = artefact.bytes.len() as u64;
        let describe = artefact.describe.clone();
        components.insert(name.clone(), ComponentGrant { digest: artefact.digest, input, size, describe });
        documents.push(Arc::clone(&artefact.bytes));
    }
    let identity = &job.identity;
    let assignment = Assignment {
        tenant: identity.tenant.clone(),
        job: identity.name.clone(),
        clock,
        plan: Plan::clone(&job.plan),
        components,
    };
    documents.insert(0, assignment.encode()?.into());
    Ok(documents)
}

#[cfg(test)]
mod tests;
