//! Asking the JobManager: requests of the plane, with the certificate of the moment, at whichever address answers.

use super::clock::Clock;
use super::identity::Identity;
use super::tls;
use lockgate_core::error::code;
use lockgate_core::plane::{HEADER, Version};
use lockgate_core::{Code, Error, Result, Timestamp};
use lockgate_http::{
    Address, Answer, Client, Failure, HeaderMap, Method, Parts, Request, StatusCode, Times, body, header,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most bytes of an answer that refuses.
const MAX_PROBLEM: usize = 64 << 10;
/// The most characters of a stranger's text that are kept.
const MAX_TEXT: usize = 500;
/// For everything that is answered at once.
pub const TIMES: Times =
    Times { connect: Duration::from_secs(5), stall: Duration::from_secs(15), whole: Some(Duration::from_secs(60)) };

/// The plane, as a TaskManager asks it.
#[derive(Debug)]
pub struct Plane {
    addresses: Vec<Address>,
    clock: Arc<Clock>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// One for each address, all with the same certificate.
    clients: Vec<Client>,
    /// Which is asked first: the one that answered last.
    first: usize,
    /// When the certificate expires.
    expires: Timestamp,
}

impl Plane {
    /// Asks at `addresses` as `identity`, and believes certificates that are valid by `clock`.
    ///
    /// # Errors
    /// `LG1422` if its certificate cannot be used, `LG1420` if there is no address.
    pub fn new(addresses: &[(String, u16)], identity: &Identity, clock: Arc<Clock>) -> Result<Self> {
        if addresses.is_empty() {
            let error = Error::new(code::NOT_JOINED, "it is not known where the plane is");
            return Err(error.help("add `plane = [\"host:port\"]` to [jobmanager]"));
        }
        let addresses: Vec<Address> =
            addresses.iter().map(|(host, port)| address(host, *port)).collect::<Result<_>>()?;
        let clients = clients(&addresses, identity, &clock)?;
        let held = Held { clients, first: 0, expires: identity.expires()? };
        Ok(Self { addresses, clock, held: Mutex::new(held) })
    }

    /// Takes another certificate for connections from now on. What is under way goes on over the former ones.
    ///
    /// # Errors
    /// `LG1422`.
    pub fn renew(&self, identity: &Identity) -> Result<()> {
        let (clients, expires) = (clients(&self.addresses, identity, &self.clock)?, identity.expires()?);
        let mut held = self.lock();
        (held.clients, held.expires) = (clients, expires);
        Ok(())
    }

    /// When the certificate that it asks with expires.
    pub fn expires(&self) -> Timestamp {
        self.lock().expires
    }

    /// Posts `message` to `path`; the answer has at most `most` bytes.
    ///
    /// # Errors
    /// `LG1406` if nobody answers, `LG1400` for another version, `LG1405` if the answer is not understood, else what the
    /// JobManager refuses with.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
        most: usize,
        times: &Times,
    ) -> Result<T> {
        let json =
            serde_json::to_vec(message).map_err(|error| Error::new(code::INTERNAL, format!("{path}: {error}")))?;
        let answer = self.ask(Method::POST, path, Some(json), times).await?;
        let (_, bytes) = answer.whole(most).await.map_err(|failure| failed(path, &failure))?;
        understood(path, &bytes)
    }

    /// The body of the answer at `path`, of at most `most` bytes.
    ///
    /// # Errors
    /// As [`Plane::post`].
    pub async fn get(&self, path: &str, most: usize) -> Result<Vec<u8>> {
        let answer = self.open(path, &TIMES).await?;
        Ok(answer.whole(most).await.map_err(|failure| failed(path, &failure))?.1)
    }

    /// The answer at `path`, to be read as it comes.
    ///
    /// # Errors
    /// As [`Plane::post`].
    pub async fn open(&self, path: &str, times: &Times) -> Result<Answer> {
        self.ask(Method::GET, path, None, times).await
    }

    async fn ask(&self, method: Method, path: &str, json: Option<Vec<u8>>, times: &Times) -> Result<Answer> {
        let (clients, first) = {
            let held = self.lock();
            (held.clients.clone(), held.first)
        };
        let mut last = None;
        for at in (0..clients.len()).map(|n| (first + n) % clients.len().max(1)) {
            let Some(client) = clients.get(at) else { continue };
            let answer = match client.send(request(&method, path, json.clone())?, times).await {
                Ok(answer) => answer,
                // Nothing was sent, so it may be sent elsewhere.
                Err(failure @ (Failure::Unreached(_) | Failure::Untrusted(_) | Failure::Foreign(_))) => {
                    last = Some(failed(&client.address().to_string(), &failure));
                    continue;
                }
                Err(failure) => return Err(failed(&client.address().to_string(), &failure)),
            };
            self.lock().first = at;
            return checked(path, answer).await;
        }
        Err(last.unwrap_or_else(|| Error::new(code::PLANE_UNREACHABLE, "there is nobody to ask")))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that the configuration names.
///
/// # Errors
/// `LG0860` if that is no name of a host.
pub(super) fn address(host: &str, port: u16) -> Result<Address> {
    let refuse = || Error::new(code::INVALID_CONFIGURATION, format!("{host:?} is not the name of a host"));
    Address::new(host, port).ok_or_else(refuse)
}

fn clients(addresses: &[Address], identity: &Identity, clock: &Arc<Clock>) -> Result<Vec<Client>> {
    let config = tls::plane(identity, Arc::clone(clock))?;
    Ok(addresses.iter().map(|address| Client::new(address.clone(), config.clone())).collect())
}

fn request(method: &Method, path: &str, json: Option<Vec<u8>>) -> Result<Request<lockgate_http::Body>> {
    let mut request = Request::builder().method(method).uri(path).header(HEADER, Version::OURS.to_string());
    request = request.header(header::ACCEPT, "application/json, application/octet-stream");
    let body = match json {
        Some(json) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            body::whole(json)
        }
        None => body::empty(),
    };
    request.body(body).map_err(|error| Error::new(code::INTERNAL, format!("{path}: {error}")))
}

/// An answer that says the right version and that nothing went wrong.
async fn checked(path: &str, answer: Answer) -> Result<Answer> {
    let version = version(answer.headers());
    if answer.status() == StatusCode::OK {
        version?.ok_or_else(|| Error::new(code::PLANE_VERSION, format!("{path}: the answer says no version")))?;
        return Ok(answer);
    }
    // Whoever refuses because of the version may say so itself.
    let (head, body) = answer.whole(MAX_PROBLEM).await.map_err(|failure| failed(path, &failure))?;
    Err(match version {
        Err(error) => error,
        Ok(_) => problem(path, &head, &body),
    })
}

/// The version that an answer says, checked.
fn version(headers: &HeaderMap) -> Result<Option<Version>> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let theirs: Version = value.to_str().unwrap_or_default().parse()?;
    Version::OURS.check(theirs)?;
    Ok(Some(theirs))
}

