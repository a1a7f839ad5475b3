//! A task slot: one thread that runs a job's chain to completion, batch by batch, split by split.
//!
//! Decode → operators → encode happen in one go for each batch, without queues between operators. An epoch ends when the
//! checkpoint interval is over (between two batches, so that batches stay the same whatever the clock does), when the
//! slot is drained and when no split is left.

mod functions;
mod input;
mod looks;
mod sinks;

use crate::assignment::{self, Assignment, Task};
use crate::link::SlotLink;
use crate::port::Port;
use crate::protocol::{
    ASSIGNMENT, Commit, End, Failed, FailedRow, NodeUsage, REGION_BYTES, SplitGrant, SplitPosition, Usage, Verb,
    payload,
};
use crate::shared::{Control, Run, Shared};
use functions::{Functions, Lines, send_logs};
use input::Reading;
use lockgate_core::error::code;
use lockgate_core::plan::{Nexmark, NexmarkTable, NodeKind, Plan, Source, SourceConnector};
use lockgate_core::{Error, Name, Result};
use lockgate_dataflow::chain::{Counters, delivered};
use lockgate_dataflow::dead_letter::Sample;
use lockgate_dataflow::{Chain, Decoder, Nexmark as NexmarkDecoder, decoder};
use rustix::time::{ClockId, clock_gettime};
use sinks::Sinks;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often counters are sent.
const USAGE_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a slot from its first ask to its last; its link, for the next run.
pub(crate) fn run(link: SlotLink, shared: &Shared) -> SlotLink {
    perform(Port::new(link), shared, begin)
}

/// The first asks of a slot: what it is to do.
pub(crate) fn begin(port: &mut Port, control: &Control) -> Result<Task> {
    port.hello()?;
    task(port, control)
}

/// The rest of them, once `begin` has said what is to be done.
pub(crate) fn perform(
    mut port: Port,
    shared: &Shared,
    begin: impl FnOnce(&mut Port, &Control) -> Result<Task>,
) -> SlotLink {
    let control = port.control();
    let (mut usage, lines) = (Usage::default(), Lines::default());
    // A library that panics on a hostile file fails the job, and nothing that it touched is used again.
    let done = catch_unwind(AssertUnwindSafe(|| match begin(&mut port, &control)? {
        Task::Job(assignment) => {
            let run = shared.run(&assignment)?;
            let mut slot = Slot::open(*assignment, &run, &control, &lines)?;
            let done = slot.run(&mut port);
            usage = slot.usage();
            done.map(|()| None)
        }
        other => looks::look(&other, &mut port, shared, &control).map(Some),
    }));
    let broken = |_| Err(Error::new(code::EXECUTOR_GONE, "the task slot broke down on what it was given"));
    let (outcome, failed) = match done.unwrap_or_else(broken) {
        Ok(outcome) => (outcome, None),
        Err(error) => (None, Some(Failed::of(&error))),
    };
    // The last that a guest said is often why it failed. Without the TaskManager there is nobody to tell.
    let _ = send_logs(&lines, &mut port);
    let _ = port.end(&End { failed, usage, outcome });
    port.into_link()
}

fn task(port: &mut Port, control: &Control) -> Result<Task> {
    let most = assignment::MAX_BYTES as usize;
    let bytes = Reading::new(ASSIGNMENT, None, control).read(port, 0, most + 1)?;
    if bytes.len() > most {
        return Err(Error::new(code::PROTOCOL_RANGE, format!("a task of more than {most} bytes")));
    }
    payload::read(&bytes)
}

struct Slot<'a> {
    control: &'a Control,
    lines: &'a Lines,
    plan: Arc<Plan>,
    chain: Chain,
    functions: Functions,
    sinks: Sinks,
    /// Splits with progress since the last commit, but the one being read.
    finished: Vec<SplitPosition>,
    bytes_read: u64,
    /// CPU time of the thread when this run began, in nanoseconds.
    cpu: u64,
    committed: Instant,
    reported: Instant,
}

