//! What every request of a TaskManager passes before any route sees it. A certificate is checked by TLS when a connection
//! begins; whether it counts still, and its TaskManager has its place, is asked here, with each request.

use super::peer::{Identity, Peer};
use crate::api::Problem;
use crate::config::Limits;
use crate::server::{self, Progress, RequestId, bounded};
use crate::service::Service;
use axum::Router;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::error::code;
use lockgate_core::plane::{HEADER, Version};
use lockgate_core::{Error, Result};
use std::sync::Arc;

pub(super) struct Guard {
    service: Arc<Service>,
    limits: Limits,
}

impl Guard {
    pub(super) fn new(service: Arc<Service>, limits: Limits) -> Self {
        Self { service, limits }
    }

    /// `routes` behind this guard, and behind it nothing that is no route.
    pub(super) fn protect(self, routes: Router) -> Router {
        let guard = Arc::new(self);
        let layer = middleware::from_fn(move |request, next| {
            let guard = Arc::clone(&guard);
            async move { guard.pass(request, next).await }
        });
        let none = || async { Problem(Error::new(code::NOT_FOUND, "there is no such route")) };
        let wrong = || async { Problem(Error::new(code::METHOD_NOT_ALLOWED, "the route does not take this method")) };
        routes.method_not_allowed_fallback(wrong).fallback(none).layer(layer)
    }

    async fn pass(&self, mut request: Request, next: Next) -> Response {
        let id = RequestId::new();
        request.extensions_mut().insert(id.clone());
        let progress = Progress::of(request.body());
        let (method, path) =
            (request.method().clone(), request.uri().path().escape_debug().take(200).collect::<String>());
        let source = request.extensions().get::<server::Peer>().map(server::Peer::source);
        let mut response = match self.known(request.extensions(), request.headers()).await {
            Ok(identity) => {
                let (mut parts, body) = request.into_parts();
                let (body, limit) = bounded(body, &self.limits, &progress);
                parts.extensions.insert(limit);
                parts.extensions.insert(Peer { name: identity.name });
                next.run(Request::from_parts(parts, body)).await
            }
            Err(error) => {
                let asked = format!("{method} {path}");
                self.service.plane_refused(source, &id, asked, &error).await;
                let mut response = Problem(error).into_response();
                // Whoever is refused begins anew, if at all.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
        };
        if !progress.has_ended() {
            // The connection ends with what is left of the body in it; whoever is not told would ask on.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(version) = HeaderValue::try_from(Version::OURS.to_string()) {
            response.headers_mut().insert(HEADER, version);
        }
        let response = server::name(response, &id);
        let status = response.status().as_u16();
        tracing::debug!(
            target: "lockgate::access",
            plane = true,
            request = id.as_str(),
            source = source.map(tracing::field::display),
            %method,
            path,
            status,
        );
        response
    }

    /// Who asks, if he speaks what is understood here and has his place now.
    async fn known(&self, extensions: &Extensions, headers: &HeaderMap) -> Result<Identity> {
        let certificate = extensions.get::<server::Peer>().and_then(|peer| peer.certificate.as_ref());
        let none = || Error::new(code::PLANE_REFUSED, "the connection has no certificate");
        let identity = Identity::of(certificate.ok_or_else(none)?, self.service.domain())?;
        Version::OURS.check(version(headers)?)?;
        self.service.admitted(&identity).await?;
        Ok(identity)
    }
}

/// The version that a request says it speaks.
fn version(headers: &HeaderMap) -> Result<Version> {
    let mut all = headers.get_all(HEADER).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(Error::new(code::PLANE_VERSION, format!("the request has not one header {HEADER}")));
    };
    value.to_str().unwrap_or_default().parse()
}
