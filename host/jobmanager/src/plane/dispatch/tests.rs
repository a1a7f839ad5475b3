//! A JobManager and TaskManagers that speak the messages of the plane and do nothing else: the routes, the keeper and the
//! store are the real ones.

mod ends;
mod reports;
mod sessions;

use super::*;
use crate::control::Keeper;
use crate::model::job::Job;
use crate::model::{self, taskmanager};
use crate::plane::Peer;
use crate::service::Change;
use crate::service::changes::Precondition;
use crate::service::jobs::{Ask, Upgrade};
use crate::world::{World, deployer, draft, keys, name, operator, viewer};
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use lockgate_core::Digest;
use lockgate_core::job_state::State;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{Assignment, AuditHead, Heartbeat, Known, Offer, Orders, Status, Task};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use tower::ServiceExt as _;

/// A JobManager with its keeper.
pub(crate) struct Cluster {
    pub world: World,
    pub dispatch: Arc<Dispatch>,
    pub keeper: Keeper,
}

/// A TaskManager that says that it does what it is told.
#[derive(Clone)]
pub(crate) struct FakeTaskManager {
    pub name: Name,
    pub heartbeat: Heartbeat,
}

pub(crate) type Refused = (StatusCode, String);

/// Makes a TaskManager one that has joined.
async fn enlist(world: &World, peer: &str, state: taskmanager::State) {
    let joined = world.now();
    let (certificates, joined_by) = (Vec::new(), "a-token".to_owned());
    let sessions = Vec::new();
    let record = taskmanager::TaskManager { name: name(peer), joined, joined_by, state, certificates, sessions };
    let mut change = Change::default();
    change.set(model::keys::taskmanager(&name(peer)), &record).unwrap();
    world.service.records().commit(change).await.unwrap();
}

pub(crate) async fn send<T: DeserializeOwned>(
    router: Router,
    peer: &Name,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, Refused> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.map_or_else(Body::empty, |body| Body::from(serde_json::to_vec(body).unwrap()));
    let request = Request::builder().method(method).uri(path).extension(Peer { name: peer.clone() }).body(body);
    let response = router.oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
    if status == StatusCode::OK {
        return Ok(serde_json::from_slice(&bytes).unwrap());
    }
    let problem: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    Err((status, problem["code"].as_str().unwrap_or_default().to_owned()))
}

impl Cluster {
    pub async fn new() -> Self {
        let world = World::empty().await;
        world.tenant("acme").await;
        for peer in ["t1", "t2"] {
            enlist(&world, peer, taskmanager::State::Active).await;
        }
        let (dispatch, keeper) = Self::over(Arc::clone(&world.service));
        world.pass(1);
        Self { world, dispatch, keeper }
    }

    fn over(service: Arc<Service>) -> (Arc<Dispatch>, Keeper) {
        let dispatch = Arc::new(Dispatch::new(service));
        (Arc::clone(&dispatch), Keeper::over(dispatch))
    }

    /// The JobManager is killed and starts: what is stored is all it knows.
    pub async fn restart(&mut self) {
        (self.dispatch, self.keeper) = Self::over(Arc::new(self.world.reopened().await));
        self.world.pass(1);
    }

    pub fn router(&self) -> Router {
        router(Arc::clone(&self.dispatch))
    }

    pub async fn rounds(&mut self) {
        for _ in 0..3 {
            self.keeper.round().await.unwrap();
        }
    }

    pub async fn job(&self, job: &str) -> Job {
        self.world.service.job(&viewer("acme"), &name("acme"), &name(job)).await.unwrap().0.record
    }

    pub async fn state(&self, job: &str) -> State {
        self.job(job).await.state()
    }

    pub async fn beat(&self, of: &mut FakeTaskManager) -> Result<Orders, Refused> {
        of.heartbeat.sequence += 1;
        let orders: Orders = send(self.router(), &of.name, path::HEARTBEAT, Some(&of.heartbeat)).await?;
        of.heartbeat.revision = orders.revision;
        Ok(orders)
    }

