//! TaskManagers: who has a place among them, and under which certificates.

use super::changes::Precondition;
use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource};
use crate::audit::{Event, NOBODY, Outcome};
use crate::config;
use crate::fair_use::Source;
use crate::model::taskmanager::{Issued, MAX_CERTIFICATES, MAX_SESSIONS, State, TaskManager};
use crate::model::{Kept, keys};
use crate::plane::{About, Authority, Identity, PublicKey};
use crate::reconcile::Observed;
use crate::server::RequestId;
use lockgate_core::error::code;
use lockgate_core::placement::Availability;
use lockgate_core::plane::Certificate;
use lockgate_core::{Error, Name, Result, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// A TaskManager with what it said of itself since the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// What is kept of it.
    pub record: TaskManager,
    /// What it said.
    pub observed: Option<Observed>,
    /// When that was.
    pub heard: Option<Timestamp>,
    /// What else, to be shown.
    pub about: About,
}

impl Listed for TaskManager {
    fn state(&self) -> Option<&'static str> {
        Some(self.state.as_str())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A TaskManager as what is asked for; all of them if none.
pub(super) fn resource(name: Option<&Name>) -> Resource {
    let all = Resource::cluster("task-manager");
    match name {
        Some(name) => all.named(name.as_str()),
        None => all,
    }
}

impl Service {
    /// The TaskManagers that have joined.
    ///
    /// # Errors
    /// `LG1006` for a cursor of another list, `LG1102` if the caller may not see them.
    pub async fn taskmanagers(&self, call: &Call, filter: &Filter) -> Result<Page<TaskManager>> {
        self.allow(call, Action::ReadTaskManagers, &resource(None)).await?;
        self.list(call, &keys::taskmanagers(), filter).await
    }

    /// A TaskManager.
    ///
    /// # Errors
    /// `LG1404` if there is none, `LG1102` if the caller may not see it.
    pub async fn taskmanager(&self, call: &Call, name: &Name) -> Result<Kept<TaskManager>> {
        self.allow(call, Action::ReadTaskManagers, &resource(Some(name))).await?;
        self.find_taskmanager(name).await
    }

    /// Has a TaskManager be active, cordoned, drained or revoked. Whoever is revoked is cut off at once, and stays so.
    ///
    /// # Errors
    /// `LG1404` if there is none, `LG1012` if it is revoked, `LG1004` for the precondition, `LG11nn` if the caller may not.
    pub async fn set_taskmanager(
        &self,
        call: &Call,
        name: &Name,
        state: State,
        precondition: Precondition,
    ) -> Result<Kept<TaskManager>> {
        let resource = resource(Some(name));
        self.allow(call, Action::ManageTaskManagers, &resource).await?;
        let work = || async {
            let mut kept = self.find_taskmanager(name).await?;
            precondition.require(kept.revision)?;
            if kept.record.state == State::Revoked && state != State::Revoked {
                let error = Error::new(code::WRONG_STATE, format!("TaskManager {name} is revoked"));
                return Err(error.help("remove it, and let it join again with a new token"));
            }
            kept.record.state = state;
            if state == State::Revoked {
                kept.record.certificates.clear();
            }
            let event = self.done(call, Action::ManageTaskManagers, &resource).detail("state", state.as_str());
            self.replace(keys::taskmanager(name), kept, event).await
        };
        let result = self.records.attempt(work).await;
        if result.is_ok() {
            self.note_availability(name, state.availability());
        }
        self.noted(call, Action::ManageTaskManagers, &resource, result).await
    }

    /// Removes a TaskManager that was revoked, or of which nothing was heard for so long that its leases are over. Its name is
    /// free then.
    ///
    /// # Errors
    /// `LG1404` if there is none, `LG1012` if it lives, `LG1004` for the precondition, `LG11nn` if the caller may not.
    pub async fn remove_taskmanager(&self, call: &Call, name: &Name, precondition: Precondition) -> Result<()> {
        let resource = resource(Some(name));
        self.allow(call, Action::ManageTaskManagers, &resource).await?;
        let work = || async {
            let kept = self.find_taskmanager(name).await?;
            precondition.require(kept.revision)?;
            if kept.record.state != State::Revoked && !self.is_lost(name) {
                let cause = format!("TaskManager {name} may run still: two leases have not passed without it");
                let error = Error::new(code::WRONG_STATE, cause);
                return Err(error.help("drain it and end it, or revoke it first"));
            }
            let mut change = Change::default();
            change.remove(keys::taskmanager(name), kept.revision);
            change.event(self.done(call, Action::ManageTaskManagers, &resource).detail("change", "remove"));
            self.records.commit(change).await.map(drop)
        };
        let result = self.records.attempt(work).await;
        if result.is_ok() {
            self.note_availability(name, Availability::Lost);
        }
        self.noted(call, Action::ManageTaskManagers, &resource, result).await
    }

