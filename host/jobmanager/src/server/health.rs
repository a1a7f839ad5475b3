//! Whether it lives and whether it is ready: the two routes without a credential, which say yes or no and nothing else.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether requests should be sent here.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// Where it is asked whether the process lives.
    pub const LIVE: &str = "/health/live";
    /// Where it is asked whether requests should be sent here.
    pub const READY: &str = "/health/ready";

    /// Says yes or no from here on.
    pub fn set_ready(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// The two routes.
    pub fn routes(&self) -> Router {
        let health = self.clone();
        let ready = move || {
            let status = if health.is_ready() { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE };
            std::future::ready(status)
        };
        let live = || std::future::ready(StatusCode::NO_CONTENT);
        Router::new().route(Self::LIVE, get(live)).route(Self::READY, get(ready))
    }
}
