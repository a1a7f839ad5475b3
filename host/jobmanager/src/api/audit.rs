//! The audit log.

use super::extract::{Input, pairs, unknown};
use super::{Api, Problem};
use crate::service::Call;
use crate::service::audit::Cut;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most records of one answer.
const MAX_RECORDS: usize = 1_000;

/// Where the audit log is to be cut off.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PruneAudit {
    /// The number of the last record that goes: one at which a checkpoint was signed.
    before_checkpoint: u64,
}

/// What the audit log begins with now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Pruned {
    /// The number of the last record that is gone.
    sequence: u64,
    /// Its hash, which the checkpoint that the log begins with pins.
    #[schema(value_type = String)]
    hash: Digest,
    /// How many records went.
    removed: u64,
}

/// Removes the beginning of the audit log, up to a record at which a checkpoint was signed. The log begins with that
/// checkpoint then and is verified from there on.
#[utoipa::path(post, path = "/api/v1/audit/prune", tag = "audit", request_body = PruneAudit,
    responses((status = 200, description = "It is gone", body = Pruned)))]
pub(super) async fn prune_audit(
    State(api): State<Api>,
    call: Call,
    Input { value, .. }: Input<PruneAudit>,
) -> Result<Json<Pruned>, Problem> {
    let Cut { head, removed } = api.service.prune_audit(&call, value.before_checkpoint).await?;
    Ok(Json(Pruned { sequence: head.sequence, hash: head.hash, removed }))
}

/// The audit log behind the record numbered `after`, as JSON lines in the form in which they are hashed. `Audit-Next` in the
/// answer is the `after` of the next part. A tenant's auditor gets the records about his tenant.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit",
    params(("after" = Option<u64>, Query), ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000)),
    responses((status = 200, description = "The lines", body = String, content_type = "application/x-ndjson",
        headers(("Audit-Next" = u64), ("Audit-Whole" = bool)))))]
pub(super) async fn read_audit(State(api): State<Api>, call: Call, request: Request) -> Result<Response, Problem> {
    let (mut after, mut limit) = (0, 100);
    for (key, value) in pairs(&request.into_parts().0)? {
        let refuse = || Error::new(code::MALFORMED_REQUEST, format!("`{key}` is not a number in its range"));
        match key.as_str() {
            "after" => after = value.parse().map_err(|_| refuse())?,
            "limit" => {
                let number = value.parse().ok().filter(|limit| (1..=MAX_RECORDS).contains(limit));
                limit = number.ok_or_else(refuse)?;
            }
            _ => return Err(unknown(&key).into()),
        }
    }
    let lines = api.service.audit_log(&call, after, limit).await?;
    let mut text = lines.lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert("audit-next", HeaderValue::from(lines.next));
    headers.insert("audit-whole", HeaderValue::from_static(if lines.whole { "true" } else { "false" }));
    Ok(response)
}
