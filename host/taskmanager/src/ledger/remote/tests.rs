//! Slots that begin again under the same lease, as after an executor's death.

use super::*;
use crate::ledger::model::{Asked, Fate, Model};
use crate::sink::{FileSink, Sink, Writer};
use crate::source::Split;
use crate::volume::Volume;
use lockgate_core::plane::Progress;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

const SHARE: Share = Share { first: 3, slots: 1, parallelism: 5 };

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn split(name: &str) -> Split {
    Split { name: name.into(), size: Some(4), fingerprint: "f".into() }
}

struct Fixture {
    root: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    model: Model,
}

impl Fixture {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { root: tempfile::tempdir().unwrap(), runtime, model: Model::default() }
    }

    fn open(&self, client: impl LedgerClient + 'static) -> (Remote, Sinks) {
        let listing = vec![(name("in"), vec![split("a"), split("b")])];
        let nodes = BTreeSet::from([name("out")]);
        let opening = Remote::open(Arc::new(client), self.model.lease(), SHARE, &listing, nodes, Stop::default());
        let remote = self.runtime.block_on(opening).unwrap();
        let volume = Volume::open(name("v"), self.root.path()).unwrap();
        let folder = volume.folder("out").unwrap();
        let sink = FileSink::new(folder, &name("out"), remote.run(), remote.open.fence.epoch, "txt");
        let sinks: Sinks = [(name("out"), Box::new(sink) as Box<dyn Sink>)].into();
        remote.recover(&sinks).unwrap();
        (remote, sinks)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path().join("out")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A commit of so many bytes of split `a`, whose output is on the disk.
fn change(sinks: &Sinks, sequence: u64, position: Position) -> Change {
    let mut writer: Box<dyn Writer> = sinks[&name("out")].writer(3).unwrap();
    writer.write(sequence, b"line").unwrap();
    let prepared = Output { node: name("out"), prepared: writer.prepare(sequence).unwrap().unwrap() };
    let progress = Progress { fingerprint: "f".into(), position };
    Change { slot: 3, epoch: sequence, splits: vec![(name("in"), "a".into(), progress)], prepared: vec![prepared] }
}

#[test]
fn slots_that_begin_again_find_their_splits_and_names_free() {
    let fixture = Fixture::new();
    // Every first request of a kind gets lost with its answer.
    let asked = AtomicU32::new(0);
    let way = fixture.model.way(move |_| match asked.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => Fate::AnswerLost,
        _ => Fate::Answered,
    });
    let (remote, sinks) = fixture.open(way);
    let (_, first) = remote.claim(3).unwrap().unwrap();
    assert_eq!((first.split.name.as_str(), first.position), ("a", None));
    remote.commit(change(&sinks, 1, Position::At(vec![7])), &sinks).unwrap();
    // The executor dies with the second epoch prepared.
    drop(change(&sinks, 2, Position::Finished));
    assert_eq!(fixture.names().len(), 2);
    assert!(!remote.settle().unwrap());
    remote.begin_again(&sinks).unwrap();
    assert_eq!(fixture.names(), ["out-0123456789abcdef-00003-00000001.txt"]);
    assert_eq!((remote.last(3), remote.commits()), (1, 1));
    let (_, again) = remote.claim(3).unwrap().unwrap();
    assert_eq!((again.split.name.as_str(), again.position), ("a", Some(vec![7])));
    remote.commit(change(&sinks, 2, Position::Finished), &sinks).unwrap();
    assert_eq!(remote.claim(3).unwrap().unwrap().1.split, split("b"));
    assert!(remote.claim(3).unwrap().is_none());
    assert!(!remote.settle().unwrap(), "b is claimed and not finished");
}

#[test]
fn a_record_that_forgets_what_it_answered_is_not_gone_on_with() {
    type Lie = fn(&mut Opened);
    let forgets: Lie = |opened| opened.slots.clear();
    let invents: Lie = |opened| opened.slots.extend([(3, 2)]);
    let another: Lie = |opened| opened.run = "0123456789abcde0".into();
    for lie in [forgets, invents, another] {
        let fixture = Fixture::new();
        let way = fixture.model.way(|_| Fate::Answered);
        let (mut remote, sinks) = fixture.open(way);
        remote.claim(3).unwrap();
        remote.commit(change(&sinks, 1, Position::At(vec![7])), &sinks).unwrap();
        remote.client = Arc::new(fixture.model.way(|_| Fate::Answered).lying(lie, |_| ()));
        assert_eq!(remote.begin_again(&sinks).unwrap_err().code(), code::RECORD_UNBELIEVED);
    }
}

#[test]
fn whoever_waits_for_an_answer_is_cut_off_by_the_end_of_the_lease() {
    for fate in [Fate::Lost, Fate::Stuck { carried_out: false }] {
        let fixture = Fixture::new();
        let (mut remote, sinks) = fixture.open(fixture.model.way(|_| Fate::Answered));
        remote.claim(3).unwrap();
        let (stop, cut) = (remote.stop.clone(), remote.stop.clone());
        let way = fixture.model.way(move |asked| {
            assert_eq!(asked, Asked::Commit);
            if fate == Fate::Lost {
                cut.cancel();
            }
            fate
        });
        remote.client = Arc::new(way.cancelling(&stop));
        let ended = remote.commit(change(&sinks, 1, Position::Finished), &sinks);
        assert_eq!(ended.unwrap_err().code(), code::JOB_CANCELLED);
        assert_eq!(fixture.names(), [".out-0123456789abcdef-1-00003-00000001.txt.tmp"]);
    }
}
