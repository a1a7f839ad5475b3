//! `executor/round-trip`: 64 KiB from a slot in its jail to the TaskManager and 64 KiB back, with nothing done to either.

use crate::Result;
use crate::figure::Report;
use crate::project::executors;
use crate::sample::{Pair, part};
use lockgate_core::limits::Limits;
use lockgate_core::plan::Plan;
use lockgate_executor::protocol::{ASSIGNMENT, End, Usage, VERSION, Verb, payload};
use lockgate_executor::testing::RawSlot;
use lockgate_executor::{Assignment, SlotHandle, Task};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Bytes each way.
const BYTES: usize = 64 << 10;
/// The input that the slot reads, and in whose ask it sends as much.
const INPUT: u32 = 7;
/// Round trips that are timed together.
const TRIPS: u32 = 100;
/// What the job is called for whose sake the slot does this.
const JOB: &str = "round-trip";

/// What a slot does that was given that job: asks until it is refused.
pub fn echo(assignment: &Assignment, slot: &mut RawSlot) -> bool {
    if assignment.job.as_str() != JOB {
        return false;
    }
    let bytes = vec![1; BYTES];
    let verb = Verb::Read { input: INPUT, offset: 0 };
    while slot.ask_for(verb, BYTES as u32, &bytes).is_some_and(|(answer, _)| !answer.refused) {}
    if let Ok(end) = payload::write(&End { failed: None, usage: Usage::default(), outcome: None }) {
        slot.ask(Verb::End, &end);
    }
    true
}

/// Measures the row.
///
/// # Errors
/// When the executor fails.
pub fn measure(report: &Report) -> Result<()> {
    if !report.wants("executor/round-trip") {
        return Ok(());
    }
    let executor = executors(1)?.of(&"benches".parse()?)?;
    let plan =
        Plan { nodes: Vec::new(), limits: Limits::default(), batch_rows: 1, checkpoint_interval: 1_000, samples: 0 };
    let (tenant, job, components) = ("benches".parse()?, JOB.parse()?, BTreeMap::new());
    let assignment = Assignment { run: 1, slots: 1, tenant, job, clock: 0, plan, components };
    let task = Task::Job(Box::new(assignment)).encode()?;
    let ours = part(|| {
        let (handle, _) = executor.slot(Duration::from_secs(60))?;
        serve(handle, &task)
    });
    Pair { ours, native: None, records: 1 }.measure("executor/round-trip", report)
}

/// Answers a slot; how long one of its round trips was.
fn serve(mut handle: SlotHandle, task: &[u8]) -> Result<Duration> {
    let (back, mut received) = (vec![2; BYTES], Vec::with_capacity(BYTES));
    let (mut trips, mut begun, mut taken) = (0, Instant::now(), Duration::ZERO);
    while let Some(ask) = handle.receive()? {
        match ask.verb {
            Verb::Hello { .. } => handle.answer(&ask, u64::from(VERSION), &[])?,
            Verb::Read { input: ASSIGNMENT, offset } => {
                let rest = task.get(usize::try_from(offset)?..).unwrap_or_default();
                let part = rest.get(..rest.len().min(ask.length as usize)).unwrap_or_default();
                handle.answer(&ask, part.len() as u64, part)?;
            }
            Verb::Read { .. } if trips <= TRIPS => {
                // The first comes when the slot is ready for it.
                if trips == 0 {
                    begun = Instant::now();
                }
                trips += 1;
                received.clear();
                handle.bytes_into(&ask, &mut received)?;
                handle.answer(&ask, BYTES as u64, &back)?;
            }
            Verb::Read { .. } => {
                taken = begun.elapsed() / trips;
                handle.refuse(&ask, &lockgate_core::Error::new(lockgate_core::error::code::JOB_CANCELLED, "enough"))?;
            }
            _ => {
                handle.answer(&ask, 0, &[])?;
                handle.finish();
                return Ok(taken);
            }
        }
    }
    Err(handle.death().into())
}
