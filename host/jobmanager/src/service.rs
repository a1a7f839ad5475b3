//! What can be asked of the JobManager, free of HTTP: every function takes the [`Call`] that says who asks, has it
//! authorised before it looks at anything, and makes its change, if it makes one, in one conditional commit together with
//! the event that records it.

pub mod audit;
pub mod backup;
pub mod bundles;
pub mod certificates;
mod chain;
pub mod changes;
mod cursor;
pub mod events;
pub mod figures;
mod idempotency;
pub mod jobs;
pub mod join;
mod kv;
pub mod list;
pub mod members;
mod placed;
pub mod quotas;
pub mod taskmanagers;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod trust;

pub use idempotency::{IdempotencyKey, Made};
pub use kv::{Change, Records};
pub use list::{Filter, Page};

use crate::access::{Action, Authorizer, Caller, Resource, not_found};
use crate::audit::tally::{Reader, Tally};
use crate::audit::{Event, Outcome};
use crate::bundles::Bundles;
use crate::config;
use crate::fair_use::Quota;
use crate::model::tenant::{State, Tenant};
use crate::model::{Kept, keys};
use crate::plane::{Authority, Fleet};
use crate::store::Store;
use cursor::Cursors;
use lockgate_core::error::code;
use lockgate_core::placement::{JobId, Waits};
use lockgate_core::trust::TrustDomain;
use lockgate_core::{Error, Name, Result, Timestamp, UnixMillis};
use quotas::OwnRates;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, RwLock};
use tokio::sync::Semaphore;

/// What a service is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The trust domain of this cluster.
    pub domain: TrustDomain,
    /// The most bytes of a bundle.
    pub max_bundle: u64,
    /// How many bundles are verified at once: what bounds the memory that verification takes.
    pub verifications: usize,
    /// How many event streams may be open at once.
    pub followers: usize,
    /// What a tenant may take up for which nothing else is set.
    pub quota: Quota,
}

/// Who asks, in which request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who.
    pub caller: Caller,
    /// The request's id.
    pub request: Option<String>,
    /// Where it came from: an address, or a range of them that one party is taken to hold.
    pub source: String,
}

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// What a service works with, besides its store.
pub struct Means {
    /// The time.
    pub clock: Clock,
    /// A clock that nobody sets, for how long things last.
    pub steady: Clock,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// Where denials and reads are counted; whoever made it flushes it.
    pub tally: Arc<Tally>,
    /// The files of bundles.
    pub bundles: Bundles,
    /// The plane's authority and its settings, if TaskManagers can dial in.
    pub plane: Option<(Authority, config::Plane)>,
}

