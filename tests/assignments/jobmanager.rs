//! A JobManager in memory that speaks the plane, honest in itself: a case says what it is to say otherwise. It keeps what
//! the TaskManager does.

use super::authority::{Authority, Identity, Speaks};
use super::ledger::Ledger;
use super::papers::DOMAIN;
use super::wire::{Answer, Handler, Listener, Request};
use lockgate_core::placement::JobId;
use lockgate_core::plane::{
    Assignment, AuditHead, Certificate, HEADER, Heartbeat, Join, Joined, Known, Orders, Renew, Status, Task, Witness,
    jobmanager_uri, taskmanager_uri,
};
use lockgate_core::trust::Documents;
use lockgate_core::{Digest, Name};
use rustls::version::{TLS12, TLS13};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long whatever must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// For how long a heartbeat's answer is held back at most.
const HOLD: Duration = Duration::from_millis(100);
/// The most requests that are kept.
const MAX_SEEN: usize = 10_000;

/// What a case has it say: the honest answer becomes another one.
pub type Lie = Arc<dyn Fn(&Request, Answer) -> Answer + Send + Sync>;

pub struct JobManager {
    /// The API's listener, for joining, and the plane's.
    api: Listener,
    pub plane: Listener,
    /// The API's authority.
    pub ca: String,
    shared: Arc<Shared>,
}

struct Shared {
    authority: Arc<Authority>,
    server: Identity,
    state: Mutex<State>,
    changed: Condvar,
}

/// What it would say, and what it has seen.
#[derive(Default)]
pub struct State {
    pub revision: u64,
    pub lease_ms: u64,
    pub assignments: BTreeMap<JobId, Assignment>,
    pub documents: BTreeMap<Name, Documents>,
    pub bundles: BTreeMap<(Name, String), Vec<u8>>,
    pub ledgers: BTreeMap<JobId, Ledger>,
    pub audit: Option<AuditHead>,
    /// The records of the audit log that a TaskManager may ask about.
    pub known: BTreeMap<u64, Digest>,
    pub lie: Option<Lie>,
    /// The version that it says it speaks.
    pub version: String,
    /// Where the plane is.
    pub address: String,
    /// After how many seconds a TaskManager is to renew its certificate.
    pub renew_after: u64,
    /// The last heartbeat of whoever sent one, and how many came.
    pub heartbeat: Option<Heartbeat>,
    pub heartbeats: u64,
    /// All that was asked but heartbeats, since a case began.
    pub seen: Vec<Request>,
}

impl State {
    /// What the last heartbeat says of a job.
    pub fn task(&self, job: &JobId) -> Option<&Task> {
        self.heartbeat.as_ref()?.tasks.iter().find(|task| task.job == *job)
    }

    /// Gives new orders.
    pub fn order(&mut self, assignment: Assignment) {
        if let Some(ledger) = self.ledgers.get_mut(&assignment.job) {
            ledger.lease(assignment.epoch);
        }
        self.assignments.insert(assignment.job.clone(), assignment);
        self.revision += 1;
    }

    /// How often a route was asked for about a job.
    pub fn asked(&self, job: &JobId, route: &str) -> usize {
        let of = format!("/tenants/{}/", job.tenant);
        self.seen.iter().filter(|request| request.path.contains(&of) && request.route() == route).count()
    }
}

impl JobManager {
    pub fn start() -> Self {
        let authority = Arc::new(Authority::new("plane"));
        let server = authority.identity(&[&jobmanager_uri(&domain())]);
        let api = Authority::new("api");
        let of_api = api.identity(&[]);
        let (lease_ms, version) = (30_000, "1.0".to_owned());
        let state = Mutex::new(State { lease_ms, version, revision: 1, renew_after: 43_200, ..State::default() });
        let shared = Arc::new(Shared { authority, server, state, changed: Condvar::new() });
        let handler = |answer: fn(&Shared, &Request) -> Answer| -> Handler {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| shared.handle(&request, answer))
        };
        let speaks = Speaks { identity: &of_api, versions: &[&TLS12, &TLS13], clients: None };
        let api_listener = Listener::start(speaks.config(), handler(Shared::api));
        let plane = Listener::start(shared.good(), handler(Shared::plane));
        shared.lock().address = plane.address.to_string();
        Self { api: api_listener, plane, ca: api.pem, shared }
    }

    /// Where to join.
    pub fn url(&self) -> String {
        format!("https://{}", self.api.address)
    }

    /// The authority of the plane.
    pub fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// The same, to be kept.
    pub fn authority_again(&self) -> Arc<Authority> {
        Arc::clone(&self.shared.authority)
    }

    /// How it speaks TLS when it is honest.
    pub fn good(&self) -> Arc<rustls::ServerConfig> {
        self.shared.good()
    }

    /// Changes what it says; whoever waits for news hears of it.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.lock());
        self.shared.changed.notify_all();
        result
    }

    /// Has it say otherwise from now on.
    pub fn lie(&self, lie: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) {
        self.change(|state| state.lie = Some(Arc::new(lie)));
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// What was waited for and did not come about.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&State) -> Option<T>) -> Result<T, String> {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = look(&state) {
                return Ok(found);
            }
            let Some(left) = PATIENCE.checked_sub(begun.elapsed()) else {
                let seen: Vec<&str> = state.seen.iter().rev().take(5).map(|request| request.path.as_str()).collect();
                return Err(format!("{what} did not come about; last: {:?}, asked {seen:?}", state.heartbeat));
            };
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a status of a run under an epoch that ends it.
    ///
    /// # Errors
    /// If none comes.
    pub fn end(&self, assignment: &Assignment) -> Result<Status, String> {
        let Assignment { job, id, epoch, .. } = assignment;
        self.wait(&format!("the end of {job} under epoch {epoch}"), |state| {
            let task = state.task(job).filter(|task| (&task.id, &task.epoch) == (id, epoch))?;
            (!matches!(task.status, Status::Starting | Status::Running)).then(|| task.status.clone())
        })
    }

    /// Waits until `look`, which is about something else than this, finds something.
    ///
    /// # Errors
    /// What was waited for and did not come about.
    pub fn poll<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(found) = look() {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("{what} did not come about"))
    }

    /// Waits until this many further heartbeats have come.
    ///
    /// # Errors
    /// If they do not.
    pub fn beats(&self, count: u64) -> Result<(), String> {
        let before = self.change(|state| state.heartbeats);
        self.wait("a heartbeat", |state| (state.heartbeats >= before + count).then_some(()))
    }
}

