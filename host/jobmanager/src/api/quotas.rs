//! Quotas.

use super::answer::tagged;
use super::extract::{At, IfMatch, Input};
use super::{Api, Problem};
use crate::fair_use::Kind;
use crate::service::Call;
use crate::service::quotas::QuotaUse;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockgate_core::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A tenant's quota and its use, each by kind: `jobs`, `slots`, `memory` and so on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Quota {
    /// What is set for this tenant.
    #[schema(value_type = BTreeMap<String, u64>)]
    set: BTreeMap<Kind, u64>,
    /// What counts: what is set, and defaults elsewhere.
    allowed: BTreeMap<&'static str, u64>,
    /// What is taken up.
    used: BTreeMap<&'static str, u64>,
}

/// A quota as a whole. What is left out has the JobManager's default.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SetQuota {
    /// By kind.
    #[schema(value_type = BTreeMap<String, u64>)]
    set: BTreeMap<Kind, u64>,
}

fn show(quota: QuotaUse) -> Response {
    let all = |value: &dyn Fn(Kind) -> u64| Kind::ALL.iter().map(|kind| (kind.as_str(), value(*kind))).collect();
    let allowed = all(&|kind| quota.quota.get(kind));
    let used = all(&|kind| quota.usage.get(kind));
    tagged(StatusCode::OK, quota.revision, Quota { set: quota.own, allowed, used })
}

/// A tenant's quota and its use.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/quota", tag = "quotas", params(("tenant" = String, Path)),
    responses((status = 200, description = "Both", body = Quota)))]
pub(super) async fn get_quota(State(api): State<Api>, call: Call, At(tenant): At<Name>) -> Result<Response, Problem> {
    Ok(show(api.service.quota(&call, &tenant).await?))
}

/// Sets a tenant's quota. Replacing one takes its ETag as `If-Match`.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/quota", tag = "quotas", request_body = SetQuota,
    params(("tenant" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "As it is now", body = Quota)))]
pub(super) async fn set_quota(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    IfMatch(precondition): IfMatch,
    Input { value, .. }: Input<SetQuota>,
) -> Result<Response, Problem> {
    Ok(show(api.service.set_quota(&call, &tenant, &value.set, precondition).await?))
}
