//! `jobmanager.toml` into a [`Config`].

use super::sections::{
    AuthorizationService, CertificateRule, Client, FairUse, Grant, Issuer, IssuerRule, Limits, LogFormat,
    MAX_JOIN_TOKEN_LIFETIME, Plane, Tls,
};
use super::values::{Surroundings, Values, refuse};
use super::{Config, MAX_BYTES};
use crate::access::Role;
use crate::credentials::is_uri;
use crate::fair_use::Quota;
use crate::http_client::Target;
use lockgate_core::error::code;
use lockgate_core::toml_reader::{Document, Section};
use lockgate_core::trust::TrustDomain;
use lockgate_core::{Error, Name, Result};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::time::Duration;
use toml::de::DeTable;

const HOUR: u64 = 3_600_000;

/// Reads `text`, or says all that is wrong with it.
pub fn config(text: &str, file: &str, around: &Surroundings<'_>) -> Result<Config, Vec<Error>> {
    if text.len() as u64 > MAX_BYTES {
        return Err(vec![refuse("the configuration is longer than 1 MiB".into()).at(file)]);
    }
    let document = Document::new(file, text);
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        document.report(error.span().map_or(0, |span| span.start), refuse(error.message().trim().into()));
    }
    let read = (!document.has_errors())
        .then(|| root(Values { section: Section::new(&document, &tree, "the configuration"), around }))
        .flatten();
    match (read, document.has_errors()) {
        (Some(config), false) => Ok(config),
        _ => Err(document.into_errors().into_iter().map(ours).collect()),
    }
}

/// The reader's own errors speak of manifests by their codes; whoever looks one up shall read of this file.
fn ours(error: Error) -> Error {
    if matches!(error.code(), code::CONFIG_REFERENCE | code::SECRET_IN_CONFIG | code::EXPOSED_TO_OTHERS) {
        return error;
    }
    let mut own = refuse(error.cause().into());
    if let Some(help) = error.help_text() {
        own = own.help(help);
    }
    match error.place() {
        Some(place) => own.at(place),
        None => own,
    }
}

fn root(root: Values<'_, '_, '_>) -> Option<Config> {
    let data = root.need("data", root.path("data"));
    let listen = root.list("listen", address).unwrap_or_else(|| vec![([127, 0, 0, 1], 8443).into()]);
    let names = root.list("names", host_name);
    let names = names.unwrap_or_else(|| ["localhost", "127.0.0.1", "[::1]"].map(String::from).into());
    let domain = root.parsed("domain", TrustDomain::from_str);
    let domain = domain.or_else(|| TrustDomain::from_str("cluster.local").ok())?;
    let log_format = root.parsed("log-format", |text| match text {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err(refuse(format!("`log-format` is {text:?}, neither \"human\" nor \"json\""))),
    });
    let tls = root.table("tls").map_or_else(|| Some(default_tls()), tls);
    let plane = root.table("plane").map(|table| plane(table, &names));
    let encryption_key = root.table("store").and_then(|store| {
        let key = store.secret("encryption-key");
        store.finish();
        key
    });
    let config = Config {
        listen,
        names,
        domain,
        log_format: log_format.unwrap_or_default(),
        plane,
        limits: root.table("limits").map(limits).unwrap_or_default(),
        fair_use: root.table("fair-use").map(fair_use).unwrap_or_default(),
        quota: root.table("quota").map(quota).unwrap_or_default(),
        encryption_key,
        certificates: root.tables("certificate", certificate),
        issuers: root.tables("oidc", issuer),
        authorization: root.table("authorization").and_then(authorization),
        data: data.unwrap_or_default(),
        tls: tls.unwrap_or_else(default_tls),
    };
    check(&root, &config);
    root.finish();
    Some(config)
}

