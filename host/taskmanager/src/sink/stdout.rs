//! Standard output: what an epoch wrote waits in a spool file and is printed with the commit.
//!
//! A pipe has no rename, so between printing an epoch and noting that it was printed a crash can fall. The choice is to
//! lose or to repeat, and this sink repeats: what a job was printing when it was killed, the next start prints again, a
//! whole epoch from its beginning. Epochs that were printed to their end are never repeated. The spool keeps memory
//! bounded, however much an epoch writes.

use super::staging::Staging;
use super::{Leftovers, Prepared, RunId, Sink, Writer};
use cap_std::fs::Dir;
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Standard output, or any other stream that cannot be rewound.
pub struct StdoutSink {
    staging: Arc<Staging>,
    out: Mutex<Box<dyn Write + Send>>,
}

impl StdoutSink {
    /// The sink of node `node` that prints to `out`; `spool` is a private folder of the run's state.
    pub fn new(spool: Dir, node: &Name, run: &RunId, out: Box<dyn Write + Send>) -> Self {
        Self { staging: Arc::new(Staging::new(spool, node, run, 0, "out")), out: Mutex::new(out) }
    }
}

impl Sink for StdoutSink {
    fn writer(&self, slot: u32) -> Result<Box<dyn Writer>> {
        Ok(self.staging.writer(slot))
    }

    fn commit(&self, prepared: &[Prepared]) -> Result<()> {
        let mut ordered = prepared.to_vec();
        ordered.sort_unstable();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        for prepared in &ordered {
            // What waits no more has been printed.
            if let Some(temporary) = self.staging.waiting(prepared)? {
                let mut file = self.staging.open(&temporary)?;
                std::io::copy(&mut file, &mut *out).and_then(|_| out.flush()).map_err(failed)?;
                self.staging.remove(&temporary)?;
            }
        }
        Ok(())
    }

    fn sweep(&self, leftovers: &Leftovers) -> Result<()> {
        self.staging.sweep(leftovers)
    }

    fn discard(&self, prepared: &Prepared) -> Result<()> {
        self.staging.discard(prepared)
    }
}

fn failed(error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::BrokenPipe {
        return Error::new(code::OUTPUT_CLOSED, "standard output was closed by its reader");
    }
    Error::new(code::OUTPUT_FAILED, format!("standard output: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;
    use std::io::Read;

    fn sink(root: &tempfile::TempDir) -> (StdoutSink, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        let spool = Dir::open_ambient_dir(root.path(), ambient_authority()).unwrap();
        (StdoutSink::new(spool, &"out".parse().unwrap(), &RunId::random().unwrap(), Box::new(writer)), reader)
    }

    fn prepare(sink: &StdoutSink, slot: u32, epoch: u64, text: &str) -> Prepared {
        let mut writer = sink.writer(slot).unwrap();
        writer.write(epoch, text.as_bytes()).unwrap();
        writer.prepare(epoch).unwrap().unwrap()
    }

    #[test]
    fn prints_what_is_committed_once_in_order() {
        let root = tempfile::tempdir().unwrap();
        let (sink, mut reader) = sink(&root);
        let first = [prepare(&sink, 1, 1, "b\n"), prepare(&sink, 0, 1, "a\n")];
        sink.commit(&first).unwrap();
        sink.commit(&first).unwrap();
        let recorded = prepare(&sink, 0, 3, "c\n");
        prepare(&sink, 1, 3, "never\n");
        sink.commit(&[recorded]).unwrap();
        sink.sweep(&Leftovers::All).unwrap();
        drop(sink);
        let mut printed = String::new();
        reader.read_to_string(&mut printed).unwrap();
        assert_eq!(printed, "a\nb\nc\n");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn keeps_what_a_closed_pipe_did_not_take() {
        let root = tempfile::tempdir().unwrap();
        let (sink, reader) = sink(&root);
        let prepared = prepare(&sink, 0, 1, "a\n");
        drop(reader);
        assert_eq!(sink.commit(&[prepared]).unwrap_err().code(), code::OUTPUT_CLOSED);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
