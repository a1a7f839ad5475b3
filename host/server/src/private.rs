//! Files and directories that are for nobody else: what holds a key must not be readable, and what decides must not be
//! writable, by other users.

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Refuses an open file that others may read or write. What systemd makes of a credential is fine: it belongs to root and
/// root's group, and the one user who may read it besides has an entry of his own, which shows as the group's right.
///
/// # Errors
/// `LG0850`; `LG0002` if it cannot be looked at.
pub fn check(path: &Path, file: &File) -> Result<()> {
    let metadata = file.metadata().map_err(|error| failed(path, &error))?;
    if metadata.uid() == 0 && metadata.gid() == 0 && metadata.mode() & 0o777 == 0o440 {
        return Ok(());
    }
    refuse_others(path, &metadata, 0o077, "600")
}

/// Refuses a configuration file, or the directory that it is in, if others may change it.
///
/// # Errors
/// `LG0850`; `LG0002` if it cannot be looked at.
pub fn check_unwritable(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|error| failed(path, &error))?;
    refuse_others(path, &metadata, 0o022, if metadata.is_dir() { "755" } else { "644" })
}

/// The directory `path`, made with 0700 if it is missing.
///
/// # Errors
/// `LG0850` if others may look into it, `LG1055` if it cannot be made.
pub fn directory(path: &Path) -> Result<()> {
    let unusable = |error: io::Error| Error::new(code::DATA_DIRECTORY, format!("{}: {error}", path.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
    let metadata = std::fs::metadata(path).map_err(unusable)?;
    refuse_others(path, &metadata, 0o077, "700")
}

/// Writes `bytes` as the file `path` with `mode`, whole or not at all, and durably. An existing file is replaced.
///
/// # Errors
/// `LG1055`.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = |error: io::Error| Error::new(code::DATA_DIRECTORY, format!("{}: {error}", path.display()));
    let temporary = path.with_extension("tmp");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn refuse_others(path: &Path, metadata: &Metadata, forbidden: u32, wanted: &str) -> Result<()> {
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        let cause = format!("{} belongs to user {owner}, not to the one that runs this", path.display());
        return Err(Error::new(code::EXPOSED_TO_OTHERS, cause));
    }
    let mode = metadata.mode();
    if mode & forbidden != 0 {
        let cause = format!("{} has mode {:o}: other users have rights to it", path.display(), mode & 0o777);
        return Err(Error::new(code::EXPOSED_TO_OTHERS, cause)
            .help(format!("if nobody else has used them, `chmod {wanted} {}`", path.display())));
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(code::IO, format!("{}: {error}", path.display()))
}
