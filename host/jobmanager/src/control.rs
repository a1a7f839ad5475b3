//! The service over a store, with what goes on without being asked: the reconciler, the counts of denials and reads, and
//! the house that is kept.

mod budgets;
mod keeper;
#[cfg(test)]
mod tests;

pub use keeper::Keeper;

use crate::access::{Authorizer, External};
use crate::api::{self, Measured};
use crate::audit::tally::{self, Tally};
use crate::audit::{self, Event, Outcome, checkpoint};
use crate::backup::Layout;
use crate::bundles::Bundles;
use crate::config::{self, Config, Limits};
use crate::plane::{self, Authority, Dispatch, Plane};
use crate::server::{Observer, Refused, TenantRate};
use crate::service::{Clock, Means, Options, Service};
use crate::store::{Batch, Store};
use crate::tls;
use axum::Router;
use lockgate_core::error::code;
use lockgate_core::{Error, Result, Timestamp, UnixMillis};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// How many bundles are verified at once.
const VERIFICATIONS: usize = 2;
/// How many event streams may be open at once.
const FOLLOWERS: usize = 1_000;
/// Bytes of the disk that uploads leave free.
const RESERVE: u64 = 64 << 20;
/// How often counted denials and reads are recorded.
const TALLY: Duration = Duration::from_secs(60);
/// How often figures of jobs are written.
const REPORTS: Duration = Duration::from_secs(2);
/// How often the house is kept.
const HOUSE: Duration = Duration::from_secs(600);
/// How long a bundle's file stays that nothing refers to: longer than any time from an upload to its record.
const GRACE: Duration = Duration::from_secs(3_600);
/// How many records of the audit log are signed at once, and how often, if there are fewer.
const SIGNED_RECORDS: u64 = 1_000;
const SIGNED_INTERVAL: Duration = Duration::from_secs(300);

/// What runs beside the server.
pub struct Control {
    service: Arc<Service>,
    dispatch: Arc<Dispatch>,
    tally: Arc<Tally>,
    refusals: mpsc::Sender<Event>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    signing: (watch::Sender<bool>, JoinHandle<()>),
}

impl Control {
    /// Opens the service and sets going what goes on by itself.
    ///
    /// # Errors
    /// `LG12nn` if the store, the folder of bundles or the audit log's key cannot be used, `LG1053` if the authorisation service's cannot.
    pub async fn open<S: Store>(config: &Config, store: Arc<S>) -> Result<Self> {
        let external = config.authorization.as_ref().map(External::new).transpose()?;
        let tally = Arc::new(Tally::new());
        let plane = match &config.plane {
            Some(plane) => Some((authority(config, plane)?, plane.clone())),
            None => None,
        };
        let means = Means {
            clock: Arc::new(millis),
            steady: steady(),
            authorizer: Authorizer::new(external),
            tally: Arc::clone(&tally),
            bundles: Bundles::open(Layout::new(&config.data).bundles(), RESERVE)?,
            plane,
        };
        let options = Options {
            domain: config.domain.clone(),
            max_bundle: config.limits.upload_bytes,
            verifications: VERIFICATIONS,
            followers: FOLLOWERS,
            quota: config.quota.clone(),
        };
        let key = checkpoint::open_key(&Layout::new(&config.data).audit_key())?;
        let (signed, records, interval) = (Arc::clone(&store), SIGNED_RECORDS, SIGNED_INTERVAL);
        let signer = checkpoint::Keeper { store: signed, key, records, interval, clock: now };
        let (seal, sealed) = watch::channel(false);
        let service = Arc::new(Service::open(Arc::clone(&store), options, means).await?);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (counting, counted, over) = (Arc::clone(&tally), Arc::clone(&store), ended(stopped.clone()));
        tasks.spawn(async move { counting.run(&counted, TALLY, now, over).await });
        // The tally lets no more than this through within an interval.
        let (refusals, refused) = mpsc::channel(tally::MAX_KINDS);
        tasks.spawn(keep_refusals(store, refused, stopped.clone()));
        let dispatch = Arc::new(Dispatch::new(Arc::clone(&service)));
        tasks.spawn(until(stopped.clone(), Keeper::over(Arc::clone(&dispatch)).run()));
        tasks.spawn(write_reports(Arc::clone(&dispatch), stopped.clone()));
        tasks.spawn(until(stopped, keep_house(Arc::clone(&dispatch))));
        let signing = (seal, tokio::spawn(signer.run(ended(sealed))));
        Ok(Self { service, dispatch, tally, refusals, stop, tasks, signing })
    }

    /// Whom the guard tells of what it refused before any route saw it: to be recorded like any other denial, and counted
    /// like it, so that no flood of wrong credentials fills the disk.
    pub fn observer(&self) -> Observer {
        let (tally, refusals) = (Arc::clone(&self.tally), self.refusals.clone());
        Arc::new(move |refused| {
            let source = refused.source.map_or_else(|| "unknown".to_owned(), |source| source.to_string());
            let Some(event) = denial(refused).and_then(|event| tally.denied(&source, event)) else { return };
            if refusals.try_send(event).is_err() {
                tracing::error!("a denial could not be recorded: the store does not keep up");
            }
        })
    }

