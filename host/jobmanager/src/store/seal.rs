//! Values at rest: encrypted and bound to their place if a key is configured, plain otherwise.
//!
//! XChaCha20-Poly1305 with a random nonce for each value. The key under which the value lies, its revision and the
//! encryption key's id are authenticated with it, so that no value can be put in another one's place or made out to be
//! newer. Several keys may be configured: the first encrypts, all decrypt, and what is under another one is encrypted
//! anew when the store is opened. Keys (names) stay in clear, because they are listed in their order: names, ids and
//! digests stand in them, never a secret.

use super::Key;
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// Which key: eight bytes of its digest, for configuration and errors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Values that are not encrypted are said to be under this one.
    pub(super) const PLAIN: Self = Self([0; 8]);

    /// The eight bytes.
    pub(super) fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// An id as it was stored.
    pub(super) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that encrypts values.
#[derive(Clone)]
pub struct StoreKey {
    id: KeyId,
    bytes: Secret<[u8; 32]>,
}

impl StoreKey {
    /// A key of these bytes, which must be random and secret.
    pub fn new(bytes: [u8; 32]) -> Self {
        let digest = Sha256::new().chain_update("lockgate-store-key-id-v1").chain_update(bytes).finalize();
        let id = digest.first_chunk::<8>().copied().unwrap_or_default();
        Self { id: KeyId(id), bytes: Secret::new(bytes) }
    }

    /// A new one.
    ///
    /// # Errors
    /// `LG1203` if the system has no random numbers.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)
            .map_err(|error| Error::new(code::STORE_FAILED, format!("the system has no random numbers: {error}")))?;
        Ok(Self::new(*bytes))
    }

    /// The text of a key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.expose()) + "\n")
    }

    /// The key in `text`: 32 bytes in base64.
    ///
    /// # Errors
    /// `LG1215` if it is anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = STANDARD.decode(text.trim()).ok().map(Zeroizing::new);
        let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.as_slice().try_into().ok());
        bytes
            .map(Self::new)
            .ok_or_else(|| Error::new(code::STORE_KEY_MALFORMED, "a store key is not the base64 text of 32 bytes"))
    }

    /// The key in a file that nobody else may read.
    ///
    /// # Errors
    /// `LG1215`.
    pub fn read(path: &Path) -> Result<Self> {
        let refuse = |why: String| Error::new(code::STORE_KEY_MALFORMED, format!("{}: {why}", path.display()));
        let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
        let mode = file.metadata().map_err(|error| refuse(error.to_string()))?.mode();
        if mode & 0o077 != 0 {
            return Err(refuse(format!("has mode {:o}: others may read it", mode & 0o777)));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(1_024).read_to_string(&mut text).map_err(|error| refuse(error.to_string()))?;
        Self::parse(&text).map_err(|error| error.at(path.display().to_string()))
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes.expose().into())
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({})", self.id)
    }
}

/// The configured keys.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    keys: Vec<StoreKey>,
    /// Whether plain values are read although there are keys: only while they are encrypted for the first time.
    reads_plain: bool,
}

const NONCE: usize = 24;

impl Seal {
    /// Encrypts with the first of `keys`, if there is one.
    pub fn new(keys: Vec<StoreKey>) -> Self {
        let reads_plain = keys.is_empty();
        Self { keys, reads_plain }
    }

    /// Reads plain values too, or not any more.
    pub fn reading_plain(self, plain: bool) -> Self {
        Self { reads_plain: plain || self.keys.is_empty(), ..self }
    }

    /// What new values are under.
    pub fn current(&self) -> KeyId {
        self.keys.first().map_or(KeyId::PLAIN, StoreKey::id)
    }

    /// Whether values under `id` can be read.
    pub fn has(&self, id: KeyId) -> bool {
        id == KeyId::PLAIN || self.keys.iter().any(|key| key.id == id)
    }

    /// The error for values under a key that is not configured.
    pub fn lacks(&self, id: KeyId) -> Error {
        if self.keys.is_empty() {
            return Error::new(code::STORE_KEY_MISSING, format!("the store is encrypted with key {id}"));
        }
        let ids: Vec<String> = self.keys.iter().map(|key| key.id.to_string()).collect();
        let cause = format!("the store is encrypted with key {id}, configured are {}", ids.join(", "));
        Error::new(code::STORE_KEY_WRONG, cause)
    }

