//! The record of a run, as its slots need it, wherever it is kept: in a file beside `lockgate run`, or by a JobManager for
//! jobs whose slots are spread over several TaskManagers.
//!
//! The record decides what counts: a claimed split is this slot's, a commit's positions and outputs are one, and an output is
//! published only once its commit is recorded. What a JobManager answers is checked by whoever asked, since it is
//! trusted with placement and nothing else.

mod believe;
mod local;
#[cfg(test)]
pub(crate) mod model;
mod remote;

pub(crate) use local::Local;
pub(crate) use remote::Remote;

use crate::checkpoint::{Change, Output, Pending};
use crate::sink::Sinks;
use crate::source::Split;
use lockgate_core::plane::{Claim, Claimed, Commit, Committed, Fence, Open, Opened, Release};
use lockgate_core::{Name, Result};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

/// Where the record of a run is kept.
pub enum Kept<'a> {
    /// In a file below this directory; nobody else runs the job.
    Here {
        /// Where the state of jobs is kept.
        state: &'a Path,
        /// Whether an unfinished earlier run is given up rather than gone on with.
        fresh: bool,
    },
    /// By the JobManager.
    ByJobManager {
        /// How it is asked.
        client: Arc<dyn LedgerClient>,
        /// The job's id and the epoch of its lease. An epoch is for one run on a TaskManager: whoever runs the job again
        /// needs the next one.
        fence: Fence,
    },
}

/// What a JobManager will have answered.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Asks a JobManager for the record of a run ([`lockgate_core::plane`]).
///
/// Each call asks once and ends by itself in bounded time. `LG1406` is for whatever may pass: no connection, no answer, an
/// answer that says to come back. It is asked again then, with the same request, until there is an answer or the run is
/// [cancelled](crate::job::Stop::cancel), which drops the call. Any other error ends the run: it is refused under this
/// code, and `LG1410` says that the lease is over.
pub trait LedgerClient: Send + Sync {
    /// Opens the record.
    fn open<'a>(&'a self, request: &'a Open) -> Answer<'a, Opened>;

    /// Claims a split.
    fn claim<'a>(&'a self, request: &'a Claim) -> Answer<'a, Claimed>;

    /// Commits.
    fn commit<'a>(&'a self, request: &'a Commit) -> Answer<'a, Committed>;

    /// Gives claims back.
    fn release<'a>(&'a self, request: &'a Release) -> Answer<'a, ()>;
}

/// All splits that a job finds, by source node, in the plan's order.
pub(crate) type Listing = Vec<(Name, Vec<Split>)>;

/// The record of a run that is open: what it had recorded as committed is published, and nothing else of this run waits that
/// a slot of this TaskManager could meet.
pub(crate) trait Ledger: Send + Sync {
    /// Splits that are not finished, and their bytes if all are known, when it was opened.
    fn left(&self) -> (usize, Option<u64>);

    /// Commits that count, as far as they are known here.
    fn commits(&self) -> u64;

    /// The last sequence number that `slot` has committed; 0 before the first.
    fn last(&self, slot: u32) -> u64;

    /// The next split for `slot`, with its source; none if nobody needs another reader. Blocks until it is known.
    ///
    /// # Errors
    /// `LG1410`, `LG1440`, `LG0905` if the record is a JobManager's.
    fn claim(&self, slot: u32) -> Result<Option<(Name, Pending)>>;

    /// Makes positions and prepared outputs of a slot one, and publishes the outputs. Blocks until that is done. After an
    /// error nothing is published that is not recorded; what is recorded is published by whoever goes on.
    ///
    /// # Errors
    /// As [`crate::checkpoint::State::commit`]; `LG1410`, `LG1411`, `LG0905` if the record is a JobManager's.
    fn commit(&self, change: Change, sinks: &Sinks) -> Result<()>;

    /// How many commits of each slot may wait for [`Ledger::commit`] while the slot goes on; 0 if it waits for each.
    fn ahead(&self) -> usize;

    /// Takes back every split that was claimed here and is not finished, for slots that begin again. None of them runs.
    ///
    /// # Errors
    /// As [`Ledger::claim`] and [`Ledger::commit`].
    fn begin_again(&self, sinks: &Sinks) -> Result<()>;

    /// Notes that all slots have ended by themselves; whether all is read that was theirs to read.
    ///
    /// # Errors
    /// `LG0830`; `LG1440` if a JobManager gave out fewer splits than it said were left, and no other TaskManager has slots.
    fn settle(&self) -> Result<bool>;
}

/// Removes output that does not count and never will.
pub(crate) fn discard(prepared: &[Output], sinks: &Sinks) {
    for Output { node, prepared } in prepared {
        if let Some(Err(error)) = sinks.get(node).map(|sink| sink.discard(prepared)) {
            tracing::warn!(%error, sink = %node, "refused output is left behind");
        }
    }
}
