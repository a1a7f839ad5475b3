//! A tenant's documents: the policy that the operator gives, and the root and status that the tenant signs.
//!
//! The *epoch* tells lives of a tenant apart. It rises when a tenant is made anew under an old id or recovers from lost
//! root keys; everything of an earlier epoch, signed by whomever, is then void and its jobs stop.

use super::document::{check_common, check_lifetime, refuse};
use super::{Audience, Document, Reference};
use crate::digest::Digest;
use crate::error::Result;
use crate::grant::Grant;
use crate::keys::{PublicKey, Role};
use crate::limits::PartialLimits;
use crate::name::Name;
use crate::statement::{Release, is_plain};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The days for which a policy may let a tenant's status live.
pub const STATUS_DAYS: RangeInclusive<u32> = 7..=30;
/// The most grants, jobs or revocations in a document.
const MAX_LIST: usize = 10_000;

/// What the operator allows a tenant. Signed by the operator's root keys; other tenant root keys within one epoch need
/// the old tenant threshold as well.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TenantPolicy {
    /// The tenant's id, immutable.
    pub tenant: Name,
    /// Which life of the tenant, from 1.
    pub epoch: u64,
    /// The version, from 1; rises within the epoch.
    pub version: u64,
    /// Not accepted from then on.
    pub expires: Timestamp,
    /// The clusters that it is for.
    pub audience: Audience,
    /// The tenant's root keys.
    pub root: Role,
    /// What the tenant's jobs may touch. Nothing, if empty.
    pub grants: Vec<Grant>,
    /// The most that a manifest may ask for; the default where it is silent.
    #[serde(default)]
    pub ceilings: PartialLimits,
    /// The most slots of one job.
    pub max_parallelism: u32,
    /// The longest life of the tenant's status, one of [`STATUS_DAYS`].
    pub status_days: u32,
}

impl Document for TenantPolicy {
    const PAYLOAD_TYPE: &'static str = "application/vnd.lockgate.tenant-policy.v1+json";
    const NAME: &'static str = "the tenant's policy";

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> Timestamp {
        self.expires
    }

    fn audience(&self) -> &Audience {
        &self.audience
    }

    fn check(&self) -> Result<()> {
        check_common(self)?;
        check_tenant(self, &[self.grants.len()])?;
        if !STATUS_DAYS.contains(&self.status_days) {
            return Err(refuse::<Self>(format_args!("lets a status live for {} days, not 7 to 30", self.status_days)));
        }
        if self.max_parallelism == 0 {
            return Err(refuse::<Self>("has a parallelism of 0"));
        }
        match self.grants.iter().find(|grant| !is_plain(&grant.prefix)) {
            Some(grant) => Err(refuse::<Self>(format_args!("grants {:?}, which is no plain prefix", grant.prefix))),
            None => Ok(()),
        }
    }

    fn succeed(&self, expires: Timestamp) -> Self {
        Self { version: self.version.saturating_add(1), expires, ..self.clone() }
    }
}

/// Who signs for a tenant. Signed by the tenant's root keys, which stay off line otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TenantRoot {
    /// The tenant's id.
    pub tenant: Name,
    /// The policy's epoch.
    pub epoch: u64,
    /// The version, from 1; rises within the epoch.
    pub version: u64,
    /// Not accepted from then on.
    pub expires: Timestamp,
    /// The clusters that it is for.
    pub audience: Audience,
    /// The keys that sign bundles.
    pub signers: Role,
    /// The keys that sign the status.
    pub status: Role,
    /// Keys that may never serve in a role again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_keys: Vec<PublicKey>,
    /// Payloads and components that must not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_digests: Vec<Digest>,
}

impl Document for TenantRoot {
    const PAYLOAD_TYPE: &'static str = "application/vnd.lockgate.tenant-root.v1+json";
    const NAME: &'static str = "the tenant root";

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> Timestamp {
        self.expires
    }

    fn audience(&self) -> &Audience {
        &self.audience
    }

    fn check(&self) -> Result<()> {
        check_common(self)?;
        check_tenant(self, &[self.revoked_keys.len(), self.revoked_digests.len()])?;
        let mut serving = self.signers.keys().iter().chain(self.status.keys());
        match serving.find(|key| self.revoked_keys.contains(key)) {
            Some(key) => Err(refuse::<Self>(format_args!("gives a role to key {}, which it revokes", key.short()))),
            None => Ok(()),
        }
    }

    fn succeed(&self, expires: Timestamp) -> Self {
        Self { version: self.version.saturating_add(1), expires, ..self.clone() }
    }
}

/// What a tenant holds to be current, much like TUF's snapshot and timestamp in one: without a fresh one nothing new
/// starts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TenantStatus {
    /// The tenant's id.
    pub tenant: Name,
    /// The policy's epoch.
    pub epoch: u64,
    /// The version, from 1; rises within the epoch.
    pub version: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// Not accepted from then on; the policy bounds the time from `issued` on.
    pub expires: Timestamp,
    /// The clusters that it is for.
    pub audience: Audience,
    /// The current tenant root.
    pub root: Reference,
    /// The current version of every job.
    pub jobs: BTreeMap<Name, Release>,
    /// Jobs that must not run, whatever their version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_jobs: Vec<Name>,
    /// Signers that do not count, until the tenant root says so for good. Root and status keys are not this document's
    /// to revoke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_keys: Vec<PublicKey>,
    /// Payloads and components that must not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_digests: Vec<Digest>,
}

impl Document for TenantStatus {
    const PAYLOAD_TYPE: &'static str = "application/vnd.lockgate.tenant-status.v1+json";
    const NAME: &'static str = "the tenant's status";

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> Timestamp {
        self.expires
    }

    fn audience(&self) -> &Audience {
        &self.audience
    }

    fn check(&self) -> Result<()> {
        check_common(self)?;
        let revoked = [self.revoked_jobs.len(), self.revoked_keys.len(), self.revoked_digests.len()];
        check_tenant(self, &revoked)?;
        check_tenant(self, &[self.jobs.len()])?;
        check_lifetime(self, self.issued, *STATUS_DAYS.end())?;
        if self.root.epoch != self.epoch {
            return Err(refuse::<Self>(format_args!("names a tenant root of epoch {}", self.root.epoch)));
        }
        Ok(())
    }

    /// Keeps the interval between `issued` and `expires`.
    fn succeed(&self, expires: Timestamp) -> Self {
        let life = self.expires.seconds().saturating_sub(self.issued.seconds());
        Self { version: self.version.saturating_add(1), issued: expires.plus(-life), expires, ..self.clone() }
    }
}

fn check_tenant<D: Document>(document: &D, lengths: &[usize]) -> Result<()> {
    if document.epoch() == 0 {
        return Err(refuse::<D>("has epoch 0, epochs begin at 1"));
    }
    if lengths.iter().any(|length| *length > MAX_LIST) {
        return Err(refuse::<D>(format_args!("has a list of more than {MAX_LIST}")));
    }
    Ok(())
}
