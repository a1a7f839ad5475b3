//! Tenants: made, suspended and closed by the operator; everybody sees his own.

use super::idempotency::{IdempotencyKey, Known, Made};
use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource, not_found};
use crate::model::label::{self, Labels};
use crate::model::tenant::{State, Tenant};
use crate::model::{Kept, keys};
use crate::service::changes::Precondition;
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};

/// What a tenant is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTenant {
    /// Its name, which is never given to another.
    pub name: Name,
    /// What users find it by.
    pub labels: Labels,
}

/// What changes of a tenant; nothing where none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TenantChange {
    /// All labels anew.
    pub labels: Option<Labels>,
    /// Suspended, or active again.
    pub suspended: Option<bool>,
}

impl Listed for Tenant {
    fn state(&self) -> Option<&'static str> {
        Some(self.state.as_str())
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> Option<&Labels> {
        Some(&self.labels)
    }
}

/// A tenant as what is asked for.
pub(super) fn resource(name: &Name) -> Resource {
    Resource::of(name.clone(), "tenant").named(name.as_str())
}

impl Service {
    /// The tenants that the caller may see.
    ///
    /// # Errors
    /// `LG1006` for a cursor of another list, `LG11nn` if he may see none.
    pub async fn tenants(&self, call: &Call, filter: &Filter) -> Result<Page<Tenant>> {
        if let Some(own) = &call.caller.tenant {
            let kept = self.get_tenant(call, own).await?;
            let fits = filter.name.as_ref().is_none_or(|prefix| own.starts_with(prefix.as_str()))
                && (filter.states.is_empty() || filter.states.iter().any(|state| state == kept.record.state.as_str()))
                && filter.labels.iter().all(|(key, value)| kept.record.labels.get(key) == Some(value));
            return Ok(Page { items: fits.then_some(kept).into_iter().collect(), next: None });
        }
        self.allow(call, Action::ReadTenants, &Resource::cluster("tenant")).await?;
        self.list(call, &keys::tenants(), filter).await
    }

    /// Whether a tenant's jobs may run, for the parts of the JobManager that act by themselves.
    ///
    /// # Errors
    /// `LG12nn` if it cannot be read.
    pub async fn is_active(&self, name: &Name) -> Result<bool> {
        let kept = self.records.get::<Tenant>(&keys::tenant(name)).await?;
        Ok(kept.is_some_and(|kept| kept.record.state == State::Active))
    }

    /// The names of all tenants that are not closed, for the parts of the JobManager that act by themselves.
    ///
    /// # Errors
    /// `LG12nn` if they cannot be read.
    pub async fn tenant_names(&self) -> Result<Vec<Name>> {
        let (all, mut after, mut names) = (keys::tenants(), None, Vec::new());
        loop {
            let found = self.records.scan::<Tenant>(&all, after.as_ref(), 500).await?;
            let Some((last, _)) = found.last() else { return Ok(names) };
            after = Some(last.clone());
            let open = found.into_iter().filter(|(_, kept)| kept.record.state != State::Closed);
            names.extend(open.map(|(_, kept)| kept.record.name));
        }
    }

