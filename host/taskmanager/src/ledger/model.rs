//! A JobManager's record of one run in memory, for tests: it keeps the contract of [`lockgate_core::plane`], and the way to it
//! loses what it is told to.

use super::{Answer, LedgerClient};
use crate::job::Stop;
use lockgate_core::error::code;
use lockgate_core::plane::{
    Claim, Claimed, Commit, Committed, Fence, Open, Opened, Output, Position, Progress, Release, Split,
};
use lockgate_core::{Error, Name, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) const RUN: &str = "0123456789abcdef";

/// The record.
#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    epoch: u64,
    commits: u64,
    splits: BTreeMap<(Name, String), Entry>,
    slots: BTreeMap<u32, Commit>,
    unpublished: BTreeSet<Output>,
    /// The last claim of each slot under the lease, and what it was given unless that was given back.
    claims: BTreeMap<u32, (u64, Option<Claimed>)>,
}

struct Entry {
    split: Split,
    progress: Option<Position>,
    holder: Option<u32>,
}

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Answered,
    /// It does not arrive.
    Lost,
    /// It is carried out; the answer does not arrive.
    AnswerLost,
    /// Nobody ever hears of it again.
    Stuck {
        carried_out: bool,
    },
}

/// A request, as whoever decides its fate sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Open,
    Claim,
    Commit,
    Release,
}

/// The way from one TaskManager to the record.
pub(crate) struct Way {
    model: Model,
    fate: Box<dyn Fn(Asked) -> Fate + Send + Sync>,
    opened: fn(&mut Opened),
    claimed: fn(&mut Claimed),
    stuck: Stop,
}

impl Model {
    /// The next lease of the job.
    pub(crate) fn lease(&self) -> Fence {
        let mut record = self.lock();
        record.epoch += 1;
        record.claims.clear();
        record.splits.values_mut().for_each(|entry| entry.holder = None);
        Fence { id: "job".into(), epoch: record.epoch, session: String::new() }
    }

    /// Commits so far.
    pub(crate) fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// A way on which this happens.
    pub(crate) fn way(&self, fate: impl Fn(Asked) -> Fate + Send + Sync + 'static) -> Way {
        Way { model: self.clone(), fate: Box::new(fate), opened: |_| (), claimed: |_| (), stuck: Stop::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap()
    }
}

impl Way {
    /// A JobManager that lies.
    pub(crate) fn lying(self, opened: fn(&mut Opened), claimed: fn(&mut Claimed)) -> Self {
        Self { opened, claimed, ..self }
    }

    /// Cancels this run once a request is stuck.
    pub(crate) fn cancelling(self, stop: &Stop) -> Self {
        Self { stuck: stop.clone(), ..self }
    }

    fn go<'a, T: Send + 'a>(
        &'a self,
        asked: Asked,
        fence: &Fence,
        work: impl FnOnce(&mut Record) -> Result<T> + Send + 'a,
    ) -> Answer<'a, T> {
        let (fate, epoch) = ((self.fate)(asked), fence.epoch);
        let unreachable = || Err(Error::new(code::PLANE_UNREACHABLE, "lost on its way"));
        Box::pin(async move {
            let carry_out = || {
                let mut record = self.model.lock();
                match record.epoch == epoch {
                    true => work(&mut record),
                    false => Err(Error::new(code::FENCED, "the lease is over")),
                }
            };
            match fate {
                Fate::Answered => carry_out(),
                Fate::Lost => unreachable(),
                Fate::AnswerLost => {
                    drop(carry_out());
                    unreachable()
                }
                Fate::Stuck { carried_out } => {
                    if carried_out {
                        drop(carry_out());
                    }
                    self.stuck.cancel();
                    std::future::pending().await
                }
            }
        })
    }
}

impl LedgerClient for Way {
    fn open<'a>(&'a self, request: &'a Open) -> Answer<'a, Opened> {
        self.go(Asked::Open, &request.fence, |record| {
            let mut answer = record.open(request)?;
            (self.opened)(&mut answer);
            Ok(answer)
        })
    }

