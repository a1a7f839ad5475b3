//! Which job runs on which TaskManagers: jobs, TaskManagers, quotas and a time go in, assignments come out.
//!
//! Pure, so that the rules by which tenants share a cluster can be property-tested, simulated and explained: the same
//! input gives the same answer in whatever order it comes. The rules and what they cost stand in
//! `docs/adr/0011-placement.md`.

mod fair;
mod preempt;
mod room;
mod round;

use crate::manifest::Parallelism;
use crate::name::Name;
use crate::plan::{NodeKind, Plan};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Decides for every job where it runs. Ids of jobs and names of TaskManagers are unique; of two alike, one is passed
/// over.
///
/// Never over a quota or what a TaskManager has; the same answer for the same input in any order; the same assignment
/// again when nothing has changed. Takes about a logarithm of the TaskManagers for each slot.
pub fn place(
    jobs: &[Job],
    taskmanagers: &[TaskManager],
    quotas: &BTreeMap<Name, Quota>,
    rules: &Rules,
    now: UnixMillis,
) -> Placement {
    round::Round::new(jobs, taskmanagers, quotas, rules, now).run()
}

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
    /// When it last held slots, if it ever did and does not now: turns are taken by tenant, in the order of that.
    pub last_ran: Option<UnixMillis>,
    /// The epoch of its last lease, ended or not; 0 before the first. Whoever makes a job anew under an old name goes
    /// on from there.
    pub epoch: u64,
    /// The slots that it holds, by TaskManager, with their lease.
    pub current: Option<Placed>,
}

/// What one slot of a job takes up.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotCost {
    /// Bytes of memory.
    pub memory: u64,
    /// Fuel a second.
    pub fuel: u64,
}

impl SlotCost {
    /// What a slot has beside its functions' instances, in bytes: batches, decoders, encoders and the regions by which
    /// they come and go.
    pub const BASE_MEMORY: u64 = 64 << 20;

    /// What a slot that runs `plan` takes up at most: an instance with its memory and stack for every function, and
    /// [`Self::BASE_MEMORY`]. `fuel` a second is what was asked for at submission, because no manifest says.
    pub fn of(plan: &Plan, fuel: u64) -> Self {
        let functions = plan.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Function(_))).count();
        let each = plan.limits.memory.saturating_add(plan.limits.stack);
        let memory = each.saturating_mul(functions as u64).saturating_add(Self::BASE_MEMORY);
        Self { memory, fuel }
    }
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

    /// The slots of one TaskManager: the number of the first of them, and how many. The slots of a job are numbered over
    /// all its TaskManagers, in the order of their names.
    pub fn range(&self, name: &Name) -> Option<(u32, u32)> {
        let slots = *self.slots.get(name)?;
        let before = self.slots.iter().take_while(|(other, _)| *other < name);
        Some((before.fold(0, |sum, (_, slots)| sum.saturating_add(*slots)), slots))
    }
}

/// How patient placement is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// How long a lease lasts from the last time that it was renewed.
    pub lease: Duration,
    /// How long a tenant that has nothing waits at most before it gets a turn, and how long a turn is at least.
    pub patience: Duration,
    /// How long a job runs unchanged at least before it is given more slots, which costs it a restart.
    pub cooldown: Duration,
    /// The most jobs for whose sake others give way in one round.
    pub most_preemptions: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            patience: Duration::from_secs(300),
            cooldown: Duration::from_secs(30),
            most_preemptions: 64,
        }
    }
}

/// Where jobs run, and why others do not.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The jobs that have slots, at least their least parallelism each. The epoch is a new one where the slots are.
    pub placed: BTreeMap<JobId, Placed>,
    /// The jobs that have none.
    pub waiting: BTreeMap<JobId, Waits>,
    /// Slots that jobs which ran before now have elsewhere.
    pub moved: u64,
}

/// What a job waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waits {
    /// A TaskManager that offers all its volumes.
    Volumes,
    /// Slots with enough memory.
    Slots,
    /// Its tenant's quota of slots.
    QuotaSlots,
    /// Its tenant's quota of memory.
    QuotaMemory,
    /// Its tenant's quota of fuel.
    QuotaFuel,
}

#[cfg(test)]
mod tests;
