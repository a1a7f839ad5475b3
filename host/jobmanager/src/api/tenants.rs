//! Tenants.

use super::answer::{List, made, tagged};
use super::extract::{At, IfMatch, Input, ListParams, Narrowed};
use super::{Api, Problem};
use crate::model::Kept;
use crate::model::label::Labels;
use crate::model::tenant;
use crate::service::Call;
use crate::service::tenants::{NewTenant, TenantChange};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A tenant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Tenant {
    /// Its name: the id in its trust documents.
    #[schema(value_type = String)]
    name: Name,
    /// Whether it may do anything.
    #[schema(inline)]
    state: TenantState,
    /// What users find it by.
    labels: Labels,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// Who made it.
    created_by: String,
}

/// Whether a tenant may do anything.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TenantState {
    /// It may.
    Active,
    /// Its jobs are stopped, nothing new is taken.
    Suspended,
    /// It is gone; its name stays taken.
    Closed,
}

impl From<tenant::Tenant> for Tenant {
    fn from(tenant: tenant::Tenant) -> Self {
        let state = match tenant.state {
            tenant::State::Active => TenantState::Active,
            tenant::State::Suspended => TenantState::Suspended,
            tenant::State::Closed => TenantState::Closed,
        };
        let tenant::Tenant { name, created, created_by, labels, .. } = tenant;
        Self { name, state, labels, created, created_by }
    }
}

/// What a tenant is made of.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct CreateTenant {
    /// Its name.
    #[schema(value_type = String, pattern = "^[a-z][a-z0-9-]{0,62}$")]
    name: Name,
    /// What users find it by.
    #[serde(default)]
    labels: Labels,
}

/// What changes of a tenant.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ChangeTenant {
    /// All labels anew.
    #[serde(default)]
    labels: Option<Labels>,
    /// Suspended, or active again.
    #[serde(default)]
    suspended: Option<bool>,
}

fn show(status: StatusCode, kept: Kept<tenant::Tenant>) -> Response {
    tagged(status, kept.revision, Tenant::from(kept.record))
}

/// The tenants that the caller may see.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", params(ListParams),
    responses((status = 200, description = "A page of them", body = List<Tenant>)))]
pub(super) async fn list_tenants(
    State(api): State<Api>,
    call: Call,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Tenant>>, Problem> {
    let page = api.service.tenants(&call, &filter).await?;
    Ok(Json(List::of(page, |kept| kept.record.into())))
}

/// Makes a tenant.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", request_body = CreateTenant,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again")),
    responses((status = 201, description = "It is made", body = Tenant), (status = 200, description = "It was made by an earlier request under this key", body = Tenant)))]
pub(super) async fn create_tenant(
    State(api): State<Api>,
    call: Call,
    Input { value, key }: Input<CreateTenant>,
) -> Result<Response, Problem> {
    let new = NewTenant { name: value.name, labels: value.labels };
    let tenant = api.service.create_tenant(&call, key.as_ref(), &new).await?;
    let (location, kept) = (format!("/api/v1/tenants/{}", new.name), tenant.thing);
    Ok(made(tenant.replayed, kept.revision, &location, Tenant::from(kept.record)))
}

/// A tenant.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}", tag = "tenants", params(("tenant" = String, Path)),
    responses((status = 200, description = "It", body = Tenant)))]
pub(super) async fn get_tenant(State(api): State<Api>, call: Call, At(tenant): At<Name>) -> Result<Response, Problem> {
    Ok(show(StatusCode::OK, api.service.get_tenant(&call, &tenant).await?))
}

/// Changes a tenant's labels, suspends it or lets it go on.
#[utoipa::path(patch, path = "/api/v1/tenants/{tenant}", tag = "tenants", request_body = ChangeTenant,
    params(("tenant" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "As it is now", body = Tenant)))]
pub(super) async fn change_tenant(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    IfMatch(precondition): IfMatch,
    Input { value, .. }: Input<ChangeTenant>,
) -> Result<Response, Problem> {
    let change = TenantChange { labels: value.labels, suspended: value.suspended };
    Ok(show(StatusCode::OK, api.service.change_tenant(&call, &tenant, &change, &precondition).await?))
}

/// Closes a tenant for good. Its name stays taken.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is closed")))]
pub(super) async fn close_tenant(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    api.service.close_tenant(&call, &tenant, &precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
