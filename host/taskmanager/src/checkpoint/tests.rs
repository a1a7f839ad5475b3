//! Exactly once, shown by stopping a small job at every step of its commits and starting it again.
//!
//! The job copies the numbers of two real files to real files with two slots. A stop drops everything that the process
//! held, as a kill does; writers are forgotten rather than dropped, so that nothing tidies up.

use super::*;
use crate::sink::{FileSink, Sink, StdoutSink};
use crate::source::{FileSource, Source};
use crate::volume::Volume;
use lockgate_core::Digest;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::sync::Arc;

const LINE: usize = 8;
const LINES: usize = 5;
const LINES_IN_EPOCH: usize = 2;

struct Job {
    root: tempfile::TempDir,
}

/// Counts down to a stop.
struct Fuse(Option<usize>);

impl Fuse {
    fn burn(&mut self) -> Result<()> {
        match &mut self.0 {
            Some(0) => Err(Error::new(code::INTERNAL, "stopped")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn identity() -> Identity {
    let (tenant, name) = ("acme".parse().unwrap(), "copy".parse().unwrap());
    Identity { tenant, name, version: 1, payload: Digest::of(b"one"), parameters: BTreeMap::new() }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Job {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("in")).unwrap();
        for file in 0..2 {
            let lines: String = (0..LINES).map(|line| format!("{file}-{line:05}\n")).collect();
            fs::write(root.path().join(format!("in/{file}.txt")), lines).unwrap();
        }
        Self { root }
    }

    fn state(&self) -> std::path::PathBuf {
        self.root.path().join("state")
    }

    fn sinks(&self, state: &State) -> Sinks {
        let volume = Volume::open(name("v"), self.root.path()).unwrap();
        let sink = |node: &str| -> Box<dyn Sink> {
            Box::new(FileSink::new(volume.folder("out").unwrap(), &name(node), &state.record().run, 0, "txt"))
        };
        BTreeMap::from([(name("even"), sink("even")), (name("odd"), sink("odd"))])
    }

    /// Runs until the end or until the fuse has burnt down.
    fn run(&self, mut fuse: Fuse) -> Result<()> {
        let (mut state, start) = State::open(&self.state(), &identity())?;
        let sinks = self.sinks(&state);
        fuse.burn()?;
        state.recover(&sinks)?;
        fuse.burn()?;
        if start == Start::Finished {
            return Ok(());
        }
        let volume = Arc::new(Volume::open(name("v"), self.root.path())?);
        let source = FileSource::new(volume, "in/*.txt");
        let mut pending: VecDeque<Pending> = state.record().pending(&name("in"), source.splits()?)?.into();
        // Two slots take turns; each has a split at a time.
        let mut slot = 0;
        while let Some(Pending { split, position }) = pending.pop_front() {
            let offset = position.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            let epoch = state.record().next_epoch(slot);
            let mut bytes = source.open(&split)?;
            let mut buffer = [0; LINE * LINES_IN_EPOCH];
            let read = bytes.read_at(offset, &mut buffer)?;
            let next = offset + read as u64;
            let mut prepared = Vec::new();
            for (node, sink) in &sinks {
                let mut writer = std::mem::ManuallyDrop::new(sink.writer(slot)?);
                let parity = usize::from(node.as_str() == "odd");
                for line in buffer[..read].chunks(LINE).filter(|line| usize::from(line[LINE - 2] & 1) == parity) {
                    writer.write(epoch, line)?;
                    fuse.burn()?;
                }
                prepared.extend(writer.prepare(epoch)?.map(|prepared| Output { node: node.clone(), prepared }));
                fuse.burn()?;
            }
            let end = Some(next) == split.size;
            let position = if end { Position::Finished } else { Position::At(next.to_le_bytes().to_vec()) };
            let progress = Progress { fingerprint: split.fingerprint.clone(), position };
            let change = Change { slot, epoch, splits: vec![(name("in"), split.name.clone(), progress)], prepared };
            state.commit_stepwise(vec![change], &sinks, &mut |_| fuse.burn())?;
            if !end {
                pending.push_back(Pending { split, position: Some(next.to_le_bytes().to_vec()) });
            }
            slot = 1 - slot;
        }
        state.settle(true)?;
        fuse.burn()
    }

    /// What the sinks' readers see, sorted.
    fn seen(&self, node: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(self.root.path().join("out")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with(node) {
                lines.extend(fs::read_to_string(path).unwrap().lines().map(str::to_owned));
            }
        }
        lines.sort();
        lines
    }

    fn assert_exactly_once(&self, context: &str) {
        for (parity, node) in ["even", "odd"].into_iter().enumerate() {
            let expected: Vec<String> = (0..2)
                .flat_map(|file| (0..LINES).filter(move |line| line % 2 == parity).map(move |line| (file, line)))
                .map(|(file, line)| format!("{file}-{line:05}"))
                .collect();
            assert_eq!(self.seen(node), expected, "{context}");
        }
        let left = fs::read_dir(self.root.path().join("out")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "{context}: {left:?}");
    }
}

#[test]
fn a_job_stopped_anywhere_and_started_again_commits_exactly_once() {
    let mut stops = 0;
    loop {
        let job = Job::new();
        let stopped = job.run(Fuse(Some(stops))).is_err();
        job.run(Fuse(None)).unwrap();
        job.assert_exactly_once(&format!("stopped after {stops} steps"));
        if !stopped {
            break;
        }
        stops += 1;
    }
    assert!(stops > 40, "only {stops} steps were seen");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_job_stopped_many_times_commits_exactly_once(stops in prop::collection::vec(0_usize..24, 1..12)) {
        let job = Job::new();
        for stop in &stops {
            // An error other than the stop would be seen at the end.
            drop(job.run(Fuse(Some(*stop))));
        }
        job.run(Fuse(None)).unwrap();
        job.assert_exactly_once(&format!("{stops:?}"));
    }
}

#[test]
fn a_run_is_fresh_then_resumed_then_finished() {
    let job = Job::new();
    let (state, start) = State::open(&job.state(), &identity()).unwrap();
    let (run, started) = (state.record().run.clone(), state.record().started);
    assert_eq!(start, Start::Fresh);
    drop(state);
    let (state, start) = State::open(&job.state(), &identity()).unwrap();
    assert_eq!((start, &state.record().run, state.record().started), (Start::Resume, &run, started));
    drop(state);
    job.run(Fuse(None)).unwrap();
    let newer = Identity { version: 2, payload: Digest::of(b"two"), ..identity() };
    let (state, start) = State::open(&job.state(), &newer).unwrap();
    assert_eq!((start, state.record().job.version), (Start::Finished, 1));
    let state = state.restart(&newer).unwrap();
    assert!(state.record().run != run && state.record().commits == 0);
    assert_eq!(state.restart(&newer).unwrap_err().code(), code::INTERNAL);
}

#[test]
fn a_state_has_one_process() {
    let job = Job::new();
    let (state, _) = State::open(&job.state(), &identity()).unwrap();
    assert_eq!(State::open(&job.state(), &identity()).unwrap_err().code(), code::STATE_IN_USE);
    assert_eq!(State::open_anew(&job.state(), &identity()).unwrap_err().code(), code::STATE_IN_USE);
    let other = Identity { name: name("other"), ..identity() };
    State::open(&job.state(), &other).unwrap();
    drop(state);
    State::open(&job.state(), &identity()).unwrap();
}

#[test]
fn what_is_wrong_with_a_record_is_said_and_nothing_starts_anew() {
    let job = Job::new();
    drop(State::open(&job.state(), &identity()).unwrap());
    let path = job.state().join("acme/copy/record");
    let good = fs::read(&path).unwrap();
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    let moved = String::from_utf8(good[good.iter().position(|byte| *byte == b'\n').unwrap() + 1..].to_vec()).unwrap();
    let moved = durable::seal("checkpoint", moved.replace("copy", "elsewhere").as_bytes());
    for (bytes, expected) in [
        (&b""[..], code::STATE_TRUNCATED),
        (&good[..good.len() - 1], code::STATE_TRUNCATED),
        (&altered, code::STATE_DAMAGED),
        (b"something else", code::STATE_FOREIGN),
        (&moved, code::STATE_FOREIGN),
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(State::open(&job.state(), &identity()).unwrap_err().code(), expected);
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is repaired in silence");
    }
    fs::write(&path, &good).unwrap();
    fs::write(&path, &altered).unwrap();
    drop(State::open_anew(&job.state(), &identity()).unwrap());
    assert_eq!(State::open(&job.state(), &identity()).unwrap().1, Start::Resume);
}

#[test]
fn another_version_takes_over_only_before_the_first_commit() {
    let others = [
        Identity { version: 2, ..identity() },
        Identity { payload: Digest::of(b"two"), ..identity() },
        Identity { parameters: [(name("weight"), "2".to_owned())].into(), ..identity() },
    ];
    for other in &others {
        let job = Job::new();
        drop(State::open(&job.state(), &identity()).unwrap());
        let (state, start) = State::open(&job.state(), other).unwrap();
        assert_eq!((start, state.record().job == *other), (Start::Fresh, true));
    }
    let job = Job::new();
    for steps in 0.. {
        job.run(Fuse(Some(steps))).unwrap_err();
        if State::open(&job.state(), &identity()).unwrap().0.record().commits > 0 {
            break;
        }
    }
    for other in &others {
        assert_eq!(State::open(&job.state(), other).unwrap_err().code(), code::STATE_OTHER_VERSION);
    }
}

#[test]
fn an_input_that_changed_stops_the_resumed_job() {
    let job = Job::new();
    job.run(Fuse(Some(20))).unwrap_err();
    fs::write(job.root.path().join("in/0.txt"), "replaced").unwrap();
    assert_eq!(job.run(Fuse(None)).unwrap_err().code(), code::INPUT_CHANGED);
}

#[test]
fn a_state_whose_commit_failed_takes_no_more() {
    let job = Job::new();
    let (mut state, _) = State::open(&job.state(), &identity()).unwrap();
    let sinks = job.sinks(&state);
    let empty = |epoch| vec![Change { slot: 0, epoch, splits: Vec::new(), prepared: Vec::new() }];
    assert_eq!(state.commit(empty(1), &sinks).unwrap_err().code(), code::INTERNAL, "not recovered yet");
    state.recover(&sinks).unwrap();
    state.commit(empty(1), &sinks).unwrap();
    let stop = |_| Err(Error::new(code::OUTPUT_FAILED, "stopped"));
    assert_eq!(state.commit_stepwise(empty(2), &sinks, &mut { stop }).unwrap_err().code(), code::OUTPUT_FAILED);
    assert_eq!(state.commit(empty(3), &sinks).unwrap_err().code(), code::INTERNAL);
    assert_eq!(state.settle(true).unwrap_err().code(), code::INTERNAL);
}

#[test]
fn a_change_that_is_refused_leaves_the_state_usable() {
    let job = Job::new();
    let (mut state, _) = State::open(&job.state(), &identity()).unwrap();
    let sinks = job.sinks(&state);
    state.recover(&sinks).unwrap();
    let prepared = Prepared { epoch: 1, slot: 0, bytes: 1, lease: 0 };
    let unknown = Output { node: name("unknown"), prepared };
    let change = |prepared| vec![Change { slot: 0, epoch: 1, splits: Vec::new(), prepared }];
    assert_eq!(state.commit(change(vec![unknown]), &sinks).unwrap_err().code(), code::INTERNAL);
    state.commit(change(Vec::new()), &sinks).unwrap();
}

#[test]
fn settled_outputs_may_be_taken_away() {
    let job = Job::new();
    job.run(Fuse(None)).unwrap();
    for entry in fs::read_dir(job.root.path().join("out")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    job.run(Fuse(None)).unwrap();
    assert!(job.seen("even").is_empty() && job.seen("odd").is_empty());
}

#[test]
fn a_directory_that_cannot_be_used_is_said() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "x").unwrap();
    for path in [path.clone(), path.join("below")] {
        assert_eq!(State::open(&path, &identity()).unwrap_err().code(), code::STATE_UNUSABLE);
    }
}

/// What was recorded but not printed when the process died is printed by the next.
#[test]
fn standard_output_catches_up_from_the_spool() {
    let job = Job::new();
    let print = |state: &State, writer: std::io::PipeWriter| -> Sinks {
        let sink = StdoutSink::new(state.spool().unwrap(), &name("out"), &state.record().run, Box::new(writer));
        BTreeMap::from([(name("out"), Box::new(sink) as Box<dyn Sink>)])
    };
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    {
        let (mut state, _) = State::open(&job.state(), &identity()).unwrap();
        let sinks = print(&state, closed);
        state.recover(&sinks).unwrap();
        let mut writer = sinks[&name("out")].writer(0).unwrap();
        writer.write(1, b"line\n").unwrap();
        let prepared = Output { node: name("out"), prepared: writer.prepare(1).unwrap().unwrap() };
        let change = Change { slot: 0, epoch: 1, splits: Vec::new(), prepared: vec![prepared] };
        assert_eq!(state.commit(vec![change], &sinks).unwrap_err().code(), code::OUTPUT_CLOSED);
    }
    for expected in ["line\n", ""] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (mut state, start) = State::open(&job.state(), &identity()).unwrap();
        assert_eq!(start, Start::Resume);
        let sinks = print(&state, writer);
        state.recover(&sinks).unwrap();
        drop(sinks);
        let mut printed = String::new();
        std::io::Read::read_to_string(&mut reader, &mut printed).unwrap();
        assert_eq!(printed, expected);
    }
    let left = job.state().join("acme/copy/spool/left");
    fs::write(&left, "of a run that is given up").unwrap();
    State::open_anew(&job.state(), &identity()).unwrap();
    assert!(!left.exists());
}
