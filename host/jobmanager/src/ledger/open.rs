//! Opening a run: which splits there are, and where it stands.

use super::record::{Draft, Opening, Published, Run, Slot, Split};
use super::{Ledger, MAX_SPLITS, PAGE, Place, Seat, malformed, place};
use crate::model::{Kept, keys};
use crate::service::Change;
use crate::store::Key;
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{self, Open, Opened, Output};
use lockgate_core::{Error, Name, Result};
use std::collections::BTreeMap;

/// The longest name of a split, in bytes: a path's.
const MAX_NAME: usize = 4_096;
/// The longest fingerprint, in bytes.
const MAX_FINGERPRINT: usize = 512;
/// The most sources.
const MAX_SOURCES: usize = 1_024;
/// No more splits are written at once when they have so many bytes.
const CHUNK_BYTES: usize = 4 << 20;

/// What a TaskManager lists, by source and name.
type Listing = BTreeMap<(Name, String), plane::Split>;

/// What is left of a run's splits.
#[derive(Clone, Copy, Debug)]
struct Left {
    splits: u64,
    bytes: Option<u64>,
}

impl Left {
    fn add(&mut self, size: Option<u64>) {
        self.splits = self.splits.saturating_add(1);
        self.bytes = self.bytes.zip(size).map(|(all, size)| all.saturating_add(size));
    }
}

impl Ledger {
    /// Opens a job's run for a TaskManager that finds these splits; begins it if nobody has.
    ///
    /// # Errors
    /// `LG1410` and `LG1412` as `Self::seat`; `LG0809` if the splits are not those that were recorded, `LG1413` if there
    /// are too many, `LG1405` if the list is malformed.
    pub async fn open(&self, peer: &Name, job: &JobId, open: Open) -> Result<Opened> {
        let fence = open.fence;
        self.seat(peer, job, &fence).await?;
        let closed = |_| Error::new(code::INTERNAL, "no more runs are opened");
        let _permit = self.opening.acquire().await.map_err(closed)?;
        let listing = listing(open.splits)?;
        let work = || async {
            let seat = self.seat(peer, job, &fence).await?;
            let run = match self.run(seat.job()).await? {
                Some(kept) => kept.record,
                None => self.begin(peer, job, &fence, &listing).await?,
            };
            self.join(peer, &seat, &run, listing.clone()).await
        };
        self.records.attempt(work).await
    }

    /// Records a run with these splits; what another TaskManager recorded in the meantime, if one did.
    async fn begin(&self, peer: &Name, job: &JobId, fence: &plane::Fence, listing: &Listing) -> Result<Run> {
        let seat = self.seat(peer, job, fence).await?;
        let run = Run { id: random_id()?, job: job.name.clone(), started: (self.clock)().0.saturating_mul(1_000) };
        let (place, draft) = (place(seat.job(), &run), keys::draft(&job.tenant, &fence.id, &run.id));
        let mut change = Change::default();
        change.create(draft.clone(), &Draft { since: (self.steady)() })?;
        self.records.commit(change).await?;
        for chunk in chunks(&place, listing) {
            let mut change = Change::default();
            for (key, split) in chunk {
                change.set(key, &split)?;
            }
            self.records.commit(change).await?;
        }
        let head = keys::run(&job.tenant, &fence.id, seat.job().execution.run);
        let count = || async {
            let seat = self.seat(peer, job, fence).await?;
            if let Some(other) = self.run(seat.job()).await? {
                return Ok(other.record);
            }
            let mut change = Change::default();
            seat.hold(&mut change);
            change.create(head.clone(), &run)?;
            change.clear(draft.clone());
            self.records.commit(change).await.map(|_| run.clone())
        };
        let counts = self.records.attempt(count).await;
        if !counts.as_ref().is_ok_and(|counts| counts.id == run.id) {
            // Nobody will ever name it. What is left if this fails, whoever keeps house finds.
            if let Err(error) = self.remove(&job.tenant, &fence.id, &run.id, draft).await {
                tracing::debug!(%error, "a run that does not count is removed later");
            }
        }
        counts
    }