    /// `value` as it is stored.
    ///
    /// # Errors
    /// `LG1203` if the system has no random numbers.
    pub fn seal(&self, key: &Key, revision: u64, value: &[u8]) -> Result<Vec<u8>> {
        let Some(with) = self.keys.first() else {
            return Ok([KeyId::PLAIN.0.as_slice(), value].concat());
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)
            .map_err(|error| Error::new(code::STORE_FAILED, format!("the system has no random numbers: {error}")))?;
        let payload = Payload { msg: value, aad: &bound(key, revision, with.id) };
        let sealed = with
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::new(code::STORE_FAILED, format!("{key} could not be encrypted")))?;
        Ok([with.id.0.as_slice(), &nonce, &sealed].concat())
    }

    /// The value that was stored as `sealed`.
    ///
    /// # Errors
    /// `LG1213`, `LG1214`, or `LG1212` if it is too short.
    pub fn open(&self, key: &Key, revision: u64, sealed: &[u8]) -> Result<Vec<u8>> {
        let short = || Error::new(code::STORE_DAMAGED, format!("the value of {key} is cut short"));
        let (id, rest) = sealed.split_first_chunk::<8>().ok_or_else(short)?;
        let id = KeyId(*id);
        if id == KeyId::PLAIN {
            let refuse =
                || Error::new(code::STORE_KEY_WRONG, format!("the value of {key} is plain in an encrypted store"));
            return if self.reads_plain { Ok(rest.to_vec()) } else { Err(refuse()) };
        }
        let with = self.keys.iter().find(|with| with.id == id).ok_or_else(|| self.lacks(id))?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(short)?;
        let payload = Payload { msg: sealed, aad: &bound(key, revision, id) };
        with.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| {
            Error::new(code::STORE_KEY_WRONG, format!("the value of {key} is not what was encrypted with key {id}"))
        })
    }

    /// Which key a stored value is under.
    pub fn id_of(sealed: &[u8]) -> Option<KeyId> {
        sealed.first_chunk::<8>().copied().map(KeyId)
    }
}

/// What is authenticated with a value.
fn bound(key: &Key, revision: u64, id: KeyId) -> Vec<u8> {
    [b"lockgate-store-value-v1".as_slice(), &id.0, &revision.to_be_bytes(), key.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_value_opens_only_in_its_place() {
        let seal = Seal::new(vec![StoreKey::new([1; 32])]);
        let (a, b) = (Key::new(["a"]), Key::new(["b"]));
        let sealed = seal.seal(&a, 7, b"value").unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"value"));
        assert_eq!(seal.open(&a, 7, &sealed).unwrap(), b"value");
        assert_ne!(sealed, seal.seal(&a, 7, b"value").unwrap(), "a nonce was used twice");
        for (key, revision) in [(&b, 7), (&a, 8)] {
            assert_eq!(seal.open(key, revision, &sealed).unwrap_err().code(), code::STORE_KEY_WRONG);
        }
        for at in 8..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(&a, 7, &changed).unwrap_err().code(), code::STORE_KEY_WRONG, "{at}");
        }
        assert_eq!(seal.open(&a, 7, &sealed[..9]).unwrap_err().code(), code::STORE_DAMAGED);
    }

    #[test]
    fn a_plain_value_is_no_value_of_an_encrypted_store() {
        let key = Key::new(["a"]);
        let plain = Seal::new(vec![]).seal(&key, 1, b"value").unwrap();
        assert_eq!(Seal::new(vec![]).open(&key, 1, &plain).unwrap(), b"value");
        let encrypted = Seal::new(vec![StoreKey::new([1; 32])]);
        assert_eq!(encrypted.open(&key, 1, &plain).unwrap_err().code(), code::STORE_KEY_WRONG);
        assert_eq!(encrypted.reading_plain(true).open(&key, 1, &plain).unwrap(), b"value");
    }

    #[test]
    fn keys_rotate_and_a_missing_one_is_named() {
        let (old, new) = (StoreKey::new([1; 32]), StoreKey::new([2; 32]));
        let key = Key::new(["a"]);
        let sealed = Seal::new(vec![old.clone()]).seal(&key, 1, b"value").unwrap();
        assert_eq!(Seal::new(vec![new.clone(), old.clone()]).open(&key, 1, &sealed).unwrap(), b"value");
        let error = Seal::new(vec![new]).open(&key, 1, &sealed).unwrap_err();
        assert!(error.code() == code::STORE_KEY_WRONG && error.cause().contains(&old.id().to_string()), "{error}");
        assert_eq!(Seal::new(vec![]).open(&key, 1, &sealed).unwrap_err().code(), code::STORE_KEY_MISSING);
    }

    #[test]
    fn key_files_are_private_and_of_one_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let text = STANDARD.encode([7; 32]);
        std::fs::write(&path, StoreKey::new([7; 32]).to_text()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let key = StoreKey::read(&path).unwrap();
        assert_eq!(key.id(), StoreKey::new([7; 32]).id());
        assert!(!format!("{key:?}").contains("7, 7") && !format!("{key:?}").contains(&text));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(StoreKey::read(&path).unwrap_err().code(), code::STORE_KEY_MALFORMED);
        for bad in ["", "x", &text[1..], &STANDARD.encode([7; 31])] {
            let error = StoreKey::parse(bad).unwrap_err();
            assert!(error.code() == code::STORE_KEY_MALFORMED && (bad.len() < 2 || !error.cause().contains(bad)));
        }
    }
}
