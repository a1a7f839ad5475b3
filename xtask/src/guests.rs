//! Building the guests: friendly ones from `examples/`, hostile ones from `tests/guests/`.

use crate::process::{guest_cargo, read, run as run_command, succeeds};
use crate::workspace::{self, GUEST_TARGET};
use crate::{Result, unknown_argument};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo xtask guests --help`.
pub const HELP: &str = "\
Usage: cargo xtask guests

Builds every guest of examples/ and tests/guests/ for wasm32-wasip2, in release, into target/guests, and prints where
each component is, one path a line. Cargo rebuilds only what changed. If the target is missing it is added with rustup.
";

/// Builds them and prints their paths to standard output.
///
/// # Errors
/// For any argument, and when a build fails.
pub fn run(arguments: &[String]) -> Result {
    if let Some(argument) = arguments.first() {
        return Err(unknown_argument("guests", argument));
    }
    build()?;
    for component in built()? {
        println!("{}", workspace::shown(&component));
    }
    Ok(())
}

/// Builds all guests.
///
/// # Errors
/// When the target cannot be added or a build fails.
pub fn build() -> Result {
    for manifest in &workspace::guest_manifests() {
        ensure_target()?;
        run_command(guest_cargo("build", manifest).args(["--workspace", "--release", "--target", GUEST_TARGET]))?;
    }
    Ok(())
}

/// The components that have been built, by name.
///
/// # Errors
/// When their folder cannot be read.
pub fn built() -> Result<Vec<PathBuf>> {
    let folder = workspace::components();
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = workspace::files(&folder)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    Ok(files)
}

/// Adds the target to the toolchain that runs us, if it is not there.
///
/// # Errors
/// When that fails, or there is no rustup to do it.
pub fn ensure_target() -> Result {
    let folder = read(
        Command::new("rustc")
            .args(["--print", "target-libdir", "--target", GUEST_TARGET])
            .current_dir(workspace::root()),
    )?;
    if Path::new(&folder).is_dir() {
        return Ok(());
    }
    if !succeeds(Command::new("rustup").arg("--version")) {
        return Err(format!(
            "the Rust toolchain has no standard library for {GUEST_TARGET} and there is no rustup to add it\n\
             Install Rust 1.95.0 with this target from your distribution (a package such as rust-std-{GUEST_TARGET}),\n\
             or install rustup (https://rustup.rs) and run `rustup toolchain install 1.95.0 --profile minimal -c rustfmt -c clippy -t {GUEST_TARGET}`"
        ));
    }
    run_command(Command::new("rustup").args(["target", "add", GUEST_TARGET]).current_dir(workspace::root()))
}
