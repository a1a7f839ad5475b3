//! A slot that says what it likes: whatever is not its own is refused, fails the job and leaves nothing behind.

use super::*;
use crate::checkpoint::{Change, Pending, State};
use crate::job::tests::{World, coordinator_with, silent, sinks};
use crate::ledger::{Ledger, Local};
use crate::sink::Sinks;
use crate::source;
use lockgate_core::plan::{Function, Node, NodeKind, OnError};
use lockgate_core::{Code, Name};
use lockgate_executor::protocol::{Ask, Failed, FunctionUsage, SplitPosition};
use lockgate_executor::testing::{self, RawSlot};
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

const HELLO: Verb = Verb::Hello { version: VERSION };
const SINK: u32 = 1;

/// A world with two files, and what its slots share.
fn world() -> (World, Coordinator) {
    world_with(|local| Box::new(local))
}

/// The same with another record.
fn world_with(record: impl FnOnce(Local) -> Box<dyn Ledger>) -> (World, Coordinator) {
    let world = World::plain();
    world.numbers("in/a", 0..3);
    world.numbers("in/b", 3..5);
    let (mut state, _) = State::open(&world.state(), &world.job.identity).unwrap();
    let sinks = sinks(&world, &state);
    state.recover(&sinks).unwrap();
    let plan = &world.job.plan;
    let NodeKind::Source(from) = &plan.nodes[0].kind else { panic!("no source") };
    let sources = BTreeMap::from([(0, source::connect(&from.connector, &world.volumes, &Arc::default()).unwrap())]);
    let coordinator = coordinator_with(&world, sources, sinks, state, record);
    (world, coordinator)
}

/// Serves a slot that does `work` and then goes away; how that ended, and the world.
fn served(work: impl FnOnce(&mut Slot)) -> (Result<Usage>, World, Arc<Coordinator>) {
    let (world, coordinator) = world();
    let coordinator = Arc::new(coordinator);
    let service = service(&world, &coordinator);
    (serve_to(&service, work), world, coordinator)
}

fn service(world: &World, coordinator: &Arc<Coordinator>) -> Service {
    Service {
        task: b"assignment".to_vec(),
        plan: Arc::clone(&world.job.plan),
        coordinator: Arc::clone(coordinator),
        fuel_per_second: None,
        events: silent(),
        stop: Stop::default(),
    }
}

fn serve_to(service: &Service, work: impl FnOnce(&mut Slot)) -> Result<Usage> {
    let (raw, handle) = testing::slot();
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(0, handle, service).map_err(|stopped| stopped.error));
        let mut slot = Slot(raw);
        work(&mut slot);
        drop(slot);
        server.join().unwrap()
    })
}

struct Slot(RawSlot);

impl Slot {
    /// Asks for what is granted: the answer's value and bytes.
    fn may(&mut self, verb: Verb, length: usize, bytes: &[u8]) -> (u64, Vec<u8>) {
        let (answer, back) = self.0.ask_for(verb, length as u32, bytes).unwrap();
        assert!(!answer.refused, "{verb:?}: {}", String::from_utf8_lossy(&back));
        (answer.value, back)
    }

    fn send(&mut self, verb: Verb, bytes: &[u8]) {
        self.may(verb, bytes.len(), bytes);
    }

    fn split(&mut self) -> SplitGrant {
        let (there, grant) = self.may(Verb::Split, 0, &[]);
        assert_eq!(there, 1);
        payload::read(&grant).unwrap()
    }

    fn commit(&mut self, epoch: u64, splits: Vec<SplitPosition>) {
        self.send(Verb::Commit { epoch }, &committing(splits));
    }
}

fn committing(splits: Vec<SplitPosition>) -> Vec<u8> {
    payload::write(&Commit { splits, usage: Usage::default(), samples: Vec::new() }).unwrap()
}

fn at(name: &str, position: &[u8], finished: bool) -> SplitPosition {
    SplitPosition { source: 0, name: name.into(), position: position.to_vec(), finished }
}

