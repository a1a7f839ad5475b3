//! The two clocks of a TaskManager: one that measures how long, one that says when.
//!
//! Leases are lengths of time, so they are measured by `CLOCK_BOOTTIME`: it only rises, nobody sets it, and it counts the
//! time that the machine sleeps. What expires is compared with the time of day, which may be set back; so the latest time
//! that was ever seen is kept, and time goes on from there by the first clock.

use super::state::StateDir;
use lockgate_core::{Error, Result, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the kept time may be behind: at most that much of the past comes back with a crash and a clock set back.
const KEEP_EVERY: i64 = 60;
const FILE: &str = "time";

/// A moment by the clock that only rises and also counts sleep.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(Duration);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        Self(Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default().min(999_999_999)))
    }

    /// How long the machine had been up.
    pub(super) fn since_boot(self) -> Duration {
        self.0
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// How long it has been since `earlier`.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time of day, which never goes back, not even over a restart.
#[derive(Debug)]
pub struct Clock {
    state: StateDir,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// The latest time, and when it was seen.
    seen: (Timestamp, Moment),
    kept: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    seen: Timestamp,
}

impl Clock {
    /// Goes on from what the state folder says; from now if it says nothing, and says so from then on.
    ///
    /// # Errors
    /// `LG083n` if that cannot be read or written.
    pub fn open(state: &StateDir) -> Result<Self> {
        let system = system();
        let kept = match state.read::<Kept>(FILE)? {
            Some(kept) => kept.seen,
            None => {
                state.write(FILE, &Kept { seen: system })?;
                system
            }
        };
        if system.plus(lockgate_core::marks::CLOCK_SLACK) < kept {
            tracing::warn!(clock = %system, seen = %kept, "this machine's clock stands behind what it has been; time goes on from there");
        }
        let held = Held { seen: (kept.max(system), Moment::now()), kept };
        Ok(Self { state: state.clone(), held: Mutex::new(held) })
    }

    /// Now. Kept on the disk from time to time.
    pub fn now(&self) -> Timestamp {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = held.advance(system(), Moment::now());
        if now.seconds().saturating_sub(held.kept.seconds()) >= KEEP_EVERY
            && let Err(error) = self.keep(&mut held)
        {
            tracing::error!(%error, "the time cannot be kept");
        }
        now
    }

    /// Now, and on the disk before this returns: for what is admitted by it.
    ///
    /// # Errors
    /// `LG0830` if the system refuses.
    pub fn now_durably(&self) -> Result<Timestamp> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = held.advance(system(), Moment::now());
        if now > held.kept {
            self.keep(&mut held)?;
        }
        Ok(now)
    }

    fn keep(&self, held: &mut Held) -> Result<(), Error> {
        let seen = held.seen.0;
        self.state.write(FILE, &Kept { seen })?;
        held.kept = seen;
        Ok(())
    }
}

impl Held {
    fn advance(&mut self, system: Timestamp, moment: Moment) -> Timestamp {
        let passed = i64::try_from(moment.since(self.seen.1).as_secs()).unwrap_or(i64::MAX);
        let carried = self.seen.0.plus(passed);
        // The moment moves on in whole seconds only, lest fractions be lost each time somebody asks.
        if system > carried {
            self.seen = (system, moment);
        }
        system.max(carried)
    }
}

fn system() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn time_goes_on_where_the_clock_was_set_back() {
        let start = Moment(Duration::from_secs(100));
        let mut held = Held { seen: (at(1_000), start), kept: at(1_000) };
        let later = |seconds| start.plus(Duration::from_secs(seconds));
        assert_eq!(held.advance(at(1_005), later(5)), at(1_005));
        assert_eq!(held.advance(at(10), later(6)), at(1_006), "set back");
        assert_eq!(held.advance(at(500), later(600)), at(1_600), "and still behind");
        assert_eq!(held.advance(at(2_000), later(700)), at(2_000));
    }

    #[test]
    fn the_latest_time_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (state, _lock) = StateDir::open(&folder.path().join("state")).unwrap();
        let begun = Clock::open(&state).unwrap().held.lock().unwrap().kept;
        assert_eq!(state.read::<Kept>(FILE).unwrap().unwrap().seen, begun, "from the first moment on");
        let ahead = system().plus(1_000_000);
        state.write(FILE, &Kept { seen: ahead }).unwrap();
        let clock = Clock::open(&state).unwrap();
        assert!(clock.now() >= ahead && clock.now_durably().unwrap() >= ahead);
        state.write(FILE, &Kept { seen: at(5) }).unwrap();
        let clock = Clock::open(&state).unwrap();
        let now = clock.now_durably().unwrap();
        assert!(now < ahead);
        assert_eq!(state.read::<Kept>(FILE).unwrap().unwrap().seen, now);
    }
}
