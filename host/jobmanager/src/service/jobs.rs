//! Jobs: created and upgraded from verified bundles within their signed bounds, and what is asked of them afterwards. What
//! a job then comes to is the reconciler's to write.

mod execution;
mod submit;

pub use submit::{NewJob, Upgrade};

use super::changes::Precondition;
use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service, events};
use crate::access::{Action, Resource, not_found};
use crate::audit::Event;
use crate::model::event::Kind;
use crate::model::job::Job;
use crate::model::label::{self, Labels};
use crate::model::metrics::Metrics;
use crate::model::{Kept, keys};
use crate::reconcile::Goal;
use lockgate_core::error::code;
use lockgate_core::plan::Plan;
use lockgate_core::planner::Planner;
use lockgate_core::{Error, Name, Result};

impl Listed for Job {
    fn state(&self) -> Option<&'static str> {
        Some(self.state().as_str())
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> Option<&Labels> {
        Some(&self.labels)
    }
}

/// What can be asked of a job that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// End at once.
    Cancel,
    /// Take in nothing more, commit what is in flight, finish.
    Stop,
    /// End and start again; one that has ended begins a new run.
    Restart,
    /// Give up its slots until it is resumed.
    Suspend,
    /// Go on.
    Resume,
}

impl Ask {
    const fn action(self) -> Action {
        match self {
            Self::Cancel | Self::Stop => Action::StopJobs,
            Self::Restart | Self::Suspend | Self::Resume => Action::RestartJobs,
        }
    }

    /// As events write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        }
    }
}

/// A job as what is asked for.
pub(super) fn resource(tenant: &Name, job: &Name) -> Resource {
    Resource::of(tenant.clone(), "job").named(job.as_str())
}

impl Service {
    /// A tenant's jobs.
    ///
    /// # Errors
    /// `LG1102` if the caller may see none.
    pub async fn jobs(&self, call: &Call, tenant: &Name, filter: &Filter) -> Result<Page<Job>> {
        let resource = Resource::of(tenant.clone(), "job");
        self.allow(call, Action::ReadJobs, &resource).await?;
        self.tenant(tenant, &resource).await?;
        self.list(call, &keys::jobs(tenant), filter).await
    }

    /// A job, and whether the caller may see its configuration.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see.
    pub async fn job(&self, call: &Call, tenant: &Name, name: &Name) -> Result<(Kept<Job>, bool)> {
        let kept = self.find_job(call, Action::ReadJobs, tenant, name).await?;
        let all = self.may(call, Action::ReadJobConfiguration, &resource(tenant, name)).await;
        Ok((kept, all))
    }

    /// A job's figures.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see.
    pub async fn job_metrics(&self, call: &Call, tenant: &Name, name: &Name) -> Result<Metrics> {
        let job = self.find_job(call, Action::ReadJobs, tenant, name).await?.record;
        let found = self.records.get::<Metrics>(&keys::metrics(tenant, &job.id)).await?;
        Ok(found.map(|kept| kept.record).unwrap_or_default())
    }

    /// A job's graph, and whether the caller may see its settings.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see.
    pub async fn job_graph(&self, call: &Call, tenant: &Name, name: &Name) -> Result<(Plan, bool)> {
        let (kept, all) = self.job(call, tenant, name).await?;
        let deployment = &kept.record.deployment;
        let bundle = self.find_bundle(tenant, &deployment.bundle, &resource(tenant, name)).await?.record;
        let plan = Planner::plan(&bundle.predicate.manifest, &bundle.descriptions, &deployment.parameters);
        let plan = plan.map_err(|errors| {
            let first = errors.into_iter().next();
            first.unwrap_or_else(|| Error::new(code::INTERNAL, "the job's plan cannot be made any more"))
        })?;
        Ok((plan, all))
    }

    /// Asks something of a job.
    ///
    /// # Errors
    /// `LG1012` if its state does not allow it, `LG1004` for the precondition, `LG11nn` if the caller may not.
    pub async fn ask(
        &self,
        call: &Call,
        tenant: &Name,
        name: &Name,
        ask: Ask,
        precondition: Precondition,
    ) -> Result<Kept<Job>> {
        let (action, resource) = (ask.action(), resource(tenant, name));
        self.allow(call, action, &resource).await?;
        let work = || async {
            let kept = self.existing(tenant, name, &resource).await?;
            precondition.require(kept.revision)?;
            let mut job = kept.record.clone();
            apply(&mut job, ask)?;
            if matches!(ask, Ask::Restart | Ask::Resume) {
                self.active_tenant(tenant, &resource).await?;
            }
            if job.wanted == kept.record.wanted {
                return Ok(kept);
            }
            let event = self.done(call, action, &resource).detail("ask", ask.as_str());
            let text = format!("{} asks for {}", call.caller.principal, ask.as_str());
            self.change_job(call, &kept, job, (Kind::Request, text), event).await
        };
        let result = self.records.attempt(work).await;
        self.noted(call, action, &resource, result).await
    }

    /// Gives a job other labels.
    ///
    /// # Errors
    /// `LG1010` for the labels, `LG1004` and `LG1005` for the precondition, `LG11nn` if the caller may not.
    pub async fn label_job(
        &self,
        call: &Call,
        tenant: &Name,
        name: &Name,
        labels: &Labels,
        precondition: Precondition,
    ) -> Result<Kept<Job>> {
        let resource = resource(tenant, name);
        self.allow(call, Action::UpgradeJobs, &resource).await?;
        label::check(labels)?;
        let work = || async {
            let kept = self.existing(tenant, name, &resource).await?;
            precondition.demand(Some(kept.revision))?;
            let mut job = kept.record.clone();
            job.labels.clone_from(labels);
            let event = self.done(call, Action::UpgradeJobs, &resource).detail("change", "labels");
            let text = format!("{} changes the labels", call.caller.principal);
            self.change_job(call, &kept, job, (Kind::Request, text), event).await
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::UpgradeJobs, &resource, result).await
    }

