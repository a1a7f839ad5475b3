//! Restart strategies: each bound by exceeding it, and what holds of all.

use super::*;
use proptest::prelude::*;

/// What a strategy says to failures at these times (milliseconds).
fn run(strategy: &RestartStrategy, times: &[u64]) -> (Vec<Restart>, History) {
    let mut history = History::default();
    let mut said = Vec::new();
    for time in times {
        let (restart, next) = strategy.decide(&history, UnixMillis(*time), 7);
        said.push(restart);
        history = next;
    }
    (said, history)
}

fn after(millis: u64) -> Restart {
    Restart::After(Duration::from_millis(millis))
}

fn without_jitter() -> ExponentialDelay {
    ExponentialDelay { jitter_factor: 0, ..ExponentialDelay::default() }
}

#[test]
fn none_gives_up_at_once() {
    assert_eq!(run(&RestartStrategy::None, &[5]).0, [Restart::GiveUp]);
}

#[test]
fn fixed_delay_restarts_so_many_times() {
    let strategy = RestartStrategy::FixedDelay { attempts: 2, delay_ms: 50 };
    assert_eq!(run(&strategy, &[0, 1_000, u64::MAX]).0, [after(50), after(50), Restart::GiveUp]);
    assert_eq!(run(&RestartStrategy::FixedDelay { attempts: 0, delay_ms: 50 }, &[0]).0, [Restart::GiveUp]);
}

#[test]
fn failure_rate_counts_within_an_interval() {
    let strategy =
        RestartStrategy::FailureRate { max_failures_per_interval: 2, failure_rate_interval_ms: 100, delay_ms: 9 };
    // The third within 100 ms is one too many; spread out, there is no end.
    assert_eq!(run(&strategy, &[0, 50, 99]).0, [after(9), after(9), Restart::GiveUp]);
    assert_eq!(run(&strategy, &[0, 50, 100, 150, 200]).0, [after(9); 5]);
    // What lies ahead was noted by a clock that was.
    assert_eq!(run(&strategy, &[900, 901, 5, 6]).0, [after(9); 4]);
    let most = RestartStrategy::FailureRate {
        max_failures_per_interval: MAX_RECENT as u32,
        failure_rate_interval_ms: u64::MAX,
        delay_ms: 0,
    };
    let (said, _) = run(&most, &(0..=MAX_RECENT as u64).collect::<Vec<_>>());
    assert_eq!((said[MAX_RECENT - 1], said[MAX_RECENT]), (after(0), Restart::GiveUp));
}

#[test]
fn exponential_delay_grows_to_its_bound() {
    let times: Vec<u64> = (0..13).map(|n| n * 100_000).collect();
    let (said, history) = run(&RestartStrategy::ExponentialDelay(without_jitter()), &times);
    let expected = [1_000, 1_500, 2_250, 3_375, 5_062, 7_593, 11_389, 17_083, 25_624, 38_436, 57_654, 60_000, 60_000];
    assert_eq!(said, expected.map(after));
    assert_eq!((history.failures, history.streak), (13, 13));
}

#[test]
fn exponential_delay_begins_anew_after_a_good_while() {
    let strategy = RestartStrategy::ExponentialDelay(without_jitter());
    let hour = 3_600_000;
    // Started again at 1,000, at 3,500, and then an hour but a millisecond, or an hour, without failure.
    assert_eq!(run(&strategy, &[0, 2_000, 3_500 + hour - 1]).0[2], after(2_250));
    assert_eq!(run(&strategy, &[0, 2_000, 3_500 + hour]).0[2], after(1_000));
    let bounded = RestartStrategy::ExponentialDelay(ExponentialDelay {
        attempts_before_reset_backoff: Some(2),
        ..without_jitter()
    });
    assert_eq!(run(&bounded, &[0, 2_000, 9_000]).0[2], Restart::GiveUp);
    assert_eq!(run(&bounded, &[0, 2_000, 3_500 + hour, 3_502_000 + hour]).0[3], after(1_500));
}

#[test]
fn the_default_is_flinks() {
    let RestartStrategy::ExponentialDelay(settings) = RestartStrategy::default() else { panic!("another default") };
    assert_eq!(settings, ExponentialDelay::default());
    assert_eq!(settings.attempts_before_reset_backoff, None);
}

