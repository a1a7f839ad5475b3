//! What was made under an `Idempotency-Key`, so that a request that is sent again gets the same answer and makes nothing
//! twice. After draft-ietf-httpapi-idempotency-key-header.

use super::Record;
use lockgate_core::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

/// How long an answer is kept, in seconds.
pub const LIFE: i64 = 86_400;

/// A request that was answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// Digest of route and body: another request under the same key is refused.
    pub request: Digest,
    /// What was made.
    pub result: serde_json::Value,
    /// When it is forgotten.
    pub expires: Timestamp,
}

impl Record for Answered {
    const NAME: &'static str = "an answered request";
}
