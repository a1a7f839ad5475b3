//! A TaskManager as a process of a cluster: joins, tells what is so, runs what it is told to as far as it may, and ends it in
//! time.
//!
//! It believes a JobManager in placement and nothing else (ADR 0019). The parts, in the order in which they come into play:
//!
//! - `state`, `clock`: what survives a restart, and the time
//! - `identity`, `join`, `tls`, `client`: how it comes to a certificate, and how it asks
//! - `heartbeat`, `table`, `lease`: facts up, orders down, and the end of what is over
//! - `admit`, `marks`, `bundles`: whether an assignment may run
//! - `task`, `record`, `told`, `figures`: running it
//! - `metrics`: showing figures to whoever may ask, if asked to
//! - `witness`: holding the JobManager to its audit log

mod admit;
mod bundles;
mod client;
mod clock;
mod figures;
mod heartbeat;
mod identity;
mod join;
mod lease;
mod marks;
mod metrics;
mod record;
mod state;
mod status;
mod table;
mod task;
mod tls;
mod told;
mod witness;

pub use status::{Status, status};

use crate::artefact_cache::ArtefactCache;
use crate::config::{Cluster, Config};
use crate::durable;
use crate::volume::Volumes;
use admit::Admitter;
use clock::{Clock, Moment};
use identity::Identity;
use lease::{Expire, LeaseTimer};
use lockgate_core::dsse::{Envelope, MAX_ENVELOPE};
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{AuditHead, Fence, Heartbeat, Offer, Orders, Witness as Told};
use lockgate_core::trust::{OperatorRoot, peek};
use lockgate_core::{Error, Name, Result, Timestamp};
use lockgate_executor::jail::{Policy, probe};
use lockgate_executor::{Compiler, Executors};
use marks::TenantMarks;
use metrics::{Facts, Listening};
use state::{Held, StateDir};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use table::{Outcome, Start, Table};
use tokio::runtime::Handle;
use tokio::sync::watch;
use witness::Witness;

/// How long what runs may take to commit and end when this process is to end.
const DRAIN: Duration = Duration::from_secs(30);
/// How long what was cut off may take to end.
const CUT_OFF: Duration = Duration::from_secs(10);

/// A TaskManager of a cluster.
pub struct Agent {
    admitter: Arc<Admitter>,
    executors: Executors,
    witness: Witness,
    session: String,
    name: Name,
    offer: Offer,
    max_lease: Duration,
    table: Mutex<Table>,
    /// Rises when there is something new to tell.
    changed: watch::Sender<u64>,
    timer: LeaseTimer,
    /// When the JobManager answered last.
    answered: Mutex<Option<Timestamp>>,
    runtime: Handle,
    this: Weak<Self>,
    _held: Held,
}

/// Runs a TaskManager until `stop` comes; what runs then commits and ends, within a bound. `ready` is called once it has
/// joined and begins to ask for orders.
///
/// # Errors
/// Why it cannot start: `LG0860` if the configuration names no cluster, `LG1420` to `LG1422` if it does not come to a
/// certificate, `LG083n` and `LG0850` for its state folder,
/// what `Listening::bind` says of its figures, `LG0802` for a volume, `LG092n` if a wall is missing.
pub async fn serve(config: &Config, stop: impl Future<Output = ()> + Send, ready: impl FnOnce()) -> Result<()> {
    let cluster = config.cluster.as_ref().ok_or_else(|| {
        let error = Error::new(code::INVALID_CONFIGURATION, "the configuration says nothing of a cluster");
        error.help("add [jobmanager] and [trust], or run a job on this machine with `lockgate run`")
    })?;
    let path = state_path(config)?;
    // What can be wrong here is found before a token is used up, and the folder is made by who has it to himself.
    let (state, held) = StateDir::open(&path)?;
    let listening = match &config.metrics {
        Some(settings) => Some(Listening::bind(settings, &path).await?),
        None => None,
    };
    let (agent, identity) = Agent::new(config, cluster, state, held).await?;
    let clock = Arc::clone(&agent.admitter.clock);
    ready();
    let (silence, silenced) = watch::channel(false);
    let shown = listening.map(|listening| tokio::spawn(listening.run(Weak::clone(&agent.this), silenced)));
    let renewing = join::renew(&agent.admitter.plane, agent.witness.state(), &clock, identity);
    let talking = heartbeat::talk(&agent, agent.changed.subscribe());
    tokio::pin!(renewing, talking, stop);
    tokio::select! {
        () = &mut renewing => {}
        () = &mut talking => {}
        () = &mut stop => {}
    }
    tracing::info!("stopping: what runs commits and ends");
    agent.close(false);
    let drained = async {
        tokio::select! {
            () = &mut talking => {}
            () = agent.until_idle() => {}
        }
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("what still runs is cut off");
        agent.close(true);
        drop(tokio::time::timeout(CUT_OFF, agent.until_idle()).await);
    }
    heartbeat::farewell(&agent).await;
    let _ = silence.send(true);
    if let Some(shown) = shown {
        let _ = shown.await;
    }
    Ok(())
}