    /// Compares what a TaskManager lists with what is recorded, and adds what is missing there.
    async fn join(&self, peer: &Name, seat: &Seat, run: &Run, mut listing: Listing) -> Result<Opened> {
        let place = place(seat.job(), run);
        let (mut recorded, mut left) = (0_usize, Left { splits: 0, bytes: Some(0) });
        let mut after = None;
        loop {
            let page = self.records.scan::<Split>(&place.splits(), after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            recorded = recorded.saturating_add(page.len());
            for (_, Kept { record, .. }) in page {
                if !record.is_finished() {
                    left.add(record.size);
                }
                let listed = listing.remove(&(record.source.clone(), record.name.clone()));
                agree(&record, listed.as_ref())?;
            }
        }
        if recorded.saturating_add(listing.len()) > MAX_SPLITS {
            let cause = format!("the run would have more than {MAX_SPLITS} splits");
            return Err(Error::new(code::LEDGER_FULL, cause));
        }
        let cursor = self.cursors.of(&run.id);
        let adds = !listing.is_empty();
        for split in listing.values() {
            left.add(split.size);
        }
        for chunk in chunks(&place, &listing) {
            let mut change = Change::default();
            seat.hold(&mut change);
            for (key, split) in chunk {
                change.create(key, &split)?;
            }
            self.records.commit(change).await?;
        }
        if adds {
            cursor.restart();
        }
        let (slots, unpublished) = self.standing(&place).await?;
        self.note_opening(peer, seat, &place, &unpublished).await?;
        cursor.note(&slots);
        Ok(Opened {
            run: run.id.clone(),
            started: run.started,
            commits: slots.values().fold(0, |sum, one| sum.saturating_add(*one)),
            slots,
            unpublished,
            left: left.splits,
            left_bytes: left.bytes,
        })
    }

    /// The last commits of all slots, and the outputs that are perhaps not published.
    async fn standing(&self, place: &Place<'_>) -> Result<(BTreeMap<u32, u64>, Vec<Output>)> {
        let published = self.records.get::<Published>(&place.published()).await?;
        let published = published.map(|kept| kept.record).unwrap_or_default();
        let (mut slots, mut unpublished) = (BTreeMap::new(), Vec::new());
        for (slot, record) in self.slots(place).await? {
            slots.insert(slot, record.sequence);
            if published.slots.get(&slot).is_none_or(|known| *known < record.sequence) {
                unpublished.extend(record.outputs);
            }
        }
        Ok((slots, unpublished))
    }

    /// What all slots committed last.
    pub(super) async fn slots(&self, place: &Place<'_>) -> Result<BTreeMap<u32, Slot>> {
        let (mut slots, mut after) = (BTreeMap::new(), None);
        loop {
            let page = self.records.scan::<Slot>(&place.slots(), after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(slots) };
            after = Some(last.clone());
            for (key, kept) in page {
                let slot = key.parts().pop().and_then(|number| number.parse().ok());
                slots.extend(slot.map(|slot| (slot, kept.record)));
            }
        }
    }

    /// Notes what a TaskManager is told, the first time under a lease. What it is told later under the same one its slots'
    /// own commits speak of: one that was on its way for long says nothing of what came after it.
    async fn note_opening(&self, peer: &Name, seat: &Seat, place: &Place<'_>, unpublished: &[Output]) -> Result<()> {
        let epoch = epoch(seat);
        let key = place.opening(peer);
        let before = self.records.get::<Opening>(&key).await?;
        if before.as_ref().is_some_and(|before| before.record.epoch == epoch) {
            return Ok(());
        }
        let told: BTreeMap<u32, u64> = unpublished.iter().map(|output| (output.slot, output.sequence)).collect();
        let opening = Opening { epoch, published: told.is_empty(), told };
        let mut change = Change::default();
        seat.hold(&mut change);
        change.put(key, before.as_ref(), &opening)?;
        self.records.commit(change).await.map(drop)
    }
}

/// The epoch under which a place was found.
pub(super) fn epoch(seat: &Seat) -> u64 {
    seat.job().execution.holds.as_ref().map_or(0, |holding| holding.placed.lease.epoch)
}

/// Refuses a list that does not fit what is recorded.
fn agree(record: &Split, listed: Option<&plane::Split>) -> Result<()> {
    let refuse = |how: &str| {
        let cause = format!("{:?} {how}", record.name);
        Err(Error::new(code::INPUT_CHANGED, cause).at(record.source.as_str()))
    };
    match listed {
        Some(listed) if listed.fingerprint != record.fingerprint => {
            refuse("was changed or replaced since it was listed")
        }
        None if record.position.is_some() && !record.is_finished() => refuse("has been read in part and is gone"),
        _ => Ok(()),
    }
}

/// What is listed, by source and name.
fn listing(splits: BTreeMap<Name, Vec<plane::Split>>) -> Result<Listing> {
    if splits.len() > MAX_SOURCES {
        return Err(malformed(format!("{} sources are listed, at most {MAX_SOURCES} are taken", splits.len())));
    }
    let mut all = Listing::new();
    for (source, splits) in splits {
        for split in splits {
            if split.name.len() > MAX_NAME || split.fingerprint.len() > MAX_FINGERPRINT {
                return Err(malformed(format!("a split of source {source} has too long a name or fingerprint")));
            }
            let key = (source.clone(), split.name.clone());
            if all.insert(key, split).is_some() {
                return Err(malformed(format!("a split of source {source} is listed twice")));
            }
            if all.len() > MAX_SPLITS {
                let cause = format!("more than {MAX_SPLITS} splits are listed");
                return Err(Error::new(code::LEDGER_FULL, cause));
            }
        }
    }
    Ok(all)
}

/// New splits with their keys, as many at once as one change takes.
fn chunks<'a>(place: &'a Place<'_>, listing: &'a Listing) -> impl Iterator<Item = Vec<(Key, Split)>> {
    let mut splits = listing.iter();
    std::iter::from_fn(move || {
        let (mut chunk, mut bytes) = (Vec::new(), 0_usize);
        while chunk.len() < PAGE && bytes < CHUNK_BYTES {
            let Some(((source, _), split)) = splits.next() else { break };
            let plane::Split { name, size, fingerprint } = split.clone();
            bytes = bytes.saturating_add(name.len()).saturating_add(fingerprint.len());
            let key = place.split(source, &name);
            chunk.push((key, Split { source: source.clone(), name, size, fingerprint, position: None, owner: None }));
        }
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn random_id() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Error::new(code::INTERNAL, format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
