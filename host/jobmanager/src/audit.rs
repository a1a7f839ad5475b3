//! What is recorded of every change and every denial, in the same commit as the change itself.
//!
//! Events form a chain: each [`Record`] has the hash of the one before it and a hash of its own over both. The store
//! links them, so that there is one order and no event without its change. From time to time the head of the chain is
//! signed ([`Checkpoint`]); what lies before a checkpoint that somebody keeps elsewhere cannot be changed unnoticed.
//!
//! - [`chain`]: records and their lines, the one form in which the log is kept, exported and verified
//! - [`checkpoint`]: signed heads
//! - [`export`]: the log as lines
//! - [`prune`]: the log without its beginning
//! - [`verify`]: whether lines are the log that was written
//! - [`tally`]: denials and reads, counted so that no flood fills the disk

pub mod chain;
pub mod checkpoint;
pub mod export;
pub mod prune;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod verify;

pub use chain::{Head, Record};
pub use checkpoint::Checkpoint;

use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that happened, as the audit log keeps it. Holds no secret: details are names, ids, digests and numbers.
/// Texts over [`MAX_TEXT`] bytes and more than [`MAX_DETAILS`] details are cut when it is recorded.
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

/// The longest text of an event that is recorded, in bytes of UTF-8.
pub const MAX_TEXT: usize = 1_024;

/// The most details of an event that are recorded.
pub const MAX_DETAILS: usize = 32;

/// The principal of what the JobManager does by itself.
pub const SYSTEM: &str = "system";

/// The principal of a request whose credential, if it had one, was not valid.
pub const NOBODY: &str = "nobody";

impl Event {
    /// An event of the JobManager itself that was done.
    pub fn system(time: Timestamp, action: &str, resource: impl Into<String>) -> Self {
        Self {
            time,
            principal: SYSTEM.into(),
            credential: None,
            tenant: None,
            action: action.into(),
            resource: resource.into(),
            outcome: Outcome::Done,
            request: None,
            details: BTreeMap::new(),
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// The same event with every text and the number of details within bounds.
    fn bounded(mut self) -> Self {
        for text in [&mut self.principal, &mut self.action, &mut self.resource] {
            clip(text);
        }
        for text in [&mut self.credential, &mut self.request].into_iter().flatten() {
            clip(text);
        }
        if let Outcome::Denied(text) = &mut self.outcome {
            clip(text);
        }
        let details = std::mem::take(&mut self.details).into_iter().take(MAX_DETAILS);
        self.details = details
            .map(|(mut name, mut value)| {
                clip(&mut name);
                clip(&mut value);
                (name, value)
            })
            .collect();
        self
    }
}

/// Cuts `text` to [`MAX_TEXT`] bytes, with a mark where it was cut.
fn clip(text: &mut String) {
    const CUT: &str = "…";
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT - CUT.len()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push_str(CUT);
    }
}
