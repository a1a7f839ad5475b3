//! A [`Caller`] as an argument of a route.

use super::Caller;
use crate::server::Refusal;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use lockgate_core::Error;
use lockgate_core::error::code;

/// What the server's layer found out before any route ran. Where that layer is missing nobody comes in.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Refusal(Error::new(code::UNAUTHENTICATED, "the request has no credential")))
    }
}