/// What can only be seen of the whole.
fn check(root: &Values<'_, '_, '_>, config: &Config) {
    let refused = |key: &'static str, cause: String| {
        if let Some(value) = root.section.get(key) {
            root.section.report(value, refuse(cause));
        }
    };
    if config.listen.is_empty() {
        refused("listen", "`listen` has no address".into());
    }
    if config.names.is_empty() {
        refused("names", "`names` has no name: no request could be meant for this server".into());
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = config.certificates.iter().find(|rule| !seen.insert(&rule.uri)) {
        refused("certificate", format!("two certificates have the URI {:?}", twice.uri));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = config.issuers.iter().find(|issuer| !seen.insert(&issuer.issuer)) {
        refused("oidc", format!("the issuer {:?} is there twice", twice.issuer));
    }
    if !config.certificates.is_empty() && config.tls.client_ca.is_none() {
        refused(
            "certificate",
            "there are client certificates, but no `client-ca` in [tls] that vouches for them".into(),
        );
    }
}

fn default_tls() -> Tls {
    Tls { files: None, allow_1_2: false, client_ca: None, reload_interval: Duration::from_secs(30) }
}

fn tls(tls: Values<'_, '_, '_>) -> Option<Tls> {
    let default = default_tls();
    let certificate = tls.path("certificate");
    let key = tls.path("key");
    let files = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => tls.need("key", None),
        (None, Some(_)) => tls.need("certificate", None),
        (None, None) => None,
    };
    let allow_1_2 = tls.parsed("minimum", |text| match text {
        "1.3" => Ok(false),
        "1.2" => Ok(true),
        _ => Err(refuse(format!("`minimum` is {text:?}, neither \"1.3\" nor \"1.2\""))),
    });
    let read = Tls {
        files,
        allow_1_2: allow_1_2.unwrap_or_default(),
        client_ca: tls.path("client-ca"),
        reload_interval: tls.duration("reload-interval", 50..=HOUR).unwrap_or(default.reload_interval),
    };
    tls.finish();
    Some(read)
}

fn limits(limits: Values<'_, '_, '_>) -> Limits {
    let default = Limits::default();
    let count = |key, range, default: usize| {
        limits.number(key, range).and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
    };
    let time = |key, default| limits.duration(key, 50..=24 * HOUR).unwrap_or(default);
    let header_bytes = limits.bytes("header-bytes", 8_192..=1 << 20).and_then(|bytes| bytes.try_into().ok());
    let read = Limits {
        connections: count("connections", 1..=1_000_000, default.connections),
        connections_per_source: count("connections-per-source", 1..=1_000_000, default.connections_per_source),
        requests: count("requests", 1..=100_000, default.requests),
        handshake_timeout: time("handshake-timeout", default.handshake_timeout),
        header_timeout: time("header-timeout", default.header_timeout),
        header_bytes: header_bytes.unwrap_or(default.header_bytes),
        headers: count("headers", 8..=1_024, default.headers),
        body_bytes: limits.bytes("body-bytes", 1_024..=1 << 30).unwrap_or(default.body_bytes),
        upload_bytes: limits.bytes("upload-bytes", 1_024..=1 << 40).unwrap_or(default.upload_bytes),
        body_bytes_per_second: limits
            .bytes("body-bytes-per-second", 0..=1 << 30)
            .unwrap_or(default.body_bytes_per_second),
        body_idle: time("body-idle", default.body_idle),
        request_timeout: time("request-timeout", default.request_timeout),
        write_timeout: time("write-timeout", default.write_timeout),
        connection_age: time("connection-age", default.connection_age),
        drain: time("drain", default.drain),
    };
    limits.finish();
    read
}

/// Called as the API is, unless it says otherwise.
fn plane(table: Values<'_, '_, '_>, names: &[String]) -> Plane {
    let join = u64::try_from(MAX_JOIN_TOKEN_LIFETIME.as_millis()).unwrap_or(u64::MAX);
    let read = Plane {
        listen: table.list("listen", address).unwrap_or_else(|| vec![([127, 0, 0, 1], 8444).into()]),
        names: table.list("names", host_name).unwrap_or_else(|| names.to_vec()),
        certificate_lifetime: table
            .duration("certificate-lifetime", 6_000..=30 * 24 * HOUR)
            .unwrap_or(Duration::from_secs(86_400)),
        join_token_lifetime: table.duration("join-token-lifetime", 1_000..=join).unwrap_or(Duration::from_secs(3_600)),
        lease: table.duration("lease", 1_000..=HOUR).unwrap_or(Duration::from_secs(30)),
    };
    for (key, empty) in [("listen", read.listen.is_empty()), ("names", read.names.is_empty())] {
        if let Some(value) = table.section.get(key).filter(|_| empty) {
            table.section.report(value, refuse(format!("`{key}` of [plane] is empty")));
        }
    }
    table.finish();
    read
}

