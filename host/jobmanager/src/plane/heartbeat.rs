//! Heartbeats: what a TaskManager says becomes facts, and its answer is held back until there is something new to tell it.

use super::answer::{Answer, read};
use super::dispatch::Dispatch;
use super::mailbox::Standing;
use super::{About, Peer};
use crate::audit::Event;
use crate::model::{self, Kept, keys};
use crate::reconcile::{self, Observed};
use crate::service::Change;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use lockgate_core::error::code;
use lockgate_core::placement::{Availability, Lease, TaskManager};
use lockgate_core::plane::{self, AuditHead, Heartbeat, Known, MAX_ORDERS, MAX_TASKS, Orders, Status, Witness};
use lockgate_core::{Error, Name, Result, UnixMillis};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The most volumes that a TaskManager offers.
const MAX_VOLUMES: usize = 1_024;
/// The most slots that a TaskManager offers.
const MAX_SLOTS: u32 = 65_536;
/// The longest text of a TaskManager's that is kept, in characters.
const MAX_TEXT: usize = 500;

/// Takes a heartbeat.
pub(super) async fn heartbeat(State(dispatch): State<Arc<Dispatch>>, request: Request) -> Response {
    let answer = async {
        let (peer, heartbeat) = read::<Heartbeat>(request, MAX_ORDERS).await?;
        check(&heartbeat)?;
        dispatch.beat(&peer, heartbeat).await
    };
    Answer(answer.await).into_response()
}

/// Refuses what no TaskManager says.
fn check(heartbeat: &Heartbeat) -> Result<()> {
    let refuse = |why: String| Err(Error::new(code::PLANE_MESSAGE, format!("a heartbeat {why}")));
    let session = &heartbeat.session;
    if session.len() != 32 || !session.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return refuse("has no session of 32 hexadecimal digits".to_owned());
    }
    if heartbeat.tasks.len() > MAX_TASKS {
        return refuse(format!("names {} tasks, at most {MAX_TASKS} are taken", heartbeat.tasks.len()));
    }
    let jobs: BTreeSet<_> = heartbeat.tasks.iter().map(|task| &task.job).collect();
    if jobs.len() != heartbeat.tasks.len() {
        return refuse("names a job twice".to_owned());
    }
    let offer = &heartbeat.offer;
    if offer.volumes.len() > MAX_VOLUMES || offer.slots > MAX_SLOTS {
        return refuse(format!("offers {} slots and {} volumes", offer.slots, offer.volumes.len()));
    }
    Ok(())
}

impl Dispatch {
    async fn beat(&self, peer: &Peer, heartbeat: Heartbeat) -> Result<Orders> {
        let name = &peer.name;
        let wait = Duration::from_millis(heartbeat.wait_ms);
        let wait = wait.min(self.settings.silence / 3).min(self.settings.rules.lease / 3);
        let deadline = Instant::now() + wait;
        let (session, sequence) = (heartbeat.session.clone(), heartbeat.sequence);
        let (standing, mut changed) = self.enter(name, &session, sequence).await?;
        match standing {
            Standing::Late => {
                tracing::debug!(taskmanager = %name, sequence, "a heartbeat was overtaken by a later one")
            }
            Standing::Newest { first } => {
                self.note(peer, &heartbeat).await?;
                if first {
                    self.note_walls(peer, &heartbeat.offer.missing_walls).await;
                }
            }
            Standing::Former | Standing::Unknown => {
                self.note_two(peer).await;
                return Err(replaced(name));
            }
        }
        self.meters.note(&self.service, name, &heartbeat.tasks).await;
        loop {
            changed.borrow_and_update();
            let due = self.mailboxes.due(name, &session, sequence);
            let is_new = due.revision.is_some_and(|revision| revision != heartbeat.revision);
            if due.superseded || is_new || timeout_at(deadline, changed.changed()).await.is_err() {
                break;
            }
        }
        let audit = self.witness(heartbeat.audit).await?;
        if self.mailboxes.is_former(name, &session) {
            return Err(replaced(name));
        }
        // Before it is told: whoever reads what was told last has to see this.
        let now = self.service.steady();
        let mut cordoned = false;
        self.fleet.update(name, |seen| {
            if let Some(seen) = seen {
                seen.told = now;
                cordoned = seen.offer.state != Availability::Active;
            }
        });
        let not_yet = || Error::new(code::BUSY, "nobody has decided yet what this TaskManager is to run");
        let (revision, assignments) = self.mailboxes.take(name, &session).ok_or_else(not_yet)?;
        let lease_ms = u64::try_from(self.settings.rules.lease.as_millis()).unwrap_or(u64::MAX);
        Ok(Orders { revision, lease_ms, assignments, audit: Some(audit), cordoned })
    }

    /// What a heartbeat is, once its session is registered.
    async fn enter(&self, name: &Name, session: &str, sequence: u64) -> Result<(Standing, watch::Receiver<u64>)> {
        let entered = self.mailboxes.enter(name, session, sequence);
        if entered.0 != Standing::Unknown {
            return Ok(entered);
        }
        let Kept { revision, record } = self.service.register_session(name, session).await?;
        self.mailboxes.register(name, &record.sessions, revision);
        Ok(self.mailboxes.enter(name, session, sequence))
    }

