//! A small world for tests: a JobManager over a store in memory, an operator, tenants with their keys, and bundles.

use crate::access::{Authorizer, Caller, Role};
use crate::audit::tally::Tally;
use crate::bundles::Bundles;
use crate::config;
use crate::credentials::JOINS;
use crate::fair_use::Quota;
use crate::model::trust::Kind;
use crate::plane::Authority;
use crate::service::changes::Precondition;
use crate::service::jobs::NewJob;
use crate::service::tenants::NewTenant;
use crate::service::tokens::NewToken;
use crate::service::{Call, Clock, Means, Options, Service};
use crate::store::Memory;
use futures_util::stream;
use lockgate_core::bundle::{Draft, Package, Part};
use lockgate_core::grant::{Grant, Mode, ResourceKind};
use lockgate_core::keys::{Role as Keyring, SecretKey};
use lockgate_core::limits::PartialLimits;
use lockgate_core::manifest::Manifest;
use lockgate_core::plane::Join;
use lockgate_core::statement::{Kind as BundleKind, Release};
use lockgate_core::trust::development::{self, Keys};
use lockgate_core::trust::{OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, create};
use lockgate_core::types::{Field, FunctionDescription, LogicalType, Port};
use lockgate_core::{Digest, Name, Result, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const DAY: i64 = 86_400;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Where TaskManagers dial in: on a port that the system chooses.
pub fn plane() -> config::Plane {
    config::Plane {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        names: vec!["localhost".into(), "127.0.0.1".into()],
        certificate_lifetime: Duration::from_secs(86_400),
        join_token_lifetime: Duration::from_secs(3_600),
        lease: Duration::from_secs(30),
    }
}

/// A JobManager and all that it needs.
pub struct World {
    pub service: Arc<Service>,
    pub store: Arc<Memory>,
    pub folder: tempfile::TempDir,
    now: Arc<AtomicI64>,
    /// How far the clock that says when is ahead of it.
    ahead: Arc<AtomicI64>,
    operator: Keys,
    policies: Mutex<BTreeMap<Name, Reference>>,
    version: Mutex<u64>,
}

pub fn caller(principal: &str, tenant: Option<&str>, roles: &[Role]) -> Caller {
    Caller {
        principal: principal.to_owned(),
        credential: format!("credential-of-{principal}"),
        tenant: tenant.map(name),
        roles: roles.iter().copied().collect(),
        scopes: None,
    }
}

pub fn call(caller: Caller) -> Call {
    Call { caller, request: Some("request-1".to_owned()), source: "192.0.2.7".to_owned() }
}

pub fn operator() -> Call {
    call(caller("user:op", None, &[Role::Operator]))
}

pub fn admin(tenant: &str) -> Call {
    call(caller(&format!("user:admin-{tenant}"), Some(tenant), &[Role::TenantAdmin]))
}

pub fn deployer(tenant: &str) -> Call {
    call(caller(&format!("user:dep-{tenant}"), Some(tenant), &[Role::Deployer]))
}

pub fn viewer(tenant: &str) -> Call {
    call(caller(&format!("user:view-{tenant}"), Some(tenant), &[Role::Viewer]))
}

/// Whoever brings the join token of this id.
pub fn joining(id: &str) -> Call {
    call(caller(&format!("{JOINS}{id}"), None, &[]))
}

/// A new key of a TaskManager and a request for its certificate, in PEM.
pub fn request() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap();
    (key.serialize_pem(), request.pem().unwrap())
}

/// A tenant's keys, made from its name.
pub fn keys(tenant: &Name) -> Keys {
    Keys::from_seed(Digest::of(tenant.as_bytes()).as_bytes())
}

pub fn manifest(tenant: &str, job: &str, version: u64) -> Manifest {
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
    Manifest::parse_toml(&text, "lockgate.toml").unwrap()
}

pub fn draft(tenant: &str, job: &str, version: u64, now: Timestamp) -> Draft {
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
        wasm: b"\0asm, as far as this crate knows".repeat(40),
        describe: vec![describe],
        imports: BTreeSet::from(["lockgate:udf/log@0.1.0".to_owned()]),
        exports: BTreeSet::from(["lockgate:udf/transform@0.1.0".to_owned()]),
    };
    Draft {
        kind: BundleKind::Job,
        audience: development::audience().unwrap(),
        manifest: manifest(tenant, job, version),
        parts: BTreeMap::from([(name("delays"), part)]),
        data: BTreeMap::new(),
        fallback: Vec::new(),
        not_before: now.plus(-DAY),
        expires: now.plus(90 * DAY),
        grace_seconds: 0,
    }
}

/// A bundle of a tenant's job in its first version, signed.
pub fn package(tenant: &str, job: &str, version: u64, replaces: Option<&Package>, now: Timestamp) -> Package {
    let mut package = draft(tenant, job, version, now).package(replaces).unwrap();
    package.envelope.sign(&keys(&name(tenant)).signer).unwrap();
    package
}