#[test]
fn jitter_spreads_jobs_that_fail_together() {
    let strategy = RestartStrategy::ExponentialDelay(ExponentialDelay {
        initial_backoff_ms: 1,
        backoff_multiplier: 10_000,
        ..ExponentialDelay::default()
    });
    let mut history = History::default();
    for time in 0..4 {
        history = strategy.decide(&history, UnixMillis(time), 0).1;
    }
    let delays: std::collections::BTreeSet<Duration> = (0..100)
        .filter_map(|seed| match strategy.decide(&history, UnixMillis(10), seed).0 {
            Restart::After(delay) => Some(delay),
            Restart::GiveUp => None,
        })
        .collect();
    assert!(delays.len() > 80, "{delays:?}");
    assert!(delays.iter().all(|delay| (9_000..=11_000).contains(&(delay.as_millis() as u64))), "{delays:?}");
}

fn strategy() -> impl Strategy<Value = RestartStrategy> {
    let exponential = (any::<u64>(), any::<u64>(), 0..5_000_u64, any::<u64>(), 0..2_000_u64, any::<Option<u64>>())
        .prop_map(|(initial, max, multiplier, reset, jitter, attempts)| {
            RestartStrategy::ExponentialDelay(ExponentialDelay {
                initial_backoff_ms: initial,
                max_backoff_ms: max,
                backoff_multiplier: multiplier,
                reset_backoff_threshold_ms: reset,
                jitter_factor: jitter,
                attempts_before_reset_backoff: attempts,
            })
        });
    prop_oneof![
        Just(RestartStrategy::None),
        Just(RestartStrategy::default()),
        (0..5_u64, any::<u64>()).prop_map(|(attempts, delay_ms)| RestartStrategy::FixedDelay { attempts, delay_ms }),
        (0..200_u32, any::<u64>(), any::<u64>()).prop_map(|(max, interval, delay_ms)| RestartStrategy::FailureRate {
            max_failures_per_interval: max,
            failure_rate_interval_ms: interval,
            delay_ms,
        }),
        exponential,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Nothing overflows, the history stays small, and the same past is decided alike.
    #[test]
    fn any_strategy_decides_any_past(
        strategy in strategy(),
        times in prop::collection::vec(any::<u64>(), 0..150),
        seed in any::<u64>(),
    ) {
        let mut history = History::default();
        for time in times {
            let (said, next) = strategy.decide(&history, UnixMillis(time), seed);
            prop_assert_eq!(strategy.decide(&history, UnixMillis(time), seed), (said, next.clone()));
            prop_assert_eq!(next.failures, history.failures + 1);
            prop_assert!(next.recent.len() <= MAX_RECENT + 1 && next.streak <= next.failures);
            history = next;
        }
    }

    /// With a multiplier above one, delays without jitter never shrink but by a reset, and never leave their bounds.
    #[test]
    fn delays_keep_to_their_bounds(
        initial in 1..10_000_u64,
        span in 0..100_000_u64,
        multiplier in 1_000..4_000_u64,
        jitter in 0..=1_000_u64,
        seed in any::<u64>(),
        streak in 1..200_u64,
    ) {
        let settings = ExponentialDelay {
            initial_backoff_ms: initial,
            max_backoff_ms: initial + span,
            backoff_multiplier: multiplier,
            jitter_factor: jitter,
            ..ExponentialDelay::default()
        };
        prop_assert!((initial..=initial + span).contains(&settings.backoff(streak, seed)));
        let even = ExponentialDelay { jitter_factor: 0, ..settings };
        prop_assert!(even.backoff(streak, seed) <= even.backoff(streak + 1, seed));
    }

    /// A restart strategy with a bound ends every job that keeps failing.
    #[test]
    fn bounded_attempts_end(attempts in 0..20_u64, delay_ms in 0..1_000_u64) {
        let strategy = RestartStrategy::FixedDelay { attempts, delay_ms };
        let times: Vec<u64> = (0..=attempts).map(|n| n * 10).collect();
        let (said, _) = run(&strategy, &times);
        let restarts = said.iter().filter(|said| matches!(said, Restart::After(_))).count() as u64;
        prop_assert_eq!((restarts, said.last()), (attempts, Some(&Restart::GiveUp)));
    }
}
