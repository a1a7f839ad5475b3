//! DSSE 1.0 envelopes: a payload, its type, and signatures over both.
//!
//! What is signed is the pre-authentication encoding (PAE) of type and payload, so a signature over one kind of
//! document never fits another. Key ids are hints of which key to try first. Base64 is the standard alphabet with
//! padding, as in-toto and cosign write it.

use crate::digest::Digest;
use crate::error::{Error, Result, code};
use crate::keys::{PublicKey, Role, SIGNATURE_BYTES, SecretKey};
use crate::strict_json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The most signatures in an envelope.
pub const MAX_SIGNATURES: usize = 32;

/// The largest envelope, in bytes: base64 of the largest document, and its signatures.
pub const MAX_ENVELOPE: usize = strict_json::MAX_DOCUMENT / 3 * 4 + (64 << 10);

/// An envelope. Nothing in it is trusted before [`Envelope::verify`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "RawEnvelope", into = "RawEnvelope")]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Signature {
    key_id: Option<String>,
    bytes: [u8; SIGNATURE_BYTES],
}

/// What [`Envelope::verify`] found: the payload, and whose signatures count.
#[derive(Clone, Debug)]
pub struct Signed<'a> {
    /// The verified bytes, the only ones to parse.
    pub payload: &'a [u8],
    /// The distinct keys of the role that signed.
    pub signers: Vec<PublicKey>,
}

impl Envelope {
    /// An envelope without signatures, to be signed later. No role accepts it.
    pub fn unsigned(payload_type: &str, payload: Vec<u8>) -> Self {
        Self { payload_type: payload_type.to_owned(), payload, signatures: Vec::new() }
    }

    /// Adds `key`'s signature, once.
    ///
    /// # Errors
    /// `LG0405` if there are [`MAX_SIGNATURES`] already.
    pub fn sign(&mut self, key: &SecretKey) -> Result<()> {
        let (public, message) = (key.public(), pae(&self.payload_type, &self.payload));
        if self.signatures.iter().any(|signature| public.verifies(&message, &signature.bytes)) {
            return Ok(());
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(malformed(format!("has {MAX_SIGNATURES} signatures already")));
        }
        self.signatures.push(Signature { key_id: Some(public.id()), bytes: key.sign(&message) });
        Ok(())
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// `LG0403` to `LG0405` if it is not strict JSON, not an envelope, or over a bound.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        strict_json::parse::<RawEnvelope>("an envelope", bytes, MAX_ENVELOPE)?.try_into()
    }

    /// The envelope as JSON.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(code::INTERNAL, format!("an envelope: {error}")))
    }

    /// The payload's type, not verified.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload, not verified: to show it, never to obey it.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The digest of the payload: what documents name each other by. Further signatures do not change it.
    pub fn payload_digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// How many signatures there are, whoever made them.
    pub fn signature_count(&self) -> usize {
        self.signatures.len()
    }

    /// The key ids that the signatures claim.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().filter_map(|signature| signature.key_id.as_deref())
    }

    /// Checks that this is a `payload_type` signed by the threshold of `role`, distinct keys counted by their bytes.
    /// `what` names the document in errors.
    ///
    /// # Errors
    /// `LG0406` for another type. `LG0407` if a signature in the name of one of the role's keys is not that key's,
    /// and too few others count; `LG0408` if no key of the role signed; `LG0409` if too few did.
    pub fn verify(&self, what: &str, payload_type: &str, role: &Role) -> Result<Signed<'_>> {
        if self.payload_type != payload_type {
            let found: String = self.payload_type.chars().filter(|c| !c.is_control()).take(80).collect();
            let cause = format!("{what} has the payload type {found}, not {payload_type}");
            return Err(Error::new(code::WRONG_PAYLOAD_TYPE, cause));
        }
        let message = pae(&self.payload_type, &self.payload);
        let mut signers: Vec<PublicKey> = Vec::new();
        let mut broken = None;
        for signature in &self.signatures {
            let claimed = signature.key_id.as_deref();
            let hinted = role.keys().iter().find(|key| claimed.is_some_and(|id| id == key.id()));
            let others = role.keys().iter().filter(|key| Some(*key) != hinted);
            match hinted.into_iter().chain(others).find(|key| key.verifies(&message, &signature.bytes)) {
                Some(key) if !signers.contains(key) => signers.push(*key),
                Some(_) => {}
                None => broken = broken.or(hinted),
            }
        }
        let (count, needed) = (signers.len(), role.threshold());
        if usize::try_from(needed).is_ok_and(|needed| count >= needed) {
            return Ok(Signed { payload: &self.payload, signers });
        }
        Err(match (broken, count) {
            (Some(key), _) => Error::new(
                code::BAD_SIGNATURE,
                format!("{what} carries a signature in the name of key {} that does not fit its content", key.short()),
            ),
            (None, 0) => Error::new(code::UNTRUSTED_SIGNER, self.strangers(what))
                .help("let those sign whose keys the trust documents name for this, or do not trust it"),
            (None, _) => Error::new(
                code::THRESHOLD,
                format!("{what} is signed by {count} of the keys that count, {needed} are needed"),
            ),
        })
    }

    fn strangers(&self, what: &str) -> String {
        let claimed: Vec<String> = self
            .key_ids()
            .filter_map(|id| id.strip_prefix("sha256:"))
            .filter(|id| id.len() >= 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .filter_map(|id| id.get(..12).map(str::to_owned))
            .take(4)
            .collect();
        match (self.signatures.len(), claimed.as_slice()) {
            (0, _) => format!("{what} is not signed"),
            (_, []) => format!("{what} is signed by no key that counts"),
            (_, ids) => format!("{what} is signed by no key that counts (key {})", ids.join(", ")),
        }
    }
}

/// The pre-authentication encoding of DSSE 1.0.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawEnvelope {
    payload_type: String,
    payload: String,
    signatures: Vec<RawSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

impl TryFrom<RawEnvelope> for Envelope {
    type Error = Error;

    fn try_from(raw: RawEnvelope) -> Result<Self> {
        if raw.signatures.len() > MAX_SIGNATURES {
            let count = raw.signatures.len();
            return Err(malformed(format!("has {count} signatures, at most {MAX_SIGNATURES} are allowed")));
        }
        let payload = STANDARD.decode(&raw.payload).map_err(|_| malformed("has a payload that is not base64"))?;
        let signatures = raw.signatures.into_iter().map(|signature| {
            let bytes = STANDARD.decode(&signature.sig).ok().and_then(|bytes| bytes.try_into().ok());
            let bytes = bytes.ok_or_else(|| malformed("has a signature that is not the base64 text of 64 bytes"))?;
            Ok(Signature { key_id: signature.keyid, bytes })
        });
        Ok(Self { payload_type: raw.payload_type, payload, signatures: signatures.collect::<Result<_>>()? })
    }
}

impl From<Envelope> for RawEnvelope {
    fn from(envelope: Envelope) -> Self {
        let signatures = envelope.signatures.into_iter();
        Self {
            payload_type: envelope.payload_type,
            payload: STANDARD.encode(envelope.payload),
            signatures: signatures
                .map(|signature| RawSignature { keyid: signature.key_id, sig: STANDARD.encode(signature.bytes) })
                .collect(),
        }
    }
}

fn malformed(why: impl std::fmt::Display) -> Error {
    Error::new(code::MALFORMED_ENVELOPE, format!("an envelope {why}"))
}

#[cfg(test)]
mod tests;
