//! The Nexmark generator's splits. Its records are made within the executor, so there are no bytes to open.

use super::{Bytes, Source, Split};
use lockgate_core::plan::Nexmark;
use lockgate_core::{Digest, Result};

/// Lists the splits `0/N` to `N-1/N` of a generator.
#[derive(Debug)]
pub struct NexmarkSource {
    splits: u32,
    endless: bool,
    fingerprint: String,
}

impl NexmarkSource {
    /// The generator with these settings.
    pub fn new(settings: &Nexmark) -> Self {
        // The rate is not part of it: it says when events come, not which.
        let Nexmark { table, events, rate: _, seed, splits, prepared } = settings;
        let identity = format!("{table:?} {events:?} {seed} {splits} {prepared}");
        let fingerprint = Digest::of(identity.as_bytes()).short();
        Self { splits: (*splits).max(1), endless: events.is_none(), fingerprint }
    }
}

impl Source for NexmarkSource {
    fn splits(&self) -> Result<Vec<Split>> {
        let split = |index| Split {
            name: format!("{index}/{}", self.splits),
            size: None,
            fingerprint: self.fingerprint.clone(),
        };
        Ok((0..self.splits).map(split).collect())
    }

    fn open(&self, _: &Split) -> Result<Box<dyn Bytes>> {
        Ok(Box::new(Nothing))
    }

    fn endless(&self) -> bool {
        self.endless
    }
}

/// The bytes of a split that has none.
struct Nothing;

impl Bytes for Nothing {
    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn read_at(&mut self, _: u64, _: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_core::plan::NexmarkTable;

    #[test]
    fn lists_splits_whose_fingerprint_follows_the_events() {
        let settings =
            Nexmark { table: NexmarkTable::Bid, events: None, rate: Some(9), seed: 1, splits: 3, prepared: 0 };
        let splits = |settings: &Nexmark| NexmarkSource::new(settings).splits().unwrap();
        let names: Vec<String> = splits(&settings).into_iter().map(|split| split.name).collect();
        assert_eq!(names, ["0/3", "1/3", "2/3"]);
        assert_eq!(splits(&settings), splits(&Nexmark { rate: None, ..settings.clone() }));
        assert_ne!(splits(&settings), splits(&Nexmark { seed: 2, ..settings.clone() }));
        let source = NexmarkSource::new(&settings);
        assert_eq!(source.open(&source.splits().unwrap()[0]).unwrap().size(), Some(0));
    }
}
