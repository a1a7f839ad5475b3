//! `jobmanager/reads`, `jobmanager/uploads` and `jobmanager/kept`: a JobManager in a process of its own over HTTPS, beside a
//! bare server of the same libraries (axum, hyper, rustls) that does nothing with what it is asked; for `kept` it writes what
//! is uploaded to a file, and syncs it before it answers.
//!
//! Both have the same certificate and the same clients, which keep their connections and ask in turns of half a second: first
//! the one, then the other. What counts is how many requests or bytes a second come through, by the wall clock. The clients
//! run on the same machine, and what they cost counts for both.

use crate::Result;
use crate::figure::{Figure, Report, median, rounded};
use crate::project::{first, keys};
use crate::service::{JobManager, Place};
use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{get, put};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use lockgate_core::bundle::{Draft, Part};
use lockgate_core::manifest::Manifest;
use lockgate_core::statement::Kind;
use lockgate_core::trust::development::{Allowed, audience, chain};
use lockgate_core::types::{Field, FunctionDescription, LogicalType, Port};
use lockgate_core::{Digest, Name, Timestamp};
use lockgate_jobmanager::tls;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncWriteExt as _;
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
/// Where the bare server drops what it is sent.
const DROPS: &str = "/drops";
/// Where it keeps it.
const KEEPS: &str = "/keeps";

const SETTINGS: &str = r#"
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
    if !["jobmanager/reads", "jobmanager/uploads", "jobmanager/kept"].iter().any(|row| report.wants(row)) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (bundle, documents, operator_root) = papers()?;
    let jobmanager = JobManager::start(folder.path(), SETTINGS)?;
    let to_it = jobmanager.furnish(&"benches".parse()?, &documents, &operator_root)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let example = to_it.connect()?.ask("GET", READ, "", b"")?.1;
    let bare = runtime.block_on(bare(folder.path(), example))?;
    let to_bare = Place { address: bare, ..to_it.clone() };
    if report.wants("jobmanager/reads") {
        let (its, bares) = turns(reads, &to_it, &to_bare)?;
        show(report, "jobmanager/reads", its, bares, |figure, value| figure.requests_per_s = Some(value))?;
    }
    for (row, bare) in [("jobmanager/uploads", DROPS), ("jobmanager/kept", KEEPS)] {
        if report.wants(row) {
            let (path, bare) = (format!("{READ}/bundles/{}", Digest::of(&bundle)), format!("{bare}/bundle"));
            let of = |place: &Place| {
                let path = if place.address == to_it.address { &path } else { &bare };
                upload(place, path, &bundle)
            };
            let (its, bares) = turns(of, &to_it, &to_bare)?;
            show(report, row, its, bares, |figure, value| figure.bytes_per_s = Some(value))?;
        }
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

/// A server of axum over rustls that answers with `answer` and reads what it is sent, or keeps it in `folder`, in which the
/// JobManager is.
async fn bare(folder: &Path, answer: String) -> Result<SocketAddr> {
    let certificates =
        CertificateDer::pem_file_iter(folder.join("data/tls/server.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("data/tls/server.key"))?;
    let config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let drain = |body: Body| async move {
        let mut body = body;
        while let Some(Ok(_)) = body.frame().await {}
        StatusCode::CREATED
    };
    let kept = folder.join("kept");
    let keep = move |body: Body| async move {
        match keep(body, &kept).await {
            Ok(()) => StatusCode::CREATED,
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    };
    let gone = || async { StatusCode::NO_CONTENT };
    let routes = Router::new()
        .route(READ, get(move || async move { ([("content-type", "application/json")], answer) }))
        .route(&format!("{DROPS}/bundle"), put(drain).delete(gone))
        .route(&format!("{KEEPS}/bundle"), put(keep).delete(gone));
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

/// Writes a body to a file and syncs it.
async fn keep(mut body: Body, path: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut file = tokio::fs::File::create(path).await?;
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame?.into_data() {
            file.write_all(&bytes).await?;
        }
    }
    Ok(file.sync_all().await?)
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
