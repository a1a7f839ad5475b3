//! An HTTPS client for the few services that the JobManager asks itself: identity providers and an authorisation service.
//!
//! Small on purpose: hyper over tokio-rustls with the provider that the server has, one exchange a connection, no
//! redirects, no proxy of the environment, no decompression, a bound on the answer and on the time of the whole exchange.
//! A larger client would bring a second way to choose cryptography and much that has to be switched off.

use crate::config::Client as Settings;
use crate::tls;
use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest answer, in bytes.
pub const MAX_ANSWER: usize = 512 << 10;

/// A place that is asked: `https://host:port/path`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    host: String,
    port: u16,
    path: String,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// `LG1050` if it is not HTTPS, or has a user, a query's fragment or anything that is not plain.
    pub fn parse(url: &str) -> Result<Self> {
        let refuse =
            || Error::new(code::JOBMANAGER_CONFIG, format!("{url:?} is not a URL of the form https://host/path"));
        let uri: axum::http::Uri = url.parse().map_err(|_| refuse())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(refuse)?;
        if uri.scheme_str() != Some("https") || authority.host().is_empty() || url.contains('#') {
            return Err(refuse());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(443), path })
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

/// Asks one service.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
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
        let config = tls::client_config(roots)?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), timeout: settings.timeout })
    }

    /// The body of the answer to a GET.
    ///
    /// # Errors
    /// In words, if there is no answer with 200 within the time and the bound.
    pub async fn get(&self, target: &Target) -> Result<Bytes, String> {
        self.exchange(target, Method::GET, None, Bytes::new()).await
    }

    /// The body of the answer to a POST of JSON, with a bearer token.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, target: &Target, bearer: Option<&str>, body: Vec<u8>) -> Result<Bytes, String> {
        self.exchange(target, Method::POST, bearer, body.into()).await
    }

    async fn exchange(&self, to: &Target, method: Method, bearer: Option<&str>, body: Bytes) -> Result<Bytes, String> {
        let exchange = self.connected(to, method, bearer, body);
        tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| format!("{} did not answer within {:?}", to.host, self.timeout))?
            .map_err(|error| format!("{}: {error}", to.host))
    }

    async fn connected(
        &self,
        target: &Target,
        method: Method,
        bearer: Option<&str>,
        body: Bytes,
    ) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        let name = ServerName::try_from(target.host.clone())?;
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        let stream = self.tls.connect(name, stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::Builder::new().max_buf_size(64 << 10).handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(&method)
            .uri(&target.path)
            .header(header::HOST, target.authority())
            .header(header::ACCEPT, "application/json");
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(bearer) = bearer {
            let mut value = header::HeaderValue::try_from(format!("Bearer {bearer}"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(Full::new(body))?;
        let answered = async {
            let answer = sender.send_request(request).await?;
            if answer.status() != StatusCode::OK {
                return Err(format!("status {}", answer.status()).into());
            }
            Ok(Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes())
        };
        // The connection is driven here and not in a task of its own, so that it ends with this exchange.
        tokio::pin!(answered, connection);
        tokio::select! {
            biased;
            answer = &mut answered => answer,
            ended = &mut connection => {
                ended?;
                answered.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_https_and_nothing_that_hides_something() {
        let target = Target::parse("https://id.example.org/realms/a?x=1").unwrap();
        assert_eq!((target.authority().as_str(), target.path.as_str()), ("id.example.org", "/realms/a?x=1"));
        assert_eq!(Target::parse("https://[::1]:8443").unwrap().authority(), "[::1]:8443");
        for bad in
            ["http://a/", "https://", "a", "https://u:p@h/", "https://h/#f", "https:///x", "ftp://a", "//a/b", ""]
        {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
