//! A TaskManager that has joined: that it may dial in, under which certificates, and what the operator wants of it. What it
//! says of itself is not kept: it says so with every heartbeat.

use super::Record;
use lockgate_core::placement::Availability;
use lockgate_core::{Digest, Name, Timestamp};
use serde::{Deserialize, Serialize};

/// The most certificates of a TaskManager that count at once: more than any that is in order asks for while they last.
pub const MAX_CERTIFICATES: usize = 8;

/// The most sessions of a TaskManager that are remembered.
pub const MAX_SESSIONS: usize = 16;

/// A TaskManager.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskManager {
    /// What it is called.
    pub name: Name,
    /// When it joined.
    pub joined: Timestamp,
    /// The id of the join token that it joined with.
    pub joined_by: String,
    /// What the operator wants of it.
    pub state: State,
    /// The certificates that count, the oldest first.
    pub certificates: Vec<Issued>,
    /// The sessions of its processes, the newest first: that one has its place, the others have had it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
}

/// A certificate of a TaskManager.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Issued {
    /// Of the certificate.
    pub digest: Digest,
    /// From when on it does not count.
    pub expires: Timestamp,
}

/// What the operator wants of a TaskManager.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Anything may be placed there.
    Active,
    /// Nothing new; what is there stays.
    Cordoned,
    /// Nothing; what is there goes elsewhere.
    Draining,
    /// It may not dial in any more.
    Revoked,
}

impl State {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Revoked => "revoked",
        }
    }

    /// What that means to placement.
    pub const fn availability(self) -> Availability {
        match self {
            Self::Active => Availability::Active,
            Self::Cordoned => Availability::Cordoned,
            Self::Draining => Availability::Draining,
            Self::Revoked => Availability::Lost,
        }
    }
}

impl Record for TaskManager {
    const NAME: &'static str = "a TaskManager";
}
