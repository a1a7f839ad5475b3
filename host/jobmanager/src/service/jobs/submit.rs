//! Creating and upgrading jobs: the bundle is verified anew, its parameters and parallelism are held to their signed
//! bounds, and the job, its quota, the marks, the idempotency key and the event are one commit.

use crate::access::{Action, Resource};
use crate::audit::Event as Audited;
use crate::fair_use::{Kind as QuotaKind, MAX_WEIGHT, Usage};
use crate::model::bundle::Bundle;
use crate::model::event::Kind;
use crate::model::job::{Deployment, Job, MAX_FORMER};
use crate::model::label::{self, Labels};
use crate::model::usage::demand;
use crate::model::{Kept, keys};
use crate::reconcile::{Execution, Goal, Wanted};
use crate::service::bundles::Purpose;
use crate::service::changes::Precondition;
use crate::service::idempotency::{IdempotencyKey, Known, Made};
use crate::service::{Call, Change, Service, events};
use lockgate_core::error::code;
use lockgate_core::grant::{ResourceKind, Touch};
use lockgate_core::manifest::Manifest;
use lockgate_core::placement::SlotCost;
use lockgate_core::plan::Plan;
use lockgate_core::planner::Planner;
use lockgate_core::verify::Accepted;
use lockgate_core::{Digest, Error, Name, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The most parameters of a request; a manifest cannot declare more that matter.
const MAX_PARAMETERS: usize = 256;

/// What a job is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewJob {
    /// The bundle, which says what the job is called.
    pub bundle: Digest,
    /// Values of parameters.
    pub parameters: BTreeMap<Name, String>,
    /// Slots; as many as are signed at most, if none.
    pub parallelism: Option<u32>,
    /// Fuel a second of each slot, at least 1; what [`Service::fuel_share`] says, if none.
    pub fuel: Option<u64>,
    /// How much it counts beside its tenant's other jobs, 1 to [`MAX_WEIGHT`]; 1 if none.
    pub weight: Option<u32>,
    /// What users find it by.
    pub labels: Labels,
}

/// What a job is taken to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upgrade {
    /// The bundle of another version; the present one if none.
    pub bundle: Option<Digest>,
    /// Whether it is an earlier one that the present one names as a fallback.
    pub fallback: bool,
    /// Whether the job starts again if it has ended.
    pub restart: bool,
    /// Values of parameters; those of before if none.
    pub parameters: Option<BTreeMap<Name, String>>,
    /// Slots; as many as before, within what is signed, if none.
    pub parallelism: Option<u32>,
    /// Fuel a second of each slot, at least 1; as much as before if none, and if that was not bounded, what
    /// [`Service::fuel_share`] says.
    pub fuel: Option<u64>,
    /// How much it counts beside its tenant's other jobs; as much as before if none.
    pub weight: Option<u32>,
}

impl Service {
    /// Creates a job from a bundle.
    ///
    /// # Errors
    /// `LG1011` if there is one of this name, `LG01nn` and `LG02nn` for parameters, `LG04nn` if the bundle may not start,
    /// `LG1112` for a quota, `LG1018` if it is no job's bundle, `LG11nn` if the caller may not.
    pub async fn create_job(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        tenant: &Name,
        new: &NewJob,
    ) -> Result<Made<Kept<Job>>> {
        let all = Resource::of(tenant.clone(), "job");
        self.allow(call, Action::CreateJobs, &all).await?;
        let result = self.records.attempt(|| self.try_create_job(call, key, tenant, new, &all)).await;
        self.noted(call, Action::CreateJobs, &all, result).await
    }

