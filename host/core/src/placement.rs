//! Which job runs on which TaskManagers: jobs, TaskManagers, quotas and a time go in, assignments come out.
//!
//! Pure, so that the rules by which tenants share a cluster can be property-tested, simulated and explained: the same
//! input gives the same answer in whatever order it comes. The rules and what they cost stand in
//! `docs/adr/0011-placement.md`.

use crate::manifest::Parallelism;
use crate::name::Name;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Which job: its name is unique within its tenant only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobId {
    /// Whose it is.
    pub tenant: Name,
    /// Its name there.
    pub name: Name,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}

/// A job that is to have slots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// The signed range of its parallelism: fewer slots than `min` are none.
    pub parallelism: Parallelism,
    /// The slots that it would like, kept within the range.
    pub desired: u32,
    /// How much its waiting counts beside its tenant's other jobs; 0 counts as 1.
    pub weight: u32,
    /// What each slot takes up.
    pub slot: SlotCost,
    /// The volumes that a TaskManager must offer.
    pub volumes: BTreeSet<Name>,
    /// Since when it has waited, if it has no slots, or run as it does.
    pub since: UnixMillis,
    /// The epoch of its last lease, ended or not; 0 before the first. Whoever makes a job anew under an old name goes
    /// on from there.
    pub epoch: u64,
    /// The slots that it holds, by TaskManager, with their lease.
    pub current: Option<Placed>,
}

/// What one slot of a job takes up.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotCost {
    /// Bytes of memory.
    pub memory: u64,
    /// Fuel a second.
    pub fuel: u64,
}

/// A TaskManager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskManager {
    /// Its name.
    pub name: Name,
    /// What may be placed on it.
    pub state: Availability,
    /// Its slots.
    pub slots: u32,
    /// Bytes of memory for all of them together.
    pub memory: u64,
    /// The volumes that it offers.
    pub volumes: BTreeSet<Name>,
}

/// What may be placed on a TaskManager.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Availability {
    /// Anything.
    Active,
    /// Nothing new; what is there stays.
    Cordoned,
    /// Nothing; what is there goes elsewhere or waits.
    Draining,
    /// Nothing: it is not heard of any more.
    Lost,
}

/// What a tenant may have at once. No bound where none is set; the weight says how it shares with others.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    /// Slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u64>,
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Fuel a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// The tenant's weight; 0 and absent count as 1.
    #[serde(default)]
    pub weight: u32,
}

/// The right to run and commit for a job, until a time: every later lease of the job has a higher epoch, and a sink
/// takes nothing from a lower one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The fencing epoch, from 1; only ever rises.
    pub epoch: u64,
    /// When it ends by itself, if it is not renewed.
    pub until: UnixMillis,
}

/// The slots of a job by TaskManager, and the lease under which its tasks run there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// The lease: one for the whole job, because its tasks share positions and commits.
    pub lease: Lease,
    /// Slots by TaskManager; none is 0.
    pub slots: BTreeMap<Name, u32>,
}

impl Placed {
    /// Slots in all.
    pub fn parallelism(&self) -> u32 {
        self.slots.values().fold(0, |sum, slots| sum.saturating_add(*slots))
    }
}
