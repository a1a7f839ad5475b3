//! What keeps jobs going: loads what is wanted and what is so, asks the reconciler, and carries its steps out.
//!
//! Each step is one conditional commit with its audit event, so that this can be broken off anywhere: what was not done
//! is found again by the next look, on the same process or another. What comes in between refuses the step (`LG1201`) and
//! is itself the reason for the next look. Nothing is remembered but when each tenant's jobs were last held against its
//! documents, and that is done anew by a new process.

use crate::fair_use::Kind;
use crate::model::Kept;
use crate::model::job::Job as Record;
use crate::reconcile::{Facts, Failure, Goal, Job, Look, Settings, Step, look};
use crate::service::Service;
use lockgate_core::error::code;
use lockgate_core::placement::{JobId, Quota};
use lockgate_core::{Digest, Error, Name, Result, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long it waits at most for something to change: time alone changes something.
const LOOK: Duration = Duration::from_secs(5);
/// The least time between two looks, however much changes.
const REST: Duration = Duration::from_millis(200);
/// How often jobs are held against documents that have not changed: something may have expired.
const REVIEW: Duration = Duration::from_secs(30);
/// The most jobs that are looked at.
const MAX_JOBS: usize = 100_000;
/// How many are read at once.
const PAGE: usize = 500;

/// Drives all jobs of all tenants.
pub struct Keeper {
    service: Arc<Service>,
    /// What is known of the TaskManagers, and which jobs are refused.
    pub(super) facts: Facts,
    reviews: BTreeMap<Name, Review>,
    /// What could not be read and was told.
    pub(super) reported: BTreeSet<String>,
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
    /// One that has looked at nothing yet.
    pub fn new(service: Arc<Service>) -> Self {
        let facts = Facts { started: service.now().into(), ..Facts::default() };
        Self { service, facts, reviews: BTreeMap::new(), reported: BTreeSet::new() }
    }

    /// Looks whenever something was changed or time has passed, until it is dropped.
    pub async fn run(mut self) {
        let mut revision = self.service.records().revision();
        loop {
            revision.borrow_and_update();
            let wait = match self.round().await {
                Ok(Some(next)) => self.until(next).min(LOOK),
                Ok(None) => LOOK,
                Err(error) => {
                    tracing::warn!(%error, "jobs could not be reconciled");
                    LOOK
                }
            };
            tokio::time::sleep(REST).await;
            // Whatever comes of the wait, it is time to look again.
            let _ = tokio::time::timeout(wait, revision.changed()).await;
        }
    }

    /// One look at everything, and the steps that follow from it; when the next one is due by time alone.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read or takes no changes.
    pub async fn round(&mut self) -> Result<Option<UnixMillis>> {
        let records = self.load().await?;
        let mut by_tenant: BTreeMap<&Name, Vec<&Record>> = BTreeMap::new();
        for kept in &records {
            by_tenant.entry(&kept.record.tenant).or_default().push(&kept.record);
        }
        let (mut quotas, mut suspended) = (BTreeMap::new(), BTreeSet::new());
        self.reviews.retain(|tenant, _| by_tenant.contains_key(tenant));
        let mut unreadable = BTreeSet::new();
        for (tenant, jobs) in &by_tenant {
            match self.look_at(tenant, jobs).await {
                Ok((quota, is_active)) => {
                    quotas.insert((*tenant).clone(), quota);
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
        let readable = records.into_iter().filter(|kept| !unreadable.contains(&kept.record.tenant));
        let jobs: Vec<Job> = readable.map(|kept| job(kept, &suspended)).collect();
        let now = UnixMillis::from(self.service.now());
        let Look { steps, waiting, next } = look(&jobs, &self.facts, &quotas, &Settings::default(), now);
        self.service.note_waiting(waiting);
        for step in steps {
            self.carry_out(step).await?;
        }
        Ok(next)
    }

    /// The jobs whose records can be read. One that cannot is told once, and is as good as not there: no step is made of what
    /// is not known, and the others go on.
    async fn load(&mut self) -> Result<Vec<Kept<Record>>> {
        let (mut records, mut after) = (Vec::new(), None);
        while records.len() < MAX_JOBS {
            let found = self.service.jobs_to_reconcile(after.as_ref(), PAGE).await?;
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            for (key, kept) in found {
                match kept {
                    Ok(kept) => records.push(kept),
                    Err(error) => self.report(key.to_string(), &error),
                }
            }
        }
        Ok(records)
    }

    /// A tenant's quota and whether its jobs may run, after they were held against its documents.
    async fn look_at(&mut self, tenant: &Name, jobs: &[&Record]) -> Result<(Quota, bool)> {
        self.review(tenant, jobs).await?;
        Ok((self.quota(tenant).await?, self.service.is_active(tenant).await?))
    }

    /// Says once, not at every look, what cannot be read and is left out.
    fn report(&mut self, what: String, error: &Error) {
        if self.reported.len() < MAX_JOBS && !self.reported.contains(&what) {
            tracing::error!(what, %error, "what is left out cannot be read; the others go on");
            self.reported.insert(what);
        }
    }

    async fn quota(&self, tenant: &Name) -> Result<Quota> {
        let quota = self.service.quota_of(tenant).await?;
        let of = |kind| Some(quota.get(kind));
        Ok(Quota { slots: of(Kind::Slots), memory: of(Kind::Memory), fuel: of(Kind::FuelPerSecond), weight: 1 })
    }

    /// Holds a tenant's jobs against its documents: all if those have changed or time has passed, else the new ones.
    async fn review(&mut self, tenant: &Name, jobs: &[&Record]) -> Result<()> {
        let documents = self.service.documents_revision(tenant).await?;
        let now = UnixMillis::from(self.service.now());
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

    async fn carry_out(&self, step: Step) -> Result<()> {
        match step {
            Step::Commit { job, revision, execution } => {
                match self.service.write_execution(&job.tenant, &job.name, revision, *execution).await {
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
            // There are no TaskManagers to tell anything yet.
            Step::Tell { .. } => Ok(()),
        }
    }

    fn until(&self, next: UnixMillis) -> Duration {
        let now = UnixMillis::from(self.service.now());
        Duration::from_millis(next.0.saturating_sub(now.0))
    }
}

/// A job as the reconciler is to see it. Of a tenant that is suspended none runs; what was asked of each is kept, and
/// counts again afterwards.
fn job(kept: Kept<Record>, suspended: &BTreeSet<Name>) -> Job {
    let Record { tenant, name, mut wanted, execution, .. } = kept.record;
    if wanted.goal == Goal::Run && suspended.contains(&tenant) {
        wanted.goal = Goal::Suspend;
    }
    Job { id: JobId { tenant, name }, wanted, execution, revision: kept.revision }
}

/// Whether an error's code says that the store is at fault, so that nothing else would go better.
const fn is_stores(number: u16) -> bool {
    number >= 1_202 && number < 1_250
}
