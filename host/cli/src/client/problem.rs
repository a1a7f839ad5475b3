//! A refusal as an error: `application/problem+json` (RFC 9457) keeps its code, its words and the request's id.
//!
//! What it says is a stranger's text: bounded here, and shown with its control characters spelt out like all other.

use lockgate_core::error::code;
use lockgate_core::{Code, Error};
use lockgate_http::{Parts, StatusCode, header};
use serde_json::Value;
use std::time::Duration;

/// The most characters of a text that are kept.
const MAX_TEXT: usize = 2_000;

/// The error that a refusal tells.
pub(super) fn read(head: &Parts, body: &[u8], server: &str) -> Error {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let place = match header("x-request-id") {
        Some(id) => format!("{server}, request {}", cut(id)),
        None => server.to_owned(),
    };
    let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(cut);
    let Some(name) = text("code") else {
        let cause = format!("the server answers {} without saying why", head.status);
        return Error::new(code::ANSWER_MALFORMED, cause).at(place);
    };
    let detail = text("detail").unwrap_or_else(|| head.status.to_string());
    let error = match name.parse::<Code>() {
        Ok(code) => Error::new(code, detail),
        Err(_) => Error::new(code::UNKNOWN_PROBLEM, format!("{name}: {detail}")),
    };
    let error = error.at(place);
    match text("help") {
        Some(help) => error.help(help),
        None => error,
    }
}

/// After how long a refused request may be sent again, if the server did nothing and that may change soon.
pub(super) fn wait(head: &Parts, code: Code) -> Option<Duration> {
    let soon = matches!(code, code::TOO_MANY_REQUESTS | code::BUSY | code::CONTENDED)
        || (head.status == StatusCode::SERVICE_UNAVAILABLE && code == code::TOO_MANY_FOLLOWERS);
    let asked = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    soon.then(|| Duration::from_secs(asked.unwrap_or(0)))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
