//! Trust documents and bundles, for TaskManagers on which something of them is placed by a committed record.

use super::Peer;
use super::answer::Answer;
use super::dispatch::Dispatch;
use crate::api::Problem;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Name, Result};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

/// Bytes that are read from the disk at once.
const CHUNK: usize = 64 << 10;

fn nothing(what: &str) -> Error {
    Error::new(code::NOT_PLACED, format!("nothing of this {what} is placed on the TaskManager"))
}

/// The trust documents of a tenant.
pub(super) async fn trust(
    State(dispatch): State<Arc<Dispatch>>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
) -> Response {
    let answer = async {
        let tenant = Name::new(&tenant).map_err(|_| nothing("tenant's"))?;
        if dispatch.service.placed_jobs(&tenant, &peer.name).await?.is_empty() {
            return Err(nothing("tenant's"));
        }
        dispatch.service.trust_for(&tenant).await
    };
    Answer(answer.await).into_response()
}

/// A bundle's file.
pub(super) async fn bundle(
    State(dispatch): State<Arc<Dispatch>>,
    Extension(peer): Extension<Peer>,
    Path((tenant, digest)): Path<(String, String)>,
) -> Response {
    match file(&dispatch, &peer, &tenant, &digest).await {
        Ok((file, size)) => {
            let chunks = stream::try_unfold(file, |mut file| async move {
                let mut chunk = vec![0; CHUNK];
                let count = file.read(&mut chunk).await?;
                chunk.truncate(count);
                Ok::<_, std::io::Error>((count > 0).then_some((chunk, file)))
            });
            let mut response = Body::from_stream(chunks).into_response();
            let headers = response.headers_mut();
            let kind = HeaderValue::from_static("application/vnd.lockgate.bundle.v1+tar");
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
            response
        }
        Err(error) => Problem(error).into_response(),
    }
}

async fn file(dispatch: &Dispatch, peer: &Peer, tenant: &str, digest: &str) -> Result<(tokio::fs::File, u64)> {
    let named = Name::new(tenant).ok().zip(digest.parse::<Digest>().or_else(|_| Digest::from_hex(digest)).ok());
    let (tenant, digest) = named.ok_or_else(|| nothing("bundle"))?;
    let jobs = dispatch.service.placed_jobs(&tenant, &peer.name).await?;
    let needed = jobs
        .iter()
        .filter_map(|job| job.running())
        .any(|running| running.bundle == digest || running.fallback_of == Some(digest));
    if !needed {
        return Err(nothing("bundle"));
    }
    dispatch.service.open_bundle(&digest)
}
