//! Slots under a TaskManager that keeps everything in memory, with real guests in the real sandbox.

use crate::code::CodeStore;
use crate::link::{Controls, link};
use crate::protocol::{ASSIGNMENT, Ask, Commit, End, LogLine, SplitGrant, SplitPosition, VERSION, Verb, payload};
use crate::shared::Shared;
use crate::{Assignment, Compiler, ComponentGrant, SlotHandle, Task};
use lockgate_core::bundle::{Draft, Part};
use lockgate_core::error::{Code, code};
use lockgate_core::limits::Limits;
use lockgate_core::manifest::Manifest;
use lockgate_core::plan::{
    Compression, Edge, Format, FormatKind, Function, Node, NodeKind, OnError, Output, Plan, Sink, SinkConnector,
    Source, SourceConnector,
};
use lockgate_core::statement::Kind;
use lockgate_core::trust::development;
use lockgate_core::types::{Field, LogicalType};
use lockgate_core::{Digest, Error, Name, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Barrier;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Gives back as many rows as came: those of the first batch are at the address of the batches.
const KEEPS: &str = "(i32.store (i32.const 288) (i32.load (local.get 1))) (i32.const 256)";
/// Logs "the reason" as an error, then traps.
const LOGS_AND_TRAPS: &str = "(call $log (i32.const 0) (i32.const 64) (i32.const 10)) (unreachable)";

/// A component that describes no function and has this body of `call`.
fn component(call: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
        (import "lockgate:udf/log@0.1.0" "log" (func $log (param i32 i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "the reason")
        ;; An output of one port without columns and origins.
        (data (i32.const 260) "\20\01\00\00\01")
        (global $heap (mut i32) (i32.const 1024))
        (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32) (global.get $heap)
            (global.set $heap (i32.and (i32.add (global.get $heap) (i32.add (local.get $size) (i32.const 15)))
                (i32.const -8))))
        (func (export "lockgate:udf/describe@0.1.0#describe") (result i32) (i32.const 0))
        (func (export "lockgate:udf/transform@0.1.0#call") (param i32 i32 i32) (result i32) {call}))"#
    );
    let mut resolve = Resolve::default();
    let package = resolve.push_str("udf.wit", include_str!("../../../../wit/udf.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("transform-udf")).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// What a TaskManager has compiled of it, once it is in a bundle that was signed and verified.
fn artefact(component: &[u8]) -> Vec<u8> {
    let manifest = "[job]\ntenant = \"acme\"\nname = \"late\"\nversion = 1\n[component.guest]\n";
    let compiler = Compiler::new().with_program(&crate::testing::program());
    let imports = compiler.inspect(component).unwrap().imports.into_iter().collect();
    let part = Part { wasm: component.to_vec(), describe: vec![], imports, exports: BTreeSet::new() };
    let now = Timestamp::from_seconds(1_800_000_000);
    let draft = Draft {
        kind: Kind::Function,
        audience: development::audience().unwrap(),
        manifest: Manifest::parse_toml(manifest, "lockgate.toml").unwrap(),
        parts: BTreeMap::from([(name("guest"), part)]),
        data: BTreeMap::new(),
        fallback: vec![],
        not_before: now,
        expires: now.plus(60),
        grace_seconds: 0,
    };
    let allowed = development::Allowed::as_asked(&draft.manifest);
    let keys = development::Keys::from_seed(&[1; 32]);
    let accepted = development::admit(&keys, &mut draft.package(None).unwrap(), &allowed, now).unwrap();
    compiler.compile(&accepted.bundle, &name("guest")).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn lines() -> Option<Format> {
    Some(Format { kind: FormatKind::Lines, compression: Compression::None })
}

fn line() -> Vec<Field> {
    vec![Field::new("line", LogicalType::Utf8, false)]
}

/// Lines to lines in batches of two, with a commit after every batch; each function takes the line and keeps it.
fn assignment(functions: u32) -> Assignment {
    let volume = name("data");
    let connector = SourceConnector::File { volume: volume.clone(), path: "in/*".into() };
    let source = Source { connector, format: lines(), on_error: OnError::Fail, projection: None };
    let sink = SinkConnector::File { volume, path: "out".into() };
    let sink = Sink { connector: sink, format: lines(), fields: line(), dead_letters: false };
    let output = || vec![Output { name: "out".into(), fields: line() }];
    let after = |node| vec![Edge { node, output: 0 }];
    let mut nodes = vec![Node { name: name("in"), inputs: vec![], kind: NodeKind::Source(source), outputs: output() }];
    for at in 0..functions {
        let function = Function {
            component: name("guest"),
            digest: None,
            index: 0,
            name: "f".into(),
            arguments: vec![0],
            nullable: vec![false],
            keep: vec![vec![0]],
            config: BTreeMap::new(),
            on_error: OnError::Fail,
            on_overrun: OnError::Fail,
        };
        let kind = NodeKind::Function(function);
        nodes.push(Node { name: name(&format!("f{at}")), inputs: after(at), kind, outputs: output() });
    }
    nodes.push(Node { name: name("out"), inputs: after(functions), kind: NodeKind::Sink(sink), outputs: vec![] });
    let plan = Plan { nodes, limits: Limits::default(), batch_rows: 2, checkpoint_interval: 0, samples: 0 };
    Assignment {
        run: 1,
        slots: 3,
        tenant: name("acme"),
        job: name("late"),
        clock: 0,
        plan,
        components: BTreeMap::new(),
    }
}

fn split(input: u32, position: Option<Vec<u8>>, content: &str) -> SplitGrant {
    SplitGrant { input, source: 0, name: format!("in/{input}"), size: Some(content.len() as u64), position }
}

/// What a slot may be told.
type Order = fn(&Controls);

/// A TaskManager, and what it was told.
#[derive(Default)]
struct Fake<'a> {
    inputs: BTreeMap<u32, Vec<u8>>,
    code: Option<CodeStore>,
    splits: VecDeque<SplitGrant>,
    /// What is done with the slot once it has committed this often.
    stop: Option<(usize, Order)>,
    /// Whether writes and commits are refused, as by a disk that is full.
    full_disk: bool,
    /// Whether the slot is cancelled while it waits for more of a stream, which then ends.
    cut: bool,
    /// Where it waits before it says that no split is left.
    full: Option<&'a Barrier>,
    /// The output by epoch.
    written: BTreeMap<u64, String>,
    commits: Vec<Commit>,
    logged: Vec<LogLine>,
}

impl Fake<'_> {
    /// With these contents as splits.
    fn new(assignment: &Assignment, splits: &[&str]) -> Self {
        let mut fake = Self::default();
        fake.inputs.insert(ASSIGNMENT, Task::Job(Box::new(assignment.clone())).encode().unwrap());
        for (input, content) in (100..).zip(splits) {
            fake.inputs.insert(input, content.as_bytes().to_vec());
            fake.splits.push_back(split(input, None, content));
        }
        fake
    }

    /// With a guest behind `functions` function nodes.
    fn with_guest(functions: u32, call: &str, splits: &[&str]) -> Self {
        let mut assignment = assignment(functions);
        let component = component(call);
        let artefact = artefact(&component);
        let (digest, mut store) = (Digest::of(&component), CodeStore::new().unwrap());
        let code = store.put(digest, &artefact).unwrap();
        assignment.components.insert(name("guest"), ComponentGrant { digest, code, describe: vec![] });
        Self { code: Some(store), ..Self::new(&assignment, splits) }
    }

    /// Runs a slot of an executor of its own and serves it to its end; its last words, none if it went without.
    fn run(&mut self) -> Option<End> {
        let code = self.code.get_or_insert_with(|| CodeStore::new().unwrap()).reader().unwrap();
        self.run_in(&Shared::new(code))
    }

    /// Runs a slot of an executor.
    fn run_in(&mut self, shared: &Shared) -> Option<End> {
        let (slot, end) = link();
        let controls = end.controls();
        std::thread::scope(|scope| {
            let slot = scope.spawn(|| drop(super::run(slot, shared)));
            let end = self.serve(SlotHandle::new(end, None), &controls);
            slot.join().unwrap();
            end
        })
    }

    fn serve(&mut self, mut handle: SlotHandle, running: &Controls) -> Option<End> {
        while let Some(ask) = handle.receive().unwrap() {
            let bytes = if matches!(ask.verb, Verb::Read { .. }) { vec![] } else { handle.bytes(&ask).unwrap() };
            let answer = self.answer(&ask, &bytes);
            // Before the slot hears of its commit, so that it cannot have begun the next batch.
            if let (Verb::Commit { .. }, Some((after, stop))) = (ask.verb, self.stop)
                && self.commits.len() == after
            {
                stop(running);
            }
            if self.cut && matches!((ask.verb, &answer), (Verb::Read { input: 100.., .. }, Ok((0, _)))) {
                running.cancel();
            }
            match answer {
                Ok((value, back)) => handle.answer(&ask, value, &back).unwrap(),
                Err(error) => handle.refuse(&ask, &error).unwrap(),
            }
            if matches!(ask.verb, Verb::End) {
                return Some(payload::read(&bytes).unwrap());
            }
        }
        None
    }

    fn answer(&mut self, ask: &Ask, bytes: &[u8]) -> Result<(u64, Vec<u8>), Error> {
        match ask.verb {
            Verb::Hello { .. } => return Ok((u64::from(VERSION), vec![])),
            Verb::Read { input, offset } => {
                let all = &self.inputs[&input];
                let from = (offset as usize).min(all.len());
                let part = all[from..(from + ask.length as usize).min(all.len())].to_vec();
                return Ok((part.len() as u64, part));
            }
            Verb::Split => {
                let next = self.splits.pop_front();
                if let (None, Some(full)) = (&next, self.full) {
                    full.wait();
                }
                return Ok(next.map_or((0, vec![]), |split| (1, payload::write(&split).unwrap())));
            }
            Verb::Write { .. } | Verb::Commit { .. } if self.full_disk => {
                return Err(Error::new(code::IO, "the disk is full"));
            }
            Verb::Write { epoch, .. } => {
                assert_eq!(epoch, self.commits.len() as u64 + 1);
                self.written.entry(epoch).or_default().push_str(std::str::from_utf8(bytes).unwrap());
            }
            Verb::Commit { epoch } => {
                assert_eq!(epoch, self.commits.len() as u64 + 1);
                self.commits.push(payload::read(bytes).unwrap());
            }
            Verb::Log => self.logged.extend(payload::read::<Vec<LogLine>>(bytes).unwrap()),
            Verb::Usage | Verb::End => {}
        }
        Ok((0, vec![]))
    }

    /// What was written in epochs that were committed.
    fn committed(&self) -> String {
        (1..=self.commits.len() as u64).filter_map(|epoch| self.written.get(&epoch)).cloned().collect()
    }

    fn last(&self, name: &str) -> &SplitPosition {
        self.commits.iter().flat_map(|commit| &commit.splits).rfind(|split| split.name == name).unwrap()
    }
}

#[track_caller]
fn failed(end: Option<End>) -> Code {
    end.unwrap().failed.unwrap().error().code()
}

#[test]
fn a_slot_commits_what_it_has_read_and_ends() {
    let mut fake = Fake::new(&assignment(0), &["a\nb\nc\n", "", "d\n", "e"]);
    let end = fake.run().unwrap();
    assert_eq!(end.failed, None);
    assert_eq!(fake.committed(), "a\nb\nc\nd\ne\n");
    for name in ["in/100", "in/101", "in/102", "in/103"] {
        assert!(fake.last(name).finished, "{name}");
    }
    assert_eq!((end.usage.nodes[0].rows_in, end.usage.nodes[1].rows_in, end.usage.bytes_read), (5, 5, 9));
}

#[test]
fn a_slot_without_a_split_commits_nothing() {
    let mut fake = Fake::new(&assignment(0), &[]);
    assert_eq!(fake.run().unwrap().failed, None);
    assert_eq!(fake.commits, []);
}

#[test]
fn a_drained_slot_commits_its_batch_and_another_goes_on() {
    let content = "a\nb\nc\nd\ne\nf\n";
    // After a split's last batch too: its end is not known yet.
    for drained in 1..=3 {
        let mut first = Fake { stop: Some((drained, Controls::drain)), ..Fake::new(&assignment(0), &[content, "g\n"]) };
        assert_eq!(first.run().unwrap().failed, None);
        let behind = first.last("in/100");
        assert!(!behind.finished && first.committed().len() == 4 * drained);
        assert_eq!(first.splits.len(), 1, "a split was begun while draining");
        let mut next = Fake::new(&assignment(0), &[content]);
        next.splits = [split(100, Some(behind.position.clone()), content)].into();
        assert_eq!(next.run().unwrap().failed, None);
        assert_eq!(first.committed() + &next.committed(), content);
        assert!(next.last("in/100").finished);
    }
}

#[test]
fn a_cancelled_slot_commits_nothing_more() {
    let mut fake = Fake { stop: Some((1, Controls::cancel)), ..Fake::new(&assignment(0), &["a\nb\nc\nd\n"]) };
    assert_eq!(failed(fake.run()), code::JOB_CANCELLED);
    assert_eq!(fake.committed(), "a\nb\n");
}

#[test]
fn what_a_guest_said_before_it_failed_is_told() {
    let mut fake = Fake::with_guest(1, LOGS_AND_TRAPS, &["a\n"]);
    assert_eq!(failed(fake.run()), code::GUEST_TRAP);
    let told: Vec<_> = fake.logged.iter().map(|line| (line.node, &*line.level, &*line.text)).collect();
    assert!(!told.is_empty() && told.iter().all(|line| *line == (1, "error", "the reason")), "{told:?}");
    assert_eq!(fake.commits, []);
}

#[test]
fn every_slot_has_room_for_its_functions() {
    let functions = 2;
    let mut first = Fake::with_guest(functions, KEEPS, &["a\nb\nc\n"]);
    let shared = Shared::new(first.code.take().unwrap().reader().unwrap());
    // Rows must reach the second function, so that each slot holds an instance of both when it looks for a split.
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (shared, barrier) = (&shared, &barrier);
            scope.spawn(move || {
                let mut fake = Fake::with_guest(functions, KEEPS, &["a\nb\nc\n"]);
                fake.full = Some(barrier);
                let end = fake.run_in(shared).unwrap();
                assert_eq!((end.failed, fake.committed()), (None, "a\nb\nc\n".into()));
                assert!(end.usage.functions.iter().all(|(_, usage)| usage.instances == 1));
            });
        }
    });
}

