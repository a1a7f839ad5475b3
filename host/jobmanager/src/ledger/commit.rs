//! Commits of slots.

use super::open::epoch;
use super::record::{Opening, Owner, Published, Slot, Split};
use super::{Ledger, Place, Seat, contradiction, malformed, place};
use crate::model::Kept;
use crate::service::Change;
use crate::store::Key;
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{Commit, Committed, Output, Position, SplitProgress};
use lockgate_core::{Digest, Error, Name, Result};
use std::collections::BTreeSet;

/// The most splits of one commit.
const MAX_PROGRESS: usize = 4_096;
/// The most outputs of one commit.
const MAX_OUTPUTS: usize = 1_024;
/// The longest position, in bytes.
const MAX_POSITION: usize = 64 << 10;

impl Ledger {
    /// Commits how far a slot has read, and what it prepared.
    ///
    /// # Errors
    /// `LG1410` and `LG1412` as `Self::seat`; `LG1411` if it does not follow on the slot's last one, or is about splits
    /// that are not the slot's.
    pub async fn commit(&self, peer: &Name, job: &JobId, commit: &Commit) -> Result<Committed> {
        check(commit)?;
        let encoded = serde_json::to_vec(commit);
        let encoded = encoded.map_err(|error| Error::new(code::INTERNAL, format!("a commit: {error}")))?;
        let digest = Digest::of(&encoded);
        self.records.attempt(|| self.try_commit(peer, job, commit, digest)).await
    }

    async fn try_commit(&self, peer: &Name, job: &JobId, commit: &Commit, digest: Digest) -> Result<Committed> {
        let seat = self.seat(peer, job, &commit.fence).await?;
        seat.require(commit.slot)?;
        let run = self.opened(seat.job()).await?;
        let place = place(seat.job(), &run);
        let before = self.records.get::<Slot>(&place.slot(commit.slot)).await?;
        let last = before.as_ref().map_or(0, |kept| kept.record.sequence);
        let is_repeated = before.as_ref().is_some_and(|kept| kept.record.digest == digest);
        if !(is_repeated && last == commit.sequence) {
            if Some(commit.sequence) != last.checked_add(1) {
                let Commit { slot, sequence, .. } = commit;
                let cause = format!("slot {slot} commits number {sequence} and its last commit is number {last}");
                return Err(contradiction(cause));
            }
            let mut change = Change::default();
            seat.hold(&mut change);
            self.publish(peer, &seat, &place, &mut change).await?;
            for (key, kept) in self.progress(&seat, &place, commit).await? {
                change.replace(key, kept.revision, &kept.record)?;
            }
            let now = Slot { sequence: commit.sequence, digest, outputs: commit.outputs.clone() };
            change.put(place.slot(commit.slot), before.as_ref(), &now)?;
            self.records.commit(change).await?;
        }
        let cursor = self.cursors.of(&run.id);
        let commits = match cursor.count(commit.slot, commit.sequence) {
            Some(commits) => commits,
            None => {
                let slots = self.slots(&place).await?;
                cursor.note(&slots.into_iter().map(|(slot, kept)| (slot, kept.sequence)).collect());
                cursor.count(commit.slot, commit.sequence).unwrap_or(commit.sequence)
            }
        };
        Ok(Committed { commits })
    }

    /// Adds to `change` that what the TaskManager was told when it opened the run is published: it commits nothing before.
    async fn publish(&self, peer: &Name, seat: &Seat, place: &Place<'_>, change: &mut Change) -> Result<()> {
        let opening = self.records.get::<Opening>(&place.opening(peer)).await?;
        let opening = opening.filter(|opening| opening.record.epoch == epoch(seat));
        let closed = || contradiction("a slot commits before its TaskManager has opened the run".to_owned());
        let Kept { revision, mut record } = opening.ok_or_else(closed)?;
        if record.published {
            return Ok(());
        }
        let before = self.records.get::<Published>(&place.published()).await?;
        let mut published = before.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
        for (slot, sequence) in &record.told {
            let known = published.slots.entry(*slot).or_default();
            *known = (*sequence).max(*known);
        }
        change.put(place.published(), before.as_ref(), &published)?;
        record.published = true;
        change.replace(place.opening(peer), revision, &record)
    }

    /// The splits of a commit as they are afterwards.
    async fn progress(&self, seat: &Seat, place: &Place<'_>, commit: &Commit) -> Result<Vec<(Key, Kept<Split>)>> {
        let mut splits = Vec::with_capacity(commit.splits.len());
        for SplitProgress { source, split, progress } in &commit.splits {
            let refuse = |how: &str| contradiction(format!("slot {} commits split {split:?}, {how}", commit.slot));
            let key = place.split(source, split);
            let kept = self.records.get::<Split>(&key).await?;
            let mut kept = kept.ok_or_else(|| refuse("which is not recorded"))?;
            let own = |owner: Owner| (owner.epoch, owner.slot) == (epoch(seat), commit.slot);
            if !kept.record.owner.is_some_and(own) {
                return Err(refuse("which it has not claimed"));
            }
            if kept.record.is_finished() {
                return Err(refuse("which it has read to its end before"));
            }
            if kept.record.fingerprint != progress.fingerprint {
                return Err(refuse("of which other content is recorded"));
            }
            kept.record.position = Some(progress.position.clone());
            splits.push((key, kept));
        }
        Ok(splits)
    }
}

/// Refuses what no slot commits.
fn check(commit: &Commit) -> Result<()> {
    if commit.splits.len() > MAX_PROGRESS || commit.outputs.len() > MAX_OUTPUTS {
        let (splits, outputs) = (commit.splits.len(), commit.outputs.len());
        return Err(malformed(format!("a commit has {splits} splits and {outputs} outputs")));
    }
    let splits: BTreeSet<_> = commit.splits.iter().map(|progress| (&progress.source, &progress.split)).collect();
    if splits.len() != commit.splits.len() {
        return Err(malformed("a commit names a split twice".to_owned()));
    }
    let too_long = |position: &Position| matches!(position, Position::At(bytes) if bytes.len() > MAX_POSITION);
    if commit.splits.iter().any(|progress| too_long(&progress.progress.position)) {
        return Err(malformed(format!("a position has more than {MAX_POSITION} bytes")));
    }
    let nodes: BTreeSet<&Name> = commit.outputs.iter().map(|output| &output.node).collect();
    let own = |output: &Output| {
        (output.epoch, output.slot, output.sequence) == (commit.fence.epoch, commit.slot, commit.sequence)
    };
    if nodes.len() != commit.outputs.len() || !commit.outputs.iter().all(own) {
        return Err(malformed("a commit has outputs that are not its own, or two of one node".to_owned()));
    }
    Ok(())
}
