//! Where a job's bytes go, in two phases: what belongs to an epoch is prepared (complete and on the disk, yet not to be
//! seen), the checkpoint records it together with the positions behind it, and only then is it committed. After a crash
//! the record says which prepared output counts; the rest is thrown away.

mod discard;
mod file;
mod staging;
mod stdout;

pub use discard::DiscardSink;
pub use file::FileSink;
pub use stdout::StdoutSink;

use crate::volume::Volumes;
use cap_std::fs::Dir;
use lockgate_core::plan::{Compression, Format, FormatKind, Sink as SinkPlan, SinkConnector};
use lockgate_core::{Name, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A job's sinks by the names of their nodes.
pub type Sinks = BTreeMap<Name, Box<dyn Sink>>;

/// A sink.
pub trait Sink: Send + Sync {
    /// What slot `slot` writes with. One writer for each slot at a time.
    ///
    /// # Errors
    /// `LG0820`.
    fn writer(&self, slot: u32) -> Result<Box<dyn Writer>>;

    /// Makes prepared output visible, for good. Idempotent: what has been committed already is left as it is. To be called
    /// only once the outputs are in a durable record.
    ///
    /// # Errors
    /// `LG0820` to `LG0823`; some of the outputs may have been committed, and the call may be repeated.
    fn commit(&self, prepared: &[Prepared]) -> Result<()>;

    /// After a restart, before anything is written: commits what the record holds, throws away what else this run of
    /// this job prepared. Nothing of other runs is touched.
    ///
    /// # Errors
    /// As [`Sink::commit`].
    fn recover(&self, committed: &[Prepared]) -> Result<()>;
}

/// What one slot writes to a sink with.
pub trait Writer: Send {
    /// Appends bytes to the output of `epoch`. Epochs rise, and one is prepared before the next begins.
    ///
    /// # Errors
    /// `LG0820`. A writer that failed is of no more use: the job goes on from its last commit.
    fn write(&mut self, epoch: u64, bytes: &[u8]) -> Result<()>;

    /// Completes the output of `epoch`: from now on it survives a crash. None if nothing was written.
    ///
    /// # Errors
    /// `LG0820`.
    fn prepare(&mut self, epoch: u64) -> Result<Option<Prepared>>;
}

/// Output of one slot in one epoch that is complete but not committed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    /// The epoch.
    pub epoch: u64,
    /// The slot.
    pub slot: u32,
    /// How long it is.
    pub bytes: u64,
}

/// The id of one run of a job from its first start to its end, restarts included. It is part of the names of a run's
/// outputs, so that no two runs share one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A new one, of 64 random bits.
    ///
    /// # Errors
    /// `LG0830` if the system has no random numbers.
    pub fn random() -> Result<Self> {
        Ok(Self(format!("{:016x}", u64::from_le_bytes(crate::durable::random()?))))
    }
}

impl TryFrom<String> for RunId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits && text.len() == 16 { Ok(Self(text)) } else { Err("a run's id is 16 hexadecimal digits") }
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        run.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sink that a plan's node `node` names; `spool` is a private folder where output waits that has no folder of its own.
///
/// # Errors
/// `LG0801` if it names a volume that is not configured, `LG0803` to `LG0806` if its folder cannot be opened.
pub fn connect(node: &Name, plan: &SinkPlan, run: &RunId, volumes: &Volumes, spool: Dir) -> Result<Box<dyn Sink>> {
    Ok(match &plan.connector {
        SinkConnector::File { volume, path } => {
            let folder = volumes.get(volume)?.folder(path)?;
            let ending = plan.format.as_ref().map_or_else(|| "bin".into(), ending);
            Box::new(FileSink::new(folder, node, run, &ending))
        }
        SinkConnector::Stdout => Box::new(StdoutSink::new(spool, node, run, Box::new(std::io::stdout()))),
        SinkConnector::Discard => Box::new(DiscardSink::default()),
    })
}

/// The ending of a file in this format, without the first dot: `parquet`, `csv.gz`.
pub fn ending(format: &Format) -> String {
    let kind = match format.kind {
        FormatKind::Parquet => "parquet",
        FormatKind::Csv { .. } => "csv",
        FormatKind::Json => "json",
        FormatKind::Lines => "txt",
    };
    match format.compression {
        Compression::Gzip => format!("{kind}.gz"),
        Compression::Zstd => format!("{kind}.zst"),
        Compression::Auto | Compression::None => kind.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_end_as_their_format_says() {
        let ending_of = |kind, compression| ending(&Format { kind, compression });
        assert_eq!(ending_of(FormatKind::Parquet, Compression::Auto), "parquet");
        assert_eq!(ending_of(FormatKind::Json, Compression::Zstd), "json.zst");
        assert_eq!(ending_of(FormatKind::Lines, Compression::Gzip), "txt.gz");
    }

    #[test]
    fn run_ids_are_hexadecimal_and_differ() {
        let run = RunId::random().unwrap();
        assert_ne!(run, RunId::random().unwrap());
        assert_eq!(RunId::try_from(run.to_string()).unwrap(), run);
        for bad in ["", "0123456789abcde", "0123456789ABCDEF", "../../../../../.."] {
            assert!(RunId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