#[test]
fn a_slot_runs_nothing_that_was_not_assigned() {
    let mut garbage = Fake::new(&assignment(0), &["a\n"]);
    garbage.inputs.insert(ASSIGNMENT, b"{}".to_vec());
    let ungranted = Fake::new(&assignment(1), &["a\n"]);
    let mut foreign = Fake::new(&assignment(0), &["a\n"]);
    foreign.splits[0].source = 1;
    let mut differs = Fake::with_guest(1, KEEPS, &["a\n"]);
    let Task::Job(mut assigned) = payload::read(&differs.inputs[&ASSIGNMENT]).unwrap() else { panic!("no job") };
    let described = r#"[{"name":"f","kind":"transform","inputs":[],"outputs":[],"attributes":[]}]"#;
    assigned.components.get_mut(&name("guest")).unwrap().describe = serde_json::from_str(described).unwrap();
    differs.inputs.insert(ASSIGNMENT, Task::Job(assigned).encode().unwrap());
    for (mut fake, why) in [
        (garbage, code::PROTOCOL_PAYLOAD),
        (ungranted, code::PROTOCOL_PAYLOAD),
        (foreign, code::PROTOCOL_RANGE),
        (differs, code::DESCRIBE_DIFFERS),
    ] {
        assert_eq!(failed(fake.run()), why);
        assert_eq!(fake.commits, []);
    }
}

#[test]
fn a_slot_whose_output_is_refused_says_so_in_its_last_words() {
    for content in ["a\n", "a\nb\nc\nd\ne\n"] {
        let mut fake = Fake { full_disk: true, ..Fake::new(&assignment(0), &[content]) };
        assert_eq!(failed(fake.run()), code::IO);
        assert_eq!(fake.commits, []);
    }
}

#[test]
fn a_stream_that_is_cancelled_is_not_taken_for_finished() {
    let mut assignment = assignment(0);
    assignment.plan.checkpoint_interval = 60_000;
    // To the end of a record, so that nothing but the cancelling tells that more would have come.
    let mut fake = Fake { cut: true, ..Fake::new(&assignment, &["a\nb\n"]) };
    fake.splits[0].size = None;
    assert_eq!(failed(fake.run()), code::JOB_CANCELLED);
    assert_eq!(fake.commits, []);
}
