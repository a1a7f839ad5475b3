//! What a job has come to: written by the reconciler and by what TaskManagers report, with the events that users follow and
//! what the tenant no longer takes up once a job has ended.

use crate::audit::Event;
use crate::model::bundle::Bundle;
use crate::model::event::Kind;
use crate::model::exception::{Exception, MAX_EXCEPTIONS, MAX_SAMPLES};
use crate::model::job::Job;
use crate::model::metrics::Metrics;
use crate::model::trust::OPERATOR;
use crate::model::{Kept, keys};
use crate::reconcile::{Execution, Failure};
use crate::service::chain::KeptMarks;
use crate::service::{Change, Service, events};
use crate::store::Key;
use lockgate_core::bundle::ReadLimits;
use lockgate_core::error::code;
use lockgate_core::job_state::State;
use lockgate_core::placement::{JobId, Waits};
use lockgate_core::verify::{Admission, Request, learn};
use lockgate_core::{Error, Name, Result, Timestamp};
use std::collections::BTreeMap;
use std::sync::PoisonError;

impl Service {
    /// Jobs of all tenants, at most `limit` of them behind `after`: what the reconciler looks at. The key is where to go on.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read; `LG1020` in the place of a job that cannot.
    pub async fn jobs_to_reconcile(&self, after: Option<&Key>, limit: usize) -> Result<Vec<(Key, Result<Kept<Job>>)>> {
        self.records.scan_each(&keys::all_jobs(), after, limit).await
    }

    /// Rises with every document of the operator's and of the tenant's: when jobs are to be held against them anew.
    ///
    /// # Errors
    /// `LG12nn` if they cannot be read.
    pub async fn documents_revision(&self, tenant: &Name) -> Result<u64> {
        Ok(self.newest(OPERATOR).await?.revision.max(self.newest(tenant).await?.revision))
    }

    /// Those of `jobs`, all of one tenant, that must not run any more, and why: revoked, expired or not covered by the
    /// tenant's policy any more. To be looked at whenever a document changes and time has passed.
    ///
    /// # Errors
    /// `LG12nn` if they cannot be read; `LG1014` and `LG04nn` if the tenant's documents do not hold together, in which case
    /// nothing is known of its jobs.
    pub async fn refused_jobs(&self, tenant: &Name, jobs: &[&Job]) -> Result<BTreeMap<JobId, Failure>> {
        let set = self.document_set(tenant).await?;
        let kept = self.marks(tenant).await?;
        let marks = KeptMarks::of(kept.as_ref(), self.now());
        let request = Request {
            pinned: &set.pinned,
            documents: &set.documents,
            domain: &self.options.domain,
            tenant,
            marks: &marks,
            now: self.now(),
            admission: Admission::Restart,
            read: ReadLimits::default(),
        };
        // Documents that are refused say nothing about any job.
        learn(&request)?;
        let mut refused = BTreeMap::new();
        for job in jobs.iter().filter(|job| job.counts()) {
            let bundle = self.records.get::<Bundle>(&keys::bundle(tenant, &job.deployment.bundle)).await?;
            let Some(bundle) = bundle else { continue };
            if let Err(error) = bundle.record.reliance.review(&request) {
                let failure = Failure::new(error.code(), error.cause(), true, self.now().into());
                refused.insert(JobId { tenant: tenant.clone(), name: job.name.clone() }, failure);
            }
        }
        Ok(refused)
    }

    /// Writes what a job has come to, if it is still at `revision`; the revision that it has now.
    ///
    /// # Errors
    /// `LG1201` if it was changed in the meantime or is gone; other `LG12nn` if it could not be written.
    pub async fn write_execution(
        &self,
        tenant: &Name,
        name: &Name,
        revision: u64,
        execution: Execution,
    ) -> Result<u64> {
        let changed = || Error::new(code::CONFLICT, format!("job {name} was changed in the meantime"));
        let kept = self.records.get::<Job>(&keys::job(tenant, name)).await?;
        let kept = kept.filter(|kept| kept.revision == revision).ok_or_else(changed)?;
        let mut job = kept.record.clone();
        let (old, new) = (job.state(), execution.state);
        let failure = execution.failure.clone().filter(|failure| Some(failure) != job.execution.failure.as_ref());
        job.execution = execution;
        let mut change = Change::default();
        // What is so has happened: it is counted, never refused.
        let before = self.taken(tenant).await?;
        let mut taken = before.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
        taken.vacate(&kept.record);
        taken.occupy(&job);
        if before.as_ref().is_none_or(|kept| kept.record != taken) {
            change.put(keys::usage(tenant), before.as_ref(), &taken)?;
        }
        if let Some(failure) = failure {
            let text = format!("{}: {}", failure.code, failure.cause);
            events::append(&mut change, &mut job, self.now(), Kind::Exception, text, None)?;
        }
        if old != new {
            let text = format!("the job is {new}, it was {old}");
            events::append(&mut change, &mut job, self.now(), Kind::State, text, None)?;
        }
        change.replace(keys::job(tenant, name), revision, &job)?;
        change.event(recorded(&job, old, self.now()));
        self.records.commit(change).await
    }

