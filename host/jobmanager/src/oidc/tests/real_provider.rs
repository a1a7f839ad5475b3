//! Tokens of a real identity provider: `oidc-provider` from npm in a process of Node.js, over HTTPS on loopback.
//!
//! It is installed into the target folder when it is first needed, by the lock file in `tests/oidc-provider`.

use super::{Issuers, code};
use crate::access::Role;
use crate::config::{Client, Grant, Issuer, IssuerRule};
use crate::testing::{Authority, Trust};
use base64::Engine as _;
use jsonwebtoken::Algorithm;
use lockgate_core::Name;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const FILES: [&str; 3] = ["package.json", "package-lock.json", "provider.mjs"];

/// The folder in which the provider is installed.
async fn installed() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oidc-provider");
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/TEST
    let folder = test.ancestors().nth(3).unwrap().join("oidc-provider");
    let lock = std::fs::read(source.join("package-lock.json")).unwrap();
    let mark = folder.join("installed.json");
    std::fs::create_dir_all(&folder).unwrap();
    for file in FILES {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    if std::fs::read(&mark).is_ok_and(|installed| installed == lock) {
        return folder;
    }
    let output = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .output()
        .await
        .expect("this test needs Node.js 20 or newer with npm");
    assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(&mark, lock).unwrap();
    folder
}

struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    /// Starts a provider with keys of its own, at this port or one that the system chooses.
    async fn start(folder: &Path, (certificate, key): &(PathBuf, PathBuf), port: u16) -> Self {
        let mut child = Command::new("node")
            .arg("provider.mjs")
            .args([certificate, key])
            .arg(port.to_string())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("this test needs Node.js 20 or newer");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the provider ended");
                if let Ok(port) = line.parse::<u16>() {
                    return port;
                }
            }
        };
        let port = tokio::time::timeout(Duration::from_secs(60), line).await.expect("the provider did not start");
        Self { child, address: ([127, 0, 0, 1], port).into() }
    }

    /// A token of the provider for a client whose tokens are signed with `algorithm`.
    async fn token(&self, trust: &Trust, algorithm: &str) -> String {
        let secret =
            base64::engine::general_purpose::STANDARD.encode(format!("ci-{algorithm}:a%20secret%20of%20the%20test"));
        let body = "grant_type=client_credentials";
        let request = format!(
            "POST /token HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Basic {secret}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            self.address.port(),
            body.len()
        );
        let answer = trust.ask(self.address, request.as_bytes()).await;
        let text = answer.body.find('{').zip(answer.body.rfind('}')).map(|(from, to)| &answer.body[from..=to]);
        let body: Value = serde_json::from_str(text.unwrap_or_default()).unwrap_or_else(|_| panic!("{answer:?}"));
        body["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    async fn stop(mut self) {
        drop(self.child.stdin.take());
        crate::testing::soon("the provider's end", self.child.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn tokens_of_a_real_provider_are_taken_and_its_keys_followed() {
    let program = installed().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "provider authority");
    let files = authority.issue("provider", &[]);
    let trust = Trust::of(&authority.ca());
    let node = Node::start(&program, &files, 0).await;
    let port = node.address.port();
    let settings = Issuer {
        issuer: format!("https://localhost:{port}"),
        audience: "lockgate".into(),
        algorithms: vec![Algorithm::RS256, Algorithm::ES256],
        clock_skew: Duration::from_secs(30),
        client: Client { ca: Some(authority.ca()), timeout: Duration::from_secs(10) },
        principal_claim: "sub".into(),
        rules: vec![IssuerRule {
            claim: "groups".into(),
            value: "data-engineers".into(),
            grant: Grant { tenant: Some(Name::new("acme").unwrap()), roles: [Role::Deployer].into() },
        }],
    };
    let only_rsa = Issuers::new(&[Issuer { algorithms: vec![Algorithm::RS256], ..settings.clone() }]).unwrap();
    let issuers = Issuers::new(&[settings]).unwrap().with_patience(Duration::ZERO);

    let mut earlier = Vec::new();
    for algorithm in ["RS256", "ES256"] {
        let token = node.token(&trust, algorithm).await;
        let caller = issuers.authenticate(&token).await.unwrap();
        assert_eq!(caller.principal, format!("oidc:https://localhost:{port}#ci-{algorithm}"));
        assert_eq!((caller.tenant, caller.roles), (Some(Name::new("acme").unwrap()), [Role::Deployer].into()));
        earlier.push(token);
    }
    assert_eq!(only_rsa.authenticate(&earlier[1]).await.unwrap_err().code(), code::CREDENTIAL_REFUSED);
    only_rsa.authenticate(&earlier[0]).await.unwrap();
    node.stop().await;

    // Started again with other keys: those are found, and what the former ones signed is not taken any more.
    let node = Node::start(&program, &files, port).await;
    let token = node.token(&trust, "RS256").await;
    issuers.authenticate(&token).await.unwrap();
    assert_eq!(issuers.authenticate(&earlier[0]).await.unwrap_err().code(), code::CREDENTIAL_REFUSED);
    node.stop().await;
}
