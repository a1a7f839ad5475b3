//! What the regions carry beside data: small JSON documents, each bounded by the region that it must fit in.

use crate::protocol::REGION_BYTES;
use lockgate_core::error::code;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::text::tame;
use lockgate_core::types::{Field, FunctionDescription};
use lockgate_core::{Error, Name, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A split that a slot may read now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitGrant {
    /// The input that stands for it; meaningless for a source without bytes.
    pub input: u32,
    /// The source's index in the plan.
    pub source: u32,
    /// The split's name, stable over restarts.
    pub name: String,
    /// Its bytes, if known.
    pub size: Option<u64>,
    /// Where to go on, if a part of it is committed.
    pub position: Option<Vec<u8>>,
}

/// How far a split has been read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitPosition {
    /// The source's index in the plan.
    pub source: u32,
    /// The split's name.
    pub name: String,
    /// Where to go on; opaque to the TaskManager.
    pub position: Vec<u8>,
    /// Whether there is nothing left.
    pub finished: bool,
}

/// What an epoch's commit makes durable together with what was written in it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The splits that were read in this epoch.
    pub splits: Vec<SplitPosition>,
    /// Counters up to this commit.
    pub usage: Usage,
    /// Some of the rows that it sends to dead letters, as many as the plan says ([`FailedRow::checked`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<FailedRow>,
}

/// A row that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedRow {
    /// The node's name.
    pub node: Name,
    /// The split, with its source's name.
    pub split: String,
    /// The record in the split.
    pub row: u64,
    /// The number of the error's code.
    pub code: u16,
    /// Why, in words.
    pub message: String,
    /// The beginning of the record.
    pub input: String,
}

/// The most bytes of each text of a failed row.
const MAX_ROW_TEXT: usize = 1_024;

impl FailedRow {
    /// What a slot that runs `plan` said, its texts bounded and fit to be shown: whoever wrote them may be hostile.
    ///
    /// # Errors
    /// `LG0902` if there are more than the plan lets it say, or of a node or a code that there is not.
    pub fn checked(mut rows: Vec<Self>, plan: &Plan) -> Result<Vec<Self>> {
        let most = plan.samples.min(Plan::MAX_SAMPLES) as usize;
        let known = |row: &Self| {
            let is_code = lockgate_core::Code::from_number(row.code).is_some();
            is_code && plan.nodes.iter().any(|node| node.name == row.node)
        };
        if rows.len() > most || !rows.iter().all(known) {
            return Err(Error::new(code::PROTOCOL_RANGE, "rows that failed of which the plan lets nobody tell"));
        }
        for row in &mut rows {
            for text in [&mut row.split, &mut row.message, &mut row.input] {
                *text = tame(text, MAX_ROW_TEXT);
            }
        }
        Ok(rows)
    }
}

/// Counters of a slot since it started; only ever rising.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// By node, in the plan's order.
    pub nodes: Vec<NodeUsage>,
    /// By function node (the plan's index with its counters).
    pub functions: Vec<(u32, FunctionUsage)>,
    /// Bytes of splits read.
    pub bytes_read: u64,
    /// CPU time of the slot's thread in nanoseconds.
    pub cpu: u64,
}

/// Counters of a node.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeUsage {
    /// Rows that came in (for a source: that it read).
    pub rows_in: u64,
    /// Rows that went out (for a sink: that it wrote).
    pub rows_out: u64,
    /// Rows that failed.
    pub failed: u64,
    /// Rows of those that went to dead letters.
    pub dead: u64,
    /// Batches.
    pub batches: u64,
}

/// Counters of a function.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionUsage {
    /// Calls, failed ones too.
    pub calls: u64,
    /// Calls that trapped or met a limit.
    pub traps: u64,
    /// Instances made.
    pub instances: u64,
    /// Fuel of all calls.
    pub fuel: u64,
    /// Fuel of making instances.
    pub start_fuel: u64,
    /// Fuel per record, the median over calls.
    pub fuel_p50: u64,
    /// Fuel per record, the 99th percentile over calls.
    pub fuel_p99: u64,
    /// Fuel per record, the greatest of any call.
    pub fuel_max: u64,
    /// The most memory that an instance had, in bytes.
    pub memory: u64,
    /// Bytes of log that were dropped.
    pub log_dropped: u64,
}

/// A line that a guest logged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// The node's index in the plan.
    pub node: u32,
    /// `error`, `warn`, `info`, `debug`, `stdout` or `stderr` ([`LogLine::checked`]).
    pub level: String,
    /// The line. Show what was not [`LogLine::checked`] only after control characters have been escaped.
    pub text: String,
}