/// The last thing that a slot asks is refused with this code, and so is the job; nothing more is committed.
#[track_caller]
fn refused(what: &str, code: Code, before: impl FnOnce(&mut Slot), verb: Verb, length: usize, bytes: &[u8]) {
    let (ended, world, coordinator) = served(|slot| {
        slot.send(HELLO, &[]);
        before(slot);
        let (answer, text) = slot.0.ask_for(verb, length as u32, bytes).unwrap();
        assert!(answer.refused, "{what} is not refused");
        assert_eq!(answer.value, u64::from(code.number()), "{what}: {}", String::from_utf8_lossy(&text));
        assert!(slot.0.ask(Verb::Split, &[]).is_none(), "{what}: the slot is served on");
    });
    assert_eq!(ended.unwrap_err().code(), code, "{what}");
    // What was committed before stays.
    let seen = world.seen("out");
    assert!(seen.is_empty() || seen == ["{\"n\":0}"], "{what} was written: {seen:?}");
    // The other slots go on until they are told, and the next start finds the state whole.
    drop(coordinator);
    assert!(State::open(&world.state(), &world.job.identity).is_ok(), "{what}");
}

#[test]
fn an_honest_slot_is_served() {
    let (ended, world, coordinator) = served(|slot| {
        assert_eq!(slot.may(HELLO, 0, &[]).0, u64::from(VERSION));
        assert_eq!(slot.may(Verb::Read { input: 0, offset: 7 }, 99, &[]), (3, b"ent".to_vec()));
        assert_eq!(slot.may(Verb::Read { input: 0, offset: u64::MAX }, 99, &[]), (0, vec![]));
        let grant = slot.split();
        assert_eq!((&*grant.name, grant.position), ("in/a", None));
        assert_eq!(slot.may(Verb::Read { input: grant.input, offset: 16 }, REGION_BYTES, &[]).1, b"{\"n\":2}\n");
        slot.send(Verb::Write { sink: SINK, epoch: 1 }, b"{\"n\"");
        slot.send(Verb::Write { sink: SINK, epoch: 1 }, b":0}\n");
        slot.commit(1, vec![at("in/a", b"x", false)]);
        slot.commit(2, vec![at("in/a", b"", true)]);
        slot.split();
        assert_eq!(slot.may(Verb::Split, 0, &[]).0, 0);
        slot.send(Verb::Write { sink: SINK, epoch: 3 }, b"never\n");
        slot.send(Verb::End, &payload::write(&End { failed: None, usage: Usage::default(), outcome: None }).unwrap());
    });
    assert_eq!(ended, Ok(Usage::default()));
    assert_eq!(world.seen("out"), ["{\"n\":0}"]);
    let report = coordinator.settle(vec![]).unwrap();
    assert!(!report.finished, "a split was given away and never finished");
}

#[test]
fn a_slot_reads_its_own_inputs_only() {
    let nothing = |_: &mut Slot| ();
    for input in [1, FIRST_SPLIT, u32::MAX] {
        refused("a foreign input", code::PROTOCOL_RANGE, nothing, Verb::Read { input, offset: 0 }, 9, &[]);
    }
    let next = |slot: &mut Slot| drop((slot.split(), slot.split()));
    let last = Verb::Read { input: FIRST_SPLIT, offset: 0 };
    refused("the split before", code::PROTOCOL_RANGE, next, last, 9, &[]);
}

#[test]
fn a_slot_writes_to_sinks_in_the_open_epoch_only() {
    let nothing = |_: &mut Slot| ();
    for sink in [0, 2, u32::MAX] {
        refused("a foreign sink", code::PROTOCOL_RANGE, nothing, Verb::Write { sink, epoch: 1 }, 1, b"x");
    }
    for epoch in [0, 2, u64::MAX] {
        refused("a foreign epoch", code::PROTOCOL_RANGE, nothing, Verb::Write { sink: SINK, epoch }, 1, b"x");
    }
    let committed = |slot: &mut Slot| {
        slot.split();
        slot.send(Verb::Write { sink: SINK, epoch: 1 }, b"{\"n\":0}\n");
        slot.commit(1, vec![at("in/a", b"x", false)]);
    };
    let again = Verb::Write { sink: SINK, epoch: 1 };
    refused("an epoch that is committed", code::PROTOCOL_RANGE, committed, again, 1, b"x");
}

