//! One round of placement: what stays, what is mended, who gets what is free, and who grows.
//!
//! In this order, each step on what the ones before it left:
//!
//! 1. *keep*: every job that runs keeps its slots, as far as they, the quota and the wish for them are still there;
//! 2. *mend*: jobs that lost slots get others, the longest-running first, before anything new starts;
//! 3. *turns*: a tenant that has nothing and has waited too long gets a turn (see [`super::preempt`]);
//! 4. *fill*: of what is free, the tenant with the least for its weight is given the next job's least slots;
//! 5. *own and dues*: what a tenant's jobs have above their least goes to its jobs that have nothing; a tenant below
//!    what is due to it is given from those above theirs; what is free after that is filled;
//! 6. *grow*: what is still free goes to jobs that would like more, by the same rule, a slot at a time.

use super::fair::{Total, per_weight};
use super::room::{Held, Rooms};
use super::{Job, JobId, Lease, Placed, Placement, Quota, Rules, TaskManager, Waits};
use crate::name::Name;
use crate::time::UnixMillis;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// A round under way.
pub(super) struct Round<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) rooms: Rooms,
    pub(super) total: Total,
    /// For each set of volumes that a job needs, which rooms offer it.
    pub(super) classes: Vec<Vec<bool>>,
    pub(super) rules: Rules,
    pub(super) now: UnixMillis,
    names: Vec<&'a Name>,
    /// Class, slots and memory of what did not fit: nothing that fills makes it fit again.
    full: BTreeSet<(usize, u32, u64)>,
}

/// A job.
pub(super) struct Entry<'a> {
    pub(super) job: &'a Job,
    pub(super) tenant: usize,
    pub(super) class: usize,
    /// The slots that it comes with, on TaskManagers that are known.
    pub(super) before: Held,
    /// Those that it has by now.
    pub(super) held: Held,
    pub(super) slots: u32,
    waits: Waits,
}

/// What a tenant may have and has.
#[derive(Default)]
pub(super) struct Tenant {
    quota: Quota,
    pub(super) slots: u64,
    pub(super) memory: u64,
    fuel: u64,
}

impl Entry<'_> {
    pub(super) fn least(&self) -> u32 {
        self.job.parallelism.min.max(1)
    }

    pub(super) fn wanted(&self) -> u32 {
        self.job.desired.min(self.job.parallelism.max).max(self.least())
    }

    pub(super) fn memory(&self) -> u64 {
        self.job.slot.memory
    }

    /// How long it has waited, for its weight.
    pub(super) fn waited(&self, now: UnixMillis) -> u128 {
        now.since(self.job.since).as_millis().saturating_mul(self.job.weight.max(1).into())
    }

    /// Whether it came with slots; they may have been lost since.
    fn ran(&self) -> bool {
        self.job.current.as_ref().is_some_and(|current| !current.slots.is_empty())
    }
}

impl Tenant {
    pub(super) fn weight(&self) -> u32 {
        self.quota.weight.max(1)
    }

    /// So many slots and bytes, as far as the quota allows.
    pub(super) fn within(&self, slots: u64, memory: u64) -> (u64, u64) {
        (slots.min(self.quota.slots.unwrap_or(u64::MAX)), memory.min(self.quota.memory.unwrap_or(u64::MAX)))
    }
}

