//! The operator's documents: the root of all trust on a cluster, and the short-lived word on what is current.

use super::document::{check_common, check_lifetime, refuse};
use super::{Audience, Document, Reference};
use crate::error::{Error, Result, code};
use crate::keys::Role;
use crate::name::Name;
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The operator's keys. Pinned on every TaskManager at set-up; version N + 1 is signed by the thresholds of N and its
/// own, together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OperatorRoot {
    /// The version, from 1; each follows its predecessor by one.
    pub version: u64,
    /// Not accepted from then on.
    pub expires: Timestamp,
    /// The clusters that it is for.
    pub audience: Audience,
    /// The keys that sign this document and the tenants' policies.
    pub root: Role,
    /// The keys that sign the operator's status.
    pub status: Role,
}

impl Document for OperatorRoot {
    const PAYLOAD_TYPE: &'static str = "application/vnd.lockgate.operator-root.v1+json";
    const NAME: &'static str = "the operator root";

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
        check_common(self)
    }

    fn succeed(&self, expires: Timestamp) -> Self {
        Self { version: self.version.saturating_add(1), expires, ..self.clone() }
    }
}

/// What the operator holds to be current. Short-lived, so that a policy that was withdrawn cannot be kept alive by who
/// withholds the news.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OperatorStatus {
    /// The version, from 1.
    pub version: u64,
    /// When it was made.
    pub issued: Timestamp,
    /// Not accepted from then on; at most [`Self::MAX_DAYS`] after `issued`.
    pub expires: Timestamp,
    /// The clusters that it is for.
    pub audience: Audience,
    /// The current operator root.
    pub root: Reference,
    /// The current policy of every tenant. Who is not in it runs nothing.
    pub policies: BTreeMap<Name, Reference>,
    /// The public keys of the pools of TaskManagers to which secrets may be sealed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pool_keys: BTreeMap<Name, PoolKey>,
}

impl OperatorStatus {
    /// The longest life, in days.
    pub const MAX_DAYS: u32 = 30;
}

impl Document for OperatorStatus {
    const PAYLOAD_TYPE: &'static str = "application/vnd.lockgate.operator-status.v1+json";
    const NAME: &'static str = "the operator's status";

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
        check_lifetime(self, self.issued, Self::MAX_DAYS)?;
        if self.root.epoch != 0 {
            return Err(refuse::<Self>("gives the operator root an epoch"));
        }
        Ok(())
    }

    /// Keeps the interval between `issued` and `expires`.
    fn succeed(&self, expires: Timestamp) -> Self {
        let life = self.expires.seconds().saturating_sub(self.issued.seconds());
        Self { version: self.version.saturating_add(1), issued: expires.plus(-life), expires, ..self.clone() }
    }
}

/// The public HPKE key of a pool of TaskManagers: 32 bytes of X25519 (RFC 7748), in base64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PoolKey(pub [u8; 32]);

impl TryFrom<String> for PoolKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| Error::new(code::MALFORMED_KEY, "a pool key is not the base64 text of 32 bytes"))
    }
}

impl From<PoolKey> for String {
    fn from(key: PoolKey) -> Self {
        STANDARD.encode(key.0)
    }
}
