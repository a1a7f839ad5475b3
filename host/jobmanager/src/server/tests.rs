//! Every bound of the server, by exceeding it over a real connection.

mod bodies;
mod connections;
mod heads;
mod refusals;

use super::{BodyLimit, Refusal, RequestId, refusal_in};
use crate::access::{Caller, Role};
use crate::testing::Running;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// Tells a test what a route does, and a route when to go on.
#[derive(Clone, Default)]
struct Signals {
    entered: Arc<Notify>,
    go: Arc<Notify>,
    dropped: Arc<Notify>,
}

/// Notes that what held it is gone.
struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn routes(signals: &Signals) -> Router {
    let (held, endless) = (signals.clone(), signals.clone());
    Router::new()
        .route(
            "/whoami",
            get(|caller: Caller, Extension(id): Extension<RequestId>| async move {
                format!("{} {:?} {:?} {id}", caller.principal, caller.tenant, caller.roles)
            }),
        )
        .route("/length", post(|body: Body| length(body)))
        .route(
            "/upload",
            post(|Extension(limit): Extension<BodyLimit>, body: Body| {
                limit.raise(1 << 20);
                length(body)
            }),
        )
        .route(
            "/held",
            get(move || async move {
                held.entered.notify_one();
                held.go.notified().await;
                "done"
            }),
        )
        .route(
            "/endless",
            get(move || async move {
                let gone = OnDrop(Arc::clone(&endless.dropped));
                Response::new(Body::new(Endless(gone)))
            }),
        )
}

/// The length of a body, or why it was not taken.
async fn length(body: Body) -> Response {
    match body.collect().await {
        Ok(body) => body.to_bytes().len().to_string().into_response(),
        Err(error) => Refusal(refusal_in(&error).expect("a refusal")).into_response(),
    }
}

/// A body without end.
struct Endless(OnDrop);

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let _ = &self.0;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 16_384])))))
    }
}

/// A server with a configuration of this text, and a viewer's token for it.
async fn start(text: &str) -> (Running, String, Signals) {
    let signals = Signals::default();
    let running = Running::start(text, routes(&signals)).await;
    let token = running.people.add(Some("acme"), "user:ana", &[Role::Viewer]);
    (running, token, signals)
}
