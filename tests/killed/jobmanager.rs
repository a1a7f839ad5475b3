//! The real `lockgate jobmanager` over HTTPS. Each client is the administrator of a tenant of its own: it submits jobs,
//! upgrades, cancels, stops and deletes them, makes and revokes tokens; the operator sets its quota.
//!
//! After every kill the audit log must be whole and go on from what was read of it before, and tell exactly of what is
//! there: every job and token that was made and not deleted, every change once. What a tenant takes up must be what its
//! jobs do, with the reconciler driving them on meanwhile.

use super::driver::Service;
use super::https::{Answer, Https};
use super::requests::{Change, Connection, Tenant, next_version};
use crate::harness::random::Random;
use crate::harness::signed::{Domain, value};
use lockgate_core::Name;
use lockgate_jobmanager::audit::verify::Verifier;
use lockgate_jobmanager::audit::{Event, Outcome, Record};
use lockgate_jobmanager::tls;
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};

const CONFIG: &str = r#"
data = "data"
listen = ["127.0.0.1:0"]
domain = "development.local"
log-format = "json"
[fair-use]
principal-requests-per-second = 1000000
[quota]
jobs = 1000
slots = 10000
tokens = 10000
requests-per-second = 1000000
"#;

/// Jobs of a tenant at most.
const JOBS: u64 = 4;
/// Tokens of a tenant at most, but for the one that it works with.
const TOKENS: usize = 5;

/// The JobManager in a process.
pub struct Process {
    folder: tempfile::TempDir,
    running: Option<(Child, SocketAddr)>,
    tls: Option<Arc<ClientConfig>>,
    operator: String,
    tenants: Vec<Tenant>,
    log: RefCell<Log>,
}

/// The audit log as far as it was read.
struct Log {
    verifier: Verifier,
    /// Its last record, and the number of that.
    last: (u64, String),
    /// What it tells of each tenant.
    told: BTreeMap<Name, Told>,
}

/// What is a tenant's.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct State {
    count: u64,
    jobs: BTreeMap<u64, Job>,
    tokens: BTreeSet<u64>,
    quota: u64,
}

#[derive(Clone, PartialEq, Debug)]
struct Job {
    version: u64,
    weight: u64,
    label: u64,
    goal: &'static str,
}

