//! What is kept of a run.

use crate::model::Record;
use lockgate_core::plane::{Output, Position};
use lockgate_core::{Digest, Name, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run that counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// Random, of 16 hexadecimal digits: part of the names of its outputs, and of the keys of all else.
    pub id: String,
    /// The job's name: by it whoever keeps house finds the job.
    pub job: Name,
    /// When it began, in microseconds since 1970.
    pub started: u64,
}

/// A run whose splits are being written for the first time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Draft {
    /// Since when.
    pub since: UnixMillis,
}

/// A split.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Split {
    /// The source's node.
    pub source: Name,
    /// Its name there.
    pub name: String,
    /// Bytes, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Which content it has.
    pub fingerprint: String,
    /// How far it is read; not begun, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Who reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// Which claim took a split.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Owner {
    /// Under which lease.
    pub epoch: u64,
    /// The slot.
    pub slot: u32,
    /// The claim's number.
    pub number: u64,
}

impl Split {
    pub fn is_finished(&self) -> bool {
        self.position == Some(Position::Finished)
    }

    /// Whether nobody reads it under this lease, and there is something left of it.
    pub fn is_free(&self, epoch: u64) -> bool {
        !self.is_finished() && self.owner.is_none_or(|owner| owner.epoch < epoch)
    }
}

/// What a slot committed last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Slot {
    /// The number of its last commit: as many has it made.
    pub sequence: u64,
    /// The digest of that commit, by which its repetition is known.
    pub digest: Digest,
    /// The outputs of that commit. Those of the commits before it are published: the slot said so by this one.
    pub outputs: Vec<Output>,
}

/// What a slot claimed last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Claim {
    /// Under which lease.
    pub epoch: u64,
    /// The number of the claim. Those with this number or a lower one are repetitions, or come too late.
    pub number: u64,
    /// What it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<(Name, String)>,
    /// Whether it was told that nothing is left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing: bool,
}

/// What a TaskManager was told when it first opened a run under a lease.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Opening {
    /// Under which lease.
    pub epoch: u64,
    /// The last commits, by slot, of which it was told all outputs.
    pub told: BTreeMap<u32, u64>,
    /// Whether a slot of it has committed since, and so said that they are published.
    pub published: bool,
}

/// Up to which commit the outputs of each slot are known to be published, besides what the slots themselves have said.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Published {
    /// By slot.
    pub slots: BTreeMap<u32, u64>,
}

impl Record for Run {
    const NAME: &'static str = "a run";
}

impl Record for Draft {
    const NAME: &'static str = "a run that is begun";
}

impl Record for Split {
    const NAME: &'static str = "a split";
}

impl Record for Slot {
    const NAME: &'static str = "a slot's commits";
}

impl Record for Claim {
    const NAME: &'static str = "a slot's claims";
}

impl Record for Opening {
    const NAME: &'static str = "the opening of a run";
}

impl Record for Published {
    const NAME: &'static str = "what is published of a run";
}
