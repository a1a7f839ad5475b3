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
use lockgate_core::error::code;
use lockgate_core::plan::{Compression, Format, FormatKind, Sink as SinkPlan, SinkConnector};
use lockgate_core::{Error, Name, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// A job's sinks by the names of their nodes.
pub type Sinks = BTreeMap<Name, Box<dyn Sink>>;

/// A sink.
pub trait Sink: Send + Sync {
    /// What slot `slot` writes with. One writer for each slot at a time.
    ///
    /// # Errors
    /// `LG0820`.
    fn writer(&self, slot: u32) -> Result<Box<dyn Writer>>;

    /// Makes prepared output visible, for good. Idempotent, also when several do it at once: what has been committed already
    /// is left as it is. To be called only once the outputs are in a durable record.
    ///
    /// # Errors
    /// `LG0820` to `LG0823`; some of the outputs may have been committed, and the call may be repeated.
    fn commit(&self, prepared: &[Prepared]) -> Result<()>;

    /// Removes what this run of this job left waiting and nobody will commit. Nothing of other runs is touched.
    ///
    /// # Errors
    /// `LG0820`; some may have been removed, and the call may be repeated.
    fn sweep(&self, leftovers: &Leftovers) -> Result<()>;

    /// Removes one output that was prepared and is refused for good, so that its name is free.
    ///
    /// # Errors
    /// `LG0820`.
    fn discard(&self, prepared: &Prepared) -> Result<()>;
}

/// Which waiting output of a run nobody will commit, once what the record holds is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Leftovers {
    /// All of it: nobody else runs the job.
    All,
    /// What was written under leases before this one. What is written under the present lease may be another TaskManager's.
    Before(u64),
    /// What these slots wrote under this lease: they begin again.
    Of {
        /// The epoch of the lease.
        lease: u64,
        /// The slots.
        slots: Range<u32>,
    },
}

impl Leftovers {
    /// Whether what `slot` wrote under `lease` is meant.
    fn has(&self, lease: u64, slot: u32) -> bool {
        match self {
            Self::All => true,
            Self::Before(present) => lease < *present,
            Self::Of { lease: of, slots } => lease == *of && slots.contains(&slot),
        }
    }
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
    /// The epoch of the lease under which it was written: part of the name under which it waits. 0 without a lease.
    #[serde(default)]
    pub lease: u64,
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

/// The sink that a plan's node `node` names, for what is written under the lease `lease` (0 without one); `spool` is a private
/// folder where output waits that has no folder of its own.
///
/// # Errors
/// `LG0801` if it names a volume that is not configured, `LG0803` to `LG0806` if its folder cannot be opened, `LG0840` if
/// it needs a spool and there is none.
pub fn connect(
    node: &Name,
    plan: &SinkPlan,
    run: &RunId,
    lease: u64,
    volumes: &Volumes,
    spool: Option<Dir>,
) -> Result<Box<dyn Sink>> {
    Ok(match &plan.connector {
        SinkConnector::File { volume, path } => {
            let folder = volumes.get(volume)?.folder(path)?;
            let ending = plan.format.as_ref().map_or_else(|| "bin".into(), ending);
            Box::new(FileSink::new(folder, node, run, lease, &ending))
        }
        SinkConnector::Stdout => {
            let none = || Error::new(code::STREAM_ELSEWHERE, "there is no standard output here").at(node.as_str());
            Box::new(StdoutSink::new(spool.ok_or_else(none)?, node, run, Box::new(std::io::stdout())))
        }
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