pub fn domain() -> lockgate_core::trust::TrustDomain {
    DOMAIN.parse().expect("a domain")
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn good(&self) -> Arc<rustls::ServerConfig> {
        Speaks { identity: &self.server, versions: &[&TLS13], clients: Some(&self.authority) }.config()
    }

    /// The honest answer, and what a case makes of it.
    fn handle(&self, request: &Request, answer: fn(&Self, &Request) -> Answer) -> Answer {
        {
            let mut state = self.lock();
            if request.route() != "heartbeat" && state.seen.len() < MAX_SEEN {
                state.seen.push(request.clone());
                self.changed.notify_all();
            }
        }
        let answer = answer(self, request);
        let (lie, version) = {
            let state = self.lock();
            (state.lie.clone(), state.version.clone())
        };
        let answer = answer.header(HEADER, &version);
        match lie {
            Some(lie) => lie(request, answer),
            None => answer,
        }
    }

    fn api(&self, request: &Request) -> Answer {
        if request.path != lockgate_core::plane::path::JOIN {
            return Answer::problem(404, "LG1102");
        }
        let join: Join = request.json();
        let uri = taskmanager_uri(&domain(), &join.name);
        Answer::json(&Joined {
            certificate: self.certificate(self.authority.grant(&join.request, &[&uri])),
            name: join.name,
            authority: self.authority.pem.clone(),
            domain: domain().to_string(),
            plane: vec![self.lock().address.clone()],
        })
        .status(201)
    }

    fn plane(&self, request: &Request) -> Answer {
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match parts[..] {
            ["plane", "v1", "heartbeat"] => self.heartbeat(&request.json()),
            ["plane", "v1", "certificate"] => {
                let renew: Renew = request.json();
                let uri = taskmanager_uri(&domain(), &"tm".parse().expect("a name"));
                Answer::json(&self.certificate(self.authority.grant(&renew.request, &[&uri])))
            }
            ["plane", "v1", "tenants", tenant, "trust"] => {
                let state = self.lock();
                let documents = Name::new(tenant).ok().and_then(|tenant| state.documents.get(&tenant));
                documents.map_or_else(|| Answer::problem(404, "LG1412"), Answer::json)
            }
            ["plane", "v1", "tenants", tenant, "bundles", digest] => {
                let state = self.lock();
                let bundle = Name::new(tenant).ok().and_then(|tenant| state.bundles.get(&(tenant, digest.to_owned())));
                let bytes = |bundle: &Vec<u8>| Answer::bytes("application/x-tar", bundle.clone());
                bundle.map_or_else(|| Answer::problem(404, "LG1412"), bytes)
            }
            ["plane", "v1", "tenants", tenant, "jobs", job, what] => {
                let (Ok(tenant), Ok(name)) = (Name::new(tenant), Name::new(job)) else {
                    return Answer::problem(404, "LG1412");
                };
                let mut state = self.lock();
                let Some(ledger) = state.ledgers.get_mut(&JobId { tenant, name }) else {
                    return Answer::problem(404, "LG1412");
                };
                match what {
                    "open" => ledger.open(&request.json()),
                    "claim" => ledger.claim(&request.json()),
                    "commit" => ledger.commit(&request.json()),
                    "release" => ledger.release(&request.json()),
                    "report" => Answer::json(&serde_json::json!({})),
                    _ => Answer::problem(404, "LG1102"),
                }
            }
            _ => Answer::problem(404, "LG1102"),
        }
    }

    fn certificate(&self, chain: String) -> Certificate {
        Certificate { chain, renew_after_seconds: self.lock().renew_after }
    }

    /// Holds the answer back until there is something new, or a newer heartbeat.
    fn heartbeat(&self, heartbeat: &Heartbeat) -> Answer {
        let mut state = self.lock();
        state.heartbeats += 1;
        let own = state.heartbeats;
        state.heartbeat = Some(heartbeat.clone());
        self.changed.notify_all();
        let begun = Instant::now();
        let hold = HOLD.min(Duration::from_millis(heartbeat.wait_ms));
        while state.revision == heartbeat.revision && state.heartbeats == own && begun.elapsed() < hold {
            let left = hold.saturating_sub(begun.elapsed());
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let known = heartbeat.audit.map(|head| state.known.get(&head.sequence).copied().unwrap_or(head.hash));
        Answer::json(&Orders {
            revision: state.revision,
            lease_ms: state.lease_ms,
            assignments: state.assignments.values().cloned().collect(),
            audit: state.audit.map(|head| Witness { head, known: known.map(Known::Hash) }),
            cordoned: false,
        })
    }
}
