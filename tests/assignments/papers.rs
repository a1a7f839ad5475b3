//! Trust documents and bundles of an operator and its tenants, all signed as they have to be, and open to every change: a
//! case alters one thing and has it signed, or not.
//!
//! Bundles hold a component that is written by hand and gives back its input, so that to compile it costs next to nothing.

use crate::hostile::wat::Guest;
use lockgate_core::bundle::{Draft, Package, Part};
use lockgate_core::dsse::Envelope;
use lockgate_core::grant::{Grant, Mode, ResourceKind};
use lockgate_core::keys::{Role, SecretKey};
use lockgate_core::limits::PartialLimits;
use lockgate_core::manifest::Manifest;
use lockgate_core::statement::Kind;
use lockgate_core::trust::development::Keys;
use lockgate_core::trust::{
    Audience, Documents, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, create,
};
use lockgate_core::{Digest, Name, Timestamp};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The trust domain of the cluster.
pub const DOMAIN: &str = "cluster.test";
pub const DAY: i64 = 86_400;

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// When all of this is signed: one moment, so that what is made twice is the same.
pub fn now() -> Timestamp {
    static NOW: LazyLock<i64> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        i64::try_from(now.as_secs()).expect("a clock")
    });
    Timestamp::from_seconds(*NOW)
}

pub fn audience(domain: &str) -> Audience {
    Audience::new(vec![domain.parse().expect("a domain")]).expect("an audience")
}

/// A key that nobody vouches for.
pub fn stranger() -> SecretKey {
    SecretKey::from_seed(&[99; 32])
}

/// The component that gives back its input, and what its author signs of it.
pub fn part() -> Part {
    static PART: LazyLock<Part> = LazyLock::new(|| Guest::default().part());
    PART.clone()
}

/// An operator.
pub struct Operator {
    pub keys: Keys,
    pub root: OperatorRoot,
    /// Successors of the root that was pinned.
    pub roots: Vec<Envelope>,
    pub status: OperatorStatus,
}

impl Operator {
    /// One whose keys are made of `seed`.
    pub fn new(seed: u8) -> Self {
        let keys = Keys::from_seed(&[seed; 32]);
        let root = OperatorRoot {
            version: 1,
            expires: Timestamp::MAX,
            audience: audience(DOMAIN),
            root: Role::single(keys.operator_root.public()),
            status: Role::single(keys.operator_status.public()),
        };
        let envelope = create(&root, &[&keys.operator_root]).expect("a document");
        let status = OperatorStatus {
            version: 1,
            issued: now(),
            expires: now().plus(20 * DAY),
            audience: audience(DOMAIN),
            root: Reference::of::<OperatorRoot>(&envelope).expect("a reference"),
            policies: BTreeMap::new(),
            pool_keys: BTreeMap::new(),
        };
        Self { keys, root, roots: Vec::new(), status }
    }

    /// The root that TaskManagers pin.
    pub fn pinned(&self) -> Envelope {
        create(&self.root, &[&self.keys.operator_root]).expect("a document")
    }

    /// The policy as it is signed.
    pub fn policy(&self, policy: &TenantPolicy) -> Envelope {
        create(policy, &[&self.keys.operator_root]).expect("a document")
    }

    /// The status as it is signed.
    pub fn signed_status(&self) -> Envelope {
        create(&self.status, &[&self.keys.operator_status]).expect("a document")
    }

    /// Takes a policy into the status, which is a new version of it if that changes anything.
    fn admit(&mut self, tenant: &Tenant) {
        let reference = Reference::of::<TenantPolicy>(&self.policy(&tenant.policy)).expect("a reference");
        if self.status.policies.insert(tenant.name.clone(), reference) != Some(reference) {
            self.status.version += 1;
        }
    }

    /// The documents of a tenant, as an honest JobManager would give them.
    pub fn documents(&mut self, tenant: &Tenant) -> Documents {
        self.admit(tenant);
        let root = tenant.signed_root();
        Documents {
            operator_roots: self.roots.clone(),
            operator_status: self.signed_status(),
            policies: vec![self.policy(&tenant.policy)],
            tenant_status: tenant.signed_status(&root),
            tenant_root: root,
        }
    }
}

/// A tenant with two signers, of whom both have to sign.
#[derive(Debug)]
pub struct Tenant {
    pub name: Name,
    pub keys: Keys,
    pub second: SecretKey,
    pub policy: TenantPolicy,
    pub root: TenantRoot,
    pub status: TenantStatus,
}

