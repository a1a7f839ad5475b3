//! The hostile guests in Python and JavaScript. Their compilers come from the registries of those languages, at one version
//! each, into the target folder, and only for `cargo xtask hostile`: no other command needs Python or Node.

use crate::process::run;
use crate::{Result, workspace};
use std::path::{Path, PathBuf};
use std::process::Command;

const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";

/// Builds both, unless they are there and nothing that they are made of is newer.
///
/// # Errors
/// When a compiler cannot be had, or fails.
pub fn build() -> Result {
    let target = workspace::guest_target();
    let (tools, out) = (target.join("tools"), target.join("languages"));
    for folder in [&tools, &out] {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let root = workspace::root();
    let (guests, contract) = (root.join("tests/guests"), root.join("wit"));

    let (source, component) = (guests.join("python"), out.join("python.wasm"));
    if !fresh(&component, &[&source.join("app.py"), &contract.join("udf.wit")]) {
        let environment = tools.join("python");
        if !environment.join("bin/componentize-py").is_file() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", COMPONENTIZE_PY]))?;
        }
        let mut command = Command::new(environment.join("bin/componentize-py"));
        command.arg("-d").arg(&contract).args(["-w", "transform-udf", "componentize", "-p"]).arg(&source);
        run(command.args(["app", "-o"]).arg(&component).env("PYTHONDONTWRITEBYTECODE", "1"))?;
    }

    let (source, component) = (guests.join("javascript"), out.join("javascript.wasm"));
    if !fresh(&component, &[&source.join("app.js"), &source.join("build.mjs"), &contract.join("udf.wit")]) {
        let folder = tools.join("javascript");
        if !folder.join("node_modules").is_dir() {
            run(Command::new("npm").args(["install", "--silent", "--prefix"]).arg(&folder).arg(COMPONENTIZE_JS))?;
        }
        // A module finds packages from where it lies.
        let script = folder.join("build.mjs");
        std::fs::copy(source.join("build.mjs"), &script).map_err(|error| format!("{}: {error}", script.display()))?;
        run(Command::new("node").arg(&script).arg(source.join("app.js")).arg(&contract).arg(&component))?;
    }
    Ok(())
}

/// Whether a file is there and newer than all that it is made of.
fn fresh(file: &Path, made_of: &[&PathBuf]) -> bool {
    let time = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    time(file).is_some_and(|made| made_of.iter().all(|source| time(source).is_some_and(|changed| changed <= made)))
}
