//! What TaskManagers say and are told, and how long what they were told is good for.
//!
//! A lease is renewed with every message, and ends by itself where no message comes. So a TaskManager that is silent is
//! told nothing: from then on its tasks live no longer than [`View::lease_end`] says, whatever becomes of it.

use super::{Execution, Facts, Holding, Job, Observed, Order, Phase, Settings, Status, Step, Task};
use lockgate_core::placement::{Availability, JobId, Lease, Placed, TaskManager};
use lockgate_core::{Name, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};

/// The facts, as they are looked at.
pub(super) struct View<'a> {
    pub(super) facts: &'a Facts,
    pub(super) settings: &'a Settings,
    pub(super) now: UnixMillis,
    tasks: BTreeMap<(&'a Name, &'a JobId), &'a Task>,
}

/// How a TaskManager that holds slots of a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Contact {
    /// Heard of.
    Good,
    /// Not heard of; its leases may be good.
    Silent,
    /// Not heard of; its leases have ended.
    Lost,
}

impl<'a> View<'a> {
    pub(super) fn new(facts: &'a Facts, settings: &'a Settings, now: UnixMillis) -> Self {
        let all = facts.taskmanagers.iter();
        let tasks = all.flat_map(|(name, seen)| seen.tasks.iter().map(move |task| ((name, &task.job), task)));
        Self { facts, settings, now, tasks: tasks.collect() }
    }

    pub(super) fn contact(&self, name: &Name) -> Contact {
        let heard = self.facts.taskmanagers.get(name).map_or(self.facts.started, |seen| seen.heard);
        if self.now.since(heard) <= self.settings.silence {
            Contact::Good
        } else if self.now < self.lease_end(name).plus(self.settings.skew) {
            Contact::Silent
        } else {
            Contact::Lost
        }
    }

    /// Until when the newest lease is good that a TaskManager can have.
    pub(super) fn lease_end(&self, name: &Name) -> UnixMillis {
        self.told(name).plus(self.settings.rules.lease)
    }

    /// Until when what a job holds there can be good. A JobManager before this one may have given longer leases, and by a clock
    /// that was ahead: of what it gave then only the length means anything.
    pub(super) fn holding_end(&self, name: &Name, holding: &Holding) -> UnixMillis {
        let until = holding.placed.lease.until;
        let end = self.told(name).plus(self.settings.rules.lease.max(until.since(holding.since)));
        if holding.since > self.now { end } else { end.max(until) }
    }

    /// A moment that the record has. One that lies ahead was noted by a clock that was: it counts as this JobManager's start.
    pub(super) fn noted(&self, at: UnixMillis) -> UnixMillis {
        if at > self.now { self.facts.started } else { at }
    }

    /// When a TaskManager can have been told something last.
    fn told(&self, name: &Name) -> UnixMillis {
        let told = self.facts.taskmanagers.get(name).map_or(self.facts.started, |seen| seen.told);
        told.max(self.facts.started)
    }

    /// Whether nothing was heard of a TaskManager since this JobManager started.
    pub(super) fn is_unheard(&self, name: &Name) -> bool {
        self.heard(name) <= self.facts.started
    }

    /// When a TaskManager was last heard of.
    pub(super) fn heard(&self, name: &Name) -> UnixMillis {
        self.facts.taskmanagers.get(name).map_or(self.facts.started, |seen| seen.heard)
    }

    /// The sessions of the TaskManagers that a job is placed on.
    pub(super) fn sessions(&self, placed: &Placed) -> BTreeMap<Name, String> {
        let session = |name: &Name| Some((name.clone(), self.facts.taskmanagers.get(name)?.session.clone()));
        placed.slots.keys().filter_map(session).filter(|(_, session)| !session.is_empty()).collect()
    }

    /// Whether another process of a TaskManager was heard of than the one that a lease was given to.
    pub(super) fn is_another(&self, name: &Name, holding: &Holding) -> bool {
        let now = self.facts.taskmanagers.get(name).map(|seen| &seen.session).filter(|session| !session.is_empty());
        now.zip(holding.sessions.get(name)).is_some_and(|(now, given)| now != given)
    }

