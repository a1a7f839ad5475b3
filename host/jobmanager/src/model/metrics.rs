//! A job's figures as its TaskManagers last reported them.

use super::Record;
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

impl Record for Metrics {
    const NAME: &'static str = "figures";
}
