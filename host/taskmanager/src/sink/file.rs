//! Files below a folder of a volume: one for each slot and epoch that wrote anything.
//!
//! A file waits hidden in the folder where it will be seen, so that its last step is a rename within one folder, and
//! gets its name `NODE-RUN-SLOT-EPOCH.ENDING` with the commit. A reader of the folder that skips names beginning with
//! a dot sees whole committed files only. Nothing is ever overwritten.

use super::staging::Staging;
use super::{Leftovers, Prepared, RunId, Sink, Writer};
use cap_std::fs::Dir;
use lockgate_core::{Name, Result};
use std::sync::Arc;

/// A folder that gets files.
#[derive(Debug)]
pub struct FileSink(Arc<Staging>);

impl FileSink {
    /// The sink of node `node` in `folder`, for what is written under the lease `lease` (0 without one); its files end in
    /// `.ENDING`.
    pub fn new(folder: Dir, node: &Name, run: &RunId, lease: u64, ending: &str) -> Self {
        Self(Arc::new(Staging::new(folder, node, run, lease, ending)))
    }
}

impl Sink for FileSink {
    fn writer(&self, slot: u32) -> Result<Box<dyn Writer>> {
        Ok(self.0.writer(slot))
    }

    fn commit(&self, prepared: &[Prepared]) -> Result<()> {
        if prepared.is_empty() {
            return Ok(());
        }
        prepared.iter().try_for_each(|prepared| self.0.publish(prepared))?;
        self.0.sync()
    }

    fn sweep(&self, leftovers: &Leftovers) -> Result<()> {
        self.0.sweep(leftovers)
    }

