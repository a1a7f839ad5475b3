//! A cluster of this machine: a JobManager and TaskManagers in processes of their own, set up as an operator and a tenant
//! do it, over the API and by configuration files.

use super::clock::Clock;
use super::network::Network;
use super::service::{PATIENCE, Service};
use super::{examples, read};
use crate::calls::client::{Answer, Client, request};
use crate::harness;
use lockgate_core::bundle::{Package, Part};
use lockgate_core::dsse::Envelope;
use lockgate_core::manifest::Manifest;
use lockgate_core::trust::development::{self, Allowed};
use lockgate_core::trust::{Documents, TenantStatus, create, peek};
use lockgate_core::{Digest, Name, Timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The tenant of all jobs.
pub const TENANT: &str = "tests";
/// What the JobManager's process is called.
pub const JM: &str = "jobmanager";
/// The JobManager's host.
pub const JOBMANAGER: usize = 0;
const DAY: i64 = 86_400;

/// A cluster with one tenant. The volumes `in` and `out` are the same folders on every TaskManager.
pub struct Cluster {
    /// TaskManagers as they joined: the first is host 1 of the network, for host 0 is the JobManager.
    hosts: Vec<String>,
    jobmanager: Option<Service>,
    client: Client,
    plane: SocketAddrV4,
    operator: String,
    deployer: String,
    admin: String,
    taskmanagers: BTreeMap<String, Service>,
    /// What TaskManagers had logged that were started again since.
    past: String,
    /// The releases that are current, and the version of what says so.
    current: BTreeMap<Name, lockgate_core::statement::Release>,
    revision: u64,
    allowed: Allowed,
    around: Around,
    /// Last, so that whoever writes there has ended.
    folder: tempfile::TempDir,
}

/// What a cluster is in, where that is not this machine as it is.
#[derive(Default)]
pub struct Around {
    /// Where everything is that it keeps, if something was made there before.
    pub folder: Option<tempfile::TempDir>,
    /// A network with a host for the JobManager and for each TaskManager.
    pub network: Option<Network>,
    /// Whether each process has a clock that can be set.
    pub clocks: bool,
}

impl Cluster {
    /// A JobManager whose configuration has these further lines, a tenant that may do what `manifest` asks for, and no
    /// TaskManager yet.
    pub fn start(manifest: &str, settings: &str) -> Self {
        Self::start_in(manifest, settings, Around::default())
    }

    /// The same in other surroundings.
    pub fn start_in(manifest: &str, settings: &str, mut around: Around) -> Self {
        let folder = around.folder.take().unwrap_or_else(|| tempfile::tempdir().expect("a folder"));
        for name in ["in", "out"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
        }
        let host = around.network.as_ref().map_or(Ipv4Addr::LOCALHOST, |network| network.address(JOBMANAGER));
        let any = SocketAddrV4::new(host, 0);
        let (jobmanager, api, plane) = start_jobmanager(folder.path(), &around, (any, any), settings);
        let client = Client::new(api, &folder.path().join("data/tls/ca.pem"));
        let token = std::fs::read_to_string(folder.path().join("data/setup-token")).expect("a set-up token");
        let mut cluster = Self {
            folder,
            around,
            hosts: Vec::new(),
            jobmanager: Some(jobmanager),
            client,
            plane,
            operator: token.trim().to_owned(),
            deployer: String::new(),
            admin: String::new(),
            taskmanagers: BTreeMap::new(),
            past: String::new(),
            current: BTreeMap::new(),
            revision: 0,
            allowed: Allowed::as_asked(&harness::manifest(manifest)),
        };
        cluster.furnish();
        cluster
    }

    fn furnish(&mut self) {
        let setup = self.operator.clone();
        self.operator = self.member(&setup, "", "user:op", "operator");
        let operator = self.operator.clone();
        self.json(&operator, "POST /api/v1/tenants", &json!({ "name": TENANT }), 201);
        let (root, documents) = self.documents(|_| {});
        self.write("operator-root.json", &root.to_json().expect("JSON"));
        let at = format!("/tenants/{TENANT}");
        self.admin = self.member(&operator, &at, "user:admin", "tenant-admin");
        let admin = self.admin.clone();
        self.deployer = self.member(&admin, &at, "user:deployer", "deployer");
        let value = |envelope: &Envelope| serde_json::to_value(envelope).expect("JSON");
        for (who, path, document) in [
            (&operator, "/api/v1/trust/operator-root".to_owned(), &root),
            (&operator, format!("/api/v1{at}/trust/policy"), &documents.policies[0]),
            (&operator, "/api/v1/trust/operator-status".to_owned(), &documents.operator_status),
            (&admin, format!("/api/v1{at}/trust/root"), &documents.tenant_root),
        ] {
            self.json(who, &format!("POST {path}"), &value(document), 200);
        }
    }

    /// The operator root and the tenant's documents, the status of which was changed by `change`.
    fn documents(&mut self, change: impl FnOnce(&mut TenantStatus)) -> (Envelope, Documents) {
        let tenant = Name::new(TENANT).expect("a name");
        // What does not change is of one version for ever: only the tenant's status has another one each time.
        let made = development::chain(&harness::keys(), &tenant, &self.allowed, self.current.clone(), now(), 1);
        let (root, documents) = made.expect("a chain of trust");
        let mut status: TenantStatus = peek(&documents.tenant_status).expect("a status");
        self.revision += 1;
        status.version = self.revision;
        change(&mut status);
        let tenant_status = create(&status, &[&harness::keys().tenant_status]).expect("a status");
        (root, Documents { tenant_status, ..documents })
    }

    fn member(&self, by: &str, at: &str, principal: &str, role: &str) -> String {
        self.json(by, &format!("PUT /api/v1{at}/members/{principal}"), &json!({ "roles": [role] }), 200);
        let made = self.json(by, &format!("POST /api/v1{at}/tokens"), &json!({ "principal": principal }), 201);
        made.json()["token"].as_str().expect("a token").to_owned()
    }

    /// Where everything is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file");
    }

    /// Writes a JSON file of these values of `x` into the volume `in`.
    pub fn write_rows(&self, name: &str, x: impl IntoIterator<Item = i64>) {
        let lines: String = x.into_iter().map(|x| format!("{{\"x\":{x}}}\n")).collect();
        self.write(&format!("in/{name}"), lines.as_bytes());
    }

    /// What sink `folder` has committed.
    pub fn rows(&self, folder: &str) -> read::Rows {
        read::folder(&self.path("out").join(folder)).into_values().flatten().collect()
    }

    /// Lets a new TaskManager join, with these further lines in its configuration, and waits until it is answered.
    pub fn join(&mut self, name: &str, settings: &str) {
        self.hosts.push(name.to_owned());
        let token = self.json(&self.operator, "POST /api/v1/join-tokens", &json!({ "name": name }), 201);
        let token = token.json()["token"].as_str().expect("a token").to_owned();
        self.write(&format!("{name}.token"), token.as_bytes());
        let (api, plane) = (self.client.address, self.plane);
        let text = format!(
            "name = \"{name}\"\nlog-format = \"json\"\nstate = \"{name}\"\ncache = \"cache\"\n{settings}\n\
             [jobmanager]\njoin = \"https://{api}\"\nca = \"data/tls/ca.pem\"\nplane = [\"{plane}\"]\n\
             join-token-file = \"{name}.token\"\n\
             [trust]\ndomain = \"development.local\"\noperator-root = \"operator-root.json\"\n\
             [volumes]\nin = \"in\"\nout = \"out\"\ndata = \"{}\"\n",
            examples().join("data").display(),
        );
        self.write(&format!("{name}.toml"), text.as_bytes());
        self.start_taskmanager(name);
        self.taskmanager(name).await_message("the JobManager answers");
    }

    /// Takes a TaskManager's place from it, for good.
    pub fn revoke(&self, name: &str) {
        self.json(&self.operator, &format!("PATCH /api/v1/taskmanagers/{name}"), &json!({ "state": "revoked" }), 200);
    }

    /// Starts a TaskManager that has joined.
    pub fn start_taskmanager(&mut self, name: &str) {
        let config = self.path(&format!("{name}.toml"));
        let arguments = ["taskmanager".as_ref(), "--config".as_ref(), config.as_os_str()];
        let service = self.around.start(self.folder.path(), self.host(name), name, &arguments);
        if let Some(former) = self.taskmanagers.insert(name.to_owned(), service) {
            self.past += &logged(name, &former);
        }
    }

    /// Starts another process as `name`, with a copy of its state and so of its certificate.
    pub fn start_copy(&mut self, name: &str, copy: &str) {
        let text = std::fs::read_to_string(self.path(&format!("{name}.toml"))).expect("its configuration");
        let text = text.replace(&format!("state = \"{name}\""), &format!("state = \"{copy}\""));
        self.write(&format!("{copy}.toml"), text.as_bytes());
        let copied = std::process::Command::new("cp").arg("-a").args([self.path(name), self.path(copy)]).status();
        assert!(copied.is_ok_and(|status| status.success()), "no copy of {name}");
        self.hosts.push(copy.to_owned());
        self.start_taskmanager(copy);
    }

    /// The number of a TaskManager's host.
    pub fn host(&self, name: &str) -> usize {
        let at = self.hosts.iter().position(|joined| joined == name);
        JOBMANAGER + 1 + at.unwrap_or_else(|| panic!("{name} has not joined"))
    }

    /// The network that it is in.
    pub fn network(&self) -> &Network {
        self.around.network.as_ref().expect("a network of its own")
    }

    /// The clock of a process, by the TaskManager's name or [`JM`].
    pub fn clock(&self, name: &str) -> Clock {
        Clock::of(self.folder.path(), name)
    }

    /// The process of a TaskManager.
    pub fn taskmanager(&mut self, name: &str) -> &mut Service {
        self.taskmanagers.get_mut(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The process of the JobManager.
    pub fn jobmanager(&mut self) -> &mut Service {
        self.jobmanager.as_mut().expect("the JobManager")
    }

    /// Kills the JobManager and starts it again at the same addresses.
    pub fn restart_jobmanager(&mut self, settings: &str) {
        self.jobmanager().kill();
        let addresses = (self.client.address, self.plane);
        self.past += &self.jobmanager.take().map(|former| logged("jobmanager", &former)).unwrap_or_default();
        let (jobmanager, ..) = start_jobmanager(self.folder.path(), &self.around, addresses, settings);
        self.jobmanager = Some(jobmanager);
    }

    /// Signs a bundle of this manifest, makes it the current version and makes a job of it; its name.
    pub fn submit(&mut self, manifest: &str, parts: &[(&str, Part)]) -> String {
        self.submit_with(manifest, parts, &json!({}))
    }

    /// The same with these further fields in the request for the job.
    pub fn submit_with(&mut self, manifest: &str, parts: &[(&str, Part)], fields: &Value) -> String {
        let package = package(harness::manifest(manifest), parts);
        let job = self.upload(&package);
        let digest = Digest::of(&package.to_bytes().expect("bytes"));
        let mut asked = fields.clone();
        asked["bundle"] = json!(digest);
        self.json(&self.deployer, &format!("POST /api/v1/tenants/{TENANT}/jobs"), &asked, 201);
        job
    }

    /// Makes a bundle the current version of its job, and uploads it.
    pub fn upload(&mut self, package: &Package) -> String {
        let job = package.unverified_statement().expect("a statement").predicate.manifest.job.name;
        self.current.insert(job.clone(), package.release().expect("a release"));
        self.publish(|_| {});
        let path = format!("POST /api/v1/tenants/{TENANT}/bundles");
        let made = self.send(&self.deployer, &path, "application/octet-stream", &package.to_bytes().expect("bytes"));
        assert_eq!(made.status, 201, "{made:?}");
        job.to_string()
    }

    /// Publishes a newer status of the tenant's, changed by `change`.
    pub fn publish(&mut self, change: impl FnOnce(&mut TenantStatus)) {
        let (_, documents) = self.documents(change);
        let status = serde_json::to_value(&documents.tenant_status).expect("JSON");
        self.json(&self.admin, &format!("POST /api/v1/tenants/{TENANT}/trust/status"), &status, 200);
    }

    /// The job as the API shows it.
    pub fn job(&self, name: &str) -> Value {
        let bearer = format!("Bearer {}", self.deployer);
        let path = format!("GET /api/v1/tenants/{TENANT}/jobs/{name}");
        let answer = self.ask(&request(&path, &[("authorization", &bearer)], b""));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The job's exceptions, as the tenant's administrator sees them or as a deployer does.
    pub fn exceptions(&self, name: &str, administrator: bool) -> Value {
        let token = if administrator { &self.admin } else { &self.deployer };
        let bearer = format!("Bearer {token}");
        let path = format!("GET /api/v1/tenants/{TENANT}/jobs/{name}/exceptions");
        let answer = self.client.ask(&request(&path, &[("authorization", &bearer)], b""));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until the job is as `wanted` says.
    pub fn await_job(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let job = self.job(name);
            if wanted(&job) {
                return job;
            }
            assert!(begun.elapsed() < PATIENCE, "job {name} is not {what}: {job:#}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the job is in `state`.
    pub fn await_state(&self, name: &str, state: &str) -> Value {
        self.await_job(name, state, |job| job["state"] == state)
    }

    /// What all processes have logged, to be shown when something went wrong.
    pub fn logs(&self) -> String {
        let all = self.taskmanagers.iter().map(|(name, service)| (name.as_str(), service));
        let all = all.chain(self.jobmanager.iter().map(|service| ("jobmanager", service)));
        all.fold(self.past.clone(), |text, (name, service)| text + &logged(name, service))
    }

    /// A JSON request that must be answered so.
    pub fn json(&self, token: &str, line: &str, body: &Value, status: u16) -> Answer {
        let answer = self.send(token, line, "application/json", body.to_string().as_bytes());
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        answer
    }

    fn send(&self, token: &str, line: &str, kind: &str, body: &[u8]) -> Answer {
        let bearer = format!("Bearer {token}");
        self.ask(&request(line, &[("authorization", &bearer), ("content-type", kind)], body))
    }

    /// From the JobManager's own host, whatever the network is like.
    fn ask(&self, request: &[u8]) -> Answer {
        match &self.around.network {
            Some(network) => network.within(JOBMANAGER, || self.client.ask(request)),
            None => self.client.ask(request),
        }
    }
}

impl Around {
    /// Starts a process of the cluster in `folder`.
    fn start(&self, folder: &Path, host: usize, name: &str, arguments: &[&OsStr]) -> Service {
        let clock = self.clocks.then(|| Clock::of(folder, name));
        match &self.network {
            Some(network) => network.within(host, || Service::start_with(arguments, clock.as_ref())),
            None => Service::start_with(arguments, clock.as_ref()),
        }
    }
}

/// A signed bundle that is valid now.
pub fn package(manifest: Manifest, parts: &[(&str, Part)]) -> Package {
    let mut draft = harness::draft(manifest, parts);
    (draft.not_before, draft.expires) = (now().plus(-DAY), now().plus(30 * DAY));
    let mut package = draft.package(None).expect("a package");
    package.envelope.sign(&harness::keys().signer).expect("a signature");
    package
}

/// One moment for everything that is signed, so that what is made twice is the same.
fn now() -> Timestamp {
    static NOW: std::sync::LazyLock<i64> = std::sync::LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        i64::try_from(now.as_secs()).expect("a time")
    });
    Timestamp::from_seconds(*NOW)
}

fn logged(name: &str, service: &Service) -> String {
    service.lines().into_iter().map(|line| format!("{name}: {line}\n")).collect()
}

fn start_jobmanager(
    folder: &Path,
    around: &Around,
    (api, plane): (SocketAddrV4, SocketAddrV4),
    settings: &str,
) -> (Service, SocketAddrV4, SocketAddrV4) {
    let lease = if settings.contains("lease = ") { "" } else { "lease = \"3 s\"\n" };
    let text = format!(
        "data = \"data\"\nlisten = [\"{api}\"]\ndomain = \"development.local\"\nlog-format = \"json\"\n\
         names = [\"localhost\", \"{}\"]\n[fair-use]\nprincipal-requests-per-second = 1000000\n\
         [plane]\nlisten = [\"{plane}\"]\n{lease}{settings}",
        api.ip(),
    );
    let file = folder.join("jobmanager.toml");
    std::fs::write(&file, text).expect("a configuration");
    let arguments = ["jobmanager".as_ref(), "--config".as_ref(), file.as_os_str()];
    let service = around.start(folder, JOBMANAGER, JM, &arguments);
    let at = |message: &str| -> SocketAddrV4 {
        let line = service.await_message(message);
        line["address"].as_str().and_then(|address| address.parse().ok()).expect("an address")
    };
    let addresses = (at("listening"), at("listening for TaskManagers"));
    (service, addresses.0, addresses.1)
}

/// Stops a process without ending it, and lets it go on.
pub fn freeze(service: &Service, frozen: bool) {
    service.signal(if frozen { Signal::STOP } else { Signal::CONT });
}
