//! Where things are: the workspace, its target folder, the workspaces of the guests.

use crate::Result;
use std::path::{Path, PathBuf};

/// The target that guests are built for.
pub const GUEST_TARGET: &str = "wasm32-wasip2";

/// The root of the repository. Taken from where this crate was compiled, since cargo compiles it in place.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The target folder that the host's crates share: as the environment says, seen from the root, where cargo is run.
pub fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The one target folder of all guests, within [`target`]: a `cargo clean` takes it along, and crates that two
/// workspaces of guests share are compiled once.
pub fn guest_target() -> PathBuf {
    target().join("guests")
}

/// The folder with the built components.
pub fn components() -> PathBuf {
    guest_target().join(GUEST_TARGET).join("release")
}

/// The manifests of the guests' workspaces that exist.
pub fn guest_manifests() -> Vec<PathBuf> {
    ["examples/Cargo.toml", "tests/guests/Cargo.toml"]
        .into_iter()
        .map(|path| root().join(path))
        .filter(|path| path.is_file())
        .collect()
}

/// `path` relative to the root where it lies below it, for messages.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// What is in `folder`, by name.
///
/// # Errors
/// When it cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| format!("{}: {error}", shown(folder));
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
