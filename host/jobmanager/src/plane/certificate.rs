//! `POST /plane/v1/certificate`: the next certificate, under the present one.

use super::peer::Peer;
use crate::api::Problem;
use crate::server::{BodyLimit, refusal_in};
use crate::service::Service;
use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Json, Router};
use http_body_util::{BodyExt as _, Limited};
use lockgate_core::error::code;
use lockgate_core::plane::{Certificate, MAX_REQUEST, Renew, path};
use lockgate_core::{Error, Result};
use std::sync::Arc;

/// What a request for a certificate may have around it.
const AROUND: usize = 4 << 10;

pub(super) fn routes(service: Arc<Service>) -> Router {
    Router::new().route(path::CERTIFICATE, post(renew)).with_state(service)
}

async fn renew(
    State(service): State<Arc<Service>>,
    Extension(peer): Extension<Peer>,
    Extension(limit): Extension<BodyLimit>,
    body: Body,
) -> Result<Json<Certificate>, Problem> {
    limit.raise(u64::try_from(MAX_REQUEST + AROUND).unwrap_or(u64::MAX));
    let bytes = Limited::new(body, MAX_REQUEST + AROUND).collect().await.map_err(|error| {
        refusal_in(&*error).unwrap_or_else(|| Error::new(code::PLANE_MESSAGE, "the request did not come to its end"))
    })?;
    let renew: Renew = serde_json::from_slice(&bytes.to_bytes())
        .map_err(|_| Error::new(code::PLANE_MESSAGE, "the request is no request for a certificate"))?;
    Ok(Json(service.renew_certificate(&peer.name, &renew.request).await?))
}
