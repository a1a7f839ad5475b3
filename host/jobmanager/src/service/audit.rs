//! The audit log as its readers see it: the operator's auditors all of it, a tenant's what is about the tenant.

use super::{Call, Service};
use crate::access::{Action, Realm, Resource, realm};
use crate::audit::{Head, Record};
use lockgate_core::Result;

/// The most records that one request looks at.
const MAX_LOOKED_AT: usize = 1_000;

/// A part of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lines {
    /// Records and checkpoints, in the form in which they are hashed.
    pub lines: Vec<String>,
    /// The number behind which the next part begins.
    pub next: u64,
    /// Whether all lines are there, so that they can be verified as a chain.
    pub whole: bool,
}

/// What the log goes on from after it was cut off, and how much went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The last record that is gone, as its checkpoint pins it.
    pub head: Head,
    /// How many records were removed.
    pub removed: u64,
}

impl Service {
    /// Removes the records up to the one numbered `at`, where a signed checkpoint stands; the log begins with that
    /// checkpoint then.
    ///
    /// # Errors
    /// `LG1260` and `LG1261` if it cannot be cut there, `LG11nn` if the caller may not, `LG12nn` of the store.
    pub async fn prune_audit(&self, call: &Call, at: u64) -> Result<Cut> {
        let resource = Resource::cluster("audit");
        self.allow(call, Action::ManageStore, &resource).await?;
        let work = || async {
            let event = self.done(call, Action::ManageStore, &resource).detail("ask", "prune");
            self.records.cut_audit(at, event).await
        };
        let head = self.records.attempt(work).await;
        let head = self.noted(call, Action::ManageStore, &resource, head).await?;
        Ok(Cut { head, removed: self.sweep_audit().await? })
    }

    /// Removes what is left of what the log was cut off, after a removal that was broken off.
    ///
    /// # Errors
    /// `LG12nn` of the store.
    pub async fn sweep_audit(&self) -> Result<u64> {
        self.records.sweep_audit().await
    }

    /// The log behind the record numbered `after`, of at most `limit` records. A tenant's auditor gets the records about
    /// his tenant; they do not make a chain by themselves.
    ///
    /// # Errors
    /// `LG1101` if the caller may not read any of it.
    pub async fn audit_log(&self, call: &Call, after: u64, limit: usize) -> Result<Lines> {
        let resource = match &call.caller.tenant {
            Some(tenant) => Resource::of(tenant.clone(), "audit"),
            None => Resource::cluster("audit"),
        };
        self.allow(call, Action::ReadAudit, &resource).await?;
        let (mut lines, next) = self.records.audit(after, limit.clamp(1, MAX_LOOKED_AT)).await?;
        let whole = matches!(realm(&call.caller, Action::ReadAudit), Some(Realm::Everything));
        if !whole {
            let own = call.caller.tenant.as_ref();
            lines.retain(|line| Record::parse(line).is_ok_and(|record| record.event.tenant.as_ref() == own));
        }
        Ok(Lines { lines, next, whole })
    }
}
