//! A trust domain with an operator and tenants, and bundles of their jobs: what a JobManager is given, and what one that is
//! hostile would like to have.
//!
//! Everything stands here in the clear, so that a test changes what it wants (versions, expiry, audience, keys, grants) and
//! has it signed. Keys are made from names, and all is of one moment: what is made twice is the same. A component here is a
//! few bytes, of which a JobManager parses nothing; a test that runs one puts it in the draft.

use super::bundle;
use lockgate_core::bundle::{Draft, Package, Part};
use lockgate_core::dsse::Envelope;
use lockgate_core::grant::{Grant, Mode, ResourceKind};
use lockgate_core::keys::{Role, SecretKey};
use lockgate_core::limits::PartialLimits;
use lockgate_core::trust::development::{self, Keys};
use lockgate_core::trust::{
    Audience, Documents, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, create,
};
use lockgate_core::types::{Field, FunctionDescription, LogicalType, Port};
use lockgate_core::{Digest, Name, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// An operator and its tenants.
pub struct Domain {
    pub keys: Keys,
    pub root: OperatorRoot,
    /// What it says of the root and of the policies is filled in when it is signed.
    pub status: OperatorStatus,
    pub tenants: BTreeMap<Name, Tenant>,
}

/// A tenant.
pub struct Tenant {
    pub keys: Keys,
    pub policy: TenantPolicy,
    pub root: TenantRoot,
    /// What it says of the root is filled in when it is signed.
    pub status: TenantStatus,
}

/// A signed document as the API takes it.
pub fn value(envelope: &Envelope) -> Value {
    serde_json::to_value(envelope).expect("JSON")
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// When all of this is signed: one moment of today, since a JobManager goes by its machine's clock.
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

impl Domain {
    /// One with these tenants, each with all rights that [`draft`] asks for and no job yet.
    pub fn new(tenants: &[&str]) -> Self {
        let (keys, audience) = (Keys::from_seed(&[7; 32]), audience());
        let root = OperatorRoot {
            version: 1,
            expires: Timestamp::MAX,
            audience: audience.clone(),
            root: Role::single(keys.operator_root.public()),
            status: Role::single(keys.operator_status.public()),
        };
        let status = OperatorStatus {
            version: 1,
            issued: now(),
            expires: now().plus(20 * DAY),
            audience,
            root: nothing(),
            policies: BTreeMap::new(),
            pool_keys: BTreeMap::new(),
        };
        let tenants = tenants.iter().map(|tenant| (name(tenant), Tenant::new(tenant))).collect();
        Self { keys, root, status, tenants }
    }

    pub fn tenant(&self, tenant: &str) -> &Tenant {
        self.tenants.get(tenant).expect("a tenant of this domain")
    }

    /// The same, to be changed.
    pub fn tenant_mut(&mut self, tenant: &str) -> &mut Tenant {
        self.tenants.get_mut(tenant).expect("a tenant of this domain")
    }

    /// The operator's root, signed.
    pub fn root(&self) -> Envelope {
        create(&self.root, &[&self.keys.operator_root]).expect("a document")
    }

    /// A tenant's policy, signed.
    pub fn policy(&self, tenant: &str) -> Envelope {
        create(&self.tenant(tenant).policy, &[&self.keys.operator_root]).expect("a document")
    }

    /// The operator's status over the root and all policies as they are now, signed.
    pub fn status(&self) -> Envelope {
        let mut status = self.status.clone();
        status.root = Reference::of::<OperatorRoot>(&self.root()).expect("a reference");
        for tenant in self.tenants.keys() {
            let policy = Reference::of::<TenantPolicy>(&self.policy(tenant)).expect("a reference");
            status.policies.insert(tenant.clone(), policy);
        }
        create(&status, &[&self.keys.operator_status]).expect("a document")
    }

    /// All that a TaskManager goes by for a tenant, beside the root that is pinned.
    pub fn documents(&self, tenant: &str) -> Documents {
        Documents {
            operator_roots: Vec::new(),
            operator_status: self.status(),
            policies: vec![self.policy(tenant)],
            tenant_root: self.tenant(tenant).root(),
            tenant_status: self.tenant(tenant).status(),
        }
    }

    /// Writes all documents to a folder, as `lockgate trust` keeps them.
    pub fn write(&self, folder: &Path) {
        let write = |place: String, envelope: Envelope| {
            let path = folder.join(place);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, envelope.to_json().expect("JSON")).expect("a file");
        };
        write(format!("operator-root.{}.json", self.root.version), self.root());
        write("operator-status.json".into(), self.status());
        for (of, tenant) in &self.tenants {
            let (epoch, version) = (tenant.policy.epoch, tenant.policy.version);
            write(format!("tenants/{of}/policy.{epoch}.{version}.json"), self.policy(of));
            write(format!("tenants/{of}/root.json"), tenant.root());
            write(format!("tenants/{of}/status.json"), tenant.status());
        }
    }
}

impl Tenant {
    fn new(tenant: &str) -> Self {
        let (keys, audience) = (keys(tenant), audience());
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
            audience: audience.clone(),
            root: Role::single(keys.tenant_root.public()),
            grants: vec![grant("flights", Mode::Read, "2013"), grant("results", Mode::Write, "")],
            ceilings: PartialLimits::default(),
            max_parallelism: 4,
            status_days: 7,
        };
        let root = TenantRoot {
            tenant: name(tenant),
            epoch: 1,
            version: 1,
            expires: Timestamp::MAX,
            audience: audience.clone(),
            signers: Role::single(keys.signer.public()),
            status: Role::single(keys.tenant_status.public()),
            revoked_keys: Vec::new(),
            revoked_digests: Vec::new(),
        };
        let status = TenantStatus {
            tenant: name(tenant),
            epoch: 1,
            version: 1,
            issued: now(),
            expires: now().plus(6 * DAY),
            audience,
            root: nothing(),
            jobs: BTreeMap::new(),
            revoked_jobs: Vec::new(),
            revoked_keys: Vec::new(),
            revoked_digests: Vec::new(),
        };
        Self { keys, policy, root, status }
    }

    /// Its root, signed.
    pub fn root(&self) -> Envelope {
        create(&self.root, &[&self.keys.tenant_root]).expect("a document")
    }

    /// Its status, signed.
    pub fn status(&self) -> Envelope {
        self.sign_status(self.status.clone())
    }

    /// Another status, signed.
    pub fn sign_status(&self, mut status: TenantStatus) -> Envelope {
        status.root = Reference::of::<TenantRoot>(&self.root()).expect("a reference");
        create(&status, &[&self.keys.tenant_status]).expect("a document")
    }

    /// Its status with this version, naming these packages and no others as the current ones of their jobs.
    pub fn releasing(&self, current: &[&Package], version: u64) -> TenantStatus {
        let jobs = current.iter().map(|package| {
            let job = package.unverified_statement().expect("a statement").predicate.manifest.job.name;
            (job, package.release().expect("a release"))
        });
        TenantStatus { jobs: jobs.collect(), version, ..self.status.clone() }
    }

    /// A draft, signed.
    pub fn sign(&self, draft: Draft, replaces: Option<&Package>) -> Package {
        let mut package = draft.package(replaces).expect("a package");
        package.envelope.sign(&self.keys.signer).expect("a signature");
        package
    }
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
        not_before: now().plus(-DAY),
        expires: now().plus(90 * DAY),
        ..bundle::draft(bundle::manifest(&text), &[("delays", part)])
    }
}

