//! What users are to see of a job that runs: lines that its functions logged, and rows that failed. It may be lost, and is
//! held back rather than the job.

use super::Fence;
use crate::name::Name;
use serde::{Deserialize, Serialize};

/// The most lines of one report.
pub const MAX_LINES: usize = 100;
/// The most samples of one exception.
pub const MAX_SAMPLES: usize = 10;

/// What happened in a job's tasks since the last report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Under which lease.
    #[serde(flatten)]
    pub fence: Fence,
    /// Lines, at most [`MAX_LINES`].
    #[serde(default)]
    pub lines: Vec<ReportedLine>,
    /// Lines that were left out since the last report.
    #[serde(default)]
    pub dropped: u64,
    /// What failed and did not end the job, or went before its end.
    #[serde(default)]
    pub exceptions: Vec<ReportedException>,
}

/// A line that a function wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReportedLine {
    /// The operator.
    #[serde(default)]
    pub operator: Option<Name>,
    /// The text, fit to be shown.
    pub text: String,
}

/// Something that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReportedException {
    /// The error's code.
    pub code: String,
    /// What happened.
    pub cause: String,
    /// Where.
    #[serde(default)]
    pub operator: Option<Name>,
    /// Rows that failed, at most [`MAX_SAMPLES`].
    #[serde(default)]
    pub samples: Vec<ReportedSample>,
}

/// A row that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReportedSample {
    /// The split that it came from.
    pub split: String,
    /// Its number there.
    pub record: u64,
    /// Why it failed.
    pub message: String,
    /// The record, cut to a bounded length.
    pub value: String,
}
