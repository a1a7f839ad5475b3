//! Shares of tenants: how much of the cluster each has, and how much is its due.
//!
//! A tenant's share is its dominant one (Ghodsi et al., Dominant Resource Fairness, NSDI 2011): of its slots and its
//! memory that which is the greater part of all there is. What is due to it is found by weighted max-min: who wants
//! less than his part gets what he wants, and the rest is divided again among the others by weight. Parts are whole
//! numbers of [`WHOLE`], because floats would make the answer depend on the order of the sums.

/// The whole cluster.
pub(super) const WHOLE: u128 = 1 << 40;

/// All slots and bytes of memory.
#[derive(Clone, Copy)]
pub(super) struct Total {
    pub(super) slots: u64,
    pub(super) memory: u64,
}

impl Total {
    /// The dominant share of so many slots and bytes.
    pub(super) fn share(self, slots: u64, memory: u64) -> u128 {
        let part = |of: u64, all: u64| match all {
            0 if of > 0 => WHOLE,
            0 => 0,
            all => u128::from(of) * WHOLE / u128::from(all),
        };
        part(slots, self.slots).max(part(memory, self.memory))
    }
}

/// What is due to each of these, given what each wants and its weight: weighted max-min over [`WHOLE`].
pub(super) fn due(wants: &[(u128, u32)]) -> Vec<u128> {
    let mut order: Vec<(usize, u128, u128)> = wants
        .iter()
        .enumerate()
        .map(|(index, (wanted, weight))| (index, (*wanted).min(WHOLE), u128::from(*weight).max(1)))
        .collect();
    // Who is satisfied with least for his weight comes first.
    order.sort_by(|(i, a, wa), (j, b, wb)| (a * wb).cmp(&(b * wa)).then(i.cmp(j)));
    let (mut left, mut weights) = (WHOLE, order.iter().map(|(_, _, weight)| weight).sum::<u128>());
    let mut due = vec![0; wants.len()];
    for (index, wanted, weight) in order {
        let fair = (left * weight).checked_div(weights).unwrap_or_default();
        let given = wanted.min(fair);
        (left, weights) = (left - given, weights - weight);
        if let Some(due) = due.get_mut(index) {
            *due = given;
        }
    }
    due
}

/// A share for its weight: whoever has less of it comes first.
pub(super) fn per_weight(share: u128, weight: u32) -> u128 {
    (share << 32) / u128::from(weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rest_is_divided_by_weight() {
        let part = |percent: u128| WHOLE * percent / 100;
        let near = |a: u128, b: u128| assert!(a.abs_diff(b) < 100, "{a} {b}");
        let given = due(&[(part(10), 1), (part(100), 1), (part(100), 2)]);
        near(given[0], part(10));
        near(given[1], part(30));
        near(given[2], part(60));
        assert_eq!(due(&[(part(20), 5), (part(30), 1)]), [part(20), part(30)]);
        assert_eq!(due(&[]), Vec::<u128>::new());
    }

    #[test]
    fn the_greater_part_is_the_share() {
        let total = Total { slots: 10, memory: 100 };
        assert_eq!(total.share(1, 50), WHOLE / 2);
        assert_eq!(total.share(5, 10), WHOLE / 2);
        let nothing = Total { slots: 0, memory: 0 };
        assert_eq!((nothing.share(0, 0), nothing.share(1, 0)), (0, WHOLE));
    }

    proptest! {
        /// Nobody gets more than he wants, all together no more than there is, and all of it if it is wanted; who
        /// does not get what he wants has no less for his weight than anybody else.
        #[test]
        fn dues_are_weighted_max_min(wants in prop::collection::vec((0..2 * WHOLE, 1..1_000_u32), 1..20)) {
            let given = due(&wants);
            let wanted: u128 = wants.iter().map(|(wanted, _)| (*wanted).min(WHOLE)).sum();
            let sum: u128 = given.iter().sum();
            prop_assert!(sum <= WHOLE && sum + 20 >= wanted.min(WHOLE));
            for (mine, (wanted, weight)) in given.iter().zip(&wants) {
                prop_assert!(mine <= wanted);
                if *mine < (*wanted).min(WHOLE) {
                    for (other, (_, others)) in given.iter().zip(&wants) {
                        let slack = u128::from(*weight) * 20 + 20 * u128::from(*others);
                        prop_assert!(mine * u128::from(*others) + slack >= other * u128::from(*weight));
                    }
                }
            }
        }
    }
}
