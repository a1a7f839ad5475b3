//! `start/cached` and `executor/start`: from the bytes of a bundle to its first batch, in an executor that has never seen it, when the
//! component was compiled before.
//!
//! Everything is what a TaskManager and a slot do: the chain of trust and the bundle are verified, the artefact is read
//! from the cache and its MAC checked, the slot asks for its task, makes the run's engine, maps the artefact, compares
//! `describe` with what was signed, makes an instance and calls it. For the first row the process is there beforehand: it
//! is the tenant's. The second starts it as well.

use crate::Result;
use crate::figure::Report;
use crate::project::{Project, compiler, executors, first, keys, now};
use crate::sample::{Pair, part};
use lockgate_core::bundle::ReadLimits;
use lockgate_core::marks::Marks;
use lockgate_core::planner::Planner;
use lockgate_core::trust::development::{Allowed, chain, domain};
use lockgate_core::verify::{Admission, Request, verify};
use lockgate_executor::protocol::{SplitGrant, VERSION, Verb, payload};
use lockgate_executor::{Assignment, ComponentGrant, SlotHandle, Task};
use lockgate_taskmanager::artefact_cache::{ArtefactCache, ArtefactId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const MANIFEST: &str = r#"
[job]
tenant = "benches"
name = "start"
version = 1
[component.nexmark]
path = "nexmark.wasm"
[source.bids]
connector = "nexmark"
table = "bid"
events = 50
[operator.q1]
input = "bids"
function = "nexmark/q1"
[sink.nowhere]
input = "q1"
connector = "discard"
"#;

/// The input that stands for the split.
const SPLIT: u32 = 2;

/// Measures the row.
///
/// # Errors
/// When anything of it fails.
pub fn measure(report: &Report) -> Result<()> {
    if !report.wants("start/cached") && !report.wants("executor/start") {
        return Ok(());
    }
    let project = Project::new(MANIFEST, None)?;
    let mut package = project.package()?;
    package.sign(&keys().signer)?;
    let job = &project.manifest.job;
    let jobs = BTreeMap::from([(job.name.clone(), package.release()?)]);
    let allowed = Allowed::as_asked(&project.manifest);
    let (pinned, documents) = chain(&keys(), &job.tenant, &allowed, jobs, now(), 1)?;
    let (bytes, domain, marks) = (package.to_bytes()?, domain()?, Marks::provision(now()));
    let request = Request {
        pinned: &pinned,
        documents: &documents,
        domain: &domain,
        tenant: &job.tenant,
        marks: &marks,
        now: now(),
        admission: Admission::Start,
        read: ReadLimits::default(),
    };

    let bundle = verify(&request, bytes.as_slice())?.bundle;
    let component = bundle.components().next().ok_or("no component")?;
    let compiler = compiler();
    let folder = tempfile::tempdir()?;
    let cache = ArtefactCache::open(&folder.path().join("cache"), 1 << 30)?;
    let tenant = job.tenant.clone();
    let id = ArtefactId { tenant, component: component.digest, compatibility: compiler.compatibility()? };
    cache.put(&id, &compiler.compile(&bundle, component.name)?)?;
    let warm = executors(1)?;
    let measured = |cold: bool| {
        let warm = warm.of(&job.tenant)?;
        let begun = Instant::now();
        let executor = if cold { executors(1)?.of(&job.tenant)? } else { warm };
        let accepted = verify(&request, bytes.as_slice())?;
        let artefact = cache.get(&id).ok_or("the artefact is not in the cache")?;
        let manifest = accepted.bundle.manifest();
        let plan = Planner::plan(manifest, accepted.bundle.descriptions(), &BTreeMap::new()).map_err(first)?;
        let component = accepted.bundle.components().next().ok_or("no component")?;
        let grant = ComponentGrant {
            digest: component.digest,
            code: executor.put(component.digest, &artefact)?,
            describe: component.describe.to_vec(),
        };
        let assignment = Assignment {
            run: 1,
            slots: 1,
            tenant: manifest.job.tenant.clone(),
            job: manifest.job.name.clone(),
            clock: 0,
            plan,
            components: BTreeMap::from([(component.name.clone(), grant)]),
        };
        let task = Task::Job(Box::new(assignment)).encode()?;
        let (handle, _) = executor.slot(Duration::from_secs(10))?;
        let mut ended = None;
        serve(handle, &task, || ended = ended.or(Some(begun.elapsed())))?;
        ended.ok_or_else(|| "the slot has never called its function".into())
    };
    for (name, cold) in [("start/cached", false), ("executor/start", true)] {
        if report.wants(name) {
            Pair { ours: part(|| measured(cold)), native: None, records: 1 }.measure(name, report)?;
        }
    }
    Ok(())
}

/// Answers a slot until its end; `called` is told when the first batch is through.
fn serve(mut handle: SlotHandle, task: &[u8], mut called: impl FnMut()) -> Result<()> {
    let mut granted = false;
    while let Some(ask) = handle.receive()? {
        match ask.verb {
            Verb::Hello { .. } => handle.answer(&ask, u64::from(VERSION), &[])?,
            Verb::Read { offset, .. } => {
                let rest = task.get(usize::try_from(offset)?..).unwrap_or_default();
                let part = rest.get(..rest.len().min(ask.length as usize)).unwrap_or_default();
                handle.answer(&ask, part.len() as u64, part)?;
            }
            Verb::Split if !granted => {
                granted = true;
                let grant = SplitGrant { input: SPLIT, source: 0, name: "0/1".into(), size: None, position: None };
                handle.answer(&ask, 1, &payload::write(&grant)?)?;
            }
            Verb::End => {
                let end: lockgate_executor::protocol::End = payload::read(&handle.bytes(&ask)?)?;
                handle.answer(&ask, 0, &[])?;
                handle.finish();
                return end.failed.map_or(Ok(()), |failed| Err(failed.error().into()));
            }
            _ => {
                // The split is read: its only batch has gone through.
                called();
                handle.answer(&ask, 0, &[])?;
            }
        }
    }
    Err("the slot has gone".into())
}
