//! TaskManagers: who has a place among them, and under which certificates.

use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource};
use crate::audit::{Event, NOBODY, Outcome};
use crate::config;
use crate::fair_use::Source;
use crate::model::taskmanager::{Issued, MAX_CERTIFICATES, State, TaskManager};
use crate::model::{Kept, keys};
use crate::plane::{About, Authority, Identity, PublicKey};
use crate::reconcile::Observed;
use crate::server::RequestId;
use lockgate_core::error::code;
use lockgate_core::plane::Certificate;
use lockgate_core::{Error, Name, Result};
use std::sync::Arc;

/// A TaskManager with what it said of itself since the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// What is kept of it.
    pub record: TaskManager,
    /// What it said.
    pub observed: Option<Observed>,
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

impl Service {
    /// The TaskManagers that have joined.
    ///
    /// # Errors
    /// `LG1006` for a cursor of another list, `LG1102` if the caller may not see them.
    pub async fn taskmanagers(&self, call: &Call, filter: &Filter) -> Result<Page<TaskManager>> {
        self.allow(call, Action::ReadTaskManagers, &Resource::cluster("task-manager")).await?;
        self.list(call, &keys::taskmanagers(), filter).await
    }

    /// A TaskManager with what it said of itself.
    pub fn shown(&self, record: TaskManager) -> Shown {
        let (observed, about) = (self.fleet.observed(&record.name), self.fleet.about(&record.name));
        Shown { record, observed, about }
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
