//! What a TaskManager of a cluster has to be told besides: where its JobManager is, and whom to trust in its place.
//!
//! ```toml
//! name = "tm-1"                        # the host's name if absent
//! log-format = "human"                 # or "json"
//! bundle-bytes = "4 GiB"               # the most that fetched bundles take up
//!
//! [jobmanager]
//! join = "https://jobmanager.example.org:8443"   # the API, asked once
//! ca = "ca.pem"                        # its authority; the system's authorities mean nothing here
//! plane = ["jobmanager.example.org:8444"]        # tried in turn; what joining says if absent
//! join-token-file = "join-token"       # or LOCKGATE_JOIN_TOKEN; needed once
//!
//! [trust]
//! domain = "cluster.example.org"
//! operator-root = "operator-root.json" # pinned: whoever writes this file decides whose code runs here
//! max-lease = "10 min"                 # what runs without word of the JobManager ends after that
//! ```

use super::invalid;
use super::read::Values;
use lockgate_core::trust::TrustDomain;
use lockgate_core::{Name, Result};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

/// The longest lease that a TaskManager may be let run on, in milliseconds.
const LONGEST: u64 = 24 * 3_600_000;

/// Which cluster a TaskManager belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// What it wants to be called; the host's name if none.
    pub name: Option<Name>,
    /// How log lines are written.
    pub log: LogFormat,
    /// The most bytes of fetched bundles.
    pub bundle_bytes: u64,
    /// The JobManager's API, where it joins: host and port.
    pub join: (String, u16),
    /// The authority of the API's certificate.
    pub ca: PathBuf,
    /// Where the plane is: hosts and ports in the order in which they are tried. What joining said if there are none.
    pub plane: Vec<(String, u16)>,
    /// The file of the join token.
    pub join_token: Option<PathBuf>,
    /// The trust domain of the cluster.
    pub domain: TrustDomain,
    /// The operator root that is pinned.
    pub operator_root: PathBuf,
    /// The longest that a job runs on without word of the JobManager, whatever it says.
    pub max_lease: Duration,
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The name of this host as a name: its first label in lower case.
///
/// # Errors
/// `LG0860` if it is none.
pub fn own_name() -> Result<Name> {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().to_ascii_lowercase();
    let label = host.split('.').next().unwrap_or_default();
    Name::new(label).map_err(|error| {
        invalid(format!("this host is called {label:?}, which is no name: {}", error.cause())).help("add `name = …`")
    })
}

/// Host and port of `host:port`, with an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<(String, u16)> {
    let refuse = || invalid(format!("{text:?} is not of the form host:port"));
    let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
    let plain = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok().then_some(address),
        None => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            ((1..=253).contains(&host.len()) && host.bytes().all(allowed)).then_some(host)
        }
    };
    match (plain, port.parse()) {
        (Some(host), Ok(port)) if port != 0 => Ok((host.to_ascii_lowercase(), port)),
        _ => Err(refuse()),
    }
}

/// What of it stands in the configuration; none if there is no `[jobmanager]`.
pub(super) fn read(root: &Values<'_, '_, '_>) -> Option<Cluster> {
    let name = root.section.name("name");
    let log = root.parsed("log-format", |text| match text {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err(invalid(format!("`log-format` is {text:?}, neither \"human\" nor \"json\""))),
    });
    let bundle_bytes = root.bytes("bundle-bytes", 1 << 20..=1 << 50).unwrap_or(4 << 30);
    let trust = root.table("trust").map(|trust| {
        let domain = trust.section.need("domain", trust.parsed("domain", TrustDomain::from_str));
        let operator_root = trust.section.need("operator-root", trust.path("operator-root"));
        let max_lease = trust.duration("max-lease", 1_000..=LONGEST).unwrap_or(Duration::from_secs(600));
        trust.section.finish();
        (domain, operator_root, max_lease)
    });
    let jobmanager = root.table("jobmanager").map(|section| {
        let join = section.section.need("join", section.parsed("join", api));
        let ca = section.section.need("ca", section.path("ca"));
        let plane = section.list("plane", host_port).unwrap_or_default();
        let token = section.path("join-token-file");
        section.section.finish();
        (join, ca, plane, token)
    });
    let trust = if jobmanager.is_some() { root.section.need("trust", trust) } else { trust };
    match (jobmanager, trust) {
        (Some((join, ca, plane, join_token)), Some((domain, operator_root, max_lease))) => Some(Cluster {
            name,
            log: log.unwrap_or_default(),
            bundle_bytes,
            join: join?,
            ca: ca?,
            plane,
            join_token,
            domain: domain?,
            operator_root: operator_root?,
            max_lease,
        }),
        _ => None,
    }
}

fn api(text: &str) -> Result<(String, u16)> {
    let refuse = || invalid(format!("{text:?} is not of the form https://host:port"));
    let rest = text.strip_prefix("https://").ok_or_else(refuse)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let numbered = rest.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    host_port(&if numbered { rest.to_owned() } else { format!("{rest}:443") }).map_err(|_| refuse())
}