    fn claim<'a>(&'a self, request: &'a Claim) -> Answer<'a, Claimed> {
        self.go(Asked::Claim, &request.fence, |record| {
            let mut answer = record.claim(request)?;
            (self.claimed)(&mut answer);
            Ok(answer)
        })
    }

    fn commit<'a>(&'a self, request: &'a Commit) -> Answer<'a, Committed> {
        self.go(Asked::Commit, &request.fence, |record| record.commit(request))
    }

    fn release<'a>(&'a self, request: &'a Release) -> Answer<'a, ()> {
        self.go(Asked::Release, &request.fence, |record| {
            let held = request.first..request.first + request.slots;
            for slot in held.clone() {
                let last = record.claims.get(&slot).map_or(0, |(number, _)| *number);
                record.claims.insert(slot, (last.max(request.claims), None));
            }
            for entry in record.splits.values_mut() {
                entry.holder = entry.holder.filter(|slot| !held.contains(slot));
            }
            Ok(())
        })
    }
}

impl Record {
    fn open(&mut self, request: &Open) -> Result<Opened> {
        for (node, splits) in &request.splits {
            for split in splits {
                let key = (node.clone(), split.name.clone());
                let new = || Entry { split: split.clone(), progress: None, holder: None };
                if self.splits.entry(key).or_insert_with(new).split != *split {
                    return Err(conflict("another split of this name"));
                }
            }
        }
        let left = self.splits.values().filter(|entry| entry.progress != Some(Position::Finished));
        Ok(Opened {
            run: RUN.into(),
            started: 1_000_000,
            commits: self.commits,
            slots: self.slots.iter().map(|(slot, commit)| (*slot, commit.sequence)).collect(),
            unpublished: self.unpublished.iter().cloned().collect(),
            left: left.clone().count() as u64,
            left_bytes: left.map(|entry| entry.split.size).sum(),
        })
    }

    fn claim(&mut self, request: &Claim) -> Result<Claimed> {
        let last = self.claims.get(&request.slot);
        match last.filter(|(number, _)| *number >= request.number) {
            Some((number, Some(answer))) if *number == request.number => return Ok(answer.clone()),
            Some(_) => return Err(conflict("a claim that is over")),
            None => {}
        }
        let free = self
            .splits
            .iter_mut()
            .find(|(_, entry)| entry.holder.is_none() && entry.progress != Some(Position::Finished));
        let answer = match free {
            None => Claimed { split: None, position: None },
            Some(((node, _), entry)) => {
                entry.holder = Some(request.slot);
                let position = match &entry.progress {
                    Some(Position::At(position)) => Some(position.clone()),
                    _ => None,
                };
                Claimed { split: Some((node.clone(), entry.split.clone())), position }
            }
        };
        self.claims.insert(request.slot, (request.number, Some(answer.clone())));
        Ok(answer)
    }

    fn commit(&mut self, request: &Commit) -> Result<Committed> {
        let last = self.slots.get(&request.slot);
        if last == Some(request) {
            return Ok(Committed { commits: self.commits });
        }
        if request.sequence != last.map_or(0, |last| last.sequence) + 1 {
            return Err(conflict("commits do not follow each other"));
        }
        for moved in &request.splits {
            let Progress { fingerprint, position } = &moved.progress;
            let entry = self.splits.get_mut(&(moved.source.clone(), moved.split.clone()));
            let held =
                |entry: &&mut Entry| entry.holder == Some(request.slot) && entry.split.fingerprint == *fingerprint;
            let entry = entry.filter(held).ok_or_else(|| conflict("not the slot's split"))?;
            entry.progress = Some(position.clone());
            if *position == Position::Finished {
                entry.holder = None;
            }
        }
        let epoch = request.fence.epoch;
        self.unpublished.retain(|output| output.slot != request.slot && output.epoch == epoch);
        self.unpublished.extend(request.outputs.iter().cloned());
        self.slots.insert(request.slot, request.clone());
        self.commits += 1;
        Ok(Committed { commits: self.commits })
    }
}

fn conflict(cause: &str) -> Error {
    Error::new(code::LEDGER_CONFLICT, cause)
}
