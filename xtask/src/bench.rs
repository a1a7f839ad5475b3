//! `cargo xtask bench`: the figures of `docs/performance.md`.

use crate::process::{cargo, run as run_command};
use crate::{Result, guests, unknown_argument, workspace};

/// `cargo xtask bench --help`.
pub const HELP: &str = "\
Usage: cargo xtask bench [--json] [FILTER]

Builds the guests, `lockgate` and the benches in release and runs those whose name contains FILTER. The figures, what
they mean and the machine that they were taken on are in docs/performance.md.

Options:
  --json   one JSON object a line on standard output: `name`, and of `ratio`, `ns`, `records_per_s`, `requests_per_s`,
           `bytes_per_s`, `of_bare`, `bytes`, `moves` what the row has
";

/// Both packages in both builds, so that features agree and the release build is shared.
pub const PACKAGES: [&str; 4] = ["--package", "lockgate", "--package", "lockgate-benches"];

/// Runs the benches.
///
/// # Errors
/// For an argument that is not known, and when a build or a bench fails.
pub fn run(arguments: &[String]) -> Result {
    let mut passed: Vec<&str> = Vec::new();
    let mut filter = None;
    for argument in arguments {
        match argument.as_str() {
            "--json" => passed.push("--json"),
            other if other.starts_with('-') || filter.is_some() => return Err(unknown_argument("bench", other)),
            other => filter = Some(other),
        }
    }
    passed.extend(filter);
    guests::build()?;
    let binary = build_lockgate()?;
    let bench = ["bench", "--bench", "lockgate"];
    run_command(
        cargo(bench)
            .args(PACKAGES)
            .arg("--")
            .args(passed)
            .env("LOCKGATE", binary)
            .env("LOCKGATE_COMPONENTS", workspace::components()),
    )
}

/// Builds the `lockgate` command in release and says where it is.
///
/// # Errors
/// When the build fails.
pub fn build_lockgate() -> Result<std::path::PathBuf> {
    // `--examples` (there are none) brings the development dependencies' features along, as `cargo bench` does.
    run_command(cargo(["build", "--release", "--bin", "lockgate", "--examples"]).args(PACKAGES))?;
    Ok(workspace::target().join("release").join("lockgate").with_extension(std::env::consts::EXE_EXTENSION))
}