fn fair_use(table: Values<'_, '_, '_>) -> FairUse {
    let default = FairUse::default();
    let count = |key, default: u32| {
        table.number(key, 1..=1_000_000).and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    let read = FairUse {
        principal_requests_per_second: count("principal-requests-per-second", default.principal_requests_per_second),
        failures: count("failures", default.failures),
        failure_delay: table.duration("failure-delay", 50..=HOUR).unwrap_or(default.failure_delay),
        failure_delay_max: table.duration("failure-delay-max", 50..=24 * HOUR).unwrap_or(default.failure_delay_max),
    };
    table.finish();
    read
}

fn quota(table: Values<'_, '_, '_>) -> Quota {
    let mut quota = Quota::default();
    for kind in crate::fair_use::Kind::ALL {
        let key = kind.as_str();
        let value = if kind.is_bytes() { table.bytes(key, 0..=u64::MAX) } else { table.number(key, 0..=u64::MAX) };
        if let Some(value) = value {
            quota.set(*kind, value);
        }
    }
    table.finish();
    quota
}

fn certificate(table: Values<'_, '_, '_>) -> Option<CertificateRule> {
    let uri = table.need(
        "uri",
        table.parsed("uri", |text| {
            is_uri(text).then(|| text.to_owned()).ok_or_else(|| refuse(format!("`uri` is {text:?}: not a URI")))
        }),
    );
    let grant = grant(&table);
    table.finish();
    Some(CertificateRule { uri: uri?, grant: grant? })
}

fn issuer(table: Values<'_, '_, '_>) -> Option<Issuer> {
    let issuer = table.need("issuer", table.parsed("issuer", https));
    let audience = table.need("audience", table.text("audience"));
    let algorithms = table.list("algorithms", crate::oidc::algorithm);
    let algorithms = table.need("algorithms", algorithms);
    let rules = table.tables("rule", |rule| {
        let claim = rule.need("claim", rule.text("claim"));
        let value = rule.need("value", rule.text("value"));
        let grant = grant(&rule);
        rule.finish();
        Some(IssuerRule { claim: claim?, value: value?, grant: grant? })
    });
    let read = (
        client(&table),
        table.duration("clock-skew", 0..=600_000).unwrap_or(Duration::from_secs(30)),
        table.text("principal-claim").unwrap_or_else(|| "sub".into()),
    );
    table.finish();
    let (client, clock_skew, principal_claim) = read;
    let (issuer, audience, algorithms) = (issuer?, audience?, algorithms?);
    Some(Issuer { issuer, audience, algorithms, clock_skew, client, principal_claim, rules })
}

fn authorization(table: Values<'_, '_, '_>) -> Option<AuthorizationService> {
    let url = table.need("url", table.parsed("url", https));
    let token = table.secret("token");
    let client = client(&table);
    table.finish();
    Some(AuthorizationService { url: url?, token, client })
}

fn client(table: &Values<'_, '_, '_>) -> Client {
    Client { ca: table.path("ca"), timeout: table.duration("timeout", 50..=60_000).unwrap_or(Duration::from_secs(5)) }
}

/// `tenant` and `roles`. A role that means nothing where it is given is refused.
fn grant(table: &Values<'_, '_, '_>) -> Option<Grant> {
    let tenant = table.parsed("tenant", Name::new);
    let roles = table.list("roles", Role::from_str).map(|roles| roles.into_iter().collect::<BTreeSet<_>>());
    let roles = table.need("roles", roles)?;
    let place = table.section.get("roles")?;
    let wrong = |role: &&Role| match role {
        Role::Operator => tenant.is_some(),
        Role::TenantAdmin | Role::Deployer | Role::Viewer => tenant.is_none(),
        Role::Auditor => false,
    };
    if roles.is_empty() {
        table.section.report(place, refuse("`roles` has no role".into()));
        return None;
    }
    if let Some(role) = roles.iter().find(wrong) {
        let cause = match role {
            Role::Operator => "an operator belongs to no tenant".to_owned(),
            role => format!("a {role} needs a `tenant`"),
        };
        table.section.report(place, refuse(cause));
        return None;
    }
    Some(Grant { tenant, roles })
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| {
        refuse(format!("{text:?} is not an address with a port"))
            .help("for example \"127.0.0.1:8443\" or \"[::]:8443\"")
    })
}

/// A name as a `Host` header has it, without a port.
fn host_name(text: &str) -> Result<String> {
    let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let fine = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let label = |label: &str| {
                !label.is_empty()
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            };
            text.len() <= 253 && text.split('.').all(label)
        }
    };
    if !fine {
        let error = refuse(format!("{text:?} is not a host name or an address"));
        return Err(error.help("without a port; an IPv6 address stands in brackets"));
    }
    Ok(text.to_ascii_lowercase())
}

fn https(text: &str) -> Result<String> {
    Target::parse(text)?;
    Ok(text.to_owned())
}