    fn discard(&self, prepared: &Prepared) -> Result<()> {
        self.0.discard(prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Volume;
    use lockgate_core::error::code;
    use std::fs;
    use std::path::Path;

    struct Fixture {
        root: tempfile::TempDir,
        run: RunId,
    }

    impl Fixture {
        fn new() -> Self {
            Self { root: tempfile::tempdir().unwrap(), run: RunId::random().unwrap() }
        }

        fn sink(&self, node: &str) -> FileSink {
            self.leased(node, 0)
        }

        fn leased(&self, node: &str, lease: u64) -> FileSink {
            let volume = Volume::open("v".parse().unwrap(), self.root.path()).unwrap();
            FileSink::new(volume.folder("out").unwrap(), &node.parse().unwrap(), &self.run, lease, "json")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }

        /// The name under which output waits that was written without a lease.
        fn waiting(&self, node: &str, slot: u32, epoch: u64) -> String {
            format!(".{node}-{}-0-{slot:05}-{epoch:08}.json.tmp", self.run)
        }

        fn folder(&self) -> std::path::PathBuf {
            self.root.path().join("out")
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.folder().join(name)).unwrap()
        }
    }

    fn prepare(sink: &FileSink, slot: u32, epoch: u64, text: &str) -> Prepared {
        let mut writer = sink.writer(slot).unwrap();
        for byte in text.as_bytes() {
            writer.write(epoch, &[*byte]).unwrap();
        }
        writer.prepare(epoch).unwrap().unwrap()
    }

    #[test]
    fn output_is_seen_with_the_commit_and_not_before() {
        let fixture = Fixture::new();
        let sink = fixture.sink("late");
        let prepared = [prepare(&sink, 0, 1, "one"), prepare(&sink, 12, 1, "two")];
        assert!(fixture.names().iter().all(|name| name.starts_with('.') && name.ends_with(".tmp")));
        let names = [0, 12].map(|slot| format!("late-{}-{slot:05}-00000001.json", fixture.run));
        for _ in 0..2 {
            sink.commit(&prepared).unwrap();
            assert_eq!(fixture.names(), names);
        }
        assert_eq!((fixture.read(&names[0]), fixture.read(&names[1])), ("one".into(), "two".into()));
    }

    #[test]
    fn nothing_written_is_nothing_prepared() {
        let fixture = Fixture::new();
        let sink = fixture.sink("late");
        let mut writer = sink.writer(0).unwrap();
        writer.write(1, b"").unwrap();
        assert_eq!(writer.prepare(1).unwrap(), None);
        writer.write(2, b"x").unwrap();
        assert_eq!(writer.prepare(3).unwrap_err().code(), code::INTERNAL);
        assert_eq!(writer.write(3, b"x").unwrap_err().code(), code::INTERNAL);
        drop(writer);
        assert!(fixture.names().is_empty());
    }

    #[test]
    fn a_writer_that_failed_writes_no_more() {
        let fixture = Fixture::new();
        let sink = fixture.sink("late");
        // The file of an epoch is never written on by a second writer.
        let (mut first, mut second) = (sink.writer(0).unwrap(), sink.writer(0).unwrap());
        first.write(1, b"x").unwrap();
        assert_eq!(second.write(1, b"x").unwrap_err().code(), code::OUTPUT_FAILED);
        assert_eq!(second.write(2, b"x").unwrap_err().code(), code::INTERNAL);
        assert_eq!(second.prepare(2).unwrap_err().code(), code::INTERNAL);
        drop(second);
        assert_eq!(fixture.names().len(), 1, "what the first writer wrote stays");
        drop(first);
        fs::remove_dir(fixture.folder()).unwrap();
        assert_eq!(sink.writer(0).unwrap().write(1, b"x").unwrap_err().code(), code::OUTPUT_FAILED);
    }

    #[test]
    fn never_overwrites() {
        let fixture = Fixture::new();
        let sink = fixture.sink("late");
        let prepared = prepare(&sink, 0, 1, "ours");
        let name = format!("late-{}-00000-00000001.json", fixture.run);
        fs::write(fixture.folder().join(&name), "theirs").unwrap();
        assert_eq!(sink.commit(&[prepared]).unwrap_err().code(), code::OUTPUT_EXISTS);
        assert_eq!(fixture.read(&name), "theirs");
        fs::remove_file(fixture.folder().join(&name)).unwrap();
        sink.commit(&[prepared]).unwrap();
        assert_eq!(fixture.read(&name), "ours");
    }

    #[test]
    fn settles_what_stopped_between_link_and_unlink() {
        let fixture = Fixture::new();
        let sink = fixture.sink("late");
        let prepared = prepare(&sink, 0, 1, "ours");
        let name = format!("late-{}-00000-00000001.json", fixture.run);
        fs::hard_link(fixture.folder().join(fixture.waiting("late", 0, 1)), fixture.folder().join(&name)).unwrap();
        sink.commit(&[prepared]).unwrap();
        assert_eq!(fixture.names(), [name]);
    }

    #[test]
    fn notices_prepared_output_that_was_touched() {
        let fixture = Fixture::new();
        let sink = fixture.sink("late");
        let temporary = fixture.waiting("late", 0, 1);
        let touches: [fn(&Path); 4] = [
            |path| fs::remove_file(path).unwrap(),
            |path| fs::write(path, "x").unwrap(),
            |path| {
                fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink("4444", path).unwrap();
            },
            |path| {
                fs::remove_file(path).unwrap();
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            },
        ];
        for touch in touches {
            let prepared = prepare(&sink, 0, 1, "ours");
            touch(&fixture.folder().join(&temporary));
            assert_eq!(sink.commit(&[prepared]).unwrap_err().code(), code::OUTPUT_LOST);
            sink.sweep(&Leftovers::All).unwrap();
        }
    }

    #[test]
    fn recovery_removes_only_what_is_ours() {
        let fixture = Fixture::new();
        let (sink, other_node) = (fixture.sink("late"), fixture.sink("late-dead"));
        prepare(&sink, 0, 1, "orphan");
        let committed = prepare(&sink, 0, 2, "committed");
        prepare(&sink, 0, 3, "orphan");
        prepare(&other_node, 0, 3, "of another node");
        let foreign = [".late-0123456789abcdef-0-00000-00000001.json.tmp", ".hidden", "visible.tmp"];
        for name in foreign {
            fs::write(fixture.folder().join(name), "x").unwrap();
        }
        for _ in 0..2 {
            sink.commit(&[committed]).unwrap();
            sink.sweep(&Leftovers::All).unwrap();
        }
        let mut expected: Vec<String> = foreign.iter().map(|name| (*name).to_owned()).collect();
        expected.push(format!("late-{}-00000-00000002.json", fixture.run));
        expected.push(fixture.waiting("late-dead", 0, 3));
        expected.sort();
        assert_eq!(fixture.names(), expected);
    }

    #[test]
    fn leases_do_not_meet_before_one_of_them_counts() {
        let fixture = Fixture::new();
        let (old, new) = (fixture.leased("late", 5), fixture.leased("late", 16));
        let zombie = prepare(&old, 0, 1, "zombie");
        let counts = prepare(&new, 0, 1, "counts");
        prepare(&new, 1, 1, "of another slot");
        prepare(&new, 2, 1, "of another TaskManager");
        new.sweep(&Leftovers::Before(16)).unwrap();
        assert_eq!(fixture.names().len(), 3, "{:?}", fixture.names());
        assert_eq!(old.commit(&[zombie]).unwrap_err().code(), code::OUTPUT_LOST);
        // Whoever is told that an output counts publishes it, whichever lease is his.
        old.commit(&[counts]).unwrap();
        new.commit(&[counts]).unwrap();
        new.sweep(&Leftovers::Of { lease: 16, slots: 0..2 }).unwrap();
        let waits = format!(".late-{}-16-00002-00000001.json.tmp", fixture.run);
        assert_eq!(fixture.names(), [waits, format!("late-{}-00000-00000001.json", fixture.run)]);
        new.discard(&Prepared { slot: 2, ..counts }).unwrap();
        new.discard(&Prepared { slot: 2, ..counts }).unwrap();
        assert_eq!(fixture.names().len(), 1);
    }

    #[test]
    fn several_publish_the_same_at_once() {
        let fixture = Fixture::new();
        for epoch in 1..40 {
            let prepared = [prepare(&fixture.sink("late"), 0, epoch, "ours")];
            let (sinks, together) =
                ([0, 1, 2, 3].map(|lease| fixture.leased("late", lease)), std::sync::Barrier::new(4));
            std::thread::scope(|scope| {
                for sink in &sinks {
                    scope.spawn(|| {
                        together.wait();
                        sink.commit(&prepared).unwrap();
                    });
                }
            });
            assert_eq!(fixture.read(&format!("late-{}-00000-{epoch:08}.json", fixture.run)), "ours");
        }
        assert_eq!(fixture.names().len(), 39);
    }
}
