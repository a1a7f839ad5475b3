//! Ed25519 keys (RFC 8032), and roles: the keys that may sign something and how many of them must.
//!
//! Keys are compared by their bytes. A key's id is its digest, a hint in an envelope of which key to try first; nothing
//! is ever decided by it.

use crate::digest::Digest;
use crate::error::{Error, Result, code};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// The first line of a file that holds a secret key.
const SECRET_HEADER: &str = "lockgate-ed25519-secret-key-v1";

/// A public key: 32 bytes, written in base64 (RFC 4648, section 4).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Takes the 32 bytes of RFC 8032, section 5.1.5.
    ///
    /// # Errors
    /// `LG0402` if they are no point of the curve, not its only spelling, or a point of small order, under which
    /// signatures would fit many messages.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self> {
        let refuse = |why| Error::new(code::MALFORMED_KEY, format!("a public key {why}"));
        if !canonical(bytes) {
            return Err(refuse("is not in its canonical form"));
        }
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| refuse("is not a point of the curve"))?;
        if key.is_weak() { Err(refuse("has a small order")) } else { Ok(Self(key)) }
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key id: `sha256:` and the digest of the key's bytes. A hint only.
    pub fn id(&self) -> String {
        Digest::of(self.as_bytes()).to_string()
    }

    /// The first 12 digits of the key id, to show to people.
    pub fn short(&self) -> String {
        Digest::of(self.as_bytes()).short()
    }

    /// Whether `signature` over `message` is this key's, by the strict rules (no malleable or small-order parts).
    pub fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// Whether the y coordinate is below the prime 2^255 - 19, so that one point has one spelling.
fn canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *low < 0xed || middle.iter().any(|byte| *byte != 0xff) || high & 0x7f != 0x7f
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::str::FromStr for PublicKey {
    type Err = Error;

    /// # Errors
    /// `LG0402` if it is not the base64 text of a public key.
    fn from_str(text: &str) -> Result<Self> {
        let bytes = decode_32(text).ok_or_else(|| {
            Error::new(code::MALFORMED_KEY, "a public key is not the base64 text of 32 bytes")
                .help("Show the public key of a key file with `lockgate keys show`.")
        })?;
        Self::from_bytes(&bytes)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key. Wiped from memory when dropped, never shown by `Debug`.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key made from 32 bytes, which must be random and secret (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }

    /// The text of a key file: a line that says what it is, and the key in base64.
    pub fn to_text(&self) -> Zeroizing<String> {
        let seed = Zeroizing::new(STANDARD.encode(self.0.as_bytes()));
        Zeroizing::new(format!("{SECRET_HEADER}\n{}\n", *seed))
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// `LG0402` if it is anything else. The message never repeats what was read.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why| Error::new(code::MALFORMED_KEY, format!("a secret key file {why}"));
        let (header, rest) = text.split_once('\n').ok_or_else(|| refuse("has no second line"))?;
        if header.trim_end_matches('\r') != SECRET_HEADER {
            return Err(refuse("does not begin with its header line"));
        }
        let seed = decode_32(rest.trim_end_matches(['\r', '\n']))
            .ok_or_else(|| refuse("does not hold the base64 text of 32 bytes"))?;
        Ok(Self::from_seed(&seed))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, redacted)", self.public().short())
    }
}