impl<'a> Round<'a> {
    pub(super) fn new(
        jobs: &'a [Job],
        taskmanagers: &'a [TaskManager],
        quotas: &BTreeMap<Name, Quota>,
        rules: &Rules,
        now: UnixMillis,
    ) -> Self {
        let offers: BTreeMap<&Name, &TaskManager> = taskmanagers.iter().map(|offer| (&offer.name, offer)).collect();
        let index: BTreeMap<&Name, usize> = offers.keys().enumerate().map(|(at, name)| (*name, at)).collect();
        let (mut classes, mut class_of, mut tenants, mut tenant_of) =
            (Vec::new(), BTreeMap::new(), Vec::new(), BTreeMap::new());
        let sorted: BTreeMap<&JobId, &Job> = jobs.iter().map(|job| (&job.id, job)).collect();
        let mut entries = Vec::with_capacity(sorted.len());
        for (id, job) in sorted {
            let class = *class_of.entry(&job.volumes).or_insert_with(|| {
                classes.push(offers.values().map(|offer| job.volumes.is_subset(&offer.volumes)).collect());
                classes.len() - 1
            });
            let tenant = *tenant_of.entry(&id.tenant).or_insert_with(|| {
                let quota = quotas.get(&id.tenant).copied().unwrap_or_default();
                tenants.push(Tenant { quota, ..Tenant::default() });
                tenants.len() - 1
            });
            let current = job.current.iter().flat_map(|current| &current.slots);
            let before = current.filter_map(|(name, slots)| Some((*index.get(name)?, *slots))).collect();
            let (held, slots, waits) = (Held::new(), 0, Waits::Slots);
            entries.push(Entry { job, tenant, class, before, held, slots, waits });
        }
        let rooms = Rooms::new(&offers.values().copied().collect::<Vec<_>>());
        let (slots, memory) = rooms.total();
        let (names, total, rules) = (offers.into_keys().collect(), Total { slots, memory }, *rules);
        Self { entries, tenants, rooms, total, classes, rules, now, names, full: BTreeSet::new() }
    }

    pub(super) fn run(mut self) -> Placement {
        let mut ran: Vec<usize> = self.indexes(Entry::ran);
        ran.sort_by_key(|index| (self.entries.get(*index).map(|entry| entry.job.since), *index));
        for least in [true, false] {
            ran.iter().for_each(|index| self.keep(*index, least));
        }
        ran.iter().for_each(|index| self.mend(*index));
        self.give_turns();
        self.fill();
        let own = self.give_own();
        if self.give_dues() || own {
            self.full.clear();
            self.fill();
        }
        self.grow();
        self.finish()
    }

    /// The entries of which `choose` says so.
    pub(super) fn indexes(&self, choose: impl Fn(&Entry<'a>) -> bool) -> Vec<usize> {
        self.entries.iter().enumerate().filter(|(_, entry)| choose(entry)).map(|(index, _)| index).collect()
    }

    /// Keeps the least or all slots that a job comes with, a slot of each TaskManager in turn.
    fn keep(&mut self, index: usize, least: bool) {
        let Some(entry) = self.entries.get(index) else { return };
        let goal = if least { entry.least() } else { entry.wanted() };
        let (memory, before) = (entry.memory(), entry.before.clone());
        if least && self.allowed(index, goal).is_err() {
            return;
        }
        let mut more = true;
        while more {
            more = false;
            for (room, had) in &before {
                let Some(entry) = self.entries.get(index) else { return };
                let held = entry.held.get(room).copied().unwrap_or_default();
                let offered = self.classes.get(entry.class).and_then(|class| class.get(*room)) == Some(&true);
                let free = offered && held < *had && entry.slots < goal && self.rooms.kept(*room, 1, memory) > 0;
                if free && (least || self.allowed(index, 1).is_ok()) {
                    self.take(index, *room, 1);
                    more = true;
                }
            }
        }
    }

    /// Gives a job that lost slots its least number of them, or takes away what it has left.
    fn mend(&mut self, index: usize) {
        let Some(entry) = self.entries.get(index) else { return };
        let missing = entry.least().saturating_sub(entry.slots);
        if missing > 0 && !self.give(index, missing) {
            self.vacate(index);
        }
    }

    /// Gives waiting jobs their least slots: first the tenant that has least for its weight, of it first the job that
    /// has waited longest.
    fn fill(&mut self) {
        let mut queues = self.queues();
        let mut next: BinaryHeap<_> = queues.keys().map(|tenant| Reverse((self.weighted(*tenant), *tenant))).collect();
        while let Some(Reverse((_, tenant))) = next.pop() {
            let Some(queue) = queues.get_mut(&tenant) else { continue };
            let given = queue.find(|index| {
                let least = self.entries.get(*index).map_or(1, Entry::least);
                self.give(*index, least)
            });
            if given.is_some() {
                next.push(Reverse((self.weighted(tenant), tenant)));
            }
        }
    }

    /// The jobs without slots by tenant, the longest wait first.
    pub(super) fn queues(&self) -> BTreeMap<usize, std::vec::IntoIter<usize>> {
        let mut queues: BTreeMap<usize, Vec<(Reverse<u128>, usize)>> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.slots == 0) {
            queues.entry(entry.tenant).or_default().push((Reverse(entry.waited(self.now)), index));
        }
        let sorted = queues.into_iter().map(|(tenant, mut queue)| {
            queue.sort_unstable();
            (tenant, queue.into_iter().map(|(_, index)| index).collect::<Vec<_>>().into_iter())
        });
        sorted.collect()
    }

