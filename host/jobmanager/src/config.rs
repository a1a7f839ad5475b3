//! The configuration of a JobManager, `jobmanager.toml`: checked whole at the start, every mistake told at once with its
//! line.
//!
//! ```toml
//! data = "/var/lib/lockgate"
//! listen = ["[::]:8443"]
//! names = ["jobmanager.example.org"]       # what requests may call this server
//!
//! [tls]
//! certificate = "server.pem"               # made by the first start if absent
//! key = "server.key"
//! ```
//!
//! Paths are relative to the file. What else there is, with its default, is in `docs/jobmanager.md`; a test reads that
//! page. There are no flags for values and no settings of the environment but by `${ENV:NAME}`: what counts is in one
//! file, and `lockgate config check` sees all of it.

mod read;
mod sections;
#[cfg(test)]
mod tests;
mod values;

pub use sections::{
    AuthorizationService, CertificateRule, Client, FairUse, Grant, Issuer, IssuerRule, Limits, LogFormat,
    MAX_JOIN_TOKEN_LIFETIME, Plane, Tls,
};
pub use values::Surroundings;

use crate::fair_use::Quota;
use crate::secret::Secret;
use crate::tls;
use lockgate_core::error::code;
use lockgate_core::trust::TrustDomain;
use lockgate_core::{Error, human};
use lockgate_server::private;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The longest configuration file, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// The configuration of a JobManager.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory of all that it keeps, 0700.
    pub data: PathBuf,
    /// Where the API is served.
    pub listen: Vec<SocketAddr>,
    /// The host names and addresses by which requests may call it, in lower case and without a port.
    pub names: Vec<String>,
    /// The trust domain of the cluster: what bundles and trust documents must name in their audience.
    pub domain: TrustDomain,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Certificates and keys.
    pub tls: Tls,
    /// Where TaskManagers dial in; nowhere if none.
    pub plane: Option<Plane>,
    /// What a peer can make the server hold.
    pub limits: Limits,
    /// How fast one may ask.
    pub fair_use: FairUse,
    /// The quota of a tenant for which none was set.
    pub quota: Quota,
    /// The key by which values at rest are encrypted, as text.
    pub encryption_key: Option<Secret<String>>,
    /// Whose client certificates are who.
    pub certificates: Vec<CertificateRule>,
    /// The identity providers whose tokens are taken.
    pub issuers: Vec<Issuer>,
    /// A service that is asked about every decision.
    pub authorization: Option<AuthorizationService>,
}

impl Config {
    /// Reads the file at `path` with this process's environment.
    ///
    /// # Errors
    /// All that is wrong with it: `LG1050`, `LG1051`, `LG1052`; `LG0850` if others may change the file or its folder,
    /// `LG0002` if it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Vec<Error>> {
        let one = |error: Error| vec![error];
        let path = &std::path::absolute(path).map_err(|error| vec![unreadable(path, &error)])?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let metadata = std::fs::metadata(path).map_err(|error| vec![unreadable(path, &error)])?;
        private::check_unwritable(path).map_err(one)?;
        private::check_unwritable(folder).map_err(one)?;
        if metadata.len() > MAX_BYTES {
            let cause = format!("the configuration has {}", human::about_bytes(metadata.len()));
            return Err(vec![values::refuse(cause).at(path.display().to_string())]);
        }
        let text = std::fs::read_to_string(path).map_err(|error| vec![unreadable(path, &error)])?;
        let environment = |name: &str| std::env::var(name).ok();
        Self::parse(&text, &path.display().to_string(), Surroundings { folder, environment: &environment })
    }

    /// The file with the server's certificate: the operator's, or that of the authority which the first start makes.
    pub fn certificate(&self) -> PathBuf {
        let made = || tls::made(&self.data).certificate();
        self.tls.files.as_ref().map_or_else(made, |(certificate, _)| certificate.clone())
    }

    /// Reads `text`, which errors call `file`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, file: &str, around: Surroundings<'_>) -> Result<Self, Vec<Error>> {
        read::config(text, file, &around)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(code::IO, format!("{}: {error}", path.display()))
}
