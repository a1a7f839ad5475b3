//! A JobManager as a process of its own on loopback, with an operator, two tenants and signed bundles.

use super::{Home, MANIFEST, draft};
use lockgate_core::Digest;
use lockgate_core::bundle::Package;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A JobManager, and a folder from which it is asked.
pub struct Site {
    pub home: Home,
    pub port: u16,
    server: Process,
}

/// A process that ends when this does.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    /// A JobManager that nobody has asked anything yet.
    pub fn fresh() -> Self {
        let home = Home::new();
        // Commands follow each other faster here than anybody types.
        home.write(
            "jobmanager.toml",
            "data = \"data\"\nlisten = [\"127.0.0.1:0\"]\n[fair-use]\nprincipal-requests-per-second = 10000\n",
        );
        let (server, port) = start(&home);
        Self { home, port, server }
    }

    /// With an operator (context `op`), tenants `acme` (context `acme`, principal `user:ana`) and `bolt`, the trust
    /// documents of acme, and `copy.1.lgb`, signed, as its current bundle. Context `acme` is in use.
    pub fn new() -> Self {
        let site = Self::fresh();
        site.login("setup", "data/setup-token").text();
        let home = &site.home;
        home.run("member set user:op --role operator").text();
        home.run("token create --principal user:op --to op.token").text();
        site.login("op", "op.token").text();
        for (tenant, admin) in [("acme", "user:ana"), ("bolt", "user:bob")] {
            home.run(&format!("tenant create {tenant}")).text();
            home.run(&format!("member set {admin} --role tenant-admin --tenant {tenant}")).text();
            home.run(&format!("token create --principal {admin} --tenant {tenant} --to {tenant}.token")).text();
        }
        for name in ["op", "ops", "ten", "sig", "sta"] {
            home.key(&format!("{name}.key"));
        }
        home.run("trust operator-root --dir t --domain cluster.local --root op.key --status ops.key --key op.key")
            .text();
        home.run("trust policy acme --dir t --root ten.key --grant read:volume:texts --grant write:stream:stdout --key op.key").text();
        home.run("trust tenant-root acme --dir t --signer sig.key --status sta.key --key ten.key").text();
        home.run("trust operator-status --dir t --key ops.key").text();
        home.run("trust upload t --context op").text();
        site.login("bolt", "bolt.token").text();
        site.login("acme", "acme.token").text();
        site.bundle("copy.1.lgb", 1, "in/*.txt");
        site
    }

    /// Signs a version of the job `copy` that reads this path, and names it as current.
    pub fn bundle(&self, file: &str, version: u64, path: &str) {
        let manifest = MANIFEST.replace("version = 1", &format!("version = {version}")).replace("in/*.txt", path);
        let home = &self.home;
        let draft = draft(&manifest, "cluster.local");
        // What a version newly touches is signed in relation to the one before.
        let before = std::fs::read(home.path("copy.1.lgb")).ok().map(|bytes| Package::parse(&bytes).unwrap());
        home.write(file, draft.package(before.as_ref()).unwrap().to_bytes().unwrap());
        home.run(&format!("sign {file} --key sig.key")).text();
        home.run(&format!("trust status acme --dir t --current {file} --key sta.key")).text();
        home.run("trust upload t --context acme").text();
    }

    /// Logs in with the token of a file, under this name.
    pub fn login(&self, name: &str, token: &str) -> super::Ran {
        let Self { home, port, .. } = self;
        home.run(&format!("login https://localhost:{port} --ca data/tls/ca.pem --token-file {token} --name {name}"))
    }

    /// The SHA-256 of the authority's certificate.
    pub fn fingerprint(&self) -> String {
        let pem = std::fs::read_to_string(self.home.path("data/tls/ca.pem")).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
        Digest::of(&base64(&body)).to_string()
    }

    /// Ends the JobManager at once and starts it again where it was.
    pub fn restart(&mut self) {
        self.server.0.kill().unwrap();
        self.server.0.wait().unwrap();
        let text = format!("data = \"data\"\nlisten = [\"127.0.0.1:{}\"]\n", self.port);
        self.home.write("jobmanager.toml", text);
        self.server = start(&self.home).0;
    }
}

/// Starts a JobManager and waits until it listens; its port.
fn start(home: &Home) -> (Process, u16) {
    let mut command = home.command(&["jobmanager", "--config", "jobmanager.toml"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut server = Process(child.unwrap());
    let lines = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    // Its log is read to the end, so that it never waits for a reader.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
    let mut seen = String::new();
    loop {
        let line = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it does not listen: {seen}"));
        if let Some((_, address)) = line.split_once("listening address=") {
            let port = address.trim().rsplit(':').next().unwrap().parse().unwrap();
            return (server, port);
        }
        seen.push_str(&line);
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(digit).collect();
    let bits =
        |chunk: &[u8]| chunk.iter().fold(0_u32, |all, six| all << 6 | u32::from(*six)) << (6 * (4 - chunk.len()));
    digits.chunks(4).flat_map(|chunk| bits(chunk).to_be_bytes()[1..chunk.len()].to_vec()).collect()
}
