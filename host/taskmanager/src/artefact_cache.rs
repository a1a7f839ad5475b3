//! Compiled components, so that a component is compiled once on a machine.
//!
//! To load an artefact is to run it: wasmtime trusts its content as it trusts its own code. So every artefact carries an
//! HMAC-SHA-256 under a key that only this machine has, over the artefact and all that it is for, and nothing is handed
//! out before that is verified, from the very bytes that are handed out. A file that fails is reported and removed, and
//! the component is compiled again.

use crate::durable;
use cap_std::fs::{Dir, MetadataExt, OpenOptions, OpenOptionsExt};
use hmac::{Hmac, KeyInit, Mac};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Name, Result};
use sha2::Sha256;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest artefact that is kept, in bytes.
pub const MAX_ARTEFACT: u64 = 256 * 1024 * 1024;

/// A folder of compiled components, and the key that authenticates them.
#[derive(Debug)]
pub struct ArtefactCache {
    dir: Dir,
    path: PathBuf,
    key: HostKey,
    max_bytes: u64,
}

/// What an artefact was compiled from, and for whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArtefactId {
    /// The tenant: no tenant runs what was compiled for another.
    pub tenant: Name,
    /// The component.
    pub component: Digest,
    /// The engine and its settings (`precompile_compatibility_hash`).
    pub compatibility: [u8; 32],
}

impl ArtefactCache {
    /// Opens the cache in the directory `path`, which is made with 0700 if missing, as is the key with 0600. It keeps at
    /// most `max_bytes` of artefacts.
    ///
    /// # Errors
    /// `LG0850` if the directory or the key is open to other users, `LG0851` if the key is damaged, `LG0002` if the system
    /// refuses.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self> {
        let failed = |error: io::Error| failed(path, &error);
        let dir = durable::private_dir(path).map_err(failed)?;
        if !durable::is_private(&dir.dir_metadata().map_err(failed)?) {
            return Err(exposed(path));
        }
        let key = HostKey::open(&dir, &path.join(KEY))?;
        Ok(Self { dir, path: path.to_owned(), key, max_bytes })
    }

    /// The artefact of `id`, verified; none if there is none or it cannot be trusted.
    pub fn get(&self, id: &ArtefactId) -> Option<Vec<u8>> {
        let name = file_name(id);
        match self.load(&name, id) {
            Ok(found) => found,
            Err(why) => {
                tracing::warn!(tenant = %id.tenant, component = %id.component, file = name, why, "a compiled artefact is refused");
                // It would be refused again; if it cannot be removed, it will be.
                drop(self.dir.remove_file(&name));
                None
            }
        }
    }

    /// Keeps the artefact of `id`, and removes the oldest ones if there is not room for all. One that is larger than the
    /// cache is not kept.
    ///
    /// # Errors
    /// `LG0002` if the system refuses.
    pub fn put(&self, id: &ArtefactId, artefact: &[u8]) -> Result<()> {
        let size = artefact.len() as u64;
        if size > MAX_ARTEFACT || size.saturating_add(HEADER as u64) > self.max_bytes {
            tracing::debug!(component = %id.component, size, "a compiled artefact is too large to be kept");
            return Ok(());
        }
        let name = file_name(id);
        self.store(&name, id, artefact).and_then(|()| self.evict(&name)).map_err(|error| failed(&self.path, &error))
    }

    /// Reads and verifies; the error says why the file is not to be trusted.
    fn load(&self, name: &str, id: &ArtefactId) -> Result<Option<Vec<u8>>, String> {
        let limit = MAX_ARTEFACT + HEADER as u64;
        let bytes = durable::read(&self.dir, name, limit).map_err(|error| error.to_string())?;
        let Some(mut bytes) = bytes else {
            return Ok(None);
        };
        let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or("it is too short")?;
        let (code, artefact) = rest.split_at_checked(CODE).ok_or("it is too short")?;
        if magic != MAGIC {
            return Err("it is not an artefact".into());
        }
        self.key
            .code(id, artefact)
            .verify_slice(code)
            .map_err(|_| "it was not made by this machine, or was altered")?;
        bytes.drain(..HEADER);
        Ok(Some(bytes))
    }

    fn store(&self, name: &str, id: &ArtefactId, artefact: &[u8]) -> io::Result<()> {
        let temporary = format!("{TEMPORARY}{:016x}", random_number()?);
        let write = || {
            let mut file =
                self.dir.open_with(&temporary, OpenOptions::new().write(true).create_new(true).mode(0o600))?;
            file.write_all(MAGIC)?;
            file.write_all(&self.key.code(id, artefact).finalize().into_bytes())?;
            file.write_all(artefact)?;
            // Not synced: what a crash leaves half-written fails its code and is compiled again.
            self.dir.rename(&temporary, &self.dir, name)
        };
        write().inspect_err(|_| drop(self.dir.remove_file(&temporary)))
    }

    /// Removes the oldest files, but never `keep` and the key, until the rest fits.
    fn evict(&self, keep: &str) -> io::Result<()> {
        let mut files = Vec::new();
        let mut total = 0_u64;
        for entry in self.dir.entries()? {
            let name = entry?.file_name();
            // Another process may have removed it meanwhile.
            let Ok(metadata) = self.dir.symlink_metadata(&name) else { continue };
            let Some(name) = name.to_str().filter(|name| name.ends_with(ENDING) || name.starts_with(TEMPORARY)) else {
                continue;
            };
            total = total.saturating_add(metadata.len());
            if name != keep {
                files.push((metadata.mtime(), metadata.mtime_nsec(), name.to_owned(), metadata.len()));
            }
        }
        files.sort_unstable();
        for (_, _, name, size) in files {
            if total <= self.max_bytes {
                break;
            }
            match self.dir.remove_file(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => total = total.saturating_sub(size),
            }
        }
        Ok(())
    }
}

