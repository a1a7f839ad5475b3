//! `jobmanager/reads` and `jobmanager/uploads`: a JobManager in a process of its own over HTTPS, beside a bare server of the
//! same libraries (axum, hyper, rustls) that does nothing with what it is asked.
//!
//! Both have the same certificate and the same clients, which keep their connections and ask in turns of half a second: first
//! the one, then the other. What counts is how many requests or bytes a second come through, by the wall clock. The clients
//! run on the same machine, and what they cost counts for both.

use crate::figure::{Figure, Report, median, rounded};
use crate::project::{first, keys};
use crate::{Result, from_environment};
use axum::Router;
use axum::body::Body;
use axum::routing::{get, put};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use lockgate_core::bundle::{Draft, Part};
use lockgate_core::manifest::Manifest;
use lockgate_core::statement::Kind;
use lockgate_core::trust::development::{Allowed, audience, chain};
use lockgate_core::types::{Field, FunctionDescription, LogicalType, Port};
use lockgate_core::{Digest, Name, Timestamp};
use lockgate_jobmanager::tls;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, StreamOwned};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_rustls::TlsAcceptor;

/// Turns that count, of each.
const SAMPLES: usize = 11;
/// How long the readers ask in a turn.
const TURN: Duration = Duration::from_millis(500);
/// How many readers there are.
const READERS: usize = 8;
/// Bytes of the component in the bundle that is uploaded.
const COMPONENT: usize = 16 << 20;
/// The path that is read: a tenant, whose record and whose reader's credentials are in the store.
const READ: &str = "/api/v1/tenants/benches";

const SETTINGS: &str = r#"
data = "data"
listen = ["127.0.0.1:0"]
domain = "development.local"
log-format = "json"
[fair-use]
principal-requests-per-second = 1000000
[quota]
requests-per-second = 1000000
upload-bytes-per-hour = "1000 GiB"
upload-bytes-per-day = "1000 GiB"
"#;

const MANIFEST: &str = r#"
[job]
tenant = "benches"
name = "ballast"
version = 1
[component.ballast]
[source.bids]
connector = "file"
volume = "bids"
path = "*.parquet"
schema = [{ name = "price", type = "float64", nullable = true }]
[operator.score]
input = "bids"
function = "ballast/score"
keep = []
[sink.out]
input = "score"
connector = "discard"
"#;

/// Measures the rows.
///
/// # Errors
/// When anything of it fails.
pub fn measure(report: &Report) -> Result<()> {
    if !report.wants("jobmanager/reads") && !report.wants("jobmanager/uploads") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (bundle, documents, operator_root) = papers()?;
    let jobmanager = JobManager::start(folder.path())?;
    let tls = Arc::new(tls::client_config(tls::roots(&folder.path().join("data/tls/ca.pem"))?)?);
    let token = furnish(&jobmanager, folder.path(), &tls, &documents, &operator_root)?;
    let to_it = Place { address: jobmanager.address, tls: Arc::clone(&tls), token: token.clone() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let example = to_it.connect()?.ask("GET", READ, "", b"")?.1;
    let bare = runtime.block_on(bare(&folder.path().join("data/tls"), example))?;
    let to_bare = Place { address: bare, tls, token };
    if report.wants("jobmanager/reads") {
        let (its, bares) = turns(reads, &to_it, &to_bare)?;
        show(report, "jobmanager/reads", its, bares, |figure, value| figure.requests_per_s = Some(value))?;
    }
    if report.wants("jobmanager/uploads") {
        let path = format!("{READ}/bundles/{}", Digest::of(&bundle));
        let (its, bares) = turns(|place| upload(place, &path, &bundle), &to_it, &to_bare)?;
        show(report, "jobmanager/uploads", its, bares, |figure, value| figure.bytes_per_s = Some(value))?;
    }
    Ok(())
}

/// Both in turns, after one of each that does not count.
fn turns(mut of: impl FnMut(&Place) -> Result<f64>, its: &Place, bare: &Place) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut all, mut bares) = (Vec::new(), Vec::new());
    of(its)?;
    of(bare)?;
    for _ in 0..SAMPLES {
        all.push(of(its)?);
        bares.push(of(bare)?);
    }
    Ok((all, bares))
}

fn show(
    report: &Report,
    name: &'static str,
    its: Vec<f64>,
    bares: Vec<f64>,
    set: impl Fn(&mut Figure, f64),
) -> Result<()> {
    let ratios = its.iter().zip(&bares).map(|(its, bare)| its / bare).collect();
    let mut figure = Figure { name, of_bare: Some(rounded(median(ratios))), ..Figure::default() };
    set(&mut figure, rounded(median(its)));
    report.show(&figure)
}

