//! The chain of trust documents for one tenant, checked from the pinned operator root down to the tenant's status.

use super::document::open;
use super::{
    Document, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, TrustDomain, peek,
};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::error::{Code, Error, Result, code};
use crate::keys::{PublicKey, Role};
use crate::marks::{CLOCK_SLACK, Kept, Marks};
use crate::name::Name;
use crate::strict_json;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest set of documents, in bytes.
pub const MAX_DOCUMENTS: usize = 64 << 20;
/// The most operator roots or policies in a set of documents.
pub const MAX_CHAIN: usize = 256;

/// All documents that verifying a tenant's bundle takes, as they came. Whoever brings them is not trusted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Documents {
    /// Operator roots in the order of their versions; those up to the pinned one are skipped.
    #[serde(default)]
    pub operator_roots: Vec<Envelope>,
    /// The operator's status.
    pub operator_status: Envelope,
    /// The tenant's policies in the order of their versions: the current one, and before it those by which the tenant
    /// changed its root keys, for TaskManagers that missed them.
    pub policies: Vec<Envelope>,
    /// The tenant root.
    pub tenant_root: Envelope,
    /// The tenant's status.
    pub tenant_status: Envelope,
}

impl Documents {
    /// Reads a set of documents.
    ///
    /// # Errors
    /// `LG0403` and `LG0404` if it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        strict_json::parse("the set of trust documents", bytes, MAX_DOCUMENTS)
    }

    /// The set as JSON.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(code::INTERNAL, format!("documents: {error}")))
    }
}

/// The documents, checked together.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The operator root.
    pub operator_root: OperatorRoot,
    /// The operator's status.
    pub operator_status: OperatorStatus,
    /// The tenant's policy.
    pub policy: TenantPolicy,
    /// The tenant root.
    pub root: TenantRoot,
    /// The tenant's status.
    pub status: TenantStatus,
}

/// Whose documents are checked, where.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) pinned: &'a Envelope,
    pub(crate) documents: &'a Documents,
    pub(crate) domain: &'a TrustDomain,
    pub(crate) tenant: &'a Name,
}

impl Chain {
    /// Checks every document against the one above it, `marks` and the time, in the order of this function. Marks
    /// move forward with what was accepted; throw them away when this fails.
    pub(crate) fn verify(scope: Scope<'_>, marks: &mut Marks, clock: &mut Clock) -> Result<Self> {
        let (operator_root, root_ref) = scope.operator_root(marks, clock)?;
        let operator_status = scope.operator_status(&operator_root, root_ref, marks, clock)?;
        let policy = scope.policy(&operator_root, &operator_status, marks, clock)?;
        let (root, reference) = scope.tenant_root(&policy, marks, clock)?;
        let status = scope.tenant_status(&policy, &root, reference, marks, clock)?;
        let chain = Self { operator_root, operator_status, policy, root, status };
        chain.check_roles()?;
        Ok(chain)
    }

    /// The keys that may sign bundles now.
    pub(crate) fn signers(&self) -> Role {
        self.root.signers.without(&self.status.revoked_keys)
    }

    /// Refuses revoked jobs, and payloads and components by their digest.
    pub(crate) fn check_revoked<'a>(&self, job: &Name, digests: impl Iterator<Item = &'a Digest>) -> Result<()> {
        let revoked = |what: String| Err(Error::new(code::REVOKED, what));
        if self.status.revoked_jobs.contains(job) {
            return revoked(format!("job {job} of tenant {} is revoked", self.policy.tenant));
        }
        for digest in digests {
            if self.root.revoked_digests.contains(digest) || self.status.revoked_digests.contains(digest) {
                return revoked(format!("job {job} has content that is revoked ({})", digest.short()));
            }
        }
        Ok(())
    }

    /// No key serves two roles: a stolen status key must not sign bundles, nor a signer a policy.
    fn check_roles(&self) -> Result<()> {
        let roles = [
            ("operator root", &self.operator_root.root),
            ("operator status", &self.operator_root.status),
            ("tenant root", &self.policy.root),
            ("signer", &self.root.signers),
            ("tenant status", &self.root.status),
        ];
        let mut seen: BTreeMap<PublicKey, &str> = BTreeMap::new();
        for (role, key) in roles.iter().flat_map(|(role, keys)| keys.keys().iter().map(move |key| (*role, *key))) {
            if let Some(other) = seen.insert(key, role) {
                let cause = format!("key {} serves two roles, {other} and {role}", key.short());
                return Err(Error::new(code::KEY_IN_TWO_ROLES, cause));
            }
        }
        Ok(())
    }
}

