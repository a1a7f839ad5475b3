//! One job over three TaskManagers, what happens to them, and what has come of it.

use super::fault::{Fault, Place, Undo};
use crate::harness;
use crate::harness::cluster::{Around, Cluster};
use crate::harness::disk::Disk;
use crate::harness::network::{Network, may_make};
use crate::harness::service::PATIENCE;
use lockgate_core::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many TaskManagers there are.
pub const MANAGERS: usize = 3;
/// Hosts for those that may join later.
const SPARE: usize = 1;
/// Milliseconds after which a lease of the cluster's, which is 3 s, is over for both sides.
pub const LEASE_IS_OVER: u64 = 5_000;

const FILES: i64 = 8;
/// Rows of each file for each step, so that the job is not over before them.
const ROWS: i64 = 9_000;
/// So much fuel a second for each slot that a job runs for longer than what happens to it, on any machine.
const FUEL: u64 = 2_000_000;

/// What happens at once.
#[derive(Clone, Debug)]
pub struct Step {
    /// Milliseconds to wait after a commit.
    pub pause_ms: u64,
    /// Milliseconds until what can be undone is.
    pub hold_ms: u64,
    /// What happens.
    pub faults: Vec<Fault>,
}

/// A cluster, and a job that it runs.
pub struct World {
    /// Small ones. Before the cluster, so that they are gone before the folders that they are in.
    pub disks: BTreeMap<Place, Disk>,
    pub cluster: Cluster,
    /// Those that run, by name.
    pub managers: Vec<String>,
    pub job: String,
    /// Of all files together.
    rows: i64,
    /// The latest time that each TaskManager has kept.
    seen: [Timestamp; MANAGERS],
}

/// The name of TaskManager `at`.
pub fn name(at: usize) -> String {
    format!("tm-{at}")
}

fn manifest(job: &str) -> String {
    format!(
        r#"
        [job]
        tenant = "tests"
        name = "{job}"
        version = 1
        batch-rows = 10
        checkpoint-interval = "200 ms"
        parallelism = {{ min = 1, max = 3 }}
        [component.guest]
        path = "guest.wasm"
        [source.rows]
        connector = "file"
        volume = "in"
        path = "*.json"
        schema = ["x: int64"]
        [operator.f]
        input = "rows"
        function = "guest/fail-on-seven"
        [sink.good]
        input = "f"
        connector = "file"
        volume = "out"
        path = "{job}/"
        "#
    )
}

/// Runs a job through these steps. If it is `strict`, all of them must happen before the job is over. Without the rights to
/// let something happen that is left out.
pub fn run(job: &str, steps: &[Step], strict: bool) {
    let mut world = World::begin(job, steps);
    for step in steps {
        if !world.step(step) {
            assert!(!strict, "the job was over before {:?}", step.faults);
            println!("{job}: over before {:?}", step.faults);
            break;
        }
    }
    world.finish();
}

impl World {
    /// A job that lasts for these steps, on a cluster in which they can happen.
    pub fn begin(job: &str, steps: &[Step]) -> Self {
        let manifest = manifest(job);
        let faults: Vec<Fault> = steps.iter().flat_map(|step| &step.faults).copied().collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut disks = BTreeMap::new();
        for (place, name, size) in
            [(Place::State, &*name(0), 32), (Place::Data, "data", 192), (Place::Output, "out", 32)]
        {
            if faults.contains(&Fault::Full(place)) {
                disks.extend(Disk::make(&folder.path().join(name), size).map(|disk| (place, disk)));
            }
        }
        let around = Around {
            folder: Some(folder),
            network: may_make().then(|| Network::make(1 + MANAGERS + SPARE)),
            clocks: faults.iter().any(Fault::wants_clocks),
        };
        let cluster = Cluster::start_in(&manifest, "", around);
        let rows = ROWS * i64::try_from(steps.len()).expect("a few");
        for file in 0..FILES {
            cluster.write_rows(&format!("{file}.json"), (file * rows..(file + 1) * rows).map(|x| 10_000 + x));
        }
        let seen = [Timestamp::from_seconds(0); MANAGERS];
        let managers: Vec<String> = (0..MANAGERS).map(name).collect();
        let mut world = Self { disks, cluster, managers, job: job.to_owned(), rows: FILES * rows, seen };
        for name in &world.managers {
            world.cluster.join(name, "slots = 1");
        }
        let fields = json!({ "fuel-per-second": FUEL });
        world.cluster.submit_with(&manifest, &[("guest", harness::part("hostile"))], &fields);
        world
    }

    /// Waits for the job's end, ends all TaskManagers that still run, and looks at what has come of it.
    pub fn finish(mut self) {
        let begun = Instant::now();
        self.cluster.await_state(&self.job, "FINISHED");
        println!("{}: finished {:.1} s after what happened last", self.job, begun.elapsed().as_secs_f64());
        self.end();
        self.look_at_clocks();
        self.check();
    }

