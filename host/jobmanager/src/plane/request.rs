//! Requests for certificates (PKCS #10, RFC 2986): whoever makes one proves that he holds the key. The key is all that is
//! taken from it; names, uses and constraints that it asks for are not looked at.

use lockgate_core::error::code;
use lockgate_core::plane::MAX_REQUEST;
use lockgate_core::{Error, Result};
use rcgen::{PublicKeyData, SignatureAlgorithm};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256};
use x509_parser::prelude::FromDer as _;

/// A public key of ECDSA P-256 whose private half its bringer holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// That of a request in PEM.
    ///
    /// # Errors
    /// `LG1403` if it is malformed, of another kind of key, or not signed with the key that it asks for.
    pub fn of_request(pem: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let error = Error::new(code::CERTIFICATE_REQUEST, format!("the request for a certificate {why}"));
            error.help("ask with a PKCS #10 request in PEM, of an ECDSA P-256 key and signed with it (SHA-256)")
        };
        if pem.len() > MAX_REQUEST {
            return Err(refuse("is too long"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| refuse("is no PEM"))?;
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| refuse("is malformed"))?;
        if !rest.is_empty() {
            return Err(refuse("has something behind it"));
        }
        let info = &request.certification_request_info;
        let algorithm = &info.subject_pki.algorithm;
        let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let point = info.subject_pki.subject_public_key.data.as_ref();
        // Uncompressed, the one form that everybody reads.
        let plain = point.len() == 65 && point.first() == Some(&4);
        if algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) || !plain {
            return Err(refuse("has a key that is not of ECDSA P-256"));
        }
        if request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256 {
            return Err(refuse("is not signed by ECDSA with SHA-256"));
        }
        let signature = request.signature_value.data.as_ref();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(info.raw, signature)
            .map_err(|_| refuse("is not signed with its own key"))?;
        Ok(Self(point.to_vec()))
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
