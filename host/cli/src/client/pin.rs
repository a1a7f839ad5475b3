//! Where a JobManager is, and by what it is believed to be the one.
//!
//! A server is believed by an authority in a file, by the SHA-256 of an authority's certificate that it sends along, by
//! the machine's authorities, or by its own certificate in a file; never for anything less.

use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use lockgate_http::{Address, Url};
use lockgate_jobmanager::tls;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;

/// A JobManager's address, `https://host:port`.
///
/// # Errors
/// `LG0001` if it is not of that form: no other scheme, no user, no path.
pub fn server(text: &str) -> Result<Address> {
    match Url::parse(text) {
        Some(Url { address, path }) if path == "/" => Ok(address),
        _ => Err(Error::new(code::USAGE, format!("{text:?} is not the address of a JobManager"))
            .help("write https://HOST or https://HOST:PORT")),
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

impl Pin {
    /// What connections are made with.
    ///
    /// # Errors
    /// `LG1053` if the authorities cannot be read.
    pub(super) fn config(&self) -> Result<ClientConfig> {
        match self {
            Self::File(path) => tls::client_config(tls::roots(path)?),
            Self::System => tls::client_config(tls::system_roots()?),
            Self::Digest(digest) => pinning(Pinning::Authority(*digest)),
            Self::Server(path) => {
                let shown = tls::certificates(path)?.into_iter().next();
                pinning(Pinning::Server(shown.ok_or_else(|| Error::new(code::TLS_MATERIAL, "no certificate"))?))
            }
        }
    }
}

fn pinning(believed: Pinning) -> Result<ClientConfig> {
    Ok(lockgate_http::tls::client_config()
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
