//! What tenants bring: their trust documents and the bundles of their jobs, all signed as they have to be.

use lockgate_core::bundle::{Draft, Package, Part};
use lockgate_core::dsse::Envelope;
use lockgate_core::manifest::Manifest;
use lockgate_core::statement::Kind;
use lockgate_core::trust::development::{self, Allowed, Keys};
use lockgate_core::trust::{OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, create};
use lockgate_core::types::{Field, FunctionDescription, LogicalType, Port};
use lockgate_core::{Digest, Name, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// The documents of one tenant below an operator, ready to be uploaded.
pub struct Documents {
    pub policy: Vec<u8>,
    pub root: Vec<u8>,
    pub status: Vec<u8>,
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A number that no version had before.
pub fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(10);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn keys() -> Keys {
    Keys::from_seed(&[23; 32])
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
    Timestamp::from_seconds(i64::try_from(now).expect("a time"))
}

fn bytes(envelope: &Envelope) -> Vec<u8> {
    envelope.to_json().expect("JSON")
}

fn manifest(tenant: &Name, job: &str, version: u64) -> Manifest {
    let text = format!(
        r#"
        [job]
        tenant = "{tenant}"
        name = "{job}"
        version = {version}
        parallelism = {{ min = 1, max = 2 }}
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
    Manifest::parse_toml(&text, "lockgate.toml").expect("a manifest")
}

/// A signed bundle of a job's version.
pub fn bundle(tenant: &Name, job: &str, version: u64) -> Package {
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
        wasm: b"\0asm, as far as a JobManager knows".repeat(40),
        describe: vec![describe],
        imports: BTreeSet::from(["lockgate:udf/log@0.1.0".to_owned()]),
        exports: BTreeSet::from(["lockgate:udf/transform@0.1.0".to_owned()]),
    };
    let draft = Draft {
        kind: Kind::Job,
        audience: development::audience().expect("an audience"),
        manifest: manifest(tenant, job, version),
        parts: BTreeMap::from([(name("delays"), part)]),
        data: BTreeMap::new(),
        fallback: Vec::new(),
        not_before: now().plus(-DAY),
        expires: now().plus(30 * DAY),
        grace_seconds: 0,
    };
    let mut package = draft.package(None).expect("a package");
    package.envelope.sign(&keys().signer).expect("a signature");
    package
}

/// The digest by which a bundle is uploaded, and its bytes.
pub fn file(package: &Package) -> (Digest, Vec<u8>) {
    let bytes = package.to_bytes().expect("a bundle");
    (Digest::of(&bytes), bytes)
}

/// The operator's root and status and the documents of all tenants, with nothing in their statuses yet.
pub fn chain(tenants: &[Name]) -> (Vec<u8>, Vec<u8>, Vec<Documents>) {
    let (mut policies, mut all, mut root) = (BTreeMap::new(), Vec::new(), None);
    for tenant in tenants {
        let allowed = Allowed::as_asked(&manifest(tenant, "job", 1));
        let made = development::chain(&keys(), tenant, &allowed, BTreeMap::new(), now(), 1);
        let (pinned, documents) = made.expect("a chain of trust");
        root = Some(pinned);
        let policy = documents.policies.last().expect("a policy");
        policies.insert(tenant.clone(), Reference::of::<TenantPolicy>(policy).expect("a reference"));
        let (policy, root) = (bytes(policy), bytes(&documents.tenant_root));
        all.push(Documents { policy, root, status: bytes(&documents.tenant_status) });
    }
    let root = root.expect("a tenant");
    let status = OperatorStatus {
        version: 1,
        issued: now(),
        expires: now().plus(7 * DAY),
        audience: development::audience().expect("an audience"),
        root: Reference::of::<OperatorRoot>(&root).expect("a reference"),
        policies,
        pool_keys: BTreeMap::new(),
    };
    let status = create(&status, &[&keys().operator_status]).expect("a status");
    (bytes(&root), bytes(&status), all)
}

/// The tenant's status that makes this version of a job the current one.
pub fn status(tenant: &Name, job: &str, package: &Package, root: &[u8]) -> Vec<u8> {
    let root = Envelope::parse(root).expect("an envelope");
    let status = TenantStatus {
        tenant: tenant.clone(),
        epoch: 1,
        version: next_version(),
        issued: now(),
        expires: now().plus(6 * DAY),
        audience: development::audience().expect("an audience"),
        root: Reference::of::<TenantRoot>(&root).expect("a reference"),
        jobs: BTreeMap::from([(name(job), package.release().expect("a release"))]),
        revoked_jobs: Vec::new(),
        revoked_keys: Vec::new(),
        revoked_digests: Vec::new(),
    };
    bytes(&create(&status, &[&keys().tenant_status]).expect("a status"))
}