    async fn find_taskmanager(&self, name: &Name) -> Result<Kept<TaskManager>> {
        let none = || Error::new(code::NO_TASKMANAGER, format!("there is no TaskManager {name}"));
        self.records.get::<TaskManager>(&keys::taskmanager(name)).await?.ok_or_else(none)
    }

    /// Whether nothing was heard of a TaskManager for twice as long as its leases are.
    fn is_lost(&self, name: &Name) -> bool {
        let lease = self.plane.as_ref().map_or(Duration::ZERO, |(_, settings)| settings.lease);
        let heard = self.fleet.observed(name).map_or(self.fleet.started(), |observed| observed.heard);
        self.steady().since(heard) >= lease.saturating_mul(2)
    }

    /// Has placement and whoever serves a TaskManager see at once what became of it. What it was told last stays known: its
    /// leases run out on its own.
    fn note_availability(&self, name: &Name, availability: Availability) {
        self.fleet.update(name, |observed| {
            if let Some(observed) = observed {
                observed.offer.state = availability;
            }
        });
        self.fleet.members_changed();
    }

    /// Forgets what TaskManagers said that have no place any more, once it is over. For whoever keeps house.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read.
    pub async fn forget_taskmanagers(&self) -> Result<()> {
        for name in self.fleet.names() {
            if self.is_lost(&name) && self.records.get::<TaskManager>(&keys::taskmanager(&name)).await?.is_none() {
                self.fleet.forget(&name);
            }
        }
        Ok(())
    }

    /// A TaskManager with what it said of itself.
    pub fn shown(&self, record: TaskManager) -> Shown {
        let (observed, about) = (self.fleet.observed(&record.name), self.fleet.about(&record.name));
        let heard = observed.as_ref().map(|observed| self.time_of(observed.heard));
        Shown { record, observed, heard, about }
    }

    /// The plane's authority and its settings, if TaskManagers can dial in.
    pub fn plane(&self) -> Option<(&Arc<Authority>, &config::Plane)> {
        self.plane.as_ref().map(|(authority, settings)| (authority, settings))
    }

    /// Where TaskManagers dial in, as they are told: by each name, on the first port.
    pub(super) fn plane_addresses(&self) -> Vec<String> {
        let Some((_, settings)) = &self.plane else { return Vec::new() };
        let bound = self.plane_ports.get().and_then(|ports| ports.first().copied());
        let port = bound.or_else(|| settings.listen.first().map(std::net::SocketAddr::port));
        port.map(|port| settings.names.iter().map(|name| format!("{name}:{port}")).collect()).unwrap_or_default()
    }

    /// Notes on which ports TaskManagers dial in: the system may have chosen them.
    pub(crate) fn note_plane_ports(&self, ports: Vec<u16>) {
        // Bound once in the life of a process.
        let _ = self.plane_ports.set(ports);
    }

    /// Refuses whose certificate does not count now, or who has no place among the TaskManagers.
    ///
    /// # Errors
    /// `LG1401`; `LG12nn` if the store cannot be read.
    pub async fn admitted(&self, identity: &Identity) -> Result<()> {
        let name = &identity.name;
        let refuse = |why: &str| Err(Error::new(code::PLANE_REFUSED, format!("TaskManager {name} {why}")));
        let Some(kept) = self.records.get::<TaskManager>(&keys::taskmanager(name)).await? else {
            return refuse("has not joined, or was removed");
        };
        let record = kept.record;
        if record.state == State::Revoked {
            return refuse("was revoked");
        }
        // Of an earlier one of this name, or forgotten because so many came after it.
        if !record.certificates.iter().any(|issued| issued.digest == identity.certificate) {
            return refuse("has joined anew since: this certificate is of the one before");
        }
        if self.now() >= identity.expires {
            return refuse("has a certificate that has expired");
        }
        Ok(())
    }