    /// Notes what jobs wait for that want slots and have none. It is known anew after every look and so is not stored.
    pub(crate) fn note_waiting(&self, waiting: BTreeMap<JobId, Waits>) {
        *self.waiting.write().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    /// What a job waits for, if it waits for slots.
    pub fn waits_for(&self, job: &Job) -> Option<Waits> {
        let id = JobId { tenant: job.tenant.clone(), name: job.name.clone() };
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        let waits = matches!(job.state(), State::Created | State::Restarting) && job.execution.holds.is_none();
        waiting.get(&id).copied().filter(|_| waits)
    }

    /// Adds lines that a job's functions wrote to its events, at most 100 at once.
    ///
    /// # Errors
    /// `LG1102` if there is no such job, `LG12nn` if they could not be written.
    pub async fn write_logs(&self, tenant: &Name, name: &Name, lines: &[(Option<Name>, String)]) -> Result<()> {
        self.with_job(tenant, name, |change, job| {
            for (operator, line) in lines.iter().take(100) {
                let event = events::append(change, job, self.now(), Kind::Log, line.clone(), None)?;
                events::of_operator(change, job, event, operator.clone())?;
            }
            Ok(())
        })
        .await
    }

    /// Adds an exception with samples of the records that failed; its number and time are given here.
    ///
    /// # Errors
    /// `LG1102` if there is no such job, `LG12nn` if it could not be written.
    pub async fn write_exception(&self, tenant: &Name, name: &Name, exception: &Exception) -> Result<()> {
        self.with_job(tenant, name, |change, job| {
            let mut exception = exception.clone();
            (exception.sequence, exception.time) = (job.next_exception, self.now());
            exception.samples.truncate(MAX_SAMPLES);
            change.create(keys::exception(tenant, &job.id, exception.sequence), &exception)?;
            if let Some(oldest) = exception.sequence.checked_sub(MAX_EXCEPTIONS).filter(|oldest| *oldest > 0) {
                change.clear(keys::exception(tenant, &job.id, oldest));
            }
            job.next_exception = job.next_exception.saturating_add(1);
            let text = format!("{}: {}", exception.code, exception.cause);
            let event = events::append(change, job, self.now(), Kind::Exception, text, None)?;
            events::of_operator(change, job, event, exception.operator)
        })
        .await
    }

    /// Writes a job's figures.
    ///
    /// # Errors
    /// `LG1102` if there is no such job, `LG12nn` if they could not be written.
    pub async fn write_metrics(&self, tenant: &Name, name: &Name, metrics: &Metrics) -> Result<()> {
        self.with_job(tenant, name, |change, job| change.set(keys::metrics(tenant, &job.id), metrics)).await
    }

    async fn with_job(
        &self,
        tenant: &Name,
        name: &Name,
        work: impl Fn(&mut Change, &mut Job) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let (work, resource) = (&work, &super::resource(tenant, name));
        let attempt = || async move {
            let kept = self.existing(tenant, name, resource).await?;
            let (mut job, mut change) = (kept.record.clone(), Change::default());
            work(&mut change, &mut job)?;
            match job == kept.record {
                true => change.require(keys::job(tenant, name), kept.revision),
                false => change.replace(keys::job(tenant, name), kept.revision, &job)?,
            }
            self.records.commit(change).await.map(drop)
        };
        self.records.attempt(attempt).await
    }
}

/// What the audit log says of a change that nobody asked for by a request.
fn recorded(job: &Job, old: State, now: Timestamp) -> Event {
    let execution = &job.execution;
    let event = Event::system(now, "drive-job", super::resource(&job.tenant, &job.name).to_string());
    let event = Event { tenant: Some(job.tenant.clone()), ..event };
    let event = event.detail("id", job.id.clone()).detail("epoch", execution.epoch.to_string());
    let event = event.detail("version", execution.release.version.to_string());
    let event = event.detail("from", old.as_str()).detail("to", execution.state.as_str());
    match &execution.failure {
        Some(failure) if old != execution.state => event.detail("failure", failure.code.clone()),
        _ => event,
    }
}
