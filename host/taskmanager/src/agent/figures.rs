//! The counters of a task by operator, summed over its slots and over executors that died.

use crate::job::Event;
use lockgate_core::Name;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::plane::OperatorUsage;
use lockgate_executor::protocol::Usage;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a task has got done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Steps {
    /// Epochs of its slots that are durable.
    pub commits: u64,
    /// Executors that died and were replaced.
    pub restarts: u64,
}

/// The counters of a task. They come from executors, which may say whatever they like: they are added with care, and mean
/// nothing to anybody but the tenant.
#[derive(Debug, Default)]
pub struct Figures(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: Vec<Name>,
    sources: Vec<bool>,
    slots: BTreeMap<u32, (Usage, Duration)>,
    /// Of executors that are gone.
    before: BTreeMap<Name, OperatorUsage>,
    /// Bytes that were to be read when it began.
    bytes: Option<u64>,
    steps: Steps,
}

impl Figures {
    /// From now on the operators of `plan` are counted.
    pub fn of(&self, plan: &Plan) {
        let mut inner = self.lock();
        inner.names = plan.nodes.iter().map(|node| node.name.clone()).collect();
        inner.sources = plan.nodes.iter().map(|node| matches!(node.kind, NodeKind::Source(_))).collect();
    }

    /// Takes what an event says of counters.
    pub fn take(&self, event: &Event) {
        match event {
            Event::Usage { slot, usage, waited } | Event::Committed { slot, usage, waited, .. } => {
                let mut inner = self.lock();
                if matches!(event, Event::Committed { .. }) {
                    inner.steps.commits = inner.steps.commits.saturating_add(1);
                }
                if usage.nodes.len() <= inner.names.len() && usage.functions.len() <= inner.names.len() {
                    inner.slots.insert(*slot, (usage.clone(), *waited));
                }
            }
            // Its slots count from nothing again.
            Event::Restarted { .. } => {
                let mut inner = self.lock();
                inner.before = inner.operators();
                inner.slots.clear();
                inner.steps.restarts = inner.steps.restarts.saturating_add(1);
            }
            Event::Started { bytes, .. } => self.lock().bytes = *bytes,
            Event::Log { .. } | Event::WallsMissing { .. } => {}
        }
    }

    /// The counters by operator.
    pub fn operators(&self) -> BTreeMap<Name, OperatorUsage> {
        self.lock().operators()
    }

    /// What it has got done.
    pub fn steps(&self) -> Steps {
        self.lock().steps
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn operators(&self) -> BTreeMap<Name, OperatorUsage> {
        let mut sums = self.before.clone();
        for (usage, waited) in self.slots.values() {
            // A slot waits as a whole; its sources are what is held up by it.
            for (name, _) in self.names.iter().zip(&self.sources).filter(|(_, source)| **source) {
                let sum = sums.entry(name.clone()).or_default();
                let millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                sum.back_pressure_ms = sum.back_pressure_ms.saturating_add(millis);
            }
            for (name, node) in self.names.iter().zip(&usage.nodes) {
                let sum = sums.entry(name.clone()).or_default();
                sum.rows_in = sum.rows_in.saturating_add(node.rows_in);
                sum.rows_out = sum.rows_out.saturating_add(node.rows_out);
                sum.dead_letters = sum.dead_letters.saturating_add(node.dead);
            }
            for (at, function) in &usage.functions {
                let Some(name) = self.names.get(*at as usize) else { continue };
                let sum = sums.entry(name.clone()).or_default();
                let fuel = function.fuel.saturating_add(function.start_fuel);
                sum.fuel = sum.fuel.saturating_add(fuel);
                sum.restarts = sum.restarts.saturating_add(function.instances.saturating_sub(1));
            }
        }
        // Which source's bytes they are is not said: where there are several, each would be wrong.
        let source = self.names.iter().zip(&self.sources).filter(|(_, source)| **source).map(|(name, _)| name);
        if let ([name], Some(bytes)) = (source.collect::<Vec<_>>().as_slice(), self.bytes) {
            let read = self.slots.values().fold(0, |sum: u64, (usage, _)| sum.saturating_add(usage.bytes_read));
            sums.entry((*name).clone()).or_default().lag_bytes = bytes.saturating_sub(read);
        }
        sums
    }
}
