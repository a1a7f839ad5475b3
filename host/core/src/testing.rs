//! A small world for tests of bundles and trust: one operator, one tenant with two of three signers, one job.

use crate::bundle::{self, Draft, Package, ReadLimits};
use crate::dsse::Envelope;
use crate::error::{Code, Result};
use crate::grant::{Grant, Mode, ResourceKind};
use crate::keys::{Role, SecretKey};
use crate::limits::PartialLimits;
use crate::manifest::Manifest;
use crate::marks::Marks;
use crate::name::Name;
use crate::statement::{Kind, Release};
use crate::time::Timestamp;
use crate::trust::development::Keys;
use crate::trust::{
    Audience, Document, Documents, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus,
    TrustDomain, create,
};
use crate::types::{Field, FunctionDescription, LogicalType, Port};
use crate::verify::{Accepted, Admission, Request, verify};
use std::collections::{BTreeMap, BTreeSet};

pub const DAY: i64 = 86_400;

pub fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn keys() -> Keys {
    Keys::from_seed(&[7; 32])
}

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub fn domain(text: &str) -> TrustDomain {
    text.parse().unwrap()
}

pub fn audience() -> Audience {
    Audience::new(vec![domain("prod.example"), domain("test.example")]).unwrap()
}

pub fn manifest(version: u64) -> Manifest {
    let text = format!(
        r#"
        [job]
        tenant = "acme"
        name = "late"
        version = {version}
        parallelism = {{ min = 1, max = 4 }}
        [component.delays]
        path = "target/delays.wasm"
        [source.flights]
        connector = "file"
        volume = "flights"
        path = "2013/*.parquet"
        [operator.score]
        input = "flights"
        function = "delays/score"
        config = {{ weight = "0.3" }}
        [sink.late]
        input = "score"
        connector = "file"
        volume = "results"
        path = "late"
        [sink.shown]
        input = "score"
        connector = "stdout"
        [limits]
        memory = 33554432
        "#
    );
    toml::from_str(&text).unwrap()
}

pub fn draft(version: u64) -> Draft {
    let port = |name: &str| Port { name: name.into(), fields: vec![Field::new("delay", LogicalType::Float64, true)] };
    let describe = FunctionDescription {
        name: "score".into(),
        kind: "transform".into(),
        inputs: vec![port("in")],
        outputs: vec![port("out")],
        attributes: Vec::new(),
    };
    let part = bundle::Part {
        wasm: b"\0asm, as far as this crate knows".repeat(40),
        describe: vec![describe],
        imports: BTreeSet::from(["lockgate:udf/log@0.1.0".to_owned(), "lockgate:udf/config@0.1.0".to_owned()]),
        exports: BTreeSet::from(["lockgate:udf/transform@0.1.0".to_owned()]),
    };
    Draft {
        kind: Kind::Job,
        audience: audience(),
        manifest: manifest(version),
        parts: BTreeMap::from([(name("delays"), part)]),
        data: BTreeMap::from([(name("airports"), b"JFK,LGA,EWR".to_vec())]),
        fallback: Vec::new(),
        not_before: now().plus(-DAY),
        expires: now().plus(90 * DAY),
        grace_seconds: 3 * DAY.unsigned_abs(),
    }
}

pub fn grants() -> Vec<Grant> {
    let grant = |kind, of: &str, mode, prefix: &str| Grant { kind, name: name(of), mode, prefix: prefix.into() };
    vec![
        grant(ResourceKind::Volume, "flights", Mode::Read, "2013"),
        grant(ResourceKind::Volume, "results", Mode::Write, ""),
        grant(ResourceKind::Stream, "stdout", Mode::Write, ""),
    ]
}

/// One change of a world.
pub type Change = Box<dyn Fn(&mut World)>;
/// A part of a world.
pub type Part<T> = fn(&mut World) -> &mut T;

/// Everything that a verification goes by, in the clear, so that a test changes one thing and runs it.
pub struct World {
    pub keys: Keys,
    pub signing: Vec<SecretKey>,
    pub operator_root: OperatorRoot,
    pub operator_status: OperatorStatus,
    pub policy: TenantPolicy,
    pub tenant_root: TenantRoot,
    pub tenant_status: TenantStatus,
    pub draft: Draft,
    pub replaced: Option<Package>,
    pub marks: Marks,
    pub now: Timestamp,
    pub domain: TrustDomain,
    pub tenant: Name,
}

/// The signed form of a [`World`].
#[derive(Clone)]
pub struct Sealed {
    pub pinned: Envelope,
    pub documents: Documents,
    pub package: Package,
}