/// A signed version of a job.
pub fn package(tenant: &str, job: &str, version: u64, replaces: Option<&Package>) -> Package {
    Tenant::new(tenant).sign(draft(tenant, job, version), replaces)
}

fn audience() -> Audience {
    development::audience().expect("an audience")
}

fn nothing() -> Reference {
    Reference { epoch: 0, version: 1, digest: Digest::of(b"") }
}

mod tests {
    //! That what is made here is taken, and that each part of it counts, by the decision that a TaskManager makes.

    use super::*;
    use lockgate_core::bundle::ReadLimits;
    use lockgate_core::error::{Code, code};
    use lockgate_core::marks::Marks;
    use lockgate_core::trust::TrustDomain;
    use lockgate_core::verify::{Admission, Request, verify};
    use std::process::Command;

    /// The code with which a job of `acme` is refused, if it is, by who pinned the root of the domain as it is at first.
    fn refused(change: impl Fn(&mut Domain, &mut Draft)) -> Option<Code> {
        let mut domain = Domain::new(&["acme", "bolt"]);
        let (pinned, mut draft) = (domain.root(), draft("acme", "late", 1));
        change(&mut domain, &mut draft);
        let package = domain.tenant("acme").sign(draft, None);
        domain.tenant_mut("acme").status = domain.tenant("acme").releasing(&[&package], 2);
        let request = Request {
            pinned: &pinned,
            documents: &domain.documents("acme"),
            domain: &development::domain().unwrap(),
            tenant: &name("acme"),
            marks: &Marks::provision(now()),
            now: now(),
            admission: Admission::Start,
            read: ReadLimits::default(),
        };
        verify(&request, package.to_bytes().unwrap().as_slice()).err().map(|error| error.code())
    }

    #[test]
    fn what_is_signed_is_taken_and_every_change_of_it_counts() {
        assert_eq!(refused(|_, _| ()), None);
        let elsewhere = || Audience::new(vec!["elsewhere.example".parse::<TrustDomain>().unwrap()]).unwrap();
        let expire = |status: &mut OperatorStatus| {
            (status.issued, status.expires) = (now().plus(-2 * DAY), now().plus(-DAY));
        };
        type Change<'a> = &'a dyn Fn(&mut Domain, &mut Draft);
        let changes: [(&str, Change<'_>, Code); 6] = [
            ("expiry", &|domain, _| expire(&mut domain.status), code::STALE_STATUS),
            ("audience", &|domain, _| domain.tenant_mut("acme").root.audience = elsewhere(), code::WRONG_AUDIENCE),
            ("keys", &|domain, _| domain.tenant_mut("acme").keys.signer = stranger(), code::UNTRUSTED_SIGNER),
            ("grants", &|domain, _| domain.tenant_mut("acme").policy.grants.clear(), code::NOT_GRANTED),
            ("validity", &|_, draft| draft.not_before = now().plus(DAY), code::NOT_YET_VALID),
            ("the operator", &|domain, _| domain.keys = keys("bolt"), code::UNTRUSTED_SIGNER),
        ];
        for (what, change, code) in changes {
            assert_eq!(refused(change), Some(code), "{what}");
        }
    }

    #[test]
    fn what_is_written_is_what_the_command_line_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mut domain = Domain::new(&["acme", "bolt"]);
        let package = package("acme", "late", 1, None);
        std::fs::write(folder.path().join("late.lgb"), package.to_bytes().unwrap()).unwrap();
        domain.tenant_mut("acme").status = domain.tenant("acme").releasing(&[&package], 2);
        domain.write(&folder.path().join("trust"));
        let mut command = Command::new(lockgate_executor::testing::program());
        let arguments = ["verify", "late.lgb", "--trust", "trust", "--domain", "development.local"];
        let out = command.args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}
