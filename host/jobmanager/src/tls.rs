//! Certificates and keys: rustls with ring, chosen here in so many words and nowhere by a default of the process.
//!
//! TLS 1.3, and 1.2 only if the configuration says so. No other protocol than HTTP/1.1 is offered: its every limit is ours
//! to set (ADR 0010). Whoever replaces the files need not restart anything: they are looked at every `reload-interval` and
//! at SIGHUP, and what cannot be used is logged while the former ones go on.

mod authority;
mod material;
mod reload;
#[cfg(test)]
mod tests;

pub use authority::{CA_FILE, Made};
pub use material::{certificates, roots, system_roots, uris};
pub use reload::Reloading;

pub use lockgate_http::tls::provider;

use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustls::ServerConfig;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// TLS of a server. Each connection takes it anew.
pub trait Secured: Send + Sync + std::fmt::Debug {
    /// TLS for a connection that begins now.
    ///
    /// # Errors
    /// `LG1053` if there is none.
    fn current(&self) -> Result<Arc<ServerConfig>>;
}

/// What a client of ours trusts and speaks.
///
/// # Errors
/// `LG1053`.
pub fn client_config(roots: RootCertStore) -> Result<ClientConfig> {
    Ok(lockgate_http::tls::client_config()
        .map_err(|error| Error::new(code::TLS_MATERIAL, error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
