//! A job: what was asked for and what it has come to, in one record, so that each is decided with sight of the other. The
//! API writes what is wanted, the reconciler what is so.

use super::Record;
use super::label::Labels;
use crate::reconcile::{Execution, Wanted};
use lockgate_core::job_state::State;
use lockgate_core::statement::Release;
use lockgate_core::{Digest, Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most earlier versions of a job that are kept in mind.
pub const MAX_FORMER: usize = 16;

/// A job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Whose.
    pub tenant: Name,
    /// Its name, unique within the tenant.
    pub name: Name,
    /// Random; tells a job from an earlier one of the same name.
    pub id: String,
    /// What users find it by.
    #[serde(default)]
    pub labels: Labels,
    /// Since when.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// What it runs.
    pub deployment: Deployment,
    /// What it ran before, the latest first.
    #[serde(default)]
    pub former: Vec<Deployment>,
    /// The number of the next event.
    pub next_event: u64,
    /// The number of the next exception.
    pub next_exception: u64,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// Where it stands.
    pub execution: Execution,
}

/// A version of a job with what was set for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// The bundle's file.
    pub bundle: Digest,
    /// The version, and the digest of what is signed.
    pub release: Release,
    /// Values of parameters.
    pub parameters: BTreeMap<Name, String>,
    /// The file of the version that names this one as its fallback, if this was admitted as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_of: Option<Digest>,
    /// Since when.
    pub since: Timestamp,
    /// Who asked for it.
    pub by: String,
}

impl Job {
    /// The state that it is in.
    pub fn state(&self) -> State {
        self.execution.state
    }

    /// Whether it takes up slots and memory of its tenant's quota: until it has ended and is not to run again.
    pub fn counts(&self) -> bool {
        !self.state().is_terminal() || self.wanted.run > self.execution.run
    }

    /// The bundles that it needs: the one that it runs and those that it may return to.
    pub fn bundles(&self) -> impl Iterator<Item = &Digest> {
        let deployments = [&self.deployment].into_iter().chain(&self.former);
        deployments.flat_map(|deployment| [&deployment.bundle].into_iter().chain(&deployment.fallback_of))
    }

    /// What it runs now, or is to run next: an upgrade is deployed before it runs.
    pub fn running(&self) -> Option<&Deployment> {
        let mut deployments = [&self.deployment].into_iter().chain(&self.former);
        deployments.find(|deployment| deployment.release == self.execution.release)
    }
}

impl Record for Job {
    const NAME: &'static str = "a job";
}