    async fn try_create_job(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        tenant: &Name,
        new: &NewJob,
        all: &Resource,
    ) -> Result<Made<Kept<Job>>> {
        let answered = match self.known::<Job>(call, key).await? {
            Known::Made(job) => {
                let now = self.records.get::<Job>(&keys::job(tenant, &job.name)).await?;
                // As it is now, unless it is gone: then as it was made.
                let same = now.filter(|kept| kept.record.id == job.id);
                return Ok(Made { thing: same.unwrap_or(Kept { revision: 0, record: job }), replayed: true });
            }
            Known::New(before) => before,
        };
        label::check(&new.labels)?;
        let active = self.active_tenant(tenant, all).await?;
        let at = Resource::of(tenant.clone(), "bundle").named(new.bundle.to_string());
        let bundle = self.find_bundle(tenant, &new.bundle, &at).await?;
        let name = bundle.record.job().clone();
        let place = keys::job(tenant, &name);
        if self.records.get::<Job>(&place).await?.is_some() {
            let cause = format!("there is a job {name} already");
            return Err(Error::new(code::ALREADY_EXISTS, cause).help("upgrade it, or delete it once it has ended"));
        }
        let plan = check_settings(&bundle.record, &new.parameters)?;
        let (file, _) = self.bundles.file(&new.bundle)?;
        let (accepted, marks) = self.verify(tenant, file, Purpose::Start).await?;
        let fuel = self.fuel(tenant, new.fuel).await?;
        let wanted = wanted(&bundle.record, &plan, (new.parallelism, fuel, new.weight.unwrap_or(1)), 1)?;
        let epoch = *self.records.revision().borrow();
        let mut job = Job {
            tenant: tenant.clone(),
            name: name.clone(),
            id: random_id()?,
            labels: new.labels.clone(),
            created: self.now(),
            created_by: call.caller.principal.clone(),
            deployment: self.deployment(call, &bundle.record, new.parameters.clone()),
            former: Vec::new(),
            next_event: 1,
            next_exception: 1,
            execution: Execution::admitted(bundle.record.release, epoch, self.steady()),
            wanted,
        };
        let mut change = Change::default();
        change.require(keys::tenant(tenant), active.revision);
        let before = self.taken(tenant).await?;
        let mut taken = before.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
        let asked = demand(&job)
            .into_iter()
            .fold(Usage::none().with(QuotaKind::Jobs, 1), |all, (kind, amount)| all.with(kind, amount));
        self.within_quota(tenant, &taken, &asked).await?;
        taken.add_job(&job);
        change.put(keys::usage(tenant), before.as_ref(), &taken)?;
        Self::advance_marks(&mut change, tenant, marks.as_ref(), accepted.marks.clone())?;
        let text = format!("{} creates the job in version {}", call.caller.principal, bundle.record.release.version);
        events::append(&mut change, &mut job, self.now(), Kind::Request, text, Some(call.caller.principal.clone()))?;
        change.create(place, &job)?;
        self.remember(call, key, answered.as_ref(), &job, &mut change)?;
        change.require(keys::bundle(tenant, &new.bundle), bundle.revision);
        let event = self.done(call, Action::CreateJobs, &super::resource(tenant, &name));
        change.event(described(event, &accepted, &job));
        let revision = self.records.commit(change).await?;
        Ok(Made { thing: Kept { revision, record: job }, replayed: false })
    }

    /// Takes a job to another version, or to other values of its parameters.
    ///
    /// # Errors
    /// As [`Self::create_job`]; `LG1012` if the job has ended, `LG1004` for the precondition.
    pub async fn upgrade_job(
        &self,
        call: &Call,
        tenant: &Name,
        name: &Name,
        upgrade: &Upgrade,
        precondition: Precondition,
    ) -> Result<Kept<Job>> {
        let resource = super::resource(tenant, name);
        self.allow(call, Action::UpgradeJobs, &resource).await?;
        let work = || self.try_upgrade_job(call, (tenant, name), upgrade, precondition, &resource);
        let result = self.records.attempt(work).await;
        self.noted(call, Action::UpgradeJobs, &resource, result).await
    }

