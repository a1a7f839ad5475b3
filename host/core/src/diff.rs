//! What a job may do, and what an upgrade changes of that, in words that a security reviewer understands.
//!
//! Both are computed from the manifest alone, because the manifest is what is signed and enforced.

use crate::grant::{Mode, ResourceKind, Touch};
use crate::human;
use crate::limits::{LIMITS, Limits};
use crate::manifest::{FAIL, Manifest, Parallelism, Parameter};
use crate::name::Name;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What changes from one manifest to another.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diff {
    /// What the new one touches and the old one did not. A path is compared as it is written, so that a narrower glob
    /// counts as new: a reviewer looks once too often rather than once too seldom.
    pub touches: Vec<Touch>,
    /// What the old one touched and the new one does not.
    pub dropped: Vec<Touch>,
    /// Limits with another value.
    pub limits: Vec<LimitChange>,
    /// Components by name.
    pub components: Changes,
    /// Sources, operators and sinks: the graph.
    pub nodes: Changes,
    /// Parameters.
    pub parameters: Changes,
    /// The range of the parallelism before and after, if it changes.
    pub parallelism: Option<(Parallelism, Parallelism)>,
    /// When the job is started again after a failure, before and after, if that changes.
    pub restart: Option<(String, String)>,
    /// How many rows that failed a JobManager is shown at once, before and after, if that changes.
    pub samples: Option<(u32, u32)>,
    /// The version before and after.
    pub version: (u64, u64),
}

/// A limit with another value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct LimitChange {
    /// Its key in the manifest's JSON form.
    pub limit: &'static str,
    /// Its value before, defaults included.
    pub old: u64,
    /// Its value after.
    pub new: u64,
}

/// Named things that came, went or changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Changes {
    /// Only in the new one.
    pub added: Vec<Name>,
    /// Only in the old one.
    pub removed: Vec<Name>,
    /// In both, yet not alike.
    pub changed: Vec<Name>,
}

impl Changes {
    fn of<T: PartialEq>(old: &BTreeMap<&Name, T>, new: &BTreeMap<&Name, T>) -> Self {
        let only = |a: &BTreeMap<&Name, T>, b: &BTreeMap<&Name, T>| -> Vec<Name> {
            a.keys().filter(|name| !b.contains_key(*name)).map(|name| (*name).clone()).collect()
        };
        let changed = new.iter().filter(|(name, value)| old.get(*name).is_some_and(|before| before != *value));
        Self {
            added: only(new, old),
            removed: only(old, new),
            changed: changed.map(|(name, _)| (*name).clone()).collect(),
        }
    }

    fn lines(&self, what: &str, lines: &mut Vec<String>) {
        for (verb, names) in [("adds", &self.added), ("removes", &self.removed), ("changes", &self.changed)] {
            lines.extend(names.iter().map(|name| format!("{verb} {what} {name}")));
        }
    }
}

/// A node of whatever kind, for comparing.
#[derive(PartialEq)]
enum AnyNode<'m> {
    Source(&'m crate::manifest::Source),
    Operator(&'m crate::manifest::Operator),
    Sink(&'m crate::manifest::Sink),
}

/// What changes from `old` to `new`. That a component's bytes changed cannot be seen here: digests are compared by
/// whoever has both bundles.
pub fn diff(old: &Manifest, new: &Manifest) -> Diff {
    let (before, after) = (old.touches(), new.touches());
    let only = |a: &[Touch], b: &[Touch]| a.iter().filter(|touch| !b.contains(touch)).cloned().collect();
    let limits = Limits::with(&old.limits).entries().into_iter().zip(Limits::with(&new.limits).entries());
    let (range, new_range) = (old.job.parallelism, new.job.parallelism);
    let samples = [old, new].map(|manifest| manifest.job.sample_failed_rows.unwrap_or_default());
    Diff {
        touches: only(&after, &before),
        dropped: only(&before, &after),
        limits: limits
            .filter(|((_, old), (_, new))| old != new)
            .map(|((limit, old), (_, new))| LimitChange { limit, old, new })
            .collect(),
        // A component's path is the author's affair and never signed.
        components: Changes::of(&names(&old.component), &names(&new.component)),
        nodes: Changes::of(&nodes(old), &nodes(new)),
        parameters: Changes::of(&old.parameters.iter().collect(), &new.parameters.iter().collect()),
        parallelism: (range != new_range).then_some((range, new_range)),
        restart: Some((restarts(old), restarts(new))).filter(|(old, new)| old != new),
        samples: Some(samples.into()).filter(|(old, new)| old != new),
        version: (old.job.version, new.job.version),
    }
}

/// When the job is started again after a failure, in words.
fn restarts(manifest: &Manifest) -> String {
    manifest.restart_strategy().map_or_else(|error| error.cause().to_owned(), |strategy| strategy.to_string())
}

fn names<T>(map: &BTreeMap<Name, T>) -> BTreeMap<&Name, ()> {
    map.keys().map(|name| (name, ())).collect()
}

fn nodes(manifest: &Manifest) -> BTreeMap<&Name, AnyNode<'_>> {
    let sources = manifest.source.iter().map(|(name, node)| (name, AnyNode::Source(node)));
    let operators = manifest.operator.iter().map(|(name, node)| (name, AnyNode::Operator(node)));
    sources.chain(operators).chain(manifest.sink.iter().map(|(name, node)| (name, AnyNode::Sink(node)))).collect()
}

impl Diff {
    /// The changes in words, the newly touched first; none if nothing but the version changes.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.touches.iter().map(|touch| format!("newly {}", describe(touch))).collect();
        lines.extend(self.dropped.iter().map(|touch| format!("no longer {}", describe(touch))));
        for change in &self.limits {
            let Some(limit) = LIMITS.iter().find(|limit| limit.key == change.limit) else { continue };
            let verb = if change.new > change.old { "raises" } else { "lowers" };
            let (old, new) = (limit.unit.show(change.old), limit.unit.show(change.new));
            lines.push(format!("{verb} limit {} from {old} to {new}", limit.toml_key()));
        }
        if let Some((old, new)) = self.parallelism {
            lines.push(format!("changes the parallelism from {} to {}", range(old), range(new)));
        }
        if let Some((_, new)) = self.samples {
            lines.push(shown_rows(new));
        }
        if let Some((old, new)) = &self.restart {
            lines.push(format!("restarts after a failure: {new} (before: {old})"));
        }
        self.components.lines("component", &mut lines);
        self.nodes.lines("node", &mut lines);
        self.parameters.lines("parameter", &mut lines);
        lines
    }
}

