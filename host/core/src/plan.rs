//! The checked graph of a job: what the planner makes of a manifest and `describe`, and what a task slot runs.
//!
//! Names are resolved to indexes, types are checked, configuration holds its parameters' values: whoever runs a plan
//! decides nothing any more. It crosses to the executor as JSON, so it is plain data.

use crate::digest::Digest;
use crate::limits::Limits;
use crate::name::Name;
use crate::types::{Field, LogicalType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A job's graph in topological order: a node's inputs come before it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The nodes; indexes into this vector are how nodes refer to each other.
    pub nodes: Vec<Node>,
    /// The limits of every function's instance, for a batch where they are by batch.
    pub limits: Limits,
    /// Rows in a full batch, at most [`Plan::MAX_BATCH_ROWS`].
    pub batch_rows: u32,
    /// Milliseconds between commits.
    pub checkpoint_interval: u64,
    /// How many rows that failed a commit tells of, at most [`Plan::MAX_SAMPLES`]: of those that it sends to dead letters.
    #[serde(default)]
    pub samples: u32,
}

impl Plan {
    /// The most rows in a batch.
    pub const MAX_BATCH_ROWS: u32 = 65_536;
    /// The most rows that failed of which a commit tells.
    pub const MAX_SAMPLES: u32 = 10;
    /// The most nodes in a graph.
    pub const MAX_NODES: usize = 256;
    /// The most columns in a schema.
    pub const MAX_COLUMNS: usize = 1_000;

    /// The columns of the batches that come along `edge`: what indexes of input columns refer to.
    pub fn delivered(&self, edge: Edge) -> Vec<&Field> {
        let Some(node) = self.nodes.get(edge.node as usize) else { return Vec::new() };
        let fields = node.outputs.get(edge.output as usize).map(|output| output.fields.as_slice()).unwrap_or_default();
        match &node.kind {
            NodeKind::Source(Source { projection: Some(columns), .. }) => {
                columns.iter().filter_map(|column| fields.get(*column as usize)).collect()
            }
            _ => fields.iter().collect(),
        }
    }
}

/// One node of the graph.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name, which is also its state's id.
    pub name: Name,
    /// Where its batches come from: none for a source, several of one schema for a union.
    pub inputs: Vec<Edge>,
    /// What it does.
    pub kind: NodeKind,
    /// What comes out; the first is the main output. None for a sink.
    pub outputs: Vec<Output>,
}

/// An output of an earlier node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Index of the node.
    pub node: u32,
    /// Index into its [`Node::outputs`].
    pub output: u32,
}

/// A named output of a node with its schema.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The output's name; the main one's is the port's own ("out" where a node has no ports).
    pub name: String,
    /// Its columns.
    pub fields: Vec<Field>,
}

/// What a node does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NodeKind {
    /// Reads records.
    Source(Source),
    /// Calls a function of a component.
    Function(Function),
    /// Chooses, renames and casts columns.
    Select(Vec<SelectColumn>),
    /// Writes records.
    Sink(Sink),
}

/// A source: a connector that delivers bytes and the format they are in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Where the bytes come from.
    pub connector: SourceConnector,
    /// What they are. None for `nexmark`, which makes records itself.
    pub format: Option<Format>,
    /// What happens to a record that cannot be decoded.
    pub on_error: OnError,
    /// Indexes of the columns of the main output that something downstream uses, if that is not all of them. A decoder
    /// may leave the others out of its work, yet what it delivers has exactly these columns, in this order, and that is
    /// what the indexes of the nodes behind it refer to ([`Plan::delivered`]).
    pub projection: Option<Vec<u32>>,
}

/// Where a source's bytes come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceConnector {
    /// Files of a volume; each is a split.
    File {
        /// The volume's name: what it is, the TaskManager's configuration says.
        volume: Name,
        /// A glob within the volume, with `/` between components.
        path: String,
    },
    /// Standard input: one split.
    Stdin,
    /// The Nexmark generator, within the executor.
    Nexmark(Nexmark),
}

