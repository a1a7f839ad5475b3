//! What is shown: what this process says of itself and of what it was told to run, in the OpenMetrics text format.
//!
//! Operators' counters have the names that a JobManager gives them, behind `lockgate_taskmanager` in place of `lockgate`: a
//! JobManager shows a job's sums, a TaskManager what it counted itself since the lease began, and whoever adds the two counts
//! twice. Labels are names of assigned jobs and of their operators, of which there are no more than a heartbeat may name.

use super::super::Agent;
use super::super::figures::Steps;
use lockgate_core::error::code;
use lockgate_core::plane::{OperatorUsage, Status, Task};
use lockgate_core::{Error, Result, Timestamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

type Level = Gauge<u64, AtomicU64>;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfJob {
    tenant: String,
    job: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfTask {
    tenant: String,
    job: String,
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfOperator {
    tenant: String,
    job: String,
    operator: String,
}

/// What a TaskManager knows of itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What it is called.
    pub name: String,
    /// Its slots.
    pub slots: u32,
    /// Bytes of memory for all of its executors together.
    pub memory: u64,
    /// How many walls are missing that the operator lets it do without.
    pub missing_walls: usize,
    /// When its certificate of the plane expires.
    pub expires: Timestamp,
    /// When the JobManager answered last, if it ever did.
    pub answered: Option<Timestamp>,
    /// The latest time that was seen.
    pub now: Timestamp,
    /// The number of the last record of the audit log that it was told of.
    pub audit: Option<u64>,
    /// How often the audit log contradicted what was told before.
    pub contradictions: usize,
    /// Its tasks.
    pub tasks: Vec<(Task, Steps)>,
}

/// The figures of `agent` now.
///
/// # Errors
/// `LG0003`, never in practice.
pub fn text(agent: &Agent) -> Result<String> {
    of(&agent.facts())
}

/// `facts` as text.
pub(super) fn of(facts: &Facts) -> Result<String> {
    let mut registry = Registry::with_prefix("lockgate_taskmanager");
    let about = [("name", facts.name.clone()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
    registry.register("build", "The TaskManager and its program", Info::new(about));
    level(&mut registry, "slots", "Slots", u64::from(facts.slots));
    let used = facts.tasks.iter().map(|(task, _)| if is_under_way(task) { u64::from(task.slots) } else { 0 });
    level(&mut registry, "slots_used", "Slots with something in them", used.sum());
    let memory = Level::default();
    memory.set(facts.memory);
    registry.register_with_unit("executor_memory", "Memory for all executors together", Unit::Bytes, memory);
    if let Some(resident) = resident() {
        let memory = Level::default();
        memory.set(resident);
        registry.register_with_unit(
            "resident_memory",
            "Memory that this process has, without executors",
            Unit::Bytes,
            memory,
        );
    }
    level(&mut registry, "missing_walls", "Walls around executors that are missing here", count(facts.missing_walls));
    moment(&mut registry, "certificate_expiry_timestamp", "When the plane's certificate expires", facts.expires);
    moment(&mut registry, "clock_timestamp", "The latest time that was seen", facts.now);
    if let Some(answered) = facts.answered {
        moment(&mut registry, "last_answer_timestamp", "When the JobManager answered last", answered);
    }
    if let Some(sequence) = facts.audit {
        level(&mut registry, "audit_head", "The last record of the audit log that was told of", sequence);
    }
    let found = count(facts.contradictions);
    level(&mut registry, "audit_contradictions", "How often the audit log was not the one of before", found);
    tasks(&mut registry, &facts.tasks);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Error::new(code::INTERNAL, format!("figures: {error}")))?;
    Ok(text)
}

fn tasks(registry: &mut Registry, tasks: &[(Task, Steps)]) {
    let (states, slots) = (Family::<OfTask, Level>::default(), Family::<OfJob, Level>::default());
    let (commits, restarts) = (Family::<OfJob, Counter>::default(), Family::<OfJob, Counter>::default());
    for (task, steps) in tasks {
        let (tenant, job) = (task.job.tenant.to_string(), task.job.name.to_string());
        states.get_or_create(&OfTask { tenant: tenant.clone(), job: job.clone(), state: state(task) }).set(1);
        let of = OfJob { tenant, job };
        slots.get_or_create(&of).set(u64::from(task.slots));
        commits.get_or_create(&of).inc_by(steps.commits);
        restarts.get_or_create(&of).inc_by(steps.restarts);
    }
    registry.register("task", "Jobs that are assigned here, with their state here", states);
    registry.register("task_slots", "Slots of a job here", slots);
    registry.register("task_commits", "Commits of a job's slots here", commits);
    registry.register("task_restarts", "Executors of a job's that died here and were replaced", restarts);
    for (name, help, figure) in OperatorUsage::COUNTERS {
        let family = Family::<OfOperator, Counter>::default();
        operators(tasks, |of, usage| {
            family.get_or_create(&of).inc_by(figure(usage));
        });
        registry.register(name, help, family);
    }
    for (name, help, figure) in OperatorUsage::LEVELS {
        let family = Family::<OfOperator, Level>::default();
        operators(tasks, |of, usage| {
            family.get_or_create(&of).set(figure(usage));
        });
        registry.register(name, help, family);
    }
}

fn operators(tasks: &[(Task, Steps)], mut each: impl FnMut(OfOperator, &OperatorUsage)) {
    for (task, _) in tasks {
        let (tenant, job) = (task.job.tenant.to_string(), task.job.name.to_string());
        for (operator, usage) in &task.operators {
            each(OfOperator { tenant: tenant.clone(), job: job.clone(), operator: operator.to_string() }, usage);
        }
    }
}

fn level(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Level::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn moment(registry: &mut Registry, name: &str, help: &str, at: Timestamp) {
    let gauge = Gauge::<i64>::default();
    gauge.set(at.seconds());
    registry.register_with_unit(name, help, Unit::Seconds, gauge);
}

fn state(task: &Task) -> &'static str {
    match &task.status {
        Status::Starting => "starting",
        Status::Running if task.draining => "draining",
        Status::Running => "running",
        Status::Finished => "finished",
        Status::Failed(_) => "failed",
        Status::Ended => "ended",
    }
}

fn is_under_way(task: &Task) -> bool {
    matches!(task.status, Status::Starting | Status::Running)
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// Bytes of memory that this process has; none where the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))?;
    kilobytes.parse::<u64>().ok()?.checked_mul(1_024)
}
