//! Members and tokens: a tenant's under `/tenants/{tenant}`, those of the operator's people beside it.

use super::answer::{List, made, tagged};
use super::extract::{At, IfMatch, Input, ListParams, Narrowed};
use super::{Api, Problem};
use crate::access::{Action, Role};
use crate::credentials::{self, TokenRecord};
use crate::model::Kept;
use crate::service::tokens::{Issued, NewToken};
use crate::service::{Call, Made};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A member.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Member {
    /// Who: `user:ana`, `service:ci`.
    principal: String,
    /// What he is: `tenant-admin`, `deployer`, `viewer`, `auditor`; `operator` and `auditor` among the operator's people.
    #[schema(value_type = Vec<String>)]
    roles: BTreeSet<Role>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
}

/// What a member is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SetMember {
    /// All his roles.
    #[schema(value_type = Vec<String>)]
    roles: BTreeSet<Role>,
}

/// A token, without what would let anybody use it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Token {
    /// Its public id.
    id: String,
    /// Whose it is.
    principal: String,
    /// What it is for.
    label: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// By whom.
    created_by: String,
    /// From when on it is not taken.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// What it is narrowed to; absent if to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Option<BTreeSet<Action>>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked: Option<Timestamp>,
    /// When it was last used, to within an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used: Option<Timestamp>,
    /// The token itself: in the answer to the request that made it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// What a token is made of.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct CreateToken {
    /// Whose; one's own if absent.
    #[serde(default)]
    principal: Option<String>,
    /// What it is for.
    #[serde(default)]
    label: String,
    /// Days for which it is taken, 1 to 366; 90 if absent.
    #[serde(default = "ninety")]
    #[schema(minimum = 1, maximum = 366)]
    days: u32,
    /// What it is narrowed to; all that its owner may do if absent.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Option<BTreeSet<Action>>,
}

fn ninety() -> u32 {
    90
}

impl From<credentials::Member> for Member {
    fn from(member: credentials::Member) -> Self {
        let credentials::Member { principal, roles, created } = member;
        Self { principal, roles, created }
    }
}

impl From<TokenRecord> for Token {
    fn from(token: TokenRecord) -> Self {
        let TokenRecord { id, principal, label, created, created_by, expires, scopes, revoked, last_used, .. } = token;
        Self { id, principal, label, created, created_by, expires, scopes, revoked, last_used, token: None }
    }
}

fn member(kept: Kept<credentials::Member>) -> Response {
    tagged(StatusCode::OK, kept.revision, Member::from(kept.record))
}

fn issued(token: Made<Issued>, place: &str) -> Response {
    let Issued { record, text } = token.thing;
    let location = format!("{place}/{}", record.id);
    let text = text.map(|text| text.expose().clone());
    made(token.replayed, 0, &location, Token { token: text, ..record.into() })
}

impl From<CreateToken> for NewToken {
    fn from(token: CreateToken) -> Self {
        let CreateToken { principal, label, days, scopes } = token;
        Self { principal, label, days, scopes }
    }
}

/// The operator's people.
#[utoipa::path(get, path = "/api/v1/members", tag = "members", params(ListParams),
    responses((status = 200, description = "A page of them", body = List<Member>)))]
pub(super) async fn list_operators(
    State(api): State<Api>,
    call: Call,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Member>>, Problem> {
    Ok(Json(List::of(api.service.members(&call, None, &filter).await?, |kept| kept.record.into())))
}

/// One of the operator's people.
#[utoipa::path(get, path = "/api/v1/members/{principal}", tag = "members", params(("principal" = String, Path)),
    responses((status = 200, description = "He", body = Member)))]
pub(super) async fn get_operator(
    State(api): State<Api>,
    call: Call,
    At(principal): At<String>,
) -> Result<Response, Problem> {
    Ok(member(api.service.member(&call, None, &principal).await?))
}

/// Makes somebody one of the operator's people, or gives him other roles. Replacing takes his ETag as `If-Match`.
#[utoipa::path(put, path = "/api/v1/members/{principal}", tag = "members", request_body = SetMember,
    params(("principal" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "As he is now", body = Member)))]
pub(super) async fn set_operator(
    State(api): State<Api>,
    call: Call,
    At(principal): At<String>,
    IfMatch(precondition): IfMatch,
    Input { value, .. }: Input<SetMember>,
) -> Result<Response, Problem> {
    Ok(member(api.service.set_member(&call, None, &principal, &value.roles, precondition).await?))
}

/// Removes one of the operator's people and revokes his tokens.
#[utoipa::path(delete, path = "/api/v1/members/{principal}", tag = "members",
    params(("principal" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "He is none any more")))]
