//! A job's figures as its TaskManagers last reported them.

use super::Record;
use lockgate_core::plane::OperatorUsage;
use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A job's figures.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// When they were reported; never, if none.
    #[serde(default)]
    pub reported: Option<Timestamp>,
    /// By operator.
    #[serde(default)]
    pub operators: BTreeMap<Name, Operator>,
    /// What they are the sums of.
    #[serde(default)]
    pub parts: Parts,
}

/// Figures by where they are from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// The epoch of the lease that `present` is of.
    #[serde(default)]
    pub epoch: u64,
    /// Of all leases before.
    #[serde(default)]
    pub past: BTreeMap<Name, Operator>,
    /// Of this lease, by TaskManager.
    #[serde(default)]
    pub present: BTreeMap<Name, BTreeMap<Name, Operator>>,
}

/// An operator's figures, over all its slots and since the job began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Operator {
    /// Rows in.
    pub rows_in: u64,
    /// Rows out.
    pub rows_out: u64,
    /// Rows to the dead letters.
    pub dead_letters: u64,
    /// Fuel.
    pub fuel: u64,
    /// Bytes that sources have not read yet.
    pub lag_bytes: u64,
    /// Time in which output was not taken, in milliseconds.
    pub back_pressure_ms: u64,
    /// Restarts of its instances.
    pub restarts: u64,
}

impl Metrics {
    /// Takes in what a TaskManager counted since the lease of `epoch` began; whether anything is new. What is of an earlier
    /// lease is not taken. Counters never go back.
    pub fn note(&mut self, epoch: u64, taskmanager: &Name, operators: BTreeMap<Name, Operator>) -> bool {
        let parts = &mut self.parts;
        if epoch < parts.epoch {
            return false;
        }
        if epoch > parts.epoch {
            for (name, of) in std::mem::take(&mut parts.present).into_values().flatten() {
                // What is left to be read is the next lease's to say.
                parts.past.entry(name).or_default().add(&Operator { lag_bytes: 0, ..of });
            }
            parts.epoch = epoch;
        }
        let known = parts.present.entry(taskmanager.clone()).or_default();
        let mut is_new = false;
        for (name, of) in operators {
            let before = known.entry(name).or_default();
            let now = before.raised_to(&of);
            is_new |= *before != now;
            *before = now;
        }
        if is_new {
            self.operators = parts.past.clone();
            for (name, of) in parts.present.values().flatten() {
                self.operators.entry(name.clone()).or_default().add(of);
            }
        }
        is_new
    }
}

impl Operator {
    fn add(&mut self, other: &Self) {
        let Self { rows_in, rows_out, dead_letters, fuel, lag_bytes, back_pressure_ms, restarts } = other;
        let add = |sum: &mut u64, more: &u64| *sum = sum.saturating_add(*more);
        add(&mut self.rows_in, rows_in);
        add(&mut self.rows_out, rows_out);
        add(&mut self.dead_letters, dead_letters);
        add(&mut self.fuel, fuel);
        add(&mut self.lag_bytes, lag_bytes);
        add(&mut self.back_pressure_ms, back_pressure_ms);
        add(&mut self.restarts, restarts);
    }

    /// The later of two: counters only rise, and what is left is as it was said last.
    fn raised_to(&self, now: &Self) -> Self {
        Self {
            rows_in: self.rows_in.max(now.rows_in),
            rows_out: self.rows_out.max(now.rows_out),
            dead_letters: self.dead_letters.max(now.dead_letters),
            fuel: self.fuel.max(now.fuel),
            lag_bytes: now.lag_bytes,
            back_pressure_ms: self.back_pressure_ms.max(now.back_pressure_ms),
            restarts: self.restarts.max(now.restarts),
        }
    }
}

impl From<OperatorUsage> for Operator {
    fn from(usage: OperatorUsage) -> Self {
        let OperatorUsage { rows_in, rows_out, dead_letters, fuel, lag_bytes, back_pressure_ms, restarts } = usage;
        Self { rows_in, rows_out, dead_letters, fuel, lag_bytes, back_pressure_ms, restarts }
    }
}

impl From<Operator> for OperatorUsage {
    fn from(of: Operator) -> Self {
        let Operator { rows_in, rows_out, dead_letters, fuel, lag_bytes, back_pressure_ms, restarts } = of;
        Self { rows_in, rows_out, dead_letters, fuel, lag_bytes, back_pressure_ms, restarts }
    }
}

impl Record for Metrics {
    const NAME: &'static str = "figures";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn of(rows_in: u64, lag_bytes: u64) -> BTreeMap<Name, Operator> {
        BTreeMap::from([(name("score"), Operator { rows_in, lag_bytes, ..Operator::default() })])
    }

    #[test]
    fn counters_are_summed_over_taskmanagers_and_leases_and_never_go_back() {
        let mut metrics = Metrics::default();
        let sum = |metrics: &Metrics| {
            let score = metrics.operators[&name("score")];
            (score.rows_in, score.lag_bytes)
        };
        assert!(metrics.note(5, &name("t1"), of(10, 100)) && metrics.note(5, &name("t2"), of(1, 50)));
        assert_eq!(sum(&metrics), (11, 150));
        assert!(!metrics.note(5, &name("t1"), of(10, 100)), "nothing is new");
        assert!(metrics.note(5, &name("t1"), of(9, 90)));
        assert_eq!(sum(&metrics), (11, 140), "a counter went back");
        assert!(metrics.note(7, &name("t2"), of(3, 20)));
        assert_eq!(sum(&metrics), (14, 20), "what was counted before counts on, what is left does not");
        assert!(!metrics.note(6, &name("t1"), of(1_000, 0)), "a lease that is over");
        let text = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
        assert_eq!(serde_json::from_str::<Metrics>(r#"{"operators":{}}"#).unwrap(), Metrics::default());
    }
}
