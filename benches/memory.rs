//! `run/memory`: the most memory that `lockgate run` and the processes that it starts hold at once while it runs the
//! flights, compiling the component included; and `executor/memory`, what an idle executor has for itself.

use crate::figure::{Figure, Report, median};
use crate::project::executors;
use crate::{Result, from_environment, root};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Runs, each with an empty cache.
const RUNS: usize = 3;

/// Measures the row.
///
/// # Errors
/// When the run fails.
pub fn measure(report: &Report) -> Result<()> {
    if report.wants("executor/memory") {
        let executors = executors(2)?;
        let private = private(executors.of(&"benches".parse()?)?.pid())?;
        report.show(&Figure { name: "executor/memory", bytes: Some(private), ..Figure::default() })?;
    }
    if !report.wants("run/memory") {
        return Ok(());
    }
    let peaks = (0..RUNS).map(|_| peak()).collect::<Result<Vec<f64>>>()?;
    report.show(&Figure { name: "run/memory", bytes: Some(median(peaks) as u64), ..Figure::default() })
}

fn peak() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let components = from_environment("LOCKGATE_COMPONENTS")?;
    let target = components.ancestors().nth(2).ok_or("LOCKGATE_COMPONENTS is no folder of a target")?;
    let (results, log) = (folder.path().join("results"), folder.path().join("log"));
    std::fs::create_dir(&results)?;
    let mut child = Command::new(from_environment("LOCKGATE")?)
        .args(["run", "--no-compile", "--quiet", "--volume"])
        .arg(format!("flights={}", root().join("examples/data/flights").display()))
        .arg("--volume")
        .arg(format!("results={}", results.display()))
        .arg(root().join("examples/flights"))
        .env("LOCKGATE_HOME", folder.path().join("home"))
        // Where the manifest's components are.
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .spawn()?;
    let peak = watch(&mut child)?;
    match child.wait()?.success() {
        true => Ok(peak),
        false => Err(format!("lockgate run failed: {}", std::fs::read_to_string(&log)?).into()),
    }
}

/// The most that the resident sets of a process and its children had together, in bytes, looked at each millisecond.
/// What they share (the program, the arena) is counted for each.
fn watch(child: &mut Child) -> Result<f64> {
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak.max(family(child.id()));
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(peak as f64)
}

fn family(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = children.flat_map(|line| numbers(&line)).collect();
    let own = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kibibytes(&own, "VmRSS:") * 1024 + children.into_iter().map(family).sum::<u64>()
}

fn numbers(line: &str) -> Vec<u32> {
    line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Bytes that a process shares with nobody and that stand in no file: what one more of it costs.
fn private(pid: u32) -> Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    Ok(kibibytes(&rollup, "Anonymous:") * 1024)
}

/// The number behind `key` in a file of `/proc`.
fn kibibytes(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}
