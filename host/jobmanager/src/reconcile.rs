//! The reconciler: drives what is so to what is wanted, one small step at a time, and can be killed at any of them.
//!
//! Level-triggered: every call of [`reconcile`] looks at all records and all facts and says what to do next; it
//! remembers nothing. Each [`Step`] is either one conditional commit of one job's [`Execution`] or a message to one
//! TaskManager that says everything that it is to run. A step that was lost is found again, one that is done twice does
//! nothing the second time, and one that comes too late is refused by the store's condition or by the TaskManager,
//! which knows a newer epoch. A message speaks of what is committed only.

mod advance;
mod orders;
mod round;

pub use round::{Look, look, reconcile, said_to_have_finished};

use lockgate_core::error::Code;
use lockgate_core::job_state::State;
use lockgate_core::manifest::Parallelism;
use lockgate_core::placement::{JobId, Lease, Placed, Rules, SlotCost, TaskManager};
use lockgate_core::restart::{History, RestartStrategy};
use lockgate_core::statement::Release;
use lockgate_core::{Name, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A job as the reconciler sees it: what is wanted of it, where it stands, and the revision of its record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// What is wanted. Written by the API only.
    pub wanted: Wanted,
    /// Where it stands. Written by the reconciler only, but for the first one.
    pub execution: Execution,
    /// The revision of the record that both were read from.
    pub revision: u64,
}

/// What is wanted of a job: what its signed manifest says, and what was asked for within that.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wanted {
    /// What is to become of it.
    pub goal: Goal,
    /// The version that is to run.
    pub release: Release,
    /// Which run of the job: one more than [`Execution::run`] starts a job again that has ended.
    pub run: u64,
    /// How often somebody has asked for a restart; more than [`Execution::restarts`] is one that is still to be done.
    pub restarts: u64,
    /// The signed range of its parallelism.
    pub parallelism: Parallelism,
    /// The slots that it would like.
    pub desired: u32,
    /// How much it counts beside its tenant's other jobs.
    pub weight: u32,
    /// What each slot takes up.
    pub slot: SlotCost,
    /// The volumes that it needs.
    pub volumes: BTreeSet<Name>,
    /// The signed restart strategy.
    pub restart: RestartStrategy,
}

/// What is to become of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// To run, to its end if it has one.
    Run,
    /// To stop reading, commit what is in flight and finish.
    Drain,
    /// To end now.
    Cancel,
    /// To hold no slots until it is wanted again.
    Suspend,
}

/// Where a job stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Execution {
    /// Its state.
    pub state: State,
    /// Which run this is, from 1.
    pub run: u64,
    /// Requested restarts that were done.
    pub restarts: u64,
    /// The version that runs, or is to run next.
    pub release: Release,
    /// The highest epoch that was ever given out for a job of this name. Begins behind those of a deleted job of the
    /// same name: the store's revision at its creation will do.
    pub epoch: u64,
    /// Where its tasks are, or were last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holding>,
    /// The slots that are kept for it while it restarts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<Name, u32>,
    /// When it last held slots, if it holds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ran: Option<UnixMillis>,
    /// Since when it is in this state.
    pub since: UnixMillis,
    /// When it may be started again, while it is RESTARTING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<UnixMillis>,
    /// Its failures, as its restart strategy remembers them.
    pub history: History,
    /// What it failed of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Execution {
    /// The first one of a job that was admitted: its bundle is verified. `epoch` is one that no lease of a job of this
    /// name has ever reached, such as the store's newest revision.
    pub fn admitted(release: Release, epoch: u64, now: UnixMillis) -> Self {
        Self {
            state: State::Created,
            run: 1,
            restarts: 0,
            release,
            epoch,
            holds: None,
            reserved: BTreeMap::new(),
            last_ran: None,
            since: now,
            retry_at: None,
            history: History::default(),
            failure: None,
        }
    }
}

/// Slots that a job holds, and what is to be done there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Holding {
    /// Where, under which lease. Its end is the first one: renewals are messages, and are not written down.
    pub placed: Placed,
    /// What is to be done there.
    pub phase: Phase,
    /// Since when.
    pub since: UnixMillis,
    /// The session of each TaskManager that it was given to: no other process of that name has a part in this lease. Of none
    /// in records of programs that did not know them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sessions: BTreeMap<Name, String>,
}

/// What the TaskManagers that hold a job's slots are to do with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Run its tasks.
    Live,
    /// End its tasks and say so. The job's epoch has risen above their lease's: that is the fence.
    Ending,
}

