//! An authorisation service of the operator's own, asked in addition: it can deny what the table allows, never allow what
//! the table denies. If it does not answer, or not as it should, the answer is no.
//!
//! It is sent a POST with `{"principal", "tenant", "roles", "action", "resource": {"tenant", "kind", "name"}}` and answers
//! 200 with `{"allow": true}` or `{"allow": false}`.

use super::{Action, Caller, Denied, Resource, not_found, sight};
use crate::config::AuthorizationService;
use crate::http_client::{Client, Target};
use crate::secret::Secret;
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use serde::{Deserialize, Serialize};

/// A service that is asked over HTTPS.
#[derive(Debug)]
pub struct External {
    target: Target,
    token: Option<Secret<String>>,
    client: Client,
}

#[derive(Serialize)]
struct Question<'a> {
    principal: &'a str,
    tenant: Option<&'a Name>,
    roles: Vec<&'static str>,
    action: &'static str,
    resource: Asked<'a>,
}

#[derive(Serialize)]
struct Asked<'a> {
    tenant: Option<&'a Name>,
    kind: &'static str,
    name: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    allow: bool,
}

impl External {
    /// The service of a configuration.
    ///
    /// # Errors
    /// `LG1050`, `LG1053`.
    pub fn new(service: &AuthorizationService) -> Result<Self> {
        let (target, client) = (Target::parse(&service.url)?, Client::new(&service.client)?);
        Ok(Self { target, token: service.token.clone(), client })
    }

    async fn allows(&self, caller: &Caller, action: Action, resource: &Resource) -> Result<bool> {
        let question = Question {
            principal: &caller.principal,
            tenant: caller.tenant.as_ref(),
            roles: caller.roles.iter().map(|role| role.as_str()).collect(),
            action: action.as_str(),
            resource: Asked { tenant: resource.tenant.as_ref(), kind: resource.kind, name: resource.name.as_deref() },
        };
        let failed = |why: String| {
            tracing::error!(why, "the authorisation service does not answer: denied");
            Error::new(code::AUTHORIZATION_SERVICE, "the authorisation service does not answer")
        };
        let body = serde_json::to_vec(&question).map_err(|error| failed(error.to_string()))?;
        let token = self.token.as_ref().map(|token| token.expose().as_str());
        let answer = self.client.post(&self.target, token, body).await.map_err(failed)?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| failed(error.to_string()))?;
        Ok(answer.allow)
    }
}

/// What routes ask: the table, then the external service if there is one.
#[derive(Debug, Default)]
pub struct Authorizer {
    external: Option<External>,
}

impl Authorizer {
    /// Asks the table, and then `external`.
    pub fn new(external: Option<External>) -> Self {
        Self { external }
    }

    /// Whether `caller` may do `action` to `resource`.
    ///
    /// # Errors
    /// As [`super::authorize`], for the service's denials too; `LG1109` (403) if the service does not answer in time.
    pub async fn authorize(&self, caller: &Caller, action: Action, resource: &Resource) -> Result<(), Denied> {
        super::authorize(caller, action, resource)?;
        let Some(external) = &self.external else { return Ok(()) };
        let visible = |error: Error| Denied { hidden: false, error };
        if external.allows(caller, action, resource).await.map_err(visible)? {
            return Ok(());
        }
        let seen = sight(action);
        if seen == action || !external.allows(caller, seen, resource).await.map_err(visible)? {
            return Err(Denied { hidden: true, error: not_found(resource) });
        }
        let cause = format!("the authorisation service does not let {} {action} on {resource}", caller.principal);
        Err(visible(Error::new(code::FORBIDDEN, cause)))
    }
}
