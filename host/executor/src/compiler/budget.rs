//! What checking and compiling one component may cost.

/// Limits of one process that checks or compiles a component.
///
/// Time grows with the component, because what is small and dear was made to be: an honest component takes about two
/// seconds for a megabyte. All in all, one of up to 200 KiB gets 3 s, one of 12 MiB (a JavaScript engine, which takes 36 s)
/// 90 s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Seconds of processor time for any component.
    pub seconds: u64,
    /// Seconds for each MiB of it.
    pub seconds_per_mib: u64,
    /// The most seconds. A second attempt, without optimising, gets half of what the first had.
    pub most_seconds: u64,
    /// Bytes of address space, the program's own included.
    pub memory: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { seconds: 1, seconds_per_mib: 5, most_seconds: 60, memory: 1 << 30 }
    }
}

impl Budget {
    /// Seconds for a component of `size` bytes. Whole ones: the kernel counts no others (RLIMIT_CPU).
    pub(super) fn cpu(&self, size: u64, optimise: bool) -> u64 {
        let grown = size.saturating_mul(self.seconds_per_mib).div_ceil(1 << 20);
        let seconds = self.seconds.saturating_add(grown).min(self.most_seconds);
        if optimise { seconds } else { seconds.div_ceil(2) }.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_component_gets_three_seconds_in_all() {
        let budget = Budget::default();
        let both = |size| (budget.cpu(size, true), budget.cpu(size, false));
        assert_eq!(both(1), (2, 1));
        assert_eq!(both(200 << 10), (2, 1));
        assert_eq!(both(1 << 20), (6, 3));
        assert_eq!(both(12 << 20), (60, 30));
        assert_eq!(both(u64::MAX), (60, 30));
    }
}