/// What a job failed of. Holds no data of the tenant's: those are in its dead letters and exceptions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Failure {
    /// The error's code, as `LG0601`.
    pub code: String,
    /// One sentence.
    pub cause: String,
    /// Whether starting it again could help. A revoked job is not asked for its restart strategy.
    pub permanent: bool,
    /// When it was noticed.
    pub at: UnixMillis,
}

impl Failure {
    /// A failure of this code.
    pub fn new(code: Code, cause: impl Into<String>, permanent: bool, at: UnixMillis) -> Self {
        Self { code: code.to_string(), cause: cause.into(), permanent, at }
    }
}

/// What is known of the world.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The TaskManagers that are registered, by name.
    pub taskmanagers: BTreeMap<Name, Observed>,
    /// When this JobManager started. What one before it promised ends by a lease's length after that.
    pub started: UnixMillis,
    /// Jobs that must not run any more, and why: revoked, or not covered by their tenant's policy any more.
    pub refused: BTreeMap<JobId, Failure>,
    /// Of jobs all tasks of which say that they are through ([`said_to_have_finished`]): what the record of their run says.
    /// As long as nothing is known of it here nothing is believed.
    pub left: BTreeMap<JobId, Left>,
}

/// What the record of a run says of its splits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// At least so many are not read to their end.
    Splits(u64),
    /// Nobody has opened the run, so it is not known which there are.
    Unopened,
}

/// What a TaskManager is and says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    /// What it offers, in the state in which the operator put it.
    pub offer: TaskManager,
    /// When it was last heard of; when this JobManager started, if not since.
    pub heard: UnixMillis,
    /// When it was last told anything, and so given its leases anew: noted before the message is sent. When this
    /// JobManager started, if not since.
    pub told: UnixMillis,
    /// Its tasks, as it said then.
    pub tasks: Vec<Task>,
    /// The session of the process that said it.
    pub session: String,
}

/// The tasks of one job on one TaskManager.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Task {
    /// Whose.
    pub job: JobId,
    /// The lease that it knows.
    pub lease: Lease,
    /// In how many slots.
    pub slots: u32,
    /// Which version.
    pub release: Release,
    /// Whether it was told to drain.
    pub draining: bool,
    /// How it is.
    pub status: Status,
}

/// How a job's tasks on a TaskManager are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Being prepared.
    Starting,
    /// Running.
    Running,
    /// Ended by themselves, all committed. Reported until the TaskManager is told of a newer epoch, or to forget them.
    Finished,
    /// Failed and ended; reported as long.
    Failed(Failure),
    /// Ended because of an order for no slots, whose epoch is that of [`Task::lease`].
    Ended,
}

/// How long things take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How placement decides, and how long leases last.
    pub rules: Rules,
    /// After how long a TaskManager that is not heard of counts as silent: it is told nothing any more, so that its
    /// leases run out.
    pub silence: Duration,
    /// How far clocks may differ: so long after its end a lease is still taken to be good.
    pub skew: Duration,
}

impl Settings {
    /// Those that go with leases of this length: silence is noticed after a third of it at the latest.
    pub fn with_lease(lease: Duration) -> Self {
        let usual = Self::default();
        let skew = usual.skew.min(lease / 6);
        Self { rules: Rules { lease, ..usual.rules }, silence: usual.silence.min(lease / 3), skew }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { rules: Rules::default(), silence: Duration::from_secs(10), skew: Duration::from_secs(5) }
    }
}

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Write a job's execution, if its record is still at this revision.
    Commit {
        /// Which job.
        job: JobId,
        /// The revision that this was decided on.
        revision: u64,
        /// What to write.
        execution: Box<Execution>,
    },
    /// Tell a TaskManager all that it is to run; it ends what is not named.
    Tell {
        /// Which TaskManager.
        taskmanager: Name,
        /// Everything.
        orders: Vec<Order>,
    },
}

/// What a TaskManager is to run of a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Order {
    /// Which job.
    pub job: JobId,
    /// Under which lease: one of a lower epoch than is known there is ignored.
    pub lease: Lease,
    /// In how many slots; none to end its tasks, and to remember the epoch until the job is named no more.
    pub slots: u32,
    /// Which version.
    pub release: Release,
    /// Whether to stop reading, commit and finish.
    pub drain: bool,
}

#[cfg(test)]
mod tests;
