//! What keeps jobs going: loads what is wanted and what is so, asks the reconciler, and carries its steps out.
//!
//! Each step is one conditional commit with its audit event, so that this can be broken off anywhere: what was not done
//! is found again by the next look, on the same process or another. What comes in between refuses the step (`LG1201`) and
//! is itself the reason for the next look. Nothing is remembered but when each tenant's jobs were last held against its
//! documents, and that is done anew by a new process.
//!
//! What TaskManagers are to run is laid into their mailboxes ([`crate::plane`]), always as a whole, and always as the look
//! found it committed: what this look changes the next one tells, at once.

use super::budgets::share;
use crate::fair_use::Kind;
use crate::model::Kept;
use crate::model::job::Job as Record;
use crate::plane::Dispatch;
use crate::reconcile::{Execution, Facts, Failure, Goal, Job, Left, Look, Order, Step, look, said_to_have_finished};
use crate::service::Service;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lockgate_core::error::code;
use lockgate_core::placement::{JobId, Quota};
use lockgate_core::plane::{Assignment, MAX_ORDERS, MAX_TASKS};
use lockgate_core::{Digest, Error, Name, Result, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it waits at most for something to change: time alone changes something.
const LOOK: Duration = Duration::from_secs(5);
/// The least and the most time between two looks, however much changes: twice as long as a look takes, so that a large
/// cluster keeps no core to itself.
const LEAST_REST: Duration = Duration::from_millis(2);
const MOST_REST: Duration = Duration::from_secs(1);
/// How many jobs are written at once: their changes share the store's syncs.
const AT_ONCE: usize = 64;
/// How often jobs are held against documents that have not changed: something may have expired.
const REVIEW: Duration = Duration::from_secs(30);
/// The most jobs that are looked at.
const MAX_JOBS: usize = 100_000;
/// How many are read at once.
const PAGE: usize = 500;

/// Drives all jobs of all tenants.
pub struct Keeper {
    service: Arc<Service>,
    dispatch: Arc<Dispatch>,
    /// What is known of the TaskManagers, and which jobs are refused.
    facts: Facts,
    /// How long the last look took, without what it wrote.
    looked: Duration,
    reviews: BTreeMap<Name, Review>,
    /// What could not be read and was told.
    pub(super) reported: BTreeSet<String>,
    /// Jobs whose records could not be read in this look.
    unknown: BTreeSet<JobId>,
}

/// When a tenant's jobs were last held against its documents.
#[derive(Default)]
struct Review {
    /// The revision of the documents.
    documents: u64,
    /// When all were looked at.
    at: UnixMillis,
    /// The jobs by their id, bundle and run.
    jobs: BTreeSet<(String, Digest, u64)>,
    /// What came of it.
    refused: BTreeMap<JobId, Failure>,
}

impl Keeper {
    /// One without TaskManagers that has looked at nothing yet.
    pub fn new(service: Arc<Service>) -> Self {
        Self::over(Arc::new(Dispatch::new(service)))
    }

    /// One that tells TaskManagers what to run, and has looked at nothing yet.
    pub fn over(dispatch: Arc<Dispatch>) -> Self {
        let service = Arc::clone(dispatch.service());
        let facts = Facts { started: service.fleet().started(), ..Facts::default() };
        let (reviews, reported, unknown) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { service, dispatch, facts, looked: Duration::ZERO, reviews, reported, unknown }
    }

    /// Looks whenever something was changed or time has passed, until it is dropped.
    pub async fn run(mut self) {
        let (mut work, mut news) = (self.service.records().work(), self.dispatch.mailboxes().news());
        loop {
            work.borrow_and_update();
            news.borrow_and_update();
            let wait = match self.round().await {
                Ok(Some(next)) => self.until(next).min(LOOK),
                Ok(None) => LOOK,
                Err(error) => {
                    tracing::warn!(%error, "jobs could not be reconciled");
                    LOOK
                }
            };
            tokio::time::sleep(self.looked.saturating_mul(2).clamp(LEAST_REST, MOST_REST)).await;
            // Whatever comes of the wait, it is time to look again.
            tokio::select! {
                _ = work.changed() => {}
                _ = news.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One look at everything, and the steps that follow from it; when the next one is due by time alone.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read or takes no changes.
    pub async fn round(&mut self) -> Result<Option<UnixMillis>> {
        let begin = Instant::now();
        self.facts.taskmanagers = self.dispatch.facts();
        let records = self.load().await?;
        let mut by_tenant: BTreeMap<&Name, Vec<&Record>> = BTreeMap::new();
        for kept in &records {
            by_tenant.entry(&kept.record.tenant).or_default().push(&kept.record);
        }
        let (mut quotas, mut budgets, mut suspended) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        self.reviews.retain(|tenant, _| by_tenant.contains_key(tenant));
        let mut unreadable = BTreeSet::new();
        for (tenant, jobs) in &by_tenant {
            match self.look_at(tenant, jobs).await {
                Ok((quota, fuel, is_active)) => {
                    quotas.insert((*tenant).clone(), quota);
                    budgets.extend(fuel.map(|fuel| ((*tenant).clone(), fuel)));
                    if !is_active {
                        suspended.insert((*tenant).clone());
                    }
                }
                Err(error) if is_stores(error.code().number()) => return Err(error),
                Err(error) => {
                    self.report(format!("tenant {tenant}"), &error);
                    unreadable.insert((*tenant).clone());
                }
            }
        }
        let all = self.reviews.values().flat_map(|review| &review.refused);
        self.facts.refused = all.map(|(job, failure)| (job.clone(), failure.clone())).collect();
        let fuel = share(&by_tenant, &budgets);
        let readable: Vec<&Kept<Record>> =
            records.iter().filter(|kept| !unreadable.contains(&kept.record.tenant)).collect();
        let jobs: Vec<Job> = readable.iter().map(|kept| job(kept, &suspended)).collect();
        self.note_strangers(&jobs);
        let now = self.service.steady();
        self.facts.left = self.left(&jobs, &readable, now).await?;
        let Look { steps, waiting, next } = look(&jobs, &self.facts, &quotas, self.dispatch.settings(), now);
        self.service.note_waiting(waiting);
        let by_id: BTreeMap<JobId, &Record> = readable.iter().map(|kept| (id(&kept.record), &kept.record)).collect();
        let mut commits = Vec::new();
        for step in steps {
            match step {
                Step::Tell { taskmanager, orders } => {
                    let assignments = self.assignments(&taskmanager, orders, &by_id, &fuel);
                    // Of what could not be read it is not known that it is to end.
                    let stays = |job: &JobId| unreadable.contains(&job.tenant) || self.unknown.contains(job);
                    let session = self.facts.taskmanagers.get(&taskmanager).map_or("", |seen| &seen.session);
                    self.dispatch.mailboxes().put(&taskmanager, session, assignments, stays);
                }
                Step::Commit { job, revision, execution } => commits.push((job, revision, *execution)),
            }
        }
        self.looked = begin.elapsed();
        let commits = stream::iter(commits).map(|(job, revision, execution)| self.commit(job, revision, execution));
        commits.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(next)
    }

    /// What the records of runs say that are said to be over. One that cannot be read says nothing, and its job waits.
    async fn left(
        &mut self,
        jobs: &[Job],
        records: &[&Kept<Record>],
        now: UnixMillis,
    ) -> Result<BTreeMap<JobId, Left>> {
        let said = said_to_have_finished(jobs, &self.facts, self.dispatch.settings(), now);
        let mut all = BTreeMap::new();
        for id in said.into_iter().map(|job| &job.id) {
            let record = records.iter().find(|kept| (&kept.record.tenant, &kept.record.name) == (&id.tenant, &id.name));
            let Some(kept) = record else { continue };
            match self.dispatch.ledger().left(&kept.record).await {
                Ok(left) => drop(all.insert(id.clone(), left)),
                Err(error) if is_stores(error.code().number()) => return Err(error),
                Err(error) => self.report(format!("the run of {id}"), &error),
            }
        }
        Ok(all)
    }

    /// What a TaskManager is to run, with all that it needs for it. In the order of the jobs' names; what is over the bounds
    /// of a message waits.
    fn assignments(
        &self,
        taskmanager: &Name,
        orders: Vec<Order>,
        records: &BTreeMap<JobId, &Record>,
        fuel: &BTreeMap<JobId, u64>,
    ) -> Vec<Assignment> {
        let mut room = MAX_ORDERS / 2;
        let mut assignments = Vec::new();
        for order in orders {
            let record = records.get(&order.job).copied();
            let Some(assignment) = record.and_then(|record| self.assignment(taskmanager, &order, record, fuel)) else {
                tracing::error!(job = %order.job, "it is not known of which bundle a job runs");
                continue;
            };
            let bytes = assignment.parameters.iter().fold(1_024_usize, |sum, (name, value)| {
                // Escaped, a character has six bytes at most.
                sum.saturating_add(name.as_str().len()).saturating_add(value.len().saturating_mul(6))
            });
            match room.checked_sub(bytes) {
                Some(left) if assignments.len() < MAX_TASKS => room = left,
                _ => {
                    tracing::error!(%taskmanager, job = %order.job, "a TaskManager has more to run than a message holds");
                    continue;
                }
            }
            assignments.push(assignment);
        }
        assignments
    }

    fn assignment(
        &self,
        taskmanager: &Name,
        order: &Order,
        record: &Record,
        fuel: &BTreeMap<JobId, u64>,
    ) -> Option<Assignment> {
        let deployment = record.running()?;
        let placed = record.execution.holds.as_ref().map(|holding| &holding.placed)?;
        Some(Assignment {
            job: order.job.clone(),
            id: record.id.clone(),
            epoch: order.lease.epoch,
            slots: order.slots,
            first: placed.range(taskmanager).map_or(0, |(first, _)| first),
            parallelism: placed.parallelism(),
            bundle: deployment.bundle,
            release: order.release,
            fallback_of: deployment.fallback_of,
            parameters: deployment.parameters.clone(),
            fuel_per_second: fuel.get(&order.job).copied().filter(|_| order.slots > 0),
            drain: order.drain,
            documents: self.reviews.get(&order.job.tenant).map_or(0, |review| review.documents),
        })
    }

    /// Says of tasks that nobody can have told a TaskManager to run: they count nowhere.
    fn note_strangers(&self, jobs: &[Job]) {
        let epochs: BTreeMap<&JobId, u64> = jobs.iter().map(|job| (&job.id, job.execution.epoch)).collect();
        for (name, seen) in &self.facts.taskmanagers {
            let given = |job: &JobId, epoch: u64| epochs.get(job).is_some_and(|known| epoch <= *known);
            for task in seen.tasks.iter().filter(|task| !given(&task.job, task.lease.epoch)) {
                let epoch = task.lease.epoch;
                tracing::debug!(taskmanager = %name, job = %task.job, epoch, "a TaskManager names a task that it was not given");
            }
        }
    }

    /// The jobs whose records can be read. One that cannot is told once, and is as good as not there: no step is made of what
    /// is not known, and the others go on.
    async fn load(&mut self) -> Result<Vec<Kept<Record>>> {
        self.unknown.clear();
        let (mut records, mut after) = (Vec::new(), None);
        while records.len() < MAX_JOBS {
            let found = self.service.jobs_to_reconcile(after.as_ref(), PAGE).await?;
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            for (key, kept) in found {
                match kept {
                    Ok(kept) => records.push(kept),
                    Err(error) => {
                        self.report(key.to_string(), &error);
                        let [_, tenant, name] = &key.parts()[..] else { continue };
                        let id = Name::new(tenant).ok().zip(Name::new(name).ok());
                        self.unknown.extend(id.map(|(tenant, name)| JobId { tenant, name }));
                    }
                }
            }
        }
        Ok(records)
    }

    /// A tenant's quota, what is set of its fuel, and whether its jobs may run, after they were held against its documents.
    async fn look_at(&mut self, tenant: &Name, jobs: &[&Record]) -> Result<(Quota, Option<u64>, bool)> {
        self.review(tenant, jobs).await?;
        let quota = self.service.quota_of(tenant).await?;
        let of = |kind| Some(quota.get(kind));
        let (slots, memory, fuel) = (of(Kind::Slots), of(Kind::Memory), of(Kind::FuelPerSecond));
        let known = Quota { slots, memory, fuel, weight: quota.weight() };
        Ok((known, quota.own(Kind::FuelPerSecond), self.service.is_active(tenant).await?))
    }

    /// Says once, not at every look, what cannot be read and is left out.
    fn report(&mut self, what: String, error: &Error) {
        if self.reported.len() < MAX_JOBS && !self.reported.contains(&what) {
            tracing::error!(what, %error, "what is left out cannot be read; the others go on");
            self.reported.insert(what);
        }
    }

    /// Holds a tenant's jobs against its documents: all if those have changed or time has passed, else the new ones.
    async fn review(&mut self, tenant: &Name, jobs: &[&Record]) -> Result<()> {
        let documents = self.service.documents_revision(tenant).await?;
        let now = self.service.millis();
        let review = self.reviews.entry(tenant.clone()).or_default();
        let mark = |job: &Record| (job.id.clone(), job.deployment.bundle, job.wanted.run);
        let all = review.documents != documents || now >= review.at.plus(REVIEW) || now < review.at;
        let due: Vec<&Record> = jobs.iter().copied().filter(|job| all || !review.jobs.contains(&mark(job))).collect();
        let marks = jobs.iter().map(|job| mark(job)).collect();
        if !due.is_empty() {
            match self.service.refused_jobs(tenant, &due).await {
                Ok(refused) => {
                    let looked_at: BTreeSet<&Name> = due.iter().map(|job| &job.name).collect();
                    review.refused.retain(|id, _| !looked_at.contains(&id.name));
                    review.refused.extend(refused);
                }
                // Then nothing is known of its jobs but what was known before.
                Err(error) if !is_stores(error.code().number()) => {
                    tracing::debug!(%tenant, %error, "a tenant's documents do not hold together");
                }
                Err(error) => return Err(error),
            }
        }
        review.jobs = marks;
        if all {
            (review.documents, review.at) = (documents, now);
        }
        Ok(())
    }

    async fn commit(&self, job: JobId, revision: u64, execution: Execution) -> Result<()> {
        match self.service.write_execution(&job.tenant, &job.name, revision, execution).await {
            // Changed in the meantime: the next look decides on what is so then.
            Err(error) if error.code() == code::CONFLICT => Ok(()),
            Err(error) if is_stores(error.code().number()) => Err(error),
            Err(error) => {
                // Of one job nothing is to keep from all others.
                tracing::warn!(tenant = %job.tenant, job = %job.name, %error, "a job could not be driven on");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    fn until(&self, next: UnixMillis) -> Duration {
        let now = self.service.steady();
        Duration::from_millis(next.0.saturating_sub(now.0))
    }
}

/// A job as the reconciler is to see it. Of a tenant that is suspended none runs; what was asked of each is kept, and
/// counts again afterwards.
fn job(kept: &Kept<Record>, suspended: &BTreeSet<Name>) -> Job {
    let Record { tenant, wanted, execution, .. } = &kept.record;
    let (mut wanted, execution) = (wanted.clone(), execution.clone());
    if wanted.goal == Goal::Run && suspended.contains(tenant) {
        wanted.goal = Goal::Suspend;
    }
    Job { id: id(&kept.record), wanted, execution, revision: kept.revision }
}

fn id(job: &Record) -> JobId {
    JobId { tenant: job.tenant.clone(), name: job.name.clone() }
}

/// Whether an error's code says that the store is at fault, so that nothing else would go better.
const fn is_stores(number: u16) -> bool {
    number >= 1_202 && number < 1_250
}
