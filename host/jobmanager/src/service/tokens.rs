//! API tokens: made for oneself, or for others by who may; shown once; revoked at once. What they look like and how they
//! are checked is the affair of [`crate::credentials`].

use super::idempotency::{IdempotencyKey, Known, Made};
use super::list::{Filter, MAX_LIMIT, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource, not_found};
use crate::credentials::keys as places;
use crate::credentials::token::{PREFIX, issue};
use crate::credentials::{Member, TokenRecord};
use crate::fair_use::{Kind, Quota, check};
use crate::model::{Kept, Record, keys};
use crate::secret::Secret;
use crate::store::Key;
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The longest life of a token, in days.
pub const MAX_DAYS: u32 = 366;
/// The most tokens that are looked at: a tenant has hardly ever more that are valid.
const MAX_LOOKED_AT: usize = 2_000;
/// The longest label, in characters.
const MAX_LABEL: usize = 100;

impl Record for TokenRecord {
    const NAME: &'static str = "a token";
    const FRAMED: bool = false;
}

/// That a token is somebody's. Its key says it all.
#[derive(Serialize, Deserialize)]
struct Entry {}

impl Record for Entry {
    const NAME: &'static str = "an entry of a token";
    const FRAMED: bool = false;
}

/// What a token is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewToken {
    /// Whose; the caller's own if none.
    pub principal: Option<String>,
    /// What it is for.
    pub label: String,
    /// Days for which it is taken, 1 to [`MAX_DAYS`].
    pub days: u32,
    /// What it is narrowed to.
    pub scopes: Option<BTreeSet<Action>>,
}

/// A token that was made, with its text, unless an earlier request has shown it already.
#[derive(Debug)]
pub struct Issued {
    /// What is kept of it.
    pub record: TokenRecord,
    /// What its owner keeps.
    pub text: Option<Secret<String>>,
}

fn resource(tenant: Option<&Name>, id: Option<&str>, owner: Option<&str>) -> Resource {
    let all = tenant.map_or_else(|| Resource::cluster("token"), |tenant| Resource::of(tenant.clone(), "token"));
    let one = if let Some(id) = id { all.named(id) } else { all };
    if let Some(owner) = owner { one.owned_by(owner) } else { one }
}

impl Service {
    /// Tokens of a tenant's members or of the operator's people: all, or the caller's own.
    ///
    /// # Errors
    /// `LG1006` for a cursor of another list, `LG1102` if there is no such tenant for him.
    pub async fn tokens(&self, call: &Call, tenant: Option<&Name>, filter: &Filter) -> Result<Page<TokenRecord>> {
        let all = resource(tenant, None, None);
        let own = if self.may(call, Action::ReadTokens, &all).await {
            self.allow(call, Action::ReadTokens, &all).await?;
            None
        } else {
            let mine = resource(tenant, None, Some(&call.caller.principal));
            self.allow(call, Action::OwnTokens, &mine).await?;
            Some(call.caller.principal.as_str())
        };
        self.of_tenant(tenant, &all).await?;
        let prefix = entries(tenant, own);
        let bound = format!("{}\n{prefix}\ntokens {:?}", call.caller.principal, filter.name);
        let cursor = filter.cursor.as_deref();
        let after = cursor.map(|cursor| self.cursors.open_cursor(&bound, &prefix, cursor)).transpose()?;
        let limit = filter.limit.clamp(1, MAX_LIMIT);
        let found = self.records.scan::<Entry>(&prefix, after.as_ref(), limit + 1).await?;
        let more = found.len() > limit;
        let (mut items, mut last) = (Vec::new(), None);
        for (key, _) in found.into_iter().take(limit) {
            let token = self.records.get::<TokenRecord>(&places::token(&id_in(&key))).await?;
            let wanted = |token: &Kept<TokenRecord>| {
                filter.name.as_ref().is_none_or(|prefix| token.record.principal.starts_with(prefix.as_str()))
            };
            items.extend(token.filter(wanted));
            last = Some(key);
        }
        let next = last.filter(|_| more).map(|key| self.cursors.seal(&bound, &key));
        Ok(Page { items, next })
    }

