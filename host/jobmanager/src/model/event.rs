//! What happens to a job, in order: a bounded history that a client can follow and resume.

use super::Record;
use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};

/// The most events of a job that are kept; the oldest go first.
pub const MAX_EVENTS: u64 = 1_000;
/// The longest text of an event, in bytes.
pub const MAX_TEXT: usize = 8 << 10;

/// Something that happened to a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1, without gaps, for the life of the job.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// What kind of thing.
    pub kind: Kind,
    /// In words.
    pub text: String,
    /// The operator that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Name>,
    /// Who asked for it, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// What kind of thing happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The job has another state.
    State,
    /// Somebody asked for something: an upgrade, a restart.
    Request,
    /// A function wrote it. A right of its own.
    Log,
    /// Something failed.
    Exception,
}

impl Kind {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Request => "request",
            Self::Log => "log",
            Self::Exception => "exception",
        }
    }
}

impl Record for Event {
    const NAME: &'static str = "an event";
}