/// The Nexmark generator's settings, after the Nexmark suite.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nexmark {
    /// Which table.
    pub table: NexmarkTable,
    /// Events of all three tables together; none is endless.
    pub events: Option<u64>,
    /// Events a second over all splits; none is as fast as possible.
    pub rate: Option<u64>,
    /// The seed: equal seeds give equal events.
    pub seed: u64,
    /// Splits that share the events.
    pub splits: u32,
    /// Batches to make beforehand and hand out again and again, so that a benchmark does not measure the generator;
    /// 0 makes every event anew.
    pub prepared: u32,
}

/// A table of Nexmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NexmarkTable {
    /// Bids on auctions.
    Bid,
    /// Auctions.
    Auction,
    /// Persons.
    Person,
}

/// A file format with its settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// The format itself.
    pub kind: FormatKind,
    /// Compression of the whole stream (Parquet compresses its pages itself).
    pub compression: Compression,
}

/// A file format.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FormatKind {
    /// Apache Parquet; pages are written with zstd.
    Parquet,
    /// RFC 4180.
    Csv {
        /// Whether the first record names the columns.
        header: bool,
        /// The delimiter, one ASCII byte.
        delimiter: u8,
        /// The text that stands for null.
        null: String,
    },
    /// A JSON object a line.
    Json,
    /// A line a record: one utf8 column, `line`.
    Lines,
}

/// Compression of a whole stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// By the file's ending: `.gz`, `.zst`, otherwise none. Sinks write none.
    Auto,
    /// None.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// What happens to rows that fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OnError {
    /// The job fails.
    Fail,
    /// They go to this sink (index of its node) as dead letters.
    DeadLetter(u32),
}

/// A call of a component's function.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// The component's name in the manifest.
    pub component: Name,
    /// The component's digest, as signed, for dead letters; whoever has the bundle fills it in.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Index into what `describe` returned.
    pub index: u32,
    /// The function's name, for people.
    pub name: String,
    /// For each field of the function's input port the index of the input column that it reads.
    pub arguments: Vec<u32>,
    /// Whether an argument may be null; as in the input port's fields.
    pub nullable: Vec<bool>,
    /// For each output port the indexes of the input columns that pass through, in order. The node's output has these
    /// first, then the port's fields (renamed, where the manifest says so).
    pub keep: Vec<Vec<u32>>,
    /// Settings of the function, parameters resolved.
    pub config: BTreeMap<String, String>,
    /// What happens to rows that fail.
    pub on_error: OnError,
    /// What happens to a batch whose poison rows cannot be found within the bisection's budget.
    pub on_overrun: OnError,
}

/// A column of a `select`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectColumn {
    /// Index of the input column.
    pub column: u32,
    /// The type to cast it to, if not its own. A value that does not fit becomes null if the output field is nullable.
    pub cast: Option<LogicalType>,
}

/// A sink: the format that records are written in and a connector that takes the bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// Where the bytes go.
    pub connector: SinkConnector,
    /// What they are. None for `discard`.
    pub format: Option<Format>,
    /// The schema that it writes; that of its inputs, or of [`dead_letter_fields`].
    pub fields: Vec<Field>,
    /// Whether dead letters come here rather than batches of [`Node::inputs`].
    pub dead_letters: bool,
}

/// Where a sink's bytes go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SinkConnector {
    /// Files below a folder of a volume.
    File {
        /// The volume's name.
        volume: Name,
        /// The folder within the volume, with `/` between components; a missing one is made.
        path: String,
    },
    /// Standard output.
    Stdout,
    /// Nowhere.
    Discard,
}

/// The schema of dead letters.
///
/// `component` is the component's digest, `row` the record's position in the split, `input` the record as JSON with the columns that the job uses (or the
/// raw bytes of what could not be decoded, made valid UTF-8), `fuel` what the call that failed had used.
pub fn dead_letter_fields() -> Vec<Field> {
    let text = |name, nullable| Field::new(name, LogicalType::Utf8, nullable);
    vec![
        text("node", false),
        text("component", true),
        text("function", true),
        text("split", false),
        Field::new("row", LogicalType::UInt64, false),
        text("code", false),
        text("message", false),
        text("backtrace", true),
        Field::new("fuel", LogicalType::UInt64, true),
        text("input", true),
    ]
}
