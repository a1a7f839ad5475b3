//! Where a TaskManager shows its figures, if it is to: it listens on nothing otherwise.
//!
//! ```toml
//! [metrics]
//! listen = ["127.0.0.1:9464"]
//! token-file = "metrics.token"         # 0600; whoever asks brings what stands in it as a bearer token
//! names = ["tm-1.example.org"]         # of the certificate that the first start makes; localhost if absent
//! certificate = "metrics.pem"          # the operator's own in its place, with `key`
//! key = "metrics.key"
//! ```

use super::invalid;
use super::read::Values;
use lockgate_core::Result;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The most addresses and the most names.
const MAX: usize = 16;

/// `[metrics]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// Where it listens, at least one.
    pub listen: Vec<SocketAddr>,
    /// The file with the token that whoever asks must bring.
    pub token_file: PathBuf,
    /// The host names and addresses in the certificate that is made where there are no `files`.
    pub names: Vec<String>,
    /// The operator's certificate and key.
    pub files: Option<(PathBuf, PathBuf)>,
}

/// What of it stands in the configuration; none if there is no `[metrics]`.
pub(super) fn read(root: &Values<'_, '_, '_>) -> Option<Metrics> {
    let table = root.table("metrics")?;
    let section = &table.section;
    let listen = section.need("listen", table.list("listen", address));
    let token_file = section.need("token-file", table.path("token-file"));
    let (certificate, key) = (table.path("certificate"), table.path("key"));
    let names = table.list("names", host_name);
    let refused = |key: &'static str, cause: &str| {
        if let Some(place) = section.get(key) {
            section.report(place, invalid(cause.to_owned()));
        }
    };
    match (&certificate, &key) {
        (Some(_), None) => refused("certificate", "`certificate` needs the `key` that it is of"),
        (None, Some(_)) => refused("key", "`key` needs its `certificate`"),
        (Some(_), Some(_)) if names.is_some() => {
            refused("names", "`names` are for a certificate that is made here, and `certificate` is given");
        }
        _ => {}
    }
    for (key, count) in [("listen", listen.as_ref().map(Vec::len)), ("names", names.as_ref().map(Vec::len))] {
        if count.is_some_and(|count| !(1..=MAX).contains(&count)) {
            refused(key, &format!("`{key}` has not 1 to {MAX} entries"));
        }
    }
    table.section.finish();
    let names = names.unwrap_or_else(|| ["localhost", "127.0.0.1", "::1"].map(String::from).into());
    Some(Metrics { listen: listen?, token_file: token_file?, names, files: certificate.zip(key) })
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| {
        invalid(format!("{text:?} is not an address with a port"))
            .help("for example \"127.0.0.1:9464\" or \"[::]:9464\"")
    })
}

/// A name as it can stand in a certificate; an IPv6 address may have its brackets.
fn host_name(text: &str) -> Result<String> {
    let plain = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match lockgate_http::Address::new(plain, 443) {
        Some(_) => Ok(plain.to_ascii_lowercase()),
        None => Err(invalid(format!("{text:?} is not a host name or an address"))),
    }
}