    /// The TaskManager says what is so, the keeper looks, and the TaskManager does what it is told.
    pub async fn step(&mut self, of: &mut FakeTaskManager) {
        let _ = self.beat(of).await;
        self.rounds().await;
        let orders = self.beat(of).await.unwrap();
        of.obey(&orders);
    }

    /// A job that runs on a TaskManager of so many slots.
    pub async fn running(job: &str, slots: u32) -> (Self, FakeTaskManager) {
        let mut cluster = Self::new().await;
        cluster.world.job("acme", job).await;
        let mut t1 = FakeTaskManager::new("t1", slots);
        cluster.step(&mut t1).await;
        cluster.step(&mut t1).await;
        assert_eq!(cluster.state(job).await, State::Running);
        (cluster, t1)
    }
}

impl FakeTaskManager {
    pub fn new(text: &str, slots: u32) -> Self {
        let offer = Offer {
            slots,
            memory: 64 << 30,
            volumes: [name("flights"), name("results")].into(),
            program: "0.1.0".to_owned(),
            missing_walls: Vec::new(),
        };
        let session = "0123456789abcdef".repeat(2);
        let heartbeat =
            Heartbeat { session, sequence: 0, revision: 0, wait_ms: 0, offer, tasks: Vec::new(), audit: None };
        Self { name: name(text), heartbeat }
    }

    pub fn obey(&mut self, orders: &Orders) {
        self.heartbeat.tasks = orders.assignments.iter().map(task).collect();
    }

    fn say(&mut self, status: &Status) {
        self.heartbeat.tasks.iter_mut().for_each(|task| task.status = status.clone());
    }
}

fn task(assignment: &Assignment) -> Task {
    Task {
        job: assignment.job.clone(),
        id: assignment.id.clone(),
        epoch: assignment.epoch,
        slots: assignment.slots,
        release: assignment.release,
        draining: assignment.drain,
        status: if assignment.slots == 0 { Status::Ended } else { Status::Running },
        operators: BTreeMap::new(),
    }
}

pub(crate) fn late() -> JobId {
    JobId { tenant: name("acme"), name: name("late") }
}

#[tokio::test]
async fn a_job_is_told_with_all_that_it_needs_and_driven_to_its_end() {
    let mut cluster = Cluster::new().await;
    let fuel = [(crate::fair_use::Kind::FuelPerSecond, 3_200)].into();
    let set = cluster.world.service.set_quota(&operator(), &name("acme"), &fuel, Precondition::Unstated).await;
    set.unwrap();
    let package = cluster.world.job("acme", "late").await;
    let (mut t1, mut t2) = (FakeTaskManager::new("t1", 3), FakeTaskManager::new("t2", 3));
    assert_eq!(cluster.beat(&mut t1).await.unwrap_err(), (StatusCode::SERVICE_UNAVAILABLE, "LG1066".to_owned()));
    cluster.beat(&mut t2).await.unwrap_err();
    cluster.rounds().await;
    let (one, two) = (cluster.beat(&mut t1).await.unwrap(), cluster.beat(&mut t2).await.unwrap());
    let ([a], [b]) = (one.assignments.as_slice(), two.assignments.as_slice()) else {
        panic!("{one:?} {two:?}");
    };
    let job = cluster.job("late").await;
    assert_eq!((a.parallelism, a.slots + b.slots, a.first, b.first), (4, 4, 0, a.slots));
    assert_eq!((&a.job, a.epoch, a.id.as_str()), (&late(), job.execution.epoch, job.id.as_str()));
    assert_eq!((a.bundle, a.release), (job.deployment.bundle, package.release().unwrap()));
    assert!(a.documents > 0 && !a.drain && a.fallback_of.is_none() && one.lease_ms == 30_000);
    // What each of the 32 slots may use that the tenant may have.
    assert_eq!(a.fuel_per_second, Some(100));
    t1.obey(&one);
    t2.obey(&two);
    t2.say(&Status::Starting);
    cluster.beat(&mut t1).await.unwrap();
    cluster.beat(&mut t2).await.unwrap();
    cluster.rounds().await;
    assert_eq!(cluster.state("late").await, State::Created, "one is still starting");
    t2.say(&Status::Running);
    cluster.beat(&mut t2).await.unwrap();
    cluster.rounds().await;
    assert_eq!(cluster.state("late").await, State::Running);
    for of in [&mut t1, &mut t2] {
        cluster.open(of, &[]).await;
        of.say(&Status::Finished);
        cluster.beat(of).await.unwrap();
    }
    cluster.rounds().await;
    for of in [&mut t1, &mut t2] {
        let orders = cluster.beat(of).await.unwrap();
        assert_eq!((orders.assignments[0].slots, orders.assignments[0].epoch), (0, job.execution.epoch + 1));
        of.obey(&orders);
        cluster.beat(of).await.unwrap();
    }
    cluster.rounds().await;
    assert_eq!(cluster.state("late").await, State::Finished);
    assert!(cluster.beat(&mut t1).await.unwrap().assignments.is_empty());
}

