//! Running a verified job on this machine: sources and sinks are connected, task slots are started in an executor and
//! served until every split is committed.
//!
//! What runs is what was verified: the plan is made of the signed manifest, the artefacts of the signed components, and
//! `describe` is run again and compared with what was signed before the first record is read.

mod begin;
mod budget;
mod coordinator;
mod prepare;
mod serve;
mod stop;

pub use crate::ledger::{Answer, Kept, LedgerClient};
pub use prepare::{Prepared, prepare};
pub use stop::Stop;

use crate::volume::Volumes;
use begin::{Begun, begin};
use coordinator::Coordinator;
use lockgate_core::error::code;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::{Error, Result};
use lockgate_executor::jail::Walls;
use lockgate_executor::protocol::{FailedRow, LogLine, Usage};
use lockgate_executor::{Assignment, ComponentGrant, Executor, Executors, Task};
use serve::{Service, Stopped};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How often an executor may die before anything more is committed, until the job is given up.
const MAX_DEATHS: u32 = 3;
/// How often it may die within [`DEATHS_WINDOW`] whatever is committed.
const MAX_DEATHS_IN_WINDOW: usize = 10;
/// See above.
const DEATHS_WINDOW: Duration = Duration::from_secs(600);
/// How long it is until another executor is started; four times as long after each further death.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Where and how a job runs.
pub struct RunOptions<'a> {
    /// Where tenants' code and data are held.
    pub executors: &'a Executors,
    /// What the volumes are.
    pub volumes: &'a Volumes,
    /// Where the record of commits is kept.
    pub record: Kept<'a>,
    /// Which of the job's slots run here. If the record is here: all, held to the number of splits and to what an executor
    /// has.
    pub share: Share,
    /// Fuel a second that each slot may use at most, a second ahead; none for no bound.
    pub fuel_per_second: Option<u64>,
    /// Takes what happens.
    pub events: Events,
}

/// Which of a job's slots run on a TaskManager: they are numbered over all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// The number of the first.
    pub first: u32,
    /// How many, at most [`MAX_SLOTS`](lockgate_executor::MAX_SLOTS). One for which no split is left ends at once.
    pub slots: u32,
    /// How many the job has in all.
    pub parallelism: u32,
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
        /// How long it has waited since it began, for its commits and to keep to its budget of fuel.
        waited: Duration,
    },
    /// An epoch of a slot is durable.
    Committed {
        /// The slot.
        slot: u32,
        /// The epoch.
        epoch: u64,
        /// Counters up to it.
        usage: Usage,
        /// As in [`Event::Usage`].
        waited: Duration,
    },
    /// Rows that failed and went to dead letters that are durable: a few of them, where the plan lets them be told of.
    Failed {
        /// The slot.
        slot: u32,
        /// The rows.
        rows: Vec<FailedRow>,
    },
    /// The operator lets executors run without walls that are missing here.
    WallsMissing {
        /// Those that stand.
        walls: Walls,
    },
    /// The executor died; another goes on from what was committed.
    Restarted {
        /// Why it died.
        error: Error,
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

/// Bytes that an executor should have for `slots` slots of a job: what its functions may use, what a batch takes on its way
/// from one format to another, and what the program itself needs.
pub fn memory(plan: &Plan, slots: u32) -> u64 {
    const PROGRAM: u64 = 256 << 20;
    const SLOT: u64 = 512 << 20;
    let functions = plan.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Function(_))).count() as u64;
    let slot = functions.saturating_mul(plan.limits.memory).saturating_add(SLOT);
    u64::from(slots).saturating_mul(slot).saturating_add(PROGRAM)
}

/// Runs a prepared job until it is done, drained or failed. Blocks for file systems: it needs a thread of its own where others
/// wait for the runtime's.
///
/// # Errors
/// Why it failed. What was committed stays, and the next run of the same version goes on from there. `LG1410` says that it
/// did not fail: its lease is over, and nothing that was not recorded is published; so is `LG0905` after a
/// [`Stop::cancel`].
pub async fn run(job: &Prepared, options: RunOptions<'_>, stop: &Stop) -> Result<Report> {
    let Begun { coordinator, share, clock, resumed } = begin(job, &options, stop).await?;
    let coordinator = Arc::new(coordinator);
    coordinator.check_slots(share.parallelism)?;
    let (splits, bytes) = coordinator.outlook();
    options.events.send(Event::Started { slots: share.slots, splits, bytes, resumed });
    let mut deaths = 0;
    let mut times: VecDeque<Instant> = VecDeque::new();
    loop {
        let commits = coordinator.commits();
        // Once it has died the job has one of its own: either it takes no other job with it, or no other job takes it.
        let executor = match times.is_empty() {
            true => options.executors.of(&job.identity.tenant),
            false => options.executors.alone(&job.identity.tenant, &job.identity.name),
        };
        let attempted = match executor {
            Ok(executor) => attempt(job, &executor, share, clock, &coordinator, &options, stop).await,
            Err(error) => Err(error.into()),
        };
        let died = match attempted {
            Ok(slots) => {
                let report = coordinator.settle(slots)?;
                if report.finished || stop.asked() {
                    return Ok(report);
                }
                // Only a run that is asked to stops before all is read and committed.
                return Err(Error::new(
                    code::PROTOCOL_RANGE,
                    "the executor ended and left splits that are not committed",
                ));
            }
            Err(stopped) if !stopped.died || stop.asked() || !coordinator.resumable() => return Err(stopped.error),
            Err(stopped) => stopped.error,
        };
        deaths = if coordinator.commits() > commits { 1 } else { deaths + 1 };
        let now = Instant::now();
        times.retain(|time| now.saturating_duration_since(*time) < DEATHS_WINDOW);
        times.push_back(now);
        if deaths >= MAX_DEATHS || times.len() >= MAX_DEATHS_IN_WINDOW {
            let cause = format!("{}; {} executors have died of it lately", died.cause(), times.len());
            return Err(Error::new(died.code(), cause));
        }
        options.events.send(Event::Restarted { error: died });
        tokio::time::sleep(BACK_OFF * 4_u32.pow(deaths - 1)).await;
        // On a thread that may block.
        let again = Arc::clone(&coordinator);
        tokio::task::spawn_blocking(move || again.begin_again())
            .await
            .map_err(|error| Error::new(code::INTERNAL, format!("the slots cannot begin again: {error}")))??;
    }
}

