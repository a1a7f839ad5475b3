//! The graph of names: who reads whom, in which order, and whether anything is left over.

use super::{Problems, target};
use crate::error::{Error, code};
use crate::manifest::{self, Manifest};
use crate::name::Name;
use crate::{human, suggest};
use std::collections::{BTreeMap, BTreeSet};

/// The most ways by which one record of a source can come to one node.
const MAX_PATHS: u64 = 1_024;

/// A node as the manifest has it.
#[derive(Clone, Copy)]
pub(super) enum Kind<'m> {
    Source(&'m manifest::Source),
    Operator(&'m manifest::Operator),
    Sink(&'m manifest::Sink),
}

/// An input as the manifest has it.
pub(super) struct Reference<'m> {
    /// Index of the draft.
    pub(super) node: usize,
    /// Its output; the main one if absent.
    pub(super) output: Option<&'m str>,
}

/// A node whose names are resolved.
pub(super) struct Draft<'m> {
    pub(super) name: &'m Name,
    pub(super) kind: Kind<'m>,
    pub(super) inputs: Vec<Reference<'m>>,
    /// Whether an input could not be resolved.
    pub(super) broken: bool,
}

impl Draft<'_> {
    /// As messages show it: `operator score`.
    pub(super) fn place(&self) -> String {
        let kind = match self.kind {
            Kind::Source(_) => "source",
            Kind::Operator(_) => "operator",
            Kind::Sink(_) => "sink",
        };
        format!("{kind} {}", self.name)
    }

    /// Whether it is a sink without an input.
    pub(super) fn takes_dead_letters(&self) -> bool {
        matches!(self.kind, Kind::Sink(sink) if sink.input.is_none() && sink.inputs.is_none())
    }
}

/// The drafts with their order.
pub(super) struct Graph<'m> {
    pub(super) nodes: Vec<Draft<'m>>,
    /// Indexes of drafts: sources, then operators behind their inputs, then sinks. What stands in or behind a cycle is
    /// left out.
    pub(super) order: Vec<usize>,
    pub(super) by_name: BTreeMap<&'m str, usize>,
    positions: BTreeMap<usize, usize>,
}

impl<'m> Graph<'m> {
    /// Resolves the names of `manifest`.
    pub(super) fn build(manifest: &'m Manifest, problems: &mut Problems) -> Self {
        let sources = manifest.source.iter().map(|(name, source)| (name, Kind::Source(source)));
        let operators = manifest.operator.iter().map(|(name, operator)| (name, Kind::Operator(operator)));
        let sinks = manifest.sink.iter().map(|(name, sink)| (name, Kind::Sink(sink)));
        let all = sources.chain(operators).chain(sinks);
        let nodes: Vec<Draft<'m>> =
            all.map(|(name, kind)| Draft { name, kind, inputs: Vec::new(), broken: false }).collect();
        let mut graph = Self { nodes, order: Vec::new(), by_name: BTreeMap::new(), positions: BTreeMap::new() };
        graph.check_names(problems);
        graph.resolve(problems);
        graph.sort(problems);
        graph.check_paths(problems);
        graph.check_dead_letters(problems);
        graph.check_use(problems);
        graph
    }

    /// Where the draft stands in the plan.
    pub(super) fn position(&self, draft: usize) -> Option<usize> {
        self.positions.get(&draft).copied()
    }

