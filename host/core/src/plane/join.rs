//! How a TaskManager comes to a certificate, and to the next one.

use crate::name::Name;
use serde::{Deserialize, Serialize};

/// The most bytes of a request for a certificate.
pub const MAX_REQUEST: usize = 16 << 10;

/// Asks to join. The join token stands in the `authorization` header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Join {
    /// What it wants to be called; a token may be for one name only.
    pub name: Name,
    /// A PKCS #10 request (RFC 2986) in PEM, signed with the key that the certificate is to be for. Only its key is used: what
    /// else it asks for is not given.
    pub request: String,
}

/// A TaskManager has joined.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// What it is called.
    pub name: Name,
    /// Its certificate.
    pub certificate: Certificate,
    /// The authority of the plane, in PEM: certificates of the JobManager's side of the plane are of this one only.
    pub authority: String,
    /// The trust domain of the certificates' names. A TaskManager holds it to its own configuration.
    pub domain: String,
    /// Where the plane listens, as `host:port`, for those whose configuration does not say.
    #[serde(default)]
    pub plane: Vec<String>,
}

/// Asks for the next certificate, under the present one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Renew {
    /// As in [`Join`]; for a new key.
    pub request: String,
}

/// A certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// In PEM, with those that lead to the authority, if any stand between.
    pub chain: String,
    /// When the holder had better ask for the next one, in seconds from now: two thirds of its life.
    pub renew_after_seconds: u64,
}
