//! Certificates and keys: rustls with ring, chosen here in so many words and nowhere by a default of the process.
//!
//! TLS 1.3, and 1.2 only if whoever listens says so. No other protocol than HTTP/1.1 is offered: its every limit is ours
//! to set (ADR 0010). Whoever replaces the files need not restart anything: [`Reloading::reload`] takes new ones, and what
//! cannot be used is an error while the former ones go on.

mod authority;
mod material;
mod reload;

pub use authority::{CA_FILE, Made, Own};
pub use lockgate_http::tls::provider;
pub use material::{certificates, roots, uris};
pub use reload::{Files, Reloading, Source};

use lockgate_core::Result;
use rustls::ServerConfig;
use std::sync::Arc;

/// TLS of a server. Each connection takes it anew.
pub trait Secured: Send + Sync + std::fmt::Debug {
    /// TLS for a connection that begins now.
    ///
    /// # Errors
    /// `LG1053` if there is none.
    fn current(&self) -> Result<Arc<ServerConfig>>;
}
