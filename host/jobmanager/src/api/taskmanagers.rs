//! TaskManagers: which have joined, how they are, and what the operator wants of them.

use super::answer::List;
use super::extract::{ListParams, Narrowed};
use super::{Api, Problem};
use crate::model::taskmanager;
use crate::model::{Kept, taskmanager::State};
use crate::service::Call;
use crate::service::taskmanagers::Shown;
use axum::Json;
use axum::extract::State as Of;
use lockgate_core::{Name, Timestamp};
use serde::Serialize;
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
        let Shown { record, observed, about } = shown;
        let taskmanager::TaskManager { name, joined, joined_by, state, certificates } = record;
        let offer = observed.as_ref().map(|observed| &observed.offer);
        Self {
            name,
            state,
            joined,
            joined_by,
            certificate_expires: certificates.iter().map(|issued| issued.expires).max(),
            heard: observed.as_ref().map(|observed| observed.heard.into()),
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
