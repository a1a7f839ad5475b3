//! One round: where placement wants every job, what each job's next change is, and who is told what.

use super::advance::{advance, is_said_to_have_finished};
use super::orders::View;
use super::{Facts, Goal, Job, Phase, Settings, Step};
use lockgate_core::job_state::State;
use lockgate_core::placement::{self, JobId, Lease, Placed, Quota, Waits, place};
use lockgate_core::{Name, UnixMillis};
use std::collections::BTreeMap;

/// What one look at everything says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    /// What to do next. Whoever is heard of is told, whether or not there is anything new.
    pub steps: Vec<Step>,
    /// What the jobs wait for that want slots and have none.
    pub waiting: BTreeMap<JobId, Waits>,
    /// When a job is to be started again: time alone gives something to do then.
    pub next: Option<UnixMillis>,
}

/// What to do next, so that what is so becomes what is wanted. Whoever calls this carries out the steps, all or some or
/// none of them, in any order, and calls it again with what is so then; it says nothing when nothing is to be done
/// before time passes.
///
/// With no TaskManagers at all, jobs wait in CREATED and can be cancelled, suspended, drained and upgraded there.
pub fn reconcile(
    jobs: &[Job],
    facts: &Facts,
    quotas: &BTreeMap<Name, Quota>,
    settings: &Settings,
    now: UnixMillis,
) -> Vec<Step> {
    let view = View::new(facts, settings, now);
    let mut steps = look(jobs, facts, quotas, settings, now).steps;
    steps.retain(|step| match step {
        Step::Tell { taskmanager, orders } => view.wants_telling(taskmanager, orders),
        Step::Commit { .. } => true,
    });
    steps
}

/// The same with what is only told, and with all orders as they are.
pub fn look(jobs: &[Job], facts: &Facts, quotas: &BTreeMap<Name, Quota>, settings: &Settings, now: UnixMillis) -> Look {
    let view = View::new(facts, settings, now);
    let candidates: Vec<placement::Job> = jobs.iter().filter_map(|job| candidate(job, &view)).collect();
    let placement = place(&candidates, &view.offers(jobs), quotas, &settings.rules, now);
    let mut free = Free::new(jobs, facts);
    let mut steps = Vec::new();
    for job in jobs {
        let target = placement.placed.get(&job.id);
        // A job without tasks starts when others have really left the slots that are meant for it.
        let target = target.filter(|target| job.execution.holds.is_some() || free.take(&job.id, target));
        if let Some(execution) = advance(job, &view, target) {
            steps.push(Step::Commit { job: job.id.clone(), revision: job.revision, execution: Box::new(execution) });
        }
    }
    steps.extend(view.tell(jobs));
    let retries = jobs.iter().filter(|job| job.execution.state == State::Restarting);
    let next = retries.filter_map(|job| job.execution.retry_at).filter(|at| *at > now).min();
    Look { steps, waiting: placement.waiting, next }
}

/// The jobs all tasks of which say that they are through: whoever looks next looks at the records of their runs first, and
/// says in [`Facts::left`] what is left of them.
pub fn said_to_have_finished<'a>(jobs: &'a [Job], facts: &Facts, settings: &Settings, now: UnixMillis) -> Vec<&'a Job> {
    let view = View::new(facts, settings, now);
    jobs.iter().filter(|job| is_said_to_have_finished(job, &view)).collect()
}

/// A job as placement is to see it; none if it wants no slots.
pub(super) fn candidate(job: &Job, view: &View<'_>) -> Option<placement::Job> {
    let (wanted, execution) = (&job.wanted, &job.execution);
    let live = execution.holds.as_ref().filter(|holding| holding.phase == Phase::Live);
    let goes_on = match wanted.goal {
        Goal::Run => true,
        Goal::Drain => live.is_some(),
        Goal::Cancel | Goal::Suspend => false,
    };
    let refused = view.facts.refused.contains_key(&job.id);
    let given_up = execution.failure.as_ref().is_some_and(|failure| failure.permanent);
    let wants = match execution.state {
        State::Created | State::Running | State::Reconciling | State::Restarting => true,
        State::Failing => !given_up,
        _ => false,
    };
    if !goes_on || refused || !wants {
        return None;
    }
    let epoch = execution.epoch;
    let current = match live {
        Some(holding) => {
            let ends = holding.placed.slots.keys().map(|name| view.holding_end(name, holding)).min();
            let until = ends.unwrap_or_default();
            Placed { lease: Lease { epoch: holding.placed.lease.epoch, until }, slots: holding.placed.slots.clone() }
        }
        // It has no lease; the slots are kept for it.
        None => Placed { lease: Lease { epoch, until: UnixMillis(0) }, slots: execution.reserved.clone() },
    };
    Some(placement::Job {
        id: job.id.clone(),
        parallelism: wanted.parallelism,
        desired: wanted.desired,
        weight: wanted.weight,
        slot: wanted.slot,
        volumes: wanted.volumes.clone(),
        since: view.noted(live.map(|holding| holding.since).or(execution.last_ran).unwrap_or(execution.since)),
        last_ran: execution.last_ran.map(|at| view.noted(at)),
        epoch,
        current: Some(current).filter(|current| !current.slots.is_empty()),
    })
}

/// What is free on each TaskManager by now, the slots of tasks that are still to end apart.
struct Free<'a> {
    rooms: BTreeMap<&'a Name, (u64, u64)>,
    costs: BTreeMap<&'a JobId, u64>,
}

impl<'a> Free<'a> {
    fn new(jobs: &'a [Job], facts: &'a Facts) -> Self {
        let rooms = facts.taskmanagers.iter();
        let mut rooms: BTreeMap<_, _> =
            rooms.map(|(name, seen)| (name, (u64::from(seen.offer.slots), seen.offer.memory))).collect();
        let costs = jobs.iter().map(|job| (&job.id, job.wanted.slot.memory)).collect();
        for job in jobs {
            let held = job.execution.holds.iter().flat_map(|holding| &holding.placed.slots);
            for (name, taken) in held {
                if let Some((slots, memory)) = rooms.get_mut(name) {
                    *slots = slots.saturating_sub((*taken).into());
                    *memory = memory.saturating_sub(job.wanted.slot.memory.saturating_mul((*taken).into()));
                }
            }
        }
        Self { rooms, costs }
    }

    /// Takes what a job is to have; nothing if it is not all there.
    fn take(&mut self, job: &JobId, target: &Placed) -> bool {
        let each = self.costs.get(job).copied().unwrap_or_default();
        let fits = |(name, wanted): (&Name, &u32)| {
            let memory = each.saturating_mul((*wanted).into());
            self.rooms.get(name).is_some_and(|room| room.0 >= u64::from(*wanted) && room.1 >= memory)
        };
        if !target.slots.iter().all(fits) {
            return false;
        }
        for (name, wanted) in &target.slots {
            if let Some((slots, memory)) = self.rooms.get_mut(name) {
                *slots = slots.saturating_sub((*wanted).into());
                *memory = memory.saturating_sub(each.saturating_mul((*wanted).into()));
            }
        }
        true
    }
}