    /// Makes facts of what a TaskManager says.
    async fn note(&self, peer: &Peer, heartbeat: &Heartbeat) -> Result<()> {
        let (name, now) = (&peer.name, self.service.steady());
        // In which state it is the operator says.
        let record = self.service.records().get::<model::taskmanager::TaskManager>(&keys::taskmanager(name)).await?;
        let state = record.map_or(Availability::Lost, |kept| kept.record.state.availability());
        let offer = TaskManager {
            name: name.clone(),
            state,
            slots: heartbeat.offer.slots,
            memory: heartbeat.offer.memory,
            volumes: heartbeat.offer.volumes.clone(),
        };
        let tasks: Vec<reconcile::Task> = heartbeat.tasks.iter().map(|task| fact(task, now)).collect();
        let (started, silence) = (self.fleet.started(), self.settings.silence);
        let mut is_news = true;
        self.fleet.update(name, |seen| {
            let before = seen.take();
            let told = before.as_ref().map_or(started, |before| before.told);
            let now = Observed { offer, heard: now, told, tasks, session: heartbeat.session.clone() };
            is_news = before.is_none_or(|before| {
                let same =
                    before.session == now.session && before.offer == now.offer && is_same(&before.tasks, &now.tasks);
                !same || now.heard.since(before.heard) > silence || before.heard <= started
            });
            *seen = Some(now);
        });
        let about = &heartbeat.offer;
        let missing_walls = about.missing_walls.iter().take(32).map(|wall| shown(wall)).collect();
        self.fleet.describe(name, About { program: shown(&about.program), missing_walls });
        if is_news {
            self.mailboxes.ring();
        }
        Ok(())
    }

    async fn note_walls(&self, peer: &Peer, missing: &[String]) {
        if missing.is_empty() {
            return;
        }
        let walls: Vec<String> = missing.iter().take(32).map(|wall| shown(wall)).collect();
        tracing::warn!(taskmanager = %peer.name, walls = ?walls, "a TaskManager lacks walls around executors");
        self.record(peer, "task-manager-lacks-walls", ("walls", walls.join(", "))).await;
    }

    async fn note_two(&self, peer: &Peer) {
        tracing::error!(taskmanager = %peer.name, code = %code::SESSION_REPLACED, "a process is refused whose place another one of the same name has: was its key copied?");
        if self.meters.may_say(&format!("two {}", peer.name)) {
            let why = "a process asks on whose place another one has".to_owned();
            self.record(peer, "task-manager-twice", ("why", why)).await;
        }
    }

    /// Records something about a TaskManager. That it cannot be recorded does not keep jobs from running.
    async fn record(&self, peer: &Peer, action: &str, (key, value): (&str, String)) {
        let mut change = Change::default();
        let event = Event::system(self.service.now(), action, format!("task-manager/{}", peer.name));
        change.event(event.detail(key, value));
        if let Err(error) = self.service.records().commit(change).await {
            tracing::error!(%error, action, "an event could not be recorded");
        }
    }

    /// What the audit log is, and what it says of the end that the TaskManager was told of.
    async fn witness(&self, named: Option<AuditHead>) -> Result<Witness> {
        let (head, found) = self.service.records().audit_end(named.map(|named| named.sequence)).await?;
        let known = named.and_then(|named| match found {
            Some(hash) => Some(Known::Hash(hash)),
            None if named.sequence <= head.sequence && named.sequence > 0 => Some(Known::Pruned),
            None => None,
        });
        Ok(Witness { head: AuditHead { sequence: head.sequence, hash: head.hash }, known })
    }
}

/// That somebody else has the place of who asks.
fn replaced(name: &Name) -> Error {
    let cause = format!("another process that calls itself {name} has started since, and has its place");
    Error::new(code::SESSION_REPLACED, cause).help("end one of the two, or revoke it if its key was copied")
}

/// A task as the reconciler knows it. When its lease ends is known by when its TaskManager was told last.
fn fact(task: &plane::Task, now: UnixMillis) -> reconcile::Task {
    let status = match &task.status {
        Status::Starting => reconcile::Status::Starting,
        Status::Running => reconcile::Status::Running,
        Status::Finished => reconcile::Status::Finished,
        Status::Ended => reconcile::Status::Ended,
        Status::Failed(plane::Failure { code, cause, permanent }) => reconcile::Status::Failed(reconcile::Failure {
            code: self::code(code),
            cause: shown(cause),
            permanent: *permanent,
            at: now,
        }),
    };
    reconcile::Task {
        job: task.job.clone(),
        lease: Lease { epoch: task.epoch, until: UnixMillis::default() },
        slots: task.slots,
        release: task.release,
        draining: task.draining,
        status,
    }
}

/// Whether tasks differ in nothing but the time at which a failure was heard of.
fn is_same(before: &[reconcile::Task], now: &[reconcile::Task]) -> bool {
    let plain = |task: &reconcile::Task| {
        let mut task = task.clone();
        if let reconcile::Status::Failed(failure) = &mut task.status {
            failure.at = UnixMillis::default();
        }
        task
    };
    before.len() == now.len() && before.iter().zip(now).all(|(before, now)| plain(before) == plain(now))
}

/// A code as a TaskManager gave it, if it is one.
pub(super) fn code(text: &str) -> String {
    let digits = text.strip_prefix("LG").unwrap_or_default();
    let is_code = (4..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_code { text.to_owned() } else { code::INTERNAL.to_string() }
}

/// A TaskManager's text, fit to be shown.
pub(super) fn shown(text: &str) -> String {
    clean(text, MAX_TEXT)
}

/// A text without what moves a terminal's cursor, in at most so many characters.
pub(super) fn clean(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\t').take(most).collect()
}
