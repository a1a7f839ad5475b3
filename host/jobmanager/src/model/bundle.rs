//! A bundle of a tenant: what its signed statement says, kept so that nobody has to open the file to show or check it.

use super::Record;
use lockgate_core::statement::{Kind, Predicate, Release};
use lockgate_core::types::FunctionDescription;
use lockgate_core::verify::Reliance;
use lockgate_core::{Digest, Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A bundle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// The digest of the whole file.
    pub digest: Digest,
    /// Bytes of the file.
    pub size: u64,
    /// When it came.
    pub uploaded: Timestamp,
    /// Who brought it.
    pub uploaded_by: String,
    /// The version, and the digest of what is signed.
    pub release: Release,
    /// What a job that runs it goes on relying on.
    pub reliance: Reliance,
    /// All that is signed.
    pub predicate: Predicate,
    /// What each component's `describe` says, as signed.
    pub descriptions: BTreeMap<Name, Vec<FunctionDescription>>,
}

impl Bundle {
    /// The job that it is a version of.
    pub fn job(&self) -> &Name {
        &self.predicate.manifest.job.name
    }

    /// Whether it is a job's.
    pub fn is_job(&self) -> bool {
        self.predicate.kind == Kind::Job
    }
}

impl Record for Bundle {
    const NAME: &'static str = "a bundle";
}