fn decode_32(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() != 44 {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// The keys that may sign something, and how many distinct ones of them must.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "RawRole", into = "RawRole")]
pub struct Role {
    keys: Vec<PublicKey>,
    threshold: u32,
}

impl Role {
    /// The most keys in a role.
    pub const MAX_KEYS: usize = 32;

    /// A role of `keys`, of which `threshold` must sign.
    ///
    /// # Errors
    /// `LG0404` if there is no key, a key twice, more than [`Self::MAX_KEYS`], or a threshold that is 0 or above the
    /// number of keys.
    pub fn new(mut keys: Vec<PublicKey>, threshold: u32) -> Result<Self> {
        let refuse = |why: String| Err(Error::new(code::MALFORMED_DOCUMENT, why));
        let count = keys.len();
        Self::check_count(count)?;
        keys.sort_unstable();
        if let Some(twice) = keys.array_windows::<2>().find_map(|[a, b]| (a == b).then_some(a)) {
            return refuse(format!("key {} stands twice in one role", twice.short()));
        }
        if threshold == 0 || usize::try_from(threshold).is_ok_and(|needed| needed > count) {
            return refuse(format!("a role of {count} keys cannot have the threshold {threshold}"));
        }
        Ok(Self { keys, threshold })
    }

    /// The role of one key.
    pub fn single(key: PublicKey) -> Self {
        Self { keys: vec![key], threshold: 1 }
    }

    /// Its keys, in the order of their bytes.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// How many distinct keys must sign.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// The same role without `revoked` keys. The threshold stays, so it may become unreachable.
    #[must_use]
    pub fn without(&self, revoked: &[PublicKey]) -> Self {
        let keys = self.keys.iter().filter(|key| !revoked.contains(key)).copied().collect();
        Self { keys, threshold: self.threshold }
    }

    fn check_count(count: usize) -> Result<()> {
        if count <= Self::MAX_KEYS {
            return Ok(());
        }
        let cause = format!("a role has {count} keys, at most {} are allowed", Self::MAX_KEYS);
        Err(Error::new(code::MALFORMED_DOCUMENT, cause))
    }
}

/// Keys as text, so that they are counted before the first one costs a computation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    keys: Vec<String>,
    threshold: u32,
}

impl TryFrom<RawRole> for Role {
    type Error = Error;

    fn try_from(raw: RawRole) -> Result<Self> {
        Self::check_count(raw.keys.len())?;
        Self::new(raw.keys.iter().map(|key| key.parse()).collect::<Result<_>>()?, raw.threshold)
    }
}

impl From<Role> for RawRole {
    fn from(role: Role) -> Self {
        Self { keys: role.keys.iter().map(PublicKey::to_string).collect(), threshold: role.threshold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    #[test]
    fn signs_as_rfc_8032_says() {
        // Section 7.1, test 1: the empty message.
        let seed = Digest::from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SecretKey::from_seed(seed.as_bytes());
        let public = Digest::from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
        assert_eq!(key.public().as_bytes(), public.as_bytes());
        let signature = key.sign(b"");
        assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(key.public().verifies(b"", &signature) && !key.public().verifies(b"x", &signature));
    }

    #[test]
    fn key_files_read_what_they_write() {
        let text = key(7).to_text();
        assert!(text.starts_with("lockgate-ed25519-secret-key-v1\n"));
        assert_eq!(SecretKey::parse(&text).unwrap().public(), key(7).public());
        let public = key(7).public();
        assert_eq!(public.to_string().parse::<PublicKey>().unwrap(), public);
        for bad in ["", "x", &text[1..], &text.replace('=', ""), &format!("{}AA", text.as_str()), &public.to_string()] {
            assert_eq!(SecretKey::parse(bad).unwrap_err().code(), code::MALFORMED_KEY);
        }
    }

    #[test]
    fn a_secret_never_shows() {
        let key = key(9);
        let secret = STANDARD.encode([9; 32]);
        assert!(!format!("{key:?}").contains(&secret) && format!("{key:?}").contains("redacted"));
        let error = SecretKey::parse(&format!("{SECRET_HEADER}\n{secret}x")).unwrap_err();
        assert!(!format!("{error:?} {:?}", error.help_text()).contains(&secret[..40]));
    }

    #[test]
    fn weak_and_twofold_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        // The prime plus 3: a second spelling of the point with y = 3.
        let mut twofold = [0xff; 32];
        (twofold[0], twofold[31]) = (0xf0, 0x7f);
        let mut off_curve = [0; 32];
        off_curve[0] = 2;
        for bytes in [identity, [0; 32], twofold, off_curve] {
            assert_eq!(PublicKey::from_bytes(&bytes).unwrap_err().code(), code::MALFORMED_KEY);
        }
    }

    #[test]
    fn a_role_needs_distinct_keys_and_a_reachable_threshold() {
        let (a, b) = (key(1).public(), key(2).public());
        assert!(Role::new(vec![a, b], 2).is_ok());
        for (keys, threshold) in
            [(vec![], 0), (vec![], 1), (vec![a], 0), (vec![a], 2), (vec![a, a], 1), (vec![a, b, a], 2)]
        {
            assert_eq!(Role::new(keys, threshold).unwrap_err().code(), code::MALFORMED_DOCUMENT);
        }
        let many = (0..=32).map(|seed| key(seed).public()).collect();
        assert_eq!(Role::new(many, 1).unwrap_err().code(), code::MALFORMED_DOCUMENT);
        let text = format!(r#"{{"keys":["{a}","{a}"],"threshold":2}}"#);
        assert!(serde_json::from_str::<Role>(&text).is_err(), "the same key twice passes through JSON");
        let text = format!(r#"{{"keys":["{}"],"threshold":1}}"#, vec!["x"; 33].join("\",\""));
        let error = serde_json::from_str::<Role>(&text).unwrap_err();
        assert!(error.to_string().contains("33 keys"), "keys are read before they are counted: {error}");
    }
}
