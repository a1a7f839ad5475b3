//! One credential of a request into one caller, or one refusal.

use super::directory::{Directory, TokenRecord};
use super::setup::Setup;
use super::token::{self, JOIN_PREFIX, PREFIX, SETUP_PREFIX};
use crate::access::Caller;
use crate::config::CertificateRule;
use crate::oidc::Issuers;
use axum::http::{HeaderMap, header};
use lockgate_core::error::code;
use lockgate_core::{Error, Result, Timestamp};
use std::collections::BTreeSet;

/// The longest credential in a header, in bytes.
pub const MAX_BEARER: usize = 16 << 10;

/// What the principal of who brings a join token begins with.
pub const JOINS: &str = "join:";

/// The credential that a request has.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// What stands behind `Bearer`.
    Bearer(&'a str),
    /// The URIs that a verified client certificate vouches for.
    Certificate(&'a [String]),
}

/// Knows who brings a credential.
#[derive(Debug)]
pub struct Authenticator<D> {
    directory: D,
    issuers: Issuers,
    certificates: Vec<CertificateRule>,
    setup: Setup,
}

impl<'a> Presented<'a> {
    /// The one credential of a request with these headers, over a connection with this client certificate.
    ///
    /// # Errors
    /// `LG1100` if there is none, `LG1106` if there are several, `LG1103` if it is none that is understood.
    pub fn of(headers: &'a HeaderMap, certificate: Option<&'a [String]>) -> Result<Self> {
        let mut all = headers.get_all(header::AUTHORIZATION).iter();
        match (all.next(), all.next(), certificate) {
            (None, _, None) => Err(Error::new(code::UNAUTHENTICATED, "the request has no credential")),
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                Err(Error::new(code::SEVERAL_CREDENTIALS, "the request has several credentials"))
            }
            (None, _, Some(uris)) => Ok(Self::Certificate(uris)),
            (Some(value), None, None) => {
                let bearer = value.to_str().ok().and_then(|text| {
                    let (scheme, token) = text.split_once(' ')?;
                    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_matches(' '))
                });
                bearer
                    .filter(|token| !token.is_empty() && token.len() <= MAX_BEARER)
                    .map(Self::Bearer)
                    .ok_or_else(|| refused("the Authorization header is no bearer token"))
            }
        }
    }
}

impl<D: Directory> Authenticator<D> {
    /// Looks tokens and members up in `directory`, takes tokens of `issuers`, certificates by `certificates` before those
    /// in the directory, and the set-up token `setup`.
    pub fn new(directory: D, issuers: Issuers, certificates: Vec<CertificateRule>, setup: Setup) -> Self {
        Self { directory, issuers, certificates, setup }
    }

    /// Where credentials are looked up.
    pub fn directory(&self) -> &D {
        &self.directory
    }

    /// The set-up token.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Who brings this credential.
    ///
    /// # Errors
    /// `LG1103` to `LG1105`, `LG1107`, `LG1108`, `LG1113`; what the directory says if it cannot be read.
    pub async fn authenticate(&self, presented: Presented<'_>, now: Timestamp) -> Result<Caller> {
        match presented {
            Presented::Certificate(uris) => self.certificate(uris).await,
            Presented::Bearer(text) if text.starts_with(PREFIX) => self.token(text, now).await,
            Presented::Bearer(text) if text.starts_with(SETUP_PREFIX) => {
                let taken = self.directory.has_operator_token().await?;
                self.setup.authenticate(text, taken, now)
            }
            Presented::Bearer(text) if text.starts_with(JOIN_PREFIX) => Err(refused("join token for something else")),
            Presented::Bearer(text) => self.issuers.authenticate(text).await,
        }
    }

    /// Who brings this credential where TaskManagers join: a join token opens that and nothing else, and nothing else opens
    /// it. Whoever has one is nobody but its bringer: he has no role.
    ///
    /// # Errors
    /// `LG1402` for anything but a join token that is taken, `LG1105` if it is not whole; what the directory says if it
    /// cannot be read.
    pub async fn authenticate_joining(&self, presented: Presented<'_>, now: Timestamp) -> Result<Caller> {
        let refused = |why: &'static str| {
            tracing::debug!(why, "a join token was refused");
            Error::new(code::JOIN_TOKEN, "the join token is not valid, or not any more")
        };
        let text = match presented {
            Presented::Bearer(text) if text.starts_with(JOIN_PREFIX) => text,
            _ => return Err(refused("another credential")),
        };
        let presented = token::parse(text, JOIN_PREFIX)?;
        let record = self.directory.join_token(presented.id).await?;
        let record =
            record.filter(|record| record.hash.is_of(&presented)).ok_or_else(|| refused("unknown, or used"))?;
        if now >= record.expires {
            return Err(refused("expired"));
        }
        let (principal, credential) = (format!("{JOINS}{}", record.id), record.id);
        Ok(Caller { principal, credential, tenant: None, roles: BTreeSet::new(), scopes: Some(BTreeSet::new()) })
    }

    async fn token(&self, text: &str, now: Timestamp) -> Result<Caller> {
        let presented = token::parse(text, PREFIX)?;
        let record = self.directory.token(presented.id).await?;
        let record = record.filter(|record| record.hash.is_of(&presented)).ok_or_else(|| refused("unknown token"))?;
        // Only who has the secret learns more than that it was refused.
        if record.revoked.is_some() {
            return Err(refused("revoked token"));
        }
        if now >= record.expires {
            return Err(Error::new(code::CREDENTIAL_EXPIRED, "the token has expired"));
        }
        let caller = self.member(&record.principal, &record.id, &record).await?;
        self.directory.used(&record, now).await;
        Ok(caller)
    }

    async fn member(&self, principal: &str, credential: &str, record: &TokenRecord) -> Result<Caller> {
        let member = self.directory.member(record.tenant.as_ref(), principal).await?;
        let member = member.ok_or_else(|| refused("token of somebody who is no member"))?;
        Ok(Caller {
            principal: principal.into(),
            credential: credential.into(),
            tenant: record.tenant.clone(),
            roles: member.roles,
            scopes: record.scopes.clone(),
        })
    }

    /// Exactly one of the certificate's URIs must be somebody's: of two, which counts would be a guess.
    async fn certificate(&self, uris: &[String]) -> Result<Caller> {
        let mut found: Option<Caller> = None;
        for uri in uris {
            let Some(caller) = self.holder(uri).await? else { continue };
            if found.replace(caller).is_some() {
                return Err(refused("certificate with the names of several members"));
            }
        }
        found.ok_or_else(|| refused("certificate of nobody"))
    }

    async fn holder(&self, uri: &str) -> Result<Option<Caller>> {
        let credential = format!("cert:{uri}");
        if let Some(rule) = self.certificates.iter().find(|rule| rule.uri == uri) {
            let (tenant, roles) = (rule.grant.tenant.clone(), rule.grant.roles.clone());
            return Ok(Some(Caller { principal: credential.clone(), credential, tenant, roles, scopes: None }));
        }
        let Some(record) = self.directory.certificate(uri).await? else { return Ok(None) };
        let Some(member) = self.directory.member(record.tenant.as_ref(), &record.principal).await? else {
            return Ok(None);
        };
        let (principal, tenant, roles) = (record.principal, record.tenant, member.roles);
        Ok(Some(Caller { principal, credential, tenant, roles, scopes: None }))
    }
}

/// The one voice of refusals; why goes to the log.
fn refused(why: &'static str) -> Error {
    tracing::debug!(why, "a credential was refused");
    Error::new(code::CREDENTIAL_REFUSED, "the credential is not valid")
}
