//! The state of a run on the disk: the record of its commits, and the order in which a commit happens.
//!
//! A commit is: write the record with the new positions and the outputs prepared with them, durably; then commit those
//! outputs. The record decides. A crash before it is durable leaves the outputs uncommitted, and the positions before
//! them; a crash after it leaves outputs to be committed, which the next start does, because committing is idempotent.
//! Either way every record's output is seen exactly once.
//!
//! Slots commit independently, one at a time or several together, through one [`State`], which holds the positions of
//! all. So a record never has outputs of an earlier commit that may still be uncommitted.
//!
//! `STATE/TENANT/JOB/` has the `record`, a `lock` that one process holds, and the `spool` of outputs without a folder.

mod record;

pub use lockgate_core::plane::{Position, Progress};
pub use record::{Change, Identity, MAX_POSITION, MAX_RECORD, Output, Pending, Record};

use crate::durable;
use crate::durable::Lock;
use crate::sink::{Leftovers, Prepared, Sinks};
use cap_std::fs::Dir;
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The state of one job, locked for this process.
#[derive(Debug)]
pub struct State {
    dir: Dir,
    _lock: Lock,
    record: Record,
    phase: Phase,
}

/// What [`State::open`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// No state: this run begins.
    Fresh,
    /// A run that has not finished: it goes on.
    Resume,
    /// A run that has finished, perhaps of another version of the job. To run again is to [`State::restart`].
    Finished,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Outputs of the last commit may be uncommitted.
    Opened,
    /// All outputs of the record are committed.
    Running,
    /// A commit failed half-way: only a new start can tell what is on the disk.
    Broken,
}

/// Where a commit is. Tests stop it in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The record is being replaced.
    Record(durable::Step),
    /// The outputs of one more sink are committed.
    Outputs,
}

impl State {
    /// Opens the state of a job below the directory `root`, makes it if there is none, and locks it.
    ///
    /// # Errors
    /// `LG0831` if another process has it; `LG0832` to `LG0834` if what is there is not a good record of this job, and
    /// `LG0835` if it is of an unfinished run of another version: it never starts anew by itself; `LG0830` if the system
    /// refuses.
    pub fn open(root: &Path, job: &Identity) -> Result<(Self, Start)> {
        let (dir, lock) = lock(root, job)?;
        let Some(record) = read(&dir, &place(job))? else {
            return Ok((Self::begin(dir, lock, job)?, Start::Fresh));
        };
        if (&record.job.tenant, &record.job.name) != (&job.tenant, &job.name) {
            let cause = format!("the record is of job {}/{}", record.job.tenant, record.job.name);
            return Err(Error::new(code::STATE_FOREIGN, cause).at(place(job)));
        }
        let start = if record.finished { Start::Finished } else { Start::Resume };
        if record.job != *job && start == Start::Resume {
            // Nothing would be repeated: an author who corrects his job after its first batch failed just goes on.
            if record.commits == 0 {
                return Ok((Self::begin(dir, lock, job)?, Start::Fresh));
            }
            let other = match (record.job.version, record.job.payload) == (job.version, job.payload) {
                true => "with other values of parameters".to_owned(),
                false => format!("of version {} ({})", record.job.version, record.job.payload.short()),
            };
            let (version, payload) = (job.version, job.payload.short());
            let cause = format!(
                "an earlier run {other} has committed output and not finished; this is version {version} ({payload})"
            );
            let help = "run the earlier one to its end, or give it up with `--fresh`, which repeats what it committed";
            return Err(Error::new(code::STATE_OTHER_VERSION, cause).at(place(job)).help(help));
        }
        Ok((Self { dir, _lock: lock, record, phase: Phase::Opened }, start))
    }

    /// Locks the state of a job and begins a new run, whatever is there: good, damaged or of another version. What an
    /// unfinished run had prepared stays in the sinks' folders under hidden names. Only for who asks for it.
    ///
    /// # Errors
    /// `LG0831` if another process has it; `LG0830` if the system refuses.
    pub fn open_anew(root: &Path, job: &Identity) -> Result<Self> {
        let (dir, lock) = lock(root, job)?;
        Self::begin(dir, lock, job)
    }

    /// Begins a new run of `job` after one that has finished.
    ///
    /// # Errors
    /// `LG0003` if it has not finished; `LG0830` if the system refuses.
    pub fn restart(self, job: &Identity) -> Result<Self> {
        if !self.record.finished {
            return Err(Error::new(code::INTERNAL, "a run that has not finished was to be replaced by a new one"));
        }
        Self::begin(self.dir, self._lock, job)
    }

    /// What is committed.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The private folder for outputs that have no folder of their own.
    ///
    /// # Errors
    /// `LG0830`.
    pub fn spool(&self) -> Result<Dir> {
        durable::private_subdir(&self.dir, SPOOL).map_err(|error| durable::unusable(SPOOL, &error))
    }

    /// Commits the outputs of the record that a crash left uncommitted and removes those that no record has. To be called
    /// before anything is written, at every start.
    ///
    /// # Errors
    /// As [`crate::sink::Sink::commit`]; it may be repeated.
    pub fn recover(&mut self, sinks: &Sinks) -> Result<()> {
        publish(&self.record.prepared, sinks)?;
        for (node, sink) in sinks {
            sink.sweep(&Leftovers::All).map_err(|error| error.at(node.as_str()))?;
        }
        self.phase = Phase::Running;
        Ok(())
    }

