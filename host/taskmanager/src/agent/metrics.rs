//! Where the figures are shown, if the configuration asks for it: the one thing that a TaskManager ever listens for.
//!
//! It answers `GET /metrics` over HTTPS to whoever brings the token, and nothing else to anybody. Whoever has no token is
//! not told what is here. There is no check of `Host`: what it keeps away is a browser that was sent here by another site's
//! page, and a browser has no token that it would send along.
//!
//! Certificate, key and token may be replaced at any time: they are looked at every [`LOOK`], and what cannot be used is
//! logged while the former ones go on.

mod figures;
#[cfg(test)]
mod tests;
mod token;

pub use figures::Facts;

use super::Agent;
use crate::config::Metrics;
use hyper::body::{Body as _, Incoming};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use lockgate_http::header::{HeaderName, HeaderValue};
use lockgate_http::{Body, Method, Request, Response, StatusCode, body};
use lockgate_server::tls::{Files, Own, Reloading, Source};
use lockgate_server::{Limits, Server};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use token::Token;
use tokio::sync::watch;

/// Where the figures are.
const PATH: &str = "/metrics";
/// What they are written in.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How often new files are looked for.
const LOOK: Duration = Duration::from_secs(30);
/// What whoever connects can make it hold. Few ask, and seldom.
const LIMITS: Limits = Limits {
    connections: 16,
    connections_per_source: 8,
    handshake_timeout: Duration::from_secs(5),
    header_timeout: Duration::from_secs(10),
    header_bytes: 8 << 10,
    headers: 32,
    write_timeout: Duration::from_secs(10),
    connection_age: Duration::from_secs(3_600),
    drain: Duration::from_secs(1),
};

/// What listens and does not answer yet.
#[derive(Debug)]
pub struct Listening {
    server: Server,
    tls: Arc<Reloading>,
    token: Arc<Token>,
}

impl Listening {
    /// Checks and makes what it needs, the folder `metrics` in the state folder `state` if there is no certificate, and
    /// listens.
    ///
    /// # Errors
    /// `LG1441` for the token, `LG1053` and `LG1055` for certificate and key, `LG0850` if others may read what is secret,
    /// `LG1054` if it cannot listen.
    pub async fn bind(settings: &Metrics, state: &Path) -> Result<Self> {
        let token = Token::read(&settings.token_file)?;
        let files = match settings.files.clone() {
            Some((certificate, key)) => Files::Given(certificate, key),
            None => {
                let (folder, names) = (state.join("metrics"), settings.names.clone());
                Files::Own(Own { folder, whose: "TaskManager", names })
            }
        };
        let (tls, made) = Reloading::new(Source { files, client_ca: None, allow_1_2: false })?;
        if let Some(made) = made {
            let ca = made.ca();
            tracing::info!(ca = %ca.display(), "the figures' certificate is of an authority of its own: who asks needs `ca`");
        }
        let tls = Arc::new(tls);
        let server = Server::bind(&settings.listen, Arc::<Reloading>::clone(&tls), LIMITS).await?;
        Ok(Self { server, tls, token: Arc::new(token) })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// Answers until `stop`.
    pub async fn run(self, agent: Weak<Agent>, stop: watch::Receiver<bool>) {
        for address in self.addresses() {
            tracing::info!(%address, "listening for who asks for figures");
        }
        let figures = move || agent.upgrade().map(|agent| figures::text(&agent));
        self.serve(figures, stop).await;
    }

    /// Answers with what `figures` gives until `stop`.
    async fn serve<F>(self, figures: F, stop: watch::Receiver<bool>)
    where
        F: Fn() -> Option<Result<String>> + Send + Sync + 'static,
    {
        let Self { server, tls, token } = self;
        let door = Arc::new(Door { token: Arc::clone(&token), refused: AtomicU64::new(0), figures });
        let answering = server.run(
            move |request: Request<Incoming>| {
                let answer = door.answer(&request);
                async move { Ok(answer) }
            },
            stop,
        );
        tokio::pin!(answering);
        tokio::select! {
            _ = &mut answering => {}
            () = look(&tls, &token) => {}
        }
    }
}

/// Who gets in, and to what.
struct Door<F> {
    token: Arc<Token>,
    refused: AtomicU64,
    figures: F,
}

impl<F: Fn() -> Option<Result<String>>> Door<F> {
    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let mut response = self.figures(request).unwrap_or_else(|error| self.refusal(&error));
        let refused = response.status() == StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if refused || !request.body().is_end_stream() {
            // Nobody reads what else comes, and whoever has no token keeps no place from who has.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn figures(&self, request: &Request<Incoming>) -> Result<Response<Body>> {
        self.token.check(request.headers())?;
        if request.uri().path() != PATH {
            return Err(Error::new(code::NOT_FOUND, format!("there is {PATH} and nothing else")));
        }
        if request.method() != Method::GET {
            return Err(Error::new(code::METHOD_NOT_ALLOWED, format!("{PATH} takes GET and nothing else")));
        }
        let gone = || Error::new(code::BUSY, "this TaskManager stops");
        let text = (self.figures)().ok_or_else(gone)??;
        Ok(with(StatusCode::OK, text, &[(CONTENT_TYPE, OPENMETRICS)]))
    }

    fn refusal(&self, error: &Error) -> Response<Body> {
        let (status, more) = match error.code() {
            code::NOT_FOUND => (StatusCode::NOT_FOUND, None),
            code::METHOD_NOT_ALLOWED => (StatusCode::METHOD_NOT_ALLOWED, Some((ALLOW, "GET"))),
            code::BUSY => (StatusCode::SERVICE_UNAVAILABLE, None),
            code::UNAUTHENTICATED | code::CREDENTIAL_REFUSED | code::SEVERAL_CREDENTIALS => {
                self.note(error);
                (StatusCode::UNAUTHORIZED, Some((WWW_AUTHENTICATE, "Bearer")))
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let problem = json!({
            "title": error.code().title(), "status": status.as_u16(), "detail": error.cause(),
            "code": error.code().to_string(),
        });
        let mut headers = vec![(CONTENT_TYPE, "application/problem+json")];
        headers.extend(more);
        with(status, problem.to_string(), &headers)
    }

    /// Logs a refusal, and fewer of them the more there are.
    fn note(&self, error: &Error) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if refused.is_power_of_two() {
            tracing::warn!(code = %error.code(), refused, "somebody without a valid token asks for figures");
        }
    }
}

fn with(status: StatusCode, text: String, headers: &[(HeaderName, &'static str)]) -> Response<Body> {
    let mut response = Response::new(body::whole(text));
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Takes new files, for ever.
async fn look(tls: &Reloading, token: &Token) {
    let mut last = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let looked = tls.reload().and_then(|certificate| Ok((certificate, token.reload()?)));
        match looked {
            Ok((false, false)) => last = None,
            Ok(_) => {
                tracing::info!("took a new certificate or token for figures");
                last = None;
            }
            // Once for each mistake, not every time.
            Err(error) if last.as_ref() != Some(&error) => {
                tracing::error!(%error, "new files for figures cannot be used; the former ones go on");
                last = Some(error);
            }
            Err(_) => {}
        }
    }
}