/// Everything that the job may do, a line each; `imports` are those of each component.
pub fn capabilities(manifest: &Manifest, imports: &BTreeMap<Name, Vec<String>>) -> Vec<String> {
    let mut lines: Vec<String> = manifest.touches().iter().map(describe).collect();
    for component in manifest.component.keys() {
        lines.push(calls(manifest, component));
        let foreign = imports.get(component).into_iter().flatten().filter(|import| !is_known(import));
        lines.extend(foreign.map(|import| format!("component {component} asks for {import}, which is not granted")));
    }
    if !manifest.component.is_empty() {
        let entries = Limits::with(&manifest.limits).entries();
        let limits = LIMITS
            .iter()
            .zip(entries)
            .map(|(limit, (_, value))| format!("{} {}", limit.toml_key(), limit.unit.show(value)));
        lines.push(format!("each instance of a component is held to: {}", limits.collect::<Vec<_>>().join(", ")));
    }
    lines.push(format!("runs on {}", range(manifest.job.parallelism)));
    lines.extend(manifest.parameters.iter().map(|(name, parameter)| settable(name, parameter)));
    lines.push(failures(manifest));
    lines.extend(manifest.job.sample_failed_rows.map(shown_rows));
    lines.push(format!("restarts after a failure: {}", restarts(manifest)));
    lines
}

fn describe(touch: &Touch) -> String {
    match (touch.kind, touch.mode) {
        (ResourceKind::Volume, Mode::Read) => format!("reads files {} of volume {}", touch.path, touch.name),
        (ResourceKind::Volume, Mode::Write) => format!("writes files below {} of volume {}", touch.path, touch.name),
        (ResourceKind::Stream, Mode::Read) => "reads standard input".into(),
        (ResourceKind::Stream, Mode::Write) => "writes standard output".into(),
    }
}

fn calls(manifest: &Manifest, component: &Name) -> String {
    let functions: BTreeSet<&str> = manifest
        .operator
        .values()
        .filter_map(|operator| operator.function.as_deref()?.split_once('/'))
        .filter(|(called, _)| *called == component.as_str())
        .map(|(_, function)| function)
        .collect();
    let functions = functions.into_iter().collect::<Vec<_>>().join(", ");
    format!(
        "calls component {component} ({functions}): no files, no network, no secrets, no clock or randomness of the \
         machine; it sees the columns of its arguments and its settings, and may write log lines"
    )
}

/// Whether an import is one of those that every component gets: ours, and WASI's, whose files and sockets refuse.
fn is_known(import: &str) -> bool {
    let package = import.split('/').next().unwrap_or_default();
    matches!(
        package,
        "lockgate:udf" | "wasi:cli" | "wasi:clocks" | "wasi:filesystem" | "wasi:io" | "wasi:random" | "wasi:sockets"
    )
}

fn range(parallelism: Parallelism) -> String {
    match parallelism {
        Parallelism { min: 1, max: 1 } => "1 slot".into(),
        Parallelism { min, max } if min == max => format!("{min} slots"),
        Parallelism { min, max } => format!("{min} to {max} slots"),
    }
}

