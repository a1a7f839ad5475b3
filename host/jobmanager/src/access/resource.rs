//! What is asked for, as the decision sees it: whose it is, of what kind, and its name.

use lockgate_core::Name;
use std::fmt;

/// Something of the cluster or of a tenant: one thing, or all of a kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// Whose it is; none for the cluster's own things.
    pub tenant: Option<Name>,
    /// `job`, `bundle`, `token`.
    pub kind: &'static str,
    /// Which one; none for all of the kind, and for one that is yet to be made.
    pub name: Option<String>,
    /// The principal whose own it is, for tokens.
    pub owner: Option<String>,
}

impl Resource {
    /// All things of a kind that belong to the cluster itself.
    pub const fn cluster(kind: &'static str) -> Self {
        Self { tenant: None, kind, name: None, owner: None }
    }

    /// All things of a kind that belong to a tenant.
    pub const fn of(tenant: Name, kind: &'static str) -> Self {
        Self { tenant: Some(tenant), kind, name: None, owner: None }
    }

    /// One of them.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// One that is this principal's own.
    #[must_use]
    pub fn owned_by(mut self, principal: impl Into<String>) -> Self {
        self.owner = Some(principal.into());
        self
    }
}

/// `job/late-flights`, or `job` for all of them. Never the tenant: it must not be confirmed to whoever guessed it.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        match &self.name {
            Some(name) => write!(f, "/{}", name.escape_debug()),
            None => Ok(()),
        }
    }
}
