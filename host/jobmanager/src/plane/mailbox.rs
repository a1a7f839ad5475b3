//! What each TaskManager is to be told: the keeper lays it in, the heartbeat that is open takes it out.
//!
//! A box holds all that a TaskManager is to run, as of the keeper's last look, under a revision that rises whenever that
//! differs. Revisions begin with the time at which this process started, so that one of a former process is another one.
//! A box is shut while its TaskManager is silent: what the keeper then takes to have ended is not renewed behind its back.

use lockgate_core::placement::JobId;
use lockgate_core::plane::Assignment;
use lockgate_core::{Name, UnixMillis};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// How many former sessions are remembered.
const MAX_FORMER: usize = 4;

/// The boxes of all TaskManagers, and a bell for the keeper.
#[derive(Debug)]
pub struct Mailboxes {
    inner: Mutex<Inner>,
    news: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    boxes: BTreeMap<Name, Box>,
    revision: u64,
}

#[derive(Debug)]
struct Box {
    session: String,
    sequence: u64,
    former: VecDeque<String>,
    /// None while it is shut.
    assignments: Option<Vec<Assignment>>,
    revision: u64,
    changed: watch::Sender<u64>,
}

impl Default for Box {
    fn default() -> Self {
        let (session, former) = (String::new(), VecDeque::new());
        Self { session, sequence: 0, former, assignments: None, revision: 0, changed: watch::Sender::new(0) }
    }
}

/// What a heartbeat is among those of its TaskManager.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// The newest one; whether it is the first of its session.
    Newest {
        /// Whether its session began with it.
        first: bool,
    },
    /// The newest one, of a session that another one had taken the place of: two processes have one name.
    Returned,
    /// A newer one of the same session has come.
    Late,
}

/// What there is to say to who sent a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    /// Whether a newer heartbeat has come.
    pub superseded: bool,
    /// The revision of the orders; none while the box is shut.
    pub revision: Option<u64>,
}

impl Mailboxes {
    /// No boxes, in a process that started at this time.
    pub fn new(started: UnixMillis) -> Self {
        let inner = Inner { boxes: BTreeMap::new(), revision: started.0 };
        Self { inner: Mutex::new(inner), news: watch::Sender::new(0) }
    }

    /// Changes when TaskManagers have said something that the keeper does not know.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Says that TaskManagers have said something.
    pub(super) fn ring(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Notes a heartbeat; the one before is let go of. The receiver changes with all that may be due.
    pub(super) fn enter(&self, name: &Name, session: &str, sequence: u64) -> (Standing, watch::Receiver<u64>) {
        self.with(|inner| {
            let own = inner.boxes.entry(name.clone()).or_default();
            let standing = if own.session == session {
                if sequence <= own.sequence { Standing::Late } else { Standing::Newest { first: false } }
            } else {
                let returned = own.former.iter().any(|former| former == session);
                let before = std::mem::replace(&mut own.session, session.to_owned());
                own.former.retain(|former| former != session);
                own.former.push_front(before);
                own.former.truncate(MAX_FORMER);
                if returned { Standing::Returned } else { Standing::Newest { first: true } }
            };
            if standing != Standing::Late {
                own.sequence = sequence;
                own.ring();
            }
            (standing, own.changed.subscribe())
        })
    }

    /// What is due to the sender of a heartbeat.
    pub(super) fn due(&self, name: &Name, session: &str, sequence: u64) -> Due {
        self.with(|inner| match inner.boxes.get(name) {
            Some(own) => Due {
                superseded: own.session != session || own.sequence != sequence,
                revision: own.assignments.as_ref().map(|_| own.revision),
            },
            None => Due { superseded: true, revision: None },
        })
    }

    /// The orders and their revision; none while the box is shut.
    pub(super) fn take(&self, name: &Name) -> Option<(u64, Vec<Assignment>)> {
        self.with(|inner| {
            let own = inner.boxes.get(name)?;
            Some((own.revision, own.assignments.clone()?))
        })
    }

    /// Lays in all that a TaskManager is to run; nothing happens if it is what lies there. What lies there of jobs for which
    /// `stays` holds stays.
    pub(crate) fn put(&self, name: &Name, mut assignments: Vec<Assignment>, stays: impl Fn(&JobId) -> bool) {
        self.with(|inner| {
            let Some(own) = inner.boxes.get_mut(name) else { return };
            let before = own.assignments.iter().flatten();
            assignments.extend(before.filter(|assignment| stays(&assignment.job)).cloned());
            if own.assignments.as_ref() == Some(&assignments) {
                return;
            }
            inner.revision = inner.revision.saturating_add(1);
            own.revision = inner.revision;
            own.assignments = Some(assignments);
            own.ring();
        });
    }

    /// Shuts the boxes of all but these, and forgets those of nobody.
    pub(crate) fn shut(&self, known: impl Fn(&Name) -> bool, heard: impl Fn(&Name) -> bool) {
        self.with(|inner| {
            inner.boxes.retain(|name, _| known(name));
            for (name, own) in &mut inner.boxes {
                if !heard(name) {
                    own.assignments = None;
                }
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Box {
    fn ring(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}
