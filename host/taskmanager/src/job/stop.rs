//! How a run is asked to stop, by whoever started it or by a slot that failed.

use lockgate_executor::Running;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The longest that a slot is held back at once.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Asks a run to stop. Clones ask the same run.
#[derive(Clone, Default)]
pub struct Stop {
    /// Set while connectors that wait are to give up.
    pub(super) halt: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopping: Mutex<Stopping>,
    /// Wakes slots that are held back.
    changed: Condvar,
    cancelled: watch::Sender<bool>,
}

#[derive(Default)]
struct Stopping {
    drain: bool,
    cancel: bool,
    /// Whether a slot has failed, so that the others of this attempt stop.
    failed: bool,
    slots: Vec<Running>,
}

impl Stop {
    /// Lets every slot finish its batch and commit.
    pub fn drain(&self) {
        let mut stopping = self.lock();
        stopping.drain = true;
        stopping.slots.iter().for_each(Running::drain);
        // After that: a slot whose stream ends for this must not take it for the end of the data.
        self.halt.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
    }

    /// Cuts every slot off, and whoever waits for a JobManager's answer. Nothing is published after that but what was
    /// recorded before. So this is for the end of a lease too.
    pub fn cancel(&self) {
        let mut stopping = self.lock();
        stopping.cancel = true;
        stopping.slots.iter().for_each(Running::cancel);
        self.halt.store(true, Ordering::Relaxed);
        self.shared.cancelled.send_replace(true);
        self.shared.changed.notify_all();
    }

    /// Whether somebody has asked the run to stop.
    pub fn asked(&self) -> bool {
        let stopping = self.lock();
        stopping.drain || stopping.cancel
    }

    /// Waits until the run is cancelled.
    pub(crate) async fn cancelled(&self) {
        // The other end is held here.
        let _ = self.shared.cancelled.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    /// Holds this thread back for `time`, an hour at most, or until the run is to stop in whatever way.
    pub(super) fn hold_back(&self, time: Duration) {
        let Some(until) = Instant::now().checked_add(time.min(LONGEST)) else { return };
        let mut stopping = self.lock();
        while !(stopping.drain || stopping.cancel || stopping.failed)
            && let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            let woken = self.shared.changed.wait_timeout(stopping, left);
            stopping = woken.map_or_else(|poisoned| poisoned.into_inner().0, |(stopping, _)| stopping);
        }
    }

    /// Cuts off the other slots of one that has failed.
    pub(super) fn fail(&self) {
        let mut stopping = self.lock();
        stopping.failed = true;
        stopping.slots.iter().for_each(Running::cancel);
        self.halt.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
    }

    /// All slots have ended.
    pub(super) fn settle(&self) {
        let mut stopping = self.lock();
        stopping.failed = false;
        stopping.slots.clear();
        self.halt.store(stopping.drain || stopping.cancel, Ordering::Relaxed);
    }

    pub(super) fn watch(&self, slot: Running) {
        let mut stopping = self.lock();
        if stopping.drain {
            slot.drain();
        }
        if stopping.cancel || stopping.failed {
            slot.cancel();
        }
        stopping.slots.push(slot);
    }

    fn lock(&self) -> MutexGuard<'_, Stopping> {
        self.shared.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
