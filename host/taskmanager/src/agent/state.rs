//! The state folder of a TaskManager of a cluster, 0700, and one process at a time in it.
//!
//! | what | for what |
//! |---|---|
//! | `identity` | key, certificate, the plane's authority, name and domain |
//! | `marks/TENANT` | what was seen of a tenant's trust documents |
//! | `operator` | what was seen of the operator's trust documents |
//! | `tenants` | for which tenants there are marks, so that a file that is gone is missed |
//! | `time` | the latest time that was seen |
//! | `witness`, `witness.log` | the end of the audit log, and what was ever told of it |
//! | `bundles/DIGEST` | fetched bundles |
//! | `cache/` | compiled components, unless the configuration has a place for them |
//!
//! What is small is sealed with a checksum and replaced as a whole.

use crate::durable::{self, Lock};
use cap_std::fs::Dir;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most bytes of a file that is read and written as a whole.
const MAX_FILE: u64 = 4 << 20;

/// The folder. Clones are the same.
#[derive(Clone, Debug)]
pub struct StateDir {
    dir: Arc<Dir>,
    path: PathBuf,
}

/// That no other process uses the folder.
#[derive(Debug)]
pub struct Held {
    _lock: Lock,
}

impl StateDir {
    /// Opens the folder, made with 0700 if missing, for this process alone.
    ///
    /// # Errors
    /// `LG0850` if others have rights to it, `LG0831` if another process uses it, `LG0830` if the system refuses.
    pub fn open(path: &Path) -> Result<(Self, Held)> {
        let state = Self::look(path, true)?;
        match durable::lock(&state.dir, "lock").map_err(|error| state.failed("lock", &error))? {
            Some(lock) => Ok((state, Held { _lock: lock })),
            None => {
                let cause = format!("another process uses {}", path.display());
                let help = "a TaskManager has a state folder of its own: end the other one, or set `state`";
                Err(Error::new(code::STATE_IN_USE, cause).help(help))
            }
        }
    }

    /// Opens a folder that is there, only to look.
    ///
    /// # Errors
    /// As [`StateDir::open`], and if it is not there.
    pub fn peek(path: &Path) -> Result<Self> {
        Self::look(path, false)
    }

    fn look(path: &Path, make: bool) -> Result<Self> {
        let failed = |error: io::Error| durable::unusable(&path.display().to_string(), &error);
        if !make && !path.is_dir() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        let dir = durable::private_dir(path).map_err(failed)?;
        if !durable::is_private(&dir.dir_metadata().map_err(failed)?) {
            let cause = format!("{} belongs to another user, or other users have rights to it", path.display());
            let help = format!("if nobody else has used it, `chmod 700 {}`", path.display());
            return Err(Error::new(code::EXPOSED_TO_OTHERS, cause).help(help));
        }
        Ok(Self { dir: Arc::new(dir), path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The folder `name` in it, made if missing.
    ///
    /// # Errors
    /// `LG0830`.
    pub(crate) fn folder(&self, name: &str) -> Result<Dir> {
        durable::private_subdir(&self.dir, name).map_err(|error| self.failed(name, &error))
    }

    /// The content of the file `name`; none if there is none.
    ///
    /// # Errors
    /// `LG0832` to `LG0834` if it is not what was written, `LG0830` if the system refuses.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let what = self.path.join(name).display().to_string();
        let bytes = durable::read(&self.dir, name, MAX_FILE).map_err(|error| self.failed(name, &error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let body = durable::unseal(name, &bytes).map_err(|damage| damage.error(&what))?;
        let foreign = |error| Error::new(code::STATE_FOREIGN, format!("{what} is of another version: {error}"));
        serde_json::from_slice(body).map(Some).map_err(foreign)
    }

    /// Replaces the file `name`, which is on the disk when this returns.
    ///
    /// # Errors
    /// `LG0830` if the system refuses, `LG0836` if it is too long.
    pub(crate) fn write<T: Serialize>(&self, name: &str, content: &T) -> Result<()> {
        let json =
            serde_json::to_vec(content).map_err(|error| Error::new(code::INTERNAL, format!("{name}: {error}")))?;
        if json.len() as u64 > MAX_FILE / 2 {
            let cause = format!("{} would have {} bytes", self.path.join(name).display(), json.len());
            return Err(Error::new(code::STATE_TOO_LARGE, cause));
        }
        let json = zeroize::Zeroizing::new(json);
        durable::replace::<io::Error>(&self.dir, name, &durable::seal(name, &json), &mut |_| Ok(()))
            .map_err(|error| self.failed(name, &error))
    }

    /// An error of the system about the file `name`.
    pub(crate) fn failed(&self, name: &str, error: &io::Error) -> Error {
        durable::unusable(&self.path.join(name).display().to_string(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_is_for_one_process_and_one_user() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        assert_eq!(StateDir::peek(&path).unwrap_err().code(), code::STATE_UNUSABLE);
        let (state, held) = StateDir::open(&path).unwrap();
        assert_eq!(StateDir::open(&path).unwrap_err().code(), code::STATE_IN_USE);
        drop((state, held));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(StateDir::open(&path).unwrap_err().code(), code::EXPOSED_TO_OTHERS);
    }

    #[test]
    fn what_was_altered_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let (state, _held) = StateDir::open(&place.path().join("state")).unwrap();
        assert_eq!(state.read::<Vec<u32>>("numbers").unwrap(), None);
        state.write("numbers", &vec![1, 2, 3]).unwrap();
        assert_eq!(state.read::<Vec<u32>>("numbers").unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(state.read::<String>("numbers").unwrap_err().code(), code::STATE_FOREIGN);
        let path = state.path().join("numbers");
        let text = std::fs::read_to_string(&path).unwrap().replace("[1,2,3]", "[1,2,4]");
        std::fs::write(&path, text).unwrap();
        assert_eq!(state.read::<Vec<u32>>("numbers").unwrap_err().code(), code::STATE_DAMAGED);
    }
}
