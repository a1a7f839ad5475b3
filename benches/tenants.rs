//! `jobs/1000`: what many small jobs of many tenants cost, and `neighbour/*`: what a tenant feels of another one.
//!
//! A victim's batches are timed one by one: each is committed by itself, and what counts is the time from one commit to
//! the next. The victim and its neighbour have a slot each and share two cores. Beside a well-behaved neighbour, which is
//! the same job of another tenant, the victim has its fair share; what a hostile one costs is measured against that.

use crate::Result;
use crate::figure::{Figure, Report, rounded};
use crate::project::{Project, compiler, executors};
use lockgate_core::Name;
use lockgate_executor::Executors;
use lockgate_taskmanager::artefact_cache::ArtefactCache;
use lockgate_taskmanager::job::{self, Event, Events, Kept, Prepared, RunOptions, Share, Stop};
use lockgate_taskmanager::volume::Volumes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Tenants, and small jobs of all of them together.
const TENANTS: usize = 20;
const JOBS: usize = 1_000;
/// Events of a small job: 46 of 50 are bids.
const SMALL: u64 = 500_000;
/// How long a victim is watched.
const WATCHED: Duration = Duration::from_secs(5);

/// Events of a job that is watched: more than it gets to.
const FOR_EVER: u64 = 1 << 40;

/// What hostile neighbours do: a name, and a function of the hostile guest.
const HOSTILE: &[(&str, &str)] = &[
    ("spin", "loop"),
    ("memory", "grow"),
    ("log-flood", "log-flood"),
    ("crash-loop", "panic"),
    ("giant-outputs", "amplify-bytes"),
];

/// Measures the rows.
///
/// # Errors
/// When a job fails that should not.
pub fn measure(report: &Report) -> Result<()> {
    if report.wants("jobs/1000") {
        many(report)?;
    }
    if report.wants("neighbour/") {
        neighbours(report)?;
    }
    Ok(())
}

/// One job against many small ones, two at a time, in nanoseconds a record.
fn many(report: &Report) -> Result<()> {
    let world = World::new()?;
    let bids = |events: u64| events / 50 * 46;
    let small: Vec<Prepared> =
        (0..TENANTS).map(|tenant| world.nexmark(&format!("tenant-{tenant}"), SMALL, "")).collect::<Result<_>>()?;
    let all = SMALL * JOBS as u64;
    let large = world.nexmark("tenant-large", all, "parallelism = 2\n")?;
    let executors = executors(2)?;
    let timed = |run: &dyn Fn() -> Result<()>| -> Result<f64> {
        let begun = Instant::now();
        run()?;
        Ok(begun.elapsed().as_nanos() as f64 / bids(all) as f64)
    };
    let one = || world.run(&executors, &large, "large", 2, Events::new(|_| {}), &Stop::default());
    let thousand = || {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let failed = Mutex::new(None);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = small.get(at % TENANTS).filter(|_| at < JOBS) else { return };
                        let state = format!("small-{at}");
                        if let Err(error) = world.run(&executors, job, &state, 1, Events::new(|_| {}), &Stop::default())
                        {
                            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
                        }
                    }
                });
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    };
    one()?;
    let (single, many) = (timed(&one)?, timed(&thousand)?);
    let ratio = Some(rounded(many / single));
    report.show(&Figure {
        name: "jobs/1000",
        ratio,
        ns: Some(rounded(many)),
        native_ns: Some(rounded(single)),
        ..Figure::default()
    })
}

/// The victim alone, beside a well-behaved neighbour and beside each hostile one.
fn neighbours(report: &Report) -> Result<()> {
    let world = World::new()?;
    let victim = each_batch(world.nexmark("victim", FOR_EVER, "")?);
    let executors = executors(2)?;
    let alone = world.watch(&executors, &victim, None)?;
    let well_behaved = each_batch(world.nexmark("neighbour", FOR_EVER, "")?);
    let fair = world.watch(&executors, &victim, Some(&Neighbour::Job(well_behaved)))?;
    alone.show("neighbour/none", &fair, report)?;
    fair.show("neighbour/fair", &fair, report)?;
    for (name, function) in HOSTILE {
        let job = world.hostile(function)?;
        let row: &'static str = Box::leak(format!("neighbour/{name}").into_boxed_str());
        world.watch(&executors, &victim, Some(&Neighbour::Job(job)))?.show(row, &fair, report)?;
    }
    let bomb = crate::bomb::component();
    world.watch(&executors, &victim, Some(&Neighbour::Bomb(bomb)))?.show("neighbour/compile-bombs", &fair, report)
}

/// Commits every batch by itself, which no manifest may ask for.
fn each_batch(mut job: Prepared) -> Prepared {
    Arc::make_mut(&mut job.plan).checkpoint_interval = 0;
    job
}

enum Neighbour {
    /// Runs again and again, however it ends.
    Job(Prepared),
    /// Is compiled again and again.
    Bomb(Vec<u8>),
}

/// What a victim felt.
struct Felt {
    /// Seconds between commits, ascending.
    batches: Vec<f64>,
    rows: f64,
    seconds: f64,
}

