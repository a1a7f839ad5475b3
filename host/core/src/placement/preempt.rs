//! Who gives way to whom. Jobs on streams do not end, so a cluster that is full would stay whose it is.
//!
//! *Own*: the slots that a tenant's jobs have above their least give way to its jobs that have none.
//!
//! *Dues*: a tenant below what is due to it by weight takes from tenants above theirs, as long as neither the one comes
//! above nor the others below: so nobody ever takes back what he gave, and placement comes to rest.
//!
//! *Turns*: slots cannot be divided, so that the due of many small tenants is less than one. A tenant that has nothing
//! and has waited for longer than [`Rules::patience`](super::Rules::patience) gets a turn from whoever has had his for
//! as long, those with most for their weight first. If none has, the place is kept free for him until one has: turns
//! are in the order of waiting, without overtaking.

use super::fair::due;
use super::room::Held;
use super::round::{Entry, Round};
use crate::time::UnixMillis;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// What shares and dues may be off by because they are whole numbers; far less than a slot's share.
const ROUNDING: u128 = 1 << 8;

/// By which rule others give way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule<'d> {
    Own,
    Turn,
    Due(&'d [u128]),
}

/// What can be taken away at once.
#[derive(Clone, Copy)]
struct Unit {
    entry: usize,
    /// A slot above the least in this room, or the whole job.
    extra: Option<usize>,
}