    async fn try_upgrade_job(
        &self,
        call: &Call,
        (tenant, name): (&Name, &Name),
        upgrade: &Upgrade,
        precondition: Precondition,
        resource: &Resource,
    ) -> Result<Kept<Job>> {
        let active = self.active_tenant(tenant, resource).await?;
        let kept = self.existing(tenant, name, resource).await?;
        precondition.require(kept.revision)?;
        let mut job = kept.record.clone();
        let again = !job.counts() && upgrade.restart;
        if again {
            self.allow(call, Action::RestartJobs, resource).await?;
            (job.wanted.run, job.wanted.goal) = (job.execution.run.saturating_add(1), Goal::Run);
        }
        if !job.counts() || job.wanted.goal != Goal::Run {
            let cause = format!("job {name} is {} or about to end: it cannot be upgraded", job.state());
            return Err(Error::new(code::WRONG_STATE, cause).help("let it start again with this, or create it anew"));
        }
        let digest = upgrade.bundle.unwrap_or(job.deployment.bundle);
        let at = Resource::of(tenant.clone(), "bundle").named(digest.to_string());
        let bundle = self.find_bundle(tenant, &digest, &at).await?;
        if bundle.record.job() != name {
            let cause = format!("bundle {} is of job {}, not {name}", digest.short(), bundle.record.job());
            return Err(Error::new(code::NOT_A_JOB, cause));
        }
        let parameters = upgrade.parameters.clone().unwrap_or_else(|| job.deployment.parameters.clone());
        let plan = check_settings(&bundle.record, &parameters)?;
        let mut change = Change::default();
        let event = self.done(call, Action::UpgradeJobs, resource);
        let what = if again { "starts it again" } else { "changes settings" };
        let mut text = format!("{} {what}", call.caller.principal);
        let mut event = event.detail("bundle", digest.to_string());
        if bundle.record.release != job.deployment.release {
            let purpose = match upgrade.fallback {
                true => Purpose::Fallback(job.deployment.bundle),
                false => Purpose::Upgrade,
            };
            let (accepted, marks) = self.verify(tenant, self.bundles.file(&digest)?.0, purpose).await?;
            Self::advance_marks(&mut change, tenant, marks.as_ref(), accepted.marks.clone())?;
            let version = bundle.record.release.version;
            text = format!("{} takes the job to version {version}", call.caller.principal);
            event = described(event, &accepted, &job);
            let before = self.records.get::<Bundle>(&keys::bundle(tenant, &job.deployment.bundle)).await?;
            let newly = before.map(|before| newly(&before.record, &bundle.record)).filter(|newly| !newly.is_empty());
            if let Some(newly) = newly {
                text = format!("{text}, which newly touches {newly}");
                event = event.detail("newly-touches", newly);
            }
        }
        let slots = upgrade.parallelism.or_else(|| {
            let range = bundle.record.predicate.manifest.job.parallelism;
            Some(job.wanted.desired.clamp(range.min, range.max))
        });
        let weight = upgrade.weight.unwrap_or(job.wanted.weight);
        let before = Some(job.wanted.slot.fuel).filter(|fuel| *fuel > 0);
        let fuel = self.fuel(tenant, upgrade.fuel.or(before)).await?;
        let wanted = wanted(&bundle.record, &plan, (slots, fuel, weight), job.wanted.run)?;
        let mut next = self.deployment(call, &bundle.record, parameters);
        next.fallback_of = match next.release == job.deployment.release {
            true => job.deployment.fallback_of,
            false => Some(job.deployment.bundle).filter(|_| upgrade.fallback),
        };
        let settings = next.parameters != job.deployment.parameters;
        let asked = |wanted: &Wanted| (wanted.desired, wanted.slot.fuel, wanted.weight);
        let same = next.release == job.deployment.release && !settings && asked(&wanted) == asked(&job.wanted);
        if same && !again {
            return Ok(kept);
        }
        // Other values of parameters take effect when the job starts again; another version makes it do so anyway.
        let restart = u64::from(settings && next.release == job.deployment.release && !again);
        let restarts = job.wanted.restarts.saturating_add(restart);
        job.wanted = Wanted { restarts, ..wanted };
        if !same {
            let former = std::mem::replace(&mut job.deployment, next);
            job.former.insert(0, former);
            job.former.truncate(MAX_FORMER);
        }
        self.count_again(&mut change, &kept.record, &job).await?;
        events::append(&mut change, &mut job, self.now(), Kind::Request, text, Some(call.caller.principal.clone()))?;
        change.require(keys::tenant(tenant), active.revision);
        change.require(keys::bundle(tenant, &digest), bundle.revision);
        change.replace(keys::job(tenant, name), kept.revision, &job)?;
        change.event(event);
        let revision = self.records.commit(change).await?;
        Ok(Kept { revision, record: job })
    }

    /// Fuel a second of each slot of a job: what is asked for, or the rule's.
    async fn fuel(&self, tenant: &Name, asked: Option<u64>) -> Result<u64> {
        match asked {
            Some(0) => {
                let cause = "a slot that may use no fuel a second could do nothing";
                let help = "say 1 or more, or leave it out: then the tenant's quota decides";
                Err(Error::new(code::MALFORMED_REQUEST, cause).help(help))
            }
            Some(fuel) => Ok(fuel),
            None => self.fuel_share(tenant).await,
        }
    }

