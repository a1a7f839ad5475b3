//! The record of a run, as the JobManager keeps it: asked for over the plane.

use super::client::{self, Plane, TIMES};
use crate::job::{Answer, LedgerClient};
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{Claim, Claimed, Commit, Committed, MAX_LISTING, Open, Opened, Release, path};
use lockgate_core::{Error, Result};
use lockgate_http::Times;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of an answer to a claim, a commit or a release.
const MAX_ANSWER: usize = 4 << 20;
/// A listing may be long.
const OPENING: Times =
    Times { connect: Duration::from_secs(5), stall: Duration::from_secs(30), whole: Some(Duration::from_secs(120)) };

/// Asks for one job.
pub struct Record {
    plane: Arc<Plane>,
    job: JobId,
}

impl Record {
    /// For `job`.
    pub fn new(plane: Arc<Plane>, job: JobId) -> Self {
        Self { plane, job }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        to: &str,
        asked: &impl Serialize,
        most: usize,
        times: &Times,
    ) -> Result<T> {
        let to = client::path(to, &[("tenant", self.job.tenant.as_str()), ("job", self.job.name.as_str())]);
        // Whatever may pass has one code for those who ask again.
        self.plane.post(&to, asked, most, times).await.map_err(|error| match client::may_pass(&error) {
            true => Error::new(code::PLANE_UNREACHABLE, error.to_string()),
            false => error,
        })
    }
}

impl LedgerClient for Record {
    fn open<'a>(&'a self, request: &'a Open) -> Answer<'a, Opened> {
        Box::pin(self.ask(path::OPEN, request, MAX_LISTING, &OPENING))
    }

    fn claim<'a>(&'a self, request: &'a Claim) -> Answer<'a, Claimed> {
        Box::pin(self.ask(path::CLAIM, request, MAX_ANSWER, &TIMES))
    }

    fn commit<'a>(&'a self, request: &'a Commit) -> Answer<'a, Committed> {
        Box::pin(self.ask(path::COMMIT, request, MAX_ANSWER, &TIMES))
    }

    fn release<'a>(&'a self, request: &'a Release) -> Answer<'a, ()> {
        Box::pin(async { self.ask::<Value>(path::RELEASE, request, MAX_ANSWER, &TIMES).await.map(drop) })
    }
}
