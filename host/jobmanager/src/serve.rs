//! From a configuration to a server that answers, and back down.
//!
//! The order matters: nothing listens before keys, directory and configuration are known to be in order, and nothing says
//! that it is ready before it listens.

#[cfg(test)]
mod tests;

use crate::backup::Layout;
use crate::config::Config;
use crate::control::Control;
use crate::credentials::{Authenticator, Directory, Kept, Setup};
use crate::notify::Notify;
use crate::oidc::Issuers;
use crate::plane::Plane;
use crate::server::{Guard, Health, Server, routed};
use crate::store::{Options, Sled, Store as _, StoreKey};
use crate::tls::{self, Reloading};
use axum::Router;
use lockgate_core::error::code;
use lockgate_core::{Error, Result, Timestamp};
use lockgate_server::private;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Serves until `shutdown`; whether all that had begun ended by itself. With `new_setup_token` a set-up token is made though
/// operators have tokens.
///
/// # Errors
/// Why it cannot start: see [`Prepared::new`] and [`Sled::open`].
pub async fn serve(config: &Config, new_setup_token: bool, shutdown: impl Future<Output = ()> + Send) -> Result<bool> {
    private::directory(&config.data)?;
    let mut options = Options::new(Layout::new(&config.data).store());
    options.keys = config.encryption_key.iter().map(|key| StoreKey::parse(key.expose())).collect::<Result<_>>()?;
    let opened = tokio::task::spawn_blocking(move || Sled::open(options)).await;
    let store = Arc::new(opened.map_err(|error| Error::new(code::INTERNAL, error.to_string()))??);
    let prepared = Prepared::new(config, Kept::new(Arc::clone(&store)), new_setup_token).await?;
    let control = Control::open(config, Arc::clone(&store)).await?;
    let prepared =
        prepared.map_guard(|guard| guard.with_observer(control.observer()).with_tenant_rate(control.tenant_rate()));
    let prepared = prepared.with_plane(control.plane(&config.limits).await?);
    let drained = prepared.run(control.routes(), shutdown).await;
    control.stop().await;
    store.close().await;
    drained
}

/// A JobManager whose parts are made and that listens, but does not answer yet.
#[derive(Debug)]
pub struct Prepared<D> {
    server: Server,
    guard: Guard<D>,
    health: Health,
    tls: Arc<Reloading>,
    reload_interval: Duration,
    plane: Option<(Plane, Router)>,
}

