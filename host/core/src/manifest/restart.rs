//! `[restart]`: what follows on a failure. Flink's strategies and options, signed with the rest of the manifest.
//!
//! ```toml
//! [restart]
//! strategy = "exponential-delay"     # none, fixed-delay, failure-rate; this one if the section is absent
//! initial-backoff = "1 s"
//! max-backoff = "1 min"
//! backoff-multiplier = 1.5
//! reset-backoff-threshold = "1 h"
//! jitter-factor = 0.1
//! attempts-before-reset-backoff = 20 # without end if absent
//! ```

use super::Manifest;
use super::text::duration;
use crate::error::{Error, Result, code};
use crate::restart::{ExponentialDelay, MAX_RECENT, RestartStrategy, UNIT};
use crate::suggest;
use crate::toml_reader::{Section, literal};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

const STRATEGIES: [&str; 4] = ["none", "fixed-delay", "exponential-delay", "failure-rate"];
/// Delays in milliseconds: a job that fails at once must not keep the cluster busy with starting it.
const DELAY: RangeInclusive<u64> = 100..=86_400_000;
/// Intervals in milliseconds, up to 30 days.
const INTERVAL: RangeInclusive<u64> = 1_000..=2_592_000_000;
/// Flink's defaults, where they are not [`ExponentialDelay`]'s.
const DEFAULT_DELAY: u64 = 1_000;
const DEFAULT_INTERVAL: u64 = 60_000;

/// The section, as it is written.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restart {
    /// `none`, `fixed-delay`, `exponential-delay` or `failure-rate`.
    pub strategy: String,
    /// The most restarts, for `fixed-delay`; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// Milliseconds before a restart, for `fixed-delay` and `failure-rate`; 1 s if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The most failures within an interval, for `failure-rate`; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures_per_interval: Option<u64>,
    /// The interval in milliseconds, for `failure-rate`; 1 min if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate_interval_ms: Option<u64>,
    /// Milliseconds before the first restart, for `exponential-delay`; 1 s if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_backoff_ms: Option<u64>,
    /// The longest delay in milliseconds, for `exponential-delay`; 1 min if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backoff_ms: Option<u64>,
    /// What each delay is to the one before, for `exponential-delay`, as a decimal number of 1 to 100; 1.5 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_multiplier: Option<String>,
    /// Milliseconds without failure after which delays begin anew, for `exponential-delay`; 1 h if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_backoff_threshold_ms: Option<u64>,
    /// How far a delay may be off to either side, for `exponential-delay`, as a part of itself; 0.1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_factor: Option<String>,
    /// The most restarts without such a time, for `exponential-delay`; no end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_before_reset_backoff: Option<u64>,
}

impl Manifest {
    /// What follows on a failure of the job.
    ///
    /// # Errors
    /// `LG0107`, `LG0109`, `LG0110` or `LG0112` if the section does not make sense; [`Manifest::check`] says so too.
    pub fn restart_strategy(&self) -> Result<RestartStrategy> {
        let strategy = self.restart.as_ref().map_or_else(|| Ok(RestartStrategy::default()), Restart::resolve);
        strategy.map_err(|error| error.at("[restart]"))
    }
}

impl Restart {
    fn resolve(&self) -> Result<RestartStrategy> {
        let strategy = self.strategy.as_str();
        if !STRATEGIES.contains(&strategy) {
            let shown: String = strategy.chars().take(40).collect();
            let error = Error::new(code::UNKNOWN_CHOICE, format!("{shown:?} is no restart strategy"));
            return Err(error.help(suggest::help(strategy, STRATEGIES)));
        }
        self.check_options(strategy)?;
        let delay = || within("delay", self.delay_ms, &DELAY, DEFAULT_DELAY);
        Ok(match strategy {
            "fixed-delay" => {
                let attempts = within("attempts", self.attempts, &(1..=u64::MAX), 1)?;
                RestartStrategy::FixedDelay { attempts, delay_ms: delay()? }
            }
            "failure-rate" => {
                let most =
                    within("max-failures-per-interval", self.max_failures_per_interval, &(1..=MAX_RECENT as u64), 1)?;
                let interval = self.failure_rate_interval_ms;
                RestartStrategy::FailureRate {
                    max_failures_per_interval: u32::try_from(most).unwrap_or(u32::MAX),
                    failure_rate_interval_ms: within("failure-rate-interval", interval, &INTERVAL, DEFAULT_INTERVAL)?,
                    delay_ms: delay()?,
                }
            }
            "exponential-delay" => RestartStrategy::ExponentialDelay(self.exponential()?),
            _ => RestartStrategy::None,
        })
    }

