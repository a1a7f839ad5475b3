//! Facts up, orders down.

use crate::digest::Digest;
use crate::name::Name;
use crate::placement::JobId;
use crate::statement::Release;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most bytes of a heartbeat, and of its answer.
pub const MAX_ORDERS: usize = 4 << 20;
/// The most tasks that a heartbeat names, and the most that its answer asks for.
pub const MAX_TASKS: usize = 1_024;

/// All that is so on a TaskManager.
///
/// A TaskManager has one heartbeat open at a time, which is answered when there is something new or its wait is over. When
/// something changes meanwhile it sends another: the one before is answered at once then, and its answer is skipped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// 32 hexadecimal digits, new with every start of the process. The newest session of a TaskManager has its place: once
    /// another one has come, every heartbeat of this one is refused (`LG1436`), and nothing runs any more that it was told.
    pub session: String,
    /// Counts the heartbeats of the session, from 1.
    pub sequence: u64,
    /// The revision of the orders that it acts on; 0 before the first.
    pub revision: u64,
    /// For how long the answer may be held back while there is nothing new, in milliseconds. The JobManager may answer
    /// earlier.
    pub wait_ms: u64,
    /// What it offers.
    pub offer: Offer,
    /// Its tasks, at most [`MAX_TASKS`]: those that it runs, and those that ended until it is told of a newer epoch of theirs
    /// or not asked for them any more.
    pub tasks: Vec<Task>,
    /// The highest end of the audit log that it was ever told.
    #[serde(default)]
    pub audit: Option<AuditHead>,
}

/// What a TaskManager offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// Its slots.
    pub slots: u32,
    /// Bytes of memory for all of them together.
    pub memory: u64,
    /// The names of the volumes that it has.
    pub volumes: BTreeSet<Name>,
    /// The program's version, to be shown.
    #[serde(default)]
    pub program: String,
    /// Walls around executors that this machine lacks, where the operator lets it run without; to be shown and audited.
    #[serde(default)]
    pub missing_walls: Vec<String>,
}

/// The tasks of one job on one TaskManager.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Whose.
    pub job: JobId,
    /// Tells the job from an earlier one of the same name.
    pub id: String,
    /// The epoch of the lease that it runs under.
    pub epoch: u64,
    /// In how many slots; 0 where there was only an order to end.
    pub slots: u32,
    /// Which version.
    pub release: Release,
    /// Whether it drains.
    pub draining: bool,
    /// How it is.
    pub status: Status,
    /// Counters since the lease began, by operator. They replace earlier ones of the same epoch.
    #[serde(default)]
    pub operators: BTreeMap<Name, OperatorUsage>,
}

/// How a job's tasks on a TaskManager are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Being verified, compiled and connected.
    Starting,
    /// Running.
    Running,
    /// Ended by themselves, all committed and published.
    Finished,
    /// Failed, and ended.
    Failed(Failure),
    /// Ended because of an order for no slots, or because its lease was over.
    Ended,
}

/// Why tasks failed. Holds no data of the tenant's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The error's code, as `LG0601`.
    pub code: String,
    /// One sentence.
    pub cause: String,
    /// Whether starting the job again cannot help: what was refused by verification stays refused.
    pub permanent: bool,
}

/// Counters of an operator over all slots of a task.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OperatorUsage {
    /// Rows in.
    #[serde(default)]
    pub rows_in: u64,
    /// Rows out.
    #[serde(default)]
    pub rows_out: u64,
    /// Rows to the dead letters.
    #[serde(default)]
    pub dead_letters: u64,
    /// Fuel.
    #[serde(default)]
    pub fuel: u64,
    /// Bytes that sources have not read yet.
    #[serde(default)]
    pub lag_bytes: u64,
    /// Time in which output was not taken or the job was held to its budget of fuel, in milliseconds.
    #[serde(default)]
    pub back_pressure_ms: u64,
    /// Restarts of its instances.
    #[serde(default)]
    pub restarts: u64,
}

/// A figure of an operator's, as monitoring has it: its name, what it says, and where it is.
pub type Figure = (&'static str, &'static str, fn(&OperatorUsage) -> u64);

impl OperatorUsage {
    /// The figures that only rise.
    pub const COUNTERS: [Figure; 6] = [
        ("operator_rows_in", "Rows in", |of| of.rows_in),
        ("operator_rows_out", "Rows out", |of| of.rows_out),
        ("operator_dead_letters", "Rows to the dead letters", |of| of.dead_letters),
        ("operator_fuel", "Fuel", |of| of.fuel),
        ("operator_back_pressure_milliseconds", "Milliseconds in which output was not taken", |of| of.back_pressure_ms),
        ("operator_restarts", "Restarts of instances", |of| of.restarts),
    ];

    /// The figures that rise and fall.
    pub const LEVELS: [Figure; 1] = [("operator_lag_bytes", "Bytes that sources have not read yet", |of| of.lag_bytes)];
}

/// All that a TaskManager is to run. What it runs and is not named it ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Rises whenever the assignments change, within the life of a JobManager's process.
    pub revision: u64,
    /// For how long the leases of all assignments are good, in milliseconds, counted from when the TaskManager *sent* the
    /// heartbeat that this answers. A TaskManager takes no more than its configuration allows.
    pub lease_ms: u64,
    /// The assignments, at most [`MAX_TASKS`].
    pub assignments: Vec<Assignment>,
    /// The end of the audit log.
    #[serde(default)]
    pub audit: Option<Witness>,
    /// Whether the TaskManager drains or is cordoned, to be shown; assignments say the rest.
    #[serde(default)]
    pub cordoned: bool,
}

/// What a TaskManager is to run of a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Which job.
    pub job: JobId,
    /// Tells the job from an earlier one of the same name.
    pub id: String,
    /// The epoch of its lease: one that is lower than the TaskManager knows for this job is ignored.
    pub epoch: u64,
    /// In how many slots; 0 to end its tasks and report [`Status::Ended`] under this epoch.
    pub slots: u32,
    /// The number of the first of them: the slots of a job are numbered over all its TaskManagers.
    pub first: u32,
    /// Slots of the job in all.
    pub parallelism: u32,
    /// The digest of the bundle's file.
    pub bundle: Digest,
    /// The version, and the digest of what is signed.
    pub release: Release,
    /// The file of the current version, if `release` is an earlier one that it names as its fallback.
    #[serde(default)]
    pub fallback_of: Option<Digest>,
    /// Values of parameters.
    #[serde(default)]
    pub parameters: BTreeMap<Name, String>,
    /// Fuel a second that each slot may use at most; none for no bound.
    #[serde(default)]
    pub fuel_per_second: Option<u64>,
    /// Whether to stop reading, commit and finish.
    #[serde(default)]
    pub drain: bool,
    /// Rises with every trust document of the operator's or the tenant's: when it does, they are fetched anew.
    #[serde(default)]
    pub documents: u64,
}

/// An end of the audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditHead {
    /// The last record's number.
    pub sequence: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What a JobManager says of its audit log, for TaskManagers to hold it to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Witness {
    /// Its end.
    pub head: AuditHead,
    /// What it says of the record that the heartbeat named.
    #[serde(default)]
    pub known: Option<Known>,
}

/// What a JobManager says of a record that a TaskManager was once told to be the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// Its hash now.
    Hash(Digest),
    /// It was pruned: the log begins behind it.
    Pruned,
}
