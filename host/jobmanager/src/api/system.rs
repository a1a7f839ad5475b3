//! The JobManager itself: who one is to it, its version, its description, its errors.

use super::extract::At;
use super::{Api, Problem};
use crate::access::{Action, Resource, Role, not_found, realm};
use crate::service::Call;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::{Code, Name, error};
use serde::Serialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Who asks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Whoami {
    /// The principal.
    principal: String,
    /// The credential's public id.
    credential: String,
    /// The tenant that he acts in; absent for the operator's people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    tenant: Option<Name>,
    /// What he is there.
    #[schema(value_type = Vec<String>)]
    roles: BTreeSet<Role>,
    /// What he may do, narrowed by the credential's scopes.
    #[schema(value_type = Vec<String>)]
    actions: Vec<Action>,
}

/// The version of the JobManager.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Version {
    /// Of the program.
    version: &'static str,
    /// Of the API.
    api: &'static str,
    /// The trust domain of the cluster.
    domain: String,
}

/// Who asks.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "system",
    responses((status = 200, description = "He", body = Whoami)))]
pub(super) async fn whoami(call: Call) -> Json<Whoami> {
    let caller = call.caller;
    let actions = Action::ALL.iter().copied().filter(|action| realm(&caller, *action).is_some()).collect();
    Json(Whoami {
        actions,
        principal: caller.principal,
        credential: caller.credential,
        tenant: caller.tenant,
        roles: caller.roles,
    })
}

/// The version of the JobManager.
#[utoipa::path(get, path = "/api/v1/version", tag = "system",
    responses((status = 200, description = "It", body = Version)))]
pub(super) async fn version(State(api): State<Api>, _call: Call) -> Json<Version> {
    let domain = api.service.domain().to_string();
    Json(Version { version: env!("CARGO_PKG_VERSION"), api: "v1", domain })
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(super) async fn openapi(State(api): State<Api>, _call: Call) -> Response {
    Json(&*api.document).into_response()
}

/// The page of an error, in Markdown.
#[utoipa::path(get, path = "/api/v1/errors/{code}", tag = "system", params(("code" = String, Path)),
    responses((status = 200, description = "The page", body = String, content_type = "text/markdown")))]
pub(super) async fn explain(_call: Call, At(code): At<String>) -> Result<Response, Problem> {
    let page = code.parse::<Code>().ok().and_then(error::page);
    let page = page.ok_or_else(|| Problem(not_found(&Resource::cluster("error").named(code))))?;
    let mut response = page.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8"));
    Ok(response)
}
