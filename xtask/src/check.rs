//! `test` and `lint`: what must hold before a merge.
//!
//! All steps take `--workspace` and targets that bring the development dependencies along (`--all-targets`, or
//! `--examples` where that would be too much). Cargo decides the features of a crate by what is selected, so this is
//! what makes clippy, tests and documentation share their dependencies instead of compiling wasmtime once more.

use crate::process::{cargo, guest_cargo, read, run, succeeds};
use crate::steps::{self, Selection, Step};
use crate::workspace::{self, GUEST_TARGET};
use crate::{Result, guests, unknown_argument};
use std::process::Command;

/// `cargo xtask lint --help`.
pub const LINT_HELP: &str = "\
Usage: cargo xtask lint

Checks the formatting of all workspaces and runs clippy on them with warnings denied: the steps fmt, clippy and
guest-clippy of `cargo xtask test`.
";

const TEST: &[Step] = &[
    Step { name: "fmt", what: "formatting of all workspaces", run: |_| fmt() },
    Step { name: "guests", what: "all guests, as components", run: |_| guests::build() },
    Step { name: "clippy", what: "clippy on the host's crates, warnings denied", run: |_| clippy() },
    Step { name: "guest-clippy", what: "clippy on the guests", run: |_| guest_clippy() },
    Step { name: "test", what: "unit tests and integration tests", run: tests },
    Step { name: "doctest", what: "examples in the documentation", run: |_| doctests() },
    Step { name: "guest-test", what: "the example guests' own tests, natively", run: |_| guest_tests() },
    Step { name: "doc", what: "documentation without a warning", run: |_| doc() },
];

const NOT_QUICK: &[&str] = &["guest-clippy", "doctest", "guest-test", "doc"];

/// `cargo xtask test --help`.
pub fn test_help() -> String {
    format!(
        "\
Usage: cargo xtask test [--quick] [--only STEP]... [--skip STEP]... [--keep-going] [-- TEST-ARGUMENTS]

Runs everything that must pass before a merge, and stops at the first step that fails:

{}
Options:
  --quick        leaves out {}
  --only STEP    runs this step (may be given again)
  --skip STEP    leaves out this step (may be given again)
  --keep-going   goes on after a step that failed
  -- …           goes to the test binaries of the step `test`, a filter for example
",
        steps::table(TEST),
        NOT_QUICK.join(", "),
    )
}

/// `cargo xtask test`.
///
/// # Errors
/// For an argument that is not known, and when a step fails.
pub fn test(arguments: &[String]) -> Result {
    steps::run(TEST, &Selection::parse("test", TEST, NOT_QUICK, arguments)?)
}

/// `cargo xtask lint`.
///
/// # Errors
/// As `test`.
pub fn lint(arguments: &[String]) -> Result {
    if let Some(argument) = arguments.first() {
        return Err(unknown_argument("lint", argument));
    }
    let names = vec!["fmt", "clippy", "guest-clippy"];
    steps::run(TEST, &Selection { names, keep_going: true, rest: Vec::new() })
}

fn fmt() -> Result {
    ensure_component("fmt", "rustfmt")?;
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    each_guest_workspace("fmt", &["--all", "--check"])
}

fn clippy() -> Result {
    ensure_component("clippy", "clippy")?;
    run(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn guest_clippy() -> Result {
    ensure_component("clippy", "clippy")?;
    guests::ensure_target()?;
    // In release, where the guests' procedural macros are compiled already.
    each_guest_workspace(
        "clippy",
        &["--workspace", "--lib", "--release", "--target", GUEST_TARGET, "--", "-D", "warnings"],
    )
}

fn tests(rest: &[String]) -> Result {
    // The binaries first, `lockgate` among them: `cargo test` compiles those of another package as tests only.
    run(&mut cargo(["build", "--workspace", "--all-targets"]))?;
    // Property tests from one seed, so that the same tree gives the same result; plain `cargo test` draws others.
    let seed = std::env::var("PROPTEST_RNG_SEED").unwrap_or_else(|_| "20261122".to_owned());
    run(cargo(["test", "--workspace", "--all-targets", "--"]).args(rest).env("PROPTEST_RNG_SEED", seed))
}

fn doctests() -> Result {
    run(&mut cargo(["test", "--workspace", "--doc"]))
}

fn guest_tests() -> Result {
    // In release for the same reason. The hostile guests have none: `tests/` is their test.
    let hostile = workspace::root().join("tests");
    let mut friendly = workspace::guest_manifests().into_iter().filter(|manifest| !manifest.starts_with(&hostile));
    friendly.try_for_each(|manifest| run(guest_cargo("test", &manifest).args(["--workspace", "--release"])))
}

fn doc() -> Result {
    let selection = ["doc", "--workspace", "--no-deps", "--lib", "--bins", "--examples"];
    run(cargo(selection).env("RUSTDOCFLAGS", "-D warnings"))
}

fn each_guest_workspace(verb: &str, arguments: &[&str]) -> Result {
    for manifest in &workspace::guest_manifests() {
        run(guest_cargo(verb, manifest).args(arguments))?;
    }
    Ok(())
}

/// Adds a component of the toolchain, `cargo VERB` by name, if it is not there.
fn ensure_component(verb: &str, component: &str) -> Result {
    if succeeds(&mut cargo([verb, "--version"])) {
        return Ok(());
    }
    if !succeeds(Command::new("rustup").arg("--version")) {
        let toolchain = read(&mut cargo(["--version"]))?;
        return Err(format!(
            "{component} is missing beside {toolchain} and there is no rustup to add it; install it from where Rust came"
        ));
    }
    run(Command::new("rustup").args(["component", "add", component]).current_dir(workspace::root()))
}
