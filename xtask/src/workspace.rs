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

/// The target folder that the host's crates share.
///
/// # Errors
/// When `CARGO_TARGET_DIR` is relative and there is no current folder.
pub fn target() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(folder).map_err(|error| format!("CARGO_TARGET_DIR: {error}")),
        None => Ok(root().join("target")),
    }
}

/// The one target folder of all guests, within [`target`]: a `cargo clean` takes it along, and a guest that two
/// workspaces need the same crates for compiles them once.
///
/// # Errors
/// As [`target`].
pub fn guest_target() -> Result<PathBuf> {
    Ok(target()?.join("guests"))
}

/// The folder with the built components.
///
/// # Errors
/// As [`target`].
pub fn components() -> Result<PathBuf> {
    Ok(guest_target()?.join(GUEST_TARGET).join("release"))
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