impl Agent {
    /// Everything that a TaskManager needs, with nothing running yet.
    async fn new(config: &Config, cluster: &Cluster, state: StateDir, held: Held) -> Result<(Arc<Self>, Identity)> {
        let clock = Arc::new(Clock::open(&state)?);
        let pinned = pinned(&cluster.operator_root)?;
        let marks = TenantMarks::open(&state)?;
        let witness = Witness::open(&state)?;
        let volumes = Volumes::open(&config.volumes)?;
        let bundles = bundles::Bundles::open(&state, cluster.bundle_bytes)?;
        let cache = config.cache.clone().unwrap_or_else(|| state.path().join("cache"));
        let cache = ArtefactCache::open(&cache, config.cache_bytes)?;
        let memory = config.executor_memory.unwrap_or_else(own_memory);
        let executors = Executors::new(config.executors(config.slots, memory))?;
        let missing_walls = missing_walls(config.jail).await?;
        let identity = join::identity(cluster, &state, &clock).await?;
        let plane = client::Plane::new(&places(cluster, &identity)?, &identity, Arc::clone(&clock))?;
        let session = durable::random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let offer = Offer {
            slots: config.slots,
            memory,
            volumes: config.volumes.keys().cloned().collect(),
            program: env!("CARGO_PKG_VERSION").into(),
            missing_walls,
        };
        let admitter = Admitter {
            pinned,
            domain: cluster.domain.clone(),
            plane: Arc::new(plane),
            clock,
            marks,
            bundles,
            volumes,
            compiler: Compiler::new().with_policy(config.jail),
            cache,
            tenants: Mutex::default(),
        };
        let timer = LeaseTimer::new()?;
        let agent = Arc::new_cyclic(|this| Self {
            admitter: Arc::new(admitter),
            executors,
            witness,
            session,
            name: identity.name.clone(),
            offer,
            max_lease: cluster.max_lease,
            table: Mutex::new(Table::new(config.slots)),
            changed: watch::Sender::new(0),
            timer,
            answered: Mutex::default(),
            runtime: Handle::current(),
            this: this.clone(),
            _held: held,
        });
        let weak: Weak<dyn Expire> = agent.this.clone();
        agent.timer.watch(weak)?;
        Ok((agent, identity))
    }

    /// What is so.
    fn heartbeat(&self, sequence: u64, wait: Duration, audit: Option<AuditHead>) -> Heartbeat {
        let table = self.lock();
        let mut offer = self.offer.clone();
        if table.closing() {
            offer.slots = 0;
        }
        Heartbeat {
            session: self.session.clone(),
            sequence,
            revision: table.revision(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or_default(),
            offer,
            tasks: table.report(),
            audit,
        }
    }

    /// What it knows of itself, for whoever asks for figures.
    fn facts(&self) -> Facts {
        let tasks = self.lock().shown();
        Facts {
            name: self.name.to_string(),
            slots: self.offer.slots,
            memory: self.offer.memory,
            missing_walls: self.offer.missing_walls.len(),
            expires: self.admitter.plane.expires(),
            answered: *self.answered.lock().unwrap_or_else(PoisonError::into_inner),
            now: self.admitter.clock.now(),
            audit: self.witness.head().map(|head| head.sequence),
            contradictions: self.witness.found(),
            tasks,
        }
    }

    /// The JobManager has answered.
    fn note_answer(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.admitter.clock.now());
    }

    /// Takes the orders that answer the heartbeat of `sent`.
    fn take(&self, orders: Orders, sent: Moment) -> Result<()> {
        let lease = Duration::from_millis(orders.lease_ms).min(self.max_lease);
        let starts = {
            let mut table = self.lock();
            self.admitter.forget_others(orders.assignments.iter().map(|assignment| &assignment.job));
            let starts = table.apply(orders, sent.plus(lease), Moment::now())?;
            self.timer.set(table.expire(Moment::now()));
            starts
        };
        self.start(starts);
        Ok(())
    }

