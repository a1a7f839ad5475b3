//! The configuration of TLS as it is now. Each connection takes it anew, so that new files count from the next one on.

use super::authority::{self, Made, Own};
use super::{Secured, material, provider};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// TLS for the server, with the files that it comes from.
#[derive(Debug)]
pub struct Reloading {
    source: Source,
    certificate: PathBuf,
    key: PathBuf,
    now: RwLock<(Arc<ServerConfig>, Stamp)>,
}

/// What TLS is to be.
#[derive(Debug)]
pub struct Source {
    /// Where the server's certificate and key come from.
    pub files: Files,
    /// The authority whose client certificates are taken; none for no client certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether TLS 1.2 is spoken too.
    pub allow_1_2: bool,
}

/// Where a server's certificate and key come from.
#[derive(Debug)]
pub enum Files {
    /// From an authority of the server's own, which makes both.
    Own(Own),
    /// From the operator: certificate and key.
    Given(PathBuf, PathBuf),
}

/// By which a change of the files is seen: when each was modified, its size, and its inode.
type Stamp = Vec<Option<(SystemTime, u64, u64)>>;

impl Reloading {
    /// TLS as `source` says; the files of an authority of the server's own, if there is one.
    ///
    /// # Errors
    /// `LG1053`, `LG1055`, `LG0850`.
    pub fn new(source: Source) -> Result<(Self, Option<Made>)> {
        let (certificate, key, made) = match &source.files {
            Files::Given(certificate, key) => (certificate.clone(), key.clone(), None),
            Files::Own(own) => {
                let made = authority::ensure(own)?;
                (made.certificate(), made.key(), Some(made))
            }
        };
        let stamp = source.stamp(&certificate, &key);
        let now = RwLock::new((Arc::new(source.load(&certificate, &key)?), stamp));
        Ok((Self { source, certificate, key, now }, made))
    }

    /// Takes new files if there are any; whether it did. If they cannot be used, the former ones go on.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn reload(&self) -> Result<bool> {
        if let Files::Own(own) = &self.source.files {
            authority::ensure(own)?;
        }
        let stamp = self.source.stamp(&self.certificate, &self.key);
        if stamp == self.now.read().unwrap_or_else(PoisonError::into_inner).1 {
            return Ok(false);
        }
        let config = Arc::new(self.source.load(&self.certificate, &self.key)?);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = (config, stamp);
        Ok(true)
    }
}

impl Secured for Reloading {
    fn current(&self) -> Result<Arc<ServerConfig>> {
        Ok(Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).0))
    }
}

impl Source {
    fn stamp(&self, certificate: &Path, key: &Path) -> Stamp {
        use std::os::unix::fs::MetadataExt as _;
        let files = [Some(certificate), Some(key), self.client_ca.as_deref()];
        let look = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        files.into_iter().flatten().map(look).collect()
    }

    fn load(&self, certificate: &Path, key: &Path) -> Result<ServerConfig> {
        let wrong = |error: &dyn std::fmt::Display| Error::new(code::TLS_MATERIAL, error.to_string());
        let certified = material::certified_key(certificate, key)?;
        // rustls looks at a certificate only when a client does; a broken one shall be found here.
        ParsedCertificate::try_from(certified.end_entity_cert().map_err(|error| wrong(&error))?)
            .map_err(|error| wrong(&error))?;
        let versions: &[&rustls::SupportedProtocolVersion] = if self.allow_1_2 {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        } else {
            &[&rustls::version::TLS13]
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| wrong(&error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(material::roots(path)?), provider())
                        .allow_unauthenticated()
                        .build()
                        .map_err(|error| wrong(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let resolver = rustls::sign::SingleCertAndKey::from(certified);
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would keep what a client certificate was when it began.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}
