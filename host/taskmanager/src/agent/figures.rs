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
            Event::Log { .. } | Event::Failed { .. } | Event::WallsMissing { .. } => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_core::error::{Error, code};
    use lockgate_core::limits::Limits;
    use lockgate_core::plan::{Node, OnError, Sink, SinkConnector, Source, SourceConnector};
    use lockgate_executor::protocol::{FunctionUsage, NodeUsage};

    /// Operators `in` (a source), `f` and `out`, and `other` (a second source) if there is to be one.
    fn plan(sources: usize) -> Plan {
        let source = || {
            let connector = SourceConnector::Stdin;
            NodeKind::Source(Source { connector, format: None, on_error: OnError::Fail, projection: None })
        };
        let (connector, format) = (SinkConnector::Discard, None);
        let sink = NodeKind::Sink(Sink { connector, format, fields: Vec::new(), dead_letters: false });
        let kinds = [("in", source()), ("f", NodeKind::Select(Vec::new())), ("out", sink), ("other", source())];
        let node = |(name, kind)| Node { name: Name::new(name).unwrap(), inputs: vec![], kind, outputs: vec![] };
        let nodes = kinds.into_iter().take(2 + sources).map(node).collect();
        Plan { nodes, limits: Limits::default(), batch_rows: 1, checkpoint_interval: 0, samples: 0 }
    }

    fn usage(rows: u64) -> Usage {
        let node = NodeUsage { rows_in: rows, rows_out: rows - 1, failed: 1, dead: 1, batches: 1 };
        let function = FunctionUsage { fuel: 10 * rows, start_fuel: 5, instances: 3, ..FunctionUsage::default() };
        Usage { nodes: vec![node; 3], functions: vec![(1, function)], bytes_read: 100 * rows, cpu: 1 }
    }

    fn count(figures: &Figures, slot: u32, usage: Usage, waited: u64) {
        figures.take(&Event::Usage { slot, usage, waited: Duration::from_millis(waited) });
    }

    fn of(figures: &Figures, name: &str) -> OperatorUsage {
        figures.operators().get(&Name::new(name).unwrap()).copied().unwrap_or_default()
    }

    #[test]
    fn counters_of_slots_are_summed_and_later_ones_replace_earlier_ones() {
        let figures = Figures::default();
        figures.of(&plan(1));
        figures.take(&Event::Started { slots: 2, splits: 2, bytes: Some(10_000), resumed: false });
        count(&figures, 0, usage(10), 7);
        count(&figures, 0, usage(20), 9);
        let (epoch, waited) = (1, Duration::from_millis(4));
        figures.take(&Event::Committed { slot: 1, epoch, usage: usage(5), waited });
        let f = of(&figures, "f");
        assert_eq!((f.rows_in, f.rows_out, f.dead_letters), (25, 23, 2));
        assert_eq!((f.fuel, f.restarts, f.back_pressure_ms, f.lag_bytes), (200 + 5 + 50 + 5, 4, 0, 0));
        let source = of(&figures, "in");
        assert_eq!((source.rows_in, source.back_pressure_ms, source.lag_bytes), (25, 13, 10_000 - 2_500));
        assert_eq!((of(&figures, "out").rows_in, of(&figures, "out").fuel), (25, 0));
    }

    #[test]
    fn what_an_executor_counted_that_died_counts_on() {
        let figures = Figures::default();
        figures.of(&plan(1));
        figures.take(&Event::Started { slots: 1, splits: 1, bytes: Some(1_000), resumed: false });
        count(&figures, 0, usage(10), 3);
        figures.take(&Event::Restarted { error: Error::new(code::EXECUTOR_CRASHED, "it crashed") });
        assert_eq!(of(&figures, "f").rows_in, 10);
        count(&figures, 0, usage(4), 2);
        assert_eq!((of(&figures, "f").rows_in, of(&figures, "in").back_pressure_ms), (14, 5));
    }

    #[test]
    fn numbers_that_nobody_can_believe_neither_overflow_nor_are_of_operators_that_there_are_not() {
        let figures = Figures::default();
        count(&figures, 0, usage(10), 0);
        assert!(figures.operators().is_empty(), "of a plan that is not known yet");
        figures.of(&plan(1));
        figures.take(&Event::Started { slots: 2, splits: 1, bytes: Some(10), resumed: false });
        let most = NodeUsage { rows_in: u64::MAX, rows_out: u64::MAX, failed: 0, dead: u64::MAX, batches: 0 };
        let function =
            FunctionUsage { fuel: u64::MAX, start_fuel: u64::MAX, instances: u64::MAX, ..FunctionUsage::default() };
        let functions = vec![(1, function), (77, function)];
        let all = Usage { nodes: vec![most; 3], functions, bytes_read: u64::MAX, cpu: 0 };
        for slot in 0..2 {
            count(&figures, slot, all.clone(), u64::MAX);
        }
        let f = of(&figures, "f");
        assert_eq!((f.rows_in, f.dead_letters, f.fuel), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!((of(&figures, "in").lag_bytes, of(&figures, "in").back_pressure_ms), (0, u64::MAX));
        // More operators than the plan has: nothing of it is taken.
        let figures = Figures::default();
        figures.of(&plan(1));
        count(&figures, 0, Usage { nodes: vec![most; 4], ..Usage::default() }, 0);
        assert!(figures.operators().is_empty());
    }

    #[test]
    fn what_is_left_to_read_is_said_of_one_source_only() {
        let figures = Figures::default();
        figures.of(&plan(2));
        figures.take(&Event::Started { slots: 1, splits: 1, bytes: Some(10_000), resumed: false });
        count(&figures, 0, usage(10), 1);
        assert_eq!((of(&figures, "in").lag_bytes, of(&figures, "other").lag_bytes), (0, 0));
        assert_eq!((of(&figures, "in").back_pressure_ms, of(&figures, "other").back_pressure_ms), (1, 1));
    }
}