impl World {
    /// A JobManager without tenants.
    pub async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Memory::new());
        let start: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let now = Arc::new(AtomicI64::new(start.seconds()));
        let ahead = Arc::new(AtomicI64::new(0));
        let service = Self::service_over(&store, &folder, [&now, &ahead]).await;
        let operator = Keys::from_seed(&[7; 32]);
        let (policies, version) = (Mutex::default(), Mutex::new(1));
        Self { service: Arc::new(service), store, folder, now, ahead, operator, policies, version }
    }

    async fn service_over(store: &Arc<Memory>, folder: &tempfile::TempDir, times: [&Arc<AtomicI64>; 2]) -> Service {
        let options = Options {
            domain: development::domain().unwrap(),
            max_bundle: 1 << 20,
            verifications: 2,
            followers: 2,
            quota: Quota::default(),
        };
        let plane = plane();
        let clock = |times: &[&Arc<AtomicI64>]| -> Clock {
            let times: Vec<_> = times.iter().copied().map(Arc::clone).collect();
            let sum = move || times.iter().map(|time| time.load(Ordering::Relaxed)).sum();
            Arc::new(move || Timestamp::from_seconds(sum()).into())
        };
        let means = Means {
            clock: clock(&times),
            steady: clock(&times[..1]),
            authorizer: Authorizer::new(None),
            tally: Arc::new(Tally::new()),
            bundles: Bundles::open(folder.path().join("bundles"), 0).unwrap(),
            plane: Some((Authority::ensure(folder.path(), &options.domain, &plane).unwrap(), plane)),
        };
        Service::open(Arc::clone(store), options, means).await.unwrap()
    }

    /// The same store, opened anew: what a restart sees.
    pub async fn reopened(&self) -> Service {
        Self::service_over(&self.store, &self.folder, [&self.now, &self.ahead]).await
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.now.load(Ordering::Relaxed) + self.ahead.load(Ordering::Relaxed))
    }

    /// Sets the clock that says when to so many seconds ahead of where it was at first.
    pub fn set_clock(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    pub fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    /// A number that no document of this world has yet.
    pub fn next_version(&self) -> u64 {
        let mut version = self.version.lock().unwrap();
        *version += 1;
        *version
    }

    pub fn operator_root(&self) -> OperatorRoot {
        OperatorRoot {
            version: 1,
            expires: Timestamp::MAX,
            audience: development::audience().unwrap(),
            root: Keyring::single(self.operator.operator_root.public()),
            status: Keyring::single(self.operator.operator_status.public()),
        }
    }

    pub fn operator_keys(&self) -> &Keys {
        &self.operator
    }

    pub fn policy(&self, tenant: &Name) -> TenantPolicy {
        let grant = |of: &str, mode, prefix: &str| Grant {
            kind: ResourceKind::Volume,
            name: name(of),
            mode,
            prefix: prefix.into(),
        };
        TenantPolicy {
            tenant: tenant.clone(),
            epoch: 1,
            version: 1,
            expires: self.now().plus(365 * DAY),
            audience: development::audience().unwrap(),
            root: Keyring::single(keys(tenant).tenant_root.public()),
            grants: vec![grant("flights", Mode::Read, "2013"), grant("results", Mode::Write, "")],
            ceilings: PartialLimits::default(),
            max_parallelism: 4,
            status_days: 7,
        }
    }

    pub fn tenant_root(&self, tenant: &Name) -> TenantRoot {
        let keys = keys(tenant);
        TenantRoot {
            tenant: tenant.clone(),
            epoch: 1,
            version: 1,
            expires: Timestamp::MAX,
            audience: development::audience().unwrap(),
            signers: Keyring::single(keys.signer.public()),
            status: Keyring::single(keys.tenant_status.public()),
            revoked_keys: Vec::new(),
            revoked_digests: Vec::new(),
        }
    }

    pub fn tenant_status(&self, tenant: &Name, jobs: BTreeMap<Name, Release>) -> TenantStatus {
        let root = create(&self.tenant_root(tenant), &[&keys(tenant).tenant_root]).unwrap();
        TenantStatus {
            tenant: tenant.clone(),
            epoch: 1,
            version: self.next_version(),
            issued: self.now(),
            expires: self.now().plus(6 * DAY),
            audience: development::audience().unwrap(),
            root: Reference::of::<TenantRoot>(&root).unwrap(),
            jobs,
            revoked_jobs: Vec::new(),
            revoked_keys: Vec::new(),
            revoked_digests: Vec::new(),
        }
    }

    /// Makes a member with a token; the token's id.
    pub async fn member(&self, tenant: Option<&str>, principal: &str, roles: &[Role]) -> String {
        let by = tenant.map_or_else(operator, admin);
        let (tenant, roles) = (tenant.map(name), roles.iter().copied().collect());
        let tenant = tenant.as_ref();
        self.service.set_member(&by, tenant, principal, &roles, Precondition::Unstated).await.unwrap();
        let new = NewToken { principal: Some(principal.to_owned()), label: String::new(), days: 1, scopes: None };
        self.service.create_token(&by, None, tenant, &new).await.unwrap().thing.record.id
    }

    /// Signs the operator's status over the policies so far and uploads it.
    pub async fn refresh_operator_status(&self) {
        let root = create(&self.operator_root(), &[&self.operator.operator_root]).unwrap();
        let status = OperatorStatus {
            version: self.next_version(),
            issued: self.now(),
            expires: self.now().plus(20 * DAY),
            audience: development::audience().unwrap(),
            root: Reference::of::<OperatorRoot>(&root).unwrap(),
            policies: self.policies.lock().unwrap().clone(),
            pool_keys: BTreeMap::new(),
        };
        let status = create(&status, &[&self.operator.operator_status]).unwrap();
        self.service.upload_trust(&operator(), None, Kind::OperatorStatus, &status).await.unwrap();
    }

    /// Makes a tenant with all its documents.
    pub async fn tenant(&self, tenant: &str) {
        let (service, tenant) = (&self.service, name(tenant));
        let new = NewTenant { name: tenant.clone(), labels: BTreeMap::new() };
        service.create_tenant(&operator(), None, &new).await.unwrap();
        let root = create(&self.operator_root(), &[&self.operator.operator_root]).unwrap();
        service.upload_trust(&operator(), None, Kind::OperatorRoot, &root).await.unwrap();
        let policy = create(&self.policy(&tenant), &[&self.operator.operator_root]).unwrap();
        service.upload_trust(&operator(), Some(&tenant), Kind::Policy, &policy).await.unwrap();
        let reference = Reference::of::<TenantPolicy>(&policy).unwrap();
        self.policies.lock().unwrap().insert(tenant.clone(), reference);
        self.refresh_operator_status().await;
        let root = create(&self.tenant_root(&tenant), &[&keys(&tenant).tenant_root]).unwrap();
        service.upload_trust(&admin(&tenant), Some(&tenant), Kind::Root, &root).await.unwrap();
        self.status(&tenant, BTreeMap::new()).await;
    }

    /// Signs and uploads a tenant's status that names these releases.
    pub async fn status(&self, tenant: &str, jobs: BTreeMap<Name, Release>) {
        let tenant = name(tenant);
        let status = create(&self.tenant_status(&tenant, jobs), &[&keys(&tenant).tenant_status]).unwrap();
        self.service.upload_trust(&admin(&tenant), Some(&tenant), Kind::Status, &status).await.unwrap();
    }

    /// Makes `package` the current version of its job and uploads it; its digest.
    pub async fn upload(&self, tenant: &str, job: &str, package: &Package) -> Digest {
        self.status(tenant, BTreeMap::from([(name(job), package.release().unwrap())])).await;
        self.upload_bytes(tenant, package.to_bytes().unwrap()).await.unwrap()
    }

    pub async fn upload_bytes(&self, tenant: &str, bytes: Vec<u8>) -> Result<Digest> {
        let body = stream::iter(bytes.chunks(1_000).map(|chunk| Ok(chunk.to_vec())).collect::<Vec<Result<Vec<u8>>>>());
        let made = self.service.upload_bundle(&deployer(tenant), &name(tenant), (None, None), body).await?;
        Ok(made.thing.record.digest)
    }

    /// Uploads the first version of a job and creates it.
    pub async fn job(&self, tenant: &str, job: &str) -> Package {
        let package = package(tenant, job, 1, None, self.now());
        let bundle = self.upload(tenant, job, &package).await;
        self.service.create_job(&deployer(tenant), None, &name(tenant), &new_job(bundle)).await.unwrap();
        package
    }

    /// Makes a join token; its id and text.
    pub async fn join_token(&self, name: Option<&str>) -> (String, String) {
        let name = name.map(self::name);
        let made = self.service.create_join_token(&operator(), None, name.as_ref(), None).await.unwrap().thing;
        (made.record.id, made.text.unwrap().expose().clone())
    }

    /// Lets a TaskManager join; its key and certificate, in PEM.
    pub async fn taskmanager(&self, called: &str) -> (String, String) {
        let (id, _) = self.join_token(None).await;
        let (key, request) = request();
        let join = Join { name: name(called), request };
        let joined = self.service.join(&joining(&id), &join).await.unwrap();
        (key, joined.certificate.chain)
    }

    /// The files of bundles, finished or not.
    pub fn files(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.folder.path().join("bundles")).unwrap();
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

pub fn new_job(bundle: Digest) -> NewJob {
    NewJob { bundle, parameters: BTreeMap::new(), parallelism: None, fuel: None, weight: None, labels: BTreeMap::new() }
}

pub fn stranger() -> SecretKey {
    SecretKey::from_seed(&[99; 32])
}
