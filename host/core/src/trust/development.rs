//! A whole chain of trust for one tenant on one machine, made from one secret: the key with which `lockgate run` signs
//! a project, and the ground that tests stand on. There is no unsigned path; this is the shortest signed one.

use super::{
    Audience, Documents, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, TrustDomain,
    create,
};
use crate::bundle::{Package, ReadLimits};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::error::Result;
use crate::grant::{Grant, Touch};
use crate::keys::{Role, SecretKey};
use crate::limits::PartialLimits;
use crate::manifest::Manifest;
use crate::marks::Marks;
use crate::name::Name;
use crate::statement::Release;
use crate::time::Timestamp;
use crate::verify::{Accepted, Admission, Request, verify};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The name of the trust domain of a development machine.
pub const DOMAIN: &str = "development.local";
/// Days for which the chain's documents live.
const DAYS: i64 = 7;

/// Keys of every role, one each.
#[derive(Debug)]
pub struct Keys {
    /// Signs the operator root and policies.
    pub operator_root: SecretKey,
    /// Signs the operator's status.
    pub operator_status: SecretKey,
    /// Signs the tenant root.
    pub tenant_root: SecretKey,
    /// Signs bundles.
    pub signer: SecretKey,
    /// Signs the tenant's status.
    pub tenant_status: SecretKey,
}

impl Keys {
    /// Keys made from one that a user keeps.
    pub fn from_key(key: &SecretKey) -> Self {
        // Ed25519 signs deterministically (RFC 8032), and nobody without the key can make this signature.
        let signature = Zeroizing::new(key.sign(b"lockgate development keys\n"));
        Self::from_seed(&Zeroizing::new(*Digest::of(&*signature).as_bytes()))
    }

    /// Keys made from 32 random and secret bytes, one for each role.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = |role: &str| {
            let mut input = Zeroizing::new(format!("lockgate development key\n{role}\n").into_bytes());
            input.extend_from_slice(seed);
            SecretKey::from_seed(&Zeroizing::new(*Digest::of(&input).as_bytes()))
        };
        Self {
            operator_root: key("operator root"),
            operator_status: key("operator status"),
            tenant_root: key("tenant root"),
            signer: key("signer"),
            tenant_status: key("tenant status"),
        }
    }
}

/// What a development machine allows.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// What jobs may touch.
    pub grants: Vec<Grant>,
    /// The most that a manifest may ask for.
    pub ceilings: PartialLimits,
    /// The most slots of one job.
    pub max_parallelism: u32,
}

impl Allowed {
    /// Exactly what `manifest` asks for: on a machine of one's own, author and operator are one.
    pub fn as_asked(manifest: &Manifest) -> Self {
        let grants = manifest.touches().into_iter().map(|Touch { kind, name, mode, path }| {
            let literal = path.split('/').take_while(|part| !part.contains(['*', '?', '[', '{', '\\']));
            Grant { kind, name, mode, prefix: literal.collect::<Vec<_>>().join("/") }
        });
        let max_parallelism = manifest.job.parallelism.max;
        Self { grants: grants.collect(), ceilings: manifest.limits, max_parallelism }
    }
}

/// The trust domain of a development machine.
///
/// # Errors
/// `LG0404`, never in practice.
pub fn domain() -> Result<TrustDomain> {
    DOMAIN.parse()
}

/// The audience of a development machine.
///
/// # Errors
/// `LG0404`, never in practice.
pub fn audience() -> Result<Audience> {
    Audience::new(vec![domain()?])
}

/// An operator root to pin and the documents of `tenant` below it. `version` is that of the statuses and the policy: a
/// number that rises from one chain to the next, such as the seconds of `now`.
///
/// # Errors
/// `LG0404` if something in `allowed` is refused.
pub fn chain(
    keys: &Keys,
    tenant: &Name,
    allowed: &Allowed,
    jobs: BTreeMap<Name, Release>,
    now: Timestamp,
    version: u64,
) -> Result<(Envelope, Documents)> {
    let (issued, expires, audience) = (now, now.plus(DAYS * 86_400), audience()?);
    let single = |key: &SecretKey| Role::single(key.public());
    // The operator root and the tenant root have nothing in them that changes, so that one version serves for ever.
    let root = create(
        &OperatorRoot {
            version: 1,
            expires: Timestamp::MAX,
            audience: audience.clone(),
            root: single(&keys.operator_root),
            status: single(&keys.operator_status),
        },
        &[&keys.operator_root],
    )?;
    let policy = create(
        &TenantPolicy {
            tenant: tenant.clone(),
            epoch: 1,
            version,
            expires,
            audience: audience.clone(),
            root: single(&keys.tenant_root),
            grants: allowed.grants.clone(),
            ceilings: allowed.ceilings,
            max_parallelism: allowed.max_parallelism,
            status_days: 7,
        },
        &[&keys.operator_root],
    )?;
    let operator_status = create(
        &OperatorStatus {
            version,
            issued,
            expires,
            audience: audience.clone(),
            root: Reference::of::<OperatorRoot>(&root)?,
            policies: BTreeMap::from([(tenant.clone(), Reference::of::<TenantPolicy>(&policy)?)]),
            pool_keys: BTreeMap::new(),
        },
        &[&keys.operator_status],
    )?;
    let tenant_root = create(
        &TenantRoot {
            tenant: tenant.clone(),
            epoch: 1,
            version: 1,
            expires: Timestamp::MAX,
            audience: audience.clone(),
            signers: single(&keys.signer),
            status: single(&keys.tenant_status),
            revoked_keys: Vec::new(),
            revoked_digests: Vec::new(),
        },
        &[&keys.tenant_root],
    )?;
    let tenant_status = create(
        &TenantStatus {
            tenant: tenant.clone(),
            epoch: 1,
            version,
            issued,
            expires,
            audience,
            root: Reference::of::<TenantRoot>(&tenant_root)?,
            jobs,
            revoked_jobs: Vec::new(),
            revoked_keys: Vec::new(),
            revoked_digests: Vec::new(),
        },
        &[&keys.tenant_status],
    )?;
    let documents =
        Documents { operator_roots: Vec::new(), operator_status, policies: vec![policy], tenant_root, tenant_status };
    Ok((root, documents))
}

