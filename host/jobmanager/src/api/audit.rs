//! The audit log.

use super::extract::{pairs, unknown};
use super::{Api, Problem};
use crate::service::Call;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::Error;
use lockgate_core::error::code;

/// The most records of one answer.
const MAX_RECORDS: usize = 1_000;

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
