//! What the JobManager itself asks over HTTPS: identity providers and an authorisation service.
//!
//! One exchange a connection, an answer in JSON with status 200, and a bound on its length and on the time of the whole.

use crate::config::Client as Settings;
use crate::tls;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_http::{Body, Request, StatusCode, Times, Url, body, header, request};
use rustls::ClientConfig;
use std::time::Duration;

/// The longest answer, in bytes.
pub const MAX_ANSWER: usize = 512 << 10;

/// A place that is asked: `https://host:port/path`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target(Url);

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// `LG1050` if it is not HTTPS, or has a user, a fragment or anything that is not plain.
    pub fn parse(url: &str) -> Result<Self> {
        let refuse =
            || Error::new(code::JOBMANAGER_CONFIG, format!("{url:?} is not a URL of the form https://host/path"));
        Url::parse(url).map(Self).ok_or_else(refuse)
    }
}

/// Asks services.
#[derive(Clone)]
pub struct Client {
    tls: ClientConfig,
    timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that trusts the authorities of `settings`, or the system's.
    ///
    /// # Errors
    /// `LG1053` if they cannot be read.
    pub fn new(settings: &Settings) -> Result<Self> {
        let roots = match &settings.ca {
            Some(path) => tls::roots(path)?,
            None => tls::system_roots()?,
        };
        Ok(Self { tls: tls::client_config(roots)?, timeout: settings.timeout })
    }

    /// The body of the answer to a GET.
    ///
    /// # Errors
    /// In words, if there is no answer with 200 within the time and the bound.
    pub async fn get(&self, target: &Target) -> Result<Vec<u8>, String> {
        self.exchange(target, Request::get(&target.0.path), body::empty()).await
    }

    /// The body of the answer to a POST of JSON, with a bearer token.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, target: &Target, bearer: Option<&str>, json: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut request = Request::post(&target.0.path).header(header::CONTENT_TYPE, "application/json");
        if let Some(bearer) = bearer {
            let mut value =
                header::HeaderValue::try_from(format!("Bearer {bearer}")).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        self.exchange(target, request, body::whole(json)).await
    }

    async fn exchange(&self, to: &Target, request: request::Builder, body: Body) -> Result<Vec<u8>, String> {
        let of = |why: String| format!("{}: {why}", to.0.address);
        let request =
            request.header(header::ACCEPT, "application/json").body(body).map_err(|error| of(error.to_string()))?;
        let times = Times { connect: self.timeout, stall: self.timeout, whole: Some(self.timeout) };
        let client = lockgate_http::Client::new(to.0.address.clone(), self.tls.clone());
        let answer = client.send(request, &times).await.map_err(|error| of(error.to_string()))?;
        if answer.status() != StatusCode::OK {
            return Err(of(format!("status {}", answer.status())));
        }
        let (_, body) = answer.whole(MAX_ANSWER).await.map_err(|error| of(error.to_string()))?;
        Ok(body)
    }
}
