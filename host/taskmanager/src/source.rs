//! Where a job's bytes come from: splits, and byte ranges of them. What the bytes mean is the executor's business.

mod file;
mod nexmark;
mod stdin;

pub use file::FileSource;
pub use lockgate_core::plane::Split;
pub use nexmark::NexmarkSource;
pub use stdin::StreamSource;

use crate::volume::Volumes;
use lockgate_core::Result;
use lockgate_core::plan::SourceConnector;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A source that can list its splits and open them.
pub trait Source: Send + Sync {
    /// The splits that are there now, in the order of their names.
    ///
    /// # Errors
    /// As the connector says.
    fn splits(&self) -> Result<Vec<Split>>;

    /// Opens the bytes of a split that [`Source::splits`] listed, now or in an earlier run.
    ///
    /// # Errors
    /// `LG0809` if it is no longer what was listed; otherwise as the connector says.
    fn open(&self, split: &Split) -> Result<Box<dyn Bytes>>;

    /// Whether its splits never end, so that each of them keeps the slot that reads it.
    fn endless(&self) -> bool {
        false
    }

    /// Whether a later run can open a split again and read on from a position.
    fn resumable(&self) -> bool {
        true
    }
}

/// The bytes of one split.
pub trait Bytes: Send {
    /// All bytes of the split, if that is known beforehand.
    fn size(&self) -> Option<u64>;

    /// Reads up to `buffer.len()` bytes from `offset`; 0 at the end only (or for an empty buffer). A file fills the
    /// buffer unless it ends; a stream blocks until it has something and gives what it has.
    ///
    /// # Errors
    /// `LG0809` if the file was changed since it was listed, `LG0810` if the system refuses, `LG0811` if a stream is asked
    /// for anything but its next byte.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize>;
}

/// The source that a plan names. A stream ends soon after `stop` is set.
///
/// # Errors
/// `LG0801` if it names a volume that is not configured, `LG0810` if there is no standard input.
pub fn connect(connector: &SourceConnector, volumes: &Volumes, stop: &Arc<AtomicBool>) -> Result<Box<dyn Source>> {
    Ok(match connector {
        SourceConnector::File { volume, path } => Box::new(FileSource::new(volumes.get(volume)?.clone(), path)),
        SourceConnector::Stdin => Box::new(StreamSource::stdin(Arc::clone(stop))?),
        SourceConnector::Nexmark(settings) => Box::new(NexmarkSource::new(settings)),
    })
}