/// Runs the job's slots in the tenant's executor until they have ended.
async fn attempt(
    job: &Prepared,
    executor: &Executor,
    share: Share,
    clock: i64,
    coordinator: &Arc<Coordinator>,
    options: &RunOptions<'_>,
    stop: &Stop,
) -> Result<Vec<Usage>, Stopped> {
    if !executor.walls().sufficient() {
        options.events.send(Event::WallsMissing { walls: executor.walls() });
    }
    let service = Arc::new(Service {
        task: task(job, executor, share.slots, clock)?,
        plan: Arc::clone(&job.plan),
        coordinator: Arc::clone(coordinator),
        fuel_per_second: options.fuel_per_second,
        events: options.events.clone(),
        stop: stop.clone(),
    });
    let deadline = Duration::from_millis(job.plan.limits.deadline);
    let mut served = JoinSet::new();
    let mut usage = vec![Usage::default(); share.slots as usize];
    let mut failed: Option<Stopped> = None;
    for slot in share.numbers() {
        let (handle, running) = match executor.slot(deadline) {
            Ok(started) => started,
            Err(error) => {
                stop.fail();
                failed = Some(error.into());
                break;
            }
        };
        stop.watch(running);
        let service = Arc::clone(&service);
        // A thread of its own for as long as the slot runs: those of the runtime are few, and others wait for them.
        let (tell, told) = oneshot::channel();
        let serve = move || {
            let ended = serve::serve(slot, handle, &service);
            // Whoever is told may run the job again at once, and needs its record for it.
            drop(service);
            drop(tell.send(ended));
        };
        let thread = std::thread::Builder::new().name(format!("serve-{slot}")).spawn(serve);
        served.spawn(async move { (slot, thread.map(drop), told.await) });
    }
    while let Some(ended) = served.join_next().await {
        let broken = |why: String| Stopped::from(Error::new(code::INTERNAL, format!("a slot is not served: {why}")));
        let ended = match ended {
            Ok((_, Err(error), _)) => Err(broken(error.to_string())),
            Ok((_, _, Err(error))) => Err(broken(error.to_string())),
            Ok((slot, _, Ok(result))) => result.map(|usage| (slot, usage)),
            Err(error) => Err(broken(error.to_string())),
        };
        match ended {
            Ok((slot, last)) => {
                if let Some(usage) = usage.get_mut((slot - share.first) as usize) {
                    *usage = last;
                }
            }
            // The first failure is the cause; those that follow are its echo. An executor's death may be one too, of a
            // slot that was not what it should be.
            Err(stopped) => {
                if failed.as_ref().is_none_or(|first| first.died && !stopped.died) {
                    failed = Some(stopped);
                }
                // Connectors that wait stop too: nothing returns before every slot has been served.
                stop.fail();
            }
        }
    }
    stop.settle();
    match failed {
        Some(stopped) => Err(stopped),
        None => Ok(usage),
    }
}

/// What the slots are told to do, once the artefacts are where they find them.
fn task(job: &Prepared, executor: &Executor, slots: u32, clock: i64) -> Result<Vec<u8>> {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    let mut components = BTreeMap::new();
    for (name, artefact) in &job.artefacts {
        let code = executor.put(artefact.digest, &artefact.bytes)?;
        let describe = artefact.describe.clone();
        components.insert(name.clone(), ComponentGrant { digest: artefact.digest, code, describe });
    }
    let identity = &job.identity;
    let assignment = Assignment {
        run: RUNS.fetch_add(1, Ordering::Relaxed),
        slots,
        tenant: identity.tenant.clone(),
        job: identity.name.clone(),
        clock,
        plan: Plan::clone(&job.plan),
        components,
    };
    Task::Job(Box::new(assignment)).encode()
}

#[cfg(test)]
mod tests;