    /// What this process names a lease by.
    fn fence(&self, id: &str, epoch: u64) -> Fence {
        Fence { id: id.to_owned(), epoch, session: self.session.clone() }
    }

    /// Ends all that runs: another process has the place of this one. It goes on asking, and is refused, until somebody ends
    /// it: if it ended by itself, whoever watches over it would start it again, and it would take the place from the other.
    fn replaced(&self, error: &Error) {
        tracing::error!(code = %error.code(), %error, "another process has the place of this one: what runs here ends, and nothing starts any more");
        self.lock().give_up();
        self.tell();
    }

    fn witnessed(&self, told: &Told, asked: Option<AuditHead>) {
        if let Err(error) = self.witness.take(told, asked, self.admitter.clock.now()) {
            tracing::error!(code = %error.code(), %error, "the JobManager's audit log");
        }
    }

    fn start(&self, starts: Vec<Start>) {
        for start in starts {
            let Some(this) = self.this.upgrade() else { return };
            self.runtime.spawn(task::run(this, start));
        }
    }

    fn running(&self, job: &JobId, id: &str, epoch: u64) {
        self.lock().running(job, id, epoch);
        self.tell();
    }

    fn refuse(&self, job: &JobId, id: &str, epoch: u64, error: Error) {
        tracing::warn!(tenant = %job.tenant, job = %job.name, code = %error.code(), %error, "may not run any longer");
        self.lock().refuse(job, id, epoch, error);
    }

    fn ended(&self, job: &JobId, id: &str, epoch: u64, outcome: Outcome) {
        let starts = {
            let (mut table, now) = (self.lock(), Moment::now());
            let starts = table.ended(job, id, epoch, outcome, now);
            // What begins in its place has a lease, too.
            self.timer.set(table.expire(now));
            starts
        };
        self.start(starts);
        self.tell();
    }

    /// Lets nothing start any more; with `cut_off` what runs does not even commit.
    fn close(&self, cut_off: bool) {
        let mut table = self.lock();
        if cut_off {
            table.cut_off()
        } else {
            table.close()
        }
        drop(table);
        self.tell();
    }

    async fn until_idle(&self) {
        let mut changed = self.changed.subscribe();
        while !self.lock().idle() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn tell(&self) {
        self.changed.send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expire for Agent {
    fn expire(&self, now: Moment) -> Option<Moment> {
        self.lock().expire(now)
    }
}

/// The state folder of a TaskManager of a cluster.
fn state_path(config: &Config) -> Result<std::path::PathBuf> {
    config.state.clone().ok_or_else(|| {
        let error = Error::new(code::INVALID_CONFIGURATION, "the configuration has no `state`");
        error.help("add `state = …`: a folder for what must survive a restart, of this TaskManager alone")
    })
}

/// Where the plane is: by the configuration, or else by what joining said.
fn places(cluster: &Cluster, identity: &Identity) -> Result<Vec<(String, u16)>> {
    if !cluster.plane.is_empty() {
        return Ok(cluster.plane.clone());
    }
    identity.plane.iter().map(|place| crate::config::host_port(place)).collect()
}

/// The operator root that the configuration pins.
fn pinned(path: &Path) -> Result<Envelope> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| Error::new(code::IO, format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_ENVELOPE as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let place = || path.display().to_string();
    let envelope = Envelope::parse(&bytes).map_err(|error| error.at(place()))?;
    peek::<OperatorRoot>(&envelope).map_err(|error| error.at(place()))?;
    Ok(envelope)
}

/// The walls that are required and do not stand on this machine, if the operator lets it go on without.
async fn missing_walls(policy: Policy) -> Result<Vec<String>> {
    let report = admit::blocking(probe).await?;
    let missing = report.walls.iter().filter(|wall| wall.required && !wall.stands);
    let missing: Vec<String> = missing.map(|wall| wall.name.to_owned()).collect();
    if missing.is_empty() || policy == Policy::BestEffort {
        return Ok(missing);
    }
    let cause = format!("this machine cannot raise every wall that is required: {}", missing.join(", "));
    Err(Error::new(code::WALLS_MISSING, cause).help("`lockgate doctor` says what to change"))
}

/// Three quarters of this machine's memory: the rest is for the TaskManager itself and what the system keeps of files.
fn own_memory() -> u64 {
    let system = rustix::system::sysinfo();
    let total = system.totalram.saturating_mul(u64::from(system.mem_unit.max(1)));
    (total / 4 * 3).max(256 << 20)
}