    /// A tenant.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see.
    pub async fn get_tenant(&self, call: &Call, name: &Name) -> Result<Kept<Tenant>> {
        let resource = resource(name);
        self.allow(call, Action::ReadTenants, &resource).await?;
        let closed_too = call.caller.tenant.is_none();
        let kept = self.records.get::<Tenant>(&keys::tenant(name)).await?;
        kept.filter(|kept| closed_too || kept.record.state != State::Closed).ok_or_else(|| not_found(&resource))
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// `LG1011` if the name was ever given, `LG1010` for its labels, `LG11nn` if the caller may not.
    pub async fn create_tenant(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        new: &NewTenant,
    ) -> Result<Made<Kept<Tenant>>> {
        let resource = resource(&new.name);
        self.allow(call, Action::ManageTenants, &Resource::cluster("tenant")).await?;
        label::check(&new.labels)?;
        let result = self.records.attempt(|| self.try_create_tenant(call, key, new, &resource)).await;
        self.noted(call, Action::ManageTenants, &resource, result).await
    }

    async fn try_create_tenant(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        new: &NewTenant,
        resource: &Resource,
    ) -> Result<Made<Kept<Tenant>>> {
        let place = keys::tenant(&new.name);
        let before = match self.known::<Tenant>(call, key).await? {
            Known::Made(made) => {
                let kept = self.records.get::<Tenant>(&place).await?;
                let revision = kept.map_or(0, |kept| kept.revision);
                return Ok(Made { thing: Kept { revision, record: made }, replayed: true });
            }
            Known::New(before) => before,
        };
        if self.records.get::<Tenant>(&place).await?.is_some() {
            let cause = format!("there is or was a tenant {}: names are never given again", new.name);
            return Err(Error::new(code::ALREADY_EXISTS, cause));
        }
        let tenant = Tenant {
            name: new.name.clone(),
            created: self.now(),
            created_by: call.caller.principal.clone(),
            labels: new.labels.clone(),
            state: State::Active,
        };
        let mut change = Change::default();
        change.create(place, &tenant)?;
        self.remember(call, key, before.as_ref(), &tenant, &mut change)?;
        change.event(self.done(call, Action::ManageTenants, resource).detail("change", "create"));
        let revision = self.records.commit(change).await?;
        Ok(Made { thing: Kept { revision, record: tenant }, replayed: false })
    }

    /// Changes a tenant.
    ///
    /// # Errors
    /// `LG1004` and `LG1005` for the precondition, `LG1012` if it is closed, `LG11nn` if the caller may not.
    pub async fn change_tenant(
        &self,
        call: &Call,
        name: &Name,
        wanted: &TenantChange,
        precondition: &Precondition,
    ) -> Result<Kept<Tenant>> {
        let resource = resource(name);
        self.allow(call, Action::ManageTenants, &resource).await?;
        wanted.labels.as_ref().map_or(Ok(()), label::check)?;
        let work = || async {
            let mut kept = self.tenant(name, &resource).await?;
            precondition.require(kept.revision)?;
            let mut event = self.done(call, Action::ManageTenants, &resource);
            if let Some(labels) = &wanted.labels {
                kept.record.labels.clone_from(labels);
                event = event.detail("change", "labels");
            }
            if let Some(suspended) = wanted.suspended {
                kept.record.state = if suspended { State::Suspended } else { State::Active };
                event = event.detail("state", kept.record.state.as_str());
            }
            self.replace(keys::tenant(name), kept, event).await
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::ManageTenants, &resource, result).await
    }

    /// Closes a tenant for good. Its name stays taken.
    ///
    /// # Errors
    /// `LG1012` while it has jobs, `LG1004` for the precondition, `LG11nn` if the caller may not.
    pub async fn close_tenant(&self, call: &Call, name: &Name, precondition: &Precondition) -> Result<()> {
        let resource = resource(name);
        self.allow(call, Action::ManageTenants, &resource).await?;
        let work = || async {
            let mut kept = self.tenant(name, &resource).await?;
            precondition.require(kept.revision)?;
            let taken = self.taken(name).await?;
            let jobs = taken.as_ref().map_or(0, |taken| taken.record.jobs());
            if jobs > 0 {
                let cause = format!("tenant {name} has {jobs} jobs: end and delete them first");
                return Err(Error::new(code::WRONG_STATE, cause));
            }
            kept.record.state = State::Closed;
            let mut change = Change::default();
            // A job that is made at this moment changes what is taken up: it is seen, or refused itself.
            let same = taken.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
            change.put(keys::usage(name), taken.as_ref(), &same)?;
            change.replace(keys::tenant(name), kept.revision, &kept.record)?;
            change.event(self.done(call, Action::ManageTenants, &resource).detail("state", "closed"));
            self.records.commit(change).await.map(drop)
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::ManageTenants, &resource, result).await
    }
}
