//! Requests a second, of each principal and of each tenant, by governor's generic cell rate algorithm.
//!
//! Memory is bounded: only whoever proved who he is gets an entry, and an entry that was idle for as long as its burst
//! takes to come back is as good as none, so that it goes when room is needed.

use governor::RateLimiter;
use governor::clock::{Clock, DefaultClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The most principals and tenants that are counted at once.
pub const MAX_ENTRIES: usize = 100_000;

/// A burst is what comes back within this time.
const BURST: Duration = Duration::from_secs(1);

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Requests a second by name.
pub struct Rates<C: Clock = DefaultClock> {
    clock: C,
    entries: Mutex<HashMap<String, Entry<C>>>,
    max_entries: usize,
}

struct Entry<C: Clock> {
    limiter: Limiter<C>,
    rate: NonZeroU32,
    last: C::Instant,
}

impl Rates {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::with_clock(DefaultClock::default(), MAX_ENTRIES)
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock + Clone> Rates<C> {
    /// By another clock and bound.
    pub fn with_clock(clock: C, max_entries: usize) -> Self {
        Self { clock, entries: Mutex::default(), max_entries }
    }

    /// Counts one request of `who` (`principal user:ana`, `tenant acme`), of whom `rate` a second are taken. None at all
    /// if it is 0.
    ///
    /// # Errors
    /// `LG1110` with the rate, and how long to wait.
    pub fn count(&self, who: &str, rate: u32) -> Result<(), (Error, Duration)> {
        let refuse = |wait: Duration| {
            let cause =
                format!("quota requests-per-second of {who} is {rate}, {rate} are used and 1 more is asked for");
            (Error::new(code::TOO_MANY_REQUESTS, cause), wait)
        };
        let rate = NonZeroU32::new(rate).ok_or_else(|| refuse(Duration::from_secs(60)))?;
        let now = self.clock.now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.max_entries && !entries.contains_key(who) {
            entries.retain(|_, entry| now.duration_since(entry.last) < BURST.into());
            if entries.len() >= self.max_entries {
                let cause =
                    format!("as many ask at once as are counted ({}), and {who} is not among them", self.max_entries);
                return Err((Error::new(code::TOO_MANY_REQUESTS, cause), BURST));
            }
        }
        let entry = entries.entry(who.to_owned()).or_insert_with(|| self.entry(rate, now));
        if entry.rate != rate {
            *entry = self.entry(rate, now);
        }
        entry.last = now;
        entry.limiter.check().map_err(|not_until| refuse(not_until.wait_time_from(now)))
    }

    fn entry(&self, rate: NonZeroU32, now: C::Instant) -> Entry<C> {
        let limiter = RateLimiter::direct_with_clock(governor::Quota::per_second(rate), self.clock.clone());
        Entry { limiter, rate, last: now }
    }
}

impl<C: Clock> std::fmt::Debug for Rates<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").field("max_entries", &self.max_entries).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn rates(max_entries: usize) -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::with_clock(clock.clone(), max_entries), clock)
    }

    #[test]
    fn a_burst_passes_one_more_does_not_and_time_heals() {
        let (rates, clock) = rates(9);
        for _ in 0..3 {
            rates.count("principal a", 3).unwrap();
        }
        let (error, wait) = rates.count("principal a", 3).unwrap_err();
        assert_eq!(error.code(), code::TOO_MANY_REQUESTS);
        assert_eq!(
            error.cause(),
            "quota requests-per-second of principal a is 3, 3 are used and 1 more is asked for",
            "which, its value and its use"
        );
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        rates.count("principal b", 3).unwrap();
        clock.advance(wait);
        rates.count("principal a", 3).unwrap();
        assert!(rates.count("principal a", 3).is_err());
    }

    #[test]
    fn another_rate_counts_at_once_and_none_is_none() {
        let (rates, _) = rates(9);
        rates.count("tenant a", 1).unwrap();
        assert!(rates.count("tenant a", 1).is_err());
        rates.count("tenant a", 2).unwrap();
        assert_eq!(rates.count("tenant a", 0).unwrap_err().0.code(), code::TOO_MANY_REQUESTS);
    }

    #[test]
    fn a_flood_of_names_neither_grows_without_bound_nor_frees_anybody() {
        let (rates, clock) = rates(2);
        rates.count("a", 1).unwrap();
        rates.count("b", 1).unwrap();
        assert!(rates.count("c", 1).is_err(), "no room while both are fresh");
        assert!(rates.count("a", 1).is_err(), "an entry was thrown out that still counts");
        clock.advance(BURST);
        rates.count("c", 1).unwrap();
        assert!(rates.entries.lock().unwrap().len() <= 2);
    }
}
