//! Placement: what must hold of every answer, of every two answers, and over time.

mod fairness;
mod properties;
mod rules;

use super::*;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A job that wants one slot of one byte.
pub(super) fn job(id: &str, least: u32, desired: u32) -> Job {
    let (tenant, job) = id.split_once('/').unwrap();
    Job {
        id: JobId { tenant: name(tenant), name: name(job) },
        parallelism: Parallelism { min: least, max: desired.max(least) },
        desired,
        weight: 1,
        slot: SlotCost { memory: 1, fuel: 1 },
        volumes: BTreeSet::new(),
        since: UnixMillis(0),
        last_ran: None,
        epoch: 0,
        current: None,
    }
}

pub(super) fn taskmanager(text: &str, slots: u32, memory: u64) -> TaskManager {
    TaskManager { name: name(text), state: Availability::Active, slots, memory, volumes: BTreeSet::new() }
}

/// A cluster over time: what placement says becomes what is.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub jobs: Vec<Job>,
    pub taskmanagers: Vec<TaskManager>,
    pub quotas: BTreeMap<Name, Quota>,
    pub rules: Rules,
    pub now: UnixMillis,
}

impl World {
    pub fn new(jobs: Vec<Job>, taskmanagers: Vec<TaskManager>) -> Self {
        let (quotas, rules, now) = (BTreeMap::new(), Rules::default(), UnixMillis(1_000_000));
        Self { jobs, taskmanagers, quotas, rules, now }
    }

    pub fn place(&self) -> Placement {
        place(&self.jobs, &self.taskmanagers, &self.quotas, &self.rules, self.now)
    }

    /// Makes what is of what was decided.
    pub fn apply(&mut self, placement: &Placement) {
        for job in &mut self.jobs {
            let placed = placement.placed.get(&job.id).cloned();
            let slots = |placed: &Option<Placed>| placed.as_ref().map(|placed| placed.slots.clone());
            if slots(&placed) != slots(&job.current) {
                job.since = self.now;
            }
            if job.current.is_some() || placed.is_some() {
                job.last_ran = Some(self.now).filter(|_| placed.is_none());
            }
            job.epoch = placed.as_ref().map_or(job.epoch, |placed| placed.lease.epoch);
            job.current = placed;
        }
    }

    /// A round: decides, checks, applies.
    pub fn round(&mut self) -> Placement {
        let placement = self.place();
        self.check(&placement);
        self.apply(&placement);
        placement
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    pub fn slots(&self, placement: &Placement, tenant: &str) -> u32 {
        let of = placement.placed.iter().filter(|(id, _)| id.tenant.as_str() == tenant);
        of.map(|(_, placed)| placed.parallelism()).sum()
    }

    /// What holds of every answer to this input.
    pub fn check(&self, placement: &Placement) {
        let jobs: BTreeMap<&JobId, &Job> = self.jobs.iter().map(|job| (&job.id, job)).collect();
        let mut used: BTreeMap<&Name, (u64, u64)> = BTreeMap::new();
        let mut tenants: BTreeMap<&Name, (u64, u64, u64)> = BTreeMap::new();
        for (id, placed) in &placement.placed {
            let job = jobs[id];
            let slots = placed.parallelism();
            let Parallelism { min, max } = job.parallelism;
            assert!((min..=max).contains(&slots) && slots <= job.desired.max(min), "{id} has {slots} slots");
            let tenant = tenants.entry(&id.tenant).or_default();
            tenant.0 += u64::from(slots);
            tenant.1 += u64::from(slots) * job.slot.memory;
            tenant.2 += u64::from(slots) * job.slot.fuel;
            for (name, slots) in &placed.slots {
                assert!(*slots > 0, "{id} has no slots on {name}");
                let room = used.entry(name).or_default();
                room.0 += u64::from(*slots);
                room.1 += u64::from(*slots) * job.slot.memory;
                let offer = self.taskmanagers.iter().find(|offer| offer.name == *name).expect("a TaskManager");
                assert!(job.volumes.is_subset(&offer.volumes), "{id} lacks volumes on {name}");
                let had = job.current.as_ref().and_then(|current| current.slots.get(name)).copied();
                match offer.state {
                    Availability::Active => {}
                    Availability::Cordoned => assert!(had.unwrap_or_default() >= *slots, "{id} is new on {name}"),
                    state => panic!("{id} is on {name}, which is {state:?}"),
                }
            }
            // The epoch is a new one where anything is; a lease that has ended is never renewed.
            let known = job.current.as_ref().map_or(0, |current| current.lease.epoch).max(job.epoch);
            match &job.current {
                Some(current) if current.slots == placed.slots && current.lease.until > self.now => {
                    assert_eq!(current.lease.epoch, placed.lease.epoch, "{id}");
                    assert!(placed.lease.until >= current.lease.until, "{id}");
                }
                _ => assert!(placed.lease.epoch > known, "{id} keeps epoch {known}"),
            }
            assert!(placed.lease.until >= self.now.plus(self.rules.lease));
        }
        for (name, (slots, memory)) in used {
            let offer = self.taskmanagers.iter().find(|offer| offer.name == *name).unwrap();
            assert!(slots <= offer.slots.into() && memory <= offer.memory, "{name} holds {slots} slots, {memory} B");
        }
        for (name, (slots, memory, fuel)) in tenants {
            let quota = self.quotas.get(name).copied().unwrap_or_default();
            assert!(quota.slots.is_none_or(|most| slots <= most), "{name} has {slots} slots");
            assert!(quota.memory.is_none_or(|most| memory <= most), "{name} has {memory} B");
            assert!(quota.fuel.is_none_or(|most| fuel <= most), "{name} has {fuel} fuel/s");
        }
        assert_eq!(placement.placed.len() + placement.waiting.len(), jobs.len());
        assert!(placement.waiting.keys().all(|id| !placement.placed.contains_key(id)));
    }
}
