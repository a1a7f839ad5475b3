//! Files of the user's: read within a bound, written whole or not at all, never overwritten by accident.

use lockgate_core::error::code;
use lockgate_core::{Error, Result, Timestamp, human};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An error about the file at `path`.
pub fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(code::IO, format!("{}: {error}", path.display()))
}

/// The bytes of a regular file of at most `max`.
///
/// # Errors
/// `LG0002` if it cannot be read, `LG0007` if it is longer.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|error| failed(path, &error))?;
    read_open(file, path, max)
}

/// As [`read`], of a file that is open.
///
/// # Errors
/// As [`read`].
pub fn read_open(file: File, path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(path, &error))?;
    if bytes.len() as u64 > max {
        let cause = format!("{} is longer than {}", path.display(), human::bytes(max));
        return Err(Error::new(code::FILE_TOO_LARGE, cause));
    }
    Ok(bytes)
}

/// Makes a file that only its owner may read, and refuses to overwrite one.
///
/// # Errors
/// `LG0004` if there is one, `LG0002` if it cannot be written.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => failed(path, &error),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| failed(path, &error))
}

/// Makes or replaces a file: readers see the old bytes or the new ones, never a part.
///
/// # Errors
/// `LG0002`; the old file is unchanged then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_with(path, bytes, 0o644)
}

/// As [`replace`], readable by its owner alone.
///
/// # Errors
/// As [`replace`].
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    replace_with(path, bytes, 0o600)
}

fn replace_with(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = folder(path);
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        failed(path, &error)
    })
}

/// A file that is being written and has its name once it is whole; gone again if it never is.
#[derive(Debug)]
pub struct New {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl New {
    /// Begins a file that is not there yet.
    ///
    /// # Errors
    /// `LG0004` if there is one, `LG0002` if it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder(path).join(format!(".{name}.{}.tmp", std::process::id()));
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary);
        let file = opened.map_err(|error| failed(&temporary, &error))?;
        Ok(Self { path: path.to_owned(), temporary, file })
    }

    /// Writes at its end.
    ///
    /// # Errors
    /// The system's.
    pub fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// `LG0004` if there is one by now, `LG0002` if the system refuses.
    pub fn keep(self) -> Result<()> {
        self.file.sync_all().map_err(|error| failed(&self.path, &error))?;
        if self.path.symlink_metadata().is_ok() {
            return Err(exists(&self.path));
        }
        let renamed = std::fs::rename(&self.temporary, &self.path);
        let synced = renamed.and_then(|()| File::open(folder(&self.path))?.sync_all());
        synced.map_err(|error| failed(&self.path, &error))
    }
}

impl Drop for New {
    fn drop(&mut self) {
        // Not there any more if it has its name.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

fn exists(path: &Path) -> Error {
    Error::new(code::FILE_EXISTS, format!("{} is there already", path.display()))
        .help("choose another name, or move the file away yourself")
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The time on this machine's clock.
pub fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