/// What a refusal says (RFC 9457): a stranger's text, bounded.
pub(super) fn problem(path: &str, head: &Parts, body: &[u8]) -> Error {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| {
        let text = value.get(key).and_then(serde_json::Value::as_str)?;
        Some(text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect::<String>())
    };
    let detail = text("detail").unwrap_or_else(|| head.status.to_string());
    match text("code").map(|name| (name.parse::<Code>(), name)) {
        Some((Ok(code), _)) => Error::new(code, detail).at(path),
        Some((Err(_), name)) => Error::new(code::UNKNOWN_PROBLEM, format!("{name}: {detail}")).at(path),
        None => Error::new(code::PLANE_MESSAGE, format!("the JobManager answers {} without saying why", head.status))
            .at(path),
    }
}

fn understood<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::new(code::PLANE_MESSAGE, format!("{path}: {error}")))
}

/// Why there is no answer.
pub(super) fn failed(place: &str, failure: &Failure) -> Error {
    let code = match failure {
        Failure::TooLong(_) => code::PLANE_MESSAGE,
        Failure::Untrusted(_) => code::SERVER_UNTRUSTED,
        _ => code::PLANE_UNREACHABLE,
    };
    Error::new(code, failure.to_string()).at(place)
}

/// Whether the JobManager may answer if it is asked again.
pub fn may_pass(error: &Error) -> bool {
    matches!(
        error.code(),
        code::PLANE_UNREACHABLE
            | code::BUSY
            | code::REQUEST_TIMEOUT
            | code::CONTENDED
            | code::STORE_FULL
            | code::SERVER_UNTRUSTED
    )
}

/// What a path's braces stand for, put in.
pub fn path(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}
