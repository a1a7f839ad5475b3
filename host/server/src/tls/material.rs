//! Files of certificates and keys into what rustls takes, each mistake told with its file.

use crate::private;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The longest file of certificates or keys, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A server's certificate with its key, which must be for nobody else.
///
/// # Errors
/// `LG1053` if they are not what they should be, `LG0850` if others may read the key.
pub fn certified_key(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let chain = certificates(certificate)?;
    let pem = read(key, true)?;
    let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| unusable(key, "has no private key in PEM"))?;
    let secret = super::provider()
        .key_provider
        .load_private_key(secret)
        .map_err(|_| unusable(key, "has a key of no kind that is supported"))?;
    let certified = CertifiedKey::new(chain, secret);
    certified
        .keys_match()
        .map_err(|error| unusable(certificate, &format!("does not belong to the key {}: {error}", key.display())))?;
    Ok(certified)
}

/// Authorities to trust.
///
/// # Errors
/// `LG1053`.
pub fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, &error.to_string()))?;
    }
    Ok(roots)
}

/// The URIs among the alternative names of a certificate that was verified.
pub fn uris(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    certificate.valid_uri_names().map(str::to_owned).collect()
}

/// The certificates in a file of PEM: the server's own first, where it is that of a server.
///
/// # Errors
/// `LG1053` if there is none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path, false)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(unusable(path, "has no certificate in PEM")),
    }
}

fn read(path: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path).map_err(|error| unusable(path, &error.to_string()))?;
    if secret {
        private::check(path, &file)?;
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| unusable(path, &error.to_string()))?;
    Ok(bytes)
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::new(code::TLS_MATERIAL, format!("{} {why}", path.display()))
}