/// The JobManager's functions.
pub struct Service {
    records: Records,
    options: Options,
    clock: Clock,
    steady: Clock,
    authorizer: Authorizer,
    tally: Arc<Tally>,
    cursors: Cursors,
    bundles: Bundles,
    verifying: Arc<Semaphore>,
    following: Arc<Semaphore>,
    waiting: RwLock<BTreeMap<JobId, Waits>>,
    backing_up: Arc<Semaphore>,
    own_rates: OwnRates,
    plane: Option<(Arc<Authority>, config::Plane)>,
    plane_ports: OnceLock<Vec<u16>>,
    fleet: Arc<Fleet>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Service {
    /// A service over `store`.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read or written.
    pub async fn open(store: impl Store, options: Options, means: Means) -> Result<Self> {
        let Means { clock, steady, authorizer, tally, bundles, plane } = means;
        let records = Records::new(store);
        Ok(Self {
            cursors: Cursors::open(&records).await?,
            bundles,
            verifying: Arc::new(Semaphore::new(options.verifications)),
            following: Arc::new(Semaphore::new(options.followers)),
            waiting: RwLock::default(),
            backing_up: Arc::new(Semaphore::new(1)),
            own_rates: OwnRates::open(&records).await?,
            plane: plane.map(|(authority, settings)| (Arc::new(authority), settings)),
            plane_ports: OnceLock::new(),
            fleet: Arc::new(Fleet::new(steady())),
            records,
            options,
            clock,
            steady,
            authorizer,
            tally,
        })
    }

    /// The records that it keeps, for the parts of the JobManager that act by themselves.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The time, in whole seconds.
    pub fn now(&self) -> Timestamp {
        self.millis().into()
    }

    /// The time.
    pub fn millis(&self) -> UnixMillis {
        (self.clock)()
    }

    /// The time by a clock that nobody sets, so that it may be another than [`Self::millis`] says. Leases, silence and what
    /// else is a length of time is measured by it, and compared with nothing else.
    pub fn steady(&self) -> UnixMillis {
        (self.steady)()
    }

    /// When what was at `steady` by the clock that nobody sets was by the one that says when.
    pub fn time_of(&self, steady: UnixMillis) -> Timestamp {
        let passed = i64::try_from(self.steady().since(steady).as_secs()).unwrap_or(i64::MAX);
        self.now().plus(-passed)
    }

    /// Where the time comes from.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    /// What [`Self::steady`] asks.
    pub fn steady_clock(&self) -> Clock {
        Arc::clone(&self.steady)
    }

    /// The trust domain of this cluster.
    pub fn domain(&self) -> &TrustDomain {
        &self.options.domain
    }

    /// The most bytes of a bundle.
    pub fn max_bundle(&self) -> u64 {
        self.options.max_bundle
    }

    /// What is known of TaskManagers in this process only.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Whether the store answers.
    pub async fn is_ready(&self) -> bool {
        self.records.any(&keys::cursor_key()).await.is_ok()
    }

    /// Refuses what the caller may not do, and records that he tried.
    async fn allow(&self, call: &Call, action: Action, resource: &Resource) -> Result<()> {
        let denied = match self.authorizer.authorize(&call.caller, action, resource).await {
            Ok(()) => self.suspended(&call.caller, action).await?,
            Err(denied) => Some(denied.error),
        };
        if let Some(error) = denied {
            self.note_denied(call, action.as_str(), resource, &error).await;
            return Err(error);
        }
        if let Some(action) = read(action) {
            let Caller { principal, credential, tenant, .. } = call.caller.clone();
            self.tally.read(Reader { principal, credential, tenant, action });
        }
        Ok(())
    }

    /// Why the people of a suspended tenant are refused, whatever their credential, but for what tells them that it is and
    /// why. Read from the store each time: it counts from the next request on, and so does its end.
    async fn suspended(&self, caller: &Caller, action: Action) -> Result<Option<Error>> {
        let Some(tenant) = caller.tenant.as_ref().filter(|_| !action.while_suspended()) else { return Ok(None) };
        let kept = self.records.get::<Tenant>(&keys::tenant(tenant)).await?;
        Ok(kept.filter(|kept| kept.record.state == State::Suspended).map(|kept| inactive(&kept.record)))
    }

    /// Whether the caller may do `action` as well, without a word about it if not: for parts of an answer.
    async fn may(&self, call: &Call, action: Action, resource: &Resource) -> bool {
        self.authorizer.authorize(&call.caller, action, resource).await.is_ok()
    }

    /// Records a denial. That it cannot be recorded does not turn it into a yes.
    async fn note_denied(&self, call: &Call, action: &str, resource: &Resource, error: &Error) {
        let outcome = Outcome::Denied(error.code().to_string());
        let event = self.event(call, action, resource, outcome);
        let Some(event) = self.tally.denied(&call.source, event) else { return };
        let mut change = Change::default();
        change.event(event);
        if let Err(error) = self.records.commit(change).await {
            tracing::error!(%error, "a denial could not be recorded");
        }
    }

    /// Gives `result` on, and records it if it is a refusal of what was asked for.
    async fn noted<T>(&self, call: &Call, action: Action, resource: &Resource, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && !is_own_fault(error)
        {
            self.note_denied(call, action.as_str(), resource, error).await;
        }
        result
    }

    /// An event of something that was done.
    fn done(&self, call: &Call, action: Action, resource: &Resource) -> Event {
        self.event(call, action.as_str(), resource, Outcome::Done)
    }

    fn event(&self, call: &Call, action: &str, resource: &Resource, outcome: Outcome) -> Event {
        Event {
            time: self.now(),
            principal: call.caller.principal.clone(),
            credential: Some(call.caller.credential.clone()),
            tenant: resource.tenant.clone(),
            action: action.to_owned(),
            resource: resource.to_string(),
            outcome,
            request: call.request.clone(),
            details: BTreeMap::new(),
        }
    }

    /// A tenant that can be looked at; `resource` is what was asked for, and is what the answer says is missing.
    async fn tenant(&self, name: &Name, resource: &Resource) -> Result<Kept<Tenant>> {
        let kept = self.records.get::<Tenant>(&keys::tenant(name)).await?;
        kept.filter(|kept| kept.record.state != State::Closed).ok_or_else(|| not_found(resource))
    }

    /// A tenant that may do something.
    async fn active_tenant(&self, name: &Name, resource: &Resource) -> Result<Kept<Tenant>> {
        let kept = self.tenant(name, resource).await?;
        if kept.record.state == State::Active {
            return Ok(kept);
        }
        Err(inactive(&kept.record))
    }
}

fn inactive(tenant: &Tenant) -> Error {
    Error::new(code::TENANT_INACTIVE, format!("tenant {} is {}", tenant.name, tenant.state.as_str()))
}

/// What a read is counted as; none for what changes something, which is recorded by itself.
fn read(action: Action) -> Option<&'static str> {
    let text = action.as_str();
    (text.starts_with("read-") || text.starts_with("download-")).then_some(text)
}

/// Whether an error tells of this machine rather than of the request.
fn is_own_fault(error: &Error) -> bool {
    matches!(error.code(), code::CONTENDED | code::CONFLICT | code::INTERNAL | code::IO | code::RECORD_UNREADABLE)
        || (1_202..1_250).contains(&error.code().number())
        // Authorisation records its own.
        || matches!(error.code(), code::FORBIDDEN | code::AUTHORIZATION_SERVICE)
}
