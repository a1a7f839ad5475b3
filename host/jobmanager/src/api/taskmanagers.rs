//! TaskManagers: which have joined, how they are, and what the operator wants of them.

use super::answer::{List, tagged};
use super::extract::{At, IfMatch, Input, ListParams, Narrowed};
use super::{Api, Problem};
use crate::model::Kept;
use crate::model::taskmanager::{self, State};
use crate::service::Call;
use crate::service::taskmanagers::Shown;
use axum::Json;
use axum::extract::State as Of;
use axum::http::StatusCode;
use axum::response::Response;
use lockgate_core::{Name, Timestamp, plane};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A TaskManager. What it says of itself is there once it was heard of since the JobManager started.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TaskManager {
    /// Its name.
    #[schema(value_type = String)]
    name: Name,
    /// `active`, `cordoned`, `draining` or `revoked`.
    #[schema(value_type = String)]
    state: State,
    /// When it joined.
    #[schema(value_type = String, format = DateTime)]
    joined: Timestamp,
    /// The id of the join token that it joined with.
    joined_by: String,
    /// When the last of its certificates expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_expires: Option<Timestamp>,
    /// When it was last heard of.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<Timestamp>,
    /// Its slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<u32>,
    /// Slots that jobs hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    slots_used: Option<u32>,
    /// Bytes of memory for all slots together.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    /// The names of the volumes that it has.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<BTreeSet<Name>>,
    /// The version of its program.
    #[serde(skip_serializing_if = "String::is_empty")]
    program: String,
    /// Walls around executors that its machine lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_walls: Vec<String>,
}

impl From<Shown> for TaskManager {
    fn from(shown: Shown) -> Self {
        let Shown { record, observed, heard, about } = shown;
        let taskmanager::TaskManager { name, joined, joined_by, state, certificates, sessions: _ } = record;
        let offer = observed.as_ref().map(|observed| &observed.offer);
        Self {
            name,
            state,
            joined,
            joined_by,
            certificate_expires: certificates.iter().map(|issued| issued.expires).max(),
            heard,
            slots: offer.map(|offer| offer.slots),
            slots_used: observed
                .as_ref()
                .map(|observed| observed.tasks.iter().map(|task| task.slots).fold(0, u32::saturating_add)),
            memory: offer.map(|offer| offer.memory),
            volumes: offer.map(|offer| offer.volumes.clone()),
            program: about.program,
            missing_walls: about.missing_walls,
        }
    }
}

/// The TaskManagers.
#[utoipa::path(get, path = "/api/v1/taskmanagers", tag = "taskmanagers", params(ListParams),
    responses((status = 200, description = "A page of them", body = List<TaskManager>)))]
pub(super) async fn list_taskmanagers(
    Of(api): Of<Api>,
    call: Call,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<TaskManager>>, Problem> {
    let page = api.service.taskmanagers(&call, &filter).await?;
    Ok(Json(List::of(page, |kept: Kept<taskmanager::TaskManager>| api.service.shown(kept.record).into())))
}

/// What changes of a TaskManager.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ChangeTaskManager {
    /// `active`, `cordoned` (nothing new is placed there), `draining` (what is there goes elsewhere) or `revoked` (it is cut
    /// off, for good).
    #[schema(value_type = String)]
    state: State,
}

/// A TaskManager that wants to join.
#[derive(ToSchema)]
#[schema(as = Join)]
#[expect(dead_code, reason = "describes the message, which is of the plane")]
pub(super) struct JoinBody {
    /// What it wants to be called.
    name: String,
    /// A PKCS #10 request in PEM, of an ECDSA P-256 key and signed with it.
    request: String,
}

/// A TaskManager that has joined.
#[derive(ToSchema)]
#[schema(as = Joined)]
#[expect(dead_code, reason = "describes the message, which is of the plane")]
pub(super) struct JoinedBody {
    /// What it is called.
    name: String,
    /// Its certificate.
    certificate: CertificateBody,
    /// The authority of the plane, in PEM.
    authority: String,
    /// The trust domain of the certificates' names.
    domain: String,
    /// Where the plane listens.
    plane: Vec<String>,
}

/// A certificate of the plane.
#[derive(ToSchema)]
#[schema(as = Certificate)]
#[expect(dead_code, reason = "describes the message, which is of the plane")]
pub(super) struct CertificateBody {
    /// In PEM.
    chain: String,
    /// When to ask for the next one.
    renew_after_seconds: u64,
}

fn show(api: &Api, kept: Kept<taskmanager::TaskManager>) -> Response {
    let shown = TaskManager::from(api.service.shown(kept.record));
    tagged(StatusCode::OK, kept.revision, shown)
}

/// A TaskManager.
#[utoipa::path(get, path = "/api/v1/taskmanagers/{name}", tag = "taskmanagers", params(("name" = String, Path)),
    responses((status = 200, description = "It", body = TaskManager)))]
pub(super) async fn get_taskmanager(Of(api): Of<Api>, call: Call, At(name): At<Name>) -> Result<Response, Problem> {
    let kept = api.service.taskmanager(&call, &name).await?;
    Ok(show(&api, kept))
}

/// Has a TaskManager be active, cordoned, drained or revoked.
#[utoipa::path(patch, path = "/api/v1/taskmanagers/{name}", tag = "taskmanagers", request_body = ChangeTaskManager,
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "As it is now", body = TaskManager)))]
pub(super) async fn change_taskmanager(
    Of(api): Of<Api>,
    call: Call,
    At(name): At<Name>,
    IfMatch(precondition): IfMatch,
    Input { value, .. }: Input<ChangeTaskManager>,
) -> Result<Response, Problem> {
    let kept = api.service.set_taskmanager(&call, &name, value.state, precondition).await?;
    Ok(show(&api, kept))
}

/// Removes a TaskManager that was revoked, or of which nothing was heard for long.
#[utoipa::path(delete, path = "/api/v1/taskmanagers/{name}", tag = "taskmanagers",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Its name is free")))]
pub(super) async fn remove_taskmanager(
    Of(api): Of<Api>,
    call: Call,
    At(name): At<Name>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    api.service.remove_taskmanager(&call, &name, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a TaskManager join. The credential is a join token, which is used up; no other one is taken here.
#[utoipa::path(post, path = "/api/v1/taskmanagers/join", tag = "taskmanagers", request_body = JoinBody,
    responses((status = 200, description = "It has joined", body = JoinedBody)))]
pub(super) async fn join(
    Of(api): Of<Api>,
    call: Call,
    Input { value, .. }: Input<plane::Join>,
) -> Result<Json<plane::Joined>, Problem> {
    Ok(Json(api.service.join(&call, &value).await?))
}