    /// Waits until all slots have committed, lets `step` happen, takes it back and waits until all have committed again;
    /// false if the job was over before.
    pub fn step(&mut self, step: &Step) -> bool {
        if !self.await_commits(self.commits()) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(step.pause_ms));
        if self.is_over() {
            return false;
        }
        let begun = Instant::now();
        let may = |fault: &&Fault| !fault.wants_root() || may_make();
        let undo: Vec<Undo> = step.faults.iter().filter(may).map(|fault| self.inflict(*fault)).collect();
        if undo.len() < step.faults.len() {
            println!("{}: not tried without root: some of {:?}", self.job, step.faults);
        }
        if undo.iter().any(|undo| !matches!(undo, Undo::Nothing)) {
            // It is about time here: the fault must outlast leases.
            std::thread::sleep(Duration::from_millis(step.hold_ms));
        }
        let healed = Instant::now();
        undo.into_iter().for_each(|undo| self.undo(undo));
        let what = if self.await_commits(self.commits()) { "all slots commit" } else { "the end" };
        let (since, after) = (begun.elapsed().as_secs_f64(), healed.elapsed().as_secs_f64());
        println!("{}: {:?}: {what} {since:.1} s after it began, {after:.1} s after it was over", self.job, step.faults);
        self.look_at_clocks();
        true
    }

    /// Waits until a TaskManager has kept a time that is so many seconds ahead, if they are.
    pub fn await_seen(&mut self, at: usize, seconds: i64) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        // What is kept is at most a minute behind.
        let ahead = Timestamp::from_seconds(i64::try_from(since.as_secs()).expect("a time")).plus(seconds - 60);
        let begun = Instant::now();
        while seconds > 60 && self.kept(at) < ahead {
            assert!(begun.elapsed() < PATIENCE, "{} does not see {ahead}:\n{}", name(at), self.cluster.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.look_at_clocks();
    }

    /// No TaskManager's clock is behind what it has been, whatever the machine's says.
    fn look_at_clocks(&mut self) {
        for at in 0..MANAGERS {
            let kept = self.kept(at);
            assert!(kept >= self.seen[at], "{}: {kept} after {}", name(at), self.seen[at]);
            self.seen[at] = kept;
        }
    }

    /// The latest time that a TaskManager has seen, as it keeps it.
    fn kept(&self, at: usize) -> Timestamp {
        let text = std::fs::read_to_string(self.cluster.path(&name(at)).join("time")).expect("a time");
        let json = text.find('{').map_or("", |at| &text[at..]);
        let value: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {text}"));
        serde_json::from_value(value["seen"].clone()).expect("a time")
    }

    /// Waits until every slot has one commit more than `before`; false if the job has finished without.
    pub fn await_commits(&self, before: [usize; MANAGERS]) -> bool {
        let begun = Instant::now();
        loop {
            let over = self.is_over();
            if self.commits().iter().zip(before).all(|(now, before)| *now > before) {
                return true;
            }
            if over {
                return false;
            }
            assert!(begun.elapsed() < PATIENCE, "{}: no commit:\n{}", self.job, self.cluster.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_over(&self) -> bool {
        self.cluster.job(&self.job)["state"] == "FINISHED"
    }

    /// How many outputs of each slot are visible.
    pub fn commits(&self) -> [usize; MANAGERS] {
        let mut commits = [0; MANAGERS];
        for file in std::fs::read_dir(self.cluster.path("out").join(&self.job)).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            // NODE-RUN-SLOT-EPOCH.ENDING
            let slot = name.rsplit('-').nth(1).and_then(|slot| slot.parse::<usize>().ok());
            if let Some(commits) = slot.filter(|_| !name.starts_with('.')).and_then(|slot| commits.get_mut(slot)) {
                *commits += 1;
            }
        }
        commits
    }

    /// Ends a TaskManager as an operator does, once it runs: it may have been started only just now.
    pub fn stop(&mut self, name: &str) {
        let taskmanager = self.cluster.taskmanager(name);
        taskmanager.await_message("the JobManager answers");
        let status = taskmanager.stop();
        assert!(status.success(), "{name}: {status}\n{}", self.cluster.logs());
    }

    /// Ends all TaskManagers, so that nothing is published any more.
    fn end(&mut self) {
        self.managers.clone().iter().for_each(|name| self.stop(name));
    }

    /// Every row is there once.
    fn check(&self) {
        let rows = self.cluster.rows(&self.job);
        let mut found: Vec<i64> = rows.iter().map(|row| row["y"].as_i64().expect("a number") - 10_000).collect();
        found.sort_unstable();
        let missing = (0..self.rows).filter(|x| found.binary_search(x).is_err()).count();
        let more = found.len() + missing - usize::try_from(self.rows).expect("a small number");
        assert_eq!((missing, more), (0, 0), "{}: missing, too many:\n{}", self.job, self.cluster.logs());
    }
}
