//! What every request passes before any route sees it: its form, the limits, who asks, how fast.
//!
//! In this order, each step cheaper than what it keeps away: a name for the request, `Host`, target, encoding, room, then
//! the credential, then the rates. Where TaskManagers join,
//! a join token is the credential, and no other one is. A route behind it has a [`Caller`] for sure, except for the two that tell health.

use super::body::{self, Progress};
use super::refusal::{self, RetryLater};
use super::{Health, Peer, Refusal, RequestId};
use crate::access::Caller;
use crate::config::{Config, Limits};
use crate::credentials::{Authenticator, Directory, Presented};
use crate::fair_use::{Failures, Kind, Rates, Source};
use crate::oidc::Keys;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::error::code;
use lockgate_core::plane::path;
use lockgate_core::{Code, Error, Name, Result, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// The longest path with its query, in bytes.
const MAX_TARGET: usize = 8 << 10;

/// The longest path in a line of the log, in characters.
const MAX_LOGGED: usize = 200;

/// A tenant's requests a second, if its quota says something else than the configuration.
pub type TenantRate = Arc<dyn Fn(&Name) -> Option<u32> + Send + Sync>;

/// A request that was refused before any route saw it, for the audit log.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Which request.
    pub request: RequestId,
    /// From where.
    pub source: Option<Source>,
    /// Who asked, if that was known by then.
    pub caller: Option<Caller>,
    /// The status and, as far as the log shows it, the path.
    pub status: u16,
    /// `GET /api/v1/jobs`, without the query.
    pub asked: String,
    /// The code of the refusal.
    pub code: Code,
}

/// Who is told of refusals. It is called while the client waits, so it must not.
pub type Observer = Arc<dyn Fn(Refused) + Send + Sync>;

/// What every request passes.
pub struct Guard<D> {
    authenticator: Authenticator<D>,
    rates: Rates,
    failures: Failures,
    names: Vec<String>,
    limits: Limits,
    room: Semaphore,
    principal_rate: u32,
    tenant_rate: u32,
    own_rate: TenantRate,
    observer: Observer,
}

impl<D: Directory> Guard<D> {
    /// By the configuration's names, limits and rates.
    pub fn new(config: &Config, authenticator: Authenticator<D>) -> Self {
        let tenant_rate = u32::try_from(config.quota.get(Kind::RequestsPerSecond)).unwrap_or(u32::MAX);
        Self {
            authenticator,
            rates: Rates::new(),
            failures: Failures::new(&config.fair_use),
            names: config.names.clone(),
            limits: config.limits.clone(),
            room: Semaphore::new(config.limits.requests),
            principal_rate: config.fair_use.principal_requests_per_second,
            tenant_rate,
            own_rate: Arc::new(|_| None),
            observer: Arc::new(|_| ()),
        }
    }

    /// Asks `rate` for the requests a second of each tenant first. It is asked with each request, so it must not wait.
    #[must_use]
    pub fn with_tenant_rate(mut self, rate: TenantRate) -> Self {
        self.own_rate = rate;
        self
    }

