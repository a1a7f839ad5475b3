//! What the routes of the plane share, and the routes.

use super::heartbeat::heartbeat;
use super::mailbox::Mailboxes;
use super::report::{Meters, report};
use super::{Fleet, artefacts, ledger};
use crate::ledger::Ledger;
use crate::reconcile::Settings;
use crate::service::Service;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use lockgate_core::Name;
use lockgate_core::plane::path;
use std::sync::Arc;

/// What the JobManager tells TaskManagers and hears of them.
#[derive(Debug)]
pub struct Dispatch {
    pub(super) service: Arc<Service>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) mailboxes: Mailboxes,
    pub(super) ledger: Ledger,
    pub(super) meters: Meters,
    pub(super) settings: Settings,
}

impl Dispatch {
    /// Over a service.
    pub fn new(service: Arc<Service>) -> Self {
        let fleet = Arc::clone(service.fleet());
        let settings = service.plane().map_or_else(Settings::default, |(_, plane)| Settings::with_lease(plane.lease));
        Self {
            mailboxes: Mailboxes::new(fleet.started()),
            ledger: Ledger::new(service.records().clone(), service.clock(), service.steady_clock()),
            meters: Meters::default(),
            settings,
            service,
            fleet,
        }
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// What TaskManagers say of themselves.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// What they are to be told.
    pub fn mailboxes(&self) -> &Mailboxes {
        &self.mailboxes
    }

    /// The records of runs.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How long things take.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Writes what TaskManagers reported of jobs since it was written last. For whoever does so from time to time.
    pub async fn write_reports(&self) {
        self.meters.write(&self.service).await;
    }

    /// What the keeper is to take for facts. Who is silent is told nothing any more: his box is shut before the facts are
    /// taken, so that whatever was told before stands in them.
    pub(crate) fn facts(&self) -> std::collections::BTreeMap<Name, crate::reconcile::Observed> {
        let (now, before) = (self.service.steady(), self.fleet.all());
        let heard = |name: &Name| before.get(name).is_some_and(|seen| now.since(seen.heard) <= self.settings.silence);
        self.mailboxes.shut(|name| before.contains_key(name), heard);
        self.fleet.all()
    }
}

/// The routes of the plane. Every request has to carry the extension [`Peer`](super::Peer).
pub fn router(dispatch: Arc<Dispatch>) -> Router {
    Router::new()
        .route(path::HEARTBEAT, post(heartbeat))
        .route(path::TRUST, get(artefacts::trust))
        .route(path::BUNDLE, get(artefacts::bundle))
        .route(path::OPEN, post(ledger::open))
        .route(path::CLAIM, post(ledger::claim))
        .route(path::COMMIT, post(ledger::commit))
        .route(path::RELEASE, post(ledger::release))
        .route(path::REPORT, post(report))
        // Every route has a bound of its own.
        .layer(DefaultBodyLimit::disable())
        .with_state(dispatch)
}

#[cfg(test)]
pub(crate) mod tests;
