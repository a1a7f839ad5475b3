//! What the slots of a run share: the sources, the sinks, and the one record of commits.
//!
//! Wherever the record is kept, a slot reads only what this machine's own listing of the source has: what a record names
//! is looked up there, and once more in a new listing, since another TaskManager may have listed later.

use crate::checkpoint::{Change, Output, Pending, Position, Progress};
use crate::job::Report;
use crate::ledger::{Ledger, Listing};
use crate::sink::{Prepared, Sinks, Writer};
use crate::source::{Bytes, Source, Split};
use lockgate_core::error::code;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::{Error, Name, Result};
use lockgate_executor::protocol::{SplitPosition, Usage};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A slot's writers by the plan's indexes of their sinks.
pub(super) type Writers = BTreeMap<u32, Box<dyn Writer>>;

/// What the slots of a run share.
pub(super) struct Coordinator {
    sources: BTreeMap<u32, Box<dyn Source>>,
    sinks: Sinks,
    /// By the plan's index.
    names: Vec<Name>,
    /// Splits without an end.
    endless: usize,
    /// All splits that were found, by source and name.
    listed: Mutex<BTreeMap<(u32, String), Split>>,
    ledger: Box<dyn Ledger>,
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
        listing: &Listing,
        ledger: Box<dyn Ledger>,
    ) -> Self {
        let names: Vec<Name> = plan.nodes.iter().map(|node| node.name.clone()).collect();
        // Both are in the plan's order.
        let listed = || sources.iter().zip(listing).map(|((at, source), (_, splits))| (*at, source, splits));
        let endless = listed().filter(|(_, source, _)| source.endless()).map(|(_, _, splits)| splits.len()).sum();
        let by_name = |(at, _, splits)| {
            let splits: &Vec<Split> = splits;
            splits.iter().map(move |split| ((at, split.name.clone()), split.clone()))
        };
        let listed = Mutex::new(listed().flat_map(by_name).collect());
        Self { sources, sinks, names, endless, listed, ledger }
    }

    /// Takes back every split that was handed out and is not committed to its end, for slots that begin again.
    pub(super) fn begin_again(&self) -> Result<()> {
        self.ledger.begin_again(&self.sinks)
    }

    /// How often something was committed.
    pub(super) fn commits(&self) -> u64 {
        self.ledger.commits()
    }

    /// Whether what was read can be read again.
    pub(super) fn resumable(&self) -> bool {
        self.sources.values().all(|source| source.resumable())
    }

    /// How many splits were to be read when the run began, and their bytes if all are known.
    pub(super) fn outlook(&self) -> (usize, Option<u64>) {
        self.ledger.left()
    }

    /// Refuses a number of slots with which some splits would never be read: one without an end keeps its slot.
    ///
    /// # Errors
    /// `LG0812`.
    pub(super) fn check_slots(&self, slots: u32) -> Result<()> {
        // One without an end is never finished.
        let kept = self.endless;
        let others = self.ledger.left().0.saturating_sub(kept);
        let needed = kept.saturating_add(others.min(1));
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
        Ok((writers, self.ledger.last(slot)))
    }

    /// The next split that nobody reads, for `slot`.
    pub(super) fn next_split(&self, slot: u32) -> Result<Option<NextSplit>> {
        let Some((node, Pending { split, position })) = self.ledger.claim(slot)? else { return Ok(None) };
        let source = self.find(&node, &split)?;
        let connected =
            self.sources.get(&source).ok_or_else(|| Error::new(code::INTERNAL, format!("no source {source}")))?;
        // Opened outside of the lock: a slow file system holds up this slot alone.
        let bytes = connected.open(&split).map_err(|error| error.at(split.name.clone()))?;
        Ok(Some(NextSplit { source, name: split.name, bytes, position }))
    }

    /// The source of a split that it has listed just so.
    ///
    /// # Errors
    /// `LG1440` if it has not; as [`Source::splits`] if it cannot be listed again.
    fn find(&self, node: &Name, split: &Split) -> Result<u32> {
        let wrong = |cause: String| Error::new(code::RECORD_UNBELIEVED, cause).at(node.as_str());
        let source = self.sources.iter().find(|(at, _)| self.names.get(**at as usize) == Some(node));
        let (at, source) = source.ok_or_else(|| wrong(format!("{node} is not a source of the job")))?;
        let key = (*at, split.name.clone());
        let mut known = self.lock().get(&key).cloned();
        if known.is_none() {
            let listed = source.splits().map_err(|error| error.at(node.as_str()))?;
            known = listed.into_iter().find(|listed| listed.name == split.name);
            if let Some(split) = &known {
                self.lock().insert(key, split.clone());
            }
        }
        match known {
            Some(known) if known == *split => Ok(*at),
            Some(_) => Err(wrong(format!("{:?} has other content here than is recorded", split.name))),
            None => Err(wrong(format!("{:?} is none of the source's splits", split.name))),
        }
    }

    /// Makes an epoch of a slot durable: positions and outputs together.
    pub(super) fn commit(
        &self,
        slot: u32,
        epoch: u64,
        splits: Vec<SplitPosition>,
        prepared: Vec<(u32, Prepared)>,
    ) -> Result<()> {
        let mut progress = Vec::with_capacity(splits.len());
        for split in splits {
            let key = (split.source, split.name);
            let fingerprint = self.lock().get(&key).map(|split| split.fingerprint.clone()).unwrap_or_default();
            let position = if split.finished { Position::Finished } else { Position::At(split.position) };
            progress.push((self.name(key.0)?.clone(), key.1, Progress { fingerprint, position }));
        }
        let outputs = prepared.into_iter().map(|(at, prepared)| Ok(Output { node: self.name(at)?.clone(), prepared }));
        let change = Change { slot, epoch, splits: progress, prepared: outputs.collect::<Result<_>>()? };
        self.ledger.commit(change, &self.sinks)
    }

    /// How many commits a slot may be ahead of the record.
    pub(super) fn ahead(&self) -> usize {
        self.ledger.ahead()
    }

    /// Removes outputs that were prepared for a commit that nobody has asked for and nobody will.
    pub(super) fn discard(&self, prepared: Vec<(u32, Prepared)>) {
        let outputs = prepared.into_iter().filter_map(|(at, prepared)| {
            let node = self.names.get(at as usize)?.clone();
            Some(Output { node, prepared })
        });
        crate::ledger::discard(&outputs.collect::<Vec<_>>(), &self.sinks);
    }

    /// Notes how the run ended.
    pub(super) fn settle(&self, slots: Vec<Usage>) -> Result<Report> {
        Ok(Report { slots, finished: self.ledger.settle()? })
    }

    fn name(&self, at: u32) -> Result<&Name> {
        let name = self.names.get(at as usize);
        name.ok_or_else(|| Error::new(code::INTERNAL, format!("node {at} is not in the plan")))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(u32, String), Split>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