impl<D: Directory> Prepared<D> {
    /// Checks and makes what a start needs, and listens. Makes a set-up token if the operator's people have no token;
    /// with `new_setup_token` in any case.
    ///
    /// # Errors
    /// `LG0850`, `LG1053`, `LG1054`, `LG1055`.
    pub async fn new(config: &Config, directory: D, new_setup_token: bool) -> Result<Self> {
        private::directory(&config.data)?;
        let (tls, made) = tls::of(config)?;
        let tls = Arc::new(tls);
        if let Some(made) = made {
            let (ca, new) = (made.ca(), made.new_authority);
            tracing::info!(ca = %ca.display(), new, "the server's certificate is of an authority of its own: clients need `ca`");
        }
        let setup = Setup::of(&config.data);
        let now = now();
        if new_setup_token || !(directory.has_operator_token().await? || setup.is_valid(now)?) {
            let file = setup.make(now, new_setup_token)?;
            tracing::warn!(file = %file.display(), "a set-up token for the first operator is in `file`");
        }
        let issuers = Issuers::new(&config.issuers)?;
        let authenticator = Authenticator::new(directory, issuers, config.certificates.clone(), setup);
        let server = Server::bind(&config.listen, tls.clone(), config.limits.of_connections()).await?;
        let (guard, health) = (Guard::new(config, authenticator), Health::default());
        Ok(Self { server, guard, health, tls, reload_interval: config.tls.reload_interval, plane: None })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// What tells whether it is ready.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Changes the guard before it serves.
    #[must_use]
    pub fn map_guard(self, change: impl FnOnce(Guard<D>) -> Guard<D>) -> Self {
        Self { guard: change(self.guard), ..self }
    }

    /// Serves the plane, if there is one, beside the API.
    #[must_use]
    pub fn with_plane(self, plane: Option<(Plane, Router)>) -> Self {
        Self { plane, ..self }
    }

    /// Serves `routes` until `shutdown`, then lets what has begun end, within a bound; whether all of it did.
    ///
    /// # Errors
    /// `LG0003` if signals cannot be listened to.
    pub async fn run(self, routes: Router, shutdown: impl Future<Output = ()> + Send) -> Result<bool> {
        let notify = Arc::new(Notify::from_environment());
        let (stop, stopped) = watch::channel(false);
        let reloading = tokio::spawn(reload(Arc::clone(&self.tls), self.reload_interval, Arc::clone(&notify)));
        let watched = notify.interval().map(|interval| tokio::spawn(watchdog(interval, Arc::clone(&notify))));
        for address in self.addresses() {
            tracing::info!(%address, "listening");
        }
        let plane = self.plane.map(|(plane, routes)| {
            for address in plane.addresses() {
                tracing::info!(%address, "listening for TaskManagers");
            }
            tokio::spawn(plane.run(routes, stopped.clone()))
        });
        let serving = self.server.run(routed(self.guard.protect(routes, &self.health)), stopped);
        tokio::pin!(serving);
        self.health.set_ready(true);
        notify.ready();
        let drained = tokio::select! {
            drained = serving.as_mut() => drained,
            () = shutdown => {
                self.health.set_ready(false);
                notify.stopping();
                tracing::info!("stopping");
                let _ = stop.send(true);
                serving.await
            }
        };
        if let Some(plane) = plane {
            // Whatever ended the API ends the plane.
            let _ = stop.send(true);
            // What waits there for news is cut off in the end, and asks again.
            let _ = plane.await;
        }
        reloading.abort();
        if let Some(watched) = watched {
            watched.abort();
        }
        Ok(drained)
    }
}

/// SIGTERM or SIGINT; and the end of standard input for a process that is supervised by another one of this program
/// (`LOCKGATE_SUPERVISED`), so that it does not outlive that one.
///
/// # Errors
/// `LG0003` if they cannot be listened to.
pub fn asked_to_stop() -> Result<impl Future<Output = ()> + Send> {
    let failed = |error: std::io::Error| Error::new(code::INTERNAL, format!("no signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = left_alone() => {}
        }
    })
}

/// The end of standard input, if that is what says that whoever supervises this process is gone. Read by a thread of its
/// own, which nothing waits for: the runtime's would keep the process from ending.
pub async fn left_alone() {
    if std::env::var_os("LOCKGATE_SUPERVISED").is_none() {
        return std::future::pending().await;
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    let watch = move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = tell.send(());
    };
    if std::thread::Builder::new().name("supervised".to_owned()).spawn(watch).is_err() {
        return std::future::pending().await;
    }
    let _ = told.await;
}

/// Takes new certificates every `interval` and at SIGHUP.
async fn reload(tls: Arc<Reloading>, interval: Duration, notify: Arc<Notify>) {
    let mut hang_up = signal(SignalKind::hangup()).ok();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        let asked = async {
            match &mut hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        let told = tokio::select! {
            _ = ticks.tick() => false,
            _ = asked => true,
        };
        if told {
            notify.reloading();
        }
        match tls.reload() {
            Ok(true) => tracing::info!("took new certificates"),
            Ok(false) => {}
            // Once for each mistake, not every interval.
            Err(error) if told || last.as_ref() != Some(&error) => {
                tracing::error!(%error, "the new certificates cannot be used; the former ones go on");
                last = Some(error);
            }
            Err(_) => {}
        }
        if told {
            notify.ready();
        }
    }
}

/// Tells systemd that the runtime still gets to run.
async fn watchdog(interval: Duration, notify: Arc<Notify>) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        notify.alive();
    }
}

/// Now, in whole seconds.
fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
