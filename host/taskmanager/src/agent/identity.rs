//! Who a TaskManager is on the plane: its key, its certificate, and the authority that it believes there.

use super::state::StateDir;
use lockgate_core::error::code;
use lockgate_core::plane::{Certificate, Joined, taskmanager_uri};
use lockgate_core::trust::TrustDomain;
use lockgate_core::{Error, Name, Result, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use zeroize::Zeroize;

const FILE: &str = "identity";
/// The most bytes of a certificate's chain, and of an authority.
const MAX_PEM: usize = 64 << 10;
/// The most certificates of a chain.
const MAX_CHAIN: usize = 4;

/// Who a TaskManager is. Its key is never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identity {
    /// What it is called.
    pub name: Name,
    /// The trust domain.
    pub domain: TrustDomain,
    /// Its certificate with those that lead to the authority, in PEM.
    pub chain: String,
    key: Key,
    /// The plane's authority, in PEM.
    pub authority: String,
    /// Where the plane is, as joining said.
    pub plane: Vec<String>,
    /// When the next certificate is to be asked for.
    pub renew_at: Timestamp,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// A private key in PEM, wiped when it is dropped.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Key(String);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A new key, and the request for its certificate.
pub struct Request {
    key: KeyPair,
    /// PKCS #10 in PEM.
    pub pem: String,
}

impl Request {
    /// A new P-256 key and its request. Who it is for stands beside the request, not in it: nothing but the key is taken.
    ///
    /// # Errors
    /// `LG0003` if the system has no random numbers.
    pub fn new() -> Result<Self> {
        let failed = |error: rcgen::Error| Error::new(code::INTERNAL, format!("no key can be made: {error}"));
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let pem = params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)?;
        Ok(Self { key, pem })
    }
}

impl Identity {
    /// What joining gave, if it is what was asked for.
    ///
    /// # Errors
    /// `LG1422`.
    pub fn of_joined(
        request: &Request,
        wanted: &Name,
        domain: &TrustDomain,
        joined: Joined,
        now: Timestamp,
    ) -> Result<Self> {
        if joined.name != *wanted {
            return Err(refused(format!("it is for {}, not {wanted}", joined.name)));
        }
        if joined.domain != domain.to_string() {
            let theirs: String = joined.domain.chars().take(255).collect();
            return Err(refused(format!("it is of the trust domain {theirs:?}, not {domain}")));
        }
        if joined.plane.len() > 16 || joined.plane.iter().any(|place| crate::config::host_port(place).is_err()) {
            return Err(refused("what it says of where the plane is makes no sense".into()));
        }
        Self {
            name: joined.name,
            domain: domain.clone(),
            chain: String::new(),
            key: Key(String::new()),
            authority: joined.authority,
            plane: joined.plane,
            renew_at: now,
        }
        .renewed(request, joined.certificate, now)
    }

    /// The same with another certificate, if it is one for `request`'s key and this name.
    ///
    /// # Errors
    /// `LG1422`.
    pub fn renewed(&self, request: &Request, certificate: Certificate, now: Timestamp) -> Result<Self> {
        let renew_after = i64::try_from(certificate.renew_after_seconds).unwrap_or(i64::MAX).clamp(1, 366 * 86_400);
        let next = Self {
            chain: certificate.chain,
            key: Key(request.key.serialize_pem()),
            renew_at: now.plus(renew_after),
            ..self.clone()
        };
        next.check(now)?;
        Ok(next)
    }

    /// Reads what was kept, if anything was.
    ///
    /// # Errors
    /// `LG083n` if it is damaged.
    pub fn read(state: &StateDir) -> Result<Option<Self>> {
        state.read(FILE)
    }

    /// Keeps it; on the disk when this returns.
    ///
    /// # Errors
    /// `LG0830`.
    pub fn write(&self, state: &StateDir) -> Result<()> {
        state.write(FILE, self)
    }

