//! Splits given to slots, and given back.

use super::open::epoch;
use super::record::{Claim as KeptClaim, Owner, Split};
use super::{Ledger, PAGE, contradiction, malformed, place};
use crate::model::Kept;
use crate::service::Change;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{self, Claim, Claimed, Position, Release};
use lockgate_core::{Name, Result};

/// That nothing is left.
const NOTHING: Claimed = Claimed { split: None, position: None };

impl Ledger {
    /// Gives a slot a split that nobody reads; none if there is none, which is then what this claim is answered for ever: one
    /// that comes again when the slot has ended must not take what was given back meanwhile.
    ///
    /// # Errors
    /// `LG1410` and `LG1412` as `Self::seat`; `LG1411` if a later claim of the slot came before, or what this one was
    /// given has been given back.
    pub async fn claim(&self, peer: &Name, job: &JobId, claim: &Claim) -> Result<Claimed> {
        if claim.number == 0 {
            return Err(malformed("claims are numbered from 1".to_owned()));
        }
        self.records.attempt(|| self.try_claim(peer, job, claim)).await
    }

    async fn try_claim(&self, peer: &Name, job: &JobId, claim: &Claim) -> Result<Claimed> {
        let Claim { slot, number, .. } = *claim;
        let seat = self.seat(peer, job, &claim.fence).await?;
        seat.require(slot)?;
        let run = self.opened(seat.job()).await?;
        let (place, epoch) = (place(seat.job(), &run), epoch(&seat));
        let owner = Owner { epoch, slot, number };
        let before = self.records.get::<KeptClaim>(&place.claim(slot)).await?;
        match before.as_ref().map(|kept| &kept.record).filter(|before| before.epoch == epoch) {
            Some(before) if number < before.number => {
                let cause = format!("claim {number} of slot {slot} comes after claim {}", before.number);
                return Err(contradiction(cause));
            }
            Some(before) if number == before.number => {
                if before.nothing {
                    return Ok(NOTHING);
                }
                let split = match &before.split {
                    Some((source, name)) => self.records.get::<Split>(&place.split(source, name)).await?,
                    None => None,
                };
                let own = split.filter(|split| split.record.owner == Some(owner));
                let gone = || contradiction(format!("what claim {number} of slot {slot} was given was given back"));
                return own.map(|kept| claimed(kept.record)).ok_or_else(gone);
            }
            _ => {}
        }
        let cursor = self.cursors.of(&run.id);
        while let Some(taken) = cursor.take(&self.records, &place, epoch).await? {
            let split = self.records.get::<Split>(&taken.key).await?;
            let Some(Kept { revision, mut record }) = split.filter(|split| split.record.is_free(epoch)) else {
                // Somebody has it, or read it to its end: the cursor is a guess.
                taken.keep();
                continue;
            };
            record.owner = Some(owner);
            let split = Some((record.source.clone(), record.name.clone()));
            let now = KeptClaim { epoch, number, split, nothing: false };
            let mut change = Change::default();
            seat.hold(&mut change);
            change.put(place.claim(slot), before.as_ref(), &now)?;
            change.replace(taken.key.clone(), revision, &record)?;
            self.records.commit(change).await?;
            taken.keep();
            return Ok(claimed(record));
        }
        let now = KeptClaim { epoch, number, split: None, nothing: true };
        let mut change = Change::default();
        seat.hold(&mut change);
        change.put(place.claim(slot), before.as_ref(), &now)?;
        self.records.commit(change).await?;
        Ok(NOTHING)
    }

    /// Takes back what slots claimed and did not read to its end.
    ///
    /// # Errors
    /// `LG1410` and `LG1412` as `Self::seat`.
    pub async fn release(&self, peer: &Name, job: &JobId, release: &Release) -> Result<()> {
        self.records.attempt(|| self.try_release(peer, job, release)).await
    }

    async fn try_release(&self, peer: &Name, job: &JobId, release: &Release) -> Result<()> {
        let Release { first, slots, claims, .. } = *release;
        let seat = self.seat(peer, job, &release.fence).await?;
        let slots = first..first.saturating_add(slots);
        if slots.is_empty() {
            return Ok(());
        }
        seat.require(slots.start)?;
        seat.require(slots.end.saturating_sub(1))?;
        let Some(run) = self.run(seat.job()).await?.map(|kept| kept.record) else { return Ok(()) };
        let (place, epoch) = (place(seat.job(), &run), epoch(&seat));
        // Nothing more is claimed by what is on its way still.
        for slot in slots.clone() {
            let before = self.records.get::<KeptClaim>(&place.claim(slot)).await?;
            let known = before.as_ref().filter(|kept| kept.record.epoch == epoch).map_or(0, |kept| kept.record.number);
            if claims > known {
                let mut change = Change::default();
                seat.hold(&mut change);
                let now = KeptClaim { epoch, number: claims, split: None, nothing: false };
                change.put(place.claim(slot), before.as_ref(), &now)?;
                self.records.commit(change).await?;
            }
        }
        let is_given_back = |split: &Split| {
            split.owner.is_some_and(|owner| {
                let before = claims == 0 || owner.number <= claims;
                owner.epoch == epoch && slots.contains(&owner.slot) && before && !split.is_finished()
            })
        };
        let (cursor, mut after) = (self.cursors.of(&run.id), None);
        loop {
            let page = self.records.scan::<Split>(&place.splits(), after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let (mut change, mut back) = (Change::default(), Vec::new());
            seat.hold(&mut change);
            for (key, Kept { revision, mut record }) in page {
                if is_given_back(&record) {
                    record.owner = None;
                    change.replace(key.clone(), revision, &record)?;
                    back.push(key);
                }
            }
            if !back.is_empty() {
                self.records.commit(change).await?;
                cursor.give_back(back);
            }
        }
    }
}

fn claimed(split: Split) -> Claimed {
    let Split { source, name, size, fingerprint, position, .. } = split;
    let position = match position {
        Some(Position::At(position)) => Some(position),
        Some(Position::Finished) | None => None,
    };
    Claimed { split: Some((source, plane::Split { name, size, fingerprint })), position }
}