    /// The next certificate of a TaskManager; the present one counts on to its end.
    ///
    /// # Errors
    /// `LG1403` for the request, `LG1401` if it has no place any more, `LG1110` if it has as many certificates as count at
    /// once.
    pub async fn renew_certificate(&self, name: &Name, request: &str) -> Result<Certificate> {
        let (authority, _) = self.plane().ok_or_else(no_plane)?;
        let key = PublicKey::of_request(request)?;
        self.records
            .attempt(|| async {
                let place = keys::taskmanager(name);
                let gone = || Error::new(code::PLANE_REFUSED, format!("TaskManager {name} has no place any more"));
                let kept = self.records.get::<TaskManager>(&place).await?;
                let Kept { revision, mut record } =
                    kept.filter(|kept| kept.record.state != State::Revoked).ok_or_else(gone)?;
                let now = self.now();
                record.certificates.retain(|issued| issued.expires > now);
                if record.certificates.len() >= MAX_CERTIFICATES {
                    let cause = format!("TaskManager {name} has {MAX_CERTIFICATES} certificates that count");
                    return Err(Error::new(code::TOO_MANY_REQUESTS, cause).help("use one of them until it expires"));
                }
                let issued = authority.issue(name, &key, now)?;
                record.certificates.push(Issued { digest: issued.digest, expires: issued.expires });
                let mut change = Change::default();
                change.replace(place, revision, &record)?;
                let event = self.of_taskmanager(name, "renew-certificate", Outcome::Done);
                change.event(event.detail("certificate", issued.digest.to_string()));
                self.records.commit(change).await?;
                Ok(issued.certificate)
            })
            .await
    }

    /// Has a session have the place of its TaskManager, if it never had it before; the record with all that are remembered.
    ///
    /// # Errors
    /// `LG1401` if the TaskManager has no place any more, `LG12nn` if it could not be written.
    pub(crate) async fn register_session(&self, name: &Name, session: &str) -> Result<Kept<TaskManager>> {
        let work = || async {
            let place = keys::taskmanager(name);
            let gone = || Error::new(code::PLANE_REFUSED, format!("TaskManager {name} has no place any more"));
            let mut kept = self.records.get::<TaskManager>(&place).await?.ok_or_else(gone)?;
            if kept.record.sessions.iter().any(|known| known == session) {
                return Ok(kept);
            }
            kept.record.sessions.insert(0, session.to_owned());
            kept.record.sessions.truncate(MAX_SESSIONS);
            let mut change = Change::default();
            change.replace(place, kept.revision, &kept.record)?;
            kept.revision = self.records.commit(change).await?;
            Ok(kept)
        };
        self.records.attempt(work).await
    }

    /// Records that somebody was refused on the plane, unless that tells of this machine.
    pub(crate) async fn plane_refused(&self, source: Option<Source>, id: &RequestId, asked: String, error: &Error) {
        if super::is_own_fault(error) {
            return;
        }
        let source = source.map_or_else(|| "unknown".to_owned(), |source| source.to_string());
        let event = Event {
            principal: NOBODY.to_owned(),
            outcome: Outcome::Denied(error.code().to_string()),
            request: Some(id.as_str().to_owned()),
            ..Event::system(self.now(), "plane", asked).detail("cause", error.cause())
        };
        let Some(event) = self.tally.denied(&source, event) else { return };
        let mut change = Change::default();
        change.event(event);
        if let Err(error) = self.records.commit(change).await {
            tracing::error!(%error, "a denial could not be recorded");
        }
    }

    /// An event that a TaskManager itself brought about.
    fn of_taskmanager(&self, name: &Name, action: &str, outcome: Outcome) -> Event {
        let event = Event::system(self.now(), action, format!("task-manager/{name}"));
        Event { principal: format!("taskmanager:{name}"), outcome, ..event }
    }
}

/// That nobody can join where nobody can dial in.
pub(super) fn no_plane() -> Error {
    let error = Error::new(code::NO_PLANE, "this JobManager has no plane: TaskManagers cannot dial in");
    error.help("add [plane] to jobmanager.toml")
}
