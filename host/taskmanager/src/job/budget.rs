//! Holds a slot to so much fuel a second: whoever has used more is answered later.
//!
//! Each unit of fuel takes its time to be paid for, and a slot may be at most one second ahead of what is paid. Fuel is known
//! only once it is used, so a slot gets ahead by up to a batch and then waits for as long as that takes to pay. A
//! compromised executor can report less than it uses: what it cannot pass are its share of the CPU and its memory.

use lockgate_executor::protocol::Usage;
use std::time::Duration;

/// How far a slot may be ahead of what is paid.
const BURST: Duration = Duration::from_secs(1);

/// The fuel of one slot.
#[derive(Debug)]
pub(super) struct Budget {
    per_second: u64,
    /// What the slot had used when it last said so.
    used: u64,
    /// When all that was used is paid for, since the slot began.
    paid: Duration,
}

impl Budget {
    pub(super) fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), used: 0, paid: Duration::ZERO }
    }

    /// How long to hold back a slot that says at `now`, since it began, that it has used `usage` in all.
    pub(super) fn hold(&mut self, usage: &Usage, now: Duration) -> Duration {
        let functions = usage.functions.iter().map(|(_, function)| function.fuel.saturating_add(function.start_fuel));
        let total = functions.fold(0_u64, u64::saturating_add);
        let fuel = total.saturating_sub(self.used);
        self.used = self.used.max(total);
        let nanoseconds = u128::from(fuel) * 1_000_000_000 / u128::from(self.per_second);
        let price = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.paid = self.paid.max(now).saturating_add(price);
        self.paid.saturating_sub(now.saturating_add(BURST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_executor::protocol::FunctionUsage;
    use proptest::prelude::*;

    fn used(fuel: u64) -> Usage {
        let function = FunctionUsage { fuel: fuel / 2, start_fuel: fuel - fuel / 2, ..FunctionUsage::default() };
        Usage { functions: vec![(1, function)], ..Usage::default() }
    }

    #[test]
    fn a_second_may_be_used_ahead_and_no_more() {
        let mut budget = Budget::new(1_000);
        let second = Duration::from_secs(1);
        assert_eq!(budget.hold(&used(1_000), Duration::ZERO), Duration::ZERO);
        assert_eq!(budget.hold(&used(1_500), Duration::ZERO), second / 2);
        // What is not used is not saved up beyond that second.
        assert_eq!(budget.hold(&used(2_500), second * 100), Duration::ZERO);
        assert_eq!(budget.hold(&used(3_500), second * 100), second);
        // Whoever counts backwards gains nothing.
        assert_eq!(budget.hold(&used(0), second * 101), Duration::ZERO);
        assert_eq!(budget.hold(&used(3_500), second * 101), Duration::ZERO);
        assert_eq!(budget.hold(&used(4_500), second * 101), second);
        assert!(budget.hold(&used(u64::MAX), second * 101) > second * 1_000);
        assert!(Budget::new(0).hold(&used(u64::MAX), second) > second * 1_000);
    }

    proptest! {
        /// By a clock that shows the work and the waiting only.
        #[test]
        fn a_slot_takes_as_long_as_its_budget_says(
            per_second in 1_u64..1_000_000,
            steps in prop::collection::vec((0_u64..10_000_000, 0_u64..500), 1..50),
        ) {
            let mut budget = Budget::new(per_second);
            let (mut now, mut total) = (Duration::ZERO, 0);
            for (fuel, milliseconds) in steps {
                now += Duration::from_millis(milliseconds);
                total += fuel;
                let held = budget.hold(&used(total), now);
                let due = Duration::from_secs_f64(total as f64 / per_second as f64);
                let slack = Duration::from_millis(1);
                prop_assert!(now + held + BURST + slack >= due, "{total} by {now:?} and {held:?}");
                // No longer than the fuel alone takes to pay, however little the slot did before.
                prop_assert!(held <= due + slack);
                now += held;
            }
        }
    }
}
