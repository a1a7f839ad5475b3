//! What a slot is told to run: the plan and where its artefacts are, as JSON that the slot reads as input 0.

use crate::protocol::payload;
use lockgate_core::plan::Plan;
use lockgate_core::types::FunctionDescription;
use lockgate_core::{Digest, Name, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most bytes of an assignment.
pub const MAX_BYTES: u64 = 16 << 20;

/// A job, ready to run in a slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Whose job it is.
    pub tenant: Name,
    /// Which job it is.
    pub job: Name,
    /// What the guests' clocks show, in seconds since 1970: when the job first started, so that a restart shows the
    /// same.
    pub clock: i64,
    /// What to run.
    pub plan: Plan,
    /// The components that the plan's functions name.
    pub components: BTreeMap<Name, ComponentGrant>,
}

/// A compiled component that a slot may read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentGrant {
    /// The digest of the WebAssembly component, as it was signed.
    pub digest: Digest,
    /// The input that holds the artefact.
    pub input: u32,
    /// The artefact's bytes.
    pub size: u64,
    /// What its `describe` says, as it was signed. The slot asks again before it reads the first record.
    pub describe: Vec<FunctionDescription>,
}

impl Assignment {
    /// The bytes of input 0.
    ///
    /// # Errors
    /// `LG0903` if it does not serialise.
    pub fn encode(&self) -> Result<Vec<u8>> {
        payload::write_large(self)
    }
}