    /// What the guard asks for the requests a second of a tenant whose own quota says so.
    pub fn tenant_rate(&self) -> TenantRate {
        let service = Arc::clone(&self.service);
        Arc::new(move |tenant| service.own_request_rate(tenant))
    }

    /// What the server answers.
    pub fn routes(&self) -> Router {
        api::router(Arc::clone(&self.service), Arc::new(Measured::default()))
    }

    /// Where TaskManagers dial in, if anywhere, and what it answers. Listens from here on.
    ///
    /// # Errors
    /// `LG1054`.
    pub async fn plane(&self, limits: &Limits) -> Result<Option<(Plane, Router)>> {
        let plane = Plane::bind(&self.service, limits).await?;
        Ok(plane.map(|plane| (plane, plane::router(Arc::clone(&self.dispatch)))))
    }

    /// Ends what goes on by itself; what was counted is recorded first, and all of the audit log signed last.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        let (seal, signing) = self.signing;
        let _ = seal.send(true);
        let _ = signing.await;
    }
}

/// The plane's authority, which the API must not take for one of its clients'.
fn authority(config: &Config, plane: &config::Plane) -> Result<Authority> {
    let authority = Authority::ensure(&config.data, &config.domain, plane)?;
    let Some(path) = &config.tls.client_ca else { return Ok(authority) };
    if tls::certificates(path)?.contains(authority.certificate()) {
        let cause =
            format!("{} has the authority of the plane: TaskManagers are no clients of the API", path.display());
        return Err(Error::new(code::TLS_MATERIAL, cause));
    }
    Ok(authority)
}

/// The event of a refusal; none where it tells of the server rather than of who asked.
fn denial(refused: Refused) -> Option<Event> {
    if matches!(refused.code, code::BUSY | code::REQUEST_TIMEOUT | code::IDENTITY_PROVIDER) {
        return None;
    }
    let (principal, credential, tenant) = match refused.caller {
        Some(caller) => (caller.principal, Some(caller.credential), caller.tenant),
        None => (audit::NOBODY.to_owned(), None, None),
    };
    Some(Event {
        time: now(),
        principal,
        credential,
        tenant,
        action: "request".to_owned(),
        resource: refused.asked,
        outcome: Outcome::Denied(refused.code.to_string()),
        request: Some(refused.request.as_str().to_owned()),
        details: BTreeMap::new(),
    })
}

/// Records refusals until the end, and what is left then.
async fn keep_refusals(store: Arc<impl Store>, mut refusals: mpsc::Receiver<Event>, stopped: watch::Receiver<bool>) {
    let record = async |event| {
        let batch = Batch { events: vec![event], ..Batch::default() };
        if let Err(error) = store.commit(batch).await {
            tracing::error!(%error, "a denial could not be recorded");
        }
    };
    // The control itself holds a sender, so that none is missing before the end.
    let going = async {
        while let Some(event) = refusals.recv().await {
            record(event).await;
        }
    };
    tokio::select! {
        () = going => {}
        () = ended(stopped) => {}
    }
    while let Ok(event) = refusals.try_recv() {
        record(event).await;
    }
}

async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error means that whoever would say it is gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn until(stopped: watch::Receiver<bool>, work: impl Future<Output = ()> + Send) {
    tokio::select! {
        () = ended(stopped) => {}
        () = work => {}
    }
}

/// Writes what TaskManagers report of jobs until the end, and what is left then.
async fn write_reports(dispatch: Arc<Dispatch>, stopped: watch::Receiver<bool>) {
    let going = async {
        let mut timer = tokio::time::interval(REPORTS);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            dispatch.write_reports().await;
        }
    };
    until(stopped, going).await;
    dispatch.write_reports().await;
}

async fn keep_house(dispatch: Arc<Dispatch>) {
    let service = dispatch.service();
    let mut timer = tokio::time::interval(HOUSE);
    loop {
        timer.tick().await;
        if let Err(error) = service.forget_answers(10_000).await {
            tracing::warn!(%error, "answered requests could not be forgotten");
        }
        if let Err(error) = service.forget_join_tokens().await {
            tracing::warn!(%error, "join tokens whose time is over could not be forgotten");
        }
        if let Err(error) = service.forget_taskmanagers().await {
            tracing::warn!(%error, "TaskManagers that were removed could not be forgotten");
        }
        if let Err(error) = service.sweep_audit().await {
            tracing::warn!(%error, "what the audit log was cut off could not be removed");
        }
        if let Err(error) = service.collect_bundles(GRACE).await {
            tracing::warn!(%error, "bundles that nothing refers to could not be collected");
        }
        if let Err(error) = dispatch.ledger().collect(GRACE).await {
            tracing::warn!(%error, "the records of runs that are over could not be collected");
        }
    }
}

/// Now, in whole seconds.
fn now() -> Timestamp {
    millis().into()
}

/// A clock that nobody sets: it begins at the time of day, only rises from there, and counts the time that the machine
/// sleeps.
fn steady() -> Clock {
    let since_boot = || {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default().min(999_999_999))
    };
    let (began, from) = (millis(), since_boot());
    Arc::new(move || began.plus(since_boot().saturating_sub(from)))
}

/// Now.
fn millis() -> UnixMillis {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    UnixMillis(u64::try_from(millis).unwrap_or(u64::MAX))
}
