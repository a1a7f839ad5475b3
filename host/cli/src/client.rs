//! The client of a JobManager's API: HTTPS requests with a token, and what comes back as JSON or as an error.
//!
//! The contract is the API's description (`/api/v1/openapi.json`), not the server's types: answers stay JSON values, of
//! which a verb reads the fields that it shows. Small on purpose, as the JobManager's own client is: one exchange a
//! connection, HTTP/1.1, no redirects (a token goes to the named server and nowhere else), no proxy of the environment,
//! no decompression, a bound on every answer and every wait.
//!
//! A request is sent again only where that does no harm: it was never sent, the server says that it did nothing, or it
//! is one that may arrive twice (reading, an upload under its digest, a creation under an `Idempotency-Key`).

mod connection;
mod download;
mod follow;
mod health;
mod problem;
mod request;
mod sse;
#[cfg(test)]
mod tests;

pub use connection::{Pin, Server};
pub use health::is_ready;
pub use request::{Request, escaped};

use connection::{Connector, Sent};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode, header};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_jobmanager::secret::Secret;
use serde_json::Value;
use std::time::Duration;

/// The longest answer that is read, in bytes. A page has at most 200 things, a trust document less than 2 MiB.
const MAX_ANSWER: usize = 8 << 20;
/// How long a server may let a request wait without any progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a request is sent at most.
const ATTEMPTS: u32 = 4;
/// The wait before the second time; doubled with each further one.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest wait that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Asks one JobManager under one token.
#[derive(Debug)]
pub struct Client {
    connector: Connector,
    token: Secret<String>,
}

/// An answer that is no refusal.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The version of what is shown, for `If-Match`.
    pub etag: Option<String>,
    /// What is shown; null if nothing.
    pub body: Value,
}

/// Why an exchange brought no answer.
enum Broken {
    /// The request was not sent.
    Unsent(Error),
    /// It may have been.
    Lost(Error),
    /// There is no use in trying again.
    Final(Error),
}

impl Broken {
    fn into_error(self) -> Error {
        match self {
            Self::Unsent(error) | Self::Lost(error) | Self::Final(error) => error,
        }
    }
}

impl Client {
    /// A client of `server`, whose certificate is checked against `pin`.
    ///
    /// # Errors
    /// `LG1053` if the authorities cannot be read.
    pub fn new(server: Server, pin: &Pin, token: Secret<String>) -> Result<Self> {
        Ok(Self { connector: Connector::new(server, pin)?, token })
    }

    /// The answer to `request`.
    ///
    /// # Errors
    /// What the JobManager refuses, under its own code; `LG1074` to `LG1076`, `LG1081` if there is no answer.
    pub async fn send(&self, request: &Request) -> Result<Answer> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.exchange(request).await {
                Ok(answer) => return Ok(answer),
                Err((error, None)) => return Err(error),
                Err((_, Some(asked))) => tokio::time::sleep(asked.max(pause).min(MAX_PAUSE)).await,
            }
            pause = pause.saturating_mul(2);
        }
        self.exchange(request).await.map_err(|(error, _)| error)
    }

    /// As [`Self::send`], for a GET of `path`; nothing if there is no such thing, or not for this caller.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn find(&self, path: &str) -> Result<Option<Answer>> {
        match self.send(&Request::get(path)).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.code() == code::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everything of a list up to `limit` things, page by page; whether there is more.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn list(&self, path: &str, query: &[(&str, String)], limit: usize) -> Result<(Vec<Value>, bool)> {
        /// The most pages: each looks at up to 2,000 things, so that a filter that fits little gives many short ones.
        const MAX_PAGES: usize = 10_000;
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = limit.saturating_sub(items.len()).clamp(1, 200).to_string();
            let mut all = vec![("limit", page)];
            all.extend(query.iter().cloned());
            all.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut answer = self.send(&Request::get(&request::with_query(path, &all))).await?.body;
            let Some(Value::Array(found)) = answer.get_mut("items").map(Value::take) else {
                return Err(malformed("a list has no items"));
            };
            items.extend(found);
            cursor = answer.get("next").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() || items.len() >= limit {
                break;
            }
        }
        items.truncate(limit);
        Ok((items, cursor.is_some()))
    }

    /// The answer, or why not and, if the request may be sent again, after how long.
    async fn exchange(&self, request: &Request) -> Result<Answer, (Error, Option<Duration>)> {
        let again = request.may_arrive_twice();
        match self.once(request).await {
            Ok((head, body)) if head.status.is_success() => {
                let etag = head.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
                let body = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
                let body = body.map_err(|_| (malformed("what came back is not JSON"), None))?;
                Ok(Answer { etag, body })
            }
            Ok((head, body)) => {
                let error = problem::read(&head, &body, &self.connector.server().to_string());
                let wait = problem::wait(&head, error.code());
                Err((error, wait))
            }
            Err(Broken::Unsent(error)) => Err((error, Some(PAUSE))),
            Err(Broken::Lost(error)) if again => Err((error, Some(PAUSE))),
            Err(Broken::Lost(error)) => {
                let lost = Error::new(code::ANSWER_LOST, format!("no answer came: {}", error.cause()));
                Err((lost.help("look at what is there now before you ask again"), None))
            }
            Err(Broken::Final(error)) => Err((error, None)),
        }
    }

    /// One exchange: head and bytes of the answer.
    async fn once(&self, request: &Request) -> Result<(hyper::http::response::Parts, Vec<u8>), Broken> {
        let (body, progress) = request.body().await.map_err(Broken::Final)?;
        let mut sent = self.connector.send(request, Some(&self.token), body).await?;
        let response = sent.answered(&progress, PATIENCE).await?;
        let (head, body) = response.into_parts();
        let reading = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_ANSWER).collect());
        let lost = |why: String| Broken::Lost(Error::new(code::UNREACHABLE, why));
        match reading.await {
            Ok(Ok(body)) => Ok((head, body.to_bytes().into())),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Broken::Final(malformed("the answer is too long")))
            }
            Ok(Err(error)) => Err(lost(format!("the answer broke off: {error}"))),
            Err(_) => Err(lost("the answer did not come to its end in time".into())),
        }
    }

    /// Opens a stream of events behind `last`.
    async fn open(&self, path: &str, last: u64) -> Result<(Response<Incoming>, Sent), Broken> {
        let request = Request::get(path).last_event(last);
        let (body, progress) = request.body().await.map_err(Broken::Final)?;
        let mut sent = self.connector.send(&request, Some(&self.token), body).await?;
        let response = sent.answered(&progress, PATIENCE).await?;
        if response.status() == StatusCode::OK {
            return Ok((response, sent));
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let error = problem::read(&head, &body, &self.connector.server().to_string());
        Err(if problem::wait(&head, error.code()).is_some() { Broken::Lost(error) } else { Broken::Final(error) })
    }
}

/// An answer that no JobManager gives.
pub fn malformed(why: &str) -> Error {
    Error::new(code::ANSWER_MALFORMED, why)
}

/// Whether a request of this method may arrive twice without harm.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
