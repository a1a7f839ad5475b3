//! Serves one task slot: answers what it asks for, and lets it have nothing else.
//!
//! Whatever comes from the slot may be hostile. An input must have been granted to this slot, a sink must be one of the
//! plan's, an epoch the open one, a split one that this slot was given; anything else ends the slot.

mod commits;

use self::commits::{Commits, Ready, Slot};
use super::budget::Budget;
use super::coordinator::{Coordinator, Writers};
use super::{Event, Events, Stop};
use crate::checkpoint::MAX_POSITION;
use crate::source::Bytes;
use lockgate_core::error::code;
use lockgate_core::plan::Plan;
use lockgate_core::{Error, Result};
use lockgate_executor::SlotHandle;
use lockgate_executor::protocol::{
    ASSIGNMENT, Ask, Commit, End, FailedRow, LogLine, REGION_BYTES, SplitGrant, Usage, VERSION, Verb, payload,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first input number of splits; the assignment has a lower one.
const FIRST_SPLIT: u32 = 1 << 16;

/// Why a slot did not get to its end.
pub(super) struct Stopped {
    pub(super) error: Error,
    /// Whether the executor died under it, so that another may go on from the last commit.
    pub(super) died: bool,
}

impl From<Error> for Stopped {
    /// That no executor can be had is taken as its death: after one there may be no memory or process for a while.
    fn from(error: Error) -> Self {
        let died = [code::EXECUTOR_START, code::EXECUTOR_NOT_STARTED, code::EXECUTOR_FULL].contains(&error.code());
        Self { error, died }
    }
}

/// What the slots of an attempt are served with.
pub(super) struct Service {
    /// What they are to do.
    pub(super) task: Vec<u8>,
    pub(super) plan: Arc<Plan>,
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) fuel_per_second: Option<u64>,
    pub(super) events: Events,
    pub(super) stop: Stop,
}

/// Serves a slot until it ends and all its commits are made.
///
/// # Errors
/// Why: what the slot said in its last words, a breach of the protocol, a connector's failure, the executor's death; before all
/// of these, a commit that could not be made.
pub(super) fn serve(slot: u32, handle: SlotHandle, service: &Service) -> Result<Usage, Stopped> {
    let shared = Slot::new(slot, service);
    std::thread::scope(|scope| {
        let commits = Commits::start(scope, &shared)?;
        let ended = answer_all(slot, handle, service, &shared, &commits);
        commits.flush()?;
        ended
    })
}

/// Answers a slot until it ends.
fn answer_all(
    slot: u32,
    mut handle: SlotHandle,
    service: &Service,
    shared: &Slot<'_>,
    commits: &Commits<'_>,
) -> Result<Usage, Stopped> {
    let (writers, committed) = service.coordinator.writers(&service.plan, slot)?;
    let mut served = Served {
        slot,
        service,
        shared,
        commits,
        writers,
        committed,
        epoch: 1,
        split: None,
        splits: 0,
        granted: BTreeSet::new(),
        budget: service.fuel_per_second.map(Budget::new),
        began: Instant::now(),
        waited: Duration::ZERO,
        buffer: Vec::new(),
    };
    while let Some(ask) = handle.receive()? {
        match served.answer(&mut handle, &ask) {
            Ok(Some(end)) => {
                handle.answer(&ask, 0, &[])?;
                handle.finish();
                return match end.failed {
                    Some(failed) => Err(failed.error().into()),
                    None => Ok(end.usage),
                };
            }
            Ok(None) => {}
            Err(error) => {
                handle.refuse(&ask, &error)?;
                // Whoever breaks the protocol is not heard any further: its executor is killed with the handle.
                if !matches!(error.code(), code::PROTOCOL_MESSAGE | code::PROTOCOL_RANGE | code::PROTOCOL_PAYLOAD) {
                    wind_down(handle, &error)?;
                }
                return Err(error.into());
            }
        }
    }
    Err(Stopped { error: handle.death(), died: true })
}

/// Refuses everything that a slot still asks for, until it has ended: it did nothing wrong, so others of its tenant that
/// share its executor go on.
fn wind_down(mut handle: SlotHandle, error: &Error) -> Result<()> {
    handle.stop();
    while let Some(ask) = handle.receive()? {
        if ask.verb == Verb::End {
            handle.answer(&ask, 0, &[])?;
            handle.finish();
            return Ok(());
        }
        handle.refuse(&ask, error)?;
    }
    Ok(())
}

struct Served<'a> {
    slot: u32,
    service: &'a Service,
    shared: &'a Slot<'a>,
    commits: &'a Commits<'a>,
    /// By the plan's index.
    writers: Writers,
    /// The last epoch that was committed before this slot started; its own epochs count from there.
    committed: u64,
    /// The open epoch, as the slot counts.
    epoch: u64,
    /// The split that is open, with its input.
    split: Option<(u32, Box<dyn Bytes>)>,
    /// Splits given to this slot so far.
    splits: u32,
    /// The splits given to this slot that are not committed as finished, as (source, name).
    granted: BTreeSet<(u32, String)>,
    budget: Option<Budget>,
    began: Instant,
    /// How long the slot has waited for its commits and its budget.
    waited: Duration,
    buffer: Vec<u8>,
}

