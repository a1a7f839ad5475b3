//! Who gets in over a real connection, what is shown, and every start that is refused.

use super::figures::{Facts, of};
use super::*;
use crate::agent::figures::Steps;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{OperatorUsage, Status, Task};
use lockgate_core::statement::Release;
use lockgate_core::{Digest, Name, Timestamp};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A folder with a token, and settings by which it is used.
fn settings() -> (TempDir, Metrics) {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    write(&token_file, &format!("{TOKEN}\n"), 0o600);
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    (folder, Metrics { listen, token_file, names: vec!["localhost".into()], files: None })
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn facts() -> Facts {
    let operators = BTreeMap::from([(
        name("score"),
        OperatorUsage {
            rows_in: 11,
            rows_out: 12,
            dead_letters: 13,
            fuel: 14,
            lag_bytes: 15,
            back_pressure_ms: 16,
            restarts: 17,
        },
    )]);
    let task = |job: &str, slots, status| Task {
        job: JobId { tenant: name("acme"), name: name(job) },
        id: "x".into(),
        epoch: 1,
        slots,
        release: Release { version: 1, digest: Digest::of(b"") },
        draining: false,
        status,
        operators: operators.clone(),
    };
    let steps = Steps { commits: 18, restarts: 19 };
    Facts {
        name: "tm-1".into(),
        slots: 4,
        memory: 1 << 30,
        missing_walls: 1,
        expires: Timestamp::from_seconds(2_000),
        answered: Some(Timestamp::from_seconds(1_000)),
        now: Timestamp::from_seconds(1_001),
        audit: Some(7),
        contradictions: 2,
        tasks: vec![(task("late", 3, Status::Running), steps), (task("over", 1, Status::Finished), Steps::default())],
    }
}

/// A listener that answers with [`facts`].
struct Shown {
    address: SocketAddr,
    ca: PathBuf,
    _folder: TempDir,
    _stop: watch::Sender<bool>,
}

impl Shown {
    async fn start() -> Self {
        let (folder, settings) = settings();
        let listening = Listening::bind(&settings, folder.path()).await.unwrap();
        let address = listening.addresses()[0];
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(listening.serve(|| Some(of(&facts())), stopped));
        Self { address, ca: folder.path().join("metrics/ca.pem"), _folder: folder, _stop: stop }
    }

    async fn stream(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config = rustls::ClientConfig::builder_with_provider(lockgate_http::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(lockgate_server::tls::roots(&self.ca).unwrap())
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// What is answered to these bytes until the connection ends.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.stream(&TLS13).await.unwrap();
        // One that refuses early may close before it has taken everything.
        let _ = stream.write_all(request.as_bytes()).await;
        rest(stream).await
    }
}

async fn rest(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    // How it ends matters to nobody here, only what came before.
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(ended.is_ok(), "the connection stays open");
    String::from_utf8(bytes).unwrap()
}

fn request(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn whoever_has_the_token_gets_the_figures() {
    let shown = Shown::start().await;
    for scheme in ["Bearer", "bearer"] {
        let answer = shown.ask(&request("GET /metrics", &format!("Authorization: {scheme} {TOKEN}\r\n"))).await;
        assert_eq!(status(&answer), "200", "{answer}");
        assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
        assert!(answer.contains("cache-control: no-store"), "{answer}");
        assert!(answer.ends_with("# EOF\n"), "{answer}");
    }
}

#[tokio::test]
async fn nobody_else_gets_anything() {
    let shown = Shown::start().await;
    let other = TOKEN.replace('0', "1");
    for (headers, code) in [
        (String::new(), "LG1100"),
        ("authorization: Bearer\r\n".into(), "LG1100"),
        (format!("authorization: Basic {TOKEN}\r\n"), "LG1100"),
        (format!("authorization: {TOKEN}\r\n"), "LG1100"),
        (format!("cookie: token={TOKEN}\r\n"), "LG1100"),
        (bearer(&other), "LG1103"),
        (bearer(""), "LG1100"),
        (bearer(&TOKEN[1..]), "LG1103"),
        (bearer(&format!("{TOKEN}0")), "LG1103"),
        (bearer(TOKEN) + &bearer(TOKEN), "LG1106"),
        (bearer(&other) + &bearer(TOKEN), "LG1106"),
    ] {
        // Without a token nobody learns what there is.
        for line in ["GET /metrics", "GET /", "POST /metrics", &format!("GET /metrics?token={TOKEN}")] {
            let answer = shown.ask(&request(line, &headers)).await;
            assert_eq!(status(&answer), "401", "{line} {headers}: {answer}");
            assert!(answer.contains(code) && answer.contains("www-authenticate: Bearer"), "{headers}: {answer}");
            assert!(!answer.contains("lockgate_") && !answer.contains(TOKEN), "{answer}");
        }
    }
}

/// It keeps no place from who has one.
#[tokio::test]
async fn whoever_has_no_token_keeps_no_connection() {
    let shown = Shown::start().await;
    // Nobody asks for the end of the connection here, and `ask` reads to it.
    let answer = shown.ask("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.contains("connection: close") && status(&answer) == "401", "{answer}");
}

#[tokio::test]
async fn there_are_the_figures_and_nothing_else() {
    let shown = Shown::start().await;
    for (line, expected, code) in [
        ("GET /", "404", "LG1102"),
        ("GET /metrics/", "404", "LG1102"),
        ("GET //metrics", "404", "LG1102"),
        ("GET /api/v1/jobs", "404", "LG1102"),
        ("POST /metrics", "405", "LG1003"),
        ("DELETE /metrics", "405", "LG1003"),
        ("OPTIONS /metrics", "405", "LG1003"),
    ] {
        let answer = shown.ask(&request(line, &bearer(TOKEN))).await;
        assert_eq!(status(&answer), expected, "{line}: {answer}");
        assert!(answer.contains(code), "{line}: {answer}");
    }
    let head = shown.ask(&request("HEAD /metrics", &bearer(TOKEN))).await;
    assert_eq!(status(&head), "405", "{head}");
    // A body that nobody asked for ends the connection, though it was to stay.
    let text = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{}content-length: 9999\r\n\r\n", bearer(TOKEN));
    assert!(shown.ask(&text).await.contains("connection: close"));
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let shown = Shown::start().await;
    let long = format!("x: {}\r\n", "x".repeat(LIMITS.header_bytes));
    let many = "x: x\r\n".repeat(LIMITS.headers + 1);
    for headers in [long, many] {
        let answer = shown.ask(&request("GET /metrics", &(bearer(TOKEN) + &headers))).await;
        assert_eq!(status(&answer), "431", "{answer}");
    }
}

#[tokio::test]
async fn only_tls_1_3_is_spoken() {
    let shown = Shown::start().await;
    assert!(shown.stream(&TLS12).await.is_err(), "TLS 1.2 is spoken");
    let mut plain = TcpStream::connect(shown.address).await.unwrap();
    plain.write_all(request("GET /metrics", &bearer(TOKEN)).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, plain.read_to_end(&mut bytes)).await.expect("it stays open").ok();
    assert!(!bytes.starts_with(b"HTTP"), "it answers in plain text");
    assert_eq!(status(&shown.ask(&request("GET /metrics", &bearer(TOKEN))).await), "200", "it answers no more");
}

#[tokio::test]
async fn one_source_has_some_connections_and_no_more() {
    let shown = Shown::start().await;
    let mut open = Vec::new();
    for _ in 0..LIMITS.connections_per_source {
        open.push(shown.stream(&TLS13).await.unwrap());
    }
    assert!(shown.stream(&TLS13).await.is_err(), "one more is taken");
    drop(open.pop());
    let again = async {
        while shown.stream(&TLS13).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a place that is free is not given again");
}

#[tokio::test]
async fn a_start_with_what_others_can_read_is_refused() {
    let (folder, mut settings) = settings();
    let bind = async |settings: &Metrics| Listening::bind(settings, folder.path()).await.map(drop);
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&settings.token_file, Permissions::from_mode(mode)).unwrap();
        assert_eq!(bind(&settings).await.unwrap_err().code(), code::EXPOSED_TO_OTHERS, "{mode:o}");
    }
    std::fs::set_permissions(&settings.token_file, Permissions::from_mode(0o600)).unwrap();
    bind(&settings).await.unwrap();
    let made = folder.path().join("metrics");
    for file in ["server.key", "ca.key"] {
        std::fs::set_permissions(made.join(file), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(bind(&settings).await.unwrap_err().code(), code::EXPOSED_TO_OTHERS, "{file}");
        std::fs::set_permissions(made.join(file), Permissions::from_mode(0o600)).unwrap();
    }
    // The same for what the operator gave.
    let (certificate, key) = (folder.path().join("own.pem"), folder.path().join("own.key"));
    std::fs::copy(made.join("server.pem"), &certificate).unwrap();
    write(&key, &std::fs::read_to_string(made.join("server.key")).unwrap(), 0o644);
    settings.files = Some((certificate.clone(), key.clone()));
    assert_eq!(bind(&settings).await.unwrap_err().code(), code::EXPOSED_TO_OTHERS);
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    bind(&settings).await.unwrap();
    settings.files = Some((certificate, made.join("ca.key")));
    assert_eq!(bind(&settings).await.unwrap_err().code(), code::TLS_MATERIAL, "another's key");
}

#[tokio::test]
async fn a_token_that_could_be_guessed_is_refused() {
    let (folder, settings) = settings();
    let refused = async || Listening::bind(&settings, folder.path()).await.map(drop).unwrap_err();
    for text in ["", "\n", "secret\n", &TOKEN[1..], &"x".repeat(513), &format!("{TOKEN} x"), &format!("{TOKEN}\n\n")] {
        write(&settings.token_file, text, 0o600);
        let error = refused().await;
        assert_eq!(error.code(), code::METRICS_TOKEN, "{text:?}");
        assert!(text.trim().is_empty() || !error.to_string().contains(text.trim()), "the token is in the error");
    }
    std::fs::write(&settings.token_file, [0xff; 40]).unwrap();
    assert_eq!(refused().await.code(), code::METRICS_TOKEN);
    std::fs::remove_file(&settings.token_file).unwrap();
    assert_eq!(refused().await.code(), code::METRICS_TOKEN);
}

#[test]
fn another_token_counts_once_it_is_in_the_file_and_the_former_one_does_not() {
    let (_folder, settings) = settings();
    let token = Token::read(&settings.token_file).unwrap();
    let with = |text: &str| {
        let mut headers = lockgate_http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {text}").parse().unwrap());
        token.check(&headers)
    };
    with(TOKEN).unwrap();
    assert!(!token.reload().unwrap());
    let next = TOKEN.replace('0', "9");
    write(&settings.token_file, &next, 0o600);
    assert!(token.reload().unwrap());
    with(&next).unwrap();
    assert_eq!(with(TOKEN).unwrap_err().code(), code::CREDENTIAL_REFUSED);
    write(&settings.token_file, "", 0o600);
    assert_eq!(token.reload().unwrap_err().code(), code::METRICS_TOKEN);
    with(&next).expect("the former token does not go on");
    assert!(!format!("{token:?}").contains(&next));
}

#[test]
fn all_is_shown_that_is_known() {
    let text = of(&facts()).unwrap();
    let has = |line: &str| assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    let version = env!("CARGO_PKG_VERSION");
    has(&format!("lockgate_taskmanager_build_info{{name=\"tm-1\",version=\"{version}\"}} 1"));
    let operator = "{tenant=\"acme\",job=\"late\",operator=\"score\"}";
    for (figure, value) in [
        ("rows_in_total", 11),
        ("rows_out_total", 12),
        ("dead_letters_total", 13),
        ("fuel_total", 14),
        ("lag_bytes", 15),
        ("back_pressure_milliseconds_total", 16),
        ("restarts_total", 17),
    ] {
        has(&format!("lockgate_taskmanager_operator_{figure}{operator} {value}"));
    }
    for line in [
        "slots 4",
        // What has ended takes no slot.
        "slots_used 3",
        "executor_memory_bytes 1073741824",
        "missing_walls 1",
        "certificate_expiry_timestamp_seconds 2000",
        "clock_timestamp_seconds 1001",
        "last_answer_timestamp_seconds 1000",
        "audit_head 7",
        "audit_contradictions 2",
        "task{tenant=\"acme\",job=\"late\",state=\"running\"} 1",
        "task{tenant=\"acme\",job=\"over\",state=\"finished\"} 1",
        "task_slots{tenant=\"acme\",job=\"late\"} 3",
        "task_commits_total{tenant=\"acme\",job=\"late\"} 18",
        "task_restarts_total{tenant=\"acme\",job=\"late\"} 19",
    ] {
        has(&format!("lockgate_taskmanager_{line}"));
    }
    let resident = text.lines().find_map(|line| line.strip_prefix("lockgate_taskmanager_resident_memory_bytes "));
    assert!(resident.unwrap().parse::<u64>().unwrap() > 1 << 20, "{text}");
    let never = of(&Facts { answered: None, audit: None, ..facts() }).unwrap();
    assert!(!never.contains("last_answer") && !never.contains("audit_head"), "{never}");
}
