//! Trust documents and bundles of the two tenants, signed by keys that are made from names.
//!
//! A component here is a few bytes: the JobManager runs none, so that nothing of it is parsed before a TaskManager does.

use crate::harness;
use lockgate_core::bundle::{Draft, Package, Part};
use lockgate_core::dsse::Envelope;
use lockgate_core::grant::{Grant, Mode, ResourceKind};
use lockgate_core::keys::{Role, SecretKey};
use lockgate_core::limits::PartialLimits;
use lockgate_core::statement::Kind;
use lockgate_core::trust::development::{self, Keys};
use lockgate_core::trust::{OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, create};
use lockgate_core::types::{Field, FunctionDescription, LogicalType, Port};
use lockgate_core::{Digest, Name, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

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

/// A tenant's keys.
pub fn keys(tenant: &str) -> Keys {
    Keys::from_seed(Digest::of(tenant.as_bytes()).as_bytes())
}

/// A key that nobody vouches for.
pub fn stranger() -> SecretKey {
    SecretKey::from_seed(&[99; 32])
}

fn value(envelope: &Envelope) -> Value {
    serde_json::to_value(envelope).expect("JSON")
}

/// The operator's documents.
pub struct Operator {
    keys: Keys,
    policies: Mutex<BTreeMap<Name, Reference>>,
}

impl Default for Operator {
    fn default() -> Self {
        Self { keys: Keys::from_seed(&[7; 32]), policies: Mutex::default() }
    }
}

impl Operator {
    fn root_envelope(&self) -> Envelope {
        let root = OperatorRoot {
            version: 1,
            expires: Timestamp::MAX,
            audience: development::audience().expect("an audience"),
            root: Role::single(self.keys.operator_root.public()),
            status: Role::single(self.keys.operator_status.public()),
        };
        create(&root, &[&self.keys.operator_root]).expect("a document")
    }

    pub fn root(&self) -> Value {
        value(&self.root_envelope())
    }

    pub fn policy(&self, tenant: &str) -> Value {
        let grant = |of: &str, mode, prefix: &str| Grant {
            kind: ResourceKind::Volume,
            name: name(of),
            mode,
            prefix: prefix.into(),
        };
        let policy = TenantPolicy {
            tenant: name(tenant),
            epoch: 1,
            version: 1,
            expires: now().plus(365 * DAY),
            audience: development::audience().expect("an audience"),
            root: Role::single(keys(tenant).tenant_root.public()),
            grants: vec![grant("flights", Mode::Read, "2013"), grant("results", Mode::Write, "")],
            ceilings: PartialLimits::default(),
            max_parallelism: 4,
            status_days: 7,
        };
        let envelope = create(&policy, &[&self.keys.operator_root]).expect("a document");
        let reference = Reference::of::<TenantPolicy>(&envelope).expect("a reference");
        self.policies.lock().unwrap().insert(name(tenant), reference);
        value(&envelope)
    }

    /// Over all policies so far.
    pub fn status(&self) -> Value {
        let status = OperatorStatus {
            version: 1,
            issued: now(),
            expires: now().plus(20 * DAY),
            audience: development::audience().expect("an audience"),
            root: Reference::of::<OperatorRoot>(&self.root_envelope()).expect("a reference"),
            policies: self.policies.lock().unwrap().clone(),
            pool_keys: BTreeMap::new(),
        };
        value(&create(&status, &[&self.keys.operator_status]).expect("a document"))
    }
}

fn root_envelope(tenant: &str) -> Envelope {
    let keys = keys(tenant);
    let root = TenantRoot {
        tenant: name(tenant),
        epoch: 1,
        version: 1,
        expires: Timestamp::MAX,
        audience: development::audience().expect("an audience"),
        signers: Role::single(keys.signer.public()),
        status: Role::single(keys.tenant_status.public()),
        revoked_keys: Vec::new(),
        revoked_digests: Vec::new(),
    };
    create(&root, &[&keys.tenant_root]).expect("a document")
}

pub fn root(tenant: &str) -> Value {
    value(&root_envelope(tenant))
}

/// A tenant's status that names these packages as current.
pub fn status(tenant: &str, current: &[&Package], version: u64) -> Value {
    status_by(tenant, current, version, &keys(tenant).tenant_status)
}

/// The same, signed by this key.
pub fn status_by(tenant: &str, current: &[&Package], version: u64, key: &SecretKey) -> Value {
    let jobs = current.iter().map(|package| {
        let job = package.unverified_statement().expect("a statement").predicate.manifest.job.name;
        (job, package.release().expect("a release"))
    });
    let status = TenantStatus {
        tenant: name(tenant),
        epoch: 1,
        version,
        issued: now(),
        expires: now().plus(6 * DAY),
        audience: development::audience().expect("an audience"),
        root: Reference::of::<TenantRoot>(&root_envelope(tenant)).expect("a reference"),
        jobs: jobs.collect(),
        revoked_jobs: Vec::new(),
        revoked_keys: Vec::new(),
        revoked_digests: Vec::new(),
    };
    value(&create(&status, &[key]).expect("a document"))
}

/// What is signed of a version of a job.
pub fn draft(tenant: &str, job: &str, version: u64) -> Draft {
    let text = format!(
        r#"
        [job]
        tenant = "{tenant}"
        name = "{job}"
        version = {version}
        parallelism = {{ min = 1, max = 4 }}
        [component.delays]
        [source.flights]
        connector = "file"
        volume = "flights"
        path = "2013/*.parquet"
        schema = [{{ name = "delay", type = "float64", nullable = true }}]
        [operator.score]
        input = "flights"
        function = "delays/score"
        keep = []
        config = {{ weight = {{ parameter = "weight" }} }}
        [sink.late]
        input = "score"
        connector = "file"
        volume = "results"
        path = "late"
        [parameters.weight]
        type = "decimal"
        default = "0.3"
        min = 0
        max = 1
        "#
    );
    let port = |name: &str, column: &str| Port {
        name: name.into(),
        fields: vec![Field::new(column, LogicalType::Float64, true)],
    };
    let describe = FunctionDescription {
        name: "score".into(),
        kind: "transform".into(),
        inputs: vec![port("in", "delay")],
        outputs: vec![port("out", "score")],
        attributes: Vec::new(),
    };
    let part = Part {
        wasm: b"\0asm, as far as the JobManager knows".repeat(40),
        describe: vec![describe],
        imports: BTreeSet::from(["lockgate:udf/log@0.1.0".to_owned()]),
        exports: BTreeSet::from(["lockgate:udf/transform@0.1.0".to_owned()]),
    };
    Draft {
        kind: Kind::Job,
        audience: development::audience().expect("an audience"),
        manifest: harness::manifest(&text),
        parts: BTreeMap::from([(name("delays"), part)]),
        data: BTreeMap::new(),
        fallback: Vec::new(),
        not_before: now().plus(-DAY),
        expires: now().plus(90 * DAY),
        grace_seconds: 0,
    }
}

/// A signed version of a job.
pub fn package(tenant: &str, job: &str, version: u64, replaces: Option<&Package>) -> Package {
    let mut package = draft(tenant, job, version).package(replaces).expect("a package");
    package.envelope.sign(&keys(tenant).signer).expect("a signature");
    package
}
