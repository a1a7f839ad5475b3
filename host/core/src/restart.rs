//! Restart strategies: whether, and after which delay, a job that failed is started again.
//!
//! They are Flink's, with Flink's names and defaults. A strategy is part of what is signed (`[restart]` in the
//! manifest), because it says how much work of others a failing job may take up. Everything here is a pure function of
//! the past, the time and a seed: the same failure is decided alike however often a reconciler is killed over it.

use crate::human;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A thousand thousandths: factors are whole numbers of them, because signed documents hold no floats.
pub const UNIT: u64 = 1_000;
/// The most failures in an interval that a failure rate can be about: their times are kept with the job.
pub const MAX_RECENT: usize = 100;

/// What is done after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "strategy", deny_unknown_fields)]
pub enum RestartStrategy {
    /// Nothing: the first failure is the last.
    None,
    /// So many restarts in all, each after the same delay.
    FixedDelay {
        /// The most restarts.
        attempts: u64,
        /// Milliseconds before each.
        delay_ms: u64,
    },
    /// Without end, each later than the one before, until the job has run well for a while.
    ExponentialDelay(ExponentialDelay),
    /// So many restarts within any interval.
    FailureRate {
        /// The most failures within an interval, at most [`MAX_RECENT`]; one more ends the job.
        max_failures_per_interval: u32,
        /// The interval in milliseconds.
        failure_rate_interval_ms: u64,
        /// Milliseconds before each restart.
        delay_ms: u64,
    },
}

/// Settings of [`RestartStrategy::ExponentialDelay`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ExponentialDelay {
    /// Milliseconds before the first restart.
    pub initial_backoff_ms: u64,
    /// The longest delay in milliseconds.
    pub max_backoff_ms: u64,
    /// What each delay is to the one before, in thousandths; at least [`UNIT`].
    pub backoff_multiplier: u64,
    /// Milliseconds that a job must have run since its last restart for the delays to begin anew.
    pub reset_backoff_threshold_ms: u64,
    /// How far a delay may be off to either side, in thousandths of itself, so that jobs that failed together do not
    /// come back together; at most [`UNIT`].
    pub jitter_factor: u64,
    /// The most restarts without a reset; no end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_before_reset_backoff: Option<u64>,
}

impl Default for ExponentialDelay {
    /// Flink's defaults.
    fn default() -> Self {
        Self {
            initial_backoff_ms: 1_000,
            max_backoff_ms: 60_000,
            backoff_multiplier: 1_500,
            reset_backoff_threshold_ms: 3_600_000,
            jitter_factor: 100,
            attempts_before_reset_backoff: None,
        }
    }
}

impl Default for RestartStrategy {
    /// What Flink 2 takes for jobs with checkpoints, and jobs here always have them.
    fn default() -> Self {
        Self::ExponentialDelay(ExponentialDelay::default())
    }
}

/// The failures of a job's run so far, as far as any strategy needs them: bounded, however long it fails.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// All failures.
    pub failures: u64,
    /// Failures since the delays last began anew.
    pub streak: u64,
    /// When the job was to be started again after the last failure.
    pub resumed: Option<UnixMillis>,
    /// The times of the last failures, the newest last, at most [`MAX_RECENT`] + 1.
    pub recent: Vec<UnixMillis>,
}

/// What to do after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Start the job again after this time.
    After(Duration),
    /// Leave it failed.
    GiveUp,
}

impl RestartStrategy {
    /// What follows on a failure at `now`, and the history with that failure in it. `seed` is the job's own (its id's
    /// hash will do); with the history it fixes the jitter.
    #[must_use]
    pub fn decide(&self, history: &History, now: UnixMillis, seed: u64) -> (Restart, History) {
        let mut history = history.with(now);
        let delay = match *self {
            Self::None => None,
            Self::FixedDelay { attempts, delay_ms } => (history.failures <= attempts).then_some(delay_ms),
            Self::FailureRate { max_failures_per_interval, failure_rate_interval_ms, delay_ms } => {
                let interval = Duration::from_millis(failure_rate_interval_ms);
                let within = history.recent.iter().filter(|time| **time <= now && now.since(**time) < interval).count();
                let most = (max_failures_per_interval as usize).min(MAX_RECENT);
                (within <= most).then_some(delay_ms)
            }
            Self::ExponentialDelay(settings) => {
                let threshold = Duration::from_millis(settings.reset_backoff_threshold_ms);
                if history.resumed.is_some_and(|resumed| now >= resumed.plus(threshold)) {
                    history.streak = 1;
                }
                let allowed = settings.attempts_before_reset_backoff.is_none_or(|most| history.streak <= most);
                allowed.then(|| settings.backoff(history.streak, seed))
            }
        };
        match delay.map(Duration::from_millis) {
            Some(delay) => {
                history.resumed = Some(now.plus(delay));
                (Restart::After(delay), history)
            }
            None => (Restart::GiveUp, history),
        }
    }
}

impl fmt::Display for RestartStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = human::millis;
        match self {
            Self::None => f.write_str("none"),
            Self::FixedDelay { attempts, delay_ms } => {
                write!(f, "at most {} times, after {} each", human::grouped(*attempts), span(*delay_ms))
            }
            Self::FailureRate { max_failures_per_interval, failure_rate_interval_ms, delay_ms } => {
                let (interval, delay) = (span(*failure_rate_interval_ms), span(*delay_ms));
                write!(f, "at most {max_failures_per_interval} times within {interval}, after {delay} each")
            }
            Self::ExponentialDelay(settings) => {
                let (first, last) = (span(settings.initial_backoff_ms), span(settings.max_backoff_ms));
                match settings.attempts_before_reset_backoff {
                    Some(most) => write!(f, "at most {} times in a row, after {first} to {last}", human::grouped(most)),
                    None => write!(f, "without end, after {first} to {last}"),
                }
            }
        }
    }
}

impl ExponentialDelay {
    /// Milliseconds before the restart after failure number `streak` since the last reset.
    fn backoff(&self, streak: u64, seed: u64) -> u64 {
        let most = self.max_backoff_ms.max(self.initial_backoff_ms);
        let multiplier = self.backoff_multiplier.max(UNIT);
        let mut backoff = self.initial_backoff_ms;
        let mut left = streak.saturating_sub(1);
        // Ends early, because a delay that no longer grows has reached its bound or is too small to.
        while left > 0 && backoff < most {
            let next = scale(backoff, multiplier).min(most);
            if next == backoff {
                break;
            }
            (backoff, left) = (next, left - 1);
        }
        let spread = scale(backoff, self.jitter_factor.min(UNIT));
        let offset = mix(seed ^ mix(streak)) % spread.saturating_mul(2).saturating_add(1);
        backoff.saturating_sub(spread).saturating_add(offset).clamp(self.initial_backoff_ms.min(most), most)
    }
}

impl History {
    fn with(&self, now: UnixMillis) -> Self {
        let kept = self.recent.len().saturating_sub(MAX_RECENT);
        let recent = self.recent.iter().skip(kept).copied().chain([now]).collect();
        Self {
            failures: self.failures.saturating_add(1),
            streak: self.streak.saturating_add(1),
            resumed: self.resumed,
            recent,
        }
    }
}

/// `value` times `thousandths`.
fn scale(value: u64, thousandths: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(thousandths) / u128::from(UNIT)).unwrap_or(u64::MAX)
}

/// SplitMix64's output function (Steele, Lea and Flood, 2014): scatters consecutive numbers.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
