//! Quotas: what the operator lets a tenant take up, and what it does.

use super::changes::Precondition;
use super::{Call, Change, Service};
use crate::access::{Action, Resource};
use crate::fair_use::{Kind, Quota, Usage, check};
use crate::model::usage::Taken;
use crate::model::{Kept, keys};
use lockgate_core::{Name, Result};
use std::collections::BTreeMap;

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
            self.records.commit(change).await?;
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

    /// What a tenant takes up.
    pub(super) async fn taken(&self, tenant: &Name) -> Result<Option<Kept<Taken>>> {
        self.records.get(&keys::usage(tenant)).await
    }

    /// Refuses what a tenant asks for if it does not fit beside what it takes up.
    pub(super) async fn within_quota(&self, tenant: &Name, taken: &Taken, asked: &Usage) -> Result<()> {
        check(&self.quota_of(tenant).await?, &taken.used(self.now()), asked)
    }
}
