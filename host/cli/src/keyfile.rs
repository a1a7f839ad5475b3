//! Key files: secret keys that only their owner may read, and the ways in which a command line can name a public key.

use crate::files;
use lockgate_core::error::code;
use lockgate_core::keys::{PublicKey, SecretKey};
use lockgate_core::{Error, Result};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest key file.
const MAX_BYTES: u64 = 4_096;

/// Reads a secret key.
///
/// # Errors
/// `LG0005` if others may read it, `LG0402` if it is no secret key, `LG0002` if it cannot be read.
pub fn secret(path: &Path) -> Result<SecretKey> {
    let file = File::open(path).map_err(|error| files::failed(path, &error))?;
    let mode = file.metadata().map_err(|error| files::failed(path, &error))?.mode();
    if mode & 0o077 != 0 {
        let cause = format!("key file {} has mode {:o}: others may read it", path.display(), mode & 0o777);
        return Err(Error::new(code::KEY_FILE_EXPOSED, cause)
            .help(format!("if nobody has, `chmod 600 {}`; else make a new key", path.display())));
    }
    let bytes = Zeroizing::new(files::read_open(file, path, MAX_BYTES)?);
    SecretKey::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| error.at(path.display().to_string()))
}

/// Reads secret keys.
///
/// # Errors
/// As [`secret`].
pub fn secrets(paths: &[PathBuf]) -> Result<Vec<SecretKey>> {
    paths.iter().map(|path| secret(path)).collect()
}

/// A public key as the command line names it: its text, or a file with that text or with the secret key.
///
/// # Errors
/// `LG0402` if it is neither.
pub fn public(text: &str) -> Result<PublicKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let path = Path::new(text);
    let wrong = || {
        Error::new(code::MALFORMED_KEY, format!("{text:?} is neither a public key nor a file with one"))
            .help("`lockgate keys show FILE` prints the public key of a key file")
    };
    let bytes = files::read(path, MAX_BYTES).map(Zeroizing::new).map_err(|_| wrong())?;
    let content = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
    match content.trim().parse() {
        Ok(key) => Ok(key),
        Err(_) => SecretKey::parse(content).map(|key| key.public()).map_err(|_| wrong()),
    }
}
