//! Tokens of identity providers (OpenID Connect): who signed, for whom, until when, and what that gives here.
//!
//! What decides is configured, never read from the token: the issuers, the algorithms of each, the audience. A token's
//! header chooses among an issuer's keys and nothing else; `jku`, `x5u` and keys within a token are ignored. Claims become
//! roles by the rules in the configuration, so that a provider can vouch for who somebody is, and only the operator of this
//! cluster for what that means.

mod keys;
mod ring_provider;
#[cfg(test)]
mod tests;

use crate::access::Caller;
use crate::config::{Grant, Issuer, IssuerRule};
use crate::http_client::Client;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
pub use keys::Keys;
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The longest name that a claim may give a principal, in bytes.
const MAX_PRINCIPAL: usize = 256;

/// What the algorithms that a configuration may name are. None is symmetric: a key that verifies must not be one that
/// signs.
const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("EdDSA", Algorithm::EdDSA),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
];

/// An algorithm by its name in RFC 7518.
///
/// # Errors
/// `LG1050` if it is not one that may be configured.
pub fn algorithm(text: &str) -> Result<Algorithm> {
    ALGORITHMS.iter().find(|(name, _)| *name == text).map(|(_, algorithm)| *algorithm).ok_or_else(|| {
        let known: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
        Error::new(code::JOBMANAGER_CONFIG, format!("{text:?} is no algorithm that tokens may be signed with"))
            .help(format!("it is one of {}", known.join(", ")))
    })
}

/// The identity providers whose tokens are taken.
#[derive(Debug)]
pub struct Issuers(Vec<Known>);

#[derive(Debug)]
struct Known {
    settings: Issuer,
    keys: Keys,
}

impl Issuers {
    /// The issuers of a configuration. Nothing is fetched before the first token of each.
    ///
    /// # Errors
    /// `LG1053` if the authorities that a client shall trust cannot be read.
    pub fn new(issuers: &[Issuer]) -> Result<Self> {
        ring_provider::install()?;
        let known = |settings: &Issuer| {
            let keys = Keys::new(&settings.issuer, Client::new(&settings.client)?)?;
            Ok(Known { settings: settings.clone(), keys })
        };
        Ok(Self(issuers.iter().map(known).collect::<Result<_>>()?))
    }

    /// With another least time between two fetches of one issuer's keys.
    #[cfg(test)]
    fn with_patience(self, patience: std::time::Duration) -> Self {
        let patient = |known: Known| Known { keys: known.keys.with_patience(patience), ..known };
        Self(self.0.into_iter().map(patient).collect())
    }

    /// Who brings this token.
    ///
    /// # Errors
    /// `LG1103` if it is not genuine or not for this server, `LG1104` if it has expired, `LG1107` if its issuer's keys
    /// cannot be had, `LG1108` if it gives no role.
    pub async fn authenticate(&self, token: &str) -> Result<Caller> {
        let header = decode_header(token).map_err(|error| refused("not a JWT", &error))?;
        if header.crit.is_some() {
            return Err(refused("a critical extension", &"crit"));
        }
        // Not verified yet: it only says whose keys to try.
        let unverified = jsonwebtoken::dangerous::insecure_decode_claims::<IssuerClaim>(token)
            .map_err(|error| refused("no issuer", &error))?;
        let known = self.0.iter().find(|known| known.settings.issuer == unverified.iss);
        let known = known.ok_or_else(|| refused("unknown issuer", &unverified.iss.escape_debug()))?;
        if !known.settings.algorithms.contains(&header.alg) {
            return Err(refused("an algorithm that is not pinned", &format!("{:?}", header.alg)));
        }
        let key = known.keys.find(header.kid.as_deref(), header.alg).await?;
        let key = key.ok_or_else(|| refused("unknown key", &known.settings.issuer))?;
        let validation = validation(&known.settings, header.alg);
        let claims = decode::<Map<String, Value>>(token, &key, &validation).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::ExpiredSignature | jsonwebtoken::errors::ErrorKind::ImmatureSignature => {
                Error::new(code::CREDENTIAL_EXPIRED, "the token has expired or is not valid yet")
            }
            _ => refused("a token that does not hold", &error),
        })?;
        caller(&known.settings, &claims.claims)
    }
}

#[derive(serde::Deserialize)]
struct IssuerClaim {
    iss: String,
}

fn validation(settings: &Issuer, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&[&settings.audience]);
    validation.leeway = settings.clock_skew.as_secs();
    validation.validate_exp = true;
    validation.validate_nbf = true;
    validation.validate_aud = true;
    validation
}

/// What verified claims make of their holder.
fn caller(settings: &Issuer, claims: &Map<String, Value>) -> Result<Caller> {
    let name = claims.get(&settings.principal_claim).and_then(Value::as_str);
    let name =
        name.filter(|name| !name.is_empty() && name.len() <= MAX_PRINCIPAL && !name.chars().any(char::is_control));
    let name = name.ok_or_else(|| refused("no principal", &settings.principal_claim))?;
    let principal = format!("oidc:{}#{name}", settings.issuer);
    let grant = grant(&settings.rules, claims)
        .ok_or_else(|| Error::new(code::NO_ROLE, format!("no rule gives {} a role", principal.escape_debug())))?;
    Ok(Caller { credential: principal.clone(), principal, tenant: grant.tenant, roles: grant.roles, scopes: None })
}

/// The roles of all rules that fit, if they are all of one place.
fn grant(rules: &[IssuerRule], claims: &Map<String, Value>) -> Option<Grant> {
    let mut fitting = rules.iter().filter(|rule| has(claims.get(&rule.claim), &rule.value)).map(|rule| &rule.grant);
    let first = fitting.next()?;
    let mut roles: BTreeSet<_> = first.roles.clone();
    let tenant: Option<Name> = first.tenant.clone();
    for further in fitting {
        if further.tenant != tenant {
            return None;
        }
        roles.extend(&further.roles);
    }
    Some(Grant { tenant, roles })
}

/// Whether a claim is `wanted`, or a list with it.
fn has(claim: Option<&Value>, wanted: &str) -> bool {
    let is = |value: &Value| match value {
        Value::String(text) => text == wanted,
        Value::Bool(flag) => flag.to_string() == wanted,
        Value::Number(number) => number.to_string() == wanted,
        _ => false,
    };
    match claim {
        Some(Value::Array(items)) => items.iter().any(is),
        Some(value) => is(value),
        None => false,
    }
}

/// The one voice of refusals; why goes to the log.
fn refused(why: &'static str, detail: &dyn std::fmt::Display) -> Error {
    tracing::debug!(why, %detail, "a token of an identity provider was refused");
    Error::new(code::CREDENTIAL_REFUSED, "the credential is not valid")
}