#[tokio::test]
async fn an_answer_is_held_back_until_there_is_something_new() {
    let mut cluster = Cluster::new().await;
    let mut t1 = FakeTaskManager::new("t1", 4);
    cluster.step(&mut t1).await;
    // Nothing is to be done: the answer waits for the job, and is not given by time.
    t1.heartbeat.wait_ms = u64::MAX;
    let mut waiting = t1.clone();
    let router = cluster.router();
    waiting.heartbeat.sequence += 1;
    let answer = tokio::spawn(async move {
        send::<Orders>(router, &waiting.name, path::HEARTBEAT, Some(&waiting.heartbeat)).await.unwrap()
    });
    cluster.world.job("acme", "late").await;
    cluster.rounds().await;
    let orders = answer.await.unwrap();
    assert_eq!(orders.assignments.len(), 1);
    assert_ne!(orders.revision, t1.heartbeat.revision);
    // A later heartbeat lets go of the one before, though there is nothing new.
    let mut before = t1.clone();
    (before.heartbeat.sequence, before.heartbeat.revision) = (t1.heartbeat.sequence + 2, orders.revision);
    let mut after = before.clone();
    (after.heartbeat.sequence, after.heartbeat.wait_ms) = (before.heartbeat.sequence + 1, 0);
    let mut held = Box::pin(send::<Orders>(cluster.router(), &before.name, path::HEARTBEAT, Some(&before.heartbeat)));
    let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(held.as_mut().poll(cx).is_pending()));
    assert!(pending.await);
    send::<Orders>(cluster.router(), &after.name, path::HEARTBEAT, Some(&after.heartbeat)).await.unwrap();
    held.await.unwrap();
}

#[tokio::test]
async fn whoever_is_told_is_noted_before_and_whoever_is_silent_is_told_nothing() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    cluster.world.pass(4);
    cluster.beat(&mut t1).await.unwrap();
    assert_eq!(cluster.dispatch.fleet().observed(&t1.name).unwrap().told, cluster.world.service.millis());
    cluster.world.pass(11);
    cluster.rounds().await;
    let refused = cluster.beat(&mut t1).await.unwrap_err();
    assert_eq!(refused.1, "LG1066", "its leases were renewed before the keeper has looked");
    cluster.rounds().await;
    assert_eq!(cluster.beat(&mut t1).await.unwrap().assignments.len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_ends_no_lease_and_keeps_none_alive() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    let epoch = cluster.job("late").await.execution.epoch;
    for ahead in [3_600, -7_200, 0] {
        cluster.world.set_clock(ahead);
        cluster.rounds().await;
        let job = cluster.job("late").await;
        assert_eq!((job.state(), job.execution.epoch), (State::Running, epoch), "{ahead} s ahead");
        cluster.world.pass(5);
        cluster.step(&mut t1).await;
        let service = &cluster.world.service;
        let kept = service.taskmanager(&operator(), &t1.name).await.unwrap();
        assert_eq!(service.shown(kept.record).heard, Some(cluster.world.now()), "{ahead} s ahead");
    }
    // From here on nobody hears of it.
    cluster.world.set_clock(-7_200);
    for _ in 0..12 {
        cluster.world.pass(5);
        cluster.rounds().await;
    }
    let job = cluster.job("late").await;
    assert_eq!(job.execution.failure.map(|failure| failure.code).as_deref(), Some("LG1304"), "{}", job.execution.epoch);
}

