//! The state machine: every cell of its table by property, and the ways through it that Flink's users know.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn state() -> impl Strategy<Value = State> {
    prop::sample::select(State::ALL.to_vec())
}

fn triggers() -> impl Strategy<Value = Vec<Trigger>> {
    prop::collection::vec(prop::sample::select(Trigger::ALL.to_vec()), 0..40)
}

/// The state after all triggers, those that do not follow left out.
fn run(state: State, triggers: &[Trigger]) -> State {
    triggers.iter().fold(state, |state, trigger| state.next(*trigger).unwrap_or(state))
}

/// The states that can be reached from `from` by triggers that are `allowed`.
fn reachable(from: State, allowed: impl Fn(Trigger) -> bool) -> BTreeSet<State> {
    let mut found = BTreeSet::from([from]);
    loop {
        let next: BTreeSet<State> = found
            .iter()
            .flat_map(|state| Trigger::ALL.iter().filter(|trigger| allowed(**trigger)).map(|t| state.next(*t)))
            .flatten()
            .collect();
        if next.is_subset(&found) {
            return found;
        }
        found.extend(next);
    }
}

#[test]
fn every_cell_is_a_state_or_a_refusal() {
    for state in State::ALL {
        for trigger in Trigger::ALL {
            match state.next(trigger) {
                Ok(_) => assert!(!state.is_terminal(), "{state} {trigger}"),
                Err(error) => {
                    let code = if state.is_terminal() { code::JOB_ENDED } else { code::JOB_TRANSITION };
                    assert_eq!(error.code(), code, "{state} {trigger}");
                    assert!(error.cause().contains(state.as_str()), "{error}");
                }
            }
        }
    }
}

#[test]
fn every_state_is_reachable_from_the_first() {
    assert_eq!(reachable(State::Initializing, |_| true).len(), State::ALL.len());
}

#[test]
fn a_cancelled_job_can_only_become_canceled() {
    for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
        let cancelled = state.next(Trigger::Cancel).unwrap();
        let reached = reachable(cancelled, |_| true);
        assert_eq!(reached, BTreeSet::from([State::Cancelling, State::Canceled]), "{state}");
    }
}

#[test]
fn every_job_can_end() {
    for state in State::ALL {
        assert!(reachable(state, |_| true).iter().any(|state| state.is_terminal()), "{state}");
    }
}

#[test]
fn a_failed_job_is_given_up_only_when_its_tasks_have_ended() {
    for state in [State::Created, State::Running, State::Reconciling, State::Restarting, State::Suspended] {
        assert_eq!(state.next(Trigger::GiveUp).unwrap_err().code(), code::JOB_TRANSITION, "{state}");
        assert_eq!(run(state, &[Trigger::Fail, Trigger::GiveUp]), State::Failed);
    }
}

#[test]
fn a_restart_goes_through_created() {
    use State as S;
    use Trigger as T;
    let way = [T::Admit, T::Start, T::Fail, T::Restart, T::Ready, T::Start, T::Lose, T::Start, T::Finish];
    let mut seen = vec![S::Initializing];
    for trigger in way {
        seen.push(seen[seen.len() - 1].next(trigger).unwrap());
    }
    assert_eq!(
        seen,
        [
            S::Initializing,
            S::Created,
            S::Running,
            S::Failing,
            S::Restarting,
            S::Created,
            S::Running,
            S::Reconciling,
            S::Running,
            S::Finished
        ]
    );
    // Not to RUNNING past the queue for slots.
    assert!(S::Restarting.next(T::Start).is_err() && S::Failing.next(T::Start).is_err());
    assert!(S::Suspended.next(T::Start).is_err() && S::Initializing.next(T::Start).is_err());
}

#[test]
fn names_are_those_of_flink_everywhere() {
    for state in State::ALL {
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        assert_eq!(state.as_str().parse::<State>(), Ok(state));
        assert_eq!(serde_json::from_str::<State>(&format!("\"{state}\"")).unwrap(), state);
    }
    for bad in ["", "running", "CANCELLED", "RUNNING "] {
        assert_eq!(bad.parse::<State>().unwrap_err().code(), code::UNKNOWN_STATE, "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn terminal_states_stay(state in state(), triggers in triggers()) {
        let end = run(state, &triggers);
        if state.is_terminal() {
            prop_assert_eq!(end, state);
        }
        if end.is_terminal() {
            prop_assert_eq!(run(end, &triggers), end);
        }
    }

    #[test]
    fn a_repeated_trigger_changes_nothing(state in state(), trigger in prop::sample::select(Trigger::ALL.to_vec())) {
        if let Ok(after) = state.next(trigger) {
            prop_assert_eq!(after.next(trigger).unwrap_or(after), after);
        }
    }

    #[test]
    fn whatever_happened_cancel_ends_it(triggers in triggers()) {
        let state = run(State::Initializing, &triggers);
        let end = run(state, &[Trigger::Cancel, Trigger::Ended]);
        prop_assert!(end == State::Canceled || (state.is_terminal() && end == state));
    }
}
