//! The one provider of cryptography for TLS: ring, chosen here in so many words and nowhere by a default of the process.

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ConfigBuilder, WantsVerifier};
use std::sync::{Arc, LazyLock};

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// What every client's configuration begins with: TLS 1.3 and 1.2. Whom to trust and who to be is the caller's to say.
///
/// # Errors
/// If the provider has no cipher for these versions.
pub fn client_config() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}