#[tokio::test]
async fn what_runs_under_the_present_epoch_is_taken_up_again_by_a_new_jobmanager() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    let epoch = cluster.job("late").await.execution.epoch;
    cluster.restart().await;
    cluster.rounds().await;
    assert_eq!(cluster.state("late").await, State::Reconciling, "nobody has been asked yet");
    let former = t1.heartbeat.revision;
    let _ = cluster.beat(&mut t1).await;
    cluster.rounds().await;
    let orders = cluster.beat(&mut t1).await.unwrap();
    assert_ne!(orders.revision, former, "a revision of the process before says nothing");
    let job = cluster.job("late").await;
    assert_eq!((job.state(), job.execution.epoch), (State::Running, epoch));
    assert_eq!(orders.assignments[0].epoch, epoch);
    // One that has lost its tasks meanwhile is another matter.
    cluster.restart().await;
    cluster.rounds().await;
    t1.heartbeat.tasks.clear();
    for _ in 0..4 {
        cluster.world.pass(1);
        cluster.step(&mut t1).await;
    }
    let job = cluster.job("late").await;
    assert!(job.execution.epoch > epoch, "{:?}", job.execution);
}

#[tokio::test]
async fn other_jobs_stay_where_they_are_while_a_taskmanager_is_still_to_be_heard_of() {
    let mut cluster = Cluster::new().await;
    cluster.world.job("acme", "late").await;
    let mut t1 = FakeTaskManager::new("t1", 4);
    cluster.step(&mut t1).await;
    cluster.step(&mut t1).await;
    cluster.world.job("acme", "early").await;
    let mut t2 = FakeTaskManager::new("t2", 4);
    for _ in 0..3 {
        cluster.step(&mut t2).await;
        cluster.step(&mut t1).await;
    }
    let epochs = |jobs: [Job; 2]| jobs.map(|job| (job.state(), job.execution.holds.unwrap().placed.lease.epoch));
    let before = epochs([cluster.job("late").await, cluster.job("early").await]);
    cluster.restart().await;
    cluster.rounds().await;
    cluster.step(&mut t1).await;
    cluster.step(&mut t1).await;
    cluster.step(&mut t2).await;
    cluster.rounds().await;
    assert_eq!(epochs([cluster.job("late").await, cluster.job("early").await]), before);
}

#[tokio::test]
async fn a_heartbeat_that_comes_late_changes_nothing() {
    let (cluster, t1) = Cluster::running("late", 4).await;
    let mut late = t1.clone();
    (late.heartbeat.sequence, late.heartbeat.tasks) = (0, Vec::new());
    cluster.beat(&mut late).await.unwrap();
    assert_eq!(cluster.dispatch.fleet().observed(&t1.name).unwrap().tasks.len(), 1);
}

