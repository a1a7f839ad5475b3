//! Where a server is: HTTPS, a host and a port, and nothing that would hide which.

use hyper::Uri;
use rustls::pki_types::ServerName;
use std::fmt;

/// A server, shown as `https://host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) name: ServerName<'static>,
}

/// A place on a server: `https://host:port/path?query`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    /// The server.
    pub address: Address,
    /// What is asked there, beginning with `/`.
    pub path: String,
}

impl Address {
    /// The server at `host`, a name or an address as text; none if no certificate can be of that name.
    pub fn new(host: &str, port: u16) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let name = ServerName::try_from(host.clone()).ok()?;
        Some(Self { host, port, name })
    }

    /// What the header `Host` says.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl Url {
    /// Reads a URL; none if it is not HTTPS, names no server as a certificate could, or has a user or a fragment.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if uri.scheme_str() != Some("https") || host.is_empty() || text.contains('#') {
            return None;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Some(Self { address: Address::new(host, authority.port_u16().unwrap_or(443))?, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_https_and_nothing_that_hides_something() {
        let url = Url::parse("https://id.Example.org/realms/a?x=1").unwrap();
        assert_eq!((url.address.authority().as_str(), url.path.as_str()), ("id.example.org", "/realms/a?x=1"));
        assert_eq!(
            Url::parse("https://a:443").unwrap(),
            Url { address: Address::new("a", 443).unwrap(), path: "/".into() }
        );
        assert_eq!(Url::parse("https://[::1]:8443").unwrap().address.to_string(), "https://[::1]:8443");
        for bad in [
            "http://a/",
            "https://",
            "a",
            "https://u:p@h/",
            "https://h/#f",
            "https:///x",
            "ftp://a",
            "//a/b",
            "https://a..b/",
            "",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }
}
