//! Whole jobs without functions, on real files, through real slots.

mod cluster;

use super::*;
use crate::checkpoint::{Change, Identity, Position, Progress, State};
use crate::ledger::{Ledger, Local};
use crate::sink::Sinks;
use crate::source::{self, Source};
use lockgate_core::limits::Limits;
use lockgate_core::plan::{
    Compression, Edge, Format, FormatKind, Nexmark, NexmarkTable, Node, OnError, Output, Sink, SinkConnector,
    Source as SourceNode, SourceConnector, dead_letter_fields,
};
use lockgate_core::types::{Field, LogicalType};
use lockgate_core::{Digest, Name};
use lockgate_executor::testing;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn format(kind: FormatKind) -> Option<Format> {
    Some(Format { kind, compression: Compression::None })
}

fn n() -> Vec<Field> {
    vec![Field::new("n", LogicalType::Int64, false)]
}

/// A source of JSON lines with a number `n`, from the files of a folder.
pub(super) fn source(text: &str, on_error: OnError) -> Node {
    let connector = SourceConnector::File { volume: name("data"), path: format!("{text}/*") };
    let source = SourceNode { connector, format: format(FormatKind::Json), on_error, projection: None };
    let outputs = vec![Output { name: "out".into(), fields: n() }];
    Node { name: name(text), inputs: vec![], kind: NodeKind::Source(source), outputs }
}

/// A sink of all sources; of dead letters, if there are none.
pub(super) fn sink(text: &str, sources: &[u32]) -> Node {
    let connector = SinkConnector::File { volume: name("data"), path: text.into() };
    let dead_letters = sources.is_empty();
    let fields = if dead_letters { dead_letter_fields() } else { n() };
    let sink = Sink { connector, format: format(FormatKind::Json), fields, dead_letters };
    let inputs = sources.iter().map(|node| Edge { node: *node, output: 0 }).collect();
    Node { name: name(text), inputs, kind: NodeKind::Sink(sink), outputs: vec![] }
}

/// Folders with data, and a job over them in batches of two, with a commit after every batch.
pub(super) struct World {
    root: TempDir,
    pub(super) volumes: Volumes,
    pub(super) job: Prepared,
}