    /// What a TaskManager says of a job.
    pub(super) fn task(&self, name: &Name, job: &JobId) -> Option<&'a Task> {
        self.tasks.get(&(name, job)).copied()
    }

    /// Whether no task of a job runs any more, of those that were to end by the fence `epoch`.
    pub(super) fn has_ended(&self, job: &JobId, holding: &Holding, epoch: u64) -> bool {
        holding.placed.slots.keys().all(|name| {
            let said =
                self.task(name, job).is_some_and(|task| task.status == Status::Ended && task.lease.epoch >= epoch);
            let over = self.holding_end(name, holding).plus(self.settings.skew);
            said || (self.contact(name) != Contact::Good && self.now >= over)
        })
    }

    /// The TaskManagers as placement is to see them: nothing new goes where nobody answers, and what is where nobody has
    /// answered yet stays there.
    pub(super) fn offers(&self, jobs: &[Job]) -> Vec<TaskManager> {
        let offer = |(name, seen): (&Name, &Observed)| {
            let state = match self.contact(name) {
                Contact::Good => seen.offer.state,
                Contact::Silent => seen.offer.state.max(Availability::Cordoned),
                Contact::Lost => Availability::Lost,
            };
            TaskManager { state, name: name.clone(), ..seen.offer.clone() }
        };
        let mut offers: BTreeMap<&Name, TaskManager> =
            self.facts.taskmanagers.iter().map(|(name, seen)| (name, offer((name, seen)))).collect();
        for (name, held) in self.held_unheard(jobs) {
            let known = offers.entry(name).or_insert_with(|| unknown(name));
            known.slots = known.slots.max(held.slots);
            known.memory = known.memory.max(held.memory);
            known.volumes.extend(held.volumes);
        }
        offers.into_values().collect()
    }

    /// What jobs hold on TaskManagers that are to be heard of yet, since this JobManager started.
    fn held_unheard<'b>(&self, jobs: &'b [Job]) -> BTreeMap<&'b Name, TaskManager> {
        let mut all: BTreeMap<&Name, TaskManager> = BTreeMap::new();
        for job in jobs {
            for (name, slots) in job.execution.holds.iter().flat_map(|holding| &holding.placed.slots) {
                if !self.is_unheard(name) || self.contact(name) == Contact::Lost {
                    continue;
                }
                let held = all.entry(name).or_insert_with(|| unknown(name));
                held.slots = held.slots.saturating_add(*slots);
                held.memory = held.memory.saturating_add(job.wanted.slot.memory.saturating_mul((*slots).into()));
                held.volumes.extend(job.wanted.volumes.iter().cloned());
            }
        }
        all
    }

    /// Messages to all TaskManagers that are heard of.
    pub(super) fn tell(&self, jobs: &[Job]) -> Vec<Step> {
        let mut orders: BTreeMap<&Name, Vec<Order>> = BTreeMap::new();
        for job in jobs {
            let Some(holding) = &job.execution.holds else { continue };
            // What was given to another process is not for this one to run; that it ended everybody may say.
            let told = |name: &Name| holding.phase == Phase::Ending || !self.is_another(name, holding);
            for (name, slots) in holding.placed.slots.iter().filter(|(name, _)| told(name)) {
                orders.entry(name).or_default().push(self.order(job, &job.execution, holding, *slots));
            }
        }
        let heard = self.facts.taskmanagers.keys().filter(|name| self.contact(name) == Contact::Good);
        let tell =
            |name: &Name| Step::Tell { taskmanager: name.clone(), orders: orders.remove(name).unwrap_or_default() };
        heard.map(tell).collect()
    }

    /// Whether a TaskManager does not run what these orders say, or its leases want renewal.
    pub(super) fn wants_telling(&self, name: &Name, orders: &[Order]) -> bool {
        self.facts.taskmanagers.get(name).is_some_and(|seen| {
            let due = self.now.since(seen.told) >= self.settings.rules.lease / 3;
            due || !follows(&seen.tasks, orders)
        })
    }

    fn order(&self, job: &Job, execution: &Execution, holding: &Holding, slots: u32) -> Order {
        let until = self.now.plus(self.settings.rules.lease);
        let (epoch, slots, until) = match holding.phase {
            Phase::Live => (holding.placed.lease.epoch, slots, until),
            Phase::Ending => (execution.epoch, 0, self.now),
        };
        let drain = holding.phase == Phase::Live && job.wanted.goal == super::Goal::Drain;
        let (job, release) = (job.id.clone(), execution.release);
        Order { job, lease: Lease { epoch, until }, slots, release, drain }
    }
}

/// A TaskManager of which nothing is known but its name.
fn unknown(name: &Name) -> TaskManager {
    TaskManager { name: name.clone(), state: Availability::Cordoned, slots: 0, memory: 0, volumes: BTreeSet::new() }
}

/// Whether these tasks are what these orders ask for.
fn follows(tasks: &[Task], orders: &[Order]) -> bool {
    let same = |order: &Order| {
        tasks.iter().any(|task| {
            let as_told = match order.slots {
                0 => task.status == Status::Ended,
                slots => (task.slots, task.draining, task.release) == (slots, order.drain, order.release),
            };
            as_told && task.job == order.job && task.lease.epoch == order.lease.epoch
        })
    };
    tasks.len() == orders.len() && orders.iter().all(same)
}
