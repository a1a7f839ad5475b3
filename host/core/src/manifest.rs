//! The manifest of a job, `lockgate.toml`: the form that authors write and, as JSON within the signed statement, the
//! form that TaskManagers read. One set of types serves both, so that what is reviewed is what runs.
//!
//! A manifest names resources, never paths, hosts or credentials: `volume = "flights"` is given a meaning by the
//! TaskManager's own configuration, and only if the tenant's signed policy grants it.

mod check;
pub mod path;
mod restart;
mod text;

pub use restart::Restart;
pub use text::locate;

use crate::grant::{Mode, ResourceKind, Touch};
use crate::limits::PartialLimits;
use crate::name::Name;
use crate::types::{Field, LogicalType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `on-error` and `on-overrun` say when the job shall fail.
pub const FAIL: &str = "fail";

/// A whole manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Whose job this is and how it runs.
    pub job: Job,
    /// The components by name. Their files are named in `lockgate.toml` only, their digests in the statement only.
    #[serde(default)]
    pub component: BTreeMap<Name, Component>,
    /// Where records come from.
    #[serde(default)]
    pub source: BTreeMap<Name, Source>,
    /// What happens to them.
    #[serde(default)]
    pub operator: BTreeMap<Name, Operator>,
    /// Where they go.
    #[serde(default)]
    pub sink: BTreeMap<Name, Sink>,
    /// Limits that differ from the defaults.
    #[serde(default)]
    pub limits: PartialLimits,
    /// What follows on a failure; exponential delay if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// What may be set at submission without a new signature.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<Name, Parameter>,
}

impl Manifest {
    /// What the job touches, sorted and without duplicates: what a policy must grant and a reviewer must accept.
    /// Connectors without a resource of the host (`nexmark`, `discard`) touch nothing; whatever names a volume touches
    /// it, even with a connector that this version does not know.
    pub fn touches(&self) -> Vec<Touch> {
        let touch = |connector: &str, volume: &Option<Name>, path: &Option<String>, mode| {
            let (kind, name, path) = match connector {
                "stdin" | "stdout" => (ResourceKind::Stream, Name::new(connector).ok()?, String::new()),
                _ => (ResourceKind::Volume, volume.clone()?, path.clone().unwrap_or_default()),
            };
            Some(Touch { kind, name, mode, path })
        };
        let read = self.source.values().filter_map(|s| touch(&s.connector, &s.volume, &s.path, Mode::Read));
        let written = self.sink.values().filter_map(|s| touch(&s.connector, &s.volume, &s.path, Mode::Write));
        let mut all: Vec<Touch> = read.chain(written).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// `[job]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Job {
    /// The tenant's id.
    pub tenant: Name,
    /// The job's name, unique within the tenant.
    pub name: Name,
    /// The version; only ever rises.
    pub version: u64,
    /// The range of the parallelism.
    #[serde(default)]
    pub parallelism: Parallelism,
    /// Milliseconds between commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_interval_ms: Option<u64>,
    /// Rows in a full batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_rows: Option<u32>,
    /// How many rows that failed the JobManager is shown at once, and so whoever may read dead letters there; none if nothing
    /// is said. Rows are data: only the tenant's signers let them leave the TaskManager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_failed_rows: Option<u32>,
}

/// The range of a job's parallelism: how many slots may share its splits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parallelism {
    /// The fewest slots, at least 1.
    pub min: u32,
    /// The most slots.
    pub max: u32,
}

impl Default for Parallelism {
    fn default() -> Self {
        Self { min: 1, max: 1 }
    }
}

/// `[component.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Component {
    /// The component's file, relative to the manifest; for `lockgate build` only, never signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// `[source.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// `file`, `stdin` or `nexmark`.
    pub connector: String,
    /// The volume, for `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Name>,
    /// A glob within the volume, for `file`; see [`path`].
    #[serde(default, deserialize_with = "path::glob", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `parquet`, `csv`, `json` or `lines`; by the path's ending if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `none`, `gzip` or `zstd`; by the file's ending if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Whether a CSV file has a header; true if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// The CSV delimiter; a comma if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// The text that stands for null in CSV; empty if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<String>,
    /// The schema. `lockgate build` infers it from the data when it is absent, so that it is always signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Vec<Field>>,
    /// A dead-letter sink, or `fail`; `fail` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<Name>,
    /// The table, for `nexmark`: `bid`, `auction` or `person`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Events of all tables together, for `nexmark`; endless if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// Events a second, for `nexmark`; as fast as possible if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// The seed, for `nexmark`; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Splits that share the events, for `nexmark`; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<u32>,
    /// Batches to make beforehand and hand out again and again, for `nexmark`; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<u32>,
}

/// `[operator.NAME]`: a function of a component, or a `select`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Operator {
    /// The node (or `node.output`) that records come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Several nodes of one schema: a union.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// `component/function`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Parameter of the function → column of the input; equal names if absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
    /// Input columns that pass through; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Vec<String>>,
    /// Output field of the function → name of the column; its own name if absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Settings of the function.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Setting>,
    /// A dead-letter sink for rows that fail, or `fail`; `fail` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<Name>,
    /// A dead-letter sink for whole batches whose poison rows cannot be found within budget, or `fail`; `fail` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_overrun: Option<Name>,
    /// The columns of a `select`, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<Vec<Selected>>,
}

/// A setting of a function: text, or a parameter's value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// The text itself.
    Text(String),
    /// The value of a parameter.
    Parameter(ParameterRef),
}

/// `{ parameter = "NAME" }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterRef {
    /// The parameter.
    pub parameter: Name,
}

/// A column of a `select`: its name, or a name with what to make of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Selected {
    /// A column as it is.
    Column(String),
    /// A column renamed or cast.
    As(SelectedAs),
}

/// `{ column = "a", name = "b", type = "float64" }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectedAs {
    /// The input column.
    pub column: String,
    /// Its new name; its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its new type; its own if absent. A value that does not fit becomes null.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub data_type: Option<LogicalType>,
}

/// `[sink.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sink {
    /// The node (or `node.output`) that records come from; absent for a sink of dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Several nodes of one schema: a union.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// `file`, `stdout` or `discard`.
    pub connector: String,
    /// The volume, for `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Name>,
    /// The folder within the volume, for `file`; see [`path`].
    #[serde(default, deserialize_with = "path::literal", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `parquet`, `csv`, `json` or `lines`; `json` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `none`, `gzip` or `zstd`; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Whether a CSV file gets a header; true if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// The CSV delimiter; a comma if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
}

/// `[parameters.NAME]`: a type, a default and bounds. Values are text on every wire, because signed JSON has no floats.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameter {
    /// `text`, `integer`, `decimal` or `bool`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The value when the submission gives none; without one, a submission must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The least value (`integer`, `decimal`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The greatest value (`integer`, `decimal`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// The values that are allowed (`text`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<String>>,
    /// The longest value in bytes (`text`); 1,024 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
}

#[cfg(test)]
mod tests;
