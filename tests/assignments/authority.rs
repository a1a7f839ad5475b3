//! Authorities and certificates of both sides of the plane: good ones, and every kind that must not be believed.

use lockgate_jobmanager::tls::provider;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SanType, SignatureAlgorithm,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(86_400);

/// An authority and its certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key, both in PEM.
pub struct Identity {
    pub chain: String,
    pub key: String,
}

fn lasting(params: &mut CertificateParams) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::from_secs(3_600);
    params.not_after = now + DAY;
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        lasting(&mut params);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("an authority").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// What a certificate of these URIs says, for both ends of a connection.
    fn params(uris: &[&str]) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI")));
        params.subject_alt_names.extend(uris);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params);
        params
    }

    /// A certificate of these URIs with a key of its own.
    pub fn identity(&self, uris: &[&str]) -> Identity {
        self.identity_with(uris, |_| {})
    }

    /// The same with these changes.
    pub fn identity_with(&self, uris: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = Self::params(uris);
        change(&mut params);
        let chain = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { chain, key: key.serialize_pem() }
    }

    /// A certificate of these URIs for the key of a PKCS #10 request in PEM.
    pub fn grant(&self, request: &str, uris: &[&str]) -> String {
        let key = RequestKey::of(request);
        let mut params = Self::params(uris);
        params.subject_alt_names.retain(|name| matches!(name, SanType::URI(_)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.signed_by(&key, &self.issuer).expect("a certificate").pem()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM")).expect("an authority");
        roots
    }
}

/// The key that a request is for, found by how it begins: what else stands there means nothing.
struct RequestKey {
    bytes: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl RequestKey {
    fn of(request: &str) -> Self {
        let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(request.as_bytes());
        let der = der.unwrap_or_else(|error| panic!("{error}: {request}"));
        // SubjectPublicKeyInfo up to the key's bytes: RFC 5480 for P-256, RFC 8410 for Ed25519.
        let kinds: [(&[u8], usize, &'static SignatureAlgorithm); 2] = [
            (
                b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
                65,
                &PKCS_ECDSA_P256_SHA256,
            ),
            (b"\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 32, &PKCS_ED25519),
        ];
        let found = kinds.iter().find_map(|(begin, length, algorithm)| {
            let at = der.windows(begin.len()).position(|window| window == *begin)? + begin.len();
            Some(Self { bytes: der.get(at..at + length)?.to_vec(), algorithm })
        });
        found.expect("a key of P-256 or Ed25519")
    }
}

impl PublicKeyData for RequestKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// How a server speaks TLS.
pub struct Speaks<'a> {
    pub identity: &'a Identity,
    pub versions: &'a [&'static SupportedProtocolVersion],
    /// Whose certificates clients must have; none are asked for if none.
    pub clients: Option<&'a Authority>,
}

impl Speaks<'_> {
    pub fn config(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(self.versions).expect("versions");
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider());
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.identity.chain.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(self.identity.key.as_bytes()).expect("a key");
        Arc::new(builder.with_single_cert(chain.expect("certificates"), key).expect("a certificate"))
    }
}
