//! An error as an answer: `application/problem+json` (RFC 9457) with the `LG` code, and the status that fits it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockgate_core::error::code;
use lockgate_core::{Code, Error};
use serde::Serialize;
use std::time::Duration;

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

/// RFC 9457, with the code and the help as members of our own.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: String,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = status(error.code());
        let problem = Problem {
            r#type: format!("urn:lockgate:error:{}", error.code()),
            title: error.code().title(),
            status: status.as_u16(),
            code: error.code().to_string(),
            detail: error.cause(),
            help: error.help_text(),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lockgate\""));
        }
        response
    }
}

/// The status of an error of the server, of credentials and of access. What else there is belongs to the routes.
pub fn status(code: Code) -> StatusCode {
    match code {
        code::HOST_REFUSED => StatusCode::MISDIRECTED_REQUEST,
        code::BODY_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        code::BODY_TOO_SLOW => StatusCode::REQUEST_TIMEOUT,
        code::BODY_ENCODED => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code::TARGET_REFUSED => StatusCode::BAD_REQUEST,
        code::REQUEST_TIMEOUT | code::BUSY | code::IDENTITY_PROVIDER => StatusCode::SERVICE_UNAVAILABLE,
        code::UNAUTHENTICATED
        | code::CREDENTIAL_REFUSED
        | code::CREDENTIAL_EXPIRED
        | code::TOKEN_MALFORMED
        | code::JOIN_TOKEN
        | code::SETUP_TOKEN_USED => StatusCode::UNAUTHORIZED,
        code::SEVERAL_CREDENTIALS => StatusCode::BAD_REQUEST,
        code::FORBIDDEN | code::NO_ROLE | code::AUTHORIZATION_SERVICE => StatusCode::FORBIDDEN,
        code::NOT_FOUND => StatusCode::NOT_FOUND,
        code::TOO_MANY_REQUESTS | code::TOO_MANY_FAILURES | code::QUOTA_EXCEEDED => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