/// 32 random bytes that never leave this machine.
struct HostKey(Hmac<Sha256>);

impl HostKey {
    /// Reads the key, made on first use.
    fn open(dir: &Dir, path: &Path) -> Result<Self> {
        let failed = |error: io::Error| failed(path, &error);
        let mut file = match Self::read_only(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Self::make(dir).map_err(failed)?;
                Self::read_only(dir).map_err(failed)?
            }
            opened => opened.map_err(failed)?,
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() || !durable::is_private(&metadata) {
            return Err(exposed(path));
        }
        let damaged = || Error::new(code::HOST_KEY_DAMAGED, format!("{} does not hold 32 bytes", path.display()));
        let mut key = Zeroizing::new([0; 32]);
        if metadata.len() != 32 || file.read_exact(key.as_mut()).is_err() {
            return Err(damaged());
        }
        Ok(Self(Hmac::new_from_slice(key.as_ref()).map_err(|_| damaged())?))
    }

    fn read_only(dir: &Dir) -> io::Result<cap_std::fs::File> {
        dir.open_with(KEY, OpenOptions::new().read(true))
    }

    /// Makes a key, unless another process does so at the same time: whoever links first has made it, and it is whole.
    fn make(dir: &Dir) -> io::Result<()> {
        let temporary = format!(".{KEY}-{:016x}", random_number()?);
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(io::Error::other)?;
        let mut file = dir.open_with(&temporary, OpenOptions::new().write(true).create_new(true).mode(0o600))?;
        let linked = file.write_all(key.as_ref()).and_then(|()| file.sync_all()).and_then(|()| {
            match dir.hard_link(&temporary, dir, KEY) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        });
        dir.remove_file(&temporary)?;
        linked?;
        durable::sync_dir(dir)
    }

    /// The code of an artefact. Every part has a fixed length or its length before it, so that no two inputs are alike.
    fn code(&self, id: &ArtefactId, artefact: &[u8]) -> Hmac<Sha256> {
        let mut code = self.0.clone();
        code.update(MAGIC);
        code.update(&(id.tenant.len() as u64).to_le_bytes());
        code.update(id.tenant.as_bytes());
        code.update(id.component.as_bytes());
        code.update(&id.compatibility);
        code.update(&(artefact.len() as u64).to_le_bytes());
        code.update(artefact);
        code
    }
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostKey")
    }
}

const MAGIC: &[u8] = b"lockgate artefact 1\n";
const CODE: usize = 32;
const HEADER: usize = MAGIC.len() + CODE;
const KEY: &str = "host.key";
const ENDING: &str = ".artefact";
const TEMPORARY: &str = ".artefact-";

/// A name that says nothing and belongs to one id only. Not trusted: the code binds the id.
fn file_name(id: &ArtefactId) -> String {
    let compatibility = Digest::from_bytes(id.compatibility);
    format!("{}{ENDING}", Digest::of(format!("{} {} {compatibility}", id.tenant, id.component).as_bytes()).hex())
}

fn random_number() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

fn exposed(path: &Path) -> Error {
    let cause = format!("{} belongs to another user, or other users have rights to it", path.display());
    Error::new(code::EXPOSED_TO_OTHERS, cause)
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(code::IO, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
