//! `run/memory`: the most memory that `lockgate run` holds while it runs the flights, compiling the component included.

use crate::figure::{Figure, Report, median};
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

/// The high-water mark of the resident set, in bytes. The kernel keeps it (`VmHWM` in proc_pid_status(5)), so that
/// only what is added in the last millisecond before the end is missed.
fn watch(child: &mut Child) -> Result<f64> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.parse().ok());
        peak = peak.max(kibibytes.unwrap_or(0.0) * 1024.0);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(peak)
}
