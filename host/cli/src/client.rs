//! The client of a JobManager's API: HTTPS requests with a token, and what comes back as JSON or as an error.
//!
//! The contract is the API's description (`/api/v1/openapi.json`), not the server's types: answers stay JSON values, of
//! which a verb reads the fields that it shows. How a request gets there is `lockgate-http`'s business; here every answer
//! and every wait gets its bound.
//!
//! A request is sent again only where that does no harm: it was never sent, the server says that it did nothing, or it
//! is one that may arrive twice (reading, an upload under its digest, a creation under an `Idempotency-Key`).

mod download;
mod follow;
mod health;
mod pin;
mod problem;
mod request;
mod sse;
#[cfg(test)]
mod tests;

pub use health::is_ready;
pub use pin::{Pin, server};
pub use request::{Request, escaped};

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_http::header::{self, HeaderValue};
use lockgate_http::{Address, Answer as Answered, Failure, Method, StatusCode, Times};
use lockgate_jobmanager::secret::Secret;
use serde_json::Value;
use std::time::Duration;

/// The longest answer that is read, in bytes. A page has at most 200 things, a trust document less than 2 MiB.
const MAX_ANSWER: usize = 8 << 20;
/// How long a connection may take to come about, and a server may let a request wait without any progress.
const TIMES: Times = Times { connect: Duration::from_secs(10), stall: Duration::from_secs(60), whole: None };
/// How long a stream of events may be silent: three of the server's signs of life.
const SILENCE: Duration = Duration::from_secs(45);
/// How often a request is sent at most.
const ATTEMPTS: u32 = 4;
/// The wait before the second time; doubled with each further one.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest wait that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Asks one JobManager under one token.
#[derive(Debug)]
pub struct Client {
    http: lockgate_http::Client,
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
    pub fn new(server: Address, pin: &Pin, token: Secret<String>) -> Result<Self> {
        Ok(Self { http: lockgate_http::Client::new(server, pin.config()?), token })
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
            Ok(answer) => answer,
            Err(Broken::Unsent(error)) => Err((error, Some(PAUSE))),
            Err(Broken::Lost(error)) if again => Err((error, Some(PAUSE))),
            Err(Broken::Lost(error)) => {
                let lost = Error::new(code::ANSWER_LOST, format!("no answer came: {}", error.cause()));
                Err((lost.help("look at what is there now before you ask again"), None))
            }
            Err(Broken::Final(error)) => Err((error, None)),
        }
    }

    /// One exchange: the answer, or a refusal with when to ask again.
    async fn once(&self, request: &Request) -> Result<Result<Answer, (Error, Option<Duration>)>, Broken> {
        let answer = self.ask(request, TIMES).await?;
        if !answer.status().is_success() {
            return self.refused(answer).await.map(Err);
        }
        let (head, body) = answer.whole(MAX_ANSWER).await.map_err(|failure| self.broken(failure))?;
        let etag = head.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
        let body = body.map_err(|_| Broken::Final(malformed("what came back is not JSON")))?;
        Ok(Ok(Answer { etag, body }))
    }

    /// Opens a stream of events behind `last`.
    async fn open(&self, path: &str, last: u64) -> Result<Answered, Broken> {
        let answer = self.ask(&Request::get(path).last_event(last), Times { stall: SILENCE, ..TIMES }).await?;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let (error, wait) = self.refused(answer).await?;
        Err(if wait.is_some() { Broken::Lost(error) } else { Broken::Final(error) })
    }

    /// What a refusal says, and when to ask again if that may help.
    async fn refused(&self, answer: Answered) -> Result<(Error, Option<Duration>), Broken> {
        let (head, body) = answer.whole(MAX_ANSWER).await.map_err(|failure| self.broken(failure))?;
        let error = problem::read(&head, &body, &self.http.address().to_string());
        let wait = problem::wait(&head, error.code());
        Ok((error, wait))
    }

    /// Sends `request` under the token.
    async fn ask(&self, request: &Request, times: Times) -> Result<Answered, Broken> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| Broken::Final(Error::new(code::NO_TOKEN, "the token has characters that no token has")))?;
        bearer.set_sensitive(true);
        let head = request.head().header(header::AUTHORIZATION, bearer);
        let head = head.header(header::USER_AGENT, concat!("lockgate/", env!("CARGO_PKG_VERSION")));
        let whole = head.body(request.body().await.map_err(Broken::Final)?);
        let whole = whole.map_err(|error| Broken::Final(Error::new(code::USAGE, error.to_string())))?;
        self.http.send(whole, &times).await.map_err(|failure| self.broken(failure))
    }

    /// What it means that an exchange brought no answer.
    fn broken(&self, failure: Failure) -> Broken {
        let server = self.http.address();
        match failure {
            Failure::Unreached(why) => Broken::Unsent(Error::new(code::UNREACHABLE, format!("{server}: {why}"))),
            Failure::Lost(why) => Broken::Lost(Error::new(code::UNREACHABLE, why)),
            Failure::TooLong(_) => Broken::Final(malformed("the answer is too long")),
            Failure::Foreign(why) => Broken::Final(malformed(&format!("{server}: {why}"))),
            Failure::Untrusted(_) => {
                let error = Error::new(code::SERVER_UNTRUSTED, format!("{server}: {failure}"));
                Broken::Final(error.help(
                    "log in with `--ca FILE` or `--ca-sha256 DIGEST`, as the operator gives them; the token was not sent",
                ))
            }
            Failure::Body(error) => Broken::Final(match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => Error::new(code::IO, error.to_string()),
            }),
        }
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