impl Felt {
    fn quantile(&self, share: f64) -> f64 {
        let at = (self.batches.len() as f64 * share) as usize;
        self.batches.get(at.min(self.batches.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    fn rate(&self) -> f64 {
        self.rows / self.seconds
    }

    /// The ratio is that of p99 to the same beside a well-behaved neighbour.
    fn show(&self, name: &'static str, fair: &Self, report: &Report) -> Result<()> {
        let us = |share| rounded(self.quantile(share) * 1e6);
        if !report.json {
            println!("{name:<24}  p50 {} us, p99 {} us, p99.9 {} us", us(0.5), us(0.99), us(0.999));
        }
        report.show(&Figure {
            name,
            ratio: Some(rounded(self.quantile(0.99) / fair.quantile(0.99))),
            ns: Some(rounded(self.quantile(0.99) * 1e9)),
            records_per_s: Some(rounded(self.rate())),
            ..Figure::default()
        })
    }
}

/// Where jobs run.
struct World {
    folder: tempfile::TempDir,
    cache: ArtefactCache,
    volumes: Volumes,
}

impl World {
    fn new() -> Result<Self> {
        // In memory: what is measured is not the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let rows = folder.path().join("rows");
        std::fs::create_dir(&rows)?;
        let lines: String = (0..1_000).map(|x| format!("{{\"x\":{x}}}\n")).collect();
        std::fs::write(rows.join("rows.json"), lines)?;
        let cache = ArtefactCache::open(&folder.path().join("cache"), 1 << 30)?;
        let volumes: BTreeMap<Name, _> = [("in".parse()?, rows)].into();
        Ok(Self { volumes: Volumes::open(&volumes)?, folder, cache })
    }

    fn prepare(&self, manifest: &str) -> Result<Prepared> {
        let bundle = Project::new(manifest, None)?.admit()?;
        Ok(job::prepare(&bundle, &BTreeMap::new(), &compiler(), &self.cache)?)
    }

    fn nexmark(&self, tenant: &str, events: u64, job: &str) -> Result<Prepared> {
        self.prepare(&format!(
            r#"
[job]
tenant = "{tenant}"
name = "q14"
version = 1
{job}
[component.nexmark]
path = "nexmark.wasm"
[source.bids]
connector = "nexmark"
table = "bid"
events = {events}
splits = {splits}
prepared = 4
[operator.q14]
input = "bids"
function = "nexmark/q14"
keep = ["auction", "bidder", "date_time", "extra"]
[sink.out]
input = "q14"
connector = "discard"
"#,
            splits = if job.contains("parallelism") { 2 } else { 1 },
        ))
    }

    /// A job of the hostile guest whose failures go to nobody.
    fn hostile(&self, function: &str) -> Result<Prepared> {
        self.prepare(&format!(
            r#"
[job]
tenant = "mallory"
name = "attack"
version = 1
[component.hostile]
path = "hostile.wasm"
[source.rows]
connector = "file"
volume = "in"
path = "*.json"
schema = ["x: int64"]
[operator.f]
input = "rows"
function = "hostile/{function}"
[sink.out]
input = "f"
connector = "discard"
[limits]
fuel-per-batch = "10G"
"#
        ))
    }

    fn run(
        &self,
        executors: &Executors,
        job: &Prepared,
        state: &str,
        parallelism: u32,
        events: Events,
        stop: &Stop,
    ) -> Result<()> {
        let state = self.folder.path().join(state);
        let options = RunOptions {
            executors,
            volumes: &self.volumes,
            record: Kept::Here { state: &state, fresh: true },
            share: Share::whole(parallelism),
            fuel_per_second: None,
            events,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(job::run(job, options, stop))?;
        Ok(())
    }

    /// Watches a victim for a while, with a neighbour beside it.
    fn watch(&self, executors: &Executors, victim: &Prepared, neighbour: Option<&Neighbour>) -> Result<Felt> {
        let felt = Arc::new(Mutex::new((Vec::new(), Instant::now(), 0_u64)));
        let kept = Arc::clone(&felt);
        let events = Events::new(move |event| {
            if let Event::Committed { usage, .. } = event {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                let between = now.saturating_duration_since(kept.1).as_secs_f64();
                kept.0.push(between);
                kept.1 = now;
                kept.2 = usage.nodes.first().map_or(0, |node| node.rows_in);
            }
        });
        let (over, stop, others) = (AtomicBool::new(false), Stop::default(), Mutex::new(Stop::default()));
        let ended = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match neighbour {
                        None => return,
                        Some(Neighbour::Bomb(bomb)) => drop(compiler().inspect(bomb)),
                        Some(Neighbour::Job(job)) => {
                            let stop = Stop::default();
                            *others.lock().unwrap_or_else(PoisonError::into_inner) = stop.clone();
                            // It fails: that is what it is for.
                            drop(self.run(executors, job, "neighbour", 1, Events::new(|_| {}), &stop));
                        }
                    }
                }
            });
            let watched =
                scope.spawn(|| self.run(executors, victim, "victim", 1, events, &stop).map_err(|e| e.to_string()));
            thread::sleep(WATCHED);
            over.store(true, Ordering::Relaxed);
            stop.drain();
            let ended = watched.join();
            others.lock().unwrap_or_else(PoisonError::into_inner).cancel();
            ended
        });
        ended.map_err(|_| "the victim broke down")??;
        let mut felt = felt.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut batches, rows) = (std::mem::take(&mut felt.0), felt.2 as f64);
        let seconds = batches.iter().sum();
        // The first is what starting took.
        batches.drain(..batches.len().min(1));
        batches.sort_by(f64::total_cmp);
        Ok(Felt { batches, rows, seconds })
    }
}