impl Process {
    /// A new one, without data.
    pub fn begin(_round: u32) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = made.or_else(|_| tempfile::tempdir()).expect("a folder");
        let path = folder.path().join("jobmanager.toml");
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        std::io::Write::write_all(&mut file.expect("a file"), CONFIG.as_bytes()).expect("a configuration");
        let verifier = Verifier::new(vec![], &[]).expect("a verifier");
        let log = RefCell::new(Log { verifier, last: (0, String::new()), told: BTreeMap::new() });
        Self { folder, running: None, tls: None, operator: String::new(), tenants: Vec::new(), log }
    }

    fn connection(&self, token: &str) -> Https {
        let (_, address) = self.running.as_ref().expect("a process");
        Https::connect(*address, self.tls.as_ref().expect("its authority"), token).expect("it listens")
    }

    /// Makes the operator and the tenants with their documents.
    fn set_up(&mut self, clients: usize) {
        let setup = std::fs::read_to_string(self.folder.path().join("data/setup-token")).expect("a set-up token");
        let mut first = self.connection(setup.trim());
        self.operator = member(&mut first, "/api/v1", "user:op", "operator");
        let mut operator = self.connection(&self.operator);
        let names: Vec<String> = (0..clients).map(|client| format!("tenant-{client}")).collect();
        let domain = Arc::new(Domain::new(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        made(operator.json("POST /api/v1/trust/operator-root", &[], &value(&domain.root())), 200);
        for (name, papers) in &domain.tenants {
            let at = format!("/api/v1/tenants/{name}");
            made(operator.json("POST /api/v1/tenants", &[], &json!({ "name": name })), 201);
            made(operator.json(&format!("POST {at}/trust/policy"), &[], &value(&domain.policy(name))), 200);
            let token = member(&mut operator, &at, "user:admin", "tenant-admin");
            let mut admin = self.connection(&token);
            made(admin.json(&format!("POST {at}/trust/root"), &[], &value(&papers.root())), 200);
            made(admin.json(&format!("POST {at}/trust/status"), &[], &value(&papers.status())), 200);
            self.tenants.push(Tenant { name: name.clone(), token, domain: Arc::clone(&domain) });
        }
        made(operator.json("POST /api/v1/trust/operator-status", &[], &value(&domain.status())), 200);
        self.read_log().expect("an audit log");
        self.log.borrow_mut().told.clear();
    }

    /// Reads on in the audit log, which must go on from its last record that was read before.
    fn read_log(&self) -> Result<(), String> {
        let mut operator = self.connection(&self.operator);
        let log = &mut *self.log.borrow_mut();
        let mut after = log.last.0.saturating_sub(1);
        let mut known = log.last.0 == 0;
        loop {
            let answer = operator.send(&format!("GET /api/v1/audit?after={after}&limit=1000"), "", &[], b"");
            let answer = made(answer, 200);
            for line in answer.body.lines() {
                if known {
                    log.take(line).map_err(|error| format!("the audit log: {error}"))?;
                } else {
                    known = line == log.last.1;
                }
            }
            let next = answer.header("audit-next").and_then(|next| next.parse().ok()).expect("where to go on");
            if next == after {
                break;
            }
            after = next;
        }
        if known { Ok(()) } else { Err(format!("the audit log has no record {} any more, or another one", log.last.0)) }
    }

    fn find(&self, tenant: &Tenant) -> Result<State, String> {
        let (mut own, at) = (self.connection(&tenant.token), format!("/api/v1/tenants/{}", tenant.name));
        let mut get = |path: &str| made(own.send(&format!("GET {at}{path}"), "", &[], b""), 200).json();
        let told = self.log.borrow().told.get(&tenant.name).cloned().unwrap_or_default();
        // The reconciler goes on meanwhile, and what it changes shows in what is used.
        let (jobs, quota) = loop {
            let before = get("/quota");
            let jobs = get("/jobs?limit=200");
            if get("/quota") == before {
                break (jobs, before);
            }
        };
        let mut state = State { count: told.count, ..State::default() };
        let (mut ids, mut slots) = (BTreeSet::new(), 0);
        for job in jobs["items"].as_array().expect("jobs") {
            ids.insert(job["id"].as_str().expect("an id").to_owned());
            let ended = ["CANCELED", "FINISHED", "FAILED"].iter().any(|state| job["state"] == *state);
            slots += if ended { 0 } else { job["parallelism"].as_u64().expect("slots") };
            // Only by itself it is shown with its parameters.
            state.take(&get(&format!("/jobs/{}", job["name"].as_str().expect("a name"))));
        }
        if ids != told.jobs {
            return Err(format!("{}: jobs {ids:?} are there, the audit log tells of {:?}", tenant.name, told.jobs));
        }
        let used = (quota["used"]["jobs"].as_u64(), quota["used"]["slots"].as_u64());
        if used != (Some(ids.len() as u64), Some(slots)) {
            return Err(format!(
                "{}: {used:?} jobs and slots are counted, {} and {slots} are there",
                tenant.name,
                ids.len()
            ));
        }
        state.quota = quota["set"]["tokens"].as_u64().unwrap_or_default();
        let (mut ids, mut next) = (BTreeSet::new(), Some(String::new()));
        while let Some(cursor) = next {
            let page = get(&format!("/tokens?limit=200{cursor}"));
            for token in page["items"].as_array().expect("tokens") {
                let label = token["label"].as_str().and_then(|label| label.parse().ok());
                if let Some(label) = label.filter(|_| token["revoked"].is_null()) {
                    state.tokens.insert(label);
                    ids.insert(token["id"].as_str().expect("an id").to_owned());
                }
            }
            next = page["next"].as_str().map(|next| format!("&cursor={next}"));
        }
        if ids != told.tokens {
            return Err(format!("{}: tokens {ids:?} are there, the audit log tells of {:?}", tenant.name, told.tokens));
        }
        Ok(state)
    }
}

impl Log {
    fn take(&mut self, line: &str) -> lockgate_core::Result<()> {
        self.verifier.line(line)?;
        // Otherwise it is a checkpoint.
        let Ok(Record { sequence, event, .. }) = Record::parse(line) else { return Ok(()) };
        self.last = (sequence, line.to_owned());
        if let (Outcome::Done, Some(tenant)) = (&event.outcome, &event.tenant) {
            self.told.entry(tenant.clone()).or_default().take(&event);
        }
        Ok(())
    }
}

/// What the audit log tells of a tenant.
#[derive(Clone, Default)]
struct Told {
    /// Changes that the tenant or the operator for it asked for.
    count: u64,
    /// Ids of jobs that were made and not deleted.
    jobs: BTreeSet<String>,
    /// Ids of tokens that were made and not revoked.
    tokens: BTreeSet<String>,
}

impl Told {
    fn take(&mut self, event: &Event) {
        let id = || event.details.get("id").cloned().unwrap_or_default();
        match event.action.as_str() {
            "create-jobs" => drop(self.jobs.insert(id())),
            "delete-jobs" => drop(self.jobs.remove(&id())),
            "own-tokens" => {
                let id = event.resource.rsplit('/').next().unwrap_or_default().to_owned();
                if !self.tokens.remove(&id) {
                    self.tokens.insert(id);
                }
            }
            "upgrade-jobs" | "stop-jobs" | "write-quotas" => {}
            _ => return,
        }
        self.count += 1;
    }
}

impl State {
    /// Takes in a job as the API shows it.
    fn take(&mut self, shown: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = text(&shown["name"]).trim_start_matches("job-").parse().expect("a job's number");
        let hundredths = text(&shown["deployment"]["parameters"]["weight"]);
        let goal = ["run", "drain", "cancel"].into_iter().find(|goal| shown["goal"] == *goal).expect("a goal");
        let job = Job {
            version: shown["deployment"]["version"].as_u64().expect("a version"),
            weight: hundredths.trim_start_matches("0.").parse().expect("a weight"),
            label: text(&shown["labels"]["n"]).parse().unwrap_or_default(),
            goal,
        };
        self.jobs.insert(number, job);
    }
}

/// The answer, if it is the expected one.
fn made(answer: Option<Answer>, status: u16) -> Answer {
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, status, "{}", answer.body);
    answer
}

