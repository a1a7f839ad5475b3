//! Who a certificate of the plane says that its holder is.

use crate::tls;
use lockgate_core::error::code;
use lockgate_core::plane::taskmanager_uri;
use lockgate_core::trust::TrustDomain;
use lockgate_core::{Digest, Error, Name, Result, Timestamp};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The TaskManager that a request is from. An extension of every request that reaches a route of the plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// What it is called.
    pub name: Name,
}

/// What a TaskManager's certificate says. Whether it still counts is for the registry to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// What the TaskManager is called.
    pub name: Name,
    /// Tells the certificate from all others.
    pub certificate: Digest,
    /// From when on it does not count.
    pub expires: Timestamp,
}

impl Identity {
    /// That of a certificate whose signature was verified.
    ///
    /// # Errors
    /// `LG1401` if it names anything but one TaskManager of `domain`.
    pub fn of(certificate: &CertificateDer<'_>, domain: &TrustDomain) -> Result<Self> {
        let refuse = || Error::new(code::PLANE_REFUSED, "the certificate names no TaskManager of this trust domain");
        let uris = tls::uris(certificate);
        let [uri] = uris.as_slice() else { return Err(refuse()) };
        let name = uri.rsplit('/').next().and_then(|name| Name::new(name).ok());
        let name = name.filter(|name| *uri == taskmanager_uri(domain, name)).ok_or_else(refuse)?;
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| refuse())?;
        let expires = Timestamp::from_seconds(parsed.validity().not_after.timestamp());
        Ok(Self { name, certificate: Digest::of(certificate), expires })
    }
}
