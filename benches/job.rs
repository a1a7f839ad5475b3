//! `job/*`: whole jobs, the way of `lockgate run`, in records a second of one busy core: rows read by the CPU time of
//! the slot's thread, which decodes, calls the guest and encodes.

use crate::figure::{Figure, Report, median, rounded};
use crate::project::{Project, compiler, executors, read};
use crate::{Result, root};
use lockgate_core::plan::{Compression, Format, FormatKind, Nexmark, NexmarkTable, NodeKind};
use lockgate_core::planner::nexmark_fields;
use lockgate_dataflow::{Decoder, Input, Nexmark as Generator, encoder};
use lockgate_executor::Executors;
use lockgate_taskmanager::artefact_cache::ArtefactCache;
use lockgate_taskmanager::job::{self, Events, Kept, Prepared, RunOptions, Share, Stop};
use lockgate_taskmanager::volume::Volumes;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Runs of each job, after one that warms up.
const RUNS: usize = 5;
/// Events of the generator, of which 46 in 50 are bids.
const EVENTS: u64 = 10_000_000;
/// Bids in the file of JSON lines.
const LINES: u64 = 400_000;

/// Measures the rows.
///
/// # Errors
/// When a job fails.
pub fn measure(report: &Report) -> Result<()> {
    for (name, function, keep) in [
        ("job/q1", "q1", r#""auction", "bidder", "date_time", "extra""#),
        ("job/q2", "q2", r#""auction", "price""#),
        ("job/q14", "q14", r#""auction", "bidder", "date_time", "extra""#),
    ] {
        if report.wants(name) {
            // Few batches, so that making them is not seen and they stay in the processor's cache as fresh ones would.
            let manifest = manifest(
                &format!("connector = \"nexmark\"\ntable = \"bid\"\nevents = {EVENTS}\nprepared = 4"),
                function,
                keep,
                "connector = \"discard\"",
            );
            Bench::new(&Project::new(&manifest, None)?, &[])?.measure(name, report)?;
        }
    }
    if report.wants("job/json") {
        let folder = tempfile::tempdir()?;
        write_bids(&folder.path().join("bids.jsonl"))?;
        let manifest = manifest(
            r#"connector = "file"
volume = "data"
path = "bids.jsonl"
schema = ["auction: int64", "bidder: int64", "price: int64", "channel: utf8", "url: utf8", "date_time: timestamp[us]", "extra: utf8"]"#,
            "q1",
            r#""auction", "bidder", "channel", "url", "date_time", "extra""#,
            "connector = \"file\"\nvolume = \"results\"\npath = \"out/\"\nformat = \"json\"",
        );
        Bench::new(&Project::new(&manifest, None)?, &[("data", folder.path())])?.measure("job/json", report)?;
    }
    if report.wants("job/flights") {
        let manifest = String::from_utf8(read(&root().join("examples/flights/lockgate.toml"))?)?;
        let data = root().join("examples/data/flights");
        let project = Project::new(&manifest, Some(&data.join("2013/01.parquet")))?;
        Bench::new(&project, &[("flights", &data)])?.measure("job/flights", report)?;
    }
    Ok(())
}

fn manifest(source: &str, function: &str, keep: &str, sink: &str) -> String {
    format!(
        r#"
[job]
tenant = "benches"
name = "{function}"
version = 1
[component.nexmark]
path = "nexmark.wasm"
[source.bids]
{source}
[operator.{function}]
input = "bids"
function = "nexmark/{function}"
keep = [{keep}]
[sink.out]
input = "{function}"
{sink}
"#
    )
}

/// A job that is ready to run.
struct Bench {
    job: Prepared,
    volumes: BTreeMap<lockgate_core::Name, PathBuf>,
    folder: tempfile::TempDir,
    executors: Executors,
    runtime: Runtime,
}

impl Bench {
    /// Prepares a job; the volume `results` is a folder of its own.
    fn new(project: &Project, volumes: &[(&str, &Path)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let bundle = project.admit()?;
        let cache = ArtefactCache::open(&folder.path().join("cache"), 1 << 30)?;
        let job = job::prepare(&bundle, &BTreeMap::new(), &compiler(), &cache)?;
        let mut directories = BTreeMap::new();
        for (name, path) in volumes {
            directories.insert(name.parse()?, path.to_path_buf());
        }
        let results = folder.path().join("results");
        std::fs::create_dir(&results)?;
        directories.insert("results".parse()?, results);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { job, volumes: directories, folder, executors: executors(1)?, runtime })
    }

    fn measure(&self, name: &'static str, report: &Report) -> Result<()> {
        self.run()?;
        let runs = (0..RUNS).map(|_| self.run()).collect::<Result<Vec<f64>>>()?;
        report.show(&Figure { name, records_per_s: Some(rounded(median(runs))), ..Figure::default() })
    }

    /// Records a second of CPU time.
    fn run(&self) -> Result<f64> {
        let volumes = Volumes::open(&self.volumes)?;
        let state = self.folder.path().join("state");
        let events = Events::new(|_| {});
        let options = RunOptions {
            executors: &self.executors,
            volumes: &volumes,
            record: Kept::Here { state: &state, fresh: true },
            share: Share::whole(1),
            fuel_per_second: None,
            events,
        };
        let done = self.runtime.block_on(job::run(&self.job, options, &Stop::default()))?;
        let (mut rows, mut cpu) = (0, 0);
        for slot in &done.slots {
            cpu += slot.cpu;
            for (node, usage) in self.job.plan.nodes.iter().zip(&slot.nodes) {
                if matches!(node.kind, NodeKind::Source(_)) {
                    rows += usage.rows_in;
                }
            }
        }
        let results = self.folder.path().join("results");
        std::fs::remove_dir_all(&results)?;
        std::fs::create_dir(&results)?;
        Ok(rows as f64 * 1e9 / cpu.max(1) as f64)
    }
}

/// Writes bids as JSON lines.
fn write_bids(path: &Path) -> Result<()> {
    let fields = nexmark_fields(NexmarkTable::Bid);
    let settings = Nexmark { table: NexmarkTable::Bid, events: None, rate: None, seed: 1, splits: 1, prepared: 0 };
    let mut generator = Generator::new(&settings, &fields, "0/1", 8_192, None)?;
    let mut encoder = encoder(&Format { kind: FormatKind::Json, compression: Compression::None }, &fields)?;
    let mut out = BufWriter::new(File::create(path)?);
    let mut rows = 0;
    while rows < LINES {
        let made = generator.next(&mut Nothing)?.ok_or("the generator has ended")?;
        rows += made.tracked.batch.num_rows() as u64;
        encoder.write(&made.tracked.batch, &mut out)?;
    }
    encoder.finish(&mut out)?;
    Ok(out.flush()?)
}

/// The input of a generator.
struct Nothing;

impl Input for Nothing {
    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn read(&mut self, _: u64, _: usize) -> lockgate_core::Result<bytes::Bytes> {
        Ok(bytes::Bytes::new())
    }
}
