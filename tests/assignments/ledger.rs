//! An honest record of a run in memory, as `lockgate_core::plane::ledger` has it.

use super::wire::Answer;
use lockgate_core::Name;
use lockgate_core::plane::{
    Claim, Claimed, Commit, Committed, Fence, Open, Opened, Output, Position, Progress, Release, Split,
};
use std::collections::BTreeMap;

/// The record of one run of a job.
#[derive(Default)]
pub struct Ledger {
    run: String,
    started: u64,
    commits: u64,
    /// The epoch of the present lease.
    pub epoch: u64,
    splits: BTreeMap<(Name, String), State>,
    slots: BTreeMap<u32, u64>,
    unpublished: BTreeMap<u32, Vec<Output>>,
    /// The answers to claims of this epoch, so that one that comes twice gives one split.
    claims: BTreeMap<(u32, u64), Claimed>,
    last: BTreeMap<u32, Commit>,
}

struct State {
    split: Split,
    progress: Option<Progress>,
    claimed: Option<u32>,
}

impl State {
    fn finished(&self) -> bool {
        matches!(&self.progress, Some(progress) if progress.position == Position::Finished)
    }
}

impl Ledger {
    pub fn new(run: &str, epoch: u64) -> Self {
        Self { run: run.to_owned(), started: 1_700_000_000_000_000, epoch, ..Self::default() }
    }

    /// Begins a lease: what was claimed under the one before is free.
    pub fn lease(&mut self, epoch: u64) {
        if self.epoch == epoch {
            return;
        }
        self.epoch = epoch;
        self.claims.clear();
        self.splits.values_mut().for_each(|state| state.claimed = None);
    }

    fn fenced(&self, fence: &Fence) -> Option<Answer> {
        (fence.epoch != self.epoch).then(|| Answer::problem(409, "LG1410"))
    }

    pub fn open(&mut self, open: &Open) -> Answer {
        if let Some(fenced) = self.fenced(&open.fence) {
            return fenced;
        }
        for (source, splits) in &open.splits {
            for split in splits {
                let state = State { split: split.clone(), progress: None, claimed: None };
                let known = self.splits.entry((source.clone(), split.name.clone())).or_insert(state);
                if known.split != *split && !known.finished() {
                    return Answer::problem(409, "LG1411");
                }
            }
        }
        let left: Vec<&State> = self.splits.values().filter(|state| !state.finished()).collect();
        Answer::json(&Opened {
            run: self.run.clone(),
            started: self.started,
            commits: self.commits,
            slots: self.slots.clone(),
            unpublished: self.unpublished.values().flatten().cloned().collect(),
            left: left.len() as u64,
            left_bytes: left.iter().map(|state| state.split.size).sum(),
        })
    }

    pub fn claim(&mut self, claim: &Claim) -> Answer {
        if let Some(fenced) = self.fenced(&claim.fence) {
            return fenced;
        }
        if let Some(known) = self.claims.get(&(claim.slot, claim.number)) {
            return Answer::json(known);
        }
        let free = self.splits.iter_mut().find(|(_, state)| !state.finished() && state.claimed.is_none());
        let claimed = match free {
            None => Claimed { split: None, position: None },
            Some(((source, _), state)) => {
                state.claimed = Some(claim.slot);
                let position = match &state.progress {
                    Some(Progress { position: Position::At(bytes), .. }) => Some(bytes.clone()),
                    _ => None,
                };
                Claimed { split: Some((source.clone(), state.split.clone())), position }
            }
        };
        let answer = Answer::json(&claimed);
        self.claims.insert((claim.slot, claim.number), claimed);
        answer
    }

    pub fn commit(&mut self, commit: &Commit) -> Answer {
        if let Some(fenced) = self.fenced(&commit.fence) {
            return fenced;
        }
        let before = self.slots.get(&commit.slot).copied().unwrap_or_default();
        let repeated = self.last.get(&commit.slot).is_some_and(|last| last == commit);
        if !repeated {
            if commit.sequence != before + 1 {
                return Answer::problem(409, "LG1411");
            }
            for done in &commit.splits {
                match self.splits.get_mut(&(done.source.clone(), done.split.clone())) {
                    Some(state) if state.claimed == Some(commit.slot) => state.progress = Some(done.progress.clone()),
                    _ => return Answer::problem(409, "LG1411"),
                }
            }
            self.commits += 1;
            self.slots.insert(commit.slot, commit.sequence);
            self.unpublished.insert(commit.slot, commit.outputs.clone());
            self.last.insert(commit.slot, commit.clone());
        }
        Answer::json(&Committed { commits: self.commits })
    }

    pub fn release(&mut self, release: &Release) -> Answer {
        if let Some(fenced) = self.fenced(&release.fence) {
            return fenced;
        }
        let slots = release.first..release.first + release.slots;
        let released = self.splits.values_mut().filter(|state| state.claimed.is_some_and(|slot| slots.contains(&slot)));
        released.for_each(|state| state.claimed = None);
        self.claims.retain(|(slot, _), _| !slots.contains(slot));
        Answer::json(&serde_json::json!({}))
    }
}
