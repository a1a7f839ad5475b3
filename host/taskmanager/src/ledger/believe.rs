//! What a JobManager may say of a run's record. Pure: what passes here can do no more than have rows read again or left out,
//! as whoever keeps the record can anyway.

use crate::checkpoint::{MAX_POSITION, Output};
use crate::sink::{Prepared, RunId};
use lockgate_core::error::code;
use lockgate_core::plane::{Claimed, Opened, Output as Published};
use lockgate_core::{Error, Name, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The most slots of a job.
pub(super) const MAX_PARALLELISM: u32 = 1_024;
/// The highest sequence number: whoever counts on from it does not overflow.
const MAX_SEQUENCE: u64 = 1 << 62;

/// Where a run stands, once it is believed.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) run: RunId,
    pub(super) slots: BTreeMap<u32, u64>,
    pub(super) unpublished: Vec<Output>,
}

/// Checks how a run that is opened under the lease `epoch` is said to stand; `sinks` are the nodes of the plan that have
/// output to publish.
///
/// # Errors
/// `LG1440`.
pub(super) fn opened(opened: &Opened, epoch: u64, sinks: &BTreeSet<Name>) -> Result<Standing> {
    let run = RunId::try_from(opened.run.clone()).map_err(|error| wrong(error.into()))?;
    for (slot, sequence) in &opened.slots {
        if *slot >= MAX_PARALLELISM || *sequence > MAX_SEQUENCE {
            return Err(wrong(format!("slot {slot} has committed {sequence} times")));
        }
    }
    let mut unpublished = Vec::with_capacity(opened.unpublished.len());
    for output in &opened.unpublished {
        let Published { node, epoch: lease, slot, sequence, bytes } = output.clone();
        if !sinks.contains(&node) {
            return Err(wrong(format!("output of {node}, which is not a sink of the job")));
        }
        // Of a slot, a lease and a commit that were: more slots than now there may have been then.
        let committed = opened.slots.get(&slot).copied().unwrap_or(0);
        if sequence == 0 || sequence > committed || lease > epoch || bytes == 0 || i64::try_from(bytes).is_err() {
            let cause = format!("output {sequence} of slot {slot} of {bytes} bytes, written under lease {lease}");
            return Err(wrong(cause).at(node.as_str()));
        }
        unpublished.push(Output { node, prepared: Prepared { epoch: sequence, slot, bytes, lease } });
    }
    Ok(Standing { run, slots: opened.slots.clone(), unpublished })
}

/// Checks what a slot is told to read next. `taken` are the splits that slots of this TaskManager read or have read to their
/// end under this lease. Whether the split is one of the source's own, the source says.
///
/// # Errors
/// `LG1440`.
pub(super) fn claimed(claimed: &Claimed, taken: &BTreeMap<(Name, String), bool>) -> Result<()> {
    let Some((node, split)) = &claimed.split else { return Ok(()) };
    if taken.contains_key(&(node.clone(), split.name.clone())) {
        return Err(wrong(format!("{:?} is to be read a second time", split.name)).at(node.as_str()));
    }
    if let Some(length) = claimed.position.as_ref().map(Vec::len).filter(|length| *length > MAX_POSITION) {
        return Err(wrong(format!("a position of {length} bytes in {:?}", split.name)).at(node.as_str()));
    }
    Ok(())
}

/// That the record of a run cannot be.
pub(super) fn wrong(cause: String) -> Error {
    Error::new(code::RECORD_UNBELIEVED, cause)
}
