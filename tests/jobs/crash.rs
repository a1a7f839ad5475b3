//! Killed at random points and started again until it is done, a job neither loses nor repeats a row.
//!
//! The job runs in a child, which is this test binary again; it prints a line for whatever happens, and is killed after
//! so many lines. Each batch is committed, so that most of the time something is between two steps of a commit.

use crate::harness::{self, Home, Run};
use lockgate_core::bundle::Package;
use lockgate_taskmanager::job::Event;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Names the folder of a job to the child.
const FOLDER: &str = "LOCKGATE_TEST_CRASH";
/// How often a job is killed.
const KILLS: u32 = 50;
/// How often the same run is killed before it may end.
const KILLS_OF_A_RUN: u32 = 12;
const FILES: i64 = 3;
const ROWS: i64 = 400;

const MANIFEST: &str = r#"
    [job]
    tenant = "tests"
    name = "crash"
    version = 1
    batch-rows = 20
    parallelism = { min = 1, max = 2 }
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
    on-error = "dead"
    [sink.good]
    input = "f"
    connector = "file"
    volume = "out"
    path = "good/"
    [sink.dead]
    connector = "file"
    volume = "out"
    path = "dead/"
"#;

#[test]
fn a_killed_job_neither_loses_nor_repeats_committed_output() {
    let mut package =
        harness::draft(harness::manifest(MANIFEST), &[("guest", harness::part("hostile"))]).package(None).unwrap();
    // Compiles, so that children find the artefact.
    harness::prepare_bundle(&harness::admit(&mut package).unwrap()).unwrap();
    let bundle =
        harness::draft(harness::manifest(MANIFEST), &[("guest", harness::part("hostile"))]).package(None).unwrap();
    let mut random = Lcg(0x5eed);
    let (mut kills, mut runs) = (0, 0);
    while kills < KILLS {
        let home = Home::new();
        for file in 0..FILES {
            home.write_rows(&format!("{file}.json"), (file * ROWS..(file + 1) * ROWS).map(value));
        }
        std::fs::write(home.root().join("bundle.tar"), bundle.to_bytes().unwrap()).unwrap();
        runs += 1;
        let mut killed = 0;
        loop {
            let lines = if killed < KILLS_OF_A_RUN && kills < KILLS { random.below(18) } else { usize::MAX };
            match start(home.root(), lines) {
                Ended::Finished => break,
                Ended::Killed => (kills, killed) = (kills + 1, killed + 1),
            }
        }
        check(&home, runs);
    }
}

/// What stands in row `at`: now and then a seven.
fn value(at: i64) -> i64 {
    if at % 97 == 50 { 7 } else { 10_000 + at }
}

fn check(home: &Home, run: u32) {
    let (sevens, others): (Vec<i64>, Vec<i64>) = (0..FILES * ROWS).partition(|at| value(*at) == 7);
    let mut good: Vec<i64> = home.rows("good").iter().map(|row| row["y"].as_i64().unwrap() - 10_000).collect();
    good.sort_unstable();
    assert_eq!(good, others, "run {run}");
    let letters = home.rows("dead");
    let place = |letter: &serde_json::Map<String, serde_json::Value>| {
        let file: i64 = letter["split"].as_str()?.strip_prefix("rows/")?.strip_suffix(".json")?.parse().ok()?;
        Some(file * ROWS + letter["row"].as_i64()?)
    };
    let mut dead: Vec<i64> = letters.iter().map(|letter| place(letter).unwrap()).collect();
    dead.sort_unstable();
    assert_eq!(dead, sevens, "run {run}");
}

enum Ended {
    Finished,
    Killed,
}

/// Starts the child and kills it with SIGKILL behind its `lines`-th line, unless it has finished before.
fn start(root: &Path, lines: usize) -> Ended {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "jobs::crash::child", "--nocapture"]).env(FOLDER, root);
    let mut child = Killed(command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap());
    let output = BufReader::new(child.0.stdout.take().unwrap());
    let mut events = output.lines().map(Result::unwrap).filter(|line| line.starts_with("event: "));
    if events.by_ref().take(lines).count() == lines {
        child.0.kill().unwrap();
        // It may have been quicker.
        return if child.0.wait().unwrap().success() { Ended::Finished } else { Ended::Killed };
    }
    assert!(child.0.wait().unwrap().success(), "the child failed by itself");
    Ended::Finished
}

/// Ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Knuth's linear congruential generator: the same numbers in every run of the test.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// The child; nothing without the variable.
#[test]
fn child() {
    let Some(root) = std::env::var_os(FOLDER) else { return };
    let root = Path::new(&root);
    let mut package = Package::parse(&std::fs::read(root.join("bundle.tar")).unwrap()).unwrap();
    let mut job = harness::prepare_bundle(&harness::admit(&mut package).unwrap()).unwrap();
    Arc::make_mut(&mut job.plan).checkpoint_interval = 0;
    println!("event: Prepared");
    let show = |event: &Event, _: &_| println!("event: {}", format!("{event:?}").replace('\n', " "));
    let ran = Home::at(root).run_as(&job, Run { slots: 2, watch: Some(Box::new(show)), ..Run::default() });
    assert!(ran.report().finished);
}
