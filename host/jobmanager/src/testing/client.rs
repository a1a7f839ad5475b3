//! A client that sends exactly the bytes that a test gives it, which a proper client would refuse to.

use super::PATIENCE;
use crate::tls;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// 0 if the connection ended without any.
    pub status: u16,
    /// In lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The code of the problem that it tells.
    pub fn code(&self) -> &str {
        let at = self.body.find("\"code\":\"").map(|at| at + 8);
        at.and_then(|at| self.body.get(at..at + 6)).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers =
            lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.into()));
        Self { status: status.unwrap_or_default(), headers: headers.collect(), body: body.into() }
    }
}

/// Whom a client trusts, and who it says it is.
#[derive(Clone)]
pub struct Trust {
    ca: PathBuf,
    own: Option<(PathBuf, PathBuf)>,
    only_1_2: bool,
}

impl Trust {
    pub fn of(ca: &Path) -> Self {
        Self { ca: ca.into(), own: None, only_1_2: false }
    }

    /// Brings a client certificate.
    pub fn with(mut self, files: (PathBuf, PathBuf)) -> Self {
        self.own = Some(files);
        self
    }

    /// Speaks nothing newer than TLS 1.2.
    pub fn only_1_2(mut self) -> Self {
        self.only_1_2 = true;
        self
    }

    fn config(&self) -> ClientConfig {
        let versions: &[&rustls::SupportedProtocolVersion] =
            if self.only_1_2 { &[&rustls::version::TLS12] } else { rustls::ALL_VERSIONS };
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(tls::roots(&self.ca).unwrap());
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(certificate).unwrap()],
                    PrivateKeyDer::from_pem_file(key).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// A connection, or why there is none.
    pub async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            let connector = TlsConnector::from(Arc::new(self.config()));
            connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
        };
        tokio::time::timeout(PATIENCE, connecting).await.expect("the server neither answers nor closes")
    }

    /// What is answered to these bytes on a connection of their own.
    pub async fn ask(&self, address: SocketAddr, request: &[u8]) -> Answer {
        let Ok(mut stream) = self.connect(address).await else { return Answer::parse(b"") };
        // A server that refuses early may close before it has taken everything.
        let _ = stream.write_all(request).await;
        rest(&mut stream).await
    }
}

/// What comes until the server closes, which it must.
pub async fn rest(stream: &mut TlsStream<TcpStream>) -> Answer {
    let mut bytes = Vec::new();
    let reading = async {
        let mut buffer = [0; 4_096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..length]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the server keeps the connection open");
    Answer::parse(&bytes)
}

/// The text of a GET, after which the connection ends.
pub fn get(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n")
}

/// The text of a POST up to its body, with further header lines.
pub fn post(path: &str, token: &str, headers: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n{headers}\r\n"
    )
}
