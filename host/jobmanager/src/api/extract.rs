//! What routes take from requests: who asks, names in paths, filters, preconditions and bodies, each with an error that
//! says what is wrong with it.

use super::Problem;
use crate::access::Caller;
use crate::model::label;
use crate::server::{BodyLimit, Peer, RequestId, refusal_in};
use crate::service::changes::Precondition;
use crate::service::{Call, Filter, IdempotencyKey};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use lockgate_core::error::code;
use lockgate_core::{Error, Result, strict_json};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

/// The largest body that is a document, in bytes.
pub(super) const MAX_BODY: usize = 2 << 20;

fn malformed(why: impl std::fmt::Display) -> Error {
    let why: String = why.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
    Error::new(code::MALFORMED_REQUEST, why)
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let none = || Error::new(code::UNAUTHENTICATED, "the request has no credential");
        let request = parts.extensions.get::<RequestId>().map(|id| id.as_str().to_owned());
        let source =
            parts.extensions.get::<Peer>().map_or_else(|| "unknown".to_owned(), |peer| peer.source().to_string());
        Ok(Self { caller: caller.ok_or_else(none)?, request, source })
    }
}

/// What stands in the path.
pub(super) struct At<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(malformed(rejection.body_text()).into()),
        }
    }
}

/// How a list is narrowed, as the description has it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which is read by name")]
pub(super) struct ListParams {
    /// The most things on the page; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
    /// How names begin.
    name: Option<String>,
    /// A state; several may be given, any of which fits.
    state: Option<Vec<String>>,
    /// `key=value`; several may be given, all of which must fit.
    label: Option<Vec<String>>,
}

/// How a list is narrowed.
pub(super) struct Narrowed(pub Filter);

impl<S: Send + Sync> FromRequestParts<S> for Narrowed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut filter = Filter { limit: crate::service::list::DEFAULT_LIMIT, ..Filter::default() };
        for (key, value) in pairs(parts)? {
            match key.as_str() {
                "limit" => {
                    let limit =
                        value.parse().ok().filter(|limit| (1..=crate::service::list::MAX_LIMIT).contains(limit));
                    filter.limit = limit.ok_or_else(|| malformed("`limit` is not a number from 1 to 200"))?;
                }
                "cursor" => filter.cursor = Some(value),
                "name" => filter.name = Some(value),
                "state" => filter.states.push(value),
                "label" => {
                    let pair = value.split_once('=').ok_or_else(|| malformed("`label` is not `key=value`"))?;
                    filter.labels.insert(pair.0.to_owned(), pair.1.to_owned());
                }
                _ => return Err(unknown(&key).into()),
            }
        }
        label::check(&filter.labels)?;
        if filter.states.len() > 16 {
            return Err(malformed("more than 16 states are given").into());
        }
        Ok(Self(filter))
    }
}

/// The pairs of the query.
pub(super) fn pairs(parts: &Parts) -> Result<Vec<(String, String)>> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    query.map(|Query(pairs)| pairs).map_err(|rejection| malformed(rejection.body_text()))
}

/// The error for a parameter that is not known.
pub(super) fn unknown(key: &str) -> Error {
    let shown: String = key.chars().take(40).collect();
    malformed(format!("there is no parameter {shown:?}"))
}

/// What `If-Match` says.
pub(super) struct IfMatch(pub Precondition);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut all = parts.headers.get_all(header::IF_MATCH).iter();
        let Some(value) = all.next() else { return Ok(Self(Precondition::Unstated)) };
        let refuse = || malformed("`If-Match` is not one ETag as it was given, or *");
        let text = value.to_str().ok().filter(|_| all.next().is_none()).ok_or_else(refuse)?.trim();
        if text == "*" {
            return Ok(Self(Precondition::Any));
        }
        let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let number = number.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let revision = number.and_then(|digits| digits.parse().ok()).ok_or_else(refuse)?;
        Ok(Self(Precondition::Revision(revision)))
    }
}

/// A body of JSON, with the request's idempotency key if it has one.
pub(super) struct Input<T> {
    pub value: T,
    pub key: Option<IdempotencyKey>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if let Some(limit) = parts.extensions.get::<BodyLimit>() {
            limit.raise(u64::try_from(MAX_BODY).unwrap_or(u64::MAX));
        }
        let bytes = document(&parts.headers, body).await?;
        let value =
            strict_json::parse("the request's body", &bytes, MAX_BODY).map_err(|error| malformed(error.cause()))?;
        let route = format!("{} {}", parts.method, parts.uri.path());
        Ok(Self { value, key: idempotency_key(&parts.headers, &route, &bytes)? })
    }
}

/// A document's bytes.
async fn document(headers: &HeaderMap, body: Body) -> Result<Vec<u8>> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let json =
        kind.eq_ignore_ascii_case("application/json") || (kind.starts_with("application/") && kind.ends_with("+json"));
    if !json {
        return Err(Error::new(code::UNSUPPORTED_MEDIA, "the body is not said to be application/json"));
    }
    match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(body_error(&error)),
    }
}

/// The error for a body that could not be read to its end.
pub(super) fn body_error(error: &(dyn std::error::Error + 'static)) -> Error {
    if let Some(refusal) = refusal_in(error) {
        return refusal;
    }
    let (mut next, limit) = (Some(error), format!("the body has more than {MAX_BODY} bytes"));
    while let Some(error) = next {
        if error.is::<http_body_util::LengthLimitError>() {
            return Error::new(code::BODY_TOO_LARGE, limit);
        }
        next = error.source();
    }
    Error::new(code::MALFORMED_REQUEST, "the body ended before its end")
}

fn idempotency_key(headers: &HeaderMap, route: &str, body: &[u8]) -> Result<Option<IdempotencyKey>> {
    let mut all = headers.get_all("idempotency-key").iter();
    let Some(value) = all.next() else { return Ok(None) };
    let twice = || Error::new(code::INVALID_IDEMPOTENCY_KEY, "there are several idempotency keys");
    let text = value.to_str().unwrap_or_default();
    if all.next().is_some() {
        return Err(twice());
    }
    IdempotencyKey::new(text, route, body).map(Some)
}
