//! What checking and compiling one component may cost.

/// Limits of one process that checks or compiles a component.
///
/// Time grows with what there is to compile, because what is small and dear was made to be: honest code takes about two
/// seconds for a megabyte. Data and names count little, so that nobody buys time with them. All in all, 200 KiB of code get
/// 3 s, a JavaScript engine of 12 MiB, which takes 20 to 36 s, gets 90 s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Seconds of processor time for any component.
    pub seconds: u64,
    /// Seconds for each MiB of its code, and for every 64 MiB of what is not code.
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
    /// Seconds to check a component of `size` bytes, which is read once.
    pub(super) fn check(&self, size: u64) -> u64 {
        self.compile(0, size, true)
    }

    /// Seconds to compile a component of `size` bytes, `code` of which are code. Whole ones: the kernel counts no others
    /// (RLIMIT_CPU).
    pub(super) fn compile(&self, code: u64, size: u64, optimise: bool) -> u64 {
        let weight = code.saturating_add(size.saturating_sub(code) / 64);
        let grown = weight.saturating_mul(self.seconds_per_mib).div_ceil(1 << 20);
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
        let both = |code, size| (budget.compile(code, size, true), budget.compile(code, size, false));
        assert_eq!(both(0, 1), (1, 1));
        assert_eq!(both(1, 1), (2, 1));
        assert_eq!(both(200 << 10, 300 << 10), (2, 1));
        assert_eq!(both(100 << 10, 6 << 20), (2, 1));
        assert_eq!(both(1 << 20, 1 << 20), (6, 3));
        assert_eq!(both(12 << 20, 12 << 20), (60, 30));
        assert_eq!(both(u64::MAX, u64::MAX), (60, 30));
        assert_eq!((budget.check(1), budget.check(64 << 20)), (1, 6));
    }
}
