//! From a prepared job to slots that may begin: connectors, the record of the run, and what an earlier start left behind.

use super::coordinator::Coordinator;
use super::{Prepared, RunOptions, Share, Stop};
use crate::checkpoint::{Identity, Start, State};
use crate::ledger::{Kept, Ledger, Listing, Local, Remote};
use crate::sink::{self, RunId, Sinks};
use crate::source::{self, Source};
use crate::volume::Volumes;
use cap_std::fs::Dir;
use lockgate_core::error::code;
use lockgate_core::plan::{NodeKind, Plan, SinkConnector, SourceConnector};
use lockgate_core::{Error, Name, Result};
use lockgate_executor::MAX_SLOTS;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The most slots of a job in all.
const MAX_PARALLELISM: u32 = 1_024;

/// A run that may begin.
pub(super) struct Begun {
    pub(super) coordinator: Coordinator,
    pub(super) share: Share,
    /// When the run began, in seconds since 1970.
    pub(super) clock: i64,
    /// Whether it goes on from an earlier commit.
    pub(super) resumed: bool,
}

/// Connects a job and opens its record. Whatever is recorded as committed is published then.
///
/// # Errors
/// As the connectors and the record say.
pub(super) async fn begin(job: &Prepared, options: &RunOptions<'_>, stop: &Stop) -> Result<Begun> {
    let (plan, volumes) = (&job.plan, options.volumes);
    match &options.record {
        Kept::Here { state, fresh } => {
            let sources = sources(plan, volumes, stop)?;
            // What cannot be read a second time cannot be gone on with either.
            let resumable = sources.values().all(|source| source.resumable());
            let mut state = open(&job.identity, state, *fresh || !resumable)?;
            let record = state.record();
            let (started, resumed) = (record.started, record.commits > 0);
            let sinks = sinks(plan, &record.run, 0, volumes, || state.spool().map(Some))?;
            state.recover(&sinks)?;
            let listing = listing(plan, &sources)?;
            let ledger = Local::new(state, listing.clone())?;
            // More slots than splits would have nothing to do.
            let splits = u32::try_from(ledger.left().0).unwrap_or(u32::MAX);
            let share = Share::whole(options.share.slots.min(MAX_SLOTS).min(splits).max(1));
            let coordinator = Coordinator::new(plan, sources, sinks, &listing, Box::new(ledger));
            Ok(Begun { coordinator, share, clock: seconds(started), resumed })
        }
        Kept::ByJobManager { client, fence } => {
            no_streams(plan)?;
            let share = options.share.check()?;
            let sources = sources(plan, volumes, stop)?;
            let listing = listing(plan, &sources)?;
            let nodes = plan.nodes.iter().filter_map(|node| match &node.kind {
                NodeKind::Sink(sink) => (sink.connector != SinkConnector::Discard).then(|| node.name.clone()),
                _ => None,
            });
            let (client, fence) = (Arc::clone(client), fence.clone());
            let epoch = fence.epoch;
            let ledger = Remote::open(client, fence, share, &listing, nodes.collect(), stop.clone()).await?;
            let sinks = sinks(plan, ledger.run(), epoch, volumes, || Ok(None))?;
            ledger.recover(&sinks)?;
            let (started, resumed) = (ledger.started(), ledger.resumed());
            let coordinator = Coordinator::new(plan, sources, sinks, &listing, Box::new(ledger));
            Ok(Begun { coordinator, share, clock: seconds(started), resumed })
        }
    }
}

impl Share {
    /// All slots of a job.
    pub fn whole(slots: u32) -> Self {
        Self { first: 0, slots, parallelism: slots }
    }

    /// The numbers of these slots.
    pub(crate) fn numbers(self) -> std::ops::Range<u32> {
        self.first..self.first.saturating_add(self.slots)
    }

    fn check(self) -> Result<Self> {
        let Self { first, slots, parallelism } = self;
        let end = first.checked_add(slots).filter(|end| *end <= parallelism);
        if end.is_none() || slots == 0 || slots > MAX_SLOTS || parallelism > MAX_PARALLELISM {
            let cause = format!("{slots} slots from number {first} on, of {parallelism} in all");
            return Err(Error::new(code::PLANE_MESSAGE, cause));
        }
        Ok(self)
    }
}

/// Refuses a job that needs somebody to sit before this machine.
///
/// # Errors
/// `LG0840`.
fn no_streams(plan: &Plan) -> Result<()> {
    for node in &plan.nodes {
        let stream = match &node.kind {
            NodeKind::Source(source) if source.connector == SourceConnector::Stdin => "stdin",
            NodeKind::Sink(sink) if sink.connector == SinkConnector::Stdout => "stdout",
            _ => continue,
        };
        let cause = format!("the connector {stream} is for jobs that run alone");
        return Err(Error::new(code::STREAM_ELSEWHERE, cause).at(node.name.as_str()));
    }
    Ok(())
}

fn seconds(microseconds: u64) -> i64 {
    i64::try_from(microseconds / 1_000_000).unwrap_or(i64::MAX)
}

fn open(identity: &Identity, root: &Path, anew: bool) -> Result<State> {
    if anew {
        return State::open_anew(root, identity);
    }
    match State::open(root, identity)? {
        (state, Start::Fresh | Start::Resume) => Ok(state),
        (state, Start::Finished) => state.restart(identity),
    }
}

pub(super) fn sources(plan: &Plan, volumes: &Volumes, stop: &Stop) -> Result<BTreeMap<u32, Box<dyn Source>>> {
    let mut sources = BTreeMap::new();
    for (at, node) in (0..).zip(&plan.nodes) {
        if let NodeKind::Source(source) = &node.kind {
            let connected = source::connect(&source.connector, volumes, &stop.halt)
                .map_err(|error| error.at(node.name.as_str()))?;
            sources.insert(at, connected);
        }
    }
    Ok(sources)
}

/// The sinks of a run, for what is written under the lease `lease`.
pub(super) fn sinks(
    plan: &Plan,
    run: &RunId,
    lease: u64,
    volumes: &Volumes,
    spool: impl Fn() -> Result<Option<Dir>>,
) -> Result<Sinks> {
    let mut sinks = Sinks::new();
    for node in &plan.nodes {
        if let NodeKind::Sink(sink) = &node.kind {
            let connected = sink::connect(&node.name, sink, run, lease, volumes, spool()?)?;
            sinks.insert(node.name.clone(), connected);
        }
    }
    Ok(sinks)
}

/// The splits of all sources.
pub(super) fn listing(plan: &Plan, sources: &BTreeMap<u32, Box<dyn Source>>) -> Result<Listing> {
    let mut listing = Listing::with_capacity(sources.len());
    for (at, source) in sources {
        let name = name(plan, *at)?;
        listing.push((name.clone(), source.splits().map_err(|error| error.at(name.as_str()))?));
    }
    Ok(listing)
}

fn name(plan: &Plan, at: u32) -> Result<&Name> {
    let node = plan.nodes.get(at as usize);
    node.map(|node| &node.name).ok_or_else(|| Error::new(code::INTERNAL, format!("node {at} is not in the plan")))
}
