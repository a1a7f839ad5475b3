//! The record of a run, as TaskManagers change it.

use super::answer::{Answer, read};
use super::dispatch::Dispatch;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{Claim, Commit, Fence, MAX_LISTING, Open, Release};
use lockgate_core::{Error, Name, Result};
use serde_json::json;
use std::sync::Arc;

/// The most bytes of a commit.
const MAX_COMMIT: usize = 8 << 20;
/// The most bytes of what only says which slot and which lease.
const MAX_SMALL: usize = 16 << 10;

type Of = Path<(String, String)>;

/// The job that a path names.
pub(super) fn job((tenant, job): (String, String)) -> Result<JobId> {
    let name = |text: &str| Name::new(text).map_err(|_| Error::new(code::NOT_PLACED, "the path names no job"));
    Ok(JobId { tenant: name(&tenant)?, name: name(&job)? })
}

impl Dispatch {
    /// Refuses a process of a TaskManager whose place another one has, before its leases are found to be over.
    ///
    /// # Errors
    /// `LG1410`.
    pub(super) fn present(&self, peer: &Name, fence: &Fence) -> Result<()> {
        if !self.mailboxes.is_former(peer, &fence.session) {
            return Ok(());
        }
        Err(Error::new(code::FENCED, format!("another process has the place of {peer} by now")))
    }
}

/// A TaskManager is about to run a job's slots.
pub(super) async fn open(State(dispatch): State<Arc<Dispatch>>, Path(of): Of, request: Request) -> Response {
    let answer = async {
        let (peer, open) = read::<Open>(request, MAX_LISTING).await?;
        dispatch.present(&peer.name, &open.fence)?;
        dispatch.ledger.open(&peer.name, &job(of)?, open).await
    };
    Answer(answer.await).into_response()
}

/// A slot asks for a split.
pub(super) async fn claim(State(dispatch): State<Arc<Dispatch>>, Path(of): Of, request: Request) -> Response {
    let answer = async {
        let (peer, claim) = read::<Claim>(request, MAX_SMALL).await?;
        dispatch.present(&peer.name, &claim.fence)?;
        dispatch.ledger.claim(&peer.name, &job(of)?, &claim).await
    };
    Answer(answer.await).into_response()
}

/// A slot commits.
pub(super) async fn commit(State(dispatch): State<Arc<Dispatch>>, Path(of): Of, request: Request) -> Response {
    let answer = async {
        let (peer, commit) = read::<Commit>(request, MAX_COMMIT).await?;
        dispatch.present(&peer.name, &commit.fence)?;
        dispatch.ledger.commit(&peer.name, &job(of)?, &commit).await
    };
    Answer(answer.await).into_response()
}

/// Slots give back what they claimed.
pub(super) async fn release(State(dispatch): State<Arc<Dispatch>>, Path(of): Of, request: Request) -> Response {
    let answer = async {
        let (peer, release) = read::<Release>(request, MAX_SMALL).await?;
        dispatch.present(&peer.name, &release.fence)?;
        dispatch.ledger.release(&peer.name, &job(of)?, &release).await.map(|()| json!({}))
    };
    Answer(answer.await).into_response()
}
