//! What is measured: of all tenants for the operator, of his own for a tenant's.

use super::{Call, Service};
use crate::access::{Action, Realm, Resource, realm};
use crate::fair_use::Kind;
use crate::model::job::Job;
use crate::model::keys;
use crate::model::metrics::Metrics;
use crate::model::tenant::Tenant;
use lockgate_core::{Name, Result};

/// The most jobs or tenants of one answer.
const MAX: usize = 10_000;

/// What is measured.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Jobs with what their TaskManagers reported.
    pub jobs: Vec<(Job, Metrics)>,
    /// Tenant, quota, its value and its use.
    pub quotas: Vec<(Name, Kind, u64, u64)>,
}

impl Service {
    /// What is measured of what the caller may see.
    ///
    /// # Errors
    /// `LG1101` if he may see none.
    pub async fn figures(&self, call: &Call) -> Result<Figures> {
        let own = call.caller.tenant.as_ref();
        let all = own.map_or_else(|| Resource::cluster("metrics"), |own| Resource::of(own.clone(), "metrics"));
        self.allow(call, Action::ReadMetrics, &all).await?;
        let tenants = match realm(&call.caller, Action::ReadMetrics) {
            Some(Realm::Everything) => {
                let found = self.records.scan::<Tenant>(&keys::tenants(), None, MAX).await?;
                found.into_iter().map(|(_, kept)| kept.record.name).collect()
            }
            _ => own.cloned().into_iter().collect::<Vec<_>>(),
        };
        let mut figures = Figures::default();
        for tenant in tenants {
            let found = self.records.scan::<Job>(&keys::jobs(&tenant), None, MAX - figures.jobs.len().min(MAX)).await?;
            for (_, kept) in found {
                let metrics = self.records.get::<Metrics>(&keys::metrics(&tenant, &kept.record.id)).await?;
                figures.jobs.push((kept.record, metrics.map(|kept| kept.record).unwrap_or_default()));
            }
            let quota = self.quota_use(&tenant).await?;
            for kind in Kind::ALL {
                figures.quotas.push((tenant.clone(), *kind, quota.quota.get(*kind), quota.usage.get(*kind)));
            }
        }
        Ok(figures)
    }
}