impl World {
    pub fn new() -> Self {
        let keys = keys();
        let single = |key: &SecretKey| Role::single(key.public());
        let (expires, soon, audience, nothing) = (now().plus(365 * DAY), now().plus(6 * DAY), audience(), nothing());
        let signers = Role::new([1, 2, 3].map(|seed| key(seed).public()).to_vec(), 2).unwrap();
        Self {
            operator_root: OperatorRoot {
                version: 1,
                expires,
                audience: audience.clone(),
                root: single(&keys.operator_root),
                status: single(&keys.operator_status),
            },
            operator_status: OperatorStatus {
                version: 5,
                issued: now().plus(-DAY),
                expires: soon,
                audience: audience.clone(),
                root: nothing,
                policies: BTreeMap::new(),
                pool_keys: BTreeMap::new(),
            },
            policy: TenantPolicy {
                tenant: name("acme"),
                epoch: 3,
                version: 2,
                expires,
                audience: audience.clone(),
                root: single(&keys.tenant_root),
                grants: grants(),
                ceilings: PartialLimits::default(),
                max_parallelism: 4,
                status_days: 7,
            },
            tenant_root: TenantRoot {
                tenant: name("acme"),
                epoch: 3,
                version: 4,
                expires,
                audience: audience.clone(),
                signers,
                status: single(&keys.tenant_status),
                revoked_keys: Vec::new(),
                revoked_digests: Vec::new(),
            },
            tenant_status: TenantStatus {
                tenant: name("acme"),
                epoch: 3,
                version: 9,
                issued: now().plus(-DAY),
                expires: soon,
                audience,
                root: nothing,
                jobs: BTreeMap::new(),
                revoked_jobs: Vec::new(),
                revoked_keys: Vec::new(),
                revoked_digests: Vec::new(),
            },
            draft: draft(1),
            signing: vec![key(1), key(2)],
            replaced: None,
            marks: Marks::provision(now()),
            now: now(),
            domain: domain("prod.example"),
            tenant: name("acme"),
            keys,
        }
    }

    /// Moves on to `version` of the job, replacing the present one.
    pub fn next_version(&mut self, version: u64) {
        self.replaced = Some(self.package());
        self.draft.manifest.job.version = version;
        self.tenant_status.version += 1;
    }

    pub fn package(&self) -> Package {
        let mut package = self.draft.clone().package(self.replaced.as_ref()).unwrap();
        self.signing.iter().for_each(|key| package.envelope.sign(key).unwrap());
        package
    }

    /// Signs everything, each document naming those below it.
    pub fn seal(&self) -> Sealed {
        self.seal_with(self.package())
    }

    /// The same with `package` as the current version of its job.
    pub fn seal_with(&self, package: Package) -> Sealed {
        let pinned = create(&self.operator_root, &[&self.keys.operator_root]).unwrap();
        let policy = create(&self.policy, &[&self.keys.operator_root]).unwrap();
        let mut status = self.operator_status.clone();
        status.root = Reference::of::<OperatorRoot>(&pinned).unwrap();
        status.policies.entry(self.policy.tenant.clone()).or_insert(Reference::of::<TenantPolicy>(&policy).unwrap());
        let tenant_root = create(&self.tenant_root, &[&self.keys.tenant_root]).unwrap();
        let mut tenant_status = self.tenant_status.clone();
        tenant_status.root = Reference::of::<TenantRoot>(&tenant_root).unwrap();
        let job = self.draft.manifest.job.name.clone();
        tenant_status.jobs.entry(job).or_insert(package.release().unwrap());
        let documents = Documents {
            operator_roots: Vec::new(),
            operator_status: create(&status, &[&self.keys.operator_status]).unwrap(),
            policies: vec![policy],
            tenant_root,
            tenant_status: create(&tenant_status, &[&self.keys.tenant_status]).unwrap(),
        };
        Sealed { pinned, documents, package }
    }

    pub fn request<'a>(&'a self, sealed: &'a Sealed, admission: Admission<'a>) -> Request<'a> {
        Request {
            pinned: &sealed.pinned,
            documents: &sealed.documents,
            domain: &self.domain,
            tenant: &self.tenant,
            marks: &self.marks,
            now: self.now,
            admission,
            read: ReadLimits::default(),
        }
    }

    pub fn present(&self, sealed: &Sealed, admission: Admission<'_>) -> Result<Accepted> {
        verify(&self.request(sealed, admission), sealed.package.to_bytes().unwrap().as_slice())
    }

    /// Seals, presents, and keeps the marks if it was accepted.
    pub fn run(&mut self, admission: Admission<'_>) -> Result<Accepted> {
        let accepted = self.present(&self.seal(), admission)?;
        self.marks = accepted.marks.clone();
        Ok(accepted)
    }

    pub fn start(&mut self) -> Result<Accepted> {
        self.run(Admission::Start)
    }

    /// The code with which a start is refused.
    pub fn refusal(&mut self) -> Code {
        refused(self.start())
    }

    /// The code with which a start of `sealed` is refused.
    pub fn refusal_of(&self, sealed: &Sealed) -> Code {
        refused(self.present(sealed, Admission::Start))
    }
}

pub fn refused(result: Result<Accepted>) -> Code {
    match result {
        Ok(_) => panic!("accepted"),
        Err(error) => error.code(),
    }
}

/// A document's envelope with its JSON changed by hand, signed by `key`.
pub fn forged<D: Document>(envelope: &Envelope, from: &str, to: &str, key: &SecretKey) -> Envelope {
    let text = String::from_utf8(envelope.unverified_payload().to_vec()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    let mut forged = Envelope::unsigned(D::PAYLOAD_TYPE, text.replacen(from, to, 1).into_bytes());
    forged.sign(key).unwrap();
    forged
}

pub fn release(version: u64, content: &str) -> Release {
    Release { version, digest: crate::Digest::of(content.as_bytes()) }
}

fn nothing() -> Reference {
    Reference { epoch: 0, version: 1, digest: crate::Digest::of(b"") }
}
