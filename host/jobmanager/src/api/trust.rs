//! Trust documents: the operator's under `/trust`, a tenant's under `/tenants/{tenant}/trust`. Uploads are DSSE envelopes as
//! `lockgate trust` writes them.

use super::answer::{List, tagged};
use super::extract::{At, Input, ListParams, Narrowed};
use super::{Api, Problem};
use crate::access::{Resource, not_found};
use crate::model::Kept;
use crate::model::trust::{Kind, Stored};
use crate::service::Call;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockgate_core::dsse::Envelope;
use lockgate_core::trust::Documents;
use lockgate_core::{Digest, Name, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A version of a trust document.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TrustDocument {
    /// `operator-root`, `operator-status`, `policy`, `root` or `status`.
    document: &'static str,
    /// Which life of the tenant; 0 for the operator's documents.
    epoch: u64,
    /// The version.
    version: u64,
    /// The digest of what is signed.
    #[schema(value_type = String)]
    digest: Digest,
    /// Not accepted from then on.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    uploaded: Timestamp,
    /// Who brought it.
    uploaded_by: String,
    /// The signed document; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SignedDocument>)]
    envelope: Option<Envelope>,
}

/// A DSSE envelope.
#[derive(ToSchema)]
#[schema(as = Envelope)]
#[expect(dead_code, reason = "describes an envelope, which the core crate reads")]
pub(super) struct SignedDocument {
    /// The type of the payload.
    #[schema(rename = "payloadType")]
    payload_type: String,
    /// The document, in base64.
    payload: String,
    /// At least one.
    #[schema(value_type = Vec<Object>)]
    signatures: Vec<()>,
}

/// The documents of the operator.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OperatorDocument {
    /// The operator's keys.
    OperatorRoot,
    /// What the operator holds to be current.
    OperatorStatus,
}

/// The documents of a tenant.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TenantDocument {
    /// What the operator allows the tenant.
    Policy,
    /// The tenant's keys.
    Root,
    /// What the tenant holds to be current.
    Status,
}

impl From<OperatorDocument> for Kind {
    fn from(document: OperatorDocument) -> Self {
        match document {
            OperatorDocument::OperatorRoot => Self::OperatorRoot,
            OperatorDocument::OperatorStatus => Self::OperatorStatus,
        }
    }
}

impl From<TenantDocument> for Kind {
    fn from(document: TenantDocument) -> Self {
        match document {
            TenantDocument::Policy => Self::Policy,
            TenantDocument::Root => Self::Root,
            TenantDocument::Status => Self::Status,
        }
    }
}

fn show(stored: Stored, whole: bool) -> TrustDocument {
    TrustDocument {
        document: stored.kind.as_str(),
        epoch: stored.reference.epoch,
        version: stored.reference.version,
        digest: stored.reference.digest,
        expires: stored.expires,
        uploaded: stored.uploaded,
        uploaded_by: stored.uploaded_by,
        envelope: whole.then_some(stored.envelope),
    }
}

fn answer(kept: Kept<Stored>) -> Response {
    tagged(StatusCode::OK, kept.revision, show(kept.record, true))
}

/// `3` of the operator's documents, `1.3` (epoch and version) of a tenant's.
fn version(text: &str, kind: Kind) -> Result<(u64, u64), Problem> {
    let numbers = if kind.is_operators() {
        text.parse().ok().map(|version| (0, version))
    } else {
        text.split_once('.').and_then(|(epoch, version)| Some((epoch.parse().ok()?, version.parse().ok()?)))
    };
    numbers.ok_or_else(|| Problem(not_found(&Resource::cluster("version"))))
}

/// The newest version of one of the operator's documents.
#[utoipa::path(get, path = "/api/v1/trust/{document}", tag = "trust", params(("document" = OperatorDocument, Path)),
    responses((status = 200, description = "It", body = TrustDocument)))]
pub(super) async fn get_operator_document(
    State(api): State<Api>,
    call: Call,
    At(document): At<OperatorDocument>,
) -> Result<Response, Problem> {
    Ok(answer(api.service.trust_document(&call, None, document.into()).await?))
}

/// Uploads a version of one of the operator's documents.
#[utoipa::path(post, path = "/api/v1/trust/{document}", tag = "trust", params(("document" = OperatorDocument, Path)),
    request_body = SignedDocument, responses((status = 200, description = "It is kept", body = TrustDocument)))]