/// A split while it is read.
struct Open {
    grant: SplitGrant,
    /// Where errors say that they happened.
    place: String,
    decoder: Box<dyn Decoder>,
    reading: Reading,
    pace: Option<Pace>,
    /// Behind the last batch that ran.
    position: Option<Vec<u8>>,
}

impl<'a> Slot<'a> {
    fn open(assignment: Assignment, run: &Run, control: &'a Control, lines: &'a Lines) -> Result<Self> {
        let cpu = cpu_time();
        let functions = Functions::load(&assignment, run, control, lines)?;
        let plan = Arc::new(assignment.plan);
        Ok(Self {
            control,
            lines,
            chain: Chain::new(Arc::clone(&plan))?,
            functions,
            sinks: Sinks::new(&plan, 1),
            finished: Vec::new(),
            bytes_read: 0,
            cpu,
            committed: Instant::now(),
            reported: Instant::now(),
            plan,
        })
    }

    fn run(&mut self, port: &mut Port) -> Result<()> {
        while !self.control.draining() {
            let mut grant = Vec::new();
            if port.call(Verb::Split, &[], &mut grant)? == 0 {
                break;
            }
            let mut split = self.split(payload::read(&grant)?)?;
            self.read(port, &mut split)?;
            split.reading.close(port)?;
            self.bytes_read += split.reading.read;
        }
        self.commit(port, None)
    }

    fn split(&self, grant: SplitGrant) -> Result<Open> {
        let node = self.plan.nodes.get(grant.source as usize);
        let Some((node, NodeKind::Source(source))) = node.map(|node| (node, &node.kind)) else {
            return Err(Error::new(code::PROTOCOL_RANGE, format!("node {} is not a source", grant.source)));
        };
        let fields = delivered(node)?;
        let place = format!("source {}, split {}", node.name, grant.name);
        let pace = Pace::of(source, Instant::now());
        let rows = pace.as_ref().map_or(self.plan.batch_rows, |pace| pace.batch(self.plan.batch_rows));
        let (name, position) = (grant.name.as_str(), grant.position.as_deref());
        let decoder: Result<Box<dyn Decoder>> = match &source.connector {
            SourceConnector::Nexmark(settings) => {
                NexmarkDecoder::new(settings, &fields, name, rows, position).map(|made| Box::new(made) as _)
            }
            _ => decoder(source, &fields, name, rows, position),
        };
        let decoder = decoder.map_err(|error| error.at(place.clone()))?;
        Ok(Open {
            place,
            reading: Reading::new(grant.input, grant.size, self.control),
            decoder,
            pace,
            position: None,
            grant,
        })
    }

    /// Reads a split to its end, or to where the slot is drained.
    fn read(&mut self, port: &mut Port, split: &mut Open) -> Result<()> {
        loop {
            self.control.progress();
            if self.control.cancelled() {
                return Err(Error::new(code::JOB_CANCELLED, "the job was cancelled"));
            }
            if self.control.draining() {
                return self.commit(port, Some((split, false)));
            }
            let decoded =
                split.decoder.next(&mut split.reading.on(port)).map_err(|error| error.at(split.place.clone()))?;
            let Some(decoded) = decoded else { break };
            let (position, rows) = (decoded.position.clone(), decoded.tracked.batch.num_rows());
            let source = split.grant.source as usize;
            self.chain.push(
                source,
                decoded,
                &split.grant.name,
                &mut self.functions,
                &mut self.sinks.on(port, self.control),
            )?;
            split.position = Some(position);
            send_logs(self.lines, port)?;
            if self.reported.elapsed() >= USAGE_INTERVAL {
                self.reported = Instant::now();
                let mut usage = self.usage();
                usage.bytes_read += split.reading.read;
                port.post(Verb::Usage, &payload::write(&usage)?)?;
            }
            if self.committed.elapsed() >= Duration::from_millis(self.plan.checkpoint_interval) {
                self.commit(port, Some((split, false)))?;
            }
            if let Some(pace) = &mut split.pace {
                pace.wait(rows, self.control);
            }
        }
        let end = split.position.take().or(split.grant.position.take()).unwrap_or_default();
        self.finished.push(position(&split.grant, end, true));
        // A commit names every split that has ended since the last; it must fit in a region.
        let names: usize =
            self.finished.iter().map(|split| 4 * split.position.len() + 6 * split.name.len() + 128).sum();
        if names > REGION_BYTES / 2 { self.commit(port, None) } else { Ok(()) }
    }

