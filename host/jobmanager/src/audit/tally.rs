//! Denials and reads, counted, so that neither a flood of refused requests nor a busy dashboard fills the disk.
//!
//! The first denial of a kind (source, action, code) is recorded at once, with all it says; further ones within the same
//! interval are counted and recorded as one event at its end. Reads are counted by credential and action. Both tables are
//! bounded: what finds no room is counted together, under [`OTHERS`]. So an interval adds at most
//! `2 * MAX_KINDS + MAX_READERS + 2` events, whatever comes in.

use super::{Event, Outcome, SYSTEM};
use crate::store::{Batch, Store};
use lockgate_core::{Name, Result, Timestamp};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most kinds of denials that are told apart within an interval.
pub const MAX_KINDS: usize = 256;

/// The most readers that are told apart within an interval.
pub const MAX_READERS: usize = 1_024;

/// The resource of the events that count what found no room.
pub const OTHERS: &str = "others";

/// What was denied or read since the last [`Tally::flush`].
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    denials: BTreeMap<Kind, u64>,
    denials_of_others: u64,
    reads: BTreeMap<Reader, u64>,
    reads_of_others: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Kind {
    source: String,
    action: String,
    code: String,
}

/// Who reads what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Reader {
    /// The principal.
    pub principal: String,
    /// The credential's public id.
    pub credential: String,
    /// The tenant that he acts in.
    pub tenant: Option<Name>,
    /// What was read: `job.show`. One of a few that the program has, never of the request.
    pub action: &'static str,
}

impl Tally {
    /// A tally of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a denial from `source` (an address, or a range of them that one party is taken to hold). Gives the event back
    /// if it is the first of its kind in this interval and is to be recorded now; the source becomes a detail of it.
    #[must_use]
    pub fn denied(&self, source: &str, event: Event) -> Option<Event> {
        let Outcome::Denied(code) = &event.outcome else { return Some(event) };
        let kind = Kind { source: source.into(), action: event.action.clone(), code: code.clone() };
        let mut counts = self.counts();
        if let Some(count) = counts.denials.get_mut(&kind) {
            *count = count.saturating_add(1);
            return None;
        }
        if counts.denials.len() >= MAX_KINDS {
            counts.denials_of_others = counts.denials_of_others.saturating_add(1);
            return None;
        }
        counts.denials.insert(kind, 0);
        Some(event.detail("source", source))
    }

    /// Counts a read.
    pub fn read(&self, reader: Reader) {
        let mut counts = self.counts();
        if let Some(count) = counts.reads.get_mut(&reader) {
            *count = count.saturating_add(1);
        } else if counts.reads.len() < MAX_READERS {
            counts.reads.insert(reader, 1);
        } else {
            counts.reads_of_others = counts.reads_of_others.saturating_add(1);
        }
    }

    /// Ends an interval every so long until `stop` is there, and once more then. What cannot be recorded is a warning and
    /// goes into the next interval.
    pub async fn run<S: Store>(
        &self,
        store: &S,
        interval: Duration,
        clock: impl Fn() -> Timestamp + Send + Sync,
        stop: impl Future<Output = ()> + Send,
    ) {
        let mut timer = tokio::time::interval(interval.max(Duration::from_secs(1)));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            let ended = tokio::select! {
                biased;
                () = &mut stop => true,
                _ = timer.tick() => false,
            };
            if let Err(error) = self.flush(store, clock()).await {
                tracing::warn!(%error, "denials and reads could not be recorded");
            }
            if ended {
                return;
            }
        }
    }

    /// Ends the interval: records what was counted and begins anew. If that fails, the counts go into the next one.
    ///
    /// # Errors
    /// As of the store.
    pub async fn flush<S: Store>(&self, store: &S, now: Timestamp) -> Result<()> {
        let counts = std::mem::take(&mut *self.counts());
        let events = counts.events(now);
        let mut done = 0;
        // Below the bound of a batch.
        for events in events.chunks(500) {
            let batch = Batch { events: events.to_vec(), ..Batch::default() };
            if let Err(error) = store.commit(batch).await {
                self.counts().add(counts, done);
                return Err(error);
            }
            done += events.len();
        }
        Ok(())
    }

    /// No code panics while it holds the lock, so a poisoned one is as good as any.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn events(&self, now: Timestamp) -> Vec<Event> {
        self.lines().map(|line| line.event(now)).collect()
    }

    /// Everything that has a count, in a fixed order.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let denials = self.denials.iter().map(|(kind, count)| Line::Denials(kind, *count));
        let reads = self.reads.iter().map(|(reader, count)| Line::Reads(reader, *count));
        let others = [Line::OtherDenials(self.denials_of_others), Line::OtherReads(self.reads_of_others)];
        denials.chain(reads).chain(others).filter(|line| line.count() > 0)
    }

    /// Takes back what could not be recorded: all but the first `done` of its lines.
    fn add(&mut self, counts: Self, done: usize) {
        for line in counts.lines().skip(done) {
            let place = match line {
                Line::Denials(kind, _) if self.denials.len() < MAX_KINDS || self.denials.contains_key(kind) => {
                    self.denials.entry(kind.clone()).or_default()
                }
                Line::Reads(reader, _) if self.reads.len() < MAX_READERS || self.reads.contains_key(reader) => {
                    self.reads.entry(reader.clone()).or_default()
                }
                Line::Denials(..) | Line::OtherDenials(_) => &mut self.denials_of_others,
                Line::Reads(..) | Line::OtherReads(_) => &mut self.reads_of_others,
            };
            *place = place.saturating_add(line.count());
        }
    }
}

enum Line<'a> {
    Denials(&'a Kind, u64),
    Reads(&'a Reader, u64),
    OtherDenials(u64),
    OtherReads(u64),
}

impl Line<'_> {
    fn count(&self) -> u64 {
        let (Self::Denials(_, count) | Self::Reads(_, count) | Self::OtherDenials(count) | Self::OtherReads(count)) =
            self;
        *count
    }

    fn event(&self, now: Timestamp) -> Event {
        let event = match self {
            Self::Denials(kind, _) => Event {
                outcome: Outcome::Denied(kind.code.clone()),
                ..Event::system(now, &kind.action, "denials").detail("source", kind.source.clone())
            },
            Self::Reads(reader, _) => Event {
                principal: reader.principal.clone(),
                credential: Some(reader.credential.clone()),
                tenant: reader.tenant.clone(),
                ..Event::system(now, reader.action, "reads")
            },
            Self::OtherDenials(_) => Event::system(now, "audit.denials", OTHERS),
            Self::OtherReads(_) => Event::system(now, "audit.reads", OTHERS),
        };
        debug_assert!(event.principal == SYSTEM || matches!(self, Self::Reads(..)));
        event.detail("count", self.count().to_string())
    }
}
