//! Makes a [`Plan`] of a manifest and what its components describe: every name resolved, every column typed, every
//! setting filled in, so that whatever can be refused is refused before anything runs.
//!
//! Errors are collected; a node whose input could not be typed is passed over, so that one mistake gives one message.

mod casts;
mod connectors;
mod formats;
mod functions;
mod graph;
mod nexmark;
mod parameters;
mod prune;
mod select;

pub use casts::{Cast, cast};
pub use nexmark::nexmark_fields;

use crate::error::{Error, code};
use crate::human;
use crate::limits::Limits;
use crate::manifest::{self, Manifest};
use crate::name::Name;
use crate::plan::{Edge, Format, Node, NodeKind, OnError, Output, Plan, dead_letter_fields};
use crate::suggest;
use crate::types::{Field, FunctionDescription};
use graph::{Draft, Graph, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// Errors beyond this many are dropped: nobody reads them.
const MAX_ERRORS: usize = 100;
/// The most values in a batch. A null costs its sender three bytes and its column sixteen, so that a small file could
/// otherwise become a large batch.
const MAX_CELLS: usize = 1 << 23;
/// The most columns of all nodes together.
const MAX_TOTAL_COLUMNS: usize = 65_536;
/// Rows in a full batch, if the manifest does not say.
const BATCH_ROWS: u32 = 8_192;
/// Milliseconds between commits, if the manifest does not say.
const CHECKPOINT_INTERVAL: u64 = 10_000;

/// Makes plans.
#[derive(Clone, Copy, Debug)]
pub struct Planner;

impl Planner {
    /// The format of a `file` source, for whoever infers its schema; none if what the manifest says of it is wrong.
    pub fn file_format(source: &manifest::Source) -> Option<Format> {
        connectors::file_format(source)
    }

    /// Checks `manifest` against what its components describe (in the order of their `describe`) and resolves it with
    /// the values given for its parameters.
    ///
    /// # Errors
    /// As many as can be told at once: `LG0108` to `LG0123` for the manifest by itself, `LG0203` to `LG0240` for the
    /// graph. Their places are `operator score` and the like.
    pub fn plan(
        manifest: &Manifest,
        descriptions: &BTreeMap<Name, Vec<FunctionDescription>>,
        parameters: &BTreeMap<Name, String>,
    ) -> Result<Plan, Vec<Error>> {
        let mut problems = Problems(manifest.check());
        let nodes = manifest.source.len() + manifest.operator.len() + manifest.sink.len();
        if nodes > Plan::MAX_NODES {
            let cause = format!("the graph has {nodes} nodes, more than {}", Plan::MAX_NODES);
            problems.add("the graph", Error::new(code::TOO_MANY, cause));
            return Err(problems.0);
        }
        let values = parameters::resolve(manifest, parameters, &mut problems);
        functions::check_components(manifest, descriptions, &mut problems);
        let graph = Graph::build(manifest, &mut problems);
        let batch_rows = manifest.job.batch_rows.unwrap_or(BATCH_ROWS);
        let mut typing =
            Typing { graph: &graph, descriptions, values, problems, done: BTreeMap::new(), columns: 0, batch_rows };
        for draft in &graph.order {
            if typing.problems.is_full() {
                break;
            }
            typing.node(*draft);
        }
        let Typing { problems, mut done, .. } = typing;
        if !problems.0.is_empty() {
            return Err(problems.0);
        }
        let mut plan = Plan {
            nodes: graph.order.iter().filter_map(|draft| done.remove(draft)).collect(),
            limits: Limits::with(&manifest.limits),
            batch_rows,
            checkpoint_interval: manifest.job.checkpoint_interval_ms.unwrap_or(CHECKPOINT_INTERVAL),
            samples: manifest.job.sample_failed_rows.unwrap_or_default(),
        };
        prune::prune(&mut plan);
        Ok(plan)
    }
}

/// The errors so far.
struct Problems(Vec<Error>);

impl Problems {
    fn add(&mut self, place: &str, error: Error) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(error.at(place));
        }
    }

    /// Whether there are so many that looking for more is not worth the time.
    fn is_full(&self) -> bool {
        self.0.len() >= MAX_ERRORS
    }
}

/// What comes out of a node's typing.
struct Typed {
    kind: NodeKind,
    outputs: Vec<Output>,
}

impl Typed {
    /// A node with one output, called `out`.
    fn single(kind: NodeKind, fields: Vec<Field>) -> Self {
        Self { kind, outputs: vec![Output { name: "out".into(), fields }] }
    }
}

