//! Join tokens: made by the operator, each for one TaskManager to join.

use super::answer::{List, made};
use super::extract::{At, Input, ListParams, Narrowed};
use super::{Api, Problem};
use crate::credentials::JoinTokenRecord;
use crate::service::Call;
use crate::service::join::IssuedJoin;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// A join token that was not used, without what would let anybody use it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct JoinToken {
    /// Its public id.
    id: String,
    /// The one name under which it may be used; any that is free if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    name: Option<Name>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// By whom.
    created_by: String,
    /// From when on it is not taken.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// The token itself: in the answer to the request that made it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// What a join token is made of.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct CreateJoinToken {
    /// The one name under which it may be used, be it that of a TaskManager that is to join anew; any that is free if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Option<Name>,
    /// Seconds for which it is taken, 60 to 86400; as the configuration says if absent.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 86400)]
    seconds: Option<u32>,
}

impl From<JoinTokenRecord> for JoinToken {
    fn from(record: JoinTokenRecord) -> Self {
        let JoinTokenRecord { id, name, created, created_by, expires, hash: _ } = record;
        Self { id, name, created, created_by, expires, token: None }
    }
}

/// The join tokens that were not used. `name` is compared with the names that they are for.
#[utoipa::path(get, path = "/api/v1/join-tokens", tag = "taskmanagers", params(ListParams),
    responses((status = 200, description = "A page of them", body = List<JoinToken>)))]
pub(super) async fn list_join_tokens(
    State(api): State<Api>,
    call: Call,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<JoinToken>>, Problem> {
    Ok(Json(List::of(api.service.join_tokens(&call, &filter).await?, |kept| kept.record.into())))
}

/// Makes a join token.
#[utoipa::path(post, path = "/api/v1/join-tokens", tag = "taskmanagers", request_body = CreateJoinToken,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again")),
    responses((status = 201, description = "It is made, and shown this once", body = JoinToken), (status = 200, description = "It was made by an earlier request under this key, and is not shown again", body = JoinToken)))]
pub(super) async fn create_join_token(
    State(api): State<Api>,
    call: Call,
    Input { value, key }: Input<CreateJoinToken>,
) -> Result<Response, Problem> {
    let lifetime = value.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let token = api.service.create_join_token(&call, key.as_ref(), value.name.as_ref(), lifetime).await?;
    let IssuedJoin { record, text } = token.thing;
    let location = format!("/api/v1/join-tokens/{}", record.id);
    let text = text.map(|text| text.expose().clone());
    Ok(made(token.replayed, 0, &location, JoinToken { token: text, ..record.into() }))
}

/// Deletes a join token, which is not taken from then on.
#[utoipa::path(delete, path = "/api/v1/join-tokens/{id}", tag = "taskmanagers", params(("id" = String, Path)),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete_join_token(
    State(api): State<Api>,
    call: Call,
    At(id): At<String>,
) -> Result<StatusCode, Problem> {
    api.service.delete_join_token(&call, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
