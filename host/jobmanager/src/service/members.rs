//! Members: who is what in a tenant, and among the operator's people. A change counts for all credentials of a member at
//! once; whoever is removed loses his tokens and certificates for good.

use super::changes::Precondition;
use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource, Role, not_found};
use crate::credentials::keys as places;
use crate::credentials::{Member, TokenRecord};
use crate::model::{Kept, Record};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use std::collections::BTreeSet;

/// The longest principal, in bytes.
const MAX_PRINCIPAL: usize = 128;
/// The most members of a tenant, or of the operator's people.
const MAX_MEMBERS: usize = 1_000;

impl Record for Member {
    const NAME: &'static str = "a member";
    const FRAMED: bool = false;
}

impl Listed for Member {
    fn name(&self) -> &str {
        &self.principal
    }
}

fn resource(tenant: Option<&Name>, principal: Option<&str>) -> Resource {
    let all = tenant.map_or_else(|| Resource::cluster("member"), |tenant| Resource::of(tenant.clone(), "member"));
    match principal {
        Some(principal) => all.named(principal),
        None => all,
    }
}

/// Refuses what cannot name a member: `user:ana` or `service:ci`. Whoever an identity provider vouches for is no member;
/// the configuration says what he is.
fn check_principal(principal: &str) -> Result<()> {
    let name = principal.strip_prefix("user:").or_else(|| principal.strip_prefix("service:"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    if name.is_some_and(|name| !name.is_empty() && principal.len() <= MAX_PRINCIPAL && name.bytes().all(plain)) {
        return Ok(());
    }
    let shown: String = principal.chars().take(80).collect();
    let cause =
        format!("{shown:?} is not a member's name: `user:` or `service:` and A-Z a-z 0-9 \".\" \"_\" \"-\" \"@\"");
    Err(Error::new(code::MALFORMED_REQUEST, cause))
}

impl Service {
    /// The members of a tenant, or the operator's people.
    ///
    /// # Errors
    /// `LG1102` if the caller may see none.
    pub async fn members(&self, call: &Call, tenant: Option<&Name>, filter: &Filter) -> Result<Page<Member>> {
        let resource = resource(tenant, None);
        self.allow(call, Action::ReadMembers, &resource).await?;
        self.of_tenant(tenant, &resource).await?;
        self.list(call, &places::members(tenant), filter).await
    }

    /// A member.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see.
    pub async fn member(&self, call: &Call, tenant: Option<&Name>, principal: &str) -> Result<Kept<Member>> {
        let resource = resource(tenant, Some(principal));
        self.allow(call, Action::ReadMembers, &resource).await?;
        self.of_tenant(tenant, &resource).await?;
        let found = self.records.get::<Member>(&places::member(tenant, principal)).await?;
        found.ok_or_else(|| not_found(&resource))
    }

    /// Makes somebody a member, or gives a member other roles. The operator's people appoint a tenant's administrators,
    /// and nobody else of it.
    ///
    /// # Errors
    /// `LG1001` for a name or roles that are none there, `LG1004` and `LG1005` for the precondition, `LG11nn` if the caller
    /// may not.
    pub async fn set_member(
        &self,
        call: &Call,
        tenant: Option<&Name>,
        principal: &str,
        roles: &BTreeSet<Role>,
        precondition: Precondition,
    ) -> Result<Kept<Member>> {
        let resource = resource(tenant, Some(principal));
        let action = managing(call, tenant);
        self.allow(call, action, &resource).await?;
        let work = || async {
            check_principal(principal)?;
            check_roles(tenant, action, roles)?;
            self.of_tenant(tenant, &resource).await?;
            let key = places::member(tenant, principal);
            let before = self.records.get::<Member>(&key).await?;
            precondition.demand(before.as_ref().map(|kept| kept.revision))?;
            if let Some(before) = &before {
                // Appointing does not take away what the tenant has given.
                if action == Action::AppointAdmins && !before.record.roles.is_subset(roles) {
                    let cause = format!("{principal} has other roles in the tenant, which are the tenant's to change");
                    return Err(Error::new(code::WRONG_STATE, cause));
                }
                self.keep_an_operator(tenant, before, roles).await?;
            } else if self.records.scan::<Member>(&places::members(tenant), None, MAX_MEMBERS).await?.len()
                >= MAX_MEMBERS
            {
                let cause = format!("there are {MAX_MEMBERS} members already");
                return Err(Error::new(code::QUOTA_EXCEEDED, cause));
            }
            let created = before.as_ref().map_or_else(|| self.now(), |kept| kept.record.created);
            let member = Member { principal: principal.to_owned(), roles: roles.clone(), created };
            let mut change = Change::default();
            change.put(key, before.as_ref(), &member)?;
            let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            change.event(self.done(call, action, &resource).detail("roles", names.join(", ")));
            let revision = self.records.commit(change).await?;
            Ok(Kept { revision, record: member })
        };
        let result = self.records.attempt(work).await;
        self.noted(call, action, &resource, result).await
    }

    /// Removes a member, revokes all his tokens there and takes his certificates no more.
    ///
    /// # Errors
    /// `LG1012` for the last operator, `LG1004` for the precondition, `LG1102` if there is none, `LG11nn` if the caller may
    /// not.
    pub async fn remove_member(
        &self,
        call: &Call,
        tenant: Option<&Name>,
        principal: &str,
        precondition: Precondition,
    ) -> Result<()> {
        let resource = resource(tenant, Some(principal));
        self.allow(call, Action::ManageMembers, &resource).await?;
        let work = || async {
            self.of_tenant(tenant, &resource).await?;
            let key = places::member(tenant, principal);
            let kept = self.records.get::<Member>(&key).await?.ok_or_else(|| not_found(&resource))?;
            precondition.require(kept.revision)?;
            self.keep_an_operator(tenant, &kept, &BTreeSet::new()).await?;
            let mut change = Change::default();
            change.remove(key, kept.revision);
            let mut revoked = 0_u32;
            for id in self.token_ids(tenant, Some(principal)).await? {
                let place = places::token(&id);
                let Some(mut token) = self.records.get::<TokenRecord>(&place).await? else { continue };
                if token.record.revoked.is_none() {
                    token.record.revoked = Some(self.now());
                    change.replace(place, token.revision, &token.record)?;
                    revoked += 1;
                }
            }
            let certificates = self.clear_certificates(&mut change, tenant, principal).await?;
            let event = self.done(call, Action::ManageMembers, &resource).detail("change", "remove");
            change.event(event.detail("tokens", revoked.to_string()).detail("certificates", certificates.to_string()));
            self.records.commit(change).await.map(drop)
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::ManageMembers, &resource, result).await
    }

    /// Refuses to take its last operator from the cluster: nobody could make another one.
    async fn keep_an_operator(
        &self,
        tenant: Option<&Name>,
        member: &Kept<Member>,
        roles: &BTreeSet<Role>,
    ) -> Result<()> {
        let was = member.record.roles.contains(&Role::Operator);
        if tenant.is_some() || !was || roles.contains(&Role::Operator) {
            return Ok(());
        }
        let all = self.records.scan::<Member>(&places::members(None), None, MAX_MEMBERS).await?;
        let operators = all.iter().filter(|(_, kept)| kept.record.roles.contains(&Role::Operator)).count();
        if operators > 1 {
            return Ok(());
        }
        let cause = format!("{} is the only operator", member.record.principal);
        Err(Error::new(code::WRONG_STATE, cause).help("make another member an operator first"))
    }

    /// Refuses things of a tenant that is not there; the cluster always is.
    pub(super) async fn of_tenant(&self, tenant: Option<&Name>, resource: &Resource) -> Result<()> {
        match tenant {
            Some(tenant) => self.tenant(tenant, resource).await.map(drop),
            None => Ok(()),
        }
    }
}

/// By which right somebody changes members there.
pub(super) fn managing(call: &Call, tenant: Option<&Name>) -> Action {
    match (tenant, &call.caller.tenant) {
        (Some(_), None) => Action::AppointAdmins,
        _ => Action::ManageMembers,
    }
}

fn check_roles(tenant: Option<&Name>, action: Action, roles: &BTreeSet<Role>) -> Result<()> {
    let allowed: &[Role] = match (tenant, action) {
        (Some(_), Action::AppointAdmins) => &[Role::TenantAdmin],
        (Some(_), _) => &[Role::TenantAdmin, Role::Deployer, Role::Viewer, Role::Auditor],
        (None, _) => &[Role::Operator, Role::Auditor],
    };
    let wrong = roles.iter().find(|role| !allowed.contains(role));
    match wrong {
        Some(role) => Err(Error::new(code::MALFORMED_REQUEST, format!("the role {role} cannot be given here"))),
        None if roles.is_empty() => Err(Error::new(code::MALFORMED_REQUEST, "a member has at least one role")),
        None => Ok(()),
    }
}