    /// Makes a token.
    ///
    /// # Errors
    /// `LG1001` for what it is made of, `LG1101` if it would be wider than the credential that makes it or the caller may
    /// not, `LG1102` if its owner is no member, `LG1112` for the quota.
    pub async fn create_token(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        tenant: Option<&Name>,
        new: &NewToken,
    ) -> Result<Made<Issued>> {
        let owner = new.principal.as_deref().unwrap_or(&call.caller.principal);
        let resource = resource(tenant, None, Some(owner));
        let own = owner == call.caller.principal && tenant == call.caller.tenant.as_ref();
        let action = match (own, tenant, &call.caller.tenant) {
            (true, _, _) => Action::OwnTokens,
            (false, Some(_), None) => Action::AppointAdmins,
            (false, _, _) => Action::ManageTokens,
        };
        self.allow(call, action, &resource).await?;
        let work = || self.try_create_token(call, key, (tenant, owner), new, (action, &resource));
        let result = self.records.attempt(work).await;
        self.noted(call, action, &resource, result).await
    }

    async fn try_create_token(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        (tenant, owner): (Option<&Name>, &str),
        new: &NewToken,
        (action, resource): (Action, &Resource),
    ) -> Result<Made<Issued>> {
        self.of_tenant(tenant, resource).await?;
        let answered = match self.known::<String>(call, key).await? {
            Known::Made(id) => {
                let token = self.records.get::<TokenRecord>(&places::token(&id)).await?;
                let record = token.ok_or_else(|| not_found(resource))?.record;
                return Ok(Made { thing: Issued { record, text: None }, replayed: true });
            }
            Known::New(before) => before,
        };
        check_new(new)?;
        // Narrower or as wide, never wider, than what it is made with.
        if let (Action::OwnTokens, Some(held)) = (action, &call.caller.scopes)
            && !new.scopes.as_ref().is_some_and(|asked| asked.is_subset(held))
        {
            let cause = "a token cannot have scopes that the credential that makes it does not have";
            return Err(Error::new(code::FORBIDDEN, cause).help("name scopes, each of which the credential has"));
        }
        let place = places::member(tenant, owner);
        let none = || not_found(&Resource { name: Some(owner.to_owned()), kind: "member", ..resource.clone() });
        let member = self.records.get::<Member>(&place).await?.ok_or_else(none)?;
        if action == Action::AppointAdmins && !member.record.roles.contains(&crate::access::Role::TenantAdmin) {
            let cause = format!("{owner} is no administrator of the tenant: his tokens are the tenant's to make");
            return Err(Error::new(code::FORBIDDEN, cause));
        }
        let mut change = Change::default();
        self.count_tokens(&mut change, tenant).await?;
        let (id, text, hash) = issue(PREFIX)?;
        let record = TokenRecord {
            id: id.clone(),
            principal: owner.to_owned(),
            tenant: tenant.cloned(),
            hash,
            label: new.label.clone(),
            created: self.now(),
            created_by: call.caller.principal.clone(),
            expires: self.now().plus(i64::from(new.days) * 86_400),
            scopes: new.scopes.clone(),
            revoked: None,
            last_used: None,
        };
        change.require(place, member.revision);
        change.create(places::token(&id), &record)?;
        change.create(places::token_of(tenant, owner, &id), &Entry {})?;
        self.remember(call, key, answered.as_ref(), &id, &mut change)?;
        let event = self.done(call, action, &resource.clone().named(&id)).detail("principal", owner);
        change.event(event.detail("expires", record.expires.to_string()));
        self.records.commit(change).await?;
        Ok(Made { thing: Issued { record, text: Some(text) }, replayed: false })
    }