impl World {
    pub(super) fn new(nodes: Vec<Node>) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        let volumes = Volumes::open(&BTreeMap::from([(name("data"), root.path().join("data"))])).unwrap();
        let plan =
            Arc::new(Plan { nodes, limits: Limits::default(), batch_rows: 2, checkpoint_interval: 0, samples: 0 });
        let (tenant, payload) = (name("acme"), Digest::of(b"payload"));
        let identity = Identity { tenant, name: name("late"), version: 1, payload, parameters: BTreeMap::new() };
        Self { root, volumes, job: Prepared { identity, plan, artefacts: BTreeMap::new() } }
    }

    /// From `in` to `out`; a bad record fails the job.
    pub(super) fn plain() -> Self {
        let world = Self::new(vec![source("in", OnError::Fail), sink("out", &[0])]);
        world.write("in/.keep", "");
        world
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn path(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join("data").join(path)
    }

    /// A file with these numbers.
    pub(super) fn numbers(&self, path: &str, numbers: impl IntoIterator<Item = u32>) {
        let text: String = numbers.into_iter().map(|n| format!("{{\"n\":{n}}}\n")).collect();
        self.write(path, &text);
    }

    pub(super) fn state(&self) -> std::path::PathBuf {
        self.root.path().join("state")
    }

    /// What a reader of a sink's folder sees: the lines of all files, sorted.
    pub(super) fn seen(&self, folder: &str) -> Vec<String> {
        self.lines(folder, false)
    }

    /// The lines of what waits there.
    fn hidden(&self, folder: &str) -> Vec<String> {
        self.lines(folder, true)
    }

    fn lines(&self, folder: &str, hidden: bool) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return vec![] };
        let paths = entries.map(|entry| entry.unwrap().path());
        let wanted = paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with('.') == hidden);
        let text: String = wanted.map(|path| fs::read_to_string(path).unwrap()).collect();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn run(&self, parallelism: u32, stop: &Stop, events: Events) -> Result<Report> {
        let state = self.state();
        let executors = testing::executors(parallelism);
        block_on(run(&self.job, self.options(&executors, &state, parallelism, events), stop))
    }

    fn options<'a>(
        &'a self,
        executors: &'a Executors,
        state: &'a std::path::Path,
        parallelism: u32,
        events: Events,
    ) -> RunOptions<'a> {
        let (record, share) = (Kept::Here { state, fresh: false }, Share::whole(parallelism));
        RunOptions { executors, volumes: &self.volumes, record, share, fuel_per_second: None, events }
    }

    fn finish(&self, parallelism: u32) -> Report {
        let report = self.run(parallelism, &Stop::default(), silent()).unwrap();
        assert!(report.finished);
        report
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(super) fn silent() -> Events {
    Events::new(|_| ())
}

fn expected(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    let mut lines: Vec<String> = numbers.into_iter().map(|n| format!("{{\"n\":{n}}}")).collect();
    lines.sort();
    lines
}

#[test]
fn every_record_is_written_once_by_however_many_slots() {
    for slots in [1, 3, 9] {
        let world = World::plain();
        // An empty one, and one that ends with a batch, which is with a commit.
        for (file, numbers) in [("a", 0..7), ("b", 7..7), ("c", 7..11), ("d", 11..12)] {
            world.numbers(&format!("in/{file}"), numbers);
        }
        assert_eq!(world.finish(slots).slots.len(), slots.min(4) as usize);
        assert_eq!(world.seen("out"), expected(0..12));
        // The next run is another one: it begins anew and takes nothing away.
        world.finish(2);
        assert_eq!(world.seen("out"), expected((0..12).chain(0..12)));
    }
}

#[test]
fn a_run_that_crashed_behind_its_last_commit_is_done() {
    let world = World::plain();
    world.numbers("in/a", 0..3);
    let splits = begin::sources(&world.job.plan, &world.volumes, &Stop::default()).unwrap()[&0].splits().unwrap();
    let (mut state, _) = State::open(&world.state(), &world.job.identity).unwrap();
    state.recover(&sinks(&world, &state)).unwrap();
    let ended = |split: &source::Split| {
        let progress = Progress { fingerprint: split.fingerprint.clone(), position: Position::Finished };
        (name("in"), split.name.clone(), progress)
    };
    let change = Change { slot: 2, epoch: 1, splits: splits.iter().map(ended).collect(), prepared: vec![] };
    state.commit(vec![change], &Sinks::new()).unwrap();
    drop(state);
    // Nothing is left to read; the run after that is another one.
    assert_eq!(world.finish(4).slots.len(), 1);
    assert_eq!(world.seen("out"), expected([]));
    world.finish(4);
    assert_eq!(world.seen("out"), expected(0..3));
}

#[test]
fn a_job_that_is_stopped_again_and_again_goes_on_with_any_parallelism() {
    let world = World::plain();
    for (file, numbers) in [("a", 0..20), ("b", 20..31), ("c", 31..32), ("d", 32..32), ("e", 32..50)] {
        world.numbers(&format!("in/{file}"), numbers);
    }
    let (mut runs, mut seen) = (0, 0);
    for parallelism in [2, 1, 3, 5].into_iter().cycle().take(100) {
        let stop = Stop::default();
        let drain = stop.clone();
        let events = Events::new(move |event| {
            if matches!(event, Event::Committed { .. }) {
                drain.drain();
            }
        });
        runs += 1;
        let finished = world.run(parallelism, &stop, events).unwrap().finished;
        let now = world.seen("out").len();
        assert!(now >= seen);
        seen = now;
        if finished {
            break;
        }
    }
    assert!(runs > 3, "{runs}");
    assert_eq!(world.seen("out"), expected(0..50));
}

#[test]
fn a_run_that_was_stopped_before_it_began_does_nothing() {
    let world = World::plain();
    world.numbers("in/a", 0..3);
    let stop = Stop::default();
    stop.drain();
    assert!(!world.run(2, &stop, silent()).unwrap().finished);
    assert_eq!(world.seen("out"), expected([]));
    let stop = Stop::default();
    stop.cancel();
    assert_eq!(world.run(2, &stop, silent()).unwrap_err().code(), code::JOB_CANCELLED);
    world.finish(2);
    assert_eq!(world.seen("out"), expected(0..3));
}

#[test]
fn what_was_committed_before_a_failure_stays_and_is_not_repeated() {
    let world = World::plain();
    world.write("in/a", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\nnonsense\n");
    for _ in 0..3 {
        assert_eq!(world.run(1, &Stop::default(), silent()).unwrap_err().code(), code::BAD_RECORD);
        assert_eq!(world.seen("out"), expected([1, 2]));
    }
}

#[test]
fn a_union_of_sources_and_its_dead_letters_come_out_of_every_slot() {
    let nodes =
        vec![source("in", OnError::DeadLetter(3)), source("more", OnError::DeadLetter(3)), sink("out", &[0, 1])];
    let world = World::new([nodes, vec![sink("dead", &[])]].concat());
    for at in 0..3 {
        // Files of the same name in both, so that only the source tells them apart.
        world.write(&format!("in/{at}"), &format!("{{\"n\":{at}}}\nnonsense\n"));
        world.write(&format!("more/{at}"), &format!("nonsense\n{{\"n\":1{at}}}\n"));
    }
    world.finish(4);
    assert_eq!(world.seen("out"), expected([0, 1, 2, 10, 11, 12]));
    let dead = world.seen("dead");
    assert_eq!(dead.len(), 6);
    for (split, row) in [("in/in/0", 1), ("more/more/2", 0)] {
        let of = |line: &&String| {
            line.contains(&format!("\"split\":\"{split}\"")) && line.contains(&format!("\"row\":{row}"))
        };
        assert_eq!(dead.iter().filter(of).count(), 1, "{split} in {dead:?}");
    }
}

/// Waits until `flag` is set, but not for ever; whether it was.
fn wait_for(flag: &AtomicBool) -> bool {
    (0..1_000).any(|_| {
        std::thread::park_timeout(std::time::Duration::from_millis(10));
        flag.load(Ordering::Relaxed)
    })
}

/// A stream that says nothing until it is told to stop.
struct Patient {
    begun: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    told: Arc<AtomicBool>,
}

impl Read for Patient {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.begun.store(true, Ordering::Relaxed);
        self.told.store(wait_for(&self.stop), Ordering::Relaxed);
        Ok(0)
    }
}

/// A stream of nonsense that begins with another.
struct Nonsense(Arc<AtomicBool>);

impl Read for Nonsense {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        wait_for(&self.0);
        (&b"nonsense\n"[..]).read(buffer)
    }
}