    /// Fuel a second of each slot of a job that says nothing of it: if a quota of fuel is set, for the tenant or in the
    /// configuration, one part of it for each slot that the tenant may have, so that all of them together are within
    /// both; if none is, 0, which is no bound and counts for nothing.
    ///
    /// # Errors
    /// `LG12nn` if the quota cannot be read.
    pub async fn fuel_share(&self, tenant: &Name) -> Result<u64> {
        let quota = self.quota_of(tenant).await?;
        let share = |fuel: u64| (fuel / quota.get(QuotaKind::Slots).max(1)).max(1);
        Ok(quota.own(QuotaKind::FuelPerSecond).map_or(0, share))
    }

    fn deployment(&self, call: &Call, bundle: &Bundle, parameters: BTreeMap<Name, String>) -> Deployment {
        Deployment {
            bundle: bundle.digest,
            release: bundle.release,
            parameters,
            fallback_of: None,
            since: self.now(),
            by: call.caller.principal.clone(),
        }
    }
}

/// The plan; refuses bundles without a pipeline, and values that are outside of what was signed.
fn check_settings(bundle: &Bundle, parameters: &BTreeMap<Name, String>) -> Result<Plan> {
    if !bundle.is_job() {
        let cause = format!("bundle {} holds functions, not a job", bundle.digest.short());
        return Err(Error::new(code::NOT_A_JOB, cause));
    }
    if parameters.len() > MAX_PARAMETERS {
        let cause = format!("{} parameters are given, at most {MAX_PARAMETERS} are taken", parameters.len());
        return Err(Error::new(code::MALFORMED_REQUEST, cause));
    }
    match Planner::plan(&bundle.predicate.manifest, &bundle.descriptions, parameters) {
        Ok(plan) => Ok(plan),
        Err(errors) => {
            let first = errors.into_iter().next();
            Err(first.unwrap_or_else(|| Error::new(code::INTERNAL, "the job's plan cannot be made")))
        }
    }
}

/// What is wanted of a job in this version.
fn wanted(
    bundle: &Bundle,
    plan: &Plan,
    (parallelism, fuel, weight): (Option<u32>, u64, u32),
    run: u64,
) -> Result<Wanted> {
    if !(1..=MAX_WEIGHT).contains(&weight) {
        let error =
            Error::new(code::MALFORMED_REQUEST, format!("a weight of {weight} is not within 1 and {MAX_WEIGHT}"));
        return Err(error.help("leave it out: then the job counts as much as others"));
    }
    let manifest = &bundle.predicate.manifest;
    let range = manifest.job.parallelism;
    let desired = parallelism.unwrap_or(range.max);
    if desired < range.min || desired > range.max {
        let cause = format!("a parallelism of {desired} is asked for, {} to {} are signed", range.min, range.max);
        return Err(Error::new(code::PARAMETER_REFUSED, cause));
    }
    Ok(Wanted {
        goal: Goal::Run,
        release: bundle.release,
        run,
        restarts: 0,
        parallelism: range,
        desired,
        weight,
        slot: SlotCost::of(plan, fuel),
        volumes: volumes(manifest),
        restart: manifest.restart_strategy()?,
    })
}

fn volumes(manifest: &Manifest) -> BTreeSet<Name> {
    let touches = manifest.touches().into_iter();
    touches.filter(|touch| touch.kind == ResourceKind::Volume).map(|Touch { name, .. }| name).collect()
}

/// An audit event with what a reviewer wants to know of a version: which, and what it newly touches.
fn described(event: Audited, accepted: &Accepted, job: &Job) -> Audited {
    let predicate = accepted.bundle.predicate();
    let adds: Vec<String> = predicate.adds.iter().take(16).map(lockgate_core::statement::show).collect();
    let event = event
        .detail("id", job.id.clone())
        .detail("version", accepted.bundle.version().to_string())
        .detail("payload", accepted.bundle.digest().to_string());
    if adds.is_empty() { event } else { event.detail("adds", adds.join("; ")) }
}

/// What one version touches that another does not, as an operator reads it; the first of them if there are many.
fn newly(old: &Bundle, new: &Bundle) -> String {
    let (old, new) = (old.predicate.touches(), new.predicate.touches());
    let mut newly = new.difference(&old);
    let mut text: Vec<String> = newly.by_ref().take(16).map(lockgate_core::statement::show).collect();
    match newly.count() {
        0 => {}
        more => text.push(format!("and {more} more")),
    }
    text.join("; ")
}

fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::new(code::INTERNAL, format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