    fn check_names(&mut self, problems: &mut Problems) {
        for (index, draft) in self.nodes.iter().enumerate() {
            let first = *self.by_name.entry(draft.name.as_str()).or_insert(index);
            if first != index {
                let other = self.nodes.get(first).map(Draft::place).unwrap_or_default();
                let error =
                    Error::new(code::DUPLICATE_NODE, format!("{other} and {} have the same name", draft.place()));
                problems.add(&draft.place(), error.help("rename one of them: all nodes share one space of names"));
            }
            if matches!(draft.kind, Kind::Sink(_)) && draft.name.as_str() == manifest::FAIL {
                let error = Error::new(code::RESERVED_NAME, "a sink cannot be called `fail`");
                problems.add(&draft.place(), error.help("rename it: `on-error = \"fail\"` means that the job fails"));
            }
        }
        let has = |wanted: fn(&Draft<'m>) -> bool| self.nodes.iter().any(wanted);
        let source = has(|draft| matches!(draft.kind, Kind::Source(_)));
        let sink = has(|draft| matches!(draft.kind, Kind::Sink(_)) && !draft.takes_dead_letters());
        if !source || !sink {
            let missing = if source { "sink with an input" } else { "source" };
            let help = if source { "add `[sink.NAME]` with `input = …`" } else { "add `[source.NAME]`" };
            problems.add("the graph", Error::new(code::EMPTY_GRAPH, format!("the job has no {missing}")).help(help));
        }
    }

    /// Fills in every node's inputs.
    fn resolve(&mut self, problems: &mut Problems) {
        let resolved: Vec<Option<Vec<Reference<'m>>>> =
            self.nodes.iter().map(|draft| self.references(draft, problems)).collect();
        for (draft, inputs) in self.nodes.iter_mut().zip(resolved) {
            draft.broken = inputs.is_none();
            draft.inputs = inputs.unwrap_or_default();
        }
    }

    fn references(&self, draft: &Draft<'m>, problems: &mut Problems) -> Option<Vec<Reference<'m>>> {
        let (input, inputs): (&'m Option<String>, &'m Option<Vec<String>>) = match draft.kind {
            Kind::Source(_) => return Some(Vec::new()),
            Kind::Operator(operator) => (&operator.input, &operator.inputs),
            Kind::Sink(sink) => (&sink.input, &sink.inputs),
        };
        let place = draft.place();
        let names: Vec<&'m str> = match (input, inputs) {
            (Some(_), Some(_)) => {
                let error = Error::new(code::AMBIGUOUS_INPUT, format!("{place} has both `input` and `inputs`"));
                problems.add(&place, error.help("keep one of them"));
                return None;
            }
            (Some(input), None) => vec![input],
            (None, Some(inputs)) => inputs.iter().map(String::as_str).collect(),
            (None, None) => Vec::new(),
        };
        if names.is_empty() && !draft.takes_dead_letters() {
            let error = Error::new(code::MISSING_INPUT, format!("{place} has no input"));
            problems.add(&place, error.help("add `input = \"NODE\"`"));
            return None;
        }
        let mut references = Vec::new();
        let mut whole = true;
        for name in names {
            if problems.is_full() {
                return None;
            }
            match self.reference(name, &place) {
                Ok(reference) => references.push(reference),
                Err(error) => {
                    problems.add(&place, error);
                    whole = false;
                }
            }
        }
        whole.then_some(references)
    }

    fn reference(&self, text: &'m str, place: &str) -> Result<Reference<'m>, Error> {
        let (name, output) = text.split_once('.').map_or((text, None), |(name, output)| (name, Some(output)));
        let Some(node) = self.by_name.get(name).copied() else {
            let shown: String = text.chars().take(80).collect();
            let readable = self.nodes.iter().filter(|draft| !matches!(draft.kind, Kind::Sink(_)));
            let help = suggest::help(name, readable.map(|draft| draft.name.as_str()));
            return Err(Error::new(code::UNKNOWN_NODE, format!("{place} reads {shown:?}, which is no node")).help(help));
        };
        match self.nodes.get(node).map(|draft| draft.kind) {
            Some(Kind::Sink(_)) => {
                Err(Error::new(code::INPUT_IS_SINK, format!("{place} reads {name}, which is a sink"))
                    .help(format!("nothing comes out of a sink: read what {name} reads")))
            }
            _ => Ok(Reference { node, output }),
        }
    }

    /// Kahn's algorithm over the operators, the least name first, so that equal manifests give equal plans.
    fn sort(&mut self, problems: &mut Problems) {
        let of = |wanted: fn(&Kind<'m>) -> bool| -> Vec<usize> {
            self.nodes.iter().enumerate().filter(|(_, draft)| wanted(&draft.kind)).map(|(index, _)| index).collect()
        };
        let mut order = of(|kind| matches!(kind, Kind::Source(_)));
        let sinks = of(|kind| matches!(kind, Kind::Sink(_)));
        let mut waiting: BTreeSet<usize> = of(|kind| matches!(kind, Kind::Operator(_))).into_iter().collect();
        let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut open: BTreeMap<usize, usize> = BTreeMap::new();
        for index in &waiting {
            let inputs = self.nodes.get(*index).map(|draft| draft.inputs.as_slice()).unwrap_or_default();
            for input in inputs.iter().filter(|input| waiting.contains(&input.node)) {
                readers.entry(input.node).or_default().push(*index);
                *open.entry(*index).or_default() += 1;
            }
        }
        let mut ready: BTreeSet<usize> = waiting.iter().copied().filter(|index| !open.contains_key(index)).collect();
        while let Some(next) = ready.pop_first() {
            waiting.remove(&next);
            order.push(next);
            for reader in readers.get(&next).into_iter().flatten() {
                if let Some(left) = open.get_mut(reader) {
                    *left -= 1;
                    if *left == 0 {
                        ready.insert(*reader);
                    }
                }
            }
        }
        if let Some(path) = self.cycle(&waiting) {
            let error = Error::new(code::CYCLE, format!("records would go round in a circle: {path}"));
            problems.add("the graph", error.help("let one of these operators read from a source instead"));
        }
        order.extend(sinks);
        self.positions = order.iter().enumerate().map(|(position, draft)| (*draft, position)).collect();
        self.order = order;
    }

    /// Where a graph forks and unites again, records come once for each way. Ways multiply from fork to fork, so that
    /// some eighty of them would keep a slot busy for ever with a single record, and no function's fuel would run out.
    fn check_paths(&self, problems: &mut Problems) {
        let mut paths: BTreeMap<usize, u64> = BTreeMap::new();
        for index in &self.order {
            let Some(draft) = self.nodes.get(*index) else { continue };
            let ways = |input: &Reference<'m>| paths.get(&input.node).copied().unwrap_or(0);
            let sum = draft.inputs.iter().map(ways).fold(0, u64::saturating_add);
            if sum > MAX_PATHS {
                let cause =
                    format!("records come to {} by more than {} ways", draft.place(), human::grouped(MAX_PATHS));
                let help = "fork less: a record that comes by several ways is written several times";
                return problems.add(&draft.place(), Error::new(code::TOO_MANY, cause).help(help));
            }
            paths.insert(*index, if matches!(draft.kind, Kind::Source(_)) { 1 } else { sum });
        }
    }

    /// A cycle among the drafts that could not be sorted, in the direction in which records would flow: `a → b → a`.
    fn cycle(&self, waiting: &BTreeSet<usize>) -> Option<String> {
        let mut path: Vec<usize> = Vec::new();
        let mut at = *waiting.first()?;
        while !path.contains(&at) {
            path.push(at);
            at = self.nodes.get(at)?.inputs.iter().map(|input| input.node).find(|node| waiting.contains(node))?;
        }
        let from = path.iter().position(|node| *node == at)?;
        let mut names: Vec<&str> =
            path.get(from..)?.iter().filter_map(|node| Some(self.nodes.get(*node)?.name.as_str())).collect();
        names.push(self.nodes.get(at)?.name.as_str());
        names.reverse();
        Some(names.join(" → "))
    }

    fn check_dead_letters(&self, problems: &mut Problems) {
        for (place, key, name) in self.dead_letters() {
            let found = self.by_name.get(name.as_str()).and_then(|index| self.nodes.get(*index));
            let error = match found {
                None => {
                    let sinks = self.nodes.iter().filter(|draft| draft.takes_dead_letters());
                    Error::new(code::UNKNOWN_NODE, format!("`{key}` of {place} names {name}, which is no node"))
                        .help(suggest::help(name, sinks.map(|draft| draft.name.as_str())))
                }
                Some(draft) if !matches!(draft.kind, Kind::Sink(_)) => {
                    Error::new(code::NOT_DEAD_LETTER_SINK, format!("`{key}` of {place} names {}", draft.place()))
                        .help("name a sink without `input`, or `fail`")
                }
                Some(draft) if !draft.takes_dead_letters() => Error::new(
                    code::DEAD_LETTER_SINK_HAS_INPUT,
                    format!("`{key}` of {place} names {name}, which has an input"),
                )
                .help("add a second sink, without `input`, for the dead letters"),
                Some(_) => continue,
            };
            problems.add(&place, error);
        }
    }

    /// `(place, key, sink)` of every dead-letter policy.
    fn dead_letters(&self) -> impl Iterator<Item = (String, &'static str, &'m Name)> {
        self.nodes.iter().flat_map(|draft| {
            let policies = match draft.kind {
                Kind::Source(source) => [("on-error", target(source.on_error.as_ref())), ("", None)],
                Kind::Operator(operator) => [
                    ("on-error", target(operator.on_error.as_ref())),
                    ("on-overrun", target(operator.on_overrun.as_ref())),
                ],
                Kind::Sink(_) => [("", None); 2],
            };
            policies.into_iter().filter_map(move |(key, name)| Some((draft.place(), key, name?)))
        })
    }

    fn check_use(&self, problems: &mut Problems) {
        let read: BTreeSet<usize> = self.nodes.iter().flat_map(|draft| &draft.inputs).map(|input| input.node).collect();
        let filled: BTreeSet<&str> = self.dead_letters().map(|(_, _, name)| name.as_str()).collect();
        for (index, draft) in self.nodes.iter().enumerate() {
            let (used, why) = match draft.kind {
                Kind::Sink(_) if draft.takes_dead_letters() => {
                    (filled.contains(draft.name.as_str()), "has no input and no node sends it dead letters")
                }
                Kind::Sink(_) => (true, ""),
                _ => (read.contains(&index), "is read by no node"),
            };
            if !used {
                let error = Error::new(code::UNUSED, format!("{} {why}", draft.place()));
                problems.add(&draft.place(), error.help("use it or remove it"));
            }
        }
    }
}