impl Round<'_> {
    /// Gives a turn to tenants that have nothing, in the order of their waiting.
    pub(super) fn give_turns(&mut self) {
        let since = self.poor_since();
        let mut waiting: Vec<(UnixMillis, usize)> = Vec::new();
        for (tenant, mut queue) in self.queues() {
            let Some(since) = since.get(&tenant).filter(|since| self.is_over(**since)) else { continue };
            let job = queue.find(|index| {
                self.entries.get(*index).is_some_and(|entry| self.is_over(entry.job.since)) && self.could_ever(*index)
            });
            waiting.extend(job.map(|index| (*since, index)));
        }
        if waiting.is_empty() {
            return;
        }
        waiting.sort_unstable();
        let dues = self.dues();
        for (_, index) in waiting.into_iter().take(self.rules.most_preemptions) {
            let least = self.entries.get(index).map_or(1, Entry::least);
            let due = |round: &mut Self| round.is_due(index, &dues) && round.displace(index, Rule::Due(&dues));
            if self.give(index, least) || due(self) || self.displace(index, Rule::Turn) {
                continue;
            }
            let class = self.entries.get(index).and_then(|entry| self.classes.get(entry.class));
            if let Some(class) = class {
                self.rooms.close(class);
            }
            return;
        }
    }

    /// Since when each tenant that has no slots has had none: since it last had some, or since its first job came.
    fn poor_since(&self) -> BTreeMap<usize, UnixMillis> {
        let mut since: BTreeMap<usize, (Option<UnixMillis>, UnixMillis)> = BTreeMap::new();
        let poor = |entry: &&Entry<'_>| self.tenants.get(entry.tenant).is_some_and(|tenant| tenant.slots == 0);
        for entry in self.entries.iter().filter(poor) {
            let (ran, came) = since.entry(entry.tenant).or_insert((None, entry.job.since));
            // A job that lost its slots in this very round had them until now.
            let until_now = entry.job.current.as_ref().map(|_| self.now);
            *ran = (*ran).max(entry.job.last_ran).max(until_now);
            *came = (*came).min(entry.job.since);
        }
        since.into_iter().map(|(tenant, (ran, came))| (tenant, ran.unwrap_or(came))).collect()
    }

    /// Whether so long a time is over patience.
    fn is_over(&self, since: UnixMillis) -> bool {
        self.now.since(since) >= self.rules.patience
    }

    /// Gives jobs that wait what others of their tenant have above their least; whether any did.
    pub(super) fn give_own(&mut self) -> bool {
        let mut extras = vec![0_u64; self.tenants.len()];
        for entry in self.entries.iter().filter(|entry| entry.slots > entry.least()) {
            if let Some(extras) = extras.get_mut(entry.tenant) {
                *extras += u64::from(entry.slots - entry.least());
            }
        }
        let (mut given, mut tried) = (0, 0);
        let most = self.rules.most_preemptions;
        for (tenant, queue) in self.queues() {
            let mut vain = BTreeSet::new();
            for index in queue.filter(|_| extras.get(tenant).is_some_and(|extras| *extras > 0)) {
                let Some(entry) = self.entries.get(index) else { continue };
                let asked = (entry.class, entry.least(), entry.job.slot);
                if given == most || tried == most.saturating_mul(4) {
                    return given > 0;
                }
                if vain.contains(&asked) {
                    continue;
                }
                tried += 1;
                if self.displace(index, Rule::Own) {
                    given += 1;
                } else {
                    vain.insert(asked);
                }
            }
        }
        given > 0
    }

    /// Gives tenants what is due to them; whether anybody gave way.
    pub(super) fn give_dues(&mut self) -> bool {
        let mut queues = self.queues();
        if queues.is_empty() {
            return false;
        }
        let dues = self.dues();
        let mut next: BinaryHeap<_> = queues.keys().map(|tenant| Reverse((self.weighted(*tenant), *tenant))).collect();
        let (mut given, mut tried, mut vain) = (0, 0, BTreeSet::new());
        let most = self.rules.most_preemptions;
        while let Some(Reverse((_, tenant))) = next.pop() {
            let Some(queue) = queues.get_mut(&tenant) else { continue };
            for index in queue.by_ref() {
                let Some(entry) = self.entries.get(index) else { continue };
                let asked = (entry.class, entry.least(), entry.memory());
                if vain.contains(&asked) || !self.is_due(index, &dues) || !self.could_ever(index) {
                    continue;
                }
                if given == most || tried == most.saturating_mul(4) {
                    return given > 0;
                }
                tried += 1;
                if self.displace(index, Rule::Due(&dues)) {
                    given += 1;
                    next.push(Reverse((self.weighted(tenant), tenant)));
                    break;
                }
                vain.insert(asked);
            }
        }
        given > 0
    }

    /// What is due to each tenant: by what all its jobs would like, within its quota.
    fn dues(&self) -> Vec<u128> {
        let mut wants = vec![(0_u64, 0_u64); self.tenants.len()];
        for entry in &self.entries {
            let Some((slots, memory)) = wants.get_mut(entry.tenant) else { continue };
            *slots = slots.saturating_add(entry.wanted().into());
            *memory = memory.saturating_add(entry.memory().saturating_mul(entry.wanted().into()));
        }
        let shares = wants.iter().zip(&self.tenants).map(|((slots, memory), tenant)| {
            let (slots, memory) = tenant.within(*slots, *memory);
            (self.total.share(slots, memory), tenant.weight())
        });
        due(&shares.collect::<Vec<_>>())
    }

    /// Whether a job would leave its tenant within its due and its quota.
    fn is_due(&self, index: usize, dues: &[u128]) -> bool {
        let Some(entry) = self.entries.get(index) else { return false };
        let Some((tenant, due)) = self.tenants.get(entry.tenant).zip(dues.get(entry.tenant)) else { return false };
        let memory = entry.memory().saturating_mul(entry.least().into());
        let after = (tenant.slots.saturating_add(entry.least().into()), tenant.memory.saturating_add(memory));
        self.total.share(after.0, after.1) <= *due && self.allowed(index, entry.least()).is_ok()
    }

    /// Whether a job would fit if no other had anything.
    fn could_ever(&self, index: usize) -> bool {
        let Some(entry) = self.entries.get(index) else { return false };
        let Some(class) = self.classes.get(entry.class) else { return false };
        self.allowed(index, entry.least()).is_ok() && self.rooms.could(class, entry.memory()) >= entry.least().into()
    }

    /// Gives a job its least slots at the cost of others, or leaves everything as it was.
    fn displace(&mut self, index: usize, rule: Rule<'_>) -> bool {
        let Some(entry) = self.entries.get(index) else { return false };
        let (memory, least) = (entry.memory(), entry.least());
        let (needed, class_index) = (u64::from(least), entry.class);
        let mut units = self.units(index, rule);
        let Some(class) = self.classes.get(class_index).cloned() else { return false };
        let free = |round: &Self| round.rooms.capacity(&class, memory);
        let mut available = free(self);
        let mut richest: BinaryHeap<_> =
            units.keys().map(|tenant| (self.weighted(*tenant), Reverse(*tenant))).collect();
        let mut taken: Vec<(Unit, Held)> = Vec::new();
        while available < needed || self.allowed(index, least).is_err() {
            let Some((_, Reverse(tenant))) = richest.pop() else { break };
            let Some(unit) = units.get_mut(&tenant).and_then(Vec::pop) else { continue };
            let slots = self.slots_of(unit);
            if self.may_lose(tenant, unit.entry, &slots, rule) {
                for (room, slots) in &slots {
                    let before = self.usable(&class, *room, memory);
                    self.release(unit.entry, *room, *slots);
                    available += self.usable(&class, *room, memory).saturating_sub(before);
                }
                taken.push((unit, slots));
            }
            richest.push((self.weighted(tenant), Reverse(tenant)));
        }
        // What turned out not to be needed goes back, the last first; all of it if it was not enough.
        let enough = available >= needed && self.allowed(index, least).is_ok();
        for (Unit { entry, extra }, slots) in taken.into_iter().rev() {
            // More than the least means nothing without it.
            if enough && extra.is_some() && self.entries.get(entry).is_some_and(|entry| entry.slots == 0) {
                continue;
            }
            slots.iter().for_each(|(room, slots)| self.take(entry, *room, *slots));
            if enough && (free(self) < needed || self.allowed(index, least).is_err()) {
                slots.iter().for_each(|(room, slots)| self.release(entry, *room, *slots));
            }
        }
        enough && self.fits_now(index, least)
    }

    /// Slots that fit into a room, if it is of the class.
    fn usable(&self, class: &[bool], room: usize, memory: u64) -> u64 {
        if class.get(room) == Some(&true) { self.rooms.fits(room, memory) } else { 0 }
    }

    /// What others could give up for this job, by tenant, the first to go last.
    fn units(&self, index: usize, rule: Rule<'_>) -> BTreeMap<usize, Vec<Unit>> {
        let Some(mine) = self.entries.get(index) else { return BTreeMap::new() };
        let Some(class) = self.classes.get(mine.class) else { return BTreeMap::new() };
        let over_quota = self.allowed(index, mine.least()).is_err();
        let helps = |room: &usize| over_quota || class.get(*room) == Some(&true) && self.rooms.is_open(*room);
        let mut units: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let concerned = (entry.tenant == mine.tenant) == (rule == Rule::Own);
            let other = concerned && entry.slots > 0 && entry.held.keys().any(helps);
            let rested = !entry.before.is_empty() && self.is_over(entry.job.since);
            if !other || (rule == Rule::Turn && !rested) {
                continue;
            }
            let list = units.entry(entry.tenant).or_default();
            // Who is due gives the newest away first, who has had his turn the oldest.
            let age = entry.job.since.0;
            let order = if rule == Rule::Turn { u64::MAX - age } else { age };
            if rule != Rule::Own {
                list.push(((false, order, at), Unit { entry: at, extra: None }));
            }
            let extras = entry.held.iter().filter(|(room, _)| helps(room));
            let extras = extras.flat_map(|(room, slots)| (0..*slots).map(|_| *room));
            for room in extras.take(entry.slots.saturating_sub(entry.least()) as usize) {
                list.push(((true, order, at), Unit { entry: at, extra: Some(room) }));
            }
        }
        let sorted = units.into_iter().map(|(tenant, mut list)| {
            list.sort_by_key(|(key, _)| *key);
            (tenant, list.into_iter().map(|(_, unit)| unit).collect())
        });
        sorted.collect()
    }

    fn slots_of(&self, unit: Unit) -> Held {
        match unit.extra {
            Some(room) => Held::from([(room, 1)]),
            None => self.entries.get(unit.entry).map(|entry| entry.held.clone()).unwrap_or_default(),
        }
    }

    /// Whether the rule lets a tenant lose these slots.
    fn may_lose(&self, tenant: usize, entry: usize, slots: &Held, rule: Rule<'_>) -> bool {
        let Rule::Due(dues) = rule else { return true };
        let lost: u64 = slots.values().map(|slots| u64::from(*slots)).sum();
        let memory = self.entries.get(entry).map_or(0, |entry| entry.memory().saturating_mul(lost));
        let has = self.tenants.get(tenant).zip(dues.get(tenant));
        has.is_some_and(|(has, due)| {
            self.total.share(has.slots.saturating_sub(lost), has.memory.saturating_sub(memory)) + ROUNDING >= *due
        })
    }
}