    /// Gives jobs more slots, as many as they would like: first the tenant with the least, of it the job with the least
    /// of what it wants.
    fn grow(&mut self) {
        let part = |entry: &Entry<'_>| (u64::from(entry.slots) << 32) / u64::from(entry.wanted());
        let mut queues: BTreeMap<usize, BinaryHeap<Reverse<(u64, usize)>>> = BTreeMap::new();
        for index in self.indexes(|entry| self.may_grow(entry)) {
            let Some(entry) = self.entries.get(index) else { continue };
            queues.entry(entry.tenant).or_default().push(Reverse((part(entry), index)));
        }
        let mut next: BinaryHeap<_> = queues.keys().map(|tenant| Reverse((self.weighted(*tenant), *tenant))).collect();
        while let Some(Reverse((_, tenant))) = next.pop() {
            let Some(queue) = queues.get_mut(&tenant) else { continue };
            let Some(Reverse((_, index))) = queue.pop() else { continue };
            if self.give(index, 1)
                && let Some(entry) = self.entries.get(index).filter(|entry| entry.slots < entry.wanted())
            {
                queue.push(Reverse((part(entry), index)));
            }
            next.push(Reverse((self.weighted(tenant), tenant)));
        }
    }

    /// Whether it has slots, would like more, and is restarted anyway or has run long enough.
    fn may_grow(&self, entry: &Entry<'_>) -> bool {
        let rested = self.now.since(entry.job.since) >= self.rules.cooldown;
        // It restarts in any case if its lease has ended or its slots are others.
        let current = entry.job.current.as_ref().filter(|current| current.lease.until > self.now);
        let same =
            current.is_some_and(|current| current.slots.len() == entry.before.len() && entry.held == entry.before);
        entry.slots > 0 && entry.slots < entry.wanted() && (rested || !same)
    }

    fn finish(self) -> Placement {
        let mut placement = Placement::default();
        for entry in &self.entries {
            let job = entry.job;
            if entry.slots == 0 {
                placement.waiting.insert(job.id.clone(), entry.waits);
                continue;
            }
            let named =
                entry.held.iter().filter_map(|(index, slots)| Some(((*self.names.get(*index)?).clone(), *slots)));
            let slots: BTreeMap<Name, u32> = named.collect();
            let until = self.now.plus(self.rules.lease);
            let lease = match &job.current {
                // A lease that has ended is not renewed: the tasks under it have ended as well.
                Some(current) if current.slots == slots && current.lease.until > self.now => {
                    Lease { epoch: current.lease.epoch, until: until.max(current.lease.until) }
                }
                current => {
                    let known = current.as_ref().map_or(0, |current| current.lease.epoch).max(job.epoch);
                    Lease { epoch: known.saturating_add(1), until }
                }
            };
            placement.moved += moved(entry);
            placement.placed.insert(job.id.clone(), Placed { lease, slots });
        }
        placement
    }

    /// Gives a job more slots, if the quota and the rooms allow.
    pub(super) fn give(&mut self, index: usize, slots: u32) -> bool {
        let found = self.find(index, slots);
        let Some(entry) = self.entries.get_mut(index) else { return false };
        match found {
            Ok(found) => {
                found.into_iter().for_each(|(room, slots)| self.take(index, room, slots));
                true
            }
            Err(waits) => {
                entry.waits = waits;
                false
            }
        }
    }

    /// As [`Self::give`], when others have made room.
    pub(super) fn fits_now(&mut self, index: usize, slots: u32) -> bool {
        self.full.clear();
        self.give(index, slots)
    }