    /// Deletes a job that has ended, with its events, exceptions and figures.
    ///
    /// # Errors
    /// `LG1012` if it has not ended, `LG1004` for the precondition, `LG11nn` if the caller may not.
    pub async fn delete_job(&self, call: &Call, tenant: &Name, name: &Name, precondition: Precondition) -> Result<()> {
        let resource = resource(tenant, name);
        self.allow(call, Action::DeleteJobs, &resource).await?;
        let work = || async {
            let kept = self.existing(tenant, name, &resource).await?;
            precondition.require(kept.revision)?;
            let job = &kept.record;
            if job.counts() {
                let cause = format!("job {name} is {}: cancel or stop it first", job.state());
                return Err(Error::new(code::WRONG_STATE, cause));
            }
            let before = self.taken(tenant).await?;
            let mut taken = before.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
            taken.remove_job(job);
            let mut change = Change::default();
            change.put(keys::usage(tenant), before.as_ref(), &taken)?;
            change.remove(keys::job(tenant, name), kept.revision);
            events::clear(&mut change, job);
            change.clear(keys::metrics(tenant, &job.id));
            change.event(self.done(call, Action::DeleteJobs, &resource).detail("id", job.id.clone()));
            self.records.commit(change).await.map(drop)
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::DeleteJobs, &resource, result).await
    }

    /// A job that the caller may do `action` to.
    pub(super) async fn find_job(&self, call: &Call, action: Action, tenant: &Name, name: &Name) -> Result<Kept<Job>> {
        let resource = resource(tenant, name);
        self.allow(call, action, &resource).await?;
        self.existing(tenant, name, &resource).await
    }

    async fn existing(&self, tenant: &Name, name: &Name, resource: &Resource) -> Result<Kept<Job>> {
        self.tenant(tenant, resource).await?;
        let found = self.records.get::<Job>(&keys::job(tenant, name)).await?;
        found.ok_or_else(|| not_found(resource))
    }

    /// Commits a changed job with what it takes up, an event of the job and one of the audit log.
    async fn change_job(
        &self,
        call: &Call,
        kept: &Kept<Job>,
        mut job: Job,
        (kind, text): (Kind, String),
        event: Event,
    ) -> Result<Kept<Job>> {
        let mut change = Change::default();
        self.count_again(&mut change, &kept.record, &job).await?;
        let principal = Some(call.caller.principal.clone());
        events::append(&mut change, &mut job, self.now(), kind, text, principal)?;
        change.replace(keys::job(&job.tenant, &job.name), kept.revision, &job)?;
        change.event(event);
        let revision = self.records.commit(change).await?;
        Ok(Kept { revision, record: job })
    }

    /// Adds to `change` what a tenant takes up after `old` has become `new`; refuses more than its quota.
    async fn count_again(&self, change: &mut Change, old: &Job, new: &Job) -> Result<()> {
        let (old_demand, demand) = (crate::model::usage::demand(old), crate::model::usage::demand(new));
        let same_bundles = old.bundles().eq(new.bundles());
        if old_demand == demand && same_bundles {
            return Ok(());
        }
        let before = self.taken(&new.tenant).await?;
        let mut taken = before.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
        taken.vacate(old);
        let mut asked = crate::fair_use::Usage::none();
        for (kind, amount) in &demand {
            let had = old_demand.iter().find(|(of, _)| of == kind).map_or(0, |(_, amount)| *amount);
            // What a job has already it may keep, even over a quota that was lowered since.
            if *amount > had {
                asked.add(*kind, *amount);
            }
        }
        self.within_quota(&new.tenant, &taken, &asked).await?;
        taken.occupy(new);
        change.put(keys::usage(&new.tenant), before.as_ref(), &taken)
    }
}

/// What is wanted of a job once `ask` is asked of it.
fn apply(job: &mut Job, ask: Ask) -> Result<()> {
    let ended = !job.counts();
    if ended && ask != Ask::Restart {
        let cause = format!("job {} is {}: it cannot be asked to {}", job.name, job.state(), ask.as_str());
        return Err(Error::new(code::WRONG_STATE, cause));
    }
    match (ask, job.wanted.goal) {
        (Ask::Restart, _) if ended => {
            job.wanted.run = job.execution.run.saturating_add(1);
            job.wanted.goal = Goal::Run;
        }
        (Ask::Cancel, _) => job.wanted.goal = Goal::Cancel,
        (_, Goal::Cancel) => {
            let cause = format!("job {} is being cancelled: it cannot be asked to {}", job.name, ask.as_str());
            return Err(Error::new(code::WRONG_STATE, cause));
        }
        (Ask::Stop, _) => job.wanted.goal = Goal::Drain,
        (Ask::Restart | Ask::Suspend | Ask::Resume, Goal::Drain) => {
            let cause = format!("job {} is being stopped: it cannot be asked to {}", job.name, ask.as_str());
            return Err(Error::new(code::WRONG_STATE, cause));
        }
        (Ask::Suspend, _) => job.wanted.goal = Goal::Suspend,
        (Ask::Resume, _) => job.wanted.goal = Goal::Run,
        (Ask::Restart, _) => job.wanted.restarts = job.wanted.restarts.saturating_add(1),
    }
    Ok(())
}
