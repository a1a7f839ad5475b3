//! The guests that `cargo xtask guests` builds, and what their authors would sign of them.

use lockgate_core::bundle::Part;
use lockgate_core::limits::Limits;
use lockgate_core::{Name, Result};
use lockgate_executor::{Compiler, testing};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

/// The bytes of the guest called `name`.
pub fn component(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../guests/wasm32-wasip2/release");
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}

/// The compiler of all tests: of the program that was built along with them.
pub fn compiler() -> &'static Compiler {
    static COMPILER: LazyLock<Compiler> = LazyLock::new(|| Compiler::new().with_program(&testing::program()));
    &COMPILER
}

/// The guest called `name` as it goes into a bundle. Described once in a process, because that compiles it.
pub fn part(name: &str) -> Part {
    static PARTS: LazyLock<Mutex<BTreeMap<String, Arc<OnceLock<Part>>>>> = LazyLock::new(Mutex::default);
    let cell = PARTS.lock().unwrap().entry(name.to_owned()).or_default().clone();
    let part = || part_of(component(name), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    cell.get_or_init(part).clone()
}

/// The guest in the language called `name`, which `cargo xtask hostile` builds.
pub fn language(name: &str, limits: &Limits) -> Part {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("../guests/languages/{name}.wasm"));
    let wasm = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    part_of(wasm, limits).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What an author finds out about a component before signing it.
///
/// # Errors
/// As `lockgate build` would give.
pub fn part_of(wasm: Vec<u8>, limits: &Limits) -> Result<Part> {
    let info = compiler().inspect(&wasm)?;
    let executor = testing::executors(1).of(&Name::new("author").expect("a name"))?;
    let describe = compiler().describe(&executor, &wasm, limits)?;
    let (imports, exports) = (info.imports.into_iter().collect(), info.exports.into_iter().collect());
    Ok(Part { wasm, describe, imports, exports })
}