impl Served<'_> {
    /// Answers an ask; the slot's last words if it was the last.
    fn answer(&mut self, handle: &mut SlotHandle, ask: &Ask) -> Result<Option<End>> {
        self.commits.check()?;
        match ask.verb {
            Verb::Hello { .. } => handle.answer(ask, u64::from(VERSION), &[])?,
            Verb::Read { input, offset } => {
                let read = self.read(input, offset, ask.length as usize)?;
                let bytes = self.buffer.get(..read).unwrap_or_default();
                handle.answer(ask, read as u64, bytes)?;
            }
            Verb::Split => match self.next_split()? {
                Some(grant) => handle.answer(ask, 1, &payload::write(&grant)?)?,
                None => handle.answer(ask, 0, &[])?,
            },
            Verb::Write { sink, epoch } => {
                self.open_epoch(epoch)?;
                self.buffer.clear();
                handle.bytes_into(ask, &mut self.buffer)?;
                let writer =
                    self.writers.get_mut(&sink).ok_or_else(|| foreign(format!("node {sink} is not a sink")))?;
                writer.write(self.committed + epoch, &self.buffer)?;
                handle.answer(ask, 0, &[])?;
            }
            Verb::Commit { epoch } => {
                self.open_epoch(epoch)?;
                let commit: Commit = payload::read(&handle.bytes(ask)?)?;
                commit.usage.check(&self.service.plan)?;
                let usage = self.commit(commit)?;
                self.hold_back(&usage);
                handle.answer(ask, 0, &[])?;
            }
            Verb::Log => {
                let lines = LogLine::checked(payload::read(&handle.bytes(ask)?)?, &self.service.plan)?;
                handle.answer(ask, 0, &[])?;
                self.service.events.send(Event::Log { slot: self.slot, lines });
            }
            Verb::Usage => {
                let usage: Usage = payload::read(&handle.bytes(ask)?)?;
                usage.check(&self.service.plan)?;
                self.hold_back(&usage);
                handle.answer(ask, 0, &[])?;
                self.shared.used(usage, self.waited);
            }
            Verb::End => {
                let end: End = payload::read(&handle.bytes(ask)?)?;
                end.usage.check(&self.service.plan)?;
                self.commits.flush()?;
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Reads into the buffer; how many bytes.
    fn read(&mut self, input: u32, offset: u64, length: usize) -> Result<usize> {
        self.buffer.resize(length.min(REGION_BYTES), 0);
        if input == ASSIGNMENT {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.service.task.len());
            let part = self.service.task.get(from..).unwrap_or_default();
            let read = part.len().min(self.buffer.len());
            self.buffer.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            return Ok(read);
        }
        match &mut self.split {
            Some((open, bytes)) if *open == input => {
                // A region is filled whole unless the split ends, which is what a short answer says. What a stream has
                // is handed on at once: more may be long in coming.
                if bytes.size().is_none() {
                    return bytes.read_at(offset, &mut self.buffer);
                }
                let mut read = 0;
                while let Some(rest) = self.buffer.get_mut(read..)
                    && !rest.is_empty()
                {
                    match bytes.read_at(offset + read as u64, rest)? {
                        0 => break,
                        got => read += got,
                    }
                }
                Ok(read)
            }
            _ => Err(foreign(format!("input {input} is not granted"))),
        }
    }

    fn next_split(&mut self) -> Result<Option<SplitGrant>> {
        self.split = None;
        let Some(next) = self.service.coordinator.next_split(self.slot)? else { return Ok(None) };
        let input = FIRST_SPLIT + self.splits;
        self.splits += 1;
        self.granted.insert((next.source, next.name.clone()));
        let size = next.bytes.size();
        self.split = Some((input, next.bytes));
        Ok(Some(SplitGrant { input, source: next.source, name: next.name, size, position: next.position }))
    }

    /// Hands a commit in; the counters that came along.
    fn commit(&mut self, commit: Commit) -> Result<Usage> {
        // Output without progress would be written again by the next run.
        if commit.splits.is_empty() {
            return Err(foreign("a commit of no split".into()));
        }
        let mut named = BTreeSet::new();
        for split in &commit.splits {
            if !named.insert((split.source, &split.name)) {
                return Err(foreign(format!("split {:?} is named twice in a commit", split.name)));
            }
            let key = (split.source, split.name.clone());
            let known = if split.finished { self.granted.remove(&key) } else { self.granted.contains(&key) };
            if !known {
                return Err(foreign(format!("split {:?} is not this slot's to commit", split.name)));
            }
            if split.position.len() > MAX_POSITION {
                let length = split.position.len();
                return Err(foreign(format!("a position of {length} bytes, at most {MAX_POSITION} are kept")));
            }
        }
        let rows = FailedRow::checked(commit.samples, &self.service.plan)?;
        let epoch = self.committed + self.epoch;
        let mut prepared = Vec::new();
        for (at, writer) in &mut self.writers {
            prepared.extend(writer.prepare(epoch)?.map(|output| (*at, output)));
        }
        let ready = Ready { epoch, splits: commit.splits, prepared, rows };
        let took = self.commits.add(ready, &commit.usage, self.waited)?;
        self.waited = self.waited.saturating_add(took);
        self.epoch += 1;
        Ok(commit.usage)
    }

    /// Holds back a slot that is over its budget of fuel. It has not been answered yet: this is the TaskManager's time, and the
    /// watchdog does not count it.
    fn hold_back(&mut self, usage: &Usage) {
        let Some(budget) = &mut self.budget else { return };
        let time = budget.hold(usage, self.began.elapsed());
        if !time.is_zero() {
            let begun = Instant::now();
            self.service.stop.hold_back(time);
            self.waited = self.waited.saturating_add(begun.elapsed());
        }
    }

    fn open_epoch(&self, epoch: u64) -> Result<()> {
        if epoch == self.epoch { Ok(()) } else { Err(foreign(format!("epoch {epoch} is not open"))) }
    }
}

fn foreign(cause: String) -> Error {
    Error::new(code::PROTOCOL_RANGE, cause)
}

#[cfg(test)]
mod tests;
