//! The service over a store, with what goes on without being asked: the reconciler, the counts of denials and reads, and
//! the house that is kept.

mod keeper;
#[cfg(test)]
mod tests;

pub use keeper::Keeper;

use crate::access::{Authorizer, External};
use crate::api::{self, Measured};
use crate::audit::tally::Tally;
use crate::backup::Layout;
use crate::bundles::Bundles;
use crate::config::Config;
use crate::service::{Means, Options, Service};
use crate::store::Store;
use axum::Router;
use lockgate_core::{Result, Timestamp};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many bundles are verified at once.
const VERIFICATIONS: usize = 2;
/// How many event streams may be open at once.
const FOLLOWERS: usize = 1_000;
/// Bytes of the disk that uploads leave free.
const RESERVE: u64 = 64 << 20;
/// How often counted denials and reads are recorded.
const TALLY: Duration = Duration::from_secs(60);
/// How often the house is kept.
const HOUSE: Duration = Duration::from_secs(600);
/// How long a bundle's file stays that nothing refers to: longer than any time from an upload to its record.
const GRACE: Duration = Duration::from_secs(3_600);
/// What runs beside the server.
pub struct Control {
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Control {
    /// Opens the service and sets going what goes on by itself.
    ///
    /// # Errors
    /// `LG12nn` if the store or the folder of bundles cannot be used, `LG1053` if the authorisation service's cannot.
    pub async fn open<S: Store>(config: &Config, store: Arc<S>) -> Result<Self> {
        let external = config.authorization.as_ref().map(External::new).transpose()?;
        let tally = Arc::new(Tally::new());
        let means = Means {
            clock: Arc::new(now),
            authorizer: Authorizer::new(external),
            tally: Arc::clone(&tally),
            bundles: Bundles::open(Layout::new(&config.data).bundles(), RESERVE)?,
        };
        let options = Options {
            domain: config.domain.clone(),
            max_bundle: config.limits.upload_bytes,
            verifications: VERIFICATIONS,
            followers: FOLLOWERS,
            quota: config.quota.clone(),
        };
        let service = Arc::new(Service::open(Arc::clone(&store), options, means).await?);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let ended = ended(stopped.clone());
        tasks.spawn(async move { tally.run(&store, TALLY, now, ended).await });
        tasks.spawn(until(stopped.clone(), Keeper::new(Arc::clone(&service)).run()));
        tasks.spawn(until(stopped, keep_house(Arc::clone(&service))));
        Ok(Self { service, stop, tasks })
    }

    /// What the server answers.
    pub fn routes(&self) -> Router {
        api::router(Arc::clone(&self.service), Arc::new(Measured::default()))
    }

    /// Ends what goes on by itself; what was counted is recorded first.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
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

async fn keep_house(service: Arc<Service>) {
    let mut timer = tokio::time::interval(HOUSE);
    loop {
        timer.tick().await;
        if let Err(error) = service.forget_answers(10_000).await {
            tracing::warn!(%error, "answered requests could not be forgotten");
        }
        if let Err(error) = service.collect_bundles(GRACE).await {
            tracing::warn!(%error, "bundles that nothing refers to could not be collected");
        }
    }
}

/// Now, in whole seconds.
fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
