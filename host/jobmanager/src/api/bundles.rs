//! Bundles: streamed in and out, shown by what is signed of them.

use super::answer::{List, made, tagged};
use super::extract::{At, IfMatch, ListParams, Narrowed, body_error};
use super::{Api, Problem};
use crate::model::bundle;
use crate::server::BodyLimit;
use crate::service::Call;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lockgate_core::error::code;
use lockgate_core::statement::show;
use lockgate_core::{Digest, Error, Name, Timestamp};
use serde::Serialize;
use tokio::io::AsyncReadExt as _;
use utoipa::ToSchema;

/// The media type of bundles.
const BUNDLE: &str = "application/vnd.lockgate.bundle.v1+tar";
/// Bytes that are read from the disk at once.
const CHUNK: usize = 64 << 10;

/// A bundle.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Bundle {
    /// The digest of the file.
    #[schema(value_type = String)]
    digest: Digest,
    /// Bytes of the file.
    size: u64,
    /// `job` or `function`.
    kind: &'static str,
    /// The job that it is a version of.
    #[schema(value_type = String)]
    job: Name,
    /// Which version.
    version: u64,
    /// The digest of what is signed.
    #[schema(value_type = String)]
    payload: Digest,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    uploaded: Timestamp,
    /// Who brought it.
    uploaded_by: String,
    /// Not to be started from then on.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// What it touches, in words.
    touches: Vec<String>,
    /// What of that the version before did not touch.
    adds: Vec<String>,
    /// The fewest and the most slots.
    parallelism: [u32; 2],
    /// The parameters that a submission may set.
    #[schema(value_type = Vec<String>)]
    parameters: Vec<Name>,
}

/// A bundle's file: a tar archive.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes bytes, which are never held as a whole")]
pub(super) struct BundleFile(Vec<u8>);

impl From<bundle::Bundle> for Bundle {
    fn from(bundle: bundle::Bundle) -> Self {
        let (predicate, manifest) = (&bundle.predicate, &bundle.predicate.manifest);
        Self {
            digest: bundle.digest,
            size: bundle.size,
            kind: if bundle.is_job() { "job" } else { "function" },
            job: bundle.job().clone(),
            version: bundle.release.version,
            payload: bundle.release.digest,
            uploaded: bundle.uploaded,
            uploaded_by: bundle.uploaded_by.clone(),
            expires: predicate.expires,
            touches: predicate.touches().iter().map(show).collect(),
            adds: predicate.adds.iter().map(show).collect(),
            parallelism: [manifest.job.parallelism.min, manifest.job.parallelism.max],
            parameters: manifest.parameters.keys().cloned().collect(),
        }
    }
}

/// A tenant's bundles. `name` is compared with the names of their jobs.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/bundles", tag = "bundles",
    params(("tenant" = String, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<Bundle>)))]
pub(super) async fn list_bundles(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Bundle>>, Problem> {
    let page = api.service.bundles(&call, &tenant, &filter).await?;
    Ok(Json(List::of(page, |kept| kept.record.into())))
}

/// Uploads a bundle. It is kept only if the tenant's trust documents let it start now.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/bundles", tag = "bundles", params(("tenant" = String, Path)),
    request_body(content = BundleFile, content_type = "application/vnd.lockgate.bundle.v1+tar"),
    responses((status = 201, description = "It is kept", body = Bundle), (status = 200, description = "It was here already", body = Bundle)))]
pub(super) async fn post_bundle(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    request: Request,
) -> Result<Response, Problem> {
    upload(&api, &call, &tenant, None, request).await
}

/// Uploads the bundle of this digest. One that is here already is not read again.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/bundles/{digest}", tag = "bundles",
    params(("tenant" = String, Path), ("digest" = String, Path)),
    request_body(content = BundleFile, content_type = "application/vnd.lockgate.bundle.v1+tar"),
    responses((status = 201, description = "It is kept", body = Bundle), (status = 200, description = "It was here already", body = Bundle)))]
pub(super) async fn put_bundle(
    State(api): State<Api>,
    call: Call,
    At((tenant, digest)): At<(Name, Digest)>,
    request: Request,
) -> Result<Response, Problem> {
    upload(&api, &call, &tenant, Some(&digest), request).await
}

async fn upload(
    api: &Api,
    call: &Call,
    tenant: &Name,
    digest: Option<&Digest>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let announced = length(&parts.headers)?;
    if let Some(limit) = parts.extensions.get::<BodyLimit>() {
        limit.raise(api.service.max_bundle());
    }
    let body = body.into_data_stream().map_err(|error| body_error(&error)).boxed();
    let bundle = api.service.upload_bundle(call, tenant, (digest, announced), body).await?;
    let kept = bundle.thing;
    let location = format!("/api/v1/tenants/{tenant}/bundles/{}", kept.record.digest);
    Ok(made(bundle.replayed, kept.revision, &location, Bundle::from(kept.record)))
}

/// The length that is announced, of a body of the right type.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if ![BUNDLE, "application/octet-stream", "application/x-tar"].contains(&kind) {
        return Err(Error::new(code::UNSUPPORTED_MEDIA, format!("the body is not said to be {BUNDLE}")));
    }
    Ok(headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()))
}

/// A bundle: what is signed of it.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/bundles/{digest}", tag = "bundles",
    params(("tenant" = String, Path), ("digest" = String, Path)),
    responses((status = 200, description = "It", body = Bundle)))]
pub(super) async fn get_bundle(
    State(api): State<Api>,
    call: Call,
    At((tenant, digest)): At<(Name, Digest)>,
) -> Result<Response, Problem> {
    let kept = api.service.bundle(&call, &tenant, &digest).await?;
    Ok(tagged(StatusCode::OK, kept.revision, Bundle::from(kept.record)))
}

/// A bundle's file.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/bundles/{digest}/content", tag = "bundles",
    params(("tenant" = String, Path), ("digest" = String, Path)),
    responses((status = 200, description = "The file", body = BundleFile, content_type = "application/vnd.lockgate.bundle.v1+tar")))]
pub(super) async fn download_bundle(
    State(api): State<Api>,
    call: Call,
    At((tenant, digest)): At<(Name, Digest)>,
) -> Result<Response, Problem> {
    let (file, size) = api.service.bundle_file(&call, &tenant, &digest).await?;
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        let count = file.read(&mut chunk).await?;
        chunk.truncate(count);
        Ok::<_, std::io::Error>((count > 0).then_some((chunk, file)))
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(BUNDLE));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    Ok(response)
}

/// Deletes a bundle that no job needs.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/bundles/{digest}", tag = "bundles",
    params(("tenant" = String, Path), ("digest" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete_bundle(
    State(api): State<Api>,
    call: Call,
    At((tenant, digest)): At<(Name, Digest)>,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode, Problem> {
    api.service.delete_bundle(&call, &tenant, &digest, precondition).await?;
    Ok(StatusCode::NO_CONTENT)
}