fn settable(name: &Name, parameter: &Parameter) -> String {
    let mut bounds = parameter.kind.clone();
    if let Some(min) = &parameter.min {
        bounds += &format!(", at least {min}");
    }
    if let Some(max) = &parameter.max {
        bounds += &format!(", at most {max}");
    }
    if let Some(allowed) = &parameter.one_of {
        bounds += &format!(", one of {}", allowed.join(", "));
    }
    if let Some(length) = parameter.max_length {
        bounds += &format!(", at most {} long", human::bytes(length.into()));
    }
    format!("whoever submits the job may set {name} ({bounds})")
}

fn shown_rows(samples: u32) -> String {
    match samples {
        0 => "shows a JobManager no row that fails".into(),
        1 => "shows a JobManager a row that fails, from time to time".into(),
        _ => format!("shows a JobManager up to {samples} rows that fail, from time to time"),
    }
}

fn failures(manifest: &Manifest) -> String {
    let policies = manifest
        .operator
        .values()
        .flat_map(|operator| [&operator.on_error, &operator.on_overrun])
        .chain(manifest.source.values().map(|source| &source.on_error));
    let sinks: BTreeSet<&str> = policies.flatten().map(|name| name.as_str()).filter(|name| *name != FAIL).collect();
    if sinks.is_empty() {
        return "a row that fails fails the job".into();
    }
    let sinks = sinks.into_iter().collect::<Vec<_>>().join(", ");
    format!("rows that fail are written to {sinks}, where the manifest says so; elsewhere they fail the job")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
        [job]
        tenant = "acme"
        name = "late"
        version = 1
        [component.delays]
        [source.flights]
        connector = "file"
        volume = "flights"
        path = "2013/*.parquet"
        [operator.score]
        input = "flights"
        function = "delays/score"
        on-error = "dead"
        [sink.late]
        input = "score"
        connector = "stdout"
        [sink.dead]
        connector = "discard"
        [parameters.weight]
        type = "decimal"
        min = 0
        max = 1
    "#;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse_toml(text, "lockgate.toml").unwrap()
    }

    #[test]
    fn nothing_changes_but_the_version() {
        let new = OLD
            .replace("version = 1", "version = 2")
            .replace("[component.delays]", "[component.delays]\npath = \"x.wasm\"");
        let diff = diff(&manifest(OLD), &manifest(&new));
        assert_eq!(diff.lines(), Vec::<String>::new());
        assert_eq!(diff.version, (1, 2));
    }

    #[test]
    fn an_upgrade_shows_what_it_newly_touches() {
        let new = OLD
            .replace("2013/*", "*/*")
            .replace("version = 1", "version = 2\nparallelism = 4\nsample-failed-rows = 5")
            .replace("score\"\n", "rate\"\n")
            + "[restart]\nstrategy = \"none\"\n[limits]\nmemory = \"1 GiB\"\ndeadline = \"1 s\"\n[component.more]\n[sink.copy]\ninput = \"flights\"\nconnector = \"file\"\nvolume = \"results\"\npath = \"copy/\"\n";
        let lines = diff(&manifest(OLD), &manifest(&new)).lines();
        assert_eq!(
            lines,
            [
                "newly reads files */*.parquet of volume flights",
                "newly writes files below copy of volume results",
                "no longer reads files 2013/*.parquet of volume flights",
                "raises limit memory from 64 MiB to 1 GiB",
                "lowers limit deadline from 10 s to 1 s",
                "changes the parallelism from 1 slot to 4 slots",
                "shows a JobManager up to 5 rows that fail, from time to time",
                "restarts after a failure: none (before: without end, after 1 s to 1 min)",
                "adds component more",
                "adds node copy",
                "changes node flights",
                "changes node late",
                "changes node score",
            ]
        );
    }

    #[test]
    fn capabilities_are_in_words() {
        let imports = BTreeMap::from([(
            Name::new("delays").unwrap(),
            vec!["wasi:cli/environment@0.2.6".to_owned(), "acme:db/query".to_owned()],
        )]);
        let lines = capabilities(&manifest(OLD), &imports);
        let has = |text: &str| assert!(lines.iter().any(|line| line.contains(text)), "{text}: {lines:#?}");
        has("reads files 2013/*.parquet of volume flights");
        has("writes standard output");
        has("calls component delays (score): no files, no network");
        has("component delays asks for acme:db/query, which is not granted");
        has("memory 64 MiB, fuel-per-batch 10 M, fuel-per-record 100 k");
        has("may set weight (decimal, at least 0, at most 1)");
        has("restarts after a failure: without end, after 1 s to 1 min");
        has("rows that fail are written to dead");
        assert!(!lines.iter().any(|line| line.contains("wasi:cli")));
    }
}