/// Makes a member with a token.
fn member(by: &mut Https, at: &str, who: &str, role: &str) -> String {
    made(by.json(&format!("PUT {at}/members/{who}"), &[], &json!({ "roles": [role] })), 200);
    let token = made(by.json(&format!("POST {at}/tokens"), &[], &json!({ "principal": who })), 201).json();
    token["token"].as_str().expect("a token").to_owned()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Service for Process {
    type State = State;
    type Change = Change;
    type Client = Connection;

    // A change is several requests, each of which is signed, verified and flushed.
    const LONGEST_LIFE: u64 = 300_000;

    fn start(&mut self) -> bool {
        let mut child = self.spawn(Stdio::piped());
        let log = child.stderr.take().expect("standard error");
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to its end, so that it never waits for somebody to do so.
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap_or_default();
                if line["message"] == "listening" {
                    let address = line["address"].as_str().and_then(|address| address.parse().ok());
                    let _ = found.send(address.expect("an address"));
                }
            }
        });
        let Ok(address) = address.recv() else {
            let ended = child.wait().expect("how it ended");
            println!("it did not come up: {ended}");
            return false;
        };
        self.running = Some((child, address));
        if self.tls.is_none() {
            let roots = tls::roots(&self.folder.path().join("data/tls/ca.pem")).expect("its authority");
            self.tls = Some(Arc::new(tls::client_config(roots).expect("a client")));
            self.set_up(super::driver::CLIENTS);
        }
        true
    }

    fn launch(&mut self) {
        let child = self.spawn(Stdio::null());
        self.running = Some((child, SocketAddr::from(([127, 0, 0, 1], 0))));
    }

    fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            child.kill().and_then(|()| child.wait()).expect("to kill the child");
        }
    }

    fn connect(&self, client: usize) -> Connection {
        let (_, address) = self.running.as_ref().expect("a process");
        Connection {
            address: *address,
            tls: Arc::clone(self.tls.as_ref().expect("its authority")),
            operator: self.operator.clone(),
            tenant: self.tenants[client].clone(),
            own: None,
        }
    }

    fn observe(&self, clients: usize) -> Result<Vec<State>, String> {
        self.read_log()?;
        self.tenants.iter().take(clients).map(|tenant| self.find(tenant)).collect()
    }

    fn draw(_client: usize, state: &State, random: &mut Random) -> Change {
        match random.below(8) {
            0 => Change::Quota { value: 5_000 + random.below(5_000), first: state.quota == 0 },
            1 | 2 => match state.tokens.first().filter(|_| state.tokens.len() >= TOKENS || random.below(3) == 0) {
                Some(label) => Change::Revoke { label: *label },
                None => Change::Token { label: random.next() >> 16 },
            },
            _ => {
                let job = random.below(JOBS);
                match state.jobs.get(&job) {
                    None => Change::Create { job, version: next_version(), weight: 1 + random.below(98) },
                    Some(found) if found.goal != "run" => Change::Delete { job },
                    Some(found) => match random.below(7) {
                        0 | 1 => Change::Upgrade { job, version: next_version() },
                        // Any but the present one, which would be no change.
                        2 | 3 => Change::Set { job, weight: 1 + (found.weight + random.below(97)) % 98 },
                        4 => Change::Label { job, label: random.next() >> 16 },
                        5 => Change::Cancel { job },
                        _ => Change::Stop { job },
                    },
                }
            }
        }
    }

    fn apply(state: &mut State, change: &Change) {
        state.count += 1;
        let mut with = |job: &u64, change: &dyn Fn(&mut Job)| change(state.jobs.get_mut(job).expect("the job"));
        match change {
            Change::Create { job, version, weight } => {
                let made = Job { version: *version, weight: *weight, label: 0, goal: "run" };
                state.jobs.insert(*job, made);
            }
            Change::Upgrade { job, version } => with(job, &|job| job.version = *version),
            Change::Set { job, weight } => with(job, &|job| job.weight = *weight),
            Change::Label { job, label } => with(job, &|job| job.label = *label),
            Change::Cancel { job } => with(job, &|job| job.goal = "cancel"),
            Change::Stop { job } => with(job, &|job| job.goal = "drain"),
            Change::Delete { job } => drop(state.jobs.remove(job)),
            Change::Token { label } => drop(state.tokens.insert(*label)),
            Change::Revoke { label } => drop(state.tokens.remove(label)),
            Change::Quota { value, .. } => state.quota = *value,
        }
    }

    fn age(state: &State) -> u64 {
        state.count
    }
}

impl Process {
    fn spawn(&self, log: Stdio) -> Child {
        let mut command = Command::new(lockgate_executor::testing::program());
        command.args(["jobmanager", "--config", "jobmanager.toml"]).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).env("LOCKGATE_LOG", "info");
        command.spawn().expect("a child")
    }
}