/// How a slot ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Why, if it failed.
    pub failed: Option<Failed>,
    /// The last counters.
    pub usage: Usage,
    /// What came out, if it was not a job.
    #[serde(default)]
    pub outcome: Option<Outcome>,
}

/// What came out of a look at something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Outcome {
    /// What a component says of its functions.
    Described(Vec<FunctionDescription>),
    /// The schema of a split.
    Inferred(Vec<Field>),
}

/// Why a slot failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// The number of the error's code.
    pub code: u16,
    /// The cause, and where.
    pub cause: String,
    /// What to do, if the error said more than its page.
    pub help: Option<String>,
}

/// The most bytes of a cause that are shown.
const MAX_CAUSE: usize = 4_096;
/// The most bytes of what to do about it.
const MAX_HELP: usize = 1_024;

impl Usage {
    /// Whether these can be the counters of a slot that runs `plan`: whoever sums and shows them need not look again.
    ///
    /// # Errors
    /// `LG0902` if there are counters of nodes that are not in the plan, or of a function that is none or twice there.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        let function =
            |at: u32| plan.nodes.get(at as usize).is_some_and(|node| matches!(node.kind, NodeKind::Function(_)));
        let ascending = self.functions.is_sorted_by(|(one, _), (next, _)| one < next);
        if self.nodes.len() <= plan.nodes.len() && ascending && self.functions.iter().all(|(at, _)| function(*at)) {
            return Ok(());
        }
        Err(Error::new(code::PROTOCOL_RANGE, "counters of what is not in the plan"))
    }
}

impl LogLine {
    /// What a slot that runs `plan` said at once, its texts bounded and fit to be shown: whoever wrote them may be hostile.
    ///
    /// # Errors
    /// `LG0902` if there are more lines than a message holds, or one is of a node that is not in the plan or of no level.
    pub fn checked(mut lines: Vec<Self>, plan: &Plan) -> Result<Vec<Self>> {
        let known = |line: &Self| (line.node as usize) < plan.nodes.len() && LEVELS.contains(&line.level.as_str());
        if lines.len() > LINES || !lines.iter().all(known) {
            return Err(Error::new(code::PROTOCOL_RANGE, "log lines that no function of the plan can have written"));
        }
        lines.iter_mut().for_each(|line| line.text = tame(&line.text, MAX_LINE));
        Ok(lines)
    }
}

/// The most bytes of a log line that are shown: twice what the sandbox makes of a guest's.
const MAX_LINE: usize = 8 << 10;

/// The levels of log lines.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "stdout", "stderr"];
/// The most log lines in a message: a line is bounded by the sandbox, so that these always fit in a region.
pub(crate) const LINES: usize = 8;

impl Failed {
    /// What crosses of an error.
    pub fn of(error: &Error) -> Self {
        let cause = match error.place() {
            Some(place) => format!("{place}: {}", error.cause()),
            None => error.cause().to_owned(),
        };
        let help = error.help_text().map(|help| bounded(help, MAX_HELP));
        Self { code: error.code().number(), cause: bounded(&cause, MAX_CAUSE), help }
    }

    /// The error that crossed, its texts bounded and fit to be shown: whoever wrote them may be hostile.
    pub fn error(&self) -> Error {
        let known = lockgate_core::Code::from_number(self.code).unwrap_or(code::INTERNAL);
        let error = Error::new(known, tame(&self.cause, MAX_CAUSE));
        match &self.help {
            Some(help) => error.help(tame(help, MAX_HELP)),
            None => error,
        }
    }
}

/// The JSON of `payload`.
///
/// # Errors
/// `LG0903` if it does not fit in a region.
pub fn write(payload: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = write_large(payload)?;
    if bytes.len() > REGION_BYTES {
        return Err(Error::new(code::PROTOCOL_PAYLOAD, format!("{} bytes do not fit in a region", bytes.len())));
    }
    Ok(bytes)
}

/// The JSON of a payload that is read by range, so that it may be larger than a region.
pub(crate) fn write_large(payload: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(payload).map_err(|error| Error::new(code::PROTOCOL_PAYLOAD, error.to_string()))
}

/// Reads JSON that the other side wrote.
///
/// # Errors
/// `LG0903` if it is anything else.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::new(code::PROTOCOL_PAYLOAD, format!("not understood: {error}")))
}

fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests;
