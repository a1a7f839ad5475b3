//! TLS of a TaskManager's two conversations: with the API, once, and with the plane.
//!
//! On the plane the JobManager is not known by a host name but by its URI, `spiffe://DOMAIN/jobmanager`: the plane's
//! authority signs certificates of TaskManagers too, which listen nowhere but could be made to, and what a host is called
//! is for DNS to say, which nobody here believes. So the usual check of the name is replaced, and only that: the chain, its
//! validity and its usage are verified by webpki as always, and the handshake's signature by rustls.

use super::clock::Clock;
use super::identity::{self, Identity};
use lockgate_core::error::code;
use lockgate_core::plane::jobmanager_uri;
use lockgate_core::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier, WantsVersions,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

/// The most bytes of the file of authorities.
const MAX_CA: u64 = 1 << 20;

/// For the API: the authorities of the file, and nothing else that this machine may trust.
///
/// # Errors
/// `LG1053` if the file has none.
pub fn api(ca: &Path) -> Result<ClientConfig> {
    use std::io::Read as _;
    let unusable = |why: &str| Error::new(code::TLS_MATERIAL, format!("{} {why}", ca.display()));
    let mut pem = Vec::new();
    let file = std::fs::File::open(ca).map_err(|error| unusable(&format!("cannot be opened: {error}")))?;
    file.take(MAX_CA).read_to_end(&mut pem).map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| unusable("is not PEM"))?;
        roots.add(certificate).map_err(|error| unusable(&error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("has no certificate in PEM"));
    }
    let builder = ClientConfig::builder_with_provider(lockgate_http::tls::provider());
    Ok(only_1_3(builder)?.with_root_certificates(roots).with_no_client_auth())
}

/// For the plane, as `identity`. What is valid there is decided by `clock`, which never goes back.
///
/// # Errors
/// `LG1422` if its certificate cannot be used.
pub fn plane(identity: &Identity, clock: Arc<Clock>) -> Result<ClientConfig> {
    let verifier = JobManagerOnly { authorities: identity.authorities()?, uri: jobmanager_uri(&identity.domain) };
    let certified = SingleCertAndKey::from(identity.certified()?);
    let builder = ClientConfig::builder_with_details(lockgate_http::tls::provider(), clock);
    Ok(only_1_3(builder)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(certified)))
}

fn only_1_3(builder: ConfigBuilder<ClientConfig, WantsVersions>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    builder
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::new(code::INTERNAL, format!("no TLS 1.3: {error}")))
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().seconds()).unwrap_or_default();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Takes a certificate of the plane's authority that names the JobManager, and no other.
#[derive(Debug)]
struct JobManagerOnly {
    authorities: Vec<CertificateDer<'static>>,
    uri: String,
}

impl ServerCertVerifier for JobManagerOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = |why: CertificateError| rustls::Error::InvalidCertificate(why);
        let mut chain = vec![end_entity.clone()];
        chain.extend(intermediates.iter().cloned());
        identity::verify(&chain, &self.authorities, KeyUsage::server_auth(), now).map_err(|error| {
            refused(match error {
                webpki::Error::CertExpired { .. } => CertificateError::Expired,
                webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
                webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
                webpki::Error::BadDer | webpki::Error::BadDerTime => CertificateError::BadEncoding,
                other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
            })
        })?;
        let certificate = EndEntityCert::try_from(end_entity).map_err(|_| refused(CertificateError::BadEncoding))?;
        if certificate.valid_uri_names().eq([self.uri.as_str()]) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(refused(CertificateError::NotValidForName))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = lockgate_http::tls::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        lockgate_http::tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
