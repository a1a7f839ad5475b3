//! The authority of the plane: signs the JobManager's certificate there and those of TaskManagers, and nothing else. The API
//! does not know it, and it does not know the API's.
//!
//! Its key is in the folder `plane` of the data directory, 0600, made by the first start. The JobManager's own key is in
//! memory only and new with every start; so is its certificate, which is made anew when a third of its life is left.

use super::request::PublicKey;
use crate::config;
use crate::tls::{self, Secured};
use lockgate_core::error::code;
use lockgate_core::plane::{Certificate, jobmanager_uri, taskmanager_uri};
use lockgate_core::trust::TrustDomain;
use lockgate_core::{Digest, Error, Name, Result, Timestamp};
use lockgate_server::private;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(86_400);
const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3_650);
const SERVER_LIFETIME: Duration = DAY.saturating_mul(90);
const SERVER_RENEWED_AFTER: Duration = DAY.saturating_mul(60);
/// From how long ago a certificate counts: clocks differ, and jump.
const BEFORE: Duration = Duration::from_secs(300);

/// The authority of the plane.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, in PEM and as it is.
    pem: String,
    certificate: CertificateDer<'static>,
    domain: TrustDomain,
    names: Vec<String>,
    lifetime: Duration,
    /// TLS of the JobManager's side, and when it was made.
    server: Mutex<Option<(Arc<ServerConfig>, Instant)>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("domain", &self.domain).field("names", &self.names).finish_non_exhaustive()
    }
}

/// A certificate that was issued to a TaskManager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// What the TaskManager gets.
    pub certificate: Certificate,
    /// The digest of it.
    pub digest: Digest,
    /// From when on it does not count.
    pub expires: Timestamp,
}

impl Authority {
    /// That of the data directory `data`; makes it if there is none.
    ///
    /// # Errors
    /// `LG1055` if it cannot be read or written, `LG0850` if others may read its key, `LG1053` if a name cannot stand in
    /// a certificate.
    pub fn ensure(data: &Path, domain: &TrustDomain, plane: &config::Plane) -> Result<Self> {
        let folder = data.join("plane");
        private::directory(&folder)?;
        let (key_path, certificate_path) = (folder.join("ca.key"), folder.join("ca.pem"));
        let unusable = |path: &PathBuf, error: &dyn std::fmt::Display| {
            Error::new(code::DATA_DIRECTORY, format!("{}: {error}", path.display()))
        };
        let key = match std::fs::File::open(&key_path) {
            Ok(file) => {
                private::check(&key_path, &file)?;
                let pem = zeroize::Zeroizing::new(std::io::read_to_string(file).map_err(|e| unusable(&key_path, &e))?);
                KeyPair::from_pem(&pem).map_err(|error| unusable(&key_path, &error))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = KeyPair::generate().map_err(|error| unusable(&key_path, &error))?;
                let certificate = params().self_signed(&key).map_err(|error| unusable(&certificate_path, &error))?;
                // The key last: without it all of this is done anew.
                private::write(&certificate_path, certificate.pem().as_bytes(), 0o644)?;
                private::write(&key_path, zeroize::Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)?;
                key
            }
            Err(error) => return Err(unusable(&key_path, &error)),
        };
        let pem = std::fs::read_to_string(&certificate_path).map_err(|error| unusable(&certificate_path, &error))?;
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| unusable(&certificate_path, &error))?;
        let this = Self {
            issuer: Issuer::new(params(), key),
            pem,
            certificate,
            domain: domain.clone(),
            names: plane.names.clone(),
            lifetime: plane.certificate_lifetime,
            server: Mutex::default(),
        };
        // What cannot be made shall be found at the start.
        *this.server.lock().unwrap_or_else(PoisonError::into_inner) = Some((this.server_config()?, Instant::now()));
        Ok(this)
    }

    /// Its certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The trust domain whose TaskManagers it names.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// How long a TaskManager's certificate lives.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A certificate for the TaskManager `name` that holds the private half of `key`, from a little before `now`.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn issue(&self, name: &Name, key: &PublicKey, now: Timestamp) -> Result<Issued> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name.as_str());
        params.subject_alt_names = vec![uri(taskmanager_uri(&self.domain, name))?];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let expires = now.plus(seconds(self.lifetime));
        params.not_before = at(now.plus(-seconds(BEFORE)))?;
        params.not_after = at(expires)?;
        let made = params.signed_by(key, &self.issuer).map_err(|error| internal(&error))?;
        let renew_after_seconds = self.lifetime.as_secs() / 3 * 2;
        let certificate = Certificate { chain: made.pem(), renew_after_seconds };
        Ok(Issued { certificate, digest: Digest::of(made.der()), expires })
    }

    /// TLS of the JobManager's side, with a new key and certificate.
    fn server_config(&self) -> Result<Arc<ServerConfig>> {
        let wrong = |error: &dyn std::fmt::Display| Error::new(code::TLS_MATERIAL, format!("the plane: {error}"));
        let plain = self.names.iter().map(|name| name.trim_start_matches('[').trim_end_matches(']').to_owned());
        let mut params = CertificateParams::new(plain.collect::<Vec<_>>()).map_err(|error| wrong(&error))?;
        params.subject_alt_names.push(uri(jobmanager_uri(&self.domain))?);
        params.distinguished_name = named("Lockgate JobManager");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        lasting(&mut params, SERVER_LIFETIME);
        let key = KeyPair::generate().map_err(|error| wrong(&error))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| wrong(&error))?;
        let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(|error| wrong(&error))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
            .build()
            .map_err(|error| wrong(&error))?;
        let mut config = ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], secret)
            .map_err(|error| wrong(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would keep what a certificate was when it began.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

impl Secured for Authority {
    fn current(&self) -> Result<Arc<ServerConfig>> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        match &*server {
            Some((config, made)) if made.elapsed() < SERVER_RENEWED_AFTER => Ok(Arc::clone(config)),
            _ => {
                let config = self.server_config()?;
                *server = Some((Arc::clone(&config), Instant::now()));
                Ok(config)
            }
        }
    }
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Lockgate plane authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasting(&mut params, AUTHORITY_LIFETIME);
    params
}

fn lasting(params: &mut CertificateParams, lifetime: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::from_secs(3_600);
    params.not_after = now + lifetime;
}

fn named(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn uri(text: String) -> Result<SanType> {
    text.try_into().map(SanType::URI).map_err(|error| internal(&error))
}

/// 128 random bits, but for the first two: positive, and of one length.
fn serial() -> Result<SerialNumber> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| internal(&error))?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn at(time: Timestamp) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(time.seconds()).map_err(|error| internal(&error))
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::new(code::INTERNAL, format!("a certificate of the plane: {error}"))
}
