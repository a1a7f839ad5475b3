//! How TaskManagers join: with a token that an operator made, which is used up in the same commit that gives the TaskManager
//! its place.
//!
//! A name that is free is given to whoever brings a token for it or for any name. A name that has a place is given anew only
//! by a token that was made for this very name, and never while it is revoked: then the operator removes it first. Whoever
//! had the place loses it with that, certificates and all.

use super::idempotency::{IdempotencyKey, Known, Made};
use super::list::{Filter, Listed, Page};
use super::taskmanagers::{no_plane, resource};
use super::{Call, Change, Service};
use crate::access::{Action, Resource, not_found};
use crate::audit::Outcome;
use crate::config::MAX_JOIN_TOKEN_LIFETIME;
use crate::credentials::token::{JOIN_PREFIX, issue};
use crate::credentials::{JOINS, JoinTokenRecord, keys as places};
use crate::model::taskmanager::{Issued, State, TaskManager};
use crate::model::{Record, keys};
use crate::plane::PublicKey;
use crate::secret::Secret;
use lockgate_core::error::code;
use lockgate_core::plane::{Join, Joined, path};
use lockgate_core::{Error, Name, Result, human};
use std::time::Duration;

/// The shortest life of a join token.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// The most join tokens that wait to be used.
const MAX_TOKENS: usize = 1_000;

impl Record for JoinTokenRecord {
    const NAME: &'static str = "a join token";
    const FRAMED: bool = false;
}

impl Listed for JoinTokenRecord {
    fn name(&self) -> &str {
        self.name.as_ref().map_or("", Name::as_str)
    }
}

/// A join token that was made, with its text, unless an earlier request has shown it already.
#[derive(Debug)]
pub struct IssuedJoin {
    /// What is kept of it.
    pub record: JoinTokenRecord,
    /// What the TaskManager is given.
    pub text: Option<Secret<String>>,
}

fn token_resource(id: Option<&str>) -> Resource {
    let all = Resource::cluster("join-token");
    match id {
        Some(id) => all.named(id),
        None => all,
    }
}

impl Service {
    /// The join tokens that were not used, those of which the time is over among them until they are forgotten.
    ///
    /// # Errors
    /// `LG1006` for a cursor of another list, `LG1102` if the caller may not see them.
    pub async fn join_tokens(&self, call: &Call, filter: &Filter) -> Result<Page<JoinTokenRecord>> {
        self.allow(call, Action::ReadTaskManagers, &token_resource(None)).await?;
        self.list(call, &places::join_tokens(), filter).await
    }

    /// Makes a join token, for one name or for any that is free, taken for `lifetime` or as long as the configuration says.
    ///
    /// # Errors
    /// `LG1001` for its lifetime, `LG1408` if nobody can join, `LG1112` if too many wait to be used, `LG11nn` if the caller
    /// may not.
    pub async fn create_join_token(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        name: Option<&Name>,
        lifetime: Option<Duration>,
    ) -> Result<Made<IssuedJoin>> {
        let resource = token_resource(None);
        self.allow(call, Action::ManageTaskManagers, &resource).await?;
        let result = self.records.attempt(|| self.try_create_join_token(call, key, name, lifetime)).await;
        self.noted(call, Action::ManageTaskManagers, &resource, result).await
    }