/// Requests a second.
fn reads(place: &Place) -> Result<f64> {
    let begun = Instant::now();
    let counts: Vec<Result<u64, String>> = std::thread::scope(|scope| {
        let read = || {
            let mut count = 0;
            let mut connection = place.connect().map_err(|error| error.to_string())?;
            while begun.elapsed() < TURN {
                let (status, _) = connection.ask("GET", READ, "", b"").map_err(|error| error.to_string())?;
                if status != 200 {
                    return Err(format!("status {status}"));
                }
                count += 1;
            }
            Ok(count)
        };
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        readers.into_iter().map(|reader| reader.join().unwrap_or_else(|_| Err("a reader broke down".into()))).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let count: u64 = counts.into_iter().sum::<Result<u64, String>>()?;
    Ok(count as f64 / seconds)
}

/// Bytes a second of one upload, from its first byte to its answer.
fn upload(place: &Place, path: &str, bundle: &[u8]) -> Result<f64> {
    let mut connection = place.connect()?;
    let begun = Instant::now();
    let (status, body) = connection.ask("PUT", path, "content-type: application/octet-stream\r\n", bundle)?;
    let seconds = begun.elapsed().as_secs_f64();
    if status != 201 {
        return Err(format!("an upload was answered {status}: {body}").into());
    }
    // Without it the next one would not be read.
    connection.ask("DELETE", path, "", b"")?;
    Ok(bundle.len() as f64 / seconds)
}

/// A server, and how it is asked.
struct Place {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: String,
}

impl Place {
    fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let client = ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from("localhost")?)?;
        Ok(Connection { stream: StreamOwned::new(client, stream), token: self.token.clone(), received: Vec::new() })
    }
}

/// A connection that is kept.
struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    token: String,
    received: Vec<u8>,
}

impl Connection {
    /// The status of the answer, and its body.
    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<(u16, String)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{headers}content-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        self.stream.flush()?;
        self.received.clear();
        loop {
            let end = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4);
            if let Some((head, rest)) = end.and_then(|end| self.received.split_at_checked(end)) {
                let head = String::from_utf8_lossy(head).to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                if rest.len() >= length.trim().parse::<usize>()? {
                    let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
                    return Ok((status, String::from_utf8_lossy(rest).into_owned()));
                }
            }
            let mut buffer = [0; 16 << 10];
            let count = self.stream.read(&mut buffer)?;
            let read = buffer.get(..count).filter(|read| !read.is_empty()).ok_or("the server closed")?;
            self.received.extend_from_slice(read);
        }
    }

    /// A request of JSON that must succeed.
    fn json(&mut self, line: &str, body: &impl serde::Serialize) -> Result<Value> {
        let (method, path) = line.split_once(' ').ok_or("a line of method and path")?;
        let bytes = serde_json::to_vec(body)?;
        match self.ask(method, path, "content-type: application/json\r\n", &bytes)? {
            (200..=299, body) => Ok(serde_json::from_str(&body)?),
            (status, body) => Err(format!("{line}: {status} {body}").into()),
        }
    }
}

/// A server of axum over rustls that answers with `answer` and reads what it is sent.
async fn bare(folder: &Path, answer: String) -> Result<SocketAddr> {
    let certificates = CertificateDer::pem_file_iter(folder.join("server.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key"))?;
    let config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let drain = |body: Body| async move {
        use http_body_util::BodyExt as _;
        let mut body = body;
        while let Some(Ok(_)) = body.frame().await {}
        axum::http::StatusCode::CREATED
    };
    let gone = || async { axum::http::StatusCode::NO_CONTENT };
    let routes = Router::new()
        .route(READ, get(move || async move { ([("content-type", "application/json")], answer) }))
        .route(&format!("{READ}/bundles/{{digest}}"), put(drain).delete(gone));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, routes) = (acceptor.clone(), routes.clone());
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                if let Ok(stream) = acceptor.accept(stream).await {
                    let service = TowerToHyperService::new(routes);
                    let serving = hyper::server::conn::http1::Builder::new();
                    let _ = serving.serve_connection(TokioIo::new(stream), service).await;
                }
            });
        }
    });
    Ok(address)
}

/// A JobManager in a process of its own; its log goes to a file, as a service's does.
struct JobManager {
    address: SocketAddr,
    process: Child,
}

