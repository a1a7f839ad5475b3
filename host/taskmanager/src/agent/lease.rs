//! A clock of its own for leases: a thread that ends tasks when theirs are over, whatever the network and the runtime do.
//!
//! It waits on a timer of `CLOCK_BOOTTIME`, so that a machine that slept, or a process that was stopped, ends what is over
//! before anything else of it gets on.

use super::clock::Moment;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

/// The timer. It ends with its last owner.
#[derive(Debug)]
pub struct LeaseTimer {
    fd: Arc<OwnedFd>,
}

/// What is done when a lease may be over; when to look again.
pub trait Expire: Send + Sync + 'static {
    /// Ends what is over by `now`.
    fn expire(&self, now: Moment) -> Option<Moment>;
}

impl LeaseTimer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// `LG0003` if the system refuses.
    pub fn new() -> Result<Self> {
        let fd =
            timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        Ok(Self { fd: Arc::new(fd) })
    }

    /// Watches over `tasks` for as long as there are any.
    ///
    /// # Errors
    /// `LG0003` if no thread can be had.
    pub fn watch(&self, tasks: Weak<dyn Expire>) -> Result<()> {
        let timer = Self { fd: Arc::clone(&self.fd) };
        let watch = move || {
            let mut passed = [0; 8];
            loop {
                match rustix::io::read(&*timer.fd, &mut passed) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => tracing::error!(%error, "the timer of leases"),
                }
                let Some(tasks) = tasks.upgrade() else { return };
                timer.set(tasks.expire(Moment::now()));
            }
        };
        std::thread::Builder::new().name("leases".into()).spawn(watch).map(drop).map_err(failed)
    }

    /// Lets it look at `next`; not again if there is none.
    pub fn set(&self, next: Option<Moment>) {
        let at = next.map_or(Timespec { tv_sec: 0, tv_nsec: 0 }, |moment| {
            let since = moment.since_boot();
            let (seconds, nanos) = (since.as_secs(), since.subsec_nanos());
            Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: nanos.max(1).into() }
        });
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        if let Err(error) = timerfd_settime(&*self.fd, TimerfdTimerFlags::ABSTIME, &spec) {
            tracing::error!(%error, "the timer of leases cannot be set");
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(code::INTERNAL, format!("no timer for leases: {error}"))
}