pub(super) async fn remove_operator(
    State(api): State<Api>,
    call: Call,
    At(principal): At<String>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    api.service.remove_member(&call, None, &principal, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A tenant's members.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/members", tag = "members",
    params(("tenant" = String, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<Member>)))]
pub(super) async fn list_members(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Member>>, Problem> {
    Ok(Json(List::of(api.service.members(&call, Some(&tenant), &filter).await?, |kept| kept.record.into())))
}

/// A member of a tenant.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/members/{principal}", tag = "members",
    params(("tenant" = String, Path), ("principal" = String, Path)),
    responses((status = 200, description = "He", body = Member)))]
pub(super) async fn get_member(
    State(api): State<Api>,
    call: Call,
    At((tenant, principal)): At<(Name, String)>,
) -> Result<Response, Problem> {
    Ok(member(api.service.member(&call, Some(&tenant), &principal).await?))
}

/// Makes somebody a member of a tenant, or gives him other roles. The operator's people appoint its administrators.
/// Replacing takes his ETag as `If-Match`.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/members/{principal}", tag = "members", request_body = SetMember,
    params(("tenant" = String, Path), ("principal" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "As he is now", body = Member)))]
pub(super) async fn set_member(
    State(api): State<Api>,
    call: Call,
    At((tenant, principal)): At<(Name, String)>,
    IfMatch(precondition): IfMatch,
    Input { value, .. }: Input<SetMember>,
) -> Result<Response, Problem> {
    Ok(member(api.service.set_member(&call, Some(&tenant), &principal, &value.roles, precondition).await?))
}

/// Removes a member from a tenant and revokes his tokens there.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/members/{principal}", tag = "members",
    params(("tenant" = String, Path), ("principal" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "He is none any more")))]
pub(super) async fn remove_member(
    State(api): State<Api>,
    call: Call,
    At((tenant, principal)): At<(Name, String)>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    api.service.remove_member(&call, Some(&tenant), &principal, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The tokens of the operator's people: all, or one's own. `name` is compared with their owners.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", params(ListParams),
    responses((status = 200, description = "A page of them", body = List<Token>)))]
pub(super) async fn list_operator_tokens(
    State(api): State<Api>,
    call: Call,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Token>>, Problem> {
    Ok(Json(List::of(api.service.tokens(&call, None, &filter).await?, |kept| kept.record.into())))
}

/// Makes a token for one of the operator's people.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = CreateToken,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again")),
    responses((status = 201, description = "It is made, and shown this once", body = Token), (status = 200, description = "It was made by an earlier request under this key, and is not shown again", body = Token)))]
pub(super) async fn create_operator_token(
    State(api): State<Api>,
    call: Call,
    Input { value, key }: Input<CreateToken>,
) -> Result<Response, Problem> {
    let token = api.service.create_token(&call, key.as_ref(), None, &value.into()).await?;
    Ok(issued(token, "/api/v1/tokens"))
}

/// Revokes a token of one of the operator's people.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    responses((status = 204, description = "It is not taken any more")))]
pub(super) async fn revoke_operator_token(
    State(api): State<Api>,
    call: Call,
    At(id): At<String>,
) -> Result<StatusCode, Problem> {
    api.service.revoke_token(&call, None, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The tokens of a tenant's members: all, or one's own. `name` is compared with their owners.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/tokens", tag = "tokens",
    params(("tenant" = String, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<Token>)))]
pub(super) async fn list_tokens(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Token>>, Problem> {
    Ok(Json(List::of(api.service.tokens(&call, Some(&tenant), &filter).await?, |kept| kept.record.into())))
}

/// Makes a token for a member of a tenant. The operator's people make the first ones of its administrators.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/tokens", tag = "tokens", request_body = CreateToken,
    params(("tenant" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "Makes it safe to send the request again")),
    responses((status = 201, description = "It is made, and shown this once", body = Token), (status = 200, description = "It was made by an earlier request under this key, and is not shown again", body = Token)))]
pub(super) async fn create_token(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    Input { value, key }: Input<CreateToken>,
) -> Result<Response, Problem> {
    let token = api.service.create_token(&call, key.as_ref(), Some(&tenant), &value.into()).await?;
    Ok(issued(token, &format!("/api/v1/tenants/{tenant}/tokens")))
}

/// Revokes a token of a tenant's member.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/tokens/{id}", tag = "tokens",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 204, description = "It is not taken any more")))]
pub(super) async fn revoke_token(
    State(api): State<Api>,
    call: Call,
    At((tenant, id)): At<(Name, String)>,
) -> Result<StatusCode, Problem> {
    api.service.revoke_token(&call, Some(&tenant), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
