//! Backups.

use super::extract::Input;
use super::{Api, Problem};
use crate::backup::Recipient;
use crate::service::Call;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use lockgate_core::Error;
use lockgate_core::error::code;
use serde::Deserialize;
use utoipa::ToSchema;

/// What backup is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct MakeBackup {
    /// The public key that it is encrypted to (`lockgate keys generate --for backup`).
    #[schema(pattern = "^lockgate-backup-public-key-v1:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")]
    recipient: String,
}

/// Everything that the JobManager keeps at this moment, encrypted, as one stream for `lockgate restore`, which refuses one
/// that ends early. One is made at a time.
#[utoipa::path(post, path = "/api/v1/backup", tag = "system", request_body = MakeBackup,
    responses((status = 200, description = "The backup", body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn make_backup(
    State(api): State<Api>,
    call: Call,
    Input { value, .. }: Input<MakeBackup>,
) -> Result<Response, Problem> {
    let malformed = |error: Error| Error::new(code::MALFORMED_REQUEST, error.cause().to_owned());
    let recipient: Recipient = value.recipient.parse().map_err(malformed)?;
    let pieces = api.service.backup(&call, recipient).await?;
    let pieces = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}
