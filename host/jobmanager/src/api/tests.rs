//! The routes, driven as HTTP: who gets in where, and what requests and answers look like.

mod access;
mod backup;
mod http;
mod real;

use super::{Measured, router};
use crate::access::{Caller, Role};
use crate::audit::checkpoint::Keeper;
use crate::server::RequestId;
use crate::world::{World, caller, name, operator};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use http_body_util::BodyExt as _;
use lockgate_core::error::code;
use lockgate_core::keys::SecretKey;
use lockgate_core::{Error, Timestamp};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;

/// Everybody who asks in these tests; his name is his credential.
pub(super) fn callers() -> Vec<(&'static str, Caller)> {
    vec![
        ("operator", caller("operator", None, &[Role::Operator])),
        ("operators-auditor", caller("operators-auditor", None, &[Role::Auditor])),
        ("admin", caller("admin", Some("acme"), &[Role::TenantAdmin])),
        ("deployer", caller("deployer", Some("acme"), &[Role::Deployer])),
        ("viewer", caller("viewer", Some("acme"), &[Role::Viewer])),
        ("auditor", caller("auditor", Some("acme"), &[Role::Auditor])),
        ("other", caller("other", Some("bolt"), &[Role::TenantAdmin, Role::Deployer, Role::Viewer, Role::Auditor])),
    ]
}

/// Stands for the server's own layer: who asks is what his credential says.
async fn authenticated(mut request: Request, next: Next) -> axum::response::Response {
    let credential = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credential = credential.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    if let Some(credential) = credential {
        let found = callers().into_iter().find(|(name, _)| *name == credential);
        let code = if credential == "expired" { code::CREDENTIAL_EXPIRED } else { code::CREDENTIAL_REFUSED };
        let Some((_, caller)) = found else {
            return super::Problem(Error::new(code, "the credential is not valid")).into_response();
        };
        request.extensions_mut().insert(caller);
    }
    request.extensions_mut().insert(RequestId::new());
    next.run(request).await
}

/// The API of a world.
pub(super) struct Site {
    pub world: World,
    /// Ids of a token of a member of `acme` and of one of the operator's people.
    pub tokens: (String, String),
    /// The id of a join token.
    pub join_token: String,
    /// The record at which the audit log has a checkpoint.
    pub checkpoint: u64,
    router: Router,
}

/// An answer.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Site {
    /// Two tenants, one of which has a job.
    pub async fn new() -> Self {
        let world = World::empty().await;
        world.tenant("acme").await;
        world.tenant("bolt").await;
        world.job("acme", "late").await;
        let acme = world.member(Some("acme"), "user:ana", &[Role::TenantAdmin]).await;
        let operators = world.member(None, "user:first", &[Role::Operator]).await;
        world.member(None, "user:second", &[Role::Auditor]).await;
        for (tenant, uri, whose) in
            [(Some(name("acme")), "spiffe://example/ana", "user:ana"), (None, "spiffe://example/op", "user:second")]
        {
            world.service.map_certificate(&operator(), tenant.as_ref(), uri, whose).await.unwrap();
        }
        world.taskmanager("tm-1").await;
        let (join_token, _) = world.join_token(None).await;
        let (store, key, interval) =
            (Arc::clone(&world.store), SecretKey::from_seed(&[5; 32]), Duration::from_secs(60));
        Keeper { store, key, records: 1, interval, clock: || Timestamp::MAX }.run(std::future::ready(())).await;
        let (_, checkpoint) = world.service.records().audit(0, 10_000).await.unwrap();
        Self { checkpoint, join_token, tokens: (acme, operators), ..Self::of(world) }
    }

    pub fn of(world: World) -> Self {
        let router = router(Arc::clone(&world.service), Arc::new(Measured::default()));
        let tokens = (String::new(), String::new());
        let join_token = String::new();
        Self { checkpoint: 0, router: router.layer(middleware::from_fn(authenticated)), tokens, join_token, world }
    }

    /// Sends a request; `who` is the credential, if any.
    pub async fn send(&self, who: Option<&str>, request: axum::http::request::Builder, body: Body) -> Answer {
        let request = match who {
            Some(who) => request.header(header::AUTHORIZATION, format!("Bearer {who}")),
            None => request,
        };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let stream = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        // A stream has no end of its own.
        let bytes = if stream { Vec::new() } else { body.collect().await.unwrap().to_bytes().to_vec() };
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    pub async fn get(&self, who: &str, path: &str) -> Answer {
        self.send(Some(who), Request::builder().uri(path), Body::empty()).await
    }

    pub async fn json(&self, who: &str, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(Some(who), request, Body::from(body.to_string())).await
    }

    /// The router itself, for what is more than a request and an answer.
    pub fn router(&self) -> Router {
        self.router.clone()
    }
}
