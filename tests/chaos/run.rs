//! One job over three TaskManagers, what happens to them, and what has come of it.

use super::fault::{Disk, Fault, Undo};
use crate::harness;
use crate::harness::cluster::Cluster;
use crate::harness::relay::Relay;
use crate::harness::service::PATIENCE;
use serde_json::json;
use std::time::{Duration, Instant};

/// How many TaskManagers there are.
pub const MANAGERS: usize = 3;
/// Milliseconds after which a lease of the cluster's, which is 3 s, is over for both sides.
pub const LEASE_IS_OVER: u64 = 5_000;

const FILES: i64 = 8;
/// Rows of each file: some, and so many more for each step, so that the job is not over before them.
const ROWS: (i64, i64) = (2_000, 5_000);
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

/// A cluster with a relay before the JobManager for each TaskManager.
pub struct World {
    pub cluster: Cluster,
    pub relays: Vec<Relay>,
    /// The disk of the first TaskManager's state, if this may make one.
    pub disk: Option<Disk>,
    job: String,
    /// Of all files together.
    rows: i64,
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

/// Runs a job through these steps. If it is `strict`, all of them must happen before the job is over.
pub fn run(job: &str, steps: &[Step], strict: bool) {
    let manifest = manifest(job);
    let cluster = Cluster::start(&manifest, "");
    let rows = ROWS.0 + ROWS.1 * i64::try_from(steps.len()).expect("a few");
    for file in 0..FILES {
        cluster.write_rows(&format!("{file}.json"), (file * rows..(file + 1) * rows).map(|x| 10_000 + x));
    }
    let relays = (0..MANAGERS).map(|_| Relay::start(cluster.plane())).collect();
    let wants_disk = steps.iter().flat_map(|step| &step.faults).any(|fault| matches!(fault, Fault::FullDisk(_)));
    let disk = wants_disk.then(|| Disk::make(&cluster.path(&name(0)))).flatten();
    let mut world = World { cluster, relays, disk, job: job.to_owned(), rows: FILES * rows };
    for at in 0..MANAGERS {
        let plane = world.relays[at].address();
        world.cluster.join_over(&name(at), plane, "slots = 1");
    }
    let begun = Instant::now();
    world.cluster.submit_with(&manifest, &[("guest", harness::part("hostile"))], &json!({ "fuel-per-second": FUEL }));
    for step in steps {
        if !world.step(step) {
            assert!(!strict, "the job was over before {:?}", step.faults);
            println!("{job}: over before {:?}", step.faults);
            break;
        }
    }
    world.cluster.await_state(job, "FINISHED");
    println!("{job}: finished after {:.1} s", begun.elapsed().as_secs_f64());
    world.end();
    world.check();
}

impl World {
    /// Waits until all slots have committed, lets `step` happen, takes it back and waits until all have committed again;
    /// false if the job was over before.
    fn step(&mut self, step: &Step) -> bool {
        if !self.await_commits(self.commits()) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(step.pause_ms));
        if self.is_over() {
            return false;
        }
        let begun = Instant::now();
        let undo: Vec<Undo> = step.faults.iter().map(|fault| self.inflict(*fault)).collect();
        if undo.iter().any(|undo| !matches!(undo, Undo::Nothing)) {
            // It is about time here: the fault must outlast leases.
            std::thread::sleep(Duration::from_millis(step.hold_ms));
        }
        let healed = Instant::now();
        undo.into_iter().for_each(|undo| self.undo(undo));
        let what = if self.await_commits(self.commits()) { "all slots commit" } else { "the end" };
        let (since, after) = (begun.elapsed().as_secs_f64(), healed.elapsed().as_secs_f64());
        println!("{}: {:?}: {what} {since:.1} s after it began, {after:.1} s after it was over", self.job, step.faults);
        true
    }

    /// Waits until every slot has one commit more than `before`; false if the job has finished without.
    fn await_commits(&self, before: [usize; MANAGERS]) -> bool {
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
    fn commits(&self) -> [usize; MANAGERS] {
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

    /// Ends all TaskManagers, so that nothing is published any more.
    fn end(&mut self) {
        for at in 0..MANAGERS {
            let status = self.cluster.taskmanager(&name(at)).stop();
            assert!(status.success(), "{}: {status}\n{}", name(at), self.cluster.logs());
        }
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
