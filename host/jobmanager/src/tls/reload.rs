//! The configuration of TLS as it is now. Each connection takes it anew, so that new files count from the next one on.

use super::authority::{self, Made};
use super::{Secured, material, provider};
use crate::config::Config;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// TLS for the server, with the files that it comes from.
#[derive(Debug)]
pub struct Reloading {
    source: Source,
    now: RwLock<(Arc<ServerConfig>, Stamp)>,
}

#[derive(Debug)]
struct Source {
    /// Where an authority of our own has its folder, and for which names; none if the operator gave files.
    own: Option<(PathBuf, Vec<String>)>,
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    allow_1_2: bool,
}

/// By which a change of the files is seen: when each was modified, its size, and its inode.
type Stamp = Vec<Option<(SystemTime, u64, u64)>>;

impl Reloading {
    /// TLS as the configuration says; the files of an authority of our own, if they had to be made.
    ///
    /// # Errors
    /// `LG1053`, `LG1055`, `LG0850`.
    pub fn new(config: &Config) -> Result<(Self, Option<Made>)> {
        let made = match config.tls.files {
            Some(_) => None,
            None => Some(authority::ensure(&config.data, &config.names)?),
        };
        let (certificate, key) = match (&config.tls.files, &made) {
            (Some(files), _) => files.clone(),
            (None, Some(made)) => (made.certificate(), made.key()),
            (None, None) => return Err(Error::new(code::INTERNAL, "there is neither a certificate nor an authority")),
        };
        let own = made.is_some().then(|| (config.data.clone(), config.names.clone()));
        let (client_ca, allow_1_2) = (config.tls.client_ca.clone(), config.tls.allow_1_2);
        let source = Source { own, certificate, key, client_ca, allow_1_2 };
        let stamp = source.stamp();
        let now = RwLock::new((Arc::new(source.load()?), stamp));
        Ok((Self { source, now }, made))
    }

    /// Takes new files if there are any; whether it did. If they cannot be used, the former ones go on.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn reload(&self) -> Result<bool> {
        if let Some((data, names)) = &self.source.own {
            authority::ensure(data, names)?;
        }
        let stamp = self.source.stamp();
        if stamp == self.now.read().unwrap_or_else(PoisonError::into_inner).1 {
            return Ok(false);
        }
        let config = Arc::new(self.source.load()?);
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
    fn stamp(&self) -> Stamp {
        use std::os::unix::fs::MetadataExt as _;
        let files = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let look = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        files.into_iter().flatten().map(look).collect()
    }

    fn load(&self) -> Result<ServerConfig> {
        let wrong = |error: &dyn std::fmt::Display| Error::new(code::TLS_MATERIAL, error.to_string());
        let certified = material::certified_key(&self.certificate, &self.key)?;
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