impl Scope<'_> {
    /// From the pinned root on, each successor by the thresholds of its predecessor and its own.
    fn operator_root(&self, marks: &mut Marks, clock: &mut Clock) -> Result<(OperatorRoot, Reference)> {
        let pinned: OperatorRoot = peek(self.pinned)?;
        let (mut current, mut reference) = open::<OperatorRoot>(self.pinned, &pinned.root)?;
        bounded("operator roots", self.documents.operator_roots.len())?;
        for envelope in &self.documents.operator_roots {
            let next: OperatorRoot = peek(envelope)?;
            if next.version <= current.version {
                continue;
            }
            if next.version != current.version.saturating_add(1) {
                let cause = format!("operator root {} does not follow version {}", next.version, current.version);
                return Err(Error::new(code::ROOT_CHAIN, cause));
            }
            open::<OperatorRoot>(envelope, &current.root)?;
            (current, reference) = open(envelope, &next.root)?;
        }
        marks.advance_operator_root(OperatorRoot::NAME, reference)?;
        self.common(&current, clock)?;
        Ok((current, reference))
    }

    fn operator_status(
        &self,
        root: &OperatorRoot,
        root_ref: Reference,
        marks: &mut Marks,
        clock: &mut Clock,
    ) -> Result<OperatorStatus> {
        let (status, reference) = open::<OperatorStatus>(&self.documents.operator_status, &root.status)?;
        self.common(&status, clock)?;
        clock.require_issued(OperatorStatus::NAME, status.issued)?;
        marks.advance_operator_status(OperatorStatus::NAME, reference)?;
        require_current(OperatorRoot::NAME, root_ref, OperatorStatus::NAME, Some(status.root))?;
        Ok(status)
    }

    /// Policies up to the current one. Other tenant root keys within an epoch need the old ones' consent.
    fn policy(
        &self,
        root: &OperatorRoot,
        status: &OperatorStatus,
        marks: &mut Marks,
        clock: &mut Clock,
    ) -> Result<TenantPolicy> {
        bounded("policies", self.documents.policies.len())?;
        let mut accepted = None;
        for (at, envelope) in self.documents.policies.iter().enumerate() {
            let last = at + 1 == self.documents.policies.len();
            let peeked: TenantPolicy = peek(envelope)?;
            let known = marks.policy(self.tenant);
            if !last && known.is_some_and(|(held, _)| (peeked.epoch, peeked.version) < (held.epoch, held.version)) {
                continue;
            }
            let (policy, reference) = open::<TenantPolicy>(envelope, &root.root)?;
            self.require_tenant(&policy, &policy.tenant)?;
            if let Some((held, keys)) = known
                && held.epoch == policy.epoch
                && *keys != policy.root
            {
                envelope.verify(TenantPolicy::NAME, TenantPolicy::PAYLOAD_TYPE, keys).map_err(|error| {
                    let cause = format!(
                        "policy version {} changes the root keys of tenant {} without the old keys' consent: {}",
                        policy.version,
                        self.tenant,
                        error.cause()
                    );
                    Error::new(code::ROTATION_UNSIGNED, cause)
                })?;
            }
            marks.advance_policy(TenantPolicy::NAME, self.tenant, reference, &policy.root)?;
            accepted = Some((policy, reference));
        }
        let missing = || Error::new(code::NOT_CURRENT, format!("there is no policy for tenant {}", self.tenant));
        let (policy, reference) = accepted.ok_or_else(missing)?;
        let named = status.policies.get(self.tenant).copied();
        require_current(TenantPolicy::NAME, reference, OperatorStatus::NAME, named)?;
        self.common(&policy, clock)?;
        Ok(policy)
    }

    fn tenant_root(
        &self,
        policy: &TenantPolicy,
        marks: &mut Marks,
        clock: &mut Clock,
    ) -> Result<(TenantRoot, Reference)> {
        let (root, reference) = open::<TenantRoot>(&self.documents.tenant_root, &policy.root)?;
        self.require_tenant(&root, &root.tenant)?;
        require_epoch(&root, policy)?;
        marks.advance_kept(TenantRoot::NAME, self.tenant, Kept::Root, reference)?;
        self.common(&root, clock)?;
        Ok((root, reference))
    }

    fn tenant_status(
        &self,
        policy: &TenantPolicy,
        root: &TenantRoot,
        root_ref: Reference,
        marks: &mut Marks,
        clock: &mut Clock,
    ) -> Result<TenantStatus> {
        let (status, reference) = open::<TenantStatus>(&self.documents.tenant_status, &root.status)?;
        self.require_tenant(&status, &status.tenant)?;
        require_epoch(&status, policy)?;
        self.common(&status, clock)?;
        clock.require_issued(TenantStatus::NAME, status.issued)?;
        super::document::check_lifetime(&status, status.issued, policy.status_days)?;
        marks.advance_kept(TenantStatus::NAME, self.tenant, Kept::Status, reference)?;
        require_current(TenantRoot::NAME, root_ref, TenantStatus::NAME, Some(status.root))?;
        Ok(status)
    }

    /// Audience and expiry, which every document has.
    fn common<D: Document>(&self, document: &D, clock: &mut Clock) -> Result<()> {
        document.audience().require(D::NAME, self.domain)?;
        let status = [OperatorStatus::PAYLOAD_TYPE, TenantStatus::PAYLOAD_TYPE].contains(&D::PAYLOAD_TYPE);
        let code = if status { code::STALE_STATUS } else { code::EXPIRED };
        clock.require(&format!("{} (version {})", D::NAME, document.version()), document.expires(), code)
    }

    fn require_tenant<D: Document>(&self, _: &D, found: &Name) -> Result<()> {
        if found == self.tenant {
            return Ok(());
        }
        Err(Error::new(code::WRONG_TENANT, format!("{} is of tenant {found}, not {}", D::NAME, self.tenant)))
    }
}