/// Types the nodes one after the other, inputs first.
struct Typing<'m, 'g> {
    graph: &'g Graph<'m>,
    descriptions: &'m BTreeMap<Name, Vec<FunctionDescription>>,
    values: BTreeMap<&'m Name, String>,
    problems: Problems,
    /// By index of the draft.
    done: BTreeMap<usize, Node>,
    columns: usize,
    batch_rows: u32,
}

impl<'m> Typing<'m, '_> {
    fn node(&mut self, index: usize) {
        let Some(draft) = self.graph.nodes.get(index) else { return };
        let place = draft.place();
        let Some((inputs, typed)) = self.typed(draft, &place) else { return };
        for output in &typed.outputs {
            self.columns = self.columns.saturating_add(output.fields.len());
            if output.fields.is_empty() {
                let error = Error::new(code::NO_COLUMNS, format!("output {} has no columns", output.name));
                return self.problems.add(&place, error.help("keep at least one column"));
            }
            let cells = (self.batch_rows as usize).saturating_mul(output.fields.len());
            if output.fields.len() <= Plan::MAX_COLUMNS && cells > MAX_CELLS {
                let (rows, columns) = (human::grouped(self.batch_rows.into()), output.fields.len());
                let cause = format!("batches of {rows} rows with {columns} columns are too large");
                let help = "choose fewer columns with `keep` or `select`, or a lower `batch-rows` under [job]";
                return self.problems.add(&place, Error::new(code::TOO_MANY, cause).help(help));
            }
            if output.fields.len() > Plan::MAX_COLUMNS {
                let cause =
                    format!("output {} has {} columns", output.name, human::grouped(output.fields.len() as u64));
                return self
                    .problems
                    .add(&place, Error::new(code::TOO_MANY, cause).help("choose fewer with `keep` or `select`"));
            }
        }
        if self.columns > MAX_TOTAL_COLUMNS {
            let cause = format!("the nodes up to here have more than {MAX_TOTAL_COLUMNS} columns in all");
            return self
                .problems
                .add(&place, Error::new(code::TOO_MANY, cause).help("choose fewer with `keep` or `select`"));
        }
        self.done.insert(index, Node { name: draft.name.clone(), inputs, kind: typed.kind, outputs: typed.outputs });
    }

    fn typed(&mut self, draft: &Draft<'m>, place: &str) -> Option<(Vec<Edge>, Typed)> {
        match draft.kind {
            Kind::Source(source) => {
                let on_error = self.on_error(source.on_error.as_ref());
                connectors::source(source, on_error, self.batch_rows, place, &mut self.problems)
                    .map(|typed| (Vec::new(), typed))
            }
            Kind::Operator(operator) => {
                let (edges, input) = self.input(draft, place)?;
                let (on_error, on_overrun) =
                    (self.on_error(operator.on_error.as_ref()), self.on_error(operator.on_overrun.as_ref()));
                let problems = &mut self.problems;
                let typed = match (&operator.function, &operator.select) {
                    (Some(function), None) => {
                        let config = parameters::config(operator, &self.values);
                        let call = functions::Call { operator, function, on_error, on_overrun, config };
                        functions::typed(call, &input, self.descriptions, place, problems)
                    }
                    (None, Some(columns)) => select::typed(operator, columns, &input, place, problems),
                    (function, _) => {
                        let which = if function.is_some() {
                            "both `function` and `select`"
                        } else {
                            "neither `function` nor `select`"
                        };
                        let error = Error::new(code::OPERATOR_KIND, format!("{place} has {which}"));
                        problems.add(place, error.help("an operator has exactly one of them"));
                        None
                    }
                };
                typed.map(|typed| (edges, typed))
            }
            Kind::Sink(sink) => {
                let dead_letters = draft.takes_dead_letters();
                let (edges, fields) =
                    if dead_letters { (Vec::new(), dead_letter_fields()) } else { self.input(draft, place)? };
                let sink = connectors::sink(sink, fields, dead_letters, place, &mut self.problems)?;
                Some((edges, Typed { kind: NodeKind::Sink(sink), outputs: Vec::new() }))
            }
        }
    }

    /// The node's inputs and the schema that they have in common; none if one of them could not be typed.
    fn input(&mut self, draft: &Draft<'m>, place: &str) -> Option<(Vec<Edge>, Vec<Field>)> {
        if draft.broken {
            return None;
        }
        let (mut edges, mut seen, mut union): (_, _, Option<(String, Vec<Field>)>) =
            (Vec::new(), BTreeSet::new(), None);
        for reference in &draft.inputs {
            let node = self.done.get(&reference.node)?;
            let index =
                reference.output.map_or(Some(0), |name| node.outputs.iter().position(|output| output.name == name));
            let Some((index, output)) = index.and_then(|index| Some((index, node.outputs.get(index)?))) else {
                let wanted = reference.output.unwrap_or_default();
                let error = Error::new(code::UNKNOWN_OUTPUT, format!("{} has no output {wanted:?}", node.name));
                let help = suggest::help(wanted, node.outputs.iter().map(|output| output.name.as_str()));
                self.problems.add(place, error.help(help));
                return None;
            };
            if !seen.insert((reference.node, index)) {
                let error = Error::new(
                    code::DUPLICATE_INPUT,
                    format!("{place} names output {} of {} twice", output.name, node.name),
                );
                self.problems.add(place, error.help("remove one of the two: its records would come twice"));
                return None;
            }
            let label = format!("{}.{}", node.name, output.name);
            edges.push(Edge {
                node: u32::try_from(self.graph.position(reference.node)?).ok()?,
                output: u32::try_from(index).ok()?,
            });
            match &mut union {
                None => union = Some((label, output.fields.clone())),
                Some((first, fields)) => {
                    if let Err(difference) = unite(fields, &output.fields) {
                        let error =
                            Error::new(code::UNION_MISMATCH, format!("{first} and {label} differ: {difference}"));
                        self.problems.add(place, error.help(format!("put a `select` between {label} and {place}")));
                        return None;
                    }
                }
            }
        }
        union.map(|(_, fields)| (edges, fields))
    }

    /// What `on-error` or `on-overrun` says; the graph has checked the name.
    fn on_error(&self, target: Option<&Name>) -> OnError {
        let index = self::target(target)
            .and_then(|name| self.graph.by_name.get(name.as_str()))
            .and_then(|draft| self.graph.position(*draft));
        index.and_then(|index| u32::try_from(index).ok()).map_or(OnError::Fail, OnError::DeadLetter)
    }
}