    /// Commits what one or several slots have done: positions and prepared outputs become one. After an error this state
    /// takes no more commits: open the state again, which finds out what was committed.
    ///
    /// # Errors
    /// `LG0830` or `LG0836` if the record cannot be written, `LG0820` to `LG0823` if outputs cannot be committed, `LG0003`
    /// if a change contradicts the record.
    pub fn commit(&mut self, changes: Vec<Change>, sinks: &Sinks) -> Result<()> {
        self.commit_stepwise(changes, sinks, &mut |_| Ok(()))
    }

    /// [`State::commit`], calling `reached` after every step.
    pub(crate) fn commit_stepwise(
        &mut self,
        changes: Vec<Change>,
        sinks: &Sinks,
        reached: &mut dyn FnMut(Step) -> Result<()>,
    ) -> Result<()> {
        if self.phase != Phase::Running {
            return Err(Error::new(code::INTERNAL, format!("a commit to a state that is {:?}", self.phase)));
        }
        let next = self.record.clone().with(changes)?;
        let mut committed = by_node(&next.prepared, sinks)?;
        let bytes = next.encode()?;
        self.phase = Phase::Broken;
        self.write(&bytes, &mut |step| reached(Step::Record(step)))?;
        self.record = next;
        for (node, sink) in sinks {
            if let Some(prepared) = committed.remove(node) {
                sink.commit(&prepared).map_err(|error| error.at(node.as_str()))?;
                reached(Step::Outputs)?;
            }
        }
        self.phase = Phase::Running;
        Ok(())
    }

    /// Notes that all outputs are committed, so that they may be taken out of the sinks' folders from now on, and whether
    /// the job is done. To be called when a job finishes or drains.
    ///
    /// # Errors
    /// `LG0830`.
    pub fn settle(&mut self, finished: bool) -> Result<()> {
        if self.phase != Phase::Running {
            return Err(Error::new(code::INTERNAL, format!("a state that is {:?} cannot be settled", self.phase)));
        }
        let next = Record { prepared: Vec::new(), finished, ..self.record.clone() };
        let bytes = next.encode()?;
        self.phase = Phase::Broken;
        self.write(&bytes, &mut |_| Ok(()))?;
        self.record = next;
        self.phase = Phase::Running;
        Ok(())
    }

    /// Writes the first record, so that the run's id is known before any output bears it, and empties the spool.
    fn begin(dir: Dir, lock: Lock, job: &Identity) -> Result<Self> {
        let state = Self { dir, _lock: lock, record: Record::begin(job)?, phase: Phase::Opened };
        state.write(&state.record.encode()?, &mut |_| Ok(()))?;
        match state.dir.remove_dir_all(SPOOL) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(durable::unusable(SPOOL, &error)),
            _ => Ok(state),
        }
    }

    fn write(&self, record: &[u8], reached: &mut dyn FnMut(durable::Step) -> Result<()>) -> Result<()> {
        let written = durable::replace(&self.dir, RECORD, record, &mut |step| reached(step).map_err(Stopped::Asked));
        written.map_err(|stopped| match stopped {
            Stopped::Asked(error) => error,
            Stopped::System(error) => durable::unusable("the record", &error).at(place(&self.record.job)),
        })
    }
}

const RECORD: &str = "record";
const SPOOL: &str = "spool";

/// Why a record was not written.
enum Stopped {
    System(io::Error),
    Asked(Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn lock(root: &Path, job: &Identity) -> Result<(Dir, Lock)> {
    let open = || {
        let dir = durable::private_subdir(&durable::private_dir(root)?, &job.tenant)?;
        let dir = durable::private_subdir(&dir, &job.name)?;
        Ok((durable::lock(&dir, "lock")?, dir))
    };
    let (lock, dir) = open().map_err(|error: io::Error| durable::unusable(&root.display().to_string(), &error))?;
    let held = || Error::new(code::STATE_IN_USE, "another process runs this job from this state").at(place(job));
    Ok((dir, lock.ok_or_else(held)?))
}

fn read(dir: &Dir, place: &str) -> Result<Option<Record>> {
    let bytes = durable::read(dir, RECORD, MAX_RECORD).map_err(|error| durable::unusable("the record", &error));
    let record = bytes.and_then(|bytes| bytes.map(|bytes| Record::decode(&bytes)).transpose());
    record.map_err(|error| error.at(place))
}

fn place(job: &Identity) -> String {
    format!("state of {}/{}", job.tenant, job.name)
}

/// Commits recorded outputs, each to its sink.
///
/// # Errors
/// As [`crate::sink::Sink::commit`]; `LG0003`, and nothing is committed, if one is of no sink of the job.
pub(crate) fn publish(outputs: &[Output], sinks: &Sinks) -> Result<()> {
    for (node, prepared) in by_node(outputs, sinks)? {
        if let Some(sink) = sinks.get(&node) {
            sink.commit(&prepared).map_err(|error| error.at(node.as_str()))?;
        }
    }
    Ok(())
}

/// The outputs of each sink.
fn by_node(outputs: &[Output], sinks: &Sinks) -> Result<BTreeMap<Name, Vec<Prepared>>> {
    let mut grouped: BTreeMap<Name, Vec<Prepared>> = BTreeMap::new();
    for Output { node, prepared } in outputs {
        if !sinks.contains_key(node) {
            return Err(Error::new(code::INTERNAL, format!("output of {node}, which is not a sink of this job")));
        }
        grouped.entry(node.clone()).or_default().push(*prepared);
    }
    Ok(grouped)
}

#[cfg(test)]
mod tests;
