//! Client certificates: whose the one with a URI among its alternative names is.

use super::answer::{List, tagged};
use super::extract::{At, Input, ListParams, Narrowed};
use super::{Api, Problem};
use crate::credentials::CertificateRecord;
use crate::service::Call;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockgate_core::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A client certificate that is somebody's.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Certificate {
    /// The URI among its alternative names.
    uri: String,
    /// Whose it is.
    principal: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// Who said so.
    created_by: String,
}

/// Whose a certificate is to be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct MapCertificate {
    /// A member.
    principal: String,
}

impl From<CertificateRecord> for Certificate {
    fn from(certificate: CertificateRecord) -> Self {
        let CertificateRecord { uri, principal, created, created_by, tenant: _ } = certificate;
        Self { uri, principal, created, created_by }
    }
}

/// The client certificates of the operator's people. `name` is compared with whose they are.
#[utoipa::path(get, path = "/api/v1/certificates", tag = "members", params(ListParams),
    responses((status = 200, description = "A page of them", body = List<Certificate>)))]
pub(super) async fn list_operator_certificates(
    State(api): State<Api>,
    call: Call,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Certificate>>, Problem> {
    Ok(Json(List::of(api.service.certificates(&call, None, &filter).await?, |kept| kept.record.into())))
}

/// Takes the client certificate with this URI as that of one of the operator's people.
#[utoipa::path(put, path = "/api/v1/certificates/{uri}", tag = "members", request_body = MapCertificate,
    params(("uri" = String, Path)),
    responses((status = 200, description = "As it is now", body = Certificate)))]
pub(super) async fn map_operator_certificate(
    State(api): State<Api>,
    call: Call,
    At(uri): At<String>,
    Input { value, .. }: Input<MapCertificate>,
) -> Result<Response, Problem> {
    let kept = api.service.map_certificate(&call, None, &uri, &value.principal).await?;
    Ok(tagged(StatusCode::OK, kept.revision, Certificate::from(kept.record)))
}

/// Takes the client certificate with this URI no more.
#[utoipa::path(delete, path = "/api/v1/certificates/{uri}", tag = "members", params(("uri" = String, Path)),
    responses((status = 204, description = "It is not taken any more")))]
pub(super) async fn unmap_operator_certificate(
    State(api): State<Api>,
    call: Call,
    At(uri): At<String>,
) -> Result<StatusCode, Problem> {
    api.service.unmap_certificate(&call, None, &uri).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The client certificates of a tenant's members. `name` is compared with whose they are.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/certificates", tag = "members",
    params(("tenant" = String, Path), ListParams),
    responses((status = 200, description = "A page of them", body = List<Certificate>)))]
pub(super) async fn list_certificates(
    State(api): State<Api>,
    call: Call,
    At(tenant): At<Name>,
    Narrowed(filter): Narrowed,
) -> Result<Json<List<Certificate>>, Problem> {
    Ok(Json(List::of(api.service.certificates(&call, Some(&tenant), &filter).await?, |kept| kept.record.into())))
}

/// Takes the client certificate with this URI as that of a tenant's member. The operator says which URI is whose.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/certificates/{uri}", tag = "members", request_body = MapCertificate,
    params(("tenant" = String, Path), ("uri" = String, Path)),
    responses((status = 200, description = "As it is now", body = Certificate)))]
pub(super) async fn map_certificate(
    State(api): State<Api>,
    call: Call,
    At((tenant, uri)): At<(Name, String)>,
    Input { value, .. }: Input<MapCertificate>,
) -> Result<Response, Problem> {
    let kept = api.service.map_certificate(&call, Some(&tenant), &uri, &value.principal).await?;
    Ok(tagged(StatusCode::OK, kept.revision, Certificate::from(kept.record)))
}

/// Takes the client certificate with this URI no more.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/certificates/{uri}", tag = "members",
    params(("tenant" = String, Path), ("uri" = String, Path)),
    responses((status = 204, description = "It is not taken any more")))]
pub(super) async fn unmap_certificate(
    State(api): State<Api>,
    call: Call,
    At((tenant, uri)): At<(Name, String)>,
) -> Result<StatusCode, Problem> {
    api.service.unmap_certificate(&call, Some(&tenant), &uri).await?;
    Ok(StatusCode::NO_CONTENT)
}