#[tokio::test]
async fn what_is_no_heartbeat_is_refused() {
    let cluster = Cluster::new().await;
    let good = FakeTaskManager::new("t1", 4).heartbeat;
    let mut bad = vec![good.clone(); 3];
    bad[0].session = "short".to_owned();
    bad[1].offer.slots = u32::MAX;
    let assignment = |index: usize| Task {
        job: JobId { tenant: name("acme"), name: name(&format!("j{index}")) },
        id: String::new(),
        epoch: 1,
        slots: 1,
        release: lockgate_core::statement::Release { version: 1, digest: Digest::of(b"") },
        draining: false,
        status: Status::Running,
        operators: BTreeMap::new(),
    };
    bad[2].tasks = (0..=lockgate_core::plane::MAX_TASKS).map(assignment).collect();
    for heartbeat in bad {
        let refused = send::<Orders>(cluster.router(), &name("t1"), path::HEARTBEAT, Some(&heartbeat)).await;
        assert_eq!(refused.unwrap_err(), (StatusCode::BAD_REQUEST, "LG1405".to_owned()));
    }
    let refused = send::<Orders>(cluster.router(), &name("t1"), path::HEARTBEAT, Some(&"x")).await;
    assert_eq!(refused.unwrap_err().1, "LG1405");
    let large = "x".repeat(lockgate_core::plane::MAX_ORDERS);
    let refused = send::<Orders>(cluster.router(), &name("t1"), path::HEARTBEAT, Some(&large)).await;
    assert_eq!(refused.unwrap_err().1, "LG1405");
    let request = Request::post(path::HEARTBEAT).body(Body::from(serde_json::to_vec(&good).unwrap())).unwrap();
    assert_eq!(cluster.router().oneshot(request).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn tasks_that_nobody_was_given_count_nowhere() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    let before = cluster.job("late").await;
    let mut t2 = FakeTaskManager::new("t2", 4);
    t2.heartbeat.tasks = t1.heartbeat.tasks.clone();
    t2.say(&Status::Failed(lockgate_core::plane::Failure {
        code: "LG0601".to_owned(),
        cause: "it says so".to_owned(),
        permanent: true,
    }));
    cluster.step(&mut t2).await;
    cluster.step(&mut t1).await;
    assert_eq!(cluster.job("late").await.execution, before.execution);
    assert!(t2.heartbeat.tasks.is_empty(), "it is told to end them");
}

#[tokio::test]
async fn documents_and_bundles_are_for_whom_something_is_placed_on() {
    let (cluster, t1) = Cluster::running("late", 4).await;
    let bundle = cluster.job("late").await.deployment.bundle;
    let trust = "/plane/v1/tenants/acme/trust";
    let of = |digest: &Digest| format!("/plane/v1/tenants/acme/bundles/{digest}");
    let none = None::<&()>;
    let documents = send::<lockgate_core::trust::Documents>(cluster.router(), &t1.name, trust, none).await.unwrap();
    assert_eq!(documents.operator_roots.len(), 1);
    let request = Request::get(of(&bundle)).extension(Peer { name: t1.name.clone() }).body(Body::empty()).unwrap();
    let response = cluster.router().oneshot(request).await.unwrap();
    let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap();
    assert_eq!(Digest::of(&bytes), bundle);
    let missing = Err((StatusCode::NOT_FOUND, "LG1412".to_owned()));
    let value = |peer: &'static str, path: String| {
        let router = cluster.router();
        async move { send::<serde_json::Value>(router, &name(peer), &path, None::<&()>).await }
    };
    for (peer, path) in [
        ("t2", trust.to_owned()),
        ("t2", of(&bundle)),
        ("t1", "/plane/v1/tenants/other/trust".to_owned()),
        ("t1", of(&Digest::of(b"another"))),
        ("t1", "/plane/v1/tenants/acme/bundles/x".to_owned()),
    ] {
        assert_eq!(value(peer, path.clone()).await, missing, "{peer} {path}");
    }
    // Another bundle of the same tenant, which no job runs.
    let other = crate::world::package("acme", "early", 1, None, cluster.world.now());
    let other = cluster.world.upload("acme", "early", &other).await;
    assert_eq!(value("t1", of(&other)).await, missing);
}

