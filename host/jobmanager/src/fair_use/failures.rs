//! Whoever brings wrong credentials waits, longer with each: guessing a token is hopeless as it is (256 bits), but a
//! flood of guesses would cost the store and the log.
//!
//! By source, in bounded memory: when it is full, the source that may go on the soonest is forgotten first. Whether a
//! request is refused is decided before its credential is looked at, so that a right guess in a flood does not show.

use super::Source;
use crate::config::FairUse;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most sources that are remembered.
pub const MAX_SOURCES: usize = 65_536;

/// Failed credentials by source.
#[derive(Debug)]
pub struct Failures {
    free: u32,
    first: Duration,
    longest: Duration,
    max_sources: usize,
    sources: Mutex<HashMap<Source, Record>>,
}

#[derive(Debug)]
struct Record {
    failures: u32,
    until: Instant,
    last: Instant,
}

impl Record {
    /// Whether it was quiet for `longest` since the last failure and the wait that followed it.
    fn is_over(&self, now: Instant, longest: Duration) -> bool {
        now.saturating_duration_since(self.last.max(self.until)) >= longest
    }
}

impl Failures {
    /// Nobody has failed yet.
    pub fn new(settings: &FairUse) -> Self {
        Self {
            free: settings.failures,
            first: settings.failure_delay,
            longest: settings.failure_delay_max,
            max_sources: MAX_SOURCES,
            sources: Mutex::default(),
        }
    }

    /// Whether `source` may bring a credential at `now`.
    ///
    /// # Errors
    /// `LG1111`, and how long to wait.
    pub fn check(&self, source: Source, now: Instant) -> Result<(), (Error, Duration)> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = sources.get(&source) else { return Ok(()) };
        let wait = record.until.saturating_duration_since(now);
        if wait.is_zero() {
            return Ok(());
        }
        let cause = format!("{} credentials from {source} were refused", record.failures);
        Err((Error::new(code::TOO_MANY_FAILURES, cause), wait))
    }

    /// Notes that a credential from `source` was refused at `now`.
    pub fn note(&self, source: Source, now: Instant) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= self.max_sources && !sources.contains_key(&source) {
            sources.retain(|_, record| !record.is_over(now, self.longest));
            // A look at a few is enough, and keeps a flood from making every failure cost a walk of all.
            let soonest = sources.iter().take(64).min_by_key(|(_, record)| record.until).map(|(source, _)| *source);
            if sources.len() >= self.max_sources
                && let Some(soonest) = soonest
            {
                sources.remove(&soonest);
            }
        }
        let record = sources.entry(source).or_insert(Record { failures: 0, until: now, last: now });
        if record.is_over(now, self.longest) {
            record.failures = 0;
        }
        record.failures = record.failures.saturating_add(1);
        record.last = now;
        if let Some(beyond) = record.failures.checked_sub(self.free.saturating_add(1)) {
            let delay = self.first.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(self.longest);
            record.until = now + delay;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn failures(max_sources: usize) -> Failures {
        let settings = FairUse {
            failures: 2,
            failure_delay: Duration::from_secs(1),
            failure_delay_max: Duration::from_secs(60),
            ..FairUse::default()
        };
        Failures { max_sources, ..Failures::new(&settings) }
    }

    fn source(address: &str) -> Source {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn each_further_failure_doubles_the_wait_to_a_bound() {
        let failures = failures(9);
        let (eve, start) = (source("192.0.2.1"), Instant::now());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..10 {
            failures.note(eve, now);
            let wait = failures.check(eve, now).err().map_or(Duration::ZERO, |(error, wait)| {
                assert_eq!(error.code(), code::TOO_MANY_FAILURES);
                wait
            });
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(failures.check(eve, now).is_ok(), "the wait ends by itself");
        assert!(failures.check(source("192.0.2.2"), start).is_ok(), "another source waits too");
        failures.note(eve, now + Duration::from_secs(60));
        assert!(failures.check(eve, now + Duration::from_secs(60)).is_ok(), "old failures are forgotten");
    }

    #[test]
    fn sources_are_bounded_and_who_waits_longest_is_kept() {
        let failures = failures(3);
        let now = Instant::now();
        let eve = source("192.0.2.1");
        for _ in 0..9 {
            failures.note(eve, now);
        }
        for last in 2..100 {
            failures.note(source(&format!("192.0.2.{last}")), now);
        }
        assert!(failures.sources.lock().unwrap().len() <= 3);
        assert!(failures.check(eve, now).is_err(), "a flood of other sources freed this one");
    }

    #[test]
    fn a_source_is_an_address_or_a_network_of_64_bits() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }
}
