//! Why a job failed, with samples of the records that did: data, so that seeing them is a right of its own.

use super::Record;
use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};

/// The most exceptions of a job that are kept.
pub const MAX_EXCEPTIONS: u64 = 100;
/// The most samples of one exception.
pub const MAX_SAMPLES: usize = 10;

/// Something that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exception {
    /// Counts from 1 for the life of the job.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// The error's code.
    pub code: String,
    /// What happened.
    pub cause: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Name>,
    /// The TaskManager on which it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_manager: Option<String>,
    /// Records that failed.
    #[serde(default)]
    pub samples: Vec<Sample>,
}

/// A record that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The split that it came from.
    pub split: String,
    /// Its number there.
    pub record: u64,
    /// Why it failed.
    pub message: String,
    /// The record, cut to a bounded length.
    pub value: String,
}

impl Record for Exception {
    const NAME: &'static str = "an exception";
}