impl JobManager {
    fn start(folder: &Path) -> Result<Self> {
        std::fs::write(folder.join("jobmanager.toml"), SETTINGS)?;
        let log = folder.join("log");
        let mut command = Command::new(from_environment("LOCKGATE")?);
        command.args(["jobmanager", "--config"]).arg(folder.join("jobmanager.toml"));
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?).spawn()?;
        let mut this = Self { address: ([127, 0, 0, 1], 0).into(), process };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            for line in BufReader::new(std::fs::File::open(&log)?).lines() {
                let line: Value = serde_json::from_str(&line?).unwrap_or_default();
                if let Some(address) = line.get("address").and_then(|at| at.as_str()?.parse().ok()) {
                    this.address = address;
                    return Ok(this);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the JobManager does not listen".into())
    }
}

impl Drop for JobManager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes the tenant with its documents; the token of its administrator.
fn furnish(
    jobmanager: &JobManager,
    folder: &Path,
    tls: &Arc<ClientConfig>,
    documents: &lockgate_core::trust::Documents,
    operator_root: &lockgate_core::dsse::Envelope,
) -> Result<String> {
    let setup = std::fs::read_to_string(folder.join("data/setup-token"))?.trim().to_owned();
    let by = |token: &str| -> Result<Connection> {
        Place { address: jobmanager.address, tls: Arc::clone(tls), token: token.to_owned() }.connect()
    };
    let token = |made: &Value| made.get("token").and_then(Value::as_str).map(str::to_owned).ok_or("no token");
    let mut setup = by(&setup)?;
    setup.json("PUT /api/v1/members/user:op", &json!({ "roles": ["operator"] }))?;
    let mut operator = by(&token(&setup.json("POST /api/v1/tokens", &json!({ "principal": "user:op" }))?)?)?;
    operator.json("POST /api/v1/tenants", &json!({ "name": "benches" }))?;
    operator.json(&format!("PUT {READ}/members/user:ana"), &json!({ "roles": ["tenant-admin"] }))?;
    let ana = token(&operator.json(&format!("POST {READ}/tokens"), &json!({ "principal": "user:ana" }))?)?;
    let mut admin = by(&ana)?;
    operator.json("POST /api/v1/trust/operator-root", operator_root)?;
    for policy in &documents.policies {
        operator.json(&format!("POST {READ}/trust/policy"), policy)?;
    }
    operator.json("POST /api/v1/trust/operator-status", &documents.operator_status)?;
    admin.json(&format!("POST {READ}/trust/root"), &documents.tenant_root)?;
    admin.json(&format!("POST {READ}/trust/status"), &documents.tenant_status)?;
    Ok(ana)
}

/// A signed bundle, the documents by which it may start, and the operator root above them.
fn papers() -> Result<(Vec<u8>, lockgate_core::trust::Documents, lockgate_core::dsse::Envelope)> {
    // The JobManager goes by the machine's clock.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let now = Timestamp::from_seconds(i64::try_from(now)?);
    let manifest = Manifest::parse_toml(MANIFEST, "lockgate.toml").map_err(first)?;
    let port = |name: &str, column: &str| Port {
        name: name.into(),
        fields: vec![Field::new(column, LogicalType::Float64, true)],
    };
    let describe = FunctionDescription {
        name: "score".into(),
        kind: "transform".into(),
        inputs: vec![port("in", "price")],
        outputs: vec![port("out", "score")],
        attributes: Vec::new(),
    };
    let part = Part {
        wasm: b"\0asm\x0d\0\x01\0".iter().copied().cycle().take(COMPONENT).collect(),
        describe: vec![describe],
        imports: BTreeSet::from(["lockgate:udf/log@0.1.0".to_owned()]),
        exports: BTreeSet::from(["lockgate:udf/transform@0.1.0".to_owned()]),
    };
    let draft = Draft {
        kind: Kind::Job,
        audience: audience()?,
        manifest: manifest.clone(),
        parts: BTreeMap::from([(Name::new("ballast")?, part)]),
        data: BTreeMap::new(),
        fallback: Vec::new(),
        not_before: now.plus(-60),
        expires: now.plus(86_400),
        grace_seconds: 0,
    };
    let mut package = draft.package(None)?;
    package.envelope.sign(&keys().signer)?;
    let jobs = BTreeMap::from([(manifest.job.name.clone(), package.release()?)]);
    let allowed = Allowed::as_asked(&manifest);
    let (root, documents) = chain(&keys(), &manifest.job.tenant, &allowed, jobs, now, 1)?;
    Ok((package.to_bytes()?, documents, root))
}
