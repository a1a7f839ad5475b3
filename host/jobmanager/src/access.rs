//! Who asks, for what, and the one place that decides whether he may.
//!
//! A credential becomes a [`Caller`] once, at the door; everything behind it passes the caller on and asks
//! [`authorize`]. The tenant comes from the credential, never from a path or a body. What a caller may not see does not
//! exist for him: a denial of a sight is answered as a thing that is missing.

use lockgate_core::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who asks, as a credential says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Who it is, unique within the JobManager: `user:ana`, `token:ci`, `oidc:<issuer>#<subject>`, `cert:<uri>`.
    pub principal: String,
    /// The credential's public id (never its secret), for audit and revocation.
    pub credential: String,
    /// The tenant that he acts in; none for the operator's people.
    pub tenant: Option<Name>,
    /// What he is there.
    pub roles: BTreeSet<Role>,
    /// What the credential is narrowed to; all that the roles allow if none.
    pub scopes: Option<BTreeSet<Action>>,
}

/// What a principal is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the cluster: tenants, quotas, TaskManagers. Sees no tenant's data.
    Operator,
    /// Runs a tenant: members, tokens, trust documents.
    TenantAdmin,
    /// Uploads bundles and manages jobs.
    Deployer,
    /// Looks at jobs.
    Viewer,
    /// Reads the audit log.
    Auditor,
}

/// What can be asked for: one for each right that can be had or lacked on its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// See jobs and their states.
    ReadJobs,
}
