//! Nowhere: for measurements, and for what a job has to name but nobody wants. It counts.

use super::{Leftovers, Prepared, Sink, Writer};
use lockgate_core::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts bytes and drops them.
#[derive(Clone, Debug, Default)]
pub struct DiscardSink(Arc<AtomicU64>);

impl DiscardSink {
    /// Bytes dropped so far in this process.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Sink for DiscardSink {
    fn writer(&self, _slot: u32) -> Result<Box<dyn Writer>> {
        Ok(Box::new(self.clone()))
    }

    fn commit(&self, _prepared: &[Prepared]) -> Result<()> {
        Ok(())
    }

    fn sweep(&self, _leftovers: &Leftovers) -> Result<()> {
        Ok(())
    }

    fn discard(&self, _prepared: &Prepared) -> Result<()> {
        Ok(())
    }
}

impl Writer for DiscardSink {
    fn write(&mut self, _epoch: u64, bytes: &[u8]) -> Result<()> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn prepare(&mut self, _epoch: u64) -> Result<Option<Prepared>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_over_all_slots_and_prepares_nothing() {
        let sink = DiscardSink::default();
        for slot in 0..3 {
            let mut writer = sink.writer(slot).unwrap();
            writer.write(1, b"1234").unwrap();
            assert_eq!(writer.prepare(1).unwrap(), None);
        }
        assert_eq!(sink.bytes(), 12);
    }
}
