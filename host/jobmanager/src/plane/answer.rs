//! Messages of the plane as bodies: read within a bound, answered as JSON or as a problem with its code.

use super::Peer;
use crate::api::Problem;
use crate::server::{BodyLimit, refusal_in};
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// From how many bytes on a body is decoded on a thread that may block.
const LARGE: usize = 256 << 10;

/// Who asks, and what, in at most `most` bytes.
///
/// # Errors
/// `LG1401` if nobody was found out to ask, `LG1405` if the body is too large or none of these messages.
pub(super) async fn read<T: DeserializeOwned + Send + 'static>(request: Request, most: usize) -> Result<(Peer, T)> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned();
    let peer = peer.ok_or_else(|| Error::new(code::PLANE_REFUSED, "the request is from no TaskManager"))?;
    if let Some(limit) = parts.extensions.get::<BodyLimit>() {
        limit.raise(most as u64);
    }
    let bytes = to_bytes(body, most).await.map_err(|error| {
        let otherwise = || Error::new(code::PLANE_MESSAGE, format!("the message could not be read: {error}"));
        refusal_in(&error).unwrap_or_else(otherwise)
    })?;
    let large = bytes.len() > LARGE;
    let decode = move || {
        serde_json::from_slice(&bytes).map_err(|error| {
            let at = format!("line {}, column {}", error.line(), error.column());
            Error::new(code::PLANE_MESSAGE, format!("the message is malformed at {at}"))
        })
    };
    let message = if large {
        let stopped = |error| Error::new(code::INTERNAL, format!("reading a message stopped: {error}"));
        tokio::task::spawn_blocking(decode).await.map_err(stopped)??
    } else {
        decode()?
    };
    Ok((peer, message))
}

/// An answer, or why there is none.
pub(super) struct Answer<T>(pub Result<T>);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let body = self.0.and_then(|value| {
            serde_json::to_vec(&value).map_err(|error| Error::new(code::INTERNAL, format!("an answer: {error}")))
        });
        match body {
            Ok(body) => json(body),
            Err(error) => Problem(error).into_response(),
        }
    }
}

fn json(body: Vec<u8>) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
