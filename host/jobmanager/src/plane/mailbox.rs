//! What each TaskManager is to be told: the keeper lays it in, the heartbeat that is open takes it out.
//!
//! A box holds all that a TaskManager is to run, as of the keeper's last look, under a revision that rises whenever that
//! differs. Revisions begin with the time at which this process started, so that one of a former process is another one.
//! A box is shut while its TaskManager is silent: what the keeper then takes to have ended is not renewed behind its back.
//!
//! A box is of one process of its TaskManager, the one that registered last (`Service::register_session`). Another process
//! begins with a shut one, and whoever had the place before gets nothing out of it any more.

use lockgate_core::placement::JobId;
use lockgate_core::plane::Assignment;
use lockgate_core::{Name, UnixMillis};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

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
    /// The session whose box it is; empty before one has registered with this JobManager's process.
    session: String,
    sequence: u64,
    /// Those that have had the place.
    former: Vec<String>,
    /// The revision of the record that says all that.
    registered: u64,
    /// None while it is shut.
    assignments: Option<Vec<Assignment>>,
    revision: u64,
    changed: watch::Sender<u64>,
}

impl Default for Box {
    fn default() -> Self {
        Self {
            session: String::new(),
            sequence: 0,
            former: Vec::new(),
            registered: 0,
            assignments: None,
            revision: 0,
            changed: watch::Sender::new(0),
        }
    }
}

/// What a heartbeat is among those of its TaskManager.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// The newest one; whether it is the first of its session.
    Newest {
        /// Whether its session began with it, as far as this JobManager's process knows.
        first: bool,
    },
    /// Of a session that another one has taken the place of: two processes have one name.
    Former,
    /// Of a session that is to be registered first.
    Unknown,
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

    /// Notes a heartbeat of the session that has the place; the one before is let go of. The receiver changes with all that
    /// may be due.
    pub(super) fn enter(&self, name: &Name, session: &str, sequence: u64) -> (Standing, watch::Receiver<u64>) {
        self.with(|inner| {
            let own = inner.boxes.entry(name.clone()).or_default();
            let standing = if own.former.iter().any(|former| former == session) {
                Standing::Former
            } else if own.session != session {
                Standing::Unknown
            } else if sequence <= own.sequence {
                Standing::Late
            } else {
                Standing::Newest { first: own.sequence == 0 }
            };
            if matches!(standing, Standing::Newest { .. }) {
                own.sequence = sequence;
                own.ring();
            }
            (standing, own.changed.subscribe())
        })
    }

    /// Notes the sessions that are registered of a TaskManager, the newest first, as of this revision of its record. Where that
    /// is another one than before, its box is shut until the keeper has looked at what it says.
    pub(super) fn register(&self, name: &Name, sessions: &[String], revision: u64) {
        self.with(|inner| {
            let own = inner.boxes.entry(name.clone()).or_default();
            let Some((newest, former)) = sessions.split_first().filter(|_| revision >= own.registered) else { return };
            (own.registered, own.former) = (revision, former.to_vec());
            if own.session != *newest {
                newest.clone_into(&mut own.session);
                (own.sequence, own.assignments) = (0, None);
                own.ring();
            }
        });
    }

    /// Whether a session has had the place of its TaskManager, and another one has it.
    pub(super) fn is_former(&self, name: &Name, session: &str) -> bool {
        self.with(|inner| {
            let own = inner.boxes.get(name);
            own.is_some_and(|own| own.session != session && own.former.iter().any(|former| former == session))
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

    /// The orders and their revision; none while the box is shut or another session's.
    pub(super) fn take(&self, name: &Name, session: &str) -> Option<(u64, Vec<Assignment>)> {
        self.with(|inner| {
            let own = inner.boxes.get(name).filter(|own| own.session == session)?;
            Some((own.revision, own.assignments.clone()?))
        })
    }

    /// Lays in all that a session of a TaskManager is to run; nothing happens if it is what lies there, or the box is another
    /// one's by now. What lies there of jobs for which `stays` holds stays.
    pub(crate) fn put(
        &self,
        name: &Name,
        session: &str,
        mut assignments: Vec<Assignment>,
        stays: impl Fn(&JobId) -> bool,
    ) {
        self.with(|inner| {
            let Some(own) = inner.boxes.get_mut(name).filter(|own| own.session == session) else { return };
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