#[test]
fn a_slot_commits_what_it_was_given_only() {
    let given = |slot: &mut Slot| {
        slot.split();
        slot.send(Verb::Write { sink: SINK, epoch: 1 }, b"never\n");
    };
    let (good, long) = (at("in/a", b"x", false), vec![0; MAX_POSITION + 1]);
    for (what, splits) in [
        ("no split", vec![]),
        ("a split of nobody", vec![at("in/c", b"", true)]),
        ("a split of another", vec![good.clone(), at("in/b", b"x", false)]),
        ("a split of another source", vec![SplitPosition { source: 1, ..good.clone() }]),
        ("the end of a split twice", vec![at("in/a", b"", true), at("in/a", b"", true)]),
        ("a split twice", vec![good.clone(), good.clone()]),
        ("a position behind the end", vec![at("in/a", b"", true), good.clone()]),
        ("a position that is too long", vec![at("in/a", &long, false)]),
    ] {
        let bytes = committing(splits);
        refused(what, code::PROTOCOL_RANGE, given, Verb::Commit { epoch: 1 }, bytes.len(), &bytes);
    }
    let bytes = committing(vec![good.clone()]);
    for epoch in [0, 2] {
        refused("a foreign epoch", code::PROTOCOL_RANGE, given, Verb::Commit { epoch }, bytes.len(), &bytes);
    }
    let finished = |slot: &mut Slot| {
        slot.split();
        slot.commit(1, vec![at("in/a", b"", true)]);
    };
    let verb = Verb::Commit { epoch: 2 };
    refused("a split that is finished", code::PROTOCOL_RANGE, finished, verb, bytes.len(), &bytes);
}

/// A record that makes a commit when it is let.
struct Gate {
    local: Local,
    /// Commits that were let, and those that are made.
    state: Arc<(Mutex<(u32, u32)>, Condvar)>,
}

impl Ledger for Gate {
    fn left(&self) -> (usize, Option<u64>) {
        self.local.left()
    }

    fn commits(&self) -> u64 {
        self.local.commits()
    }

    fn last(&self, slot: u32) -> u64 {
        self.local.last(slot)
    }

    fn claim(&self, slot: u32) -> Result<Option<(Name, Pending)>> {
        self.local.claim(slot)
    }

    fn commit(&self, change: Change, sinks: &Sinks) -> Result<()> {
        let (state, changed) = &*self.state;
        let mut state = changed.wait_while(state.lock().unwrap(), |(may, made)| may <= made).unwrap();
        self.local.commit(change, sinks)?;
        state.1 += 1;
        changed.notify_all();
        Ok(())
    }

    fn ahead(&self) -> usize {
        8
    }

    fn begin_again(&self, sinks: &Sinks) -> Result<()> {
        self.local.begin_again(sinks)
    }

    fn settle(&self) -> Result<bool> {
        self.local.settle()
    }
}

/// What waits for the record is bounded by number and by bytes: many small commits wait, a large one waits for them.
#[test]
fn a_commit_that_is_large_waits_for_those_before_it() {
    let state: Arc<(Mutex<(u32, u32)>, Condvar)> = Arc::default();
    let gate = Arc::clone(&state);
    let (world, coordinator) = world_with(move |local| Box::new(Gate { local, state: gate }));
    let service = service(&world, &Arc::new(coordinator));
    let let_one = || {
        let (numbers, changed) = &*state;
        let mut numbers = numbers.lock().unwrap();
        numbers.0 += 1;
        changed.notify_all();
        let wanted = numbers.0;
        drop(changed.wait_while(numbers, |(_, made)| *made < wanted).unwrap());
    };
    let ended = serve_to(&service, |slot| {
        slot.split();
        // Nobody lets them, and they are answered.
        slot.commit(1, vec![at("in/a", b"x", false)]);
        slot.commit(2, vec![at("in/a", b"y", false)]);
        assert_eq!(state.0.lock().unwrap().1, 0);
        thread::scope(|scope| {
            scope.spawn(|| (0..3).for_each(|_| let_one()));
            slot.commit(3, vec![at("in/a", &[7; MAX_POSITION], false)]);
            assert!(state.0.lock().unwrap().1 >= 2, "a large commit waits beside others");
        });
        slot.send(Verb::End, &payload::write(&End { failed: None, usage: Usage::default(), outcome: None }).unwrap());
    });
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(service.coordinator.commits(), 3);
}