    /// Makes durable what has been read so far.
    fn commit(&mut self, port: &mut Port, reading: Option<(&Open, bool)>) -> Result<()> {
        if self.control.cancelled() {
            return Err(Error::new(code::JOB_CANCELLED, "the job was cancelled"));
        }
        let epoch = self.sinks.epoch();
        let mut splits = std::mem::take(&mut self.finished);
        if let Some((split, finished)) = reading
            && let Some(behind) = &split.position
        {
            splits.push(position(&split.grant, behind.clone(), finished));
        }
        self.committed = Instant::now();
        if splits.is_empty() {
            return Ok(());
        }
        self.sinks.finish(port)?;
        let samples = self.chain.take_samples().into_iter().filter_map(failed_row).collect();
        port.call_with(Verb::Commit { epoch }, &Commit { splits, usage: self.usage(), samples }).map(|_| ())
    }

    fn usage(&self) -> Usage {
        Usage {
            nodes: self.chain.counters().iter().map(node_usage).collect(),
            functions: self.functions.usage(),
            bytes_read: self.bytes_read,
            cpu: cpu_time().saturating_sub(self.cpu),
        }
    }
}

/// CPU time of this thread in nanoseconds.
fn cpu_time() -> u64 {
    let cpu = clock_gettime(ClockId::ThreadCPUTime);
    cpu.tv_sec.unsigned_abs() * 1_000_000_000 + cpu.tv_nsec.unsigned_abs()
}

fn node_usage(counters: &Counters) -> NodeUsage {
    let Counters { rows_in, rows_out, failed, dead_lettered, batches } = *counters;
    NodeUsage { rows_in, rows_out, failed, dead: dead_lettered, batches }
}

/// A sample as it crosses. Nodes have names, or else nothing is said of them.
fn failed_row(sample: Sample) -> Option<FailedRow> {
    let Sample { node, split, row, code, message, input } = sample;
    Some(FailedRow { node: Name::new(&node).ok()?, split, row, code: code.number(), message, input })
}

fn position(grant: &SplitGrant, position: Vec<u8>, finished: bool) -> SplitPosition {
    SplitPosition { source: grant.source, name: grant.name.clone(), position, finished }
}

/// Holds a generator to its rate.
struct Pace {
    rows_per_second: f64,
    started: Instant,
    rows: u64,
}

impl Pace {
    fn of(source: &Source, started: Instant) -> Option<Self> {
        let SourceConnector::Nexmark(Nexmark { rate: Some(rate), table, splits, .. }) = &source.connector else {
            return None;
        };
        // Of 50 events 1 is a person, 3 are auctions, 46 are bids.
        let share = match table {
            NexmarkTable::Person => 1.0,
            NexmarkTable::Auction => 3.0,
            NexmarkTable::Bid => 46.0,
        };
        let rows_per_second = (*rate as f64 * share / 50.0 / f64::from((*splits).max(1))).max(0.001);
        Some(Self { rows_per_second, started, rows: 0 })
    }

    /// Rows of a batch: a full one, or as many as come in 50 ms.
    fn batch(&self, most: u32) -> u32 {
        ((self.rows_per_second / 20.0) as u32).clamp(1, most.max(1))
    }

    /// Waits until `rows` more are due.
    fn wait(&mut self, rows: usize, control: &Control) {
        self.rows += rows as u64;
        let due = Duration::try_from_secs_f64(self.rows as f64 / self.rows_per_second).unwrap_or(Duration::MAX);
        while let Some(left) = due.checked_sub(self.started.elapsed())
            && !left.is_zero()
            && !control.draining()
            && !control.cancelled()
        {
            control.progress();
            std::thread::park_timeout(left.min(Duration::from_millis(20)));
        }
    }
}

#[cfg(test)]
mod tests;
