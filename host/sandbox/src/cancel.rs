//! Cutting a call short: a flag that other threads set, and the deadline beside it.

use crate::failure::Stop;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A flag that cancels calls; clones share it. Once set it stays set.
#[derive(Clone, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    also: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that counts as set whenever `also` says so, which is asked often and must be quick.
    pub fn or(also: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { flag: Arc::default(), also: Some(Arc::new(also)) }
    }

    /// Cancels every call that runs or begins under this flag.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Whether it is set.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Relaxed) || self.also.as_ref().is_some_and(|also| also())
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

/// What may stop a call from outside. Looked at whenever the fibre yields and at every host call: a host call sets
/// fuel and with it puts the next yield off, so that a guest that calls the host in a loop would never yield.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub cancel: Cancel,
    /// None only before the first call, or if the deadline is beyond what an `Instant` can say.
    pub deadline: Option<Instant>,
}

impl Watch {
    /// # Errors
    /// Why to stop.
    pub fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            Err(Stop::Cancelled)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Err(Stop::Deadline)
        } else {
            Ok(())
        }
    }
}