/// Makes `fields` the schema of both; only nullability may differ.
fn unite(fields: &mut [Field], other: &[Field]) -> Result<(), String> {
    if fields.len() != other.len() {
        return Err(format!("{} columns and {}", fields.len(), other.len()));
    }
    for (at, (field, other)) in fields.iter_mut().zip(other).enumerate() {
        if field.name != other.name || field.data_type != other.data_type {
            let at = at + 1;
            return Err(format!(
                "column {at} is `{}` ({}) in one and `{}` ({}) in the other",
                field.name, field.data_type, other.name, other.data_type
            ));
        }
        field.nullable |= other.nullable;
    }
    Ok(())
}

/// Checks names of columns: allowed, and each there once. `what` names the schema in messages.
fn check_columns(fields: &[Field], what: &str, place: &str, problems: &mut Problems) -> bool {
    let mut seen = BTreeSet::new();
    for field in fields {
        let name = &field.name;
        if name.is_empty() || name.len() > Field::MAX_NAME || name.chars().any(char::is_control) {
            let shown: String = name.chars().take(80).collect();
            problems.add(place, Error::new(code::INVALID_COLUMN, format!("{shown:?} of {what} cannot name a column")));
            return false;
        }
        if !seen.insert(name) {
            let error = Error::new(code::DUPLICATE_COLUMN, format!("column `{name}` is twice in {what}"));
            problems.add(place, error.help("rename or remove one of them"));
            return false;
        }
    }
    true
}

/// The index of the column `name` in `input`, or an error that says which columns there are.
fn column(name: &str, input: &[Field], what: &str, place: &str, problems: &mut Problems) -> Option<u32> {
    let found = input.iter().position(|field| field.name == name).and_then(|index| u32::try_from(index).ok());
    if found.is_none() && !problems.is_full() {
        let shown: String = name.chars().take(80).collect();
        let error = Error::new(
            code::UNKNOWN_COLUMN,
            format!("{what} names column `{shown}`, which the input of {place} does not have"),
        );
        problems.add(place, error.help(suggest::help(name, input.iter().map(|field| field.name.as_str()))));
    }
    found
}

/// Refuses the options that are set though they mean nothing here.
fn refuse_options(options: &[(&str, bool)], why: &str, place: &str, problems: &mut Problems) {
    for (key, _) in options.iter().filter(|(_, set)| *set) {
        let error = Error::new(code::OPTION_NOT_APPLICABLE, format!("`{key}` does not apply to {why}"));
        problems.add(place, error.help(format!("remove `{key}`")));
    }
}

/// The sink that `on-error` or `on-overrun` names, if it is one.
fn target(name: Option<&Name>) -> Option<&Name> {
    name.filter(|name| name.as_str() != manifest::FAIL)
}

#[cfg(test)]
mod tests;
