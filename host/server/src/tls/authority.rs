//! A server's own authority, for whoever has none: the first start makes it, and it signs the server's certificate.
//!
//! The authority's certificate is what clients are given, or its SHA-256. The server's certificate lives 90 days
//! and is made anew, with a new key, once 60 of them are over or the names have changed.

use crate::private;
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

/// The authority's certificate, in its folder.
pub const CA_FILE: &str = "ca.pem";

const DAY: Duration = Duration::from_secs(86_400);
const LIFETIME: Duration = DAY.saturating_mul(90);
const RENEWED_AFTER: Duration = DAY.saturating_mul(60);
const CA_LIFETIME: Duration = DAY.saturating_mul(3_650);

/// What an authority of one's own is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    /// The folder of its files, of nothing else.
    pub folder: PathBuf,
    /// Whose it is, as its certificates say: `JobManager`.
    pub whose: &'static str,
    /// The host names and addresses by which the server is called.
    pub names: Vec<String>,
}

/// Where the files are that this made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// The folder of all of them.
    pub folder: PathBuf,
    /// Whether the authority is new.
    pub new_authority: bool,
}

impl Made {
    /// The files in `folder`, where none of them is new.
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), new_authority: false }
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join(CA_FILE)
    }

    /// The server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    /// The server's key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }
}

/// Makes what is missing or due.
///
/// # Errors
/// `LG1055` if it cannot be written, `LG0850` if others may look into the folder or read a key.
pub fn ensure(own: &Own) -> Result<Made> {
    let Own { folder, whose, names } = own;
    let mut made = Made::of(folder);
    private::directory(&made.folder)?;
    let ca_key = made.folder.join("ca.key");
    let authority = match std::fs::read_to_string(&ca_key) {
        Ok(pem) => {
            let file = std::fs::File::open(&ca_key).map_err(|error| unusable(&ca_key, &error))?;
            private::check(&ca_key, &file)?;
            KeyPair::from_pem(&pem).map_err(|error| unusable(&ca_key, &error))?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(|error| unusable(&ca_key, &error))?;
            let certificate =
                authority_params(whose).self_signed(&key).map_err(|error| unusable(&made.ca(), &error))?;
            private::write(&made.ca(), certificate.pem().as_bytes(), 0o644)?;
            private::write(&ca_key, key.serialize_pem().as_bytes(), 0o600)?;
            made.new_authority = true;
            key
        }
        Err(error) => return Err(unusable(&ca_key, &error)),
    };
    // Which names the certificate is for, so that a change of them is seen without parsing it.
    let mark = made.folder.join("server.names");
    let wanted = Digest::of(names.join("\n").as_bytes()).hex();
    let current = std::fs::read_to_string(&mark).is_ok_and(|text| text == wanted);
    if made.new_authority || !current || age(&made.certificate()).is_none_or(|age| age >= RENEWED_AFTER) {
        let failed = |error: rcgen::Error| unusable(&made.certificate(), &error);
        let key = KeyPair::generate().map_err(failed)?;
        let issuer = Issuer::new(authority_params(whose), authority);
        let certificate = server_params(whose, names).map_err(failed)?.signed_by(&key, &issuer).map_err(failed)?;
        // The key first: whoever looks in between finds a pair that does not match, says so, and looks again.
        private::write(&made.key(), key.serialize_pem().as_bytes(), 0o600)?;
        // With the authority's own certificate, so that whoever knows no more than its digest can check the chain.
        let authority = std::fs::read_to_string(made.ca()).map_err(|error| unusable(&made.ca(), &error))?;
        private::write(&made.certificate(), format!("{}{authority}", certificate.pem()).as_bytes(), 0o644)?;
        private::write(&mark, wanted.as_bytes(), 0o644)?;
    }
    Ok(made)
}

fn authority_params(whose: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("Lockgate {whose} authority"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasting(&mut params, CA_LIFETIME);
    params
}

fn server_params(whose: &str, names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let plain = names.iter().map(|name| name.trim_start_matches('[').trim_end_matches(']').to_owned());
    let mut params = CertificateParams::new(plain.collect::<Vec<_>>())?;
    params.distinguished_name = named(&format!("Lockgate {whose}"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    lasting(&mut params, LIFETIME);
    Ok(params)
}

fn named(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// From an hour ago, because clocks differ.
fn lasting(params: &mut CertificateParams, lifetime: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::from_secs(3_600);
    params.not_after = now + lifetime;
}

fn age(path: &Path) -> Option<Duration> {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    Some(SystemTime::now().duration_since(modified).unwrap_or_default())
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(code::DATA_DIRECTORY, format!("{}: {error}", path.display()))
}
