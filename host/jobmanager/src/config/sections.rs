//! What the tables of `jobmanager.toml` become.

use crate::access::Role;
use crate::secret::Secret;
use lockgate_core::Name;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// `[tls]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// The server's certificate and key; none for those that the first start makes.
    pub files: Option<(PathBuf, PathBuf)>,
    /// Whether TLS 1.2 is spoken too.
    pub allow_1_2: bool,
    /// The authority whose client certificates are taken; none for no client certificates.
    pub client_ca: Option<PathBuf>,
    /// How often the files are looked at for newer ones.
    pub reload_interval: Duration,
}

/// `[limits]`: what a peer can make the server hold, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections of one source at once: an IPv4 address, or an IPv6 network of 64 bits.
    pub connections_per_source: usize,
    /// Requests that are worked on at once.
    pub requests: usize,
    /// Time for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for a request's head to come, counted from when the connection is free for it; so also the longest that a
    /// connection stays open without a request.
    pub header_timeout: Duration,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Bytes of a body where the route says nothing else.
    pub body_bytes: u64,
    /// Bytes of an uploaded bundle or trust document.
    pub upload_bytes: u64,
    /// The least bytes a second of a body, averaged over its whole time.
    pub body_bytes_per_second: u64,
    /// The longest that a body may be silent. The average is looked at from then on.
    pub body_idle: Duration,
    /// Time for an answer to begin, the body of the request included.
    pub request_timeout: Duration,
    /// The longest that a peer may leave written bytes untaken.
    pub write_timeout: Duration,
    /// The longest that a connection is used: a client certificate that has expired, or whose authority is no longer
    /// taken, ends with it at the latest.
    pub connection_age: Duration,
    /// How long requests may go on after a signal to stop.
    pub drain: Duration,
}

impl Limits {
    /// Those of connections.
    pub fn of_connections(&self) -> lockgate_server::Limits {
        lockgate_server::Limits {
            connections: self.connections,
            connections_per_source: self.connections_per_source,
            handshake_timeout: self.handshake_timeout,
            header_timeout: self.header_timeout,
            header_bytes: self.header_bytes,
            headers: self.headers,
            write_timeout: self.write_timeout,
            connection_age: self.connection_age,
            drain: self.drain,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_source: 128,
            requests: 512,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            header_bytes: 32 << 10,
            headers: 64,
            body_bytes: 1 << 20,
            upload_bytes: 256 << 20,
            body_bytes_per_second: 16 << 10,
            body_idle: Duration::from_secs(20),
            request_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            connection_age: Duration::from_secs(3_600),
            drain: Duration::from_secs(25),
        }
    }
}

/// `[plane]`: where TaskManagers dial in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plane {
    /// Where it is served.
    pub listen: Vec<SocketAddr>,
    /// The host names and addresses by which TaskManagers call it, without a port.
    pub names: Vec<String>,
    /// How long a TaskManager's certificate lives. It asks for the next one when two thirds are over.
    pub certificate_lifetime: Duration,
    /// How long a join token is taken if whoever makes it says nothing else.
    pub join_token_lifetime: Duration,
    /// For how long what a TaskManager is told to run is good without being told again.
    pub lease: Duration,
}

/// The longest life of a join token.
pub const MAX_JOIN_TOKEN_LIFETIME: Duration = Duration::from_secs(86_400);

/// `[fair-use]`: how fast one may ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FairUse {
    /// Requests a second of one principal, and as many at once.
    pub principal_requests_per_second: u32,
    /// Failed credentials of one source before it has to wait.
    pub failures: u32,
    /// The first wait. Each further failure doubles it.
    pub failure_delay: Duration,
    /// The longest wait; a source without failures for this long is forgotten.
    pub failure_delay_max: Duration,
}

impl Default for FairUse {
    fn default() -> Self {
        Self {
            principal_requests_per_second: 50,
            failures: 5,
            failure_delay: Duration::from_secs(1),
            failure_delay_max: Duration::from_secs(300),
        }
    }
}

/// What somebody is, where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The tenant; none for the operator's people.
    pub tenant: Option<Name>,
    /// The roles.
    pub roles: BTreeSet<Role>,
}

/// `[[certificate]]`: whose client certificate this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateRule {
    /// The URI among its subject's alternative names.
    pub uri: String,
    /// What its holder is.
    pub grant: Grant,
}

/// How a service outside is reached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Client {
    /// Authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Time for a whole exchange.
    pub timeout: Duration,
}

/// `[[oidc]]`: an identity provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issuer {
    /// As tokens name it, and below which its discovery document lies.
    pub issuer: String,
    /// What tokens for this server have as their audience.
    pub audience: String,
    /// The algorithms that its tokens may be signed with.
    pub algorithms: Vec<jsonwebtoken::Algorithm>,
    /// How much its clock may differ.
    pub clock_skew: Duration,
    /// How it is reached.
    pub client: Client,
    /// The claim that names the principal.
    pub principal_claim: String,
    /// What claims give. The rules that fit add up; if they lead to several tenants, none counts.
    pub rules: Vec<IssuerRule>,
}

/// `[[oidc.rule]]`: what whoever has this claim is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuerRule {
    /// A claim, by its name at the top of the token.
    pub claim: String,
    /// What it must be, or have among its items.
    pub value: String,
    /// What that gives.
    pub grant: Grant,
}

/// `[authorization]`: a service that is asked about every decision.
#[derive(Clone, Debug)]
pub struct AuthorizationService {
    /// Where, by HTTPS.
    pub url: String,
    /// Sent as a bearer token.
    pub token: Option<Secret<String>>,
    /// How it is reached.
    pub client: Client,
}