fn require_epoch<D: Document>(document: &D, policy: &TenantPolicy) -> Result<()> {
    if document.epoch() == policy.epoch {
        return Ok(());
    }
    let (found, tenant, epoch) = (document.epoch(), &policy.tenant, policy.epoch);
    let cause = format!("{} is of epoch {found}, tenant {tenant} is in epoch {epoch}", D::NAME);
    Err(Error::new(code::WRONG_EPOCH, cause))
}

/// Refuses a document that is not exactly the one that a status names.
fn require_current(what: &str, found: Reference, status: &str, named: Option<Reference>) -> Result<()> {
    match named {
        Some(named) if named == found => Ok(()),
        Some(named) => Err(Error::new(code::NOT_CURRENT, format!("{what} is {found}, {status} names {named}"))),
        None => Err(Error::new(code::NOT_CURRENT, format!("{what} is {found}, {status} names none"))),
    }
}

fn bounded(what: &str, count: usize) -> Result<()> {
    if count <= MAX_CHAIN {
        return Ok(());
    }
    let cause = format!("the set of trust documents has {count} {what}, at most {MAX_CHAIN} are allowed");
    Err(Error::new(code::MALFORMED_DOCUMENT, cause))
}

/// The time of a decision. Expiry is refused at once, or noted and settled when the signed grace is known.
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    lenient: bool,
    noted: Vec<(String, Timestamp, Code)>,
}

impl Clock {
    /// A clock that stands at `now`; `lenient` if a grace will be known later.
    pub(crate) fn new(now: Timestamp, lenient: bool) -> Self {
        Self { now, lenient, noted: Vec::new() }
    }

    /// Refuses `what` from `expires` on.
    pub(crate) fn require(&mut self, what: &str, expires: Timestamp, code: Code) -> Result<()> {
        if !self.lenient {
            self.refuse_expired(what, expires, 0, code)?;
        }
        self.noted.push((what.to_owned(), expires, code));
        Ok(())
    }

    /// Refuses `what` from `grace` seconds after `expires` on.
    pub(crate) fn require_within(&mut self, what: &str, expires: Timestamp, grace: u64) -> Result<()> {
        let grace = i64::try_from(grace).unwrap_or(i64::MAX);
        self.refuse_expired(what, expires, grace, code::EXPIRED)?;
        self.noted.push((what.to_owned(), expires.plus(grace), code::EXPIRED));
        Ok(())
    }

    /// Settles all that was noted with `grace` seconds, and gives what expires first.
    pub(crate) fn settle(&self, grace: u64) -> Result<Option<(String, Timestamp)>> {
        let grace = if self.lenient { i64::try_from(grace).unwrap_or(i64::MAX) } else { 0 };
        for (what, expires, code) in &self.noted {
            self.refuse_expired(what, *expires, grace, *code)?;
        }
        let first = self.noted.iter().min_by_key(|(_, expires, _)| *expires);
        Ok(first.map(|(what, expires, _)| (what.clone(), *expires)))
    }

    fn refuse_expired(&self, what: &str, expires: Timestamp, grace: i64, code: Code) -> Result<()> {
        if self.now < expires.plus(grace) {
            return Ok(());
        }
        let grace = if grace == 0 { String::new() } else { format!(", its grace of {grace} s is over") };
        Err(Error::new(code, format!("{what} expired at {expires}{grace}, it is {} now", self.now)))
    }

    fn require_issued(&self, what: &str, issued: Timestamp) -> Result<()> {
        if issued <= self.now.plus(CLOCK_SLACK) {
            return Ok(());
        }
        Err(Error::new(code::NOT_YET_VALID, format!("{what} is issued for {issued}, it is {} now", self.now)))
    }
}
