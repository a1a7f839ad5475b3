//! What an instance used. Plain numbers: they cross to the TaskManager and are summed there.

/// Usage of a function, of one instance or merged over several.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Calls, failed ones too.
    pub calls: u64,
    /// Input rows of the calls that succeeded.
    pub rows: u64,
    /// Fuel of all calls, failed ones too.
    pub fuel: u64,
    /// Instances made.
    pub instances: u64,
    /// Fuel of making them.
    pub instance_fuel: u64,
    /// Fuel per record of the calls that succeeded, each call's mean counted once for each of its rows.
    pub per_record: Histogram,
    /// The most bytes that an instance held in memories and tables.
    pub peak_memory: u64,
    /// Calls that failed by a trap, a limit, or what the guest gave back.
    pub traps: u64,
    /// Bytes logged.
    pub logged: u64,
    /// Bytes of log dropped, because they were beyond the quota.
    pub log_dropped: u64,
}

impl Usage {
    /// Adds what another instance used.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.rows += other.rows;
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.instances += other.instances;
        self.instance_fuel = self.instance_fuel.saturating_add(other.instance_fuel);
        self.per_record.merge(&other.per_record);
        self.peak_memory = self.peak_memory.max(other.peak_memory);
        self.traps += other.traps;
        self.logged += other.logged;
        self.log_dropped += other.log_dropped;
    }
}

/// Counts values in buckets of which each is at most an eighth wider than its lower bound: quantiles are that exact.
///
/// Empty it holds nothing on the heap; it grows to 4 KiB at most.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

/// Buckets between two powers of two, as a power of two.
const STEPS: u32 = 3;

impl Histogram {
    /// Counts `value`, `times` times.
    pub fn record(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        let bucket = bucket(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += times;
        }
        self.count += times;
        self.max = self.max.max(value);
    }

    /// The values counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// A value that at least `permille` thousandths of all values do not exceed; 0 if there is none.
    pub fn quantile(&self, permille: u32) -> u64 {
        let wanted = u128::from(self.count) * u128::from(permille.min(1_000));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen > 0 && seen * 1_000 >= wanted {
                return upper(index).min(self.max);
            }
        }
        self.max
    }

    /// Adds the values of another.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }
}

/// The bucket of `value`: values below 8 have one each, then eight between two powers of two.
fn bucket(value: u64) -> usize {
    let steps = 1_u64 << STEPS;
    if value < steps {
        return value as usize;
    }
    let exponent = value.ilog2() - STEPS;
    ((u64::from(exponent) << STEPS) + (value >> exponent)) as usize
}

/// The largest value in a bucket.
fn upper(bucket: usize) -> u64 {
    let (steps, bucket) = (1_u64 << STEPS, bucket as u64);
    if bucket < steps {
        return bucket;
    }
    let exponent = (bucket >> STEPS) - 1;
    let first = u128::from(steps + (bucket & (steps - 1)) + 1) << exponent;
    u64::try_from(first - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_exact_to_an_eighth() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|value| histogram.record(value, 1));
        assert!((500..=563).contains(&histogram.quantile(500)), "{}", histogram.quantile(500));
        assert!((990..=1_000).contains(&histogram.quantile(990)), "{}", histogram.quantile(990));
        assert_eq!((histogram.max(), histogram.count(), histogram.quantile(1_000)), (1_000, 1_000, 1_000));
        assert_eq!(Histogram::default().quantile(500), 0);
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value: u64) {
            let index = bucket(value);
            prop_assert!(upper(index) >= value && index < 512);
            prop_assert!(index == 0 || upper(index - 1) < value);
        }
    }
}
