//! `cluster/first-record`: from the request for a run to its first output, over a JobManager and a TaskManager in processes of
//! their own.
//!
//! The job is there and its artefact compiled: what is measured is the way from the API through the store, the placement,
//! the long poll, admission with its signatures and marks, an executor and a slot of it, the source, the guest, the
//! commit over the plane, to the file under its last name. Records are read well before that.

use crate::Result;
use crate::figure::{Figure, Report, median, rounded};
use crate::project::{Project, keys};
use crate::service::{JobManager, Place, Service};
use lockgate_core::trust::development::{Allowed, chain};
use lockgate_core::{Digest, Timestamp};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NAME: &str = "cluster/first-record";
/// Runs that count, after one that compiles.
const SAMPLES: usize = 21;
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked: well below what is measured.
const LOOK: Duration = Duration::from_micros(200);
const JOB: &str = "/api/v1/tenants/benches/jobs/q1";

const SETTINGS: &str = "[plane]\nlisten = [\"127.0.0.1:0\"]\n[fair-use]\nprincipal-requests-per-second = 1000000\n\
                        [quota]\nrequests-per-second = 1000000\n";

/// One batch.
const MANIFEST: &str = r#"
[job]
tenant = "benches"
name = "q1"
version = 1
[component.nexmark]
path = "nexmark.wasm"
[source.bids]
connector = "nexmark"
table = "bid"
events = 8192
[operator.q1]
input = "bids"
function = "nexmark/q1"
keep = ["auction", "bidder", "date_time", "extra"]
[sink.out]
input = "q1"
connector = "file"
volume = "results"
path = "out/"
"#;

/// Measures the row.
///
/// # Errors
/// When anything of it fails.
pub fn measure(report: &Report) -> Result<()> {
    if !report.wants(NAME) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let results = folder.path().join("results");
    std::fs::create_dir(&results)?;
    let (_processes, admin) = cluster(folder.path())?;
    let mut times = Vec::new();
    let mut begun = Instant::now();
    let mut connection = admin.connect()?;
    let mut outputs = 0;
    loop {
        let first = await_more(&results.join("out"), outputs)?;
        times.push((first - begun).as_secs_f64() * 1e9);
        await_end(&admin)?;
        if times.len() > SAMPLES {
            break;
        }
        outputs = count(&results.join("out"));
        begun = Instant::now();
        let (status, answer) = connection.ask("POST", &format!("{JOB}/restart"), "if-match: *\r\n", b"")?;
        if !(200..300).contains(&status) {
            return Err(format!("the job is not started again: {status} {answer}").into());
        }
    }
    times.remove(0);
    report.show(&Figure { name: NAME, ns: Some(rounded(median(times))), ..Figure::default() })
}

/// A JobManager with a job, and a TaskManager that has joined.
fn cluster(folder: &Path) -> Result<((JobManager, Service), Place)> {
    let project = Project::new(MANIFEST, None)?;
    let mut package = project.package()?;
    package.envelope.sign(&keys().signer)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let now = Timestamp::from_seconds(i64::try_from(seconds)?);
    let tenant = &project.manifest.job.tenant;
    let jobs = [(project.manifest.job.name.clone(), package.release()?)].into();
    let (root, documents) = chain(&keys(), tenant, &Allowed::as_asked(&project.manifest), jobs, now, 1)?;
    let jobmanager = JobManager::start(folder, SETTINGS)?;
    let admin = jobmanager.furnish(tenant, &documents, &root)?;
    let taskmanager = join(folder, &jobmanager, &root.to_json()?)?;
    let bytes = package.to_bytes()?;
    let mut connection = admin.connect()?;
    let path = format!("/api/v1/tenants/{tenant}/bundles");
    let (status, answer) = connection.ask("POST", &path, "content-type: application/octet-stream\r\n", &bytes)?;
    if status != 201 {
        return Err(format!("the bundle is refused: {status} {answer}").into());
    }
    connection.json(&format!("POST /api/v1/tenants/{tenant}/jobs"), &json!({ "bundle": Digest::of(&bytes) }))?;
    Ok(((jobmanager, taskmanager), admin))
}

fn join(folder: &Path, jobmanager: &JobManager, root: &[u8]) -> Result<Service> {
    let token = jobmanager.place.connect()?.json("POST /api/v1/join-tokens", &json!({ "name": "tm" }))?;
    std::fs::write(folder.join("join"), token.get("token").and_then(Value::as_str).ok_or("no token")?)?;
    std::fs::write(folder.join("root.json"), root)?;
    let api = jobmanager.place.address;
    let plane = jobmanager.service.address("listening for TaskManagers")?;
    let settings = format!(
        "name = \"tm\"\nlog-format = \"json\"\nstate = \"state\"\ncache = \"cache\"\nslots = 1\n\
         [jobmanager]\njoin = \"https://{api}\"\nca = \"data/tls/ca.pem\"\nplane = [\"{plane}\"]\njoin-token-file = \"join\"\n\
         [trust]\ndomain = \"development.local\"\noperator-root = \"root.json\"\n[volumes]\nresults = \"results\"\n"
    );
    let service = Service::start("taskmanager", folder, &settings)?;
    service.await_message("the JobManager answers")?;
    Ok(service)
}

/// How many outputs are visible.
fn count(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| !name.as_encoded_bytes().starts_with(b".")).count()
}

/// When there were more than so many.
fn await_more(folder: &Path, before: usize) -> Result<Instant> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if count(folder) > before {
            return Ok(Instant::now());
        }
        std::thread::sleep(LOOK);
    }
    Err("no output".into())
}

fn await_end(admin: &Place) -> Result<()> {
    let mut connection = admin.connect()?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let (_, job) = connection.ask("GET", JOB, "", b"")?;
        let job: Value = serde_json::from_str(&job)?;
        match job.get("state").and_then(Value::as_str) {
            Some("FINISHED") => return Ok(()),
            Some("FAILED") => return Err(format!("the job failed: {job}").into()),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    Err("the job does not end".into())
}