    async fn try_create_join_token(
        &self,
        call: &Call,
        key: Option<&IdempotencyKey>,
        name: Option<&Name>,
        lifetime: Option<Duration>,
    ) -> Result<Made<IssuedJoin>> {
        let (_, settings) = self.plane().ok_or_else(no_plane)?;
        let answered = match self.known::<String>(call, key).await? {
            Known::Made(id) => {
                let token = self.records.get::<JoinTokenRecord>(&places::join_token(&id)).await?;
                let record = token.ok_or_else(|| not_found(&token_resource(Some(&id))))?.record;
                return Ok(Made { thing: IssuedJoin { record, text: None }, replayed: true });
            }
            Known::New(before) => before,
        };
        name.map_or(Ok(()), check_name)?;
        let lifetime = lifetime.unwrap_or(settings.join_token_lifetime);
        if lifetime > MAX_JOIN_TOKEN_LIFETIME || lifetime < MIN_LIFETIME.min(settings.join_token_lifetime) {
            let shown = |span: Duration| human::millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
            let (least, most) = (shown(MIN_LIFETIME), shown(MAX_JOIN_TOKEN_LIFETIME));
            let cause = format!("a join token is taken for {least} to {most}, not {}", shown(lifetime));
            return Err(Error::new(code::MALFORMED_REQUEST, cause));
        }
        if self.records.scan::<JoinTokenRecord>(&places::join_tokens(), None, MAX_TOKENS).await?.len() >= MAX_TOKENS {
            let error = Error::new(code::QUOTA_EXCEEDED, format!("{MAX_TOKENS} join tokens wait to be used"));
            return Err(error.help("delete those that nobody needs"));
        }
        let (id, text, hash) = issue(JOIN_PREFIX)?;
        let record = JoinTokenRecord {
            id: id.clone(),
            hash,
            name: name.cloned(),
            created: self.now(),
            created_by: call.caller.principal.clone(),
            expires: self.now().plus(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
        };
        let mut change = Change::default();
        change.create(places::join_token(&id), &record)?;
        self.remember(call, key, answered.as_ref(), &id, &mut change)?;
        let event = self.done(call, Action::ManageTaskManagers, &token_resource(Some(&id)));
        let event = event.detail("change", "create").detail("expires", record.expires.to_string());
        change.event(match name {
            Some(name) => event.detail("name", name.as_str()),
            None => event,
        });
        self.records.commit(change).await?;
        Ok(Made { thing: IssuedJoin { record, text: Some(text) }, replayed: false })
    }

    /// Deletes a join token: it is not taken any more, at once.
    ///
    /// # Errors
    /// `LG1102` if there is none, or none any more; `LG11nn` if the caller may not.
    pub async fn delete_join_token(&self, call: &Call, id: &str) -> Result<()> {
        let resource = token_resource(Some(id));
        self.allow(call, Action::ManageTaskManagers, &resource).await?;
        let work = || async {
            let place = places::join_token(id);
            let kept = self.records.get::<JoinTokenRecord>(&place).await?.ok_or_else(|| not_found(&resource))?;
            let mut change = Change::default();
            change.remove(place, kept.revision);
            change.event(self.done(call, Action::ManageTaskManagers, &resource).detail("change", "delete"));
            self.records.commit(change).await.map(drop)
        };
        let result = self.records.attempt(work).await;
        self.noted(call, Action::ManageTaskManagers, &resource, result).await
    }

    /// Gives a TaskManager its place, and uses up the token that `call` was made with.
    ///
    /// # Errors
    /// `LG1402` if the token was used meanwhile, or is for another name; `LG1403` for the request for a certificate; `LG1407`
    /// if the name is not to be had; `LG1408` if nobody can join. In all these cases the token is as it was.
    pub async fn join(&self, call: &Call, join: &Join) -> Result<Joined> {
        let resource = resource(Some(&join.name));
        let result = self.records.attempt(|| self.try_join(call, join)).await;
        if let Err(error) = &result
            && !super::is_own_fault(error)
        {
            self.note_denied(call, "join", &resource, error).await;
        }
        result
    }

    async fn try_join(&self, call: &Call, join: &Join) -> Result<Joined> {
        let refused = |why: &str| Error::new(code::JOIN_TOKEN, format!("the join token {why}"));
        let id = call.caller.principal.strip_prefix(JOINS).ok_or_else(|| refused("is none"))?;
        let (authority, _) = self.plane().ok_or_else(no_plane)?;
        let token_place = places::join_token(id);
        let token = self.records.get::<JoinTokenRecord>(&token_place).await?;
        let token = token.ok_or_else(|| refused("was used before"))?;
        if self.now() >= token.record.expires {
            return Err(refused("has expired"));
        }
        let bound = token.record.name.as_ref();
        if bound.is_some_and(|name| *name != join.name) {
            return Err(refused("is for another name"));
        }
        check_name(&join.name)?;
        let key = PublicKey::of_request(&join.request)?;
        let place = keys::taskmanager(&join.name);
        let before = self.records.get::<TaskManager>(&place).await?;
        let state = match &before {
            None => State::Active,
            Some(kept) if kept.record.state == State::Revoked => {
                let cause = format!("TaskManager {} was revoked", join.name);
                return Err(Error::new(code::NAME_TAKEN, cause).help("ask the operator to remove it first"));
            }
            Some(_) if bound.is_none() => {
                let cause = format!("there is a TaskManager {}", join.name);
                let help = "take another name, or ask the operator for a join token that is made for this one";
                return Err(Error::new(code::NAME_TAKEN, cause).help(help));
            }
            // What the operator wants of the machine is not for the machine to change.
            Some(kept) => kept.record.state,
        };
        let issued = authority.issue(&join.name, &key, self.now())?;
        let record = TaskManager {
            name: join.name.clone(),
            joined: self.now(),
            joined_by: id.to_owned(),
            state,
            certificates: vec![Issued { digest: issued.digest, expires: issued.expires }],
            sessions: Vec::new(),
        };
        let mut change = Change::default();
        change.remove(token_place, token.revision);
        change.put(place, before.as_ref(), &record)?;
        let event = self.event(call, "join", &resource(Some(&join.name)), Outcome::Done);
        let event = event.detail("certificate", issued.digest.to_string());
        change.event(event.detail("anew", if before.is_some() { "true" } else { "false" }));
        self.records.commit(change).await?;
        self.fleet().members_changed();
        Ok(Joined {
            name: join.name.clone(),
            certificate: issued.certificate,
            authority: authority.pem().to_owned(),
            domain: self.domain().to_string(),
            plane: self.plane_addresses(),
        })
    }

    /// Forgets join tokens whose time is over; how many it was. For whoever keeps house.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read or written.
    pub async fn forget_join_tokens(&self) -> Result<usize> {
        let found = self.records.scan::<JoinTokenRecord>(&places::join_tokens(), None, MAX_TOKENS).await?;
        let (mut change, mut forgotten) = (Change::default(), 0);
        for (key, kept) in found.into_iter().filter(|(_, kept)| kept.record.expires <= self.now()).take(100) {
            change.remove(key, kept.revision);
            forgotten += 1;
        }
        if forgotten > 0 {
            self.records.commit(change).await?;
        }
        Ok(forgotten)
    }
}

/// Refuses a name that would hide behind a route of the API.
fn check_name(name: &Name) -> Result<()> {
    if path::JOIN.ends_with(&format!("/{name}")) {
        return Err(Error::new(code::NAME_TAKEN, format!("no TaskManager can be called {name}")));
    }
    Ok(())
}
