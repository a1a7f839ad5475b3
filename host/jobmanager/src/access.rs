//! Who asks, for what, and the one place that decides whether he may.
//!
//! A credential becomes a [`Caller`] once, at the door; everything behind it passes the caller on and asks
//! [`authorize`]. The tenant comes from the credential, never from a path or a body. What a caller may not see does not
//! exist for him: a denial of a sight is answered as a thing that is missing.
//!
//! Routes ask through [`Authorizer`], which asks an external service as well if one is configured; [`authorize`] alone is
//! the pure decision, over the one [`table`].

mod external;
#[cfg(test)]
mod external_tests;
mod extract;
mod resource;
pub mod table;
#[cfg(test)]
mod tests;

pub use external::{Authorizer, External};
pub use resource::Resource;
pub use table::{Action, Reach, Role, sight};

use lockgate_core::error::code;
use lockgate_core::{Error, Name};
use std::collections::BTreeSet;

/// Who asks, as a credential says.
///
/// As an extractor of axum it is what the server's own layer found; a route behind no such layer answers `LG1100`.
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

/// Where a right reaches: what a list may show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Realm {
    /// The cluster's own things and those of every tenant.
    Everything,
    /// The cluster's own things, no tenant's.
    Cluster,
    /// The things of one tenant.
    Tenant(Name),
    /// The caller's own things only, wherever they are.
    Mine,
}

/// Why not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    /// Whether the resource itself is not for this caller's eyes: 404 rather than 403.
    pub hidden: bool,
    /// What is told to the caller. For a hidden resource it says what is said of a missing one.
    pub error: Error,
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        denied.error
    }
}

/// Whether `caller` may do `action` to `resource`. The one decision point; [`table`] is what it reads.
///
/// # Errors
/// `LG1102` (404) if he may not even see the resource, `LG1101` (403) if he may see it but not do this.
pub fn authorize(caller: &Caller, action: Action, resource: &Resource) -> Result<(), Denied> {
    if may(caller, action, resource) {
        return Ok(());
    }
    if !may(caller, sight(action), resource) {
        return Err(Denied { hidden: true, error: not_found(resource) });
    }
    Err(Denied { hidden: false, error: forbidden(caller, action, resource) })
}

/// Where `caller` may do `action`, the widest first; none if nowhere. For lists: what is outside is left out, not
/// refused.
pub fn realm(caller: &Caller, action: Action) -> Option<Realm> {
    if !in_scope(caller, action) {
        return None;
    }
    let reach = caller.roles.iter().filter(|role| role.counts(caller)).map(|role| table::reach(action, *role)).max()?;
    match (reach, &caller.tenant) {
        (Reach::No, _) => None,
        (Reach::Mine, _) => Some(Realm::Mine),
        (Reach::Cluster, None) => Some(Realm::Cluster),
        (Reach::Cluster, Some(_)) => None,
        (Reach::Home, None) => Some(Realm::Everything),
        (Reach::Home, Some(tenant)) => Some(Realm::Tenant(tenant.clone())),
    }
}

/// The error for a thing that is missing, the same to the letter for one that is hidden.
pub fn not_found(resource: &Resource) -> Error {
    Error::new(code::NOT_FOUND, format!("there is no {resource}"))
}

fn forbidden(caller: &Caller, action: Action, resource: &Resource) -> Error {
    let narrowed = !in_scope(caller, action);
    let error = Error::new(code::FORBIDDEN, format!("{} may not {action} on {resource}", caller.principal));
    if narrowed {
        return error.help(format!("the credential is narrowed to scopes without {action}: use another one"));
    }
    error
}

fn may(caller: &Caller, action: Action, resource: &Resource) -> bool {
    match realm(caller, action) {
        None => false,
        Some(Realm::Everything) => true,
        Some(Realm::Cluster) => resource.tenant.is_none(),
        Some(Realm::Tenant(tenant)) => resource.tenant.as_ref() == Some(&tenant),
        Some(Realm::Mine) => resource.owner.as_deref() == Some(&*caller.principal) && resource.tenant == caller.tenant,
    }
}

fn in_scope(caller: &Caller, action: Action) -> bool {
    caller.scopes.as_ref().is_none_or(|scopes| scopes.contains(&action))
}

impl Role {
    /// Whether this role means anything to this caller: those of a tenant need a tenant, the operator's must have none.
    fn counts(self, caller: &Caller) -> bool {
        match self {
            Self::Operator => caller.tenant.is_none(),
            Self::TenantAdmin | Self::Deployer | Self::Viewer => caller.tenant.is_some(),
            Self::Auditor => true,
        }
    }
}
