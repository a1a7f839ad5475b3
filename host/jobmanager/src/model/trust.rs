//! Trust documents as they were uploaded: the signed bytes, and what they are found by.

use super::Record;
use lockgate_core::Timestamp;
use lockgate_core::dsse::Envelope;
use lockgate_core::trust::{Document, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The owner of the operator's documents; no name, so no tenant.
pub const OPERATOR: &str = "@operator";

/// A kind of trust document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The operator's keys.
    OperatorRoot,
    /// What the operator holds to be current.
    OperatorStatus,
    /// What a tenant is allowed.
    Policy,
    /// A tenant's keys.
    Root,
    /// What a tenant holds to be current.
    Status,
}

impl Kind {
    /// As paths and keys write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OperatorRoot => "operator-root",
            Self::OperatorStatus => "operator-status",
            Self::Policy => "policy",
            Self::Root => "root",
            Self::Status => "status",
        }
    }

    /// The payload type of its envelopes.
    pub const fn payload_type(self) -> &'static str {
        match self {
            Self::OperatorRoot => OperatorRoot::PAYLOAD_TYPE,
            Self::OperatorStatus => OperatorStatus::PAYLOAD_TYPE,
            Self::Policy => TenantPolicy::PAYLOAD_TYPE,
            Self::Root => TenantRoot::PAYLOAD_TYPE,
            Self::Status => TenantStatus::PAYLOAD_TYPE,
        }
    }

    /// Whether it is the operator's own, not one of a tenant's.
    pub const fn is_operators(self) -> bool {
        matches!(self, Self::OperatorRoot | Self::OperatorStatus)
    }
}

/// One version of a document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// What it is.
    pub kind: Kind,
    /// Its epoch, version and digest.
    pub reference: Reference,
    /// Not accepted from then on.
    pub expires: Timestamp,
    /// When it came.
    pub uploaded: Timestamp,
    /// Who brought it.
    pub uploaded_by: String,
    /// The signed document.
    pub envelope: Envelope,
}

impl Record for Stored {
    const NAME: &'static str = "a trust document";
}

/// Which versions of an owner's documents are the newest.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Newest {
    /// By kind.
    pub of: BTreeMap<Kind, Reference>,
}

impl Record for Newest {
    const NAME: &'static str = "the newest trust documents";
}
