//! What a slot is told to do, as JSON that it reads as input 0: run a job, or look at something for an author.

use crate::code::CodeRange;
use crate::protocol::payload;
use lockgate_core::limits::Limits;
use lockgate_core::plan::{Format, Plan};
use lockgate_core::types::FunctionDescription;
use lockgate_core::{Digest, Name, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most bytes of a task.
pub const MAX_BYTES: u64 = 16 << 20;

/// What a slot does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Task {
    /// Runs its part of a job.
    Job(Box<Assignment>),
    /// Asks a component for its functions.
    Describe {
        /// The compiled component.
        code: CodeRange,
        /// What it may use.
        limits: Limits,
    },
    /// Infers the schema of a split.
    Infer {
        /// Its format.
        format: Format,
        /// Its name.
        split: String,
        /// The input that holds it.
        input: u32,
        /// Its bytes, if known.
        size: Option<u64>,
    },
}

/// A job, ready to run in a slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Which run of which job this is: slots with the same number share an engine.
    pub run: u64,
    /// How many slots have that number.
    pub slots: u32,
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

/// A compiled component that a slot may load.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentGrant {
    /// The digest of the WebAssembly component, as it was signed.
    pub digest: Digest,
    /// Where the artefact is.
    pub code: CodeRange,
    /// What its `describe` says, as it was signed. The slot asks again before it reads the first record.
    pub describe: Vec<FunctionDescription>,
}

impl Task {
    /// The bytes of input 0.
    ///
    /// # Errors
    /// `LG0903` if it does not serialise.
    pub fn encode(&self) -> Result<Vec<u8>> {
        payload::write_large(self)
    }
}