    fn find(&mut self, index: usize, slots: u32) -> Result<Held, Waits> {
        let entry = self.entries.get(index).ok_or(Waits::Slots)?;
        self.allowed(index, slots)?;
        let class = self.classes.get(entry.class).ok_or(Waits::Volumes)?;
        if !class.contains(&true) {
            return Err(if class.is_empty() { Waits::Slots } else { Waits::Volumes });
        }
        let tried = (entry.class, slots, entry.memory());
        if self.full.contains(&tried) {
            return Err(Waits::Slots);
        }
        let found = self.rooms.find(class, entry.memory(), slots, &entry.held);
        found.ok_or_else(|| {
            self.full.insert(tried);
            Waits::Slots
        })
    }

    /// Whether the tenant's quota lets a job have so many slots more.
    pub(super) fn allowed(&self, index: usize, slots: u32) -> Result<(), Waits> {
        let entry = self.entries.get(index).ok_or(Waits::Slots)?;
        let tenant = self.tenants.get(entry.tenant).ok_or(Waits::Slots)?;
        let (quota, slots) = (&tenant.quota, u64::from(slots));
        let over = |quota: Option<u64>, has: u64, each: u64| {
            quota.is_some_and(|most| u128::from(has) + u128::from(each) * u128::from(slots) > u128::from(most))
        };
        match entry.job.slot {
            _ if over(quota.slots, tenant.slots, 1) => Err(Waits::QuotaSlots),
            cost if over(quota.memory, tenant.memory, cost.memory) => Err(Waits::QuotaMemory),
            cost if over(quota.fuel, tenant.fuel, cost.fuel) => Err(Waits::QuotaFuel),
            _ => Ok(()),
        }
    }

    /// Takes slots for a job.
    pub(super) fn take(&mut self, index: usize, room: usize, slots: u32) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let Some(tenant) = self.tenants.get_mut(entry.tenant) else { return };
        self.rooms.take(room, slots, entry.memory());
        *entry.held.entry(room).or_default() += slots;
        entry.slots += slots;
        let cost = entry.job.slot;
        tenant.slots += u64::from(slots);
        tenant.memory = tenant.memory.saturating_add(cost.memory.saturating_mul(slots.into()));
        tenant.fuel = tenant.fuel.saturating_add(cost.fuel.saturating_mul(slots.into()));
    }

    /// Takes slots from a job, of those that it holds in a room.
    pub(super) fn release(&mut self, index: usize, room: usize, slots: u32) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let Some(tenant) = self.tenants.get_mut(entry.tenant) else { return };
        let Some(held) = entry.held.get_mut(&room) else { return };
        let slots = slots.min(*held);
        *held -= slots;
        if *held == 0 {
            entry.held.remove(&room);
        }
        entry.slots -= slots;
        self.rooms.give(room, slots, entry.memory());
        let cost = entry.job.slot;
        tenant.slots = tenant.slots.saturating_sub(slots.into());
        tenant.memory = tenant.memory.saturating_sub(cost.memory.saturating_mul(slots.into()));
        tenant.fuel = tenant.fuel.saturating_sub(cost.fuel.saturating_mul(slots.into()));
    }

    /// Takes all slots from a job.
    fn vacate(&mut self, index: usize) {
        let held = self.entries.get(index).map(|entry| entry.held.clone()).unwrap_or_default();
        held.into_iter().for_each(|(room, slots)| self.release(index, room, slots));
        self.full.clear();
    }

    /// A tenant's share of the cluster, for its weight.
    pub(super) fn weighted(&self, tenant: usize) -> u128 {
        self.tenants
            .get(tenant)
            .map_or(0, |tenant| per_weight(self.total.share(tenant.slots, tenant.memory), tenant.weight()))
    }
}

/// Slots that a job had elsewhere before.
fn moved(entry: &Entry<'_>) -> u64 {
    let stayed: u32 =
        entry.held.iter().map(|(room, slots)| entry.before.get(room).copied().unwrap_or_default().min(*slots)).sum();
    let had = entry.job.current.as_ref().map_or(0, Placed::parallelism);
    entry.slots.saturating_sub(stayed).min(had.saturating_sub(stayed)).into()
}
