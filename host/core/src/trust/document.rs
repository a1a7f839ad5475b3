//! What all trust documents have in common, and how they are made: fill in the struct, [`create`] an envelope with the
//! keys at hand, let others [`sign`] it. The next version of one is [`Document::succeed`].

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::error::{Error, Result, code};
use crate::keys::{Role, SecretKey};
use crate::strict_json::{self, MAX_DOCUMENT};
use crate::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The trust domain of a cluster, as SPIFFE has it: 1 to 255 of `a-z`, `0-9`, `.`, `-`, `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl std::str::FromStr for TrustDomain {
    type Err = Error;

    /// # Errors
    /// `LG0404` if it is not the name of a trust domain.
    fn from_str(text: &str) -> Result<Self> {
        let allowed = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if (1..=255).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        let cause = format!("{shown:?} is not a trust domain: 1 to 255 of a-z, 0-9, \".\", \"-\" and \"_\"");
        Err(Error::new(code::MALFORMED_DOCUMENT, cause))
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The trust domains that a document is for: 1 to 64 of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<TrustDomain>", into = "Vec<TrustDomain>")]
pub struct Audience(Vec<TrustDomain>);

impl Audience {
    /// An audience of `domains`.
    ///
    /// # Errors
    /// `LG0404` if there are none or more than 64.
    pub fn new(domains: Vec<TrustDomain>) -> Result<Self> {
        if (1..=64).contains(&domains.len()) {
            return Ok(Self(domains));
        }
        Err(Error::new(code::MALFORMED_DOCUMENT, "an audience does not name 1 to 64 trust domains"))
    }

    /// Refuses a trust domain that is not meant; `what` names the document in the error.
    ///
    /// # Errors
    /// `LG0411`.
    pub fn require(&self, what: &str, domain: &TrustDomain) -> Result<()> {
        if self.0.contains(domain) {
            return Ok(());
        }
        let meant: Vec<&str> = self.0.iter().take(4).map(|domain| domain.0.as_str()).collect();
        let cause = format!("{what} is for {}, this is {domain}", meant.join(", "));
        Err(Error::new(code::WRONG_AUDIENCE, cause))
    }
}

impl TryFrom<Vec<TrustDomain>> for Audience {
    type Error = Error;

    fn try_from(domains: Vec<TrustDomain>) -> Result<Self> {
        Self::new(domains)
    }
}

impl From<Audience> for Vec<TrustDomain> {
    fn from(audience: Audience) -> Self {
        audience.0
    }
}

/// One version of one document: what another document or a mark names it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The document's epoch; 0 for documents without one.
    #[serde(default)]
    pub epoch: u64,
    /// Its version.
    pub version: u64,
    /// The digest of its payload.
    pub digest: Digest,
}

impl Reference {
    /// The reference to the document of type `D` in `envelope`.
    ///
    /// # Errors
    /// `LG0403` and `LG0404` if there is none in it.
    pub fn of<D: Document>(envelope: &Envelope) -> Result<Self> {
        let document: D = peek(envelope)?;
        Ok(document.reference(envelope))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} ({})", self.version, self.digest.short())?;
        if self.epoch == 0 { Ok(()) } else { write!(f, " of epoch {}", self.epoch) }
    }
}

/// A kind of trust document.
pub trait Document: Serialize + DeserializeOwned + Clone {
    /// Its DSSE payload type, its own alone.
    const PAYLOAD_TYPE: &'static str;
    /// What errors call it.
    const NAME: &'static str;

    /// The epoch, for documents of a tenant.
    fn epoch(&self) -> u64 {
        0
    }

    /// The version, from 1; only ever rises within an epoch.
    fn version(&self) -> u64;

    /// Not accepted from then on.
    fn expires(&self) -> Timestamp;

    /// The trust domains that it is for.
    fn audience(&self) -> &Audience;

    /// The rules that need this document alone.
    ///
    /// # Errors
    /// `LG0404`, saying which rule.
    fn check(&self) -> Result<()>;

    /// The next version, expiring at `expires`; change what shall change, then [`create`] it.
    #[must_use]
    fn succeed(&self, expires: Timestamp) -> Self;

    /// What other documents name this one by, once it stands in `envelope`.
    fn reference(&self, envelope: &Envelope) -> Reference {
        Reference { epoch: self.epoch(), version: self.version(), digest: envelope.payload_digest() }
    }
}

/// Checks `document` and puts it in an envelope, signed by `keys`.
///
/// # Errors
/// `LG0404` if it breaks a rule of its own, `LG0405` for too many keys.
pub fn create<D: Document>(document: &D, keys: &[&SecretKey]) -> Result<Envelope> {
    document.check()?;
    let payload =
        serde_json::to_vec(document).map_err(|error| Error::new(code::INTERNAL, format!("{}: {error}", D::NAME)))?;
    let mut envelope = Envelope::unsigned(D::PAYLOAD_TYPE, payload);
    keys.iter().try_for_each(|key| envelope.sign(key))?;
    Ok(envelope)
}

/// Adds `key`'s signature to the document of type `D` in `envelope`, after the checks that its readers make.
///
/// # Errors
/// `LG0403`, `LG0404` and `LG0406` if it is not such a document, `LG0405` for too many signatures.
pub fn sign<D: Document>(envelope: &mut Envelope, key: &SecretKey) -> Result<()> {
    peek::<D>(envelope)?;
    envelope.sign(key)
}

/// Reads a document without verifying it: to show it or to sign it, never to obey it.
///
/// # Errors
/// `LG0403`, `LG0404` and `LG0406` if it is not a `D`.
pub fn peek<D: Document>(envelope: &Envelope) -> Result<D> {
    if envelope.payload_type() != D::PAYLOAD_TYPE {
        return Err(Error::new(code::WRONG_PAYLOAD_TYPE, format!("an envelope does not hold {}", D::NAME)));
    }
    parse(envelope.unverified_payload())
}

/// Reads the document in `envelope` if the threshold of `role` signed it.
///
/// # Errors
/// `LG0406` to `LG0409` for its signatures, `LG0403` and `LG0404` for its content.
pub(super) fn open<D: Document>(envelope: &Envelope, role: &Role) -> Result<(D, Reference)> {
    let document: D = parse(envelope.verify(D::NAME, D::PAYLOAD_TYPE, role)?.payload)?;
    let reference = document.reference(envelope);
    Ok((document, reference))
}

/// Reads and checks the payload of a `D`, not verified.
///
/// # Errors
/// `LG0403` and `LG0404` if it is not a `D`.
pub fn parse<D: Document>(payload: &[u8]) -> Result<D> {
    let document: D = strict_json::parse(D::NAME, payload, MAX_DOCUMENT)?;
    document.check()?;
    Ok(document)
}

/// `LG0404` with `D`'s name and `why`.
pub(super) fn refuse<D: Document>(why: impl fmt::Display) -> Error {
    Error::new(code::MALFORMED_DOCUMENT, format!("{} {why}", D::NAME))
}

/// The rules of every document.
pub(super) fn check_common<D: Document>(document: &D) -> Result<()> {
    if document.version() == 0 { Err(refuse::<D>("has version 0, versions begin at 1")) } else { Ok(()) }
}

/// The rules of a document that lives from `issued` on for at most `days`.
pub(super) fn check_lifetime<D: Document>(document: &D, issued: Timestamp, days: u32) -> Result<()> {
    let lifetime = document.expires().seconds().saturating_sub(issued.seconds());
    if lifetime <= 0 {
        return Err(refuse::<D>(format_args!("expires at {}, not after {issued}", document.expires())));
    }
    if lifetime > i64::from(days) * 86_400 {
        let cause = format!("{} lives for {} s, at most {days} days are allowed", D::NAME, lifetime);
        return Err(Error::new(code::STATUS_TOO_LONG, cause));
    }
    Ok(())
}
