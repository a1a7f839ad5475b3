//! What is recorded of every change and every denial, in the same commit as the change itself.

use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that happened, as the audit log keeps it. Holds no secret: details are names, ids, digests and numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// The principal; `system` for what the JobManager does by itself.
    pub principal: String,
    /// The credential's public id, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The tenant it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Name>,
    /// What was done or denied: `job.create`, `token.revoke`.
    pub action: String,
    /// What it was done to: `job/late-flights`.
    pub resource: String,
    /// `done` or `denied`, with the error's code for the latter.
    pub outcome: Outcome,
    /// The request that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What else matters, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// How it went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused, with this code (`LG1101`).
    Denied(String),
}
