//! What `lockgate` keeps on this machine for its user: the local development key, the states of jobs, compiled components.
//!
//! In `$LOCKGATE_HOME`, or the user's data directory. Made on first use, closed to other users.

use crate::{files, keyfile};
use lockgate_core::dsse::{Envelope, MAX_ENVELOPE};
use lockgate_core::error::code;
use lockgate_core::keys::SecretKey;
use lockgate_core::trust::TrustDomain;
use lockgate_core::trust::development::Keys;
use lockgate_core::{Digest, Error, Result};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The directory.
pub struct Home(PathBuf);

impl Home {
    /// Opens it, making it if there is none.
    ///
    /// # Errors
    /// `LG0002` if it cannot be made, or nothing says where it should be.
    pub fn open() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = set("LOCKGATE_HOME")
            .or_else(|| set("XDG_DATA_HOME").map(|data| data.join("lockgate")))
            .or_else(|| set("HOME").map(|home| home.join(".local/share/lockgate")));
        let nowhere = || Error::new(code::IO, "neither LOCKGATE_HOME nor HOME is set");
        let path = path.ok_or_else(|| nowhere().help("set LOCKGATE_HOME to a directory of your own"))?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| files::failed(&path, &error))?;
        Ok(Self(path))
    }

    /// The directory `path`, which is there.
    #[cfg(test)]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where the states of jobs are.
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// Which JobManagers there are, and how they are asked.
    pub fn contexts(&self) -> PathBuf {
        self.0.join("contexts.toml")
    }

    /// Where tokens are that `lockgate login` was given.
    pub fn tokens(&self) -> PathBuf {
        self.0.join("tokens")
    }

    /// Where `lockgate standalone` keeps all that is its own.
    pub fn standalone(&self) -> PathBuf {
        self.0.join("standalone")
    }

    /// Where compiled components are.
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// The file of marks under a pinned operator root.
    ///
    /// # Errors
    /// `LG0002` if its folder cannot be made.
    pub fn marks(&self, root: &Digest) -> Result<PathBuf> {
        let folder = self.0.join("marks");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| files::failed(&folder, &error))?;
        Ok(folder.join(root.hex()))
    }

    /// The operator root that bundles of a trust domain were first run under here, if any were.
    ///
    /// # Errors
    /// `LG0002` if it cannot be read, `LG0403` to `LG0405` if it is damaged.
    pub fn pin(&self, domain: &TrustDomain) -> Result<Option<Envelope>> {
        let path = self.pin_file(domain);
        if !path.try_exists().map_err(|error| files::failed(&path, &error))? {
            return Ok(None);
        }
        let root = Envelope::parse(&files::read(&path, MAX_ENVELOPE as u64)?);
        root.map(Some).map_err(|error| error.at(path.display().to_string()))
    }

    /// Remembers that operator root.
    ///
    /// # Errors
    /// `LG0002`.
    pub fn remember_pin(&self, domain: &TrustDomain, root: &Envelope) -> Result<()> {
        files::replace(&self.pin_file(domain), &root.to_json()?)
    }

    /// A trust domain has no character that means anything in a path.
    fn pin_file(&self, domain: &TrustDomain) -> PathBuf {
        self.0.join("pins").join(format!("{domain}.json"))
    }

    /// The development keys, and the file of the key that they come from if it was made just now.
    ///
    /// # Errors
    /// As [`keyfile::secret`], and `LG0002` if the file cannot be made.
    pub fn development_keys(&self) -> Result<(Keys, Option<PathBuf>)> {
        let path = self.0.join("development.key");
        if path.exists() {
            return Ok((Keys::from_key(&keyfile::secret(&path)?), None));
        }
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed)
            .map_err(|error| Error::new(code::IO, format!("the system has no random numbers: {error}")))?;
        let key = SecretKey::from_seed(&seed);
        files::create_private(&path, key.to_text().as_bytes())?;
        Ok((Keys::from_key(&key), Some(path)))
    }
}
