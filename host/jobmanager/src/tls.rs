//! The API's certificates by the configuration, and what clients of ours trust and speak. How a server's files become TLS is
//! `lockgate_server`'s matter. They are looked at every `reload-interval` and at SIGHUP.

#[cfg(test)]
mod tests;

pub use lockgate_server::tls::{CA_FILE, Made, Reloading, Secured, certificates, provider, roots, uris};

use crate::config::Config;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_server::tls::{Files, Own, Source};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;

/// The API's TLS; the files of an authority of our own, if there is one.
///
/// # Errors
/// `LG1053`, `LG1055`, `LG0850`.
pub fn of(config: &Config) -> Result<(Reloading, Option<Made>)> {
    let own = || Own { folder: config.data.join("tls"), whose: "JobManager", names: config.names.clone() };
    let given = config.tls.files.clone();
    let files = given.map_or_else(|| Files::Own(own()), |(certificate, key)| Files::Given(certificate, key));
    Reloading::new(Source { files, client_ca: config.tls.client_ca.clone(), allow_1_2: config.tls.allow_1_2 })
}

/// The files of the authority that the first start makes in the data directory `data`.
pub fn made(data: &Path) -> Made {
    Made::of(&data.join("tls"))
}

/// The authorities that this machine trusts.
///
/// # Errors
/// `LG1053` if there are none.
pub fn system_roots() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        let error = Error::new(code::TLS_MATERIAL, "this machine has no authorities that it trusts");
        return Err(error.help("install the package ca-certificates, or name a file with `ca`"));
    }
    Ok(roots)
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