#[tokio::test]
async fn a_fallback_is_told_with_what_it_falls_back_from() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    let old = cluster.job("late").await.deployment;
    let first = crate::world::package("acme", "late", 1, None, cluster.world.now());
    let mut next = draft("acme", "late", 2, cluster.world.now());
    next.fallback = vec![old.release];
    let mut second = next.package(Some(&first)).unwrap();
    second.envelope.sign(&keys(&name("acme")).signer).unwrap();
    let new = cluster.world.upload("acme", "late", &second).await;
    for (bundle, fallback) in [(new, false), (old.bundle, true)] {
        let upgrade = Upgrade {
            bundle: Some(bundle),
            fallback,
            restart: false,
            parameters: None,
            parallelism: None,
            fuel: None,
            weight: None,
        };
        let (acme, late, any) = (name("acme"), name("late"), Precondition::Unstated);
        cluster.world.service.upgrade_job(&deployer("acme"), &acme, &late, &upgrade, any).await.unwrap();
        for _ in 0..3 {
            cluster.step(&mut t1).await;
        }
        let orders = cluster.beat(&mut t1).await.unwrap();
        let assignment = &orders.assignments[0];
        assert_eq!((assignment.bundle, assignment.fallback_of), (bundle, Some(new).filter(|_| fallback)));
        for digest in [Some(bundle), assignment.fallback_of].into_iter().flatten() {
            let path = format!("/plane/v1/tenants/acme/bundles/{digest}");
            let request = Request::get(path).extension(Peer { name: t1.name.clone() }).body(Body::empty()).unwrap();
            assert_eq!(cluster.router().oneshot(request).await.unwrap().status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn the_operator_says_what_may_be_placed_and_how_much_a_tenant_counts() {
    let (mut cluster, mut t1) = Cluster::running("late", 4).await;
    enlist(&cluster.world, "t1", taskmanager::State::Cordoned).await;
    assert!(cluster.beat(&mut t1).await.unwrap().cordoned);
    cluster.rounds().await;
    assert_eq!(cluster.beat(&mut t1).await.unwrap().assignments.len(), 1, "what is there stays");
    enlist(&cluster.world, "t1", taskmanager::State::Draining).await;
    for _ in 0..3 {
        cluster.step(&mut t1).await;
    }
    assert!(cluster.beat(&mut t1).await.unwrap().assignments.is_empty());
    let weight = [(crate::fair_use::Kind::Weight, 7)].into();
    let (service, acme) = (&cluster.world.service, name("acme"));
    service.set_quota(&crate::world::operator(), &acme, &weight, Precondition::Unstated).await.unwrap();
    assert_eq!(service.quota_of(&acme).await.unwrap().weight(), 7);
}

#[tokio::test]
async fn taskmanagers_are_witnesses_of_the_audit_log() {
    let (cluster, mut t1) = Cluster::running("late", 4).await;
    let first = cluster.beat(&mut t1).await.unwrap().audit.unwrap();
    assert_eq!(first.known, None);
    let (lines, last) = cluster.world.service.records().audit(0, 10_000).await.unwrap();
    let record = crate::audit::Record::parse(lines.last().unwrap()).unwrap();
    assert_eq!((first.head.sequence, first.head.hash), (last, record.hash));
    t1.heartbeat.audit = Some(first.head);
    let ask = (name("acme"), name("late"), Precondition::Unstated);
    cluster.world.service.ask(&deployer("acme"), &ask.0, &ask.1, Ask::Stop, ask.2).await.unwrap();
    let next = cluster.beat(&mut t1).await.unwrap().audit.unwrap();
    assert!(next.head.sequence > first.head.sequence);
    assert_eq!(next.known, Some(Known::Hash(first.head.hash)));
    t1.heartbeat.audit = Some(AuditHead { sequence: u64::MAX, hash: first.head.hash });
    assert_eq!(cluster.beat(&mut t1).await.unwrap().audit.unwrap().known, None, "a log that was cut off");
}

/// Nothing that needs a time: a job that is new is told as soon as the keeper has looked twice.
#[tokio::test]
async fn a_keeper_that_runs_follows_at_once() {
    let cluster = Cluster::new().await;
    let Cluster { world, dispatch, keeper } = cluster;
    let going = tokio::spawn(keeper.run());
    let mut t1 = FakeTaskManager::new("t1", 4);
    let cluster = Cluster { world, keeper: Keeper::over(Arc::clone(&dispatch)), dispatch };
    t1.heartbeat.wait_ms = u64::MAX;
    while cluster.beat(&mut t1).await.is_err() {}
    cluster.world.job("acme", "late").await;
    loop {
        let orders = cluster.beat(&mut t1).await.unwrap();
        t1.obey(&orders);
        if !orders.assignments.is_empty() {
            break;
        }
    }
    let mut work = cluster.world.service.records().work();
    let _ =
        cluster.beat(&mut FakeTaskManager { heartbeat: Heartbeat { wait_ms: 0, ..t1.heartbeat.clone() }, ..t1 }).await;
    while cluster.state("late").await != State::Running {
        work.changed().await.unwrap();
    }
    going.abort();
}
