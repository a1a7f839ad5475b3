//! Memory of an instance: all linear memories and tables together, where wasmtime's own limits count each alone.

use wasmtime::ResourceLimiter;

/// Bytes that an element of a table counts.
const TABLE_ELEMENT: usize = 8;
/// Core instances, tables and memories that a component may have. Address space is set aside for that many in every
/// instance (4 GiB for a memory), and components are known to have one memory and up to three tables.
pub(crate) const MAX_INSTANCES: u32 = 128;
pub(crate) const MAX_TABLES: u32 = 16;
pub(crate) const MAX_MEMORIES: u32 = 4;

/// Sums what an instance holds and refuses growth beyond its limit.
pub(crate) struct Limiter {
    limit: u64,
    /// Bytes held. Neither memories nor tables shrink, so this is the peak as well.
    pub held: u64,
    /// Bytes of the growth allowed last, to be taken back should it fail.
    last: u64,
    /// Whether growth was refused since the last call began: a trap that follows is the limit's.
    pub refused: bool,
}

impl Limiter {
    pub fn new(limit: u64) -> Self {
        Self { limit, held: 0, last: 0, refused: false }
    }

    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, unit: usize) -> bool {
        self.last = 0;
        let bytes = (desired.saturating_sub(current) as u64).saturating_mul(unit as u64);
        if self.held.saturating_add(bytes) > self.limit {
            self.refused = true;
            return false;
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        (self.held, self.last) = (self.held + bytes, bytes);
        true
    }

    fn take_back(&mut self) {
        self.held -= std::mem::take(&mut self.last);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, TABLE_ELEMENT))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_are_summed() {
        let mut limiter = Limiter::new(1_000);
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(!limiter.table_growing(0, 26, None).unwrap() && limiter.refused);
        assert!(limiter.table_growing(0, 25, None).unwrap());
        assert_eq!(limiter.held, 1_000);
    }

    #[test]
    fn growth_that_failed_is_taken_back() {
        let mut limiter = Limiter::new(1_000);
        assert!(limiter.memory_growing(100, 400, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(!limiter.memory_growing(0, 200, Some(100)).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("above its maximum")).unwrap();
        assert_eq!((limiter.held, limiter.refused), (0, false));
    }
}