impl Tenant {
    pub fn new(tenant: &str) -> Self {
        let keys = Keys::from_seed(Digest::of(tenant.as_bytes()).as_bytes());
        let second = SecretKey::from_seed(Digest::of(format!("second {tenant}").as_bytes()).as_bytes());
        let tenant = name(tenant);
        let grant = |of: &str, mode, prefix: &str| Grant {
            kind: ResourceKind::Volume,
            name: name(of),
            mode,
            prefix: prefix.into(),
        };
        let policy = TenantPolicy {
            tenant: tenant.clone(),
            epoch: 1,
            version: 1,
            expires: now().plus(365 * DAY),
            audience: audience(DOMAIN),
            root: Role::single(keys.tenant_root.public()),
            grants: vec![grant("in", Mode::Read, "rows"), grant("out", Mode::Write, tenant.as_str())],
            ceilings: PartialLimits::default(),
            max_parallelism: 2,
            status_days: 7,
        };
        let root = TenantRoot {
            tenant: tenant.clone(),
            epoch: 1,
            version: 1,
            expires: Timestamp::MAX,
            audience: audience(DOMAIN),
            signers: Role::new(vec![keys.signer.public(), second.public()], 2).expect("a role"),
            status: Role::single(keys.tenant_status.public()),
            revoked_keys: Vec::new(),
            revoked_digests: Vec::new(),
        };
        let status = TenantStatus {
            tenant: tenant.clone(),
            epoch: 1,
            version: 1,
            issued: now(),
            expires: now().plus(6 * DAY),
            audience: audience(DOMAIN),
            root: Reference { epoch: 1, version: 1, digest: Digest::of(b"") },
            jobs: BTreeMap::new(),
            revoked_jobs: Vec::new(),
            revoked_keys: Vec::new(),
            revoked_digests: Vec::new(),
        };
        Self { name: tenant, keys, second, policy, root, status }
    }

    pub fn signed_root(&self) -> Envelope {
        create(&self.root, &[&self.keys.tenant_root]).expect("a document")
    }

    /// The status over this root, signed.
    pub fn signed_status(&self, root: &Envelope) -> Envelope {
        let root = Reference::of::<TenantRoot>(root).expect("a reference");
        let status = TenantStatus { root, ..self.status.clone() };
        create(&status, &[&self.keys.tenant_status]).expect("a document")
    }

    /// The manifest of version `version` of the job `job`.
    pub fn manifest(&self, version: u64) -> String {
        let tenant = &self.name;
        format!(
            r#"
            [job]
            tenant = "{tenant}"
            name = "job"
            version = {version}
            parallelism = {{ min = 1, max = 2 }}
            [component.guest]
            [source.rows]
            connector = "file"
            volume = "in"
            path = "rows/*.json"
            schema = ["x: int64"]
            [operator.f]
            input = "rows"
            function = "guest/f"
            config = {{ weight = {{ parameter = "weight" }} }}
            [sink.good]
            input = "f"
            connector = "file"
            volume = "out"
            path = "{tenant}"
            format = "json"
            [parameters.weight]
            type = "decimal"
            default = "0.3"
            min = 0
            max = 1
            "#
        )
    }

    /// What is signed of a version of the job.
    pub fn draft(&self, version: u64) -> Draft {
        self.draft_of(&self.manifest(version))
    }

    /// What is signed of a job of this manifest.
    pub fn draft_of(&self, manifest: &str) -> Draft {
        let manifest = Manifest::parse_toml(manifest, "lockgate.toml");
        Draft {
            kind: Kind::Job,
            audience: audience(DOMAIN),
            manifest: manifest.unwrap_or_else(|errors| panic!("{errors:#?}")),
            parts: BTreeMap::from([(name("guest"), part())]),
            data: BTreeMap::new(),
            fallback: Vec::new(),
            not_before: now().plus(-DAY),
            expires: now().plus(90 * DAY),
            grace_seconds: 0,
        }
    }

    /// The bundle of a draft, signed by both signers.
    pub fn sign(&self, draft: Draft, replaces: Option<&Package>) -> Package {
        self.sign_by(draft, replaces, &[&self.keys.signer, &self.second])
    }

    /// The same, signed by these keys.
    pub fn sign_by(&self, draft: Draft, replaces: Option<&Package>, keys: &[&SecretKey]) -> Package {
        let mut package = draft.package(replaces).expect("a package");
        keys.iter().for_each(|key| package.envelope.sign(key).expect("a signature"));
        package
    }

    /// Makes a version the current one, by a new version of the status.
    pub fn release(&mut self, package: &Package) {
        let job = package.unverified_statement().expect("a statement").predicate.manifest.job.name;
        self.status.jobs.insert(job, package.release().expect("a release"));
        self.status.version += 1;
    }
}
