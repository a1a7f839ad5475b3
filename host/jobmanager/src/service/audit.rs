//! The audit log as its readers see it: the operator's auditors all of it, a tenant's what is about the tenant.

use super::{Call, Service};
use crate::access::{Action, Realm, Resource, realm};
use crate::audit::Record;
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

impl Service {
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
