//! A JobManager in a process of its own, with an operator, two tenants and their people: what is attacked.
//!
//! Everything is made through the API, from the set-up token on.

use super::client::{Answer, Client, Session, request};
use crate::harness::signed::{self, Domain};
use lockgate_core::Digest;
use lockgate_core::bundle::Package;
use lockgate_executor::testing;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long whatever must happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everybody whose credential a case may use, by a name such as `acme deployer`.
type Tokens = BTreeMap<&'static str, String>;

pub struct Site {
    pub folder: tempfile::TempDir,
    pub client: Client,
    /// The set-up token, which has done its work.
    pub setup: String,
    /// The digest of the bundle that `acme`'s job `late` runs.
    pub digest: Digest,
    /// That bundle, and the version that is to replace it.
    pub package: Package,
    pub next: Package,
    pub domain: Domain,
    tokens: Tokens,
    process: Process,
}

struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    fn start(folder: &std::path::Path) -> (Self, SocketAddrV4) {
        let mut command = Command::new(testing::program());
        command.args(["jobmanager", "--config"]).arg(folder.join("jobmanager.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("lockgate, which is built beside the tests");
        let (listening, listens) = mpsc::channel();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, errors) = (Arc::clone(&log), child.stderr.take().expect("its log"));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let value: Option<Value> = serde_json::from_str(&line).ok();
                let address = value.as_ref().and_then(|value| value["address"].as_str()?.parse().ok());
                if let Some(address) = address.filter(|_| line.contains("\"listening\"")) {
                    let _ = listening.send(address);
                }
                kept.lock().unwrap().push(line);
            }
        });
        let address = listens.recv_timeout(PATIENCE);
        let this = Self { child, log, reader: Some(reader) };
        let address = address.unwrap_or_else(|_| panic!("it does not listen: {:?}", this.log.lock().unwrap()));
        (this, address)
    }

    fn stop(&mut self) {
        let pid = Pid::from_child(&self.child);
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let status = self.child.wait().expect("its end");
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        assert!(status.success(), "{status}: {:?}", self.log.lock().unwrap().last());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Site {
    /// One whose configuration has these further lines.
    pub fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "data = \"data\"\nlisten = [\"127.0.0.1:0\"]\ndomain = \"development.local\"\nlog-format = \"json\"\n{settings}"
        );
        let file = folder.path().join("jobmanager.toml");
        std::fs::write(&file, text).expect("a configuration");
        let (process, address) = Process::start(folder.path());
        let client = Client::new(address, &folder.path().join("data/tls/ca.pem"));
        let setup = std::fs::read_to_string(folder.path().join("data/setup-token")).expect("a set-up token");
        let package = signed::package("acme", "late", 1, None);
        let mut site = Self {
            digest: Digest::of(&package.to_bytes().expect("bytes")),
            next: signed::package("acme", "late", 2, Some(&package)),
            package,
            domain: Domain::new(&["acme", "bolt"]),
            setup: setup.trim().to_owned(),
            tokens: Tokens::new(),
            folder,
            client,
            process,
        };
        site.furnish();
        site
    }

    fn furnish(&mut self) {
        self.tokens.insert("setup", self.setup.clone());
        self.member("setup", "", "user:op", "operator", "operator");
        self.json("operator", "POST /api/v1/tenants", &json!({ "name": "acme" }), 201);
        self.json("operator", "POST /api/v1/tenants", &json!({ "name": "bolt" }), 201);
        let root = signed::value(&self.domain.root());
        self.json("operator", "POST /api/v1/trust/operator-root", &root, 200);
        for (tenant, admin) in [("acme", "acme admin"), ("bolt", "bolt admin")] {
            let at = format!("/tenants/{tenant}");
            self.member("operator", &at, &format!("user:ada-{tenant}"), "tenant-admin", admin);
            let policy = signed::value(&self.domain.policy(tenant));
            self.json("operator", &format!("POST /api/v1{at}/trust/policy"), &policy, 200);
        }
        let status = signed::value(&self.domain.status());
        self.json("operator", "POST /api/v1/trust/operator-status", &status, 200);
        for tenant in ["acme", "bolt"] {
            let by = if tenant == "acme" { "acme admin" } else { "bolt admin" };
            let root = signed::value(&self.domain.tenant(tenant).root());
            self.json(by, &format!("POST /api/v1/tenants/{tenant}/trust/root"), &root, 200);
        }
        for role in ["deployer", "viewer", "auditor"] {
            let name = format!("acme {role}");
            self.member("acme admin", "/tenants/acme", &format!("user:{role}"), role, Box::leak(name.into()));
        }
        self.member("bolt admin", "/tenants/bolt", "user:deployer", "deployer", "bolt deployer");
        self.release("acme", &[&self.package], 1);
        let made =
            self.send("acme deployer", "POST /api/v1/tenants/acme/bundles", TAR, &self.package.to_bytes().unwrap());
        assert_eq!(made.status, 201, "{made:?}");
        self.json("acme deployer", "POST /api/v1/tenants/acme/jobs", &json!({ "bundle": self.digest }), 201);
        self.settle();
    }

    /// Waits until what the JobManager does by itself about the job is done: it waits, and it is known for what.
    fn settle(&self) {
        let begun = std::time::Instant::now();
        loop {
            let job = self.get("operator", "/api/v1/tenants/acme/jobs/late").json();
            if job["state"] == "CREATED" && job["waits-for"].is_string() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "the job is not waiting for anything: {job}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a member with a token, which is kept as that of `name`.
    pub fn member(&mut self, by: &str, at: &str, principal: &str, role: &str, name: &'static str) {
        self.json(by, &format!("PUT /api/v1{at}/members/{principal}"), &json!({ "roles": [role] }), 200);
        let made = self.json(by, &format!("POST /api/v1{at}/tokens"), &json!({ "principal": principal }), 201);
        self.tokens.insert(name, made.json()["token"].as_str().expect("a token").to_owned());
    }

    /// Makes these versions the current ones of their jobs.
    pub fn release(&self, tenant: &str, current: &[&Package], version: u64) {
        let by = if tenant == "acme" { "acme admin" } else { "bolt admin" };
        let signer = self.domain.tenant(tenant);
        let status = signed::value(&signer.sign_status(signer.releasing(current, version)));
        self.json(by, &format!("POST /api/v1/tenants/{tenant}/trust/status"), &status, 200);
    }

    pub fn token(&self, who: &str) -> &str {
        self.tokens.get(who).unwrap_or_else(|| panic!("there is no {who}"))
    }

    /// A JSON request that must be answered so.
    pub fn json(&self, who: &str, line: &str, body: &Value, status: u16) -> Answer {
        let answer = self.try_json(who, line, body);
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        answer
    }

    pub fn try_json(&self, who: &str, line: &str, body: &Value) -> Answer {
        self.send(who, line, "application/json", body.to_string().as_bytes())
    }

    pub fn send(&self, who: &str, line: &str, kind: &str, body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.token(who));
        self.client.ask(&request(line, &[("authorization", &bearer), ("content-type", kind)], body))
    }

    pub fn get(&self, who: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token(who));
        self.client.ask(&request(&format!("GET {path}"), &[("authorization", &bearer)], b""))
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("https://{}", self.client.address)
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("data/tls/ca.pem")
    }

    /// The secret part of every token.
    pub fn secrets(&self) -> Vec<String> {
        self.tokens.values().filter_map(|token| token.split('_').nth(2).map(str::to_owned)).collect()
    }

    /// All that there is, as the honest see it, but for what merely looking or trying changes: when tokens were last
    /// used, and how much was sent.
    pub fn state(&self) -> Vec<String> {
        let mut session = Session::open(&self.client);
        let mut state = Vec::new();
        let mut look = |who: &str, path: &str| {
            let answer = session.get(path, self.token(who));
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            let mut value = answer.json();
            for item in value["items"].as_array_mut().into_iter().flatten() {
                item.as_object_mut().expect("an object").remove("last-used");
            }
            for when in ["upload-bytes-per-hour", "upload-bytes-per-day"] {
                value["used"].as_object_mut().and_then(|used| used.remove(when));
            }
            state.push(format!("{path}: {value}"));
        };
        for what in ["tenants", "members", "tokens", "trust/operator-root/versions", "trust/operator-status/versions"] {
            look("operator", &format!("/api/v1/{what}?limit=200"));
        }
        let trust = ["trust/policy/versions", "trust/root/versions", "trust/status/versions"];
        for (tenant, who) in [("acme", "acme admin"), ("bolt", "bolt admin")] {
            for what in ["members", "tokens", "bundles", "jobs"] {
                look(who, &format!("/api/v1/tenants/{tenant}/{what}?limit=200"));
            }
            look(who, &format!("/api/v1/tenants/{tenant}/quota"));
            trust
                .iter()
                .filter(|_| tenant == "acme")
                .for_each(|what| look(who, &format!("/api/v1/tenants/acme/{what}")));
        }
        let files = std::fs::read_dir(self.folder.path().join("data/bundles")).expect("the bundles");
        let mut files: Vec<String> =
            files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        files.sort();
        state.extend(files);
        state
    }

    /// Stops it, and gives the records of its audit log and the lines of its log.
    pub fn end(mut self) -> (Vec<Value>, Vec<String>) {
        self.process.stop();
        let mut export = Command::new(testing::program());
        export.args(["audit", "export", "--data"]).arg(self.folder.path().join("data"));
        let output = export.output().expect("lockgate");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let records = text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        (records, std::mem::take(&mut *self.process.log.lock().unwrap()))
    }
}

/// A media type of bundles.
pub const TAR: &str = "application/octet-stream";
