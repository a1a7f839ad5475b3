//! An error as an answer, the same wherever it comes from: `application/problem+json` (RFC 9457) with the `LG` code, what to
//! do, the request's id, and the status that fits it.

use super::RequestId;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockgate_core::error::code;
use lockgate_core::{Code, Error};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// The media type.
pub const PROBLEM: &str = "application/problem+json";

/// An error that ends a request.
#[derive(Clone, Debug)]
pub struct Refusal(pub Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// An error that ends a request, and after how long it may be tried again.
#[derive(Clone, Debug)]
pub struct RetryLater(pub Error, pub Duration);

impl IntoResponse for RetryLater {
    fn into_response(self) -> Response {
        let Self(error, wait) = self;
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let mut response = Refusal(error).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        response
    }
}

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Problem<'a> {
    /// The page of the error.
    r#type: String,
    /// What the code means, in a few words.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What happened, in one sentence.
    detail: &'a str,
    /// The stable code.
    code: String,
    /// What to do, if there is more to say than on the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    /// The request's id, to be found in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
}

impl Refusal {
    fn body(&self, request: Option<&str>) -> Body {
        let error = &self.0;
        let status = status(error.code());
        // What went wrong inside is for the log.
        let own = status == StatusCode::INTERNAL_SERVER_ERROR;
        let problem = Problem {
            r#type: format!("https://lockgate.dev/errors#{}", error.code().to_string().to_lowercase()),
            title: error.code().title(),
            status: status.as_u16(),
            detail: if own { "something went wrong in the JobManager; its log has the details" } else { error.cause() },
            code: error.code().to_string(),
            help: error.help_text().filter(|_| !own),
            request,
        };
        serde_json::to_vec(&problem).unwrap_or_default().into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = status(self.0.code());
        let mut response = (status, self.body(None)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lockgate\""));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // For who counts refusals, and for who knows the request's id.
        response.extensions_mut().insert(self);
        response
    }
}

/// That an answer has its request's id.
#[derive(Clone)]
struct Named;

/// Puts the request's id into an answer: the header of each, and what a refusal says. Once is enough.
pub(crate) fn name(mut response: Response, id: &RequestId) -> Response {
    if response.extensions_mut().insert(Named).is_some() {
        return response;
    }
    if let Some(refusal) = response.extensions().get::<Refusal>().cloned() {
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %refusal.0, request = id.as_str(), "a request failed");
        }
        *response.body_mut() = refusal.body(Some(id.as_str()));
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if let Ok(value) = HeaderValue::try_from(id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The status of an error.
pub fn status(code: Code) -> StatusCode {
    match code {
        code::HOST_REFUSED => StatusCode::MISDIRECTED_REQUEST,
        code::BODY_TOO_LARGE | code::BUNDLE_TOO_LARGE | code::STORE_LIMIT => StatusCode::PAYLOAD_TOO_LARGE,
        code::BODY_TOO_SLOW => StatusCode::REQUEST_TIMEOUT,
        code::BODY_ENCODED | code::UNSUPPORTED_MEDIA => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code::TARGET_REFUSED
        | code::SEVERAL_CREDENTIALS
        | code::MALFORMED_REQUEST
        | code::INVALID_CURSOR
        | code::INVALID_IDEMPOTENCY_KEY
        | code::INVALID_LABEL
        | code::INVALID_NAME
        | code::INVALID_DIGEST
        | code::UNKNOWN_STATE
        | code::PLANE_MESSAGE => StatusCode::BAD_REQUEST,
        code::REQUEST_TIMEOUT
        | code::BUSY
        | code::IDENTITY_PROVIDER
        | code::CONTENDED
        | code::TOO_MANY_FOLLOWERS
        | code::STORE_FAILED
        | code::STORE_UNCERTAIN
        | code::STORE_CLOSED => StatusCode::SERVICE_UNAVAILABLE,
        code::UNAUTHENTICATED
        | code::CREDENTIAL_REFUSED
        | code::CREDENTIAL_EXPIRED
        | code::TOKEN_MALFORMED
        | code::SETUP_TOKEN_USED
        | code::JOIN_TOKEN => StatusCode::UNAUTHORIZED,
        code::FORBIDDEN | code::NO_ROLE | code::AUTHORIZATION_SERVICE | code::TENANT_INACTIVE | code::PLANE_REFUSED => {
            StatusCode::FORBIDDEN
        }
        code::NOT_FOUND | code::NO_TASKMANAGER | code::NOT_PLACED => StatusCode::NOT_FOUND,
        code::METHOD_NOT_ALLOWED => StatusCode::METHOD_NOT_ALLOWED,
        code::PRECONDITION_FAILED => StatusCode::PRECONDITION_FAILED,
        code::PRECONDITION_REQUIRED => StatusCode::PRECONDITION_REQUIRED,
        code::ALREADY_EXISTS
        | code::WRONG_STATE
        | code::NO_TRUST
        | code::BUNDLE_IN_USE
        | code::CONFLICT
        | code::AUDIT_NO_ANCHOR
        | code::AUDIT_CUT_ALREADY
        | code::JOB_ENDED
        | code::JOB_TRANSITION
        | code::NAME_TAKEN
        | code::NO_PLANE
        | code::FENCED
        | code::SESSION_REPLACED
        | code::LEDGER_CONFLICT
        | code::LEDGER_FULL
        | code::INPUT_CHANGED => StatusCode::CONFLICT,
        code::PLANE_VERSION => StatusCode::UPGRADE_REQUIRED,
        code::IDEMPOTENCY_MISMATCH | code::UNNAMED_DOCUMENT | code::NOT_A_JOB | code::CERTIFICATE_REQUEST => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        code::STORE_FULL => StatusCode::INSUFFICIENT_STORAGE,
        code::TOO_MANY_REQUESTS | code::TOO_MANY_FAILURES | code::QUOTA_EXCEEDED => StatusCode::TOO_MANY_REQUESTS,
        // What verification and planning refuse.
        other if (100..600).contains(&other.number()) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
