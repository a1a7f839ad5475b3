//! The plane: where TaskManagers dial in, by mutual TLS 1.3 under an authority of its own.
//!
//! Connections are bounded as the API's are ([`lockgate_server::listen`]). Before any route stands the guard: the version of
//! what is spoken, a certificate that counts *now*, and the TaskManager's place in the registry, each looked at with every
//! request. Whoever loses his place is cut off at once, whatever he was at.
//!
//! - [`Authority`]: signs the certificates of the plane
//! - [`PublicKey`]: what is taken from a request for one
//! - [`Identity`], [`Peer`]: who dials in
//! - [`Fleet`]: what is known of TaskManagers in this process only
//! - [`Dispatch`], [`router()`]: what they say and are told, and what of a job they may fetch and change
//! - [`Mailboxes`]: what each is to be told

mod answer;
mod artefacts;
mod authority;
mod certificate;
mod dispatch;
mod fleet;
mod guard;
mod heartbeat;
mod ledger;
mod mailbox;
mod peer;
mod report;
mod request;
#[cfg(test)]
mod tests;

pub use authority::{Authority, Issued};
pub use dispatch::{Dispatch, router};
pub use fleet::{About, Fleet};
pub use mailbox::Mailboxes;
pub use peer::{Identity, Peer};
pub use request::PublicKey;

use crate::config::Limits;
use crate::server::{self, Cut, Server, routed};
use crate::service::Service;
use axum::Router;
use guard::Guard;
use lockgate_core::Result;
use lockgate_core::plane::MAX_ORDERS;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long requests of TaskManagers may go on when it is time to stop: most of them wait for something new, and each may
/// come twice.
const DRAIN: Duration = Duration::from_secs(2);

/// A plane that listens and does not serve yet.
#[derive(Debug)]
pub struct Plane {
    server: Server,
    service: Arc<Service>,
    limits: Limits,
}

impl Plane {
    /// Listens, if the configuration of `service` has a plane.
    ///
    /// # Errors
    /// `LG1054`.
    pub async fn bind(service: &Arc<Service>, limits: &Limits) -> Result<Option<Self>> {
        let Some((authority, settings)) = service.plane() else { return Ok(None) };
        let body_bytes = u64::try_from(MAX_ORDERS).unwrap_or(u64::MAX);
        let limits = Limits { drain: limits.drain.min(DRAIN), body_bytes, ..limits.clone() };
        let server =
            Server::bind(&settings.listen, Arc::<Authority>::clone(authority), limits.of_connections()).await?;
        let ports = server.addresses().iter().map(SocketAddr::port).collect::<Vec<_>>();
        service.note_plane_ports(ports);
        let server = server.with_cut(cut(Arc::clone(service)));
        Ok(Some(Self { server, service: Arc::clone(service), limits }))
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// Serves `routes` until `stop`; whether all that had begun ended by itself. A route takes who asks from the request's
    /// extensions ([`Peer`]), and raises the bound on its body, which is [`MAX_ORDERS`], by [`crate::server::BodyLimit`].
    pub async fn run(self, routes: Router, stop: watch::Receiver<bool>) -> bool {
        let routes = routes.merge(certificate::routes(Arc::clone(&self.service)));
        let guard = Guard::new(self.service, self.limits);
        self.server.run(routed(guard.protect(routes)), stop).await
    }
}

/// Ends when who dialled in has lost his place. What was so before the connection began is told to its first request.
fn cut(service: Arc<Service>) -> Cut {
    Arc::new(move |peer: &server::Peer| {
        let mut members = service.fleet().members();
        let (service, certificate) = (Arc::clone(&service), peer.certificate.clone());
        Box::pin(async move {
            let identity = certificate.and_then(|certificate| Identity::of(&certificate, service.domain()).ok());
            let Some(identity) = identity else { return std::future::pending().await };
            while members.changed().await.is_ok() {
                if service.admitted(&identity).await.is_err() {
                    return;
                }
            }
        })
    })
}
