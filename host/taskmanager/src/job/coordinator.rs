//! What the slots of a run share: the splits that are left, the sinks, and the one record of commits.

use crate::checkpoint::{Change, Output, Pending, Position, Progress, State};
use crate::job::Report;
use crate::sink::{Prepared, Sinks, Writer};
use crate::source::{Bytes, Source, Split};
use lockgate_core::error::code;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::{Error, Name, Result};
use lockgate_executor::protocol::{SplitPosition, Usage};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// A slot's writers by the plan's indexes of their sinks.
pub(super) type Writers = BTreeMap<u32, Box<dyn Writer>>;

/// What the slots of a run share.
pub(super) struct Coordinator {
    sources: BTreeMap<u32, Box<dyn Source>>,
    sinks: Sinks,
    /// All splits of the run, by source.
    splits: Vec<(u32, Vec<Split>)>,
    /// By the plan's index.
    names: Vec<Name>,
    shared: Mutex<Shared>,
}

struct Shared {
    state: State,
    left: VecDeque<(u32, Pending)>,
    /// What the position of every split that was handed out points into.
    fingerprints: BTreeMap<(u32, String), String>,
    /// Splits that are not finished.
    open: usize,
}

/// A split on its way to a slot.
pub(super) struct NextSplit {
    pub(super) source: u32,
    pub(super) name: String,
    pub(super) bytes: Box<dyn Bytes>,
    pub(super) position: Option<Vec<u8>>,
}

impl Coordinator {
    pub(super) fn new(
        plan: &Plan,
        sources: BTreeMap<u32, Box<dyn Source>>,
        sinks: Sinks,
        state: State,
    ) -> Result<Self> {
        let names: Vec<Name> = plan.nodes.iter().map(|node| node.name.clone()).collect();
        let mut splits = Vec::with_capacity(sources.len());
        for (at, source) in &sources {
            let name = name(&names, *at)?;
            splits.push((*at, source.splits().map_err(|error| error.at(name.as_str()))?));
        }
        let left = pending(&names, &splits, &state)?;
        let open = left.len();
        let shared = Shared { state, left, fingerprints: BTreeMap::new(), open };
        Ok(Self { sources, sinks, splits, names, shared: Mutex::new(shared) })
    }

    /// Takes back every split that was handed out and is not committed to its end, for slots that begin again.
    pub(super) fn begin_again(&self) -> Result<()> {
        let mut shared = self.lock();
        shared.left = pending(&self.names, &self.splits, &shared.state)?;
        shared.open = shared.left.len();
        Ok(())
    }

    /// How often something was committed.
    pub(super) fn commits(&self) -> u64 {
        self.lock().state.record().commits
    }

    /// Whether what was read can be read again.
    pub(super) fn resumable(&self) -> bool {
        self.sources.values().all(|source| source.resumable())
    }

    /// How many splits are to be read, and their bytes if all are known.
    pub(super) fn outlook(&self) -> (usize, Option<u64>) {
        let shared = self.lock();
        (shared.left.len(), shared.left.iter().map(|(_, pending)| pending.split.size).sum())
    }

    /// Refuses a number of slots with which some splits would never be read: one without an end keeps its slot.
    ///
    /// # Errors
    /// `LG0812`.
    pub(super) fn check_slots(&self, slots: u32) -> Result<()> {
        let shared = self.lock();
        let endless = |(at, _): &&(u32, Pending)| self.sources.get(at).is_some_and(|source| source.endless());
        let kept = shared.left.iter().filter(endless).count();
        let others = shared.left.len() - kept;
        let needed = kept + others.min(1);
        if kept == 0 || slots as usize >= needed {
            return Ok(());
        }
        let cause =
            format!("{kept} splits without an end and {others} others need {needed} slots, the job has {slots}");
        let help = format!("let `parallelism` under [job] reach {needed}, or give the source fewer splits");
        Err(Error::new(code::SPLITS_STARVE, cause).help(help))
    }

    /// A writer of `slot` for every sink, by the plan's index, and the last epoch that the slot has committed.
    pub(super) fn writers(&self, plan: &Plan, slot: u32) -> Result<(Writers, u64)> {
        let mut writers = BTreeMap::new();
        for (at, node) in (0..).zip(&plan.nodes) {
            if let (NodeKind::Sink(_), Some(sink)) = (&node.kind, self.sinks.get(&node.name)) {
                writers.insert(at, sink.writer(slot).map_err(|error| error.at(node.name.as_str()))?);
            }
        }
        Ok((writers, self.lock().state.record().next_epoch(slot).saturating_sub(1)))
    }

    /// The next split that nobody reads.
    pub(super) fn next_split(&self) -> Result<Option<NextSplit>> {
        let Some((source, pending)) = self.lock().left.pop_front() else { return Ok(None) };
        let connected =
            self.sources.get(&source).ok_or_else(|| Error::new(code::INTERNAL, format!("no source {source}")))?;
        // Opened outside of the lock: a slow file system holds up this slot alone.
        let bytes = connected.open(&pending.split).map_err(|error| error.at(pending.split.name.clone()))?;
        let Pending { split, position } = pending;
        self.lock().fingerprints.insert((source, split.name.clone()), split.fingerprint);
        Ok(Some(NextSplit { source, name: split.name, bytes, position }))
    }

    /// Makes an epoch of a slot durable: positions and outputs together.
    pub(super) fn commit(
        &self,
        slot: u32,
        epoch: u64,
        splits: Vec<SplitPosition>,
        prepared: Vec<(u32, Prepared)>,
    ) -> Result<()> {
        let mut shared = self.lock();
        let finished = splits.iter().filter(|split| split.finished).count();
        let mut progress = Vec::with_capacity(splits.len());
        for split in splits {
            let key = (split.source, split.name);
            let fingerprint = shared.fingerprints.get(&key).cloned().unwrap_or_default();
            let position = if split.finished { Position::Finished } else { Position::At(split.position) };
            progress.push((name(&self.names, key.0)?.clone(), key.1, Progress { fingerprint, position }));
        }
        let outputs =
            prepared.into_iter().map(|(at, prepared)| Ok(Output { node: name(&self.names, at)?.clone(), prepared }));
        let change = Change { slot, epoch, splits: progress, prepared: outputs.collect::<Result<_>>()? };
        shared.state.commit(vec![change], &self.sinks)?;
        shared.open = shared.open.saturating_sub(finished);
        Ok(())
    }

    /// Notes how the run ended.
    pub(super) fn settle(&self, slots: Vec<Usage>) -> Result<Report> {
        let mut shared = self.lock();
        let finished = shared.open == 0;
        shared.state.settle(finished)?;
        Ok(Report { slots, finished })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of these splits.
fn pending(names: &[Name], splits: &[(u32, Vec<Split>)], state: &State) -> Result<VecDeque<(u32, Pending)>> {
    let mut left = VecDeque::new();
    for (at, splits) in splits {
        let pending = state.record().pending(name(names, *at)?, splits.clone())?;
        left.extend(pending.into_iter().map(|pending| (*at, pending)));
    }
    Ok(left)
}

fn name(names: &[Name], at: u32) -> Result<&Name> {
    names.get(at as usize).ok_or_else(|| Error::new(code::INTERNAL, format!("node {at} is not in the plan")))
}