    fn exponential(&self) -> Result<ExponentialDelay> {
        let default = ExponentialDelay::default();
        let initial = within("initial-backoff", self.initial_backoff_ms, &DELAY, default.initial_backoff_ms)?;
        let most = default.max_backoff_ms.max(initial);
        let threshold = self.reset_backoff_threshold_ms;
        let attempts = self.attempts_before_reset_backoff;
        if attempts == Some(0) {
            within("attempts-before-reset-backoff", attempts, &(1..=u64::MAX), 1)?;
        }
        Ok(ExponentialDelay {
            initial_backoff_ms: initial,
            max_backoff_ms: within("max-backoff", self.max_backoff_ms, &(initial..=*DELAY.end()), most)?,
            backoff_multiplier: factor(
                "backoff-multiplier",
                self.backoff_multiplier.as_deref(),
                UNIT..=100 * UNIT,
                default.backoff_multiplier,
            )?,
            reset_backoff_threshold_ms: within(
                "reset-backoff-threshold",
                threshold,
                &INTERVAL,
                default.reset_backoff_threshold_ms,
            )?,
            jitter_factor: factor("jitter-factor", self.jitter_factor.as_deref(), 0..=UNIT, default.jitter_factor)?,
            attempts_before_reset_backoff: attempts,
        })
    }

    /// Refuses options of other strategies: they would be signed and mean nothing.
    fn check_options(&self, strategy: &str) -> Result<()> {
        let options = [
            ("attempts", self.attempts.is_some(), &["fixed-delay"][..]),
            ("delay", self.delay_ms.is_some(), &["fixed-delay", "failure-rate"]),
            ("max-failures-per-interval", self.max_failures_per_interval.is_some(), &["failure-rate"]),
            ("failure-rate-interval", self.failure_rate_interval_ms.is_some(), &["failure-rate"]),
            ("initial-backoff", self.initial_backoff_ms.is_some(), &["exponential-delay"]),
            ("max-backoff", self.max_backoff_ms.is_some(), &["exponential-delay"]),
            ("backoff-multiplier", self.backoff_multiplier.is_some(), &["exponential-delay"]),
            ("reset-backoff-threshold", self.reset_backoff_threshold_ms.is_some(), &["exponential-delay"]),
            ("jitter-factor", self.jitter_factor.is_some(), &["exponential-delay"]),
            ("attempts-before-reset-backoff", self.attempts_before_reset_backoff.is_some(), &["exponential-delay"]),
        ];
        match options.iter().find(|(_, set, of)| *set && !of.contains(&strategy)) {
            Some((key, ..)) => {
                let error =
                    Error::new(code::OPTION_NOT_APPLICABLE, format!("`{key}` does not apply to strategy {strategy}"));
                Err(error.help(format!("remove `{key}`")))
            }
            None => Ok(()),
        }
    }
}

/// Reads the section of `lockgate.toml`.
pub(super) fn read(section: Section<'_, '_>) -> Option<Restart> {
    let millis = |key| section.read(key, |value| duration(value.get_ref(), key));
    let number = |key| section.read(key, |value| literal(value.get_ref(), key));
    let restart = Restart {
        attempts: section.integer("attempts"),
        delay_ms: millis("delay"),
        max_failures_per_interval: section.integer("max-failures-per-interval"),
        failure_rate_interval_ms: millis("failure-rate-interval"),
        initial_backoff_ms: millis("initial-backoff"),
        max_backoff_ms: millis("max-backoff"),
        backoff_multiplier: number("backoff-multiplier"),
        reset_backoff_threshold_ms: millis("reset-backoff-threshold"),
        jitter_factor: number("jitter-factor"),
        attempts_before_reset_backoff: section.integer("attempts-before-reset-backoff"),
        strategy: section.need("strategy", section.text("strategy")).unwrap_or_default(),
    };
    section.finish();
    Some(restart)
}

fn within(key: &str, value: Option<u64>, range: &RangeInclusive<u64>, default: u64) -> Result<u64> {
    let value = value.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    let cause = format!("`{key}` is {value}, not within {} and {}", range.start(), range.end());
    Err(Error::new(code::VALUE_OUT_OF_RANGE, cause).help("durations are compared in milliseconds"))
}

