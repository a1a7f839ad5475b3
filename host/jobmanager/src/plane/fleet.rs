//! What is known of TaskManagers in this process only: what each last said of itself. It begins anew with the process; what
//! must last is in the store.

use crate::reconcile::Observed;
use lockgate_core::{Name, UnixMillis};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// What TaskManagers said of themselves, by name. As large as the registry is.
#[derive(Debug)]
pub struct Fleet {
    started: UnixMillis,
    seen: Mutex<BTreeMap<Name, Seen>>,
    revision: watch::Sender<u64>,
    members: watch::Sender<u64>,
}

/// What a TaskManager said of itself to be shown, and to be acted on by nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// The version of its program.
    pub program: String,
    /// Walls around executors that its machine lacks.
    pub missing_walls: Vec<String>,
}

#[derive(Debug, Default)]
struct Seen {
    observed: Option<Observed>,
    about: About,
}

impl Fleet {
    /// Nothing is known yet, at the time when this process started.
    pub fn new(started: UnixMillis) -> Self {
        let (revision, members) = (watch::Sender::new(0), watch::Sender::new(0));
        Self { started, seen: Mutex::default(), revision, members }
    }

    /// When this process started: before that nothing was heard by it.
    pub fn started(&self) -> UnixMillis {
        self.started
    }

    /// What `name` last said; nothing if it was not heard of since the start.
    pub fn observed(&self, name: &Name) -> Option<Observed> {
        self.look(|seen| seen.get(name).and_then(|seen| seen.observed.clone()))
    }

    /// What all said that were heard of since the start.
    pub fn all(&self) -> BTreeMap<Name, Observed> {
        self.look(|seen| {
            let heard = seen.iter().filter_map(|(name, seen)| Some((name.clone(), seen.observed.clone()?)));
            heard.collect()
        })
    }

    /// The names of all of whom anything is known.
    pub fn names(&self) -> Vec<Name> {
        self.look(|seen| seen.keys().cloned().collect())
    }

    /// Changes what is known of `name`, from nothing if nothing is, and tells those who wait ([`Self::revision`]).
    pub fn update(&self, name: &Name, change: impl FnOnce(&mut Option<Observed>)) {
        self.look(|seen| change(&mut seen.entry(name.clone()).or_default().observed));
        self.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    /// What `name` said of itself to be shown.
    pub fn about(&self, name: &Name) -> About {
        self.look(|seen| seen.get(name).map(|seen| seen.about.clone()).unwrap_or_default())
    }

    /// Keeps what `name` said of itself to be shown.
    pub fn describe(&self, name: &Name, about: About) {
        self.look(|seen| seen.entry(name.clone()).or_default().about = about);
    }

    /// Forgets `name`.
    pub fn forget(&self, name: &Name) {
        self.look(|seen| seen.remove(name));
        self.revision.send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    /// Changes with every change of what is known.
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Changes when somebody may have lost his place: whoever serves a TaskManager looks again whether it has one.
    pub fn members(&self) -> watch::Receiver<u64> {
        self.members.subscribe()
    }

    /// Says that somebody may have lost his place.
    pub(crate) fn members_changed(&self) {
        self.members.send_modify(|revision| *revision = revision.wrapping_add(1));
    }

    fn look<T>(&self, look: impl FnOnce(&mut BTreeMap<Name, Seen>) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