    /// The certificate with its key, as rustls takes them.
    ///
    /// # Errors
    /// `LG1422` if they do not belong together.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>> {
        let key = PrivateKeyDer::from_pem_slice(self.key.0.as_bytes())
            .map_err(|_| refused("its key cannot be read".into()))?;
        let key = lockgate_http::tls::provider().key_provider.load_private_key(key);
        let key = key.map_err(|error| refused(format!("its key cannot be used: {error}")))?;
        let certified = CertifiedKey::new(self.certificates()?, key);
        certified.keys_match().map_err(|error| refused(format!("it is for another key: {error}")))?;
        Ok(Arc::new(certified))
    }

    /// The certificates of the plane's authority.
    ///
    /// # Errors
    /// `LG1422`.
    pub fn authorities(&self) -> Result<Vec<CertificateDer<'static>>> {
        pem(&self.authority)
    }

    /// When the certificate expires.
    ///
    /// # Errors
    /// `LG1422` if it cannot be read.
    pub fn expires(&self) -> Result<Timestamp> {
        // What the library says of a certificate at the end of time: since when it is over.
        match self.verified(UnixTime::since_unix_epoch(Duration::from_secs(u64::from(u32::MAX) << 4))) {
            Err(webpki::Error::CertExpired { not_after, .. }) => {
                Ok(Timestamp::from_seconds(i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX)))
            }
            Err(error) => Err(refused(error.to_string())),
            Ok(()) => Ok(Timestamp::MAX),
        }
    }

    /// Whether it is a certificate of the authority's, for this key, this name in this domain, and valid now.
    ///
    /// # Errors
    /// `LG1421` if it has expired, else `LG1422`.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        if self.authority.len() > MAX_PEM || self.chain.len() > MAX_PEM {
            return Err(refused("it is too long".into()));
        }
        self.certified()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.seconds()).unwrap_or_default()));
        match self.verified(time) {
            Ok(()) => {}
            Err(webpki::Error::CertExpired { .. }) => {
                let cause = format!("the certificate of TaskManager {} expired at {}", self.name, self.expires()?);
                return Err(Error::new(code::IDENTITY_EXPIRED, cause));
            }
            Err(error) => return Err(refused(error.to_string())),
        }
        let certificates = self.certificates()?;
        let own = certificates.first().ok_or_else(|| refused("there is none".into()))?;
        let parsed = EndEntityCert::try_from(own).map_err(|error| refused(error.to_string()))?;
        let wanted = taskmanager_uri(&self.domain, &self.name);
        let named: Vec<&str> = parsed.valid_uri_names().collect();
        if named != [wanted.as_str()] {
            let named: String = named.join(", ").chars().take(200).collect();
            return Err(refused(format!("it names {named:?}, not {wanted:?}")));
        }
        Ok(())
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        pem(&self.chain)
    }

    fn verified(&self, time: UnixTime) -> Result<(), webpki::Error> {
        let malformed = |_| webpki::Error::BadDer;
        let authorities = self.authorities().map_err(malformed)?;
        let chain = self.certificates().map_err(malformed)?;
        verify(&chain, &authorities, KeyUsage::client_auth(), time)
    }
}

/// Verifies that the first of `chain` is of one of `authorities`, for `usage`.
pub(super) fn verify(
    chain: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'_>],
    usage: KeyUsage,
    time: UnixTime,
) -> Result<(), webpki::Error> {
    let (first, between) = chain.split_first().ok_or(webpki::Error::BadDer)?;
    let anchors: Vec<_> = authorities.iter().map(anchor_from_trusted_cert).collect::<Result<_, _>>()?;
    let certificate = EndEntityCert::try_from(first)?;
    let algorithms = lockgate_http::tls::provider().signature_verification_algorithms.all;
    certificate.verify_for_usage(algorithms, &anchors, between, time, usage, None, None)?;
    Ok(())
}

fn pem(text: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).take(MAX_CHAIN + 1).collect();
    match all {
        Ok(all) if (1..=MAX_CHAIN).contains(&all.len()) => Ok(all),
        _ => Err(refused(format!("it has not 1 to {MAX_CHAIN} certificates in PEM"))),
    }
}

fn refused(cause: String) -> Error {
    Error::new(code::IDENTITY_REFUSED, format!("the certificate of the plane is refused: {cause}"))
}

#[cfg(test)]
mod tests;
