//! Where operators hand in what is not a batch for the next operator: dead letters and counts.

use super::Counters;
use crate::Deliver;
use crate::dead_letter::{DeadLetters, Letter, Samples};
use lockgate_core::error::Result;
use std::collections::BTreeMap;

/// Collects dead letters by sink and passes them on in batches.
pub(crate) struct Desk<'a> {
    pub(super) letters: &'a mut BTreeMap<usize, DeadLetters>,
    pub(super) samples: &'a mut Samples,
    pub(super) counters: &'a mut [Counters],
    pub(super) out: &'a mut dyn Deliver,
}

impl Desk<'_> {
    /// Changes the counters of a node.
    pub(crate) fn count(&mut self, node: usize, change: impl FnOnce(&mut Counters)) {
        if let Some(counters) = self.counters.get_mut(node) {
            change(counters);
        }
    }

    /// Takes a letter for the sink at index `sink`.
    ///
    /// # Errors
    /// When the sink refuses the letters so far.
    pub(crate) fn send(&mut self, sink: usize, letter: &Letter<'_>) -> Result<()> {
        self.samples.keep(letter);
        let full = self.letters.entry(sink).or_default().push(letter);
        if full { self.deliver(sink) } else { Ok(()) }
    }

    /// Passes on all letters.
    ///
    /// # Errors
    /// When a sink refuses them.
    pub(super) fn flush(&mut self) -> Result<()> {
        let sinks: Vec<usize> = self.letters.keys().copied().collect();
        sinks.into_iter().try_for_each(|sink| self.deliver(sink))
    }

    fn deliver(&mut self, sink: usize) -> Result<()> {
        let Some(letters) = self.letters.get_mut(&sink) else { return Ok(()) };
        let Some(batch) = letters.take()? else { return Ok(()) };
        self.count(sink, |counters| {
            counters.rows_in += batch.num_rows() as u64;
            counters.batches += 1;
        });
        self.out.batch(sink, &batch)
    }
}