#[test]
fn a_slot_that_fails_wakes_those_that_wait_for_a_stream() {
    let nodes = vec![source("in", OnError::Fail), source("more", OnError::Fail), sink("out", &[0, 1])];
    let (world, stop) = (World::new(nodes), Stop::default());
    let (begun, told) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let patient = Patient { begun: Arc::clone(&begun), stop: Arc::clone(&stop.halt), told: Arc::clone(&told) };
    let stream = |name, read| -> Box<dyn Source> { Box::new(source::StreamSource::new(name, read)) };
    let sources = BTreeMap::from([
        (0, stream("nonsense", Box::new(Nonsense(begun)) as Box<dyn Read + Send>)),
        (1, stream("patient", Box::new(patient))),
    ]);
    let (mut state, _) = State::open(&world.state(), &world.job.identity).unwrap();
    let sinks = sinks(&world, &state);
    state.recover(&sinks).unwrap();
    let coordinator = Arc::new(coordinator(&world, sources, sinks, state));
    let (executors, root) = (testing::executors(2), world.state());
    let options = world.options(&executors, &root, 2, silent());
    let failed = block_on(attempt(
        &world.job,
        &executors.of(&name("acme")).unwrap(),
        Share::whole(2),
        0,
        &coordinator,
        &options,
        &stop,
    ))
    .err()
    .unwrap();
    assert_eq!((failed.error.code(), failed.died), (code::BAD_RECORD, false));
    assert!(told.load(Ordering::Relaxed), "the stream was waited for in vain");
}

/// The sinks of a world's job.
pub(super) fn sinks(world: &World, state: &State) -> Sinks {
    begin::sinks(&world.job.plan, &state.record().run, 0, &world.volumes, || state.spool().map(Some)).unwrap()
}

/// What the slots of a job share that runs alone.
pub(super) fn coordinator(
    world: &World,
    sources: BTreeMap<u32, Box<dyn Source>>,
    sinks: Sinks,
    state: State,
) -> Coordinator {
    coordinator_with(world, sources, sinks, state, |local| Box::new(local))
}

/// The same with another record.
pub(super) fn coordinator_with(
    world: &World,
    sources: BTreeMap<u32, Box<dyn Source>>,
    sinks: Sinks,
    state: State,
    record: impl FnOnce(Local) -> Box<dyn Ledger>,
) -> Coordinator {
    let listing = begin::listing(&world.job.plan, &sources).unwrap();
    let local = Local::new(state, listing.clone()).unwrap();
    Coordinator::new(&world.job.plan, sources, sinks, &listing, record(local))
}

#[test]
fn slots_that_splits_would_wait_for_in_vain_are_refused() {
    let nexmark = |splits| {
        let (table, events) = (NexmarkTable::Bid, None);
        let settings = Nexmark { table, events, rate: None, seed: 1, splits, prepared: 0 };
        source::connect(&SourceConnector::Nexmark(settings), &Volumes::default(), &Arc::default()).unwrap()
    };
    for (splits, files, enough) in [(1, 0, 1), (4, 0, 4), (1, 1, 2), (2, 3, 3)] {
        let world = World::plain();
        (0..files).for_each(|file| world.numbers(&format!("in/{file}"), 0..1));
        let plan = &world.job.plan;
        let mut all = BTreeMap::from([(1, nexmark(splits))]);
        if files > 0 {
            all.append(&mut begin::sources(plan, &world.volumes, &Stop::default()).unwrap());
        }
        let (state, _) = State::open(&world.state(), &world.job.identity).unwrap();
        let coordinator = coordinator(&world, all, Sinks::new(), state);
        let refused = coordinator.check_slots(enough - 1).unwrap_err();
        assert_eq!(refused.code(), code::SPLITS_STARVE);
        assert!(refused.cause().contains(&format!("need {enough} slots")), "{refused}");
        assert!(coordinator.check_slots(enough).is_ok());
    }
}