pub(super) async fn upload_operator_document(
    State(api): State<Api>,
    call: Call,
    At(document): At<OperatorDocument>,
    Input { value, .. }: Input<Envelope>,
) -> Result<Response, Problem> {
    Ok(answer(api.service.upload_trust(&call, None, document.into(), &value).await?))
}

/// The versions of one of the operator's documents, oldest first.
#[utoipa::path(get, path = "/api/v1/trust/{document}/versions", tag = "trust",
    params(("document" = OperatorDocument, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<TrustDocument>)))]
pub(super) async fn list_operator_versions(
    State(api): State<Api>,
    call: Call,
    At(document): At<OperatorDocument>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<TrustDocument>>, Problem> {
    let page = api.service.trust_history(&call, None, document.into(), &filter).await?;
    Ok(Json(List::of(page, |kept| show(kept.record, false))))
}

/// One version of one of the operator's documents.
#[utoipa::path(get, path = "/api/v1/trust/{document}/versions/{version}", tag = "trust",
    params(("document" = OperatorDocument, Path), ("version" = String, Path)),
    responses((status = 200, description = "It", body = TrustDocument)))]
pub(super) async fn get_operator_version(
    State(api): State<Api>,
    call: Call,
    At((document, text)): At<(OperatorDocument, String)>,
) -> Result<Response, Problem> {
    let kind = document.into();
    Ok(answer(api.service.trust_version(&call, None, kind, version(&text, kind)?).await?))
}

/// The set of documents that holds for a tenant: all that verifying its bundles takes, as `lockgate verify` reads it.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/trust", tag = "trust", params(("tenant" = String, Path)),
    responses((status = 200, description = "The set", body = Object)))]
pub(super) async fn get_trust(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
) -> Result<Json<Documents>, Problem> {
    Ok(Json(api.service.trust_set(&call, &tenant).await?))
}

/// The newest version of one of a tenant's documents.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/trust/{document}", tag = "trust",
    params(("tenant" = String, Path), ("document" = TenantDocument, Path)),
    responses((status = 200, description = "It", body = TrustDocument)))]
pub(super) async fn get_document(
    State(api): State<Api>,
    call: Call,
    At((tenant, document)): At<(Name, TenantDocument)>,
) -> Result<Response, Problem> {
    Ok(answer(api.service.trust_document(&call, Some(&tenant), document.into()).await?))
}

/// Uploads a version of one of a tenant's documents: the operator its policy, the tenant its root and status.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/trust/{document}", tag = "trust",
    params(("tenant" = String, Path), ("document" = TenantDocument, Path)), request_body = SignedDocument,
    responses((status = 200, description = "It is kept", body = TrustDocument)))]
pub(super) async fn upload_document(
    State(api): State<Api>,
    call: Call,
    At((tenant, document)): At<(Name, TenantDocument)>,
    Input { value, .. }: Input<Envelope>,
) -> Result<Response, Problem> {
    Ok(answer(api.service.upload_trust(&call, Some(&tenant), document.into(), &value).await?))
}

/// The versions of one of a tenant's documents, oldest first.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/trust/{document}/versions", tag = "trust",
    params(("tenant" = String, Path), ("document" = TenantDocument, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<TrustDocument>)))]
pub(super) async fn list_versions(
    State(api): State<Api>,
    call: Call,
    At((tenant, document)): At<(Name, TenantDocument)>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<TrustDocument>>, Problem> {
    let page = api.service.trust_history(&call, Some(&tenant), document.into(), &filter).await?;
    Ok(Json(List::of(page, |kept| show(kept.record, false))))
}

/// One version of one of a tenant's documents, as `EPOCH.VERSION`.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/trust/{document}/versions/{version}", tag = "trust",
    params(("tenant" = String, Path), ("document" = TenantDocument, Path), ("version" = String, Path)),
    responses((status = 200, description = "It", body = TrustDocument)))]
pub(super) async fn get_version(
    State(api): State<Api>,
    call: Call,
    At((tenant, document, text)): At<(Name, TenantDocument, String)>,
) -> Result<Response, Problem> {
    let kind = document.into();
    Ok(answer(api.service.trust_version(&call, Some(&tenant), kind, version(&text, kind)?).await?))
}
