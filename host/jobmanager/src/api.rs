//! The API over HTTP: `/api/v1`, described by the OpenAPI 3.1 document that is made from this very code, and `/metrics`.
//!
//! A route is thin: it reads the request into what the [`Service`] takes, and shows what it gives. Who may do what is
//! decided there, by [`crate::access`]; who asks was found out before any route, by [`crate::server`]. A request that came
//! without that is refused here as well.

mod answer;
mod audit;
mod backup;
mod bundles;
mod certificates;
mod events;
mod extract;
mod jobs;
mod join_tokens;
mod members;
mod metrics;
mod problem;
mod quotas;
mod system;
mod taskmanagers;
mod tenants;
#[cfg(test)]
mod tests;
mod trust;

pub use metrics::Measured;
pub use problem::Problem;

use crate::access::Caller;
use crate::server::{self, RequestId};
use crate::service::Service;
use axum::Router;
use axum::extract::{FromRef, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::Error;
use lockgate_core::error::code;
use std::sync::Arc;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What every route has.
#[derive(Clone)]
pub struct Api {
    service: Arc<Service>,
    measured: Arc<Measured>,
    document: Arc<OpenApi>,
}

impl FromRef<Api> for Arc<Service> {
    fn from_ref(api: &Api) -> Self {
        Self::clone(&api.service)
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    components(schemas(trust::OperatorDocument, trust::TenantDocument)),
    info(title = "Lockgate JobManager", description = "Signed jobs of many tenants, submitted over HTTPS."),
    tags(
        (name = "tenants", description = "Tenants, made by the operator"),
        (name = "trust", description = "Signed trust documents with their history"),
        (name = "bundles", description = "Signed bundles by their digest"),
        (name = "jobs", description = "Jobs, what is asked of them and what comes of it"),
        (name = "members", description = "Who is what, in a tenant or among the operator's people"),
        (name = "tokens", description = "API tokens"),
        (name = "quotas", description = "What a tenant may take up"),
        (name = "audit", description = "What was done and what was refused"),
        (name = "taskmanagers", description = "TaskManagers, and the tokens by which they join"),
        (name = "system", description = "The JobManager itself"),
    )
)]
struct Described;

/// All routes but those of health, which need no credential, with what describes them.
fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(system::whoami))
        .routes(routes!(system::version))
        .routes(routes!(system::openapi))
        .routes(routes!(system::explain))
        .routes(routes!(taskmanagers::list_taskmanagers))
        .routes(routes!(
            taskmanagers::get_taskmanager,
            taskmanagers::change_taskmanager,
            taskmanagers::remove_taskmanager
        ))
        .routes(routes!(taskmanagers::join))
        .routes(routes!(join_tokens::list_join_tokens, join_tokens::create_join_token))
        .routes(routes!(join_tokens::delete_join_token))
        .routes(routes!(metrics::metrics))
        .routes(routes!(audit::read_audit))
        .routes(routes!(audit::prune_audit))
        .routes(routes!(backup::make_backup))
        .routes(routes!(tenants::list_tenants, tenants::create_tenant))
        .routes(routes!(tenants::get_tenant, tenants::change_tenant, tenants::close_tenant))
        .routes(routes!(quotas::get_quota, quotas::set_quota))
        .routes(routes!(members::list_operators))
        .routes(routes!(members::get_operator, members::set_operator, members::remove_operator))
        .routes(routes!(members::list_members))
        .routes(routes!(members::get_member, members::set_member, members::remove_member))
        .routes(routes!(members::list_operator_tokens, members::create_operator_token))
        .routes(routes!(members::revoke_operator_token))
        .routes(routes!(members::list_tokens, members::create_token))
        .routes(routes!(members::revoke_token))
        .routes(routes!(certificates::list_operator_certificates))
        .routes(routes!(certificates::map_operator_certificate, certificates::unmap_operator_certificate))
        .routes(routes!(certificates::list_certificates))
        .routes(routes!(certificates::map_certificate, certificates::unmap_certificate))
        .routes(routes!(trust::get_operator_document, trust::upload_operator_document))
        .routes(routes!(trust::list_operator_versions))
        .routes(routes!(trust::get_operator_version))
        .routes(routes!(trust::get_trust))
        .routes(routes!(trust::get_document, trust::upload_document))
        .routes(routes!(trust::list_versions))
        .routes(routes!(trust::get_version))
        .routes(routes!(bundles::list_bundles, bundles::post_bundle))
        .routes(routes!(bundles::get_bundle, bundles::put_bundle, bundles::delete_bundle))
        .routes(routes!(bundles::download_bundle))
        .routes(routes!(jobs::list_jobs, jobs::create_job))
        .routes(routes!(jobs::get_job, jobs::change_job, jobs::delete_job))
        .routes(routes!(jobs::upgrade_job))
        .routes(routes!(jobs::cancel_job))
        .routes(routes!(jobs::stop_job))
        .routes(routes!(jobs::restart_job))
        .routes(routes!(jobs::suspend_job))
        .routes(routes!(jobs::resume_job))
        .routes(routes!(jobs::get_graph))
        .routes(routes!(jobs::get_metrics))
        .routes(routes!(events::list_events))
        .routes(routes!(events::follow_events))
        .routes(routes!(events::list_logs))
        .routes(routes!(events::list_exceptions))
}

/// The description of all routes.
pub fn openapi() -> OpenApi {
    let mut document = described().split_for_parts().1;
    problem::describe(&mut document);
    document
}

/// All routes, for what goes before them ([`crate::server`]).
pub fn router(service: Arc<Service>, measured: Arc<Measured>) -> Router {
    let (routes, _) = described().split_for_parts();
    let api = Api { service, measured: Arc::clone(&measured), document: Arc::new(openapi()) };
    routes
        .method_not_allowed_fallback(|| async {
            Problem(Error::new(code::METHOD_NOT_ALLOWED, "the route does not take this method"))
        })
        .fallback(|| async { Problem(Error::new(code::NOT_FOUND, "there is no such route")) })
        // One layer for all that surrounds routes: each further one is copied with all below it for every request.
        .layer(middleware::from_fn(move |request, next| around(Arc::clone(&measured), request, next)))
        .with_state(api)
}

/// Refuses whoever was not found out to be somebody, whatever route he asks for; puts the request's id into the answer, and
/// counts it.
async fn around(measured: Arc<Measured>, request: Request, next: Next) -> Response {
    let counted = metrics::Counting::of(&request);
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = match request.extensions().get::<Caller>() {
        Some(_) => next.run(request).await,
        None => Problem(Error::new(code::UNAUTHENTICATED, "the request has no credential")).into_response(),
    };
    if let Some(id) = id {
        response = server::name(response, &id);
    }
    counted.end(&measured, &response);
    response
}
