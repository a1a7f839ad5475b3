//! Answers: JSON with the revision as ETag (RFC 9110, section 8.8.3), and pages of lists.

use crate::model::Kept;
use crate::service::Page;
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether an earlier request under the same key made what the answer shows.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A page of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct List<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The `cursor` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A page, each thing as `show` has it.
    pub fn of<R>(page: Page<R>, show: impl FnMut(Kept<R>) -> T) -> Self {
        Self { items: page.items.into_iter().map(show).collect(), next: page.next }
    }
}

/// An answer with the ETag of what it shows.
pub(super) fn tagged(status: StatusCode, revision: u64, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    let tag = (revision > 0).then(|| HeaderValue::try_from(format!("\"{revision}\"")).ok());
    if let Some(tag) = tag.flatten() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The answer to a request that makes something.
pub(super) fn made(replayed: bool, revision: u64, location: &str, body: impl Serialize) -> Response {
    let mut response = tagged(if replayed { StatusCode::OK } else { StatusCode::CREATED }, revision, body);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