    /// Revokes a token; from the next request on it is not taken.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see, `LG1101` if he may not.
    pub async fn revoke_token(&self, call: &Call, tenant: Option<&Name>, id: &str) -> Result<()> {
        let found = self.records.get::<TokenRecord>(&places::token(id)).await?;
        let found = found.filter(|kept| kept.record.tenant.as_ref() == tenant);
        let owner = found.as_ref().map(|kept| kept.record.principal.clone());
        let resource = resource(tenant, Some(id), owner.as_deref());
        let own = owner.as_deref() == Some(&*call.caller.principal);
        let action = if own { Action::OwnTokens } else { Action::RevokeTokens };
        self.allow(call, action, &resource).await?;
        let work = || async {
            let kept = self.records.get::<TokenRecord>(&places::token(id)).await?;
            let mut kept =
                kept.filter(|kept| kept.record.tenant.as_ref() == tenant).ok_or_else(|| not_found(&resource))?;
            if kept.record.revoked.is_some() {
                return Ok(());
            }
            kept.record.revoked = Some(self.now());
            let event = self.done(call, action, &resource).detail("principal", kept.record.principal.clone());
            self.replace(places::token(id), kept, event).await.map(drop)
        };
        let result = self.records.attempt(work).await;
        self.noted(call, action, &resource, result).await
    }

    /// Refuses one token more than a tenant may have, and sees to it that no two requests at once pass together.
    async fn count_tokens(&self, change: &mut Change, tenant: Option<&Name>) -> Result<()> {
        let Some(tenant) = tenant else { return Ok(()) };
        let before = self.taken(tenant).await?;
        let taken = before.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
        let (mut valid, now) = (0, self.now());
        for id in self.token_ids(Some(tenant), None).await? {
            let token = self.records.get::<TokenRecord>(&places::token(&id)).await?;
            let counts = token.is_some_and(|kept| kept.record.revoked.is_none() && kept.record.expires > now);
            valid += u64::from(counts);
        }
        let quota = self.records.get::<Quota>(&keys::quota(tenant)).await?.map(|kept| kept.record).unwrap_or_default();
        let used = crate::fair_use::Usage::none().with(Kind::Tokens, valid);
        let asked = crate::fair_use::Usage::none().with(Kind::Tokens, 1);
        check(&quota.or(&self.options.quota), &used, &asked)?;
        change.put(keys::usage(tenant), before.as_ref(), &taken)
    }

    /// The ids of the tokens of a tenant's members, or of one.
    pub(super) async fn token_ids(&self, tenant: Option<&Name>, principal: Option<&str>) -> Result<Vec<String>> {
        let found = self.records.scan::<Entry>(&entries(tenant, principal), None, MAX_LOOKED_AT).await?;
        Ok(found.iter().map(|(key, _)| id_in(key)).collect())
    }
}

/// What the entries of a tenant's tokens, or of one member's, begin with.
fn entries(tenant: Option<&Name>, principal: Option<&str>) -> Key {
    let all = places::tokens_of(tenant);
    match principal {
        None => all,
        Some(principal) => {
            let parts = all.parts();
            Key::new(parts.iter().map(String::as_str).chain([principal]))
        }
    }
}

fn id_in(key: &Key) -> String {
    key.parts().pop().unwrap_or_default()
}

/// Whether a character shows as something else than it is: it controls a terminal, has no width, or turns the direction of
/// what follows (Unicode's `Cc`, and of `Cf` what a label has no use for).
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn check_new(new: &NewToken) -> Result<()> {
    let refuse = |why: String| Err(Error::new(code::MALFORMED_REQUEST, why));
    if !(1..=MAX_DAYS).contains(&new.days) {
        return refuse(format!("a token is taken for 1 to {MAX_DAYS} days, not {}", new.days));
    }
    if new.label.chars().count() > MAX_LABEL || new.label.chars().any(deceives) {
        return refuse(format!(
            "a token's label has more than {MAX_LABEL} characters, or one that controls a terminal"
        ));
    }
    if new.scopes.as_ref().is_some_and(BTreeSet::is_empty) {
        return refuse("a token without any scope could do nothing".to_owned());
    }
    Ok(())
}
