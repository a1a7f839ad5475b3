//! A tenant: its name, which is never given to another, and whether it may do anything.

use super::Record;
use super::label::Labels;
use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};

/// A tenant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name: the id in its trust documents.
    pub name: Name,
    /// Since when.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// What users find it by.
    #[serde(default)]
    pub labels: Labels,
    /// Whether it may do anything.
    pub state: State,
}

/// Whether a tenant may do anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It may.
    Active,
    /// Its jobs are stopped, nothing new is taken; all is kept.
    Suspended,
    /// It is gone for users; the record stays so that nobody is given its name.
    Closed,
}

impl State {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

impl Record for Tenant {
    const NAME: &'static str = "a tenant";
}
