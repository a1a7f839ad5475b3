//! The HTTPS server: what every request passes, with a bound on everything that a peer can make it hold.
//!
//! | what a peer could do | what ends it |
//! |---|---|
//! | open many connections | `connections`, `connections-per-source` |
//! | connect and say nothing | `handshake-timeout`, `header-timeout` |
//! | send its head byte by byte, or without end | `header-timeout`, `header-bytes`, `headers` |
//! | send its body byte by byte, or without end | `body-idle`, `body-bytes-per-second`, `body-bytes`, `upload-bytes` |
//! | send a body that expands | bodies are taken as they are (`LG1063`) |
//! | ask for much at once | `requests`, `request-timeout`, the rates of [`crate::fair_use`] |
//! | never read the answer | `write-timeout` |
//! | have another site's page ask for it | `names` (`LG1060`), and no answer allows another origin |
//!
//! [`lockgate_server::listen`] has what concerns connections, [`Guard`] what concerns requests. Nothing of a request's body is ever logged.

mod body;
mod guard;
mod health;
mod refusal;
mod request_id;
#[cfg(test)]
mod tests;

pub use body::{BodyLimit, Progress, bounded, refusal_in};
pub use guard::{Guard, Observer, Refused, TenantRate};
pub use health::Health;
pub use lockgate_server::{Cut, Peer, Server};
pub(crate) use refusal::name;
pub use refusal::{PROBLEM, Problem, Refusal, RetryLater, status};
pub use request_id::RequestId;

use axum::Router;
use axum::body::Body;
use axum::routing::future::RouteFuture;
use hyper::body::Incoming;
use std::convert::Infallible;
use tower::Service as _;

/// `routes` as [`Server::run`] takes them.
pub fn routed(
    routes: Router,
) -> impl Fn(hyper::Request<Incoming>) -> RouteFuture<Infallible> + Clone + Send + Sync + 'static {
    // A router is always ready.
    move |request| routes.clone().call(request.map(Body::new))
}