/// Signs `package` with the development key and verifies it as every bundle is verified, under a chain that names it
/// as current. For one run on one machine: without marks that last there is nothing to roll back.
///
/// # Errors
/// Whatever [`verify`] refuses.
pub fn admit(keys: &Keys, package: &mut Package, allowed: &Allowed, now: Timestamp) -> Result<Accepted> {
    package.sign(&keys.signer)?;
    let job = package.unverified_statement()?.predicate.manifest.job;
    let jobs = BTreeMap::from([(job.name.clone(), package.release()?)]);
    let (root, documents) = chain(keys, &job.tenant, allowed, jobs, now, 1)?;
    let request = Request {
        pinned: &root,
        documents: &documents,
        domain: &domain()?,
        tenant: &job.tenant,
        marks: &Marks::provision(now),
        now,
        admission: Admission::Start,
        read: ReadLimits::default(),
    };
    verify(&request, package.to_bytes()?.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code;
    use crate::testing::{DAY, draft, name, now};

    fn package(version: u64) -> Package {
        let mut draft = draft(version);
        draft.audience = audience().unwrap();
        draft.package(None).unwrap()
    }

    #[test]
    fn one_secret_signs_and_admits_exactly_what_is_asked_for() {
        let keys = Keys::from_seed(&[5; 32]);
        let mut allowed = Allowed::as_asked(&draft(1).manifest);
        let prefixes: Vec<&str> = allowed.grants.iter().map(|grant| grant.prefix.as_str()).collect();
        assert_eq!(prefixes, ["2013", "late", ""]);
        let accepted = admit(&keys, &mut package(1), &allowed, now()).unwrap();
        assert_eq!(accepted.bundle.signers(), [keys.signer.public()]);
        allowed.grants.pop();
        assert_eq!(admit(&keys, &mut package(1), &allowed, now()).unwrap_err().code(), code::NOT_GRANTED);
    }

    #[test]
    fn chains_of_different_days_follow_each_other() {
        let keys = Keys::from_seed(&[5; 32]);
        let (domain, tenant) = (domain().unwrap(), name("acme"));
        let mut marks = Marks::provision(now());
        let mut run = |version: u64, now: Timestamp| {
            let mut package = package(version);
            package.sign(&keys.signer).unwrap();
            let jobs = BTreeMap::from([(name("late"), package.release().unwrap())]);
            let number = now.seconds().unsigned_abs();
            let allowed = Allowed::as_asked(&package.unverified_statement().unwrap().predicate.manifest);
            let (pinned, documents) = chain(&keys, &tenant, &allowed, jobs, now, number).unwrap();
            let request = Request {
                pinned: &pinned,
                documents: &documents,
                domain: &domain,
                tenant: &tenant,
                marks: &marks,
                now,
                admission: Admission::Start,
                read: ReadLimits::default(),
            };
            let accepted = verify(&request, package.to_bytes().unwrap().as_slice()).map_err(|error| error.code())?;
            marks = accepted.marks;
            Ok::<_, crate::Code>(accepted.bundle.version())
        };
        assert_eq!(run(1, now()), Ok(1));
        assert_eq!(run(2, now().plus(DAY)), Ok(2));
        assert_eq!(run(1, now().plus(2 * DAY)), Err(code::ROLLBACK));
    }

    #[test]
    fn a_development_key_is_bound_to_its_machine() {
        let keys = Keys::from_seed(&[5; 32]);
        let mut package = draft(1).package(None).unwrap();
        let error = admit(&keys, &mut package, &Allowed::as_asked(&draft(1).manifest), now()).unwrap_err();
        assert_eq!(error.code(), code::WRONG_AUDIENCE);
    }
}