    /// Tells `observer` of every request that is refused here.
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.observer = observer;
        self
    }

    /// `routes`, and what tells health, behind this guard.
    pub fn protect(self, routes: Router, health: &Health) -> Router {
        let guard = Arc::new(self);
        let layer = middleware::from_fn(move |request, next| {
            let guard = Arc::clone(&guard);
            async move { guard.pass(request, next).await }
        });
        routes.merge(health.routes()).layer(layer)
    }

    async fn pass(&self, mut request: Request, next: Next) -> Response {
        let begun = Instant::now();
        let id = RequestId::new();
        request.extensions_mut().insert(id.clone());
        let (method, path) = (request.method().clone(), logged(request.uri()));
        let peer = request.extensions().get::<Peer>().cloned();
        let source = peer.as_ref().map(Peer::source);
        let (mut caller, progress) = (None, Progress::of(request.body()));
        let answer = self.answer(request, next, peer, &progress, &mut caller).await;
        let mut response = answer.unwrap_or_else(|(error, wait)| {
            let (code, response) = (error.code(), refused(error, wait));
            let (request, caller, status) = (id.clone(), caller.clone(), response.status().as_u16());
            (self.observer)(Refused { request, source, caller, status, asked: format!("{method} {path}"), code });
            response
        });
        response = refusal::name(response, &id);
        if !progress.has_ended() {
            // The connection ends with what is left of the body in it; whoever is not told would ask on.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        harden(response.headers_mut());
        tracing::info!(
            target: "lockgate::access",
            request = id.as_str(),
            source = source.map(tracing::field::display),
            principal = caller.as_ref().map(|caller| &*caller.principal),
            %method,
            path,
            status = response.status().as_u16(),
            millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        );
        response
    }

    /// The answer, or why not and how long to wait. `caller` is who asked, once that is known.
    async fn answer(
        &self,
        mut request: Request,
        next: Next,
        peer: Option<Peer>,
        progress: &Progress,
        caller: &mut Option<Caller>,
    ) -> Result<Response, Refusing> {
        well_formed(&request, &self.names).map_err(at_once)?;
        let busy = || Error::new(code::BUSY, "as many requests as are taken at once are being worked on");
        let _room = self.room.try_acquire().map_err(|_| (busy(), Duration::from_secs(1)))?;
        if !matches!(request.uri().path(), Health::LIVE | Health::READY) {
            let joining = request.uri().path() == path::JOIN;
            let found = caller.insert(self.authenticated(request.headers(), peer.as_ref(), joining).await?);
            self.in_turn(found)?;
            request.extensions_mut().insert(found.clone());
        }
        // Nobody behind this needs them, and what is not there cannot be logged.
        request.headers_mut().remove(header::AUTHORIZATION);
        request.headers_mut().remove(header::COOKIE);
        let (mut parts, body) = request.into_parts();
        let (body, limit) = body::bounded(body, &self.limits, progress);
        parts.extensions.insert(limit);
        let answer = next.run(Request::from_parts(parts, body));
        tokio::pin!(answer);
        loop {
            let deadline = progress.last() + self.limits.request_timeout;
            tokio::select! {
                biased;
                response = &mut answer => return Ok(response),
                () = tokio::time::sleep_until(deadline) => {
                    if progress.last() + self.limits.request_timeout <= deadline {
                        let error = Error::new(code::REQUEST_TIMEOUT, "the answer was not ready in time");
                        return Err((error, Duration::from_secs(1)));
                    }
                }
            }
        }
    }

    async fn authenticated(&self, headers: &HeaderMap, peer: Option<&Peer>, joining: bool) -> Result<Caller, Refusing> {
        let source = peer.map(Peer::source);
        if let Some(source) = source {
            self.failures.check(source, Instant::now())?;
        }
        let uris = peer.and_then(|peer| peer.uris.as_deref());
        let found = match Presented::of(headers, uris) {
            Ok(presented) if joining => self.authenticator.authenticate_joining(presented, now()).await,
            Ok(presented) => self.authenticator.authenticate(presented, now()).await,
            Err(error) => Err(error),
        };
        found.map_err(|error| {
            self.note(source, &error);
            let wait = if error.code() == code::IDENTITY_PROVIDER { Keys::PATIENCE } else { Duration::ZERO };
            (error, wait)
        })
    }

    /// Notes a failure where a wrong credential was brought: not where there was none, where it is genuine but old, or
    /// where the fault is not the client's.
    fn note(&self, source: Option<Source>, error: &Error) {
        let wrong = matches!(
            error.code(),
            code::CREDENTIAL_REFUSED
                | code::TOKEN_MALFORMED
                | code::SETUP_TOKEN_USED
                | code::SEVERAL_CREDENTIALS
                | code::JOIN_TOKEN
        );
        if let Some(source) = source.filter(|_| wrong) {
            tracing::info!(%source, code = %error.code(), "a credential was refused");
            self.failures.note(source, Instant::now());
        }
    }

    fn in_turn(&self, caller: &Caller) -> Result<(), Refusing> {
        self.rates.count(&format!("principal {}", caller.principal), self.principal_rate)?;
        let Some(tenant) = &caller.tenant else { return Ok(()) };
        let rate = (self.own_rate)(tenant).unwrap_or(self.tenant_rate);
        self.rates.count(&format!("tenant {tenant}"), rate)
    }
}

impl<D> std::fmt::Debug for Guard<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("names", &self.names).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why a request is refused, and after how long it may be tried again: zero if that would change nothing.
type Refusing = (Error, Duration);

fn at_once(error: Error) -> Refusing {
    (error, Duration::ZERO)
}

fn refused(error: Error, wait: Duration) -> Response {
    if wait.is_zero() { Refusal(error).into_response() } else { RetryLater(error, wait).into_response() }
}

/// What needs neither the body nor the store to be refused.
fn well_formed(request: &Request, names: &[String]) -> Result<()> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    if !target.starts_with('/') || target.len() > MAX_TARGET {
        return Err(Error::new(code::TARGET_REFUSED, "the request's target is too long or not a path"));
    }
    host(request.headers(), request.uri(), names)?;
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Error::new(code::BODY_ENCODED, "the request's body is compressed"));
    }
    Ok(())
}

/// Whether the request is meant for this server: RFC 9112, section 3.2, and one of the configured names.
fn host(headers: &HeaderMap, uri: &Uri, names: &[String]) -> Result<()> {
    let refuse = || Error::new(code::HOST_REFUSED, "the request is for a host that this server is not");
    let mut all = headers.get_all(header::HOST).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return Err(refuse()) };
    let authority: axum::http::uri::Authority =
        value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(refuse)?;
    let known = |host: &str| names.iter().any(|name| name.eq_ignore_ascii_case(host));
    if !known(authority.host()) || authority.as_str().contains('@') {
        return Err(refuse());
    }
    match uri.authority() {
        Some(target) if !known(target.host()) => Err(refuse()),
        _ => Ok(()),
    }
}

/// Headers that every answer has, so that no browser makes of it what it is not.
fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

/// The path without its query, short, and without what a terminal or a log would act on.
fn logged(uri: &Uri) -> String {
    let path = uri.path();
    // Nearly always there is nothing to escape.
    if path.len() <= MAX_LOGGED && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._:%".contains(&byte)) {
        return path.to_owned();
    }
    path.chars().take(MAX_LOGGED).flat_map(char::escape_debug).collect()
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
