//! Quotas: what the operator lets a tenant take up, and what it does.

use super::changes::Precondition;
use super::{Call, Change, Records, Service};
use crate::access::{Action, Resource};
use crate::fair_use::{Kind, Quota, Usage, check};
use crate::model::usage::Taken;
use crate::model::{Kept, keys};
use lockgate_core::{Name, Result};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// How many quotas are read at once.
const PAGE: usize = 500;

/// The requests a second of the tenants whose own quota says so: asked with every request, so kept in memory. Nobody but
/// this process writes quotas, and whoever does notes it here before he answers.
#[derive(Debug, Default)]
pub(super) struct OwnRates(RwLock<BTreeMap<Name, (u64, Option<u32>)>>);

impl OwnRates {
    /// Those that are stored. A quota that cannot be read is as good as none.
    pub async fn open(records: &Records) -> Result<Self> {
        let (this, mut after) = (Self::default(), None);
        loop {
            let found = records.scan_each::<Quota>(&keys::quotas(), after.as_ref(), PAGE).await?;
            let Some((last, _)) = found.last() else { return Ok(this) };
            after = Some(last.clone());
            for (key, kept) in found {
                let tenant = key.parts().pop().and_then(|part| Name::new(&part).ok());
                match (tenant, kept) {
                    (Some(tenant), Ok(kept)) => this.note(&tenant, &kept),
                    (_, kept) => {
                        let error = kept.err().map(tracing::field::display);
                        tracing::error!(%key, error, "a quota cannot be read; the default counts");
                    }
                }
            }
        }
    }

    fn of(&self, tenant: &Name) -> Option<u32> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant).and_then(|(_, rate)| *rate)
    }

    /// Notes a quota, unless a later one was noted already.
    fn note(&self, tenant: &Name, quota: &Kept<Quota>) {
        let rate = quota.record.own(Kind::RequestsPerSecond).map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        let mut rates = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let noted = rates.entry(tenant.clone()).or_default();
        if quota.revision >= noted.0 {
            *noted = (quota.revision, rate);
        }
    }
}

/// A quota with its use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuotaUse {
    /// Of the quota; 0 if none was ever set.
    pub revision: u64,
    /// What is set for this tenant.
    pub own: BTreeMap<Kind, u64>,
    /// What counts: what is set, and defaults elsewhere.
    pub quota: Quota,
    /// What is taken up.
    pub usage: Usage,
}

impl Service {
    /// A tenant's quota and its use.
    ///
    /// # Errors
    /// `LG1102` if there is no tenant that the caller may see.
    pub async fn quota(&self, call: &Call, tenant: &Name) -> Result<QuotaUse> {
        let resource = Resource::of(tenant.clone(), "quota").named(tenant.as_str());
        self.allow(call, Action::ReadQuotas, &resource).await?;
        self.tenant(tenant, &resource).await?;
        self.quota_use(tenant).await
    }

    pub(super) async fn quota_use(&self, tenant: &Name) -> Result<QuotaUse> {
        let quota = self.records.get::<Quota>(&keys::quota(tenant)).await?;
        let taken = self.taken(tenant).await?.map(|kept| kept.record).unwrap_or_default();
        let (revision, own) = quota.map_or_else(Default::default, |kept| (kept.revision, kept.record));
        let set = serde_json::to_value(&own).ok().and_then(|value| serde_json::from_value(value).ok());
        Ok(QuotaUse {
            revision,
            own: set.unwrap_or_default(),
            quota: own.or(&self.options.quota),
            usage: taken.used(self.now()),
        })
    }

    /// Sets a tenant's quota as a whole. What is taken up already stays; nothing more is given until it fits.
    ///
    /// # Errors
    /// `LG1004` and `LG1005` for the precondition, `LG11nn` if the caller may not.
    pub async fn set_quota(
        &self,
        call: &Call,
        tenant: &Name,
        values: &BTreeMap<Kind, u64>,
        precondition: Precondition,
    ) -> Result<QuotaUse> {
        let resource = Resource::of(tenant.clone(), "quota").named(tenant.as_str());
        self.allow(call, Action::WriteQuotas, &resource).await?;
        let work = || async {
            self.tenant(tenant, &resource).await?;
            let before = self.records.get::<Quota>(&keys::quota(tenant)).await?;
            precondition.demand(before.as_ref().map(|kept| kept.revision))?;
            let (mut quota, mut event) = (Quota::default(), self.done(call, Action::WriteQuotas, &resource));
            for (kind, value) in values {
                quota.set(*kind, *value);
                event = event.detail(kind.as_str(), value.to_string());
            }
            let mut change = Change::default();
            change.put(keys::quota(tenant), before.as_ref(), &quota)?;
            change.event(event);
            let revision = self.records.commit(change).await?;
            self.own_rates.note(tenant, &Kept { revision, record: quota });
            self.quota_use(tenant).await
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::WriteQuotas, &resource, result).await
    }

    /// What a tenant may take up, for the parts of the JobManager that act by themselves.
    ///
    /// # Errors
    /// `LG12nn` if it cannot be read.
    pub async fn quota_of(&self, tenant: &Name) -> Result<Quota> {
        let own = self.records.get::<Quota>(&keys::quota(tenant)).await?.map(|kept| kept.record).unwrap_or_default();
        Ok(own.or(&self.options.quota))
    }

    /// The requests a second that a tenant's own quota allows; none if that says nothing, so that the default counts. A
    /// look into memory.
    pub fn own_request_rate(&self, tenant: &Name) -> Option<u32> {
        self.own_rates.of(tenant)
    }

    /// What a tenant takes up.
    pub(super) async fn taken(&self, tenant: &Name) -> Result<Option<Kept<Taken>>> {
        self.records.get(&keys::usage(tenant)).await
    }

    /// Refuses what a tenant asks for if it does not fit beside what it takes up.
    pub(super) async fn within_quota(&self, tenant: &Name, taken: &Taken, asked: &Usage) -> Result<()> {
        check(&self.quota_of(tenant).await?, &taken.used(self.now()), asked)
    }
}
