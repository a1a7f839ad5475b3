//! What a TaskManager knows of itself, read from its state folder, whether or not it runs.

use super::identity::Identity;
use super::marks::TenantMarks;
use super::state::StateDir;
use super::witness::{Kept, Witness};
use super::{pinned, state_path};
use crate::config::Config;
use lockgate_core::error::code;
use lockgate_core::trust::{Document as _, OperatorRoot, TrustDomain, peek};
use lockgate_core::{Digest, Error, Name, Result, Timestamp};
use std::collections::BTreeSet;

/// What a TaskManager knows of itself.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is called.
    pub name: Name,
    /// Its trust domain.
    pub domain: TrustDomain,
    /// When its certificate expires.
    pub expires: Timestamp,
    /// When it asks for the next one.
    pub renew_at: Timestamp,
    /// The pinned operator root: its version, and the digest of what is signed.
    pub root: (u64, Digest),
    /// The tenants for which there are marks.
    pub tenants: BTreeSet<Name>,
    /// What it was told of the audit log.
    pub witness: Kept,
}

/// Looks into the state folder of `config`.
///
/// # Errors
/// `LG1420` if it has not joined; `LG0860` if the configuration names no cluster; `LG083n` if the folder cannot be read.
pub fn status(config: &Config) -> Result<Status> {
    let cluster = config.cluster.as_ref();
    let cluster = cluster
        .ok_or_else(|| Error::new(code::INVALID_CONFIGURATION, "the configuration says nothing of a cluster"))?;
    let pinned = pinned(&cluster.operator_root)?;
    let state = StateDir::peek(&state_path(config)?)?;
    let identity = Identity::read(&state)?;
    let identity =
        identity.ok_or_else(|| Error::new(code::NOT_JOINED, format!("{} has no identity", state.path().display())))?;
    Ok(Status {
        expires: identity.expires()?,
        name: identity.name.clone(),
        domain: identity.domain.clone(),
        renew_at: identity.renew_at,
        root: (peek::<OperatorRoot>(&pinned)?.version(), pinned.payload_digest()),
        tenants: TenantMarks::open(&state)?.tenants(),
        witness: Witness::look(&state)?,
    })
}
