//! A TLS connection to the JobManager, and one exchange over it.
//!
//! rustls with ring as everywhere here. The server is believed by an authority in a file, by the SHA-256 of an authority's
//! certificate that it sends along, by the machine's authorities, or by its own certificate in a file; never for anything
//! less.

use super::request::{Body, Progress, Request};
use super::{Broken, malformed};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Response, Uri};
use hyper_util::rt::TokioIo;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use lockgate_jobmanager::secret::Secret;
use lockgate_jobmanager::tls;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin as Pinned;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// The most that an answer's head may have, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// A JobManager's address, `https://host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    host: String,
    port: u16,
}

impl FromStr for Server {
    type Err = Error;

    /// # Errors
    /// `LG0001` if it is not of that form: no other scheme, no user, no path.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            Error::new(code::USAGE, format!("{text:?} is not the address of a JobManager"))
                .help("write https://HOST or https://HOST:PORT")
        };
        let uri: Uri = text.parse().map_err(|_| refuse())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(refuse)?;
        let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/") && !text.contains('#');
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if uri.scheme_str() != Some("https") || host.is_empty() || !bare {
            return Err(refuse());
        }
        Ok(Self { host: host.to_ascii_lowercase(), port: authority.port_u16().unwrap_or(443) })
    }
}

impl Server {
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

/// Whom to believe that a server is the one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pin {
    /// The authorities in a file of PEM.
    File(PathBuf),
    /// The authority whose certificate (DER) has this SHA-256.
    Digest(Digest),
    /// Whom this machine believes.
    System,
    /// The server that shows the first certificate of this file, whoever signed it and until when: for whoever reads the
    /// server's own files.
    Server(PathBuf),
}

/// What connections are made with.
#[derive(Clone)]
pub(super) struct Connector {
    server: Server,
    /// Where it is, if its name does not say it.
    address: Option<SocketAddr>,
    tls: TlsConnector,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A request that is on its way.
pub(super) struct Sent {
    answer: Pinned<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>>,
    connection: JoinHandle<()>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Connector {
    /// # Errors
    /// `LG1053` if the authorities cannot be read.
    pub fn new(server: Server, pin: &Pin) -> Result<Self> {
        let mut config = match pin {
            Pin::File(path) => tls::client_config(tls::roots(path)?)?,
            Pin::System => tls::client_config(tls::system_roots()?)?,
            Pin::Digest(digest) => pinning(Pinning::Authority(*digest))?,
            Pin::Server(path) => {
                let shown = tls::certificates(path)?.into_iter().next();
                pinning(Pinning::Server(shown.ok_or_else(|| Error::new(code::TLS_MATERIAL, "no certificate"))?))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { server, address: None, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// The same at this address, whatever the server's name is.
    pub fn at(self, address: SocketAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Sends `request` under a token, or under none; the answer is to be awaited.
    pub async fn send(&self, request: &Request, token: Option<&Secret<String>>, body: Body) -> Result<Sent, Broken> {
        let connecting = tokio::time::timeout(CONNECT, self.connect());
        let unsent = |why: String| Broken::Unsent(Error::new(code::UNREACHABLE, why));
        let stream = connecting.await.map_err(|_| unsent(format!("{} does not answer", self.server)))??;
        let handshake =
            hyper::client::conn::http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|error| unsent(error.to_string()))?;
        let mut head = hyper::Request::builder()
            .method(request.method())
            .uri(request.path())
            .header(header::HOST, self.server.authority())
            .header(header::USER_AGENT, concat!("lockgate/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = token {
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| Broken::Final(Error::new(code::NO_TOKEN, "the token has characters that no token has")))?;
            bearer.set_sensitive(true);
            head = head.header(header::AUTHORIZATION, bearer);
        }
        for (name, value) in request.headers() {
            head = head.header(name, value);
        }
        let whole = head.body(body).map_err(|error| Broken::Final(Error::new(code::USAGE, error.to_string())))?;
        // How the connection ends shows in what it carries.
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let answer = Box::pin(async move { sender.send_request(whole).await });
        Ok(Sent { answer, connection })
    }

    async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Broken> {
        let server = &self.server;
        let unsent =
            |error: std::io::Error| Broken::Unsent(Error::new(code::UNREACHABLE, format!("{server}: {error}")));
        let name = ServerName::try_from(server.host.clone()).map_err(|_| {
            Broken::Final(Error::new(code::USAGE, format!("{server} has no name that a certificate has")))
        })?;
        let stream = match self.address {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((server.host.as_str(), server.port)).await,
        };
        let stream = stream.map_err(unsent)?;
        self.tls.connect(name, stream).await.map_err(|error| {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match tls {
                Some(rustls::Error::InvalidCertificate(why)) => Broken::Final(untrusted(server, why)),
                Some(other) => Broken::Final(malformed(&format!("{server} does not speak TLS as it should: {other}"))),
                None => unsent(error),
            }
        })
    }
}

fn untrusted(server: &Server, why: &CertificateError) -> Error {
    let why = match why {
        CertificateError::UnknownIssuer => "it is not signed by the authority that is trusted here".to_owned(),
        other => other.to_string(),
    };
    let error = Error::new(code::SERVER_UNTRUSTED, format!("the certificate of {server} is not trusted: {why}"));
    error.help("log in with `--ca FILE` or `--ca-sha256 DIGEST`, as the operator gives them; the token was not sent")
}

impl Sent {
    /// The head of the answer, and with it its body; in time, as long as `progress` goes on.
    pub async fn answered(&mut self, progress: &Progress, patience: Duration) -> Result<Response<Incoming>, Broken> {
        let lost = |why: String| Broken::Lost(Error::new(code::UNREACHABLE, why));
        loop {
            let before = progress.get();
            match tokio::time::timeout(patience, &mut self.answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    return Err(match progress.failure() {
                        Some(error) => Broken::Final(error),
                        None => lost(format!("the connection broke: {error}")),
                    });
                }
                Err(_) if progress.get() == before => return Err(lost("no answer came in time".into())),
                Err(_) => {}
            }
        }
    }
}

fn pinning(believed: Pinning) -> Result<ClientConfig> {
    Ok(ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(code::TLS_MATERIAL, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(believed))
        .with_no_client_auth())
}

/// Believes one certificate. Whether the server has its key is checked in either case.
#[derive(Debug)]
enum Pinning {
    /// The authority of this SHA-256, which the server must send along; all the rest is checked as always.
    Authority(Digest),
    /// The server's own.
    Server(CertificateDer<'static>),
}

impl ServerCertVerifier for Pinning {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let digest = match self {
            Self::Authority(digest) => digest,
            Self::Server(known) if known == end_entity => return Ok(ServerCertVerified::assertion()),
            Self::Server(_) => return Err(unknown()),
        };
        let authority = intermediates.iter().find(|one| Digest::of(one) == *digest).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider()).build();
        let verifier = verifier.map_err(|_| unknown())?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &tls::provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &tls::provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
