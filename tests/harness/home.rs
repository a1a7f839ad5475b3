//! A temporary place for a job: its volumes, its state, and running it there.

use super::read::{self, Rows};
use lockgate_core::{Code, Name};
use lockgate_executor::protocol::{FunctionUsage, LogLine};
use lockgate_executor::{Executors, testing};
use lockgate_taskmanager::job::{self, Event, Events, Kept, Prepared, Report, RunOptions, Share, Stop};
use lockgate_taskmanager::volume::Volumes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The folder of the examples.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").join("examples")
}

/// Where a job finds the volumes `in`, `out` (also called `results`), `data` and `flights`, and keeps its state.
pub struct Home {
    root: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

/// A temporary folder, in memory where the system has one: what tests write is synced to it again and again.
fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// How a job is run.
pub struct Run {
    pub slots: u32,
    pub fresh: bool,
    /// The executors; some of its own if none.
    pub executors: Option<Arc<Executors>>,
    /// Sees every event, with the means to stop the run.
    pub watch: Option<Watch>,
}

/// Sees events.
pub type Watch = Box<dyn Fn(&Event, &Stop) + Send + Sync>;

impl Default for Run {
    fn default() -> Self {
        Self { slots: 1, fresh: false, executors: None, watch: None }
    }
}

/// What a run came to.
pub struct Ran {
    pub result: lockgate_core::Result<Report>,
    pub logs: Vec<LogLine>,
}

impl Home {
    /// An empty one, removed when it is dropped.
    pub fn new() -> Self {
        let temporary = temporary();
        let home = Self { root: temporary.path().to_owned(), _temporary: Some(temporary) };
        for folder in ["in", "out", "state"] {
            std::fs::create_dir(home.root.join(folder)).expect("a folder");
        }
        home
    }

    /// The one at `root`, made by another process.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), _temporary: None }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// One with the JSON file `rows.json` of these values of `x` in the volume `in`.
    pub fn with_rows(x: impl IntoIterator<Item = i64>) -> Self {
        let home = Self::new();
        home.write_rows("rows.json", x);
        home
    }

    /// Writes a JSON file of these values of `x` into the volume `in`.
    pub fn write_rows(&self, name: &str, x: impl IntoIterator<Item = i64>) {
        let lines: String = x.into_iter().map(|x| format!("{{\"x\":{x}}}\n")).collect();
        self.write(name, lines.as_bytes());
    }

    /// Writes a file into the volume `in`.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.root.join("in").join(name), bytes).expect("a file");
    }

    /// What sink `folder` has committed, by slot.
    pub fn read(&self, folder: &str) -> BTreeMap<u32, Rows> {
        read::folder(&self.root.join("out").join(folder))
    }

    /// The same, one slot's after the other's.
    pub fn rows(&self, folder: &str) -> Rows {
        self.read(folder).into_values().flatten().collect()
    }

    /// Runs a job here, in one slot.
    pub fn run(&self, job: &Prepared) -> Ran {
        self.run_as(job, Run::default())
    }

    /// Runs a job here, with a runtime of its own, so that all of the run's threads end with it.
    pub fn run_as(&self, job: &Prepared, run: Run) -> Ran {
        let folders =
            [("in", "in"), ("out", "out"), ("results", "out")].map(|(name, path)| (name, self.root.join(path)));
        let shared = [("data", "data"), ("flights", "data/flights")].map(|(name, path)| (name, examples().join(path)));
        let directories = folders.into_iter().chain(shared);
        let directories = directories.map(|(name, path)| (Name::new(name).expect("a name"), path)).collect();
        let volumes = Volumes::open(&directories).expect("the volumes");
        let logs: Arc<Mutex<Vec<LogLine>>> = Arc::default();
        let (kept, stop) = (Arc::clone(&logs), Stop::default());
        let watched = stop.clone();
        let events = Events::new(move |event| {
            if let Some(watch) = &run.watch {
                watch(&event, &watched);
            }
            if let Event::Log { lines, .. } = event {
                kept.lock().unwrap().extend(lines);
            }
        });
        let state = self.root.join("state");
        let executors = run.executors.unwrap_or_else(|| Arc::new(testing::executors(run.slots)));
        let options = RunOptions {
            executors: &executors,
            volumes: &volumes,
            record: Kept::Here { state: &state, fresh: run.fresh },
            share: Share::whole(run.slots),
            fuel_per_second: None,
            events,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let result = runtime.block_on(job::run(job, options, &stop));
        let logs = std::mem::take(&mut *logs.lock().unwrap());
        Ran { result, logs }
    }
}

impl Ran {
    /// The report of a run that succeeded.
    pub fn report(&self) -> &Report {
        self.result.as_ref().unwrap_or_else(|error| panic!("the job failed: {error}"))
    }

    /// The code of a run that failed.
    pub fn code(&self) -> Code {
        self.result.as_ref().map_or_else(lockgate_core::Error::code, |_| panic!("the job succeeded"))
    }

    /// What the functions of all slots used together, by the plan's indexes of their nodes.
    pub fn usage(&self) -> BTreeMap<u32, FunctionUsage> {
        let mut sum: BTreeMap<u32, FunctionUsage> = BTreeMap::new();
        for (node, usage) in self.report().slots.iter().flat_map(|slot| &slot.functions) {
            let all = sum.entry(*node).or_default();
            all.calls += usage.calls;
            all.traps += usage.traps;
            all.instances += usage.instances;
            all.fuel += usage.fuel;
            all.start_fuel += usage.start_fuel;
            all.log_dropped += usage.log_dropped;
            all.memory = all.memory.max(usage.memory);
        }
        sum
    }
}