/// A decimal number with up to three places, in thousandths.
fn factor(key: &str, text: Option<&str>, range: RangeInclusive<u64>, default: u64) -> Result<u64> {
    let Some(text) = text else { return Ok(default) };
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let read = |part: &str| part.parse::<u64>().ok();
    let thousandths = (digits(whole) && digits(places) && places.len() <= 3).then(|| format!("{places:0<3}"));
    let value = thousandths.and_then(|places| read(whole)?.checked_mul(UNIT)?.checked_add(read(&places)?));
    let shown: String = text.chars().take(40).collect();
    match value {
        Some(value) if range.contains(&value) => Ok(value),
        Some(_) => {
            let (least, most) = (range.start() / UNIT, range.end() / UNIT);
            Err(Error::new(code::VALUE_OUT_OF_RANGE, format!("`{key}` is {shown}, not within {least} and {most}")))
        }
        None => {
            let error = Error::new(code::INVALID_QUANTITY, format!("`{key}` is {shown:?}, which is no factor"));
            Err(error.help("write a decimal number with up to three places, such as 1.5"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn manifest(restart: &str) -> Manifest {
        let text = format!("[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\n{restart}");
        Manifest::parse_toml(&text, "lockgate.toml").unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    #[test]
    fn each_strategy_is_read_with_flinks_defaults() {
        let strategy = |text: &str| manifest(text).restart_strategy().unwrap();
        assert_eq!(strategy(""), RestartStrategy::default());
        assert_eq!(strategy("[restart]\nstrategy = \"none\""), RestartStrategy::None);
        assert_eq!(
            strategy("[restart]\nstrategy = \"fixed-delay\"\nattempts = 3"),
            RestartStrategy::FixedDelay { attempts: 3, delay_ms: 1_000 }
        );
        let rate = "[restart]\nstrategy = \"failure-rate\"\ndelay = \"5 s\"\nfailure-rate-interval = \"2 min\"";
        let expected = RestartStrategy::FailureRate {
            max_failures_per_interval: 1,
            failure_rate_interval_ms: 120_000,
            delay_ms: 5_000,
        };
        assert_eq!(strategy(rate), expected);
        assert_eq!(strategy("[restart]\nstrategy = \"exponential-delay\""), RestartStrategy::default());
        let all = "[restart]\nstrategy = \"exponential-delay\"\ninitial-backoff = \"2 s\"\nmax-backoff = \"3 min\"\n\
                   backoff-multiplier = 2.25\nreset-backoff-threshold = \"2 h\"\njitter-factor = 0\n\
                   attempts-before-reset-backoff = 9";
        let expected = ExponentialDelay {
            initial_backoff_ms: 2_000,
            max_backoff_ms: 180_000,
            backoff_multiplier: 2_250,
            reset_backoff_threshold_ms: 7_200_000,
            jitter_factor: 0,
            attempts_before_reset_backoff: Some(9),
        };
        assert_eq!(strategy(all), RestartStrategy::ExponentialDelay(expected));
        // And in the form that is signed.
        let json = serde_json::to_string(&manifest(all)).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest(all));
        assert!(json.contains("\"backoff-multiplier\":\"2.25\""), "{json}");
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (options, code) in [
            ("strategy = \"fixed\"", code::UNKNOWN_CHOICE),
            ("strategy = \"none\"\ndelay = \"1 s\"", code::OPTION_NOT_APPLICABLE),
            ("strategy = \"fixed-delay\"\njitter-factor = 0.1", code::OPTION_NOT_APPLICABLE),
            ("strategy = \"exponential-delay\"\nattempts = 3", code::OPTION_NOT_APPLICABLE),
            ("strategy = \"fixed-delay\"\nattempts = 0", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"fixed-delay\"\ndelay = \"99 ms\"", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"fixed-delay\"\ndelay = \"2 d\"", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"failure-rate\"\nmax-failures-per-interval = 101", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"failure-rate\"\nfailure-rate-interval = \"31 d\"", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"exponential-delay\"\nmax-backoff = \"500 ms\"", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"exponential-delay\"\nbackoff-multiplier = 0.999", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"exponential-delay\"\nbackoff-multiplier = 100.001", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"exponential-delay\"\nbackoff-multiplier = 1.0001", code::INVALID_QUANTITY),
            ("strategy = \"exponential-delay\"\nbackoff-multiplier = \"1e3\"", code::INVALID_QUANTITY),
            ("strategy = \"exponential-delay\"\nbackoff-multiplier = \"1.\"", code::INVALID_QUANTITY),
            ("strategy = \"exponential-delay\"\njitter-factor = 1.001", code::VALUE_OUT_OF_RANGE),
            ("strategy = \"exponential-delay\"\njitter-factor = -0.1", code::INVALID_QUANTITY),
            ("strategy = \"exponential-delay\"\nattempts-before-reset-backoff = 0", code::VALUE_OUT_OF_RANGE),
        ] {
            let errors: Vec<(Code, String)> = manifest(&format!("[restart]\n{options}"))
                .check()
                .iter()
                .map(|error| (error.code(), error.place().unwrap_or_default().to_owned()))
                .collect();
            assert_eq!(errors, [(code, "[restart]".to_owned())], "{options}");
        }
        let text = "[job]\ntenant = \"a\"\nname = \"b\"\nversion = 1\n[restart]\nstrategie = \"none\"";
        let codes: Vec<Code> = Manifest::parse_toml(text, "x").unwrap_err().iter().map(Error::code).collect();
        assert_eq!(codes, [code::MISSING_KEY, code::UNKNOWN_KEY]);
    }
}