#[test]
fn documents_that_are_not_understood_are_refused() {
    let nothing = |_: &mut Slot| ();
    for garbage in [&b""[..], b"{", b"{}", b"null", b"[1]", b"\xff\xff", br#"{"splits":[],"usage":{},"more":1}"#] {
        for verb in [Verb::Commit { epoch: 1 }, Verb::Log, Verb::Usage, Verb::End] {
            refused("garbage", code::PROTOCOL_PAYLOAD, nothing, verb, garbage.len(), garbage);
        }
    }
}

#[test]
fn a_slot_that_breaks_the_protocol_is_not_answered() {
    let second = Ask { ticket: 2, region: 0, length: 0, verb: Verb::Split }.encode();
    for (frame, expected) in [(second, code::PROTOCOL_RANGE), ([7; 40], code::PROTOCOL_MESSAGE)] {
        let (ended, ..) = served(|slot| assert!(slot.0.send(frame)));
        assert_eq!(ended.unwrap_err().code(), expected);
    }
}

#[test]
fn a_slot_that_goes_away_or_says_that_it_failed_fails_the_job() {
    let (ended, world, _) = served(|slot| {
        slot.split();
        slot.send(Verb::Write { sink: SINK, epoch: 1 }, b"never\n");
    });
    assert_eq!(ended.unwrap_err().code(), code::EXECUTOR_GONE);
    assert_eq!(world.seen("out"), Vec::<String>::new());
    let failed = Failed { code: code::GUEST_TRAP.number(), cause: "it trapped".into(), help: None };
    let end = End { failed: Some(failed), usage: Usage::default(), outcome: None };
    let (ended, ..) = served(|slot| slot.send(Verb::End, &payload::write(&end).unwrap()));
    let error = ended.unwrap_err();
    assert_eq!((error.code(), error.cause()), (code::GUEST_TRAP, "it trapped"));
}

/// A slot that says that it is far over its budget is answered once the run is to stop, and what it waited is reported.
#[test]
fn a_slot_over_its_budget_is_held_back_until_the_run_stops() {
    let stops: [fn(&Stop); 3] = [Stop::drain, Stop::cancel, Stop::fail];
    for (stop, committing) in stops.into_iter().zip([false, true, false]) {
        let (world, coordinator) = world();
        let (tell, told) = channel();
        let events = Events::new(move |event| match event {
            Event::Usage { waited, .. } | Event::Committed { waited, .. } => drop(tell.send(waited)),
            _ => {}
        });
        let mut plan = Plan::clone(&world.job.plan);
        plan.nodes.push(function());
        let coordinator = Arc::new(coordinator);
        let service =
            Service { plan: Arc::new(plan), fuel_per_second: Some(1_000), events, ..service(&world, &coordinator) };
        let function = FunctionUsage { fuel: u64::MAX, ..FunctionUsage::default() };
        let usage = Usage { functions: vec![(2, function)], ..Usage::default() };
        let ended = serve_to(&service, |slot| {
            slot.send(HELLO, &[]);
            let document = payload::write(&usage).unwrap();
            slot.send(Verb::Usage, &payload::write(&Usage::default()).unwrap());
            assert_eq!(told.recv().unwrap(), Duration::ZERO);
            thread::scope(|scope| {
                scope.spawn(|| stop(&service.stop));
                if committing {
                    slot.split();
                    let splits = vec![at("in/a", b"", true)];
                    slot.send(
                        Verb::Commit { epoch: 1 },
                        &payload::write(&Commit { splits, usage: usage.clone(), samples: Vec::new() }).unwrap(),
                    );
                    assert!(told.recv().unwrap() > Duration::ZERO, "a commit takes its time");
                }
                slot.send(Verb::Usage, &document);
                assert!(told.recv().unwrap() > Duration::ZERO);
            });
            slot.send(Verb::End, &payload::write(&End { failed: None, usage, outcome: None }).unwrap());
        });
        assert!(ended.is_ok(), "{ended:?}");
    }
}

fn function() -> Node {
    let function = Function {
        component: "lib".parse().unwrap(),
        digest: None,
        index: 0,
        name: "f".into(),
        arguments: vec![],
        nullable: vec![],
        keep: vec![],
        config: BTreeMap::new(),
        on_error: OnError::Fail,
        on_overrun: OnError::Fail,
    };
    Node { name: "f".parse().unwrap(), inputs: vec![], kind: NodeKind::Function(function), outputs: vec![] }
}
