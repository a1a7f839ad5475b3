//! `cargo xtask bench`: what the sandbox costs, in the figures of `docs/performance.md`.
//!
//! Machines are noisy, so whatever is compared is measured in turns within one run, and every figure is a median. All
//! limits are on; batches have 8,192 rows.
#![forbid(unsafe_code)]

mod bomb;
mod cluster;
mod executor;
mod figure;
mod job;
mod jobmanager;
mod memory;
mod native;
mod placement;
mod project;
mod sample;
mod service;
mod start;
mod tenants;
mod udf;

use figure::Report;
use std::path::PathBuf;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Rows of a batch.
const ROWS: usize = 8_192;

fn main() -> Result<()> {
    // Before there is a thread: this may be an executor or a compiler of the benches themselves.
    if std::env::args().nth(1).as_deref() == Some("executor") {
        lockgate_executor::testing::compromised(executor::echo);
        return Ok(());
    }
    if lockgate_executor::child(std::env::args_os()).is_some() {
        return Ok(());
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // `cargo test --all-targets` runs benches as well, in the dev profile and without this flag.
    if !has("--bench") {
        return Ok(());
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-')).cloned();
    let report = Report { json: has("--json"), filter: filter.unwrap_or_default() };
    placement::measure(&report)?;
    udf::measure(&report)?;
    executor::measure(&report)?;
    start::measure(&report)?;
    job::measure(&report)?;
    tenants::measure(&report)?;
    jobmanager::measure(&report)?;
    cluster::measure(&report)?;
    memory::measure(&report)
}

/// A path from the environment that `cargo xtask bench` sets up.
fn from_environment(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os(name).ok_or_else(|| format!("{name} is not set: use `cargo xtask bench`"))?;
    Ok(PathBuf::from(path))
}

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
