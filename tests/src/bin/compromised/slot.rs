//! What a slot of a compromised executor does to its TaskManager. The job's name says what; under any other name the
//! slot is honest, so that another tenant's can run beside it in the same way.

use lockgate_executor::Assignment;
use lockgate_executor::jail::attempt::{self, SOCKET, Stage, Voice};
use lockgate_executor::protocol::{
    ASSIGNMENT, Ask, Commit, End, FRAME_BYTES, Failed, Frame, FunctionUsage, LogLine, NodeUsage, REGION_BYTES,
    SLOT_REGIONS, SplitGrant, SplitPosition, Usage, VERSION, Verb, payload,
};
use lockgate_executor::testing::{RawSlot, Word};
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What the file sink is in the plan of these jobs, and the source and the function.
const SINK: u32 = 2;
const SOURCE: u32 = 0;
const FUNCTION: u32 = 1;

/// Plays the attempt that the job is called after, if it is one.
pub fn play(assignment: &Assignment, slot: &mut RawSlot) -> bool {
    let name = assignment.job.as_str();
    if let Some(attempt) = name.strip_prefix("call-") {
        call(slot, attempt);
        return true;
    }
    let Some((_, attempt)) = ATTEMPTS.iter().find(|(known, _)| *known == name) else { return false };
    attempt(slot);
    true
}

type Attempt = fn(&mut RawSlot);

const ATTEMPTS: &[(&str, Attempt)] = &[
    // Frames.
    ("unknown-kind", |slot| frame(slot, |frame| frame[0] = 99)),
    ("answer-for-an-ask", |slot| frame(slot, |frame| frame[0] = 101)),
    ("bytes-behind-a-frame", |slot| frame(slot, |frame| frame[FRAME_BYTES - 1] = 1)),
    ("giant-length", |slot| ask(slot, Verb::Log, 0, REGION_BYTES as u32 + 1)),
    ("length-of-everything", |slot| ask(slot, Verb::Log, 0, u32::MAX)),
    ("foreign-region", |slot| ask(slot, Verb::Log, SLOT_REGIONS, 2)),
    ("region-lent-twice", |slot| {
        // Several are sent before the first is looked at, for as long as it takes until one is not answered yet.
        let usage = document(&usage(1, 0));
        slot.put(1, &usage);
        for _ in 0..1_000 {
            let ticket = slot.ticket();
            slot.send(Ask { ticket, region: 1, length: usage.len() as u32, verb: Verb::Usage }.encode());
        }
    }),
    ("ticket-left-out", |slot| {
        slot.ticket();
        ask(slot, Verb::Split, 0, 0);
    }),
    ("ticket-used-twice", |slot| {
        let ticket = slot.ticket();
        for region in 0..2 {
            slot.send(Ask { ticket, region, length: 0, verb: Verb::Split }.encode());
        }
    }),
    ("last-ticket-of-all", |slot| {
        slot.send(Ask { ticket: u64::MAX, region: 0, length: 0, verb: Verb::Split }.encode());
    }),
    ("flood-of-asks", |slot| {
        slot.forge(0, Word::Asked, |asked| asked.wrapping_add(SLOT_REGIONS + 1));
        slot.ring();
    }),
    ("asks-taken-back", |slot| {
        slot.forge(0, Word::Asked, |asked| asked.wrapping_sub(1));
        slot.ring();
    }),
    ("ringing-for-nothing", |slot| {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && !black_box(false) {
            slot.ring();
        }
    }),
    // Memory that changes while it is read.
    ("changing-commit", |slot| {
        let split = split(slot);
        let honest = document(&commit(vec![at(&split, false)]));
        let other = honest_with(&honest, &split.name, "rows.jsom");
        change(slot, Verb::Commit { epoch: 1 }, &honest, &other);
    }),
    ("changing-position", |slot| {
        let split = split(slot);
        let position = |byte| SplitPosition { position: vec![byte; 60_000], ..at(&split, false) };
        let (honest, other) = (document(&commit(vec![position(1)])), document(&commit(vec![position(2)])));
        change(slot, Verb::Commit { epoch: 1 }, &honest, &[&other[..], &[b' '; 9]].concat());
    }),
    ("changing-counters", |slot| {
        let honest = document(&usage(1, 0));
        change(slot, Verb::Usage, &honest, &vec![b'['; honest.len()]);
    }),
    ("everything-set", |slot| {
        slot.scribble(u64::MAX);
        slot.ring();
    }),
    ("everything-cleared", |slot| {
        slot.scribble(0);
        slot.ring();
        end(slot);
    }),
    ("answers-forged", |slot| {
        for word in [Word::Answered, Word::Run, Word::Progress] {
            slot.forge(0, word, |number| number.wrapping_add(7));
        }
        ask(slot, Verb::Write { sink: 9, epoch: 1 }, 0, 1);
        slot.forge(0, Word::Orders, |_| u32::MAX);
    }),
    // What was not granted.
    ("foreign-input", |slot| ask(slot, Verb::Read { input: 7, offset: 0 }, 0, 9)),
    ("input-before-its-split", |slot| ask(slot, Verb::Read { input: 1 << 16, offset: 0 }, 0, 9)),
    ("input-that-was", |slot| {
        let last = split(slot);
        slot.ask(Verb::Split, &[]);
        ask(slot, Verb::Read { input: last.input, offset: 0 }, 0, 9);
    }),
    ("behind-the-end-of-an-input", |slot| {
        let split = split(slot);
        for input in [ASSIGNMENT, split.input] {
            for offset in [1 << 40, i64::MAX.unsigned_abs() - 1] {
                let got = slot.ask_for(Verb::Read { input, offset }, REGION_BYTES as u32, &[]);
                assert!(got.is_some_and(|(answer, _)| answer.refused || answer.length == 0), "bytes from nowhere");
            }
        }
        fail(slot, "nothing was there");
    }),
    ("behind-all-numbers", |slot| {
        let split = split(slot);
        ask(slot, Verb::Read { input: split.input, offset: u64::MAX }, 0, REGION_BYTES as u32);
        slot.answer();
        fail(slot, "nothing was there");
    }),
    ("foreign-sink", |slot| ask(slot, Verb::Write { sink: SINK + 1, epoch: 1 }, 0, 9)),
    ("writing-to-a-source", |slot| ask(slot, Verb::Write { sink: SOURCE, epoch: 1 }, 0, 9)),
    ("epoch-to-come", |slot| ask(slot, Verb::Write { sink: SINK, epoch: 2 }, 0, 9)),
    ("epoch-of-all-numbers", |slot| ask(slot, Verb::Write { sink: SINK, epoch: u64::MAX }, 0, 9)),
    ("epoch-that-was", |slot| {
        let split = split(slot);
        say(slot, Verb::Commit { epoch: 1 }, &commit(vec![at(&split, false)]));
        ask(slot, Verb::Write { sink: SINK, epoch: 1 }, 0, 9);
    }),
    ("commit-of-another-split", |slot| {
        let split = split(slot);
        let other = SplitPosition { name: "../../state".into(), ..at(&split, true) };
        say(slot, Verb::Commit { epoch: 1 }, &commit(vec![other]));
    }),
    ("commit-of-another-source", |slot| {
        let split = split(slot);
        let other = SplitPosition { source: u32::MAX, ..at(&split, true) };
        say(slot, Verb::Commit { epoch: 1 }, &commit(vec![other]));
    }),
    ("commit-of-another-epoch", |slot| {
        let split = split(slot);
        say(slot, Verb::Commit { epoch: 7 }, &commit(vec![at(&split, true)]));
    }),
    ("commit-of-nothing", |slot| {
        split(slot);
        slot.ask(Verb::Write { sink: SINK, epoch: 1 }, b"never\n");
        say(slot, Verb::Commit { epoch: 1 }, &commit(vec![]));
    }),
    ("commit-twice", |slot| {
        let split = split(slot);
        slot.ask(Verb::Write { sink: SINK, epoch: 1 }, b"never\n");
        say(slot, Verb::Commit { epoch: 1 }, &commit(vec![at(&split, true), at(&split, true)]));
    }),
    ("position-without-end", |slot| {
        let split = split(slot);
        let long = SplitPosition { position: vec![0; 300_000], ..at(&split, false) };
        say(slot, Verb::Commit { epoch: 1 }, &commit(vec![long]));
    }),
    // Documents.
    ("deep-log", |slot| deep(slot, Verb::Log)),
    ("deep-counters", |slot| deep(slot, Verb::Usage)),
    ("deep-commit", |slot| deep(slot, Verb::Commit { epoch: 1 })),
    ("deep-end", |slot| deep(slot, Verb::End)),
    ("no-text", |slot| drop(slot.ask(Verb::Log, &[0xff; 4096]))),
    ("log-of-many-lines", |slot| say(slot, Verb::Log, &vec![line("x"); 9])),
    ("log-of-nobody", |slot| say(slot, Verb::Log, &[LogLine { node: u32::MAX, ..line("x") }])),
    ("log-of-no-level", |slot| say(slot, Verb::Log, &[LogLine { level: "\u{1b}[2J".into(), ..line("x") }])),
    ("counters-of-nobody", |slot| say(slot, Verb::Usage, &usage(5_000, 0))),
    ("counters-of-no-function", |slot| {
        let functions = vec![(SINK, FunctionUsage::default())];
        say(slot, Verb::Usage, &Usage { functions, ..Usage::default() });
    }),
    ("counters-twice", |slot| {
        let functions = vec![(FUNCTION, FunctionUsage::default()); 2];
        say(slot, Verb::Usage, &Usage { functions, ..Usage::default() });
    }),
    ("counters-beyond-all-numbers", |slot| {
        say(slot, Verb::Usage, &usage(3, u64::MAX));
        fail(slot, "it counted");
    }),
    ("text-that-steers", |slot| {
        say(slot, Verb::Log, &[line("\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{202e}")]);
        fail(slot, "\u{1b}[2J\r\n\u{202e}owned");
    }),
    ("text-without-end", |slot| {
        say(slot, Verb::Log, &[line(&"é".repeat(400_000))]);
        fail(slot, &"\u{1b}".repeat(100_000));
    }),
    ("error-that-is-none", |slot| {
        let failed = Failed { code: u16::MAX, cause: "x".into(), help: Some("\u{1b}[2J".into()) };
        say(slot, Verb::End, &End { failed: Some(failed), usage: Usage::default(), outcome: None });
    }),
    // Lies about the end.
    ("end-before-the-splits", |slot| end(slot)),
    ("end-without-commit", |slot| {
        split(slot);
        slot.ask(Verb::Write { sink: SINK, epoch: 1 }, b"never\n");
        slot.ask(Verb::Split, &[]);
        end(slot);
    }),
    ("end-while-asks-are-open", |slot| {
        split(slot);
        for region in 1..4 {
            slot.put(region, b"never\n");
            ask(slot, Verb::Write { sink: SINK, epoch: 1 }, region, 6);
        }
        let words = document(&End { failed: None, usage: Usage::default(), outcome: None });
        slot.put(0, &words);
        ask(slot, Verb::End, 0, words.len() as u32);
        for _ in 0..4 {
            slot.answer();
        }
    }),
    ("asks-behind-the-end", |slot| {
        let failed = Failed { code: 606, cause: "it ended".into(), help: None };
        let words = document(&End { failed: Some(failed), usage: Usage::default(), outcome: None });
        slot.put(0, &words);
        slot.put(1, &words);
        ask(slot, Verb::End, 0, words.len() as u32);
        ask(slot, Verb::End, 1, words.len() as u32);
        slot.answer();
    }),
    ("gone-and-not-dead", |slot| {
        slot.forge(0, Word::Gone, |_| 1);
        slot.ring();
        wait();
    }),
    ("silence", |_| wait()),
    ("spinning", |_| while !black_box(false) {}),
    ("progress-without-end", |slot| {
        say(slot, Verb::Usage, &usage(1, 0));
        while !black_box(false) {
            slot.forge(0, Word::Progress, |progress| progress.wrapping_add(1));
            std::thread::yield_now();
        }
    }),
    ("asks-without-end", |slot| while slot.ask(Verb::Usage, &document(&usage(1, 0))).is_some() {}),
    ("panic", |_| std::panic::resume_unwind(Box::new("a slot that panics"))),
    ("exit", |_| std::process::exit(0)),
    ("abort", |_| std::process::abort()),
    ("fault", |_| drop(attempt::play("fault", &STAGE))),
    ("memory-refused", |_| {
        let mut held = Vec::new();
        while held.len() < 10_000 {
            held.push(black_box(vec![1_u8; 8 << 20]));
        }
    }),
    ("word-of-refused-memory", |slot| {
        slot.forge(0, Word::Refused, |_| 1);
        std::process::abort();
    }),
    ("memory-hidden", |_| drop(attempt::play("hide-for-ever", &STAGE))),
    ("page-tables", |_| drop(attempt::play("page-tables", &STAGE))),
    // Floods.
    ("flood-of-logs", |slot| {
        let lines = document(&vec![line(&"x".repeat(120_000)); 8]);
        (0..200).for_each(|_| drop(slot.ask(Verb::Log, &lines)));
        fail(slot, "all was heard");
    }),
    ("flood-of-counters", |slot| {
        let usage = document(&usage(3, 1));
        (0..5_000).for_each(|_| drop(slot.ask(Verb::Usage, &usage)));
        fail(slot, "all was heard");
    }),
    ("flood-of-hellos", |slot| {
        (0..5_000).for_each(|_| drop(slot.ask(Verb::Hello { version: VERSION + 1 }, &[])));
        fail(slot, "all was heard");
    }),
    ("flood-of-rubbish-on-the-socket", |slot| {
        // What is not read fills the socket, and then whoever sends waits.
        for _ in 0..100_000 {
            let _ = attempt::tell("{\"ready\":{}}", Voice::Send);
        }
        fail(slot, "all was sent");
    }),
    ("splits-beyond-the-last", |slot| {
        (0..1_000).for_each(|_| drop(slot.ask(Verb::Split, &[])));
        fail(slot, "there was no more");
    }),
];

const STAGE: Stage = Stage { parent: 1, address: 0, port: 9 };

/// Makes a system call that the filter does not allow; it does not come back.
fn call(slot: &mut RawSlot, attempt: &str) {
    let got = match attempt::play(attempt, &STAGE) {
        None => "there is no such attempt".to_owned(),
        Some(Ok(got)) => format!("succeeded: {got}"),
        Some(Err(error)) => format!("refused: {error} {SOCKET}"),
    };
    fail(slot, &got);
}

/// Sends an ask that was changed on the way.
fn frame(slot: &mut RawSlot, change: impl FnOnce(&mut Frame)) {
    let ticket = slot.ticket();
    let mut frame = Ask { ticket, region: 0, length: 0, verb: Verb::Split }.encode();
    change(&mut frame);
    slot.send(frame);
}

/// Sends an ask and does not wait.
fn ask(slot: &mut RawSlot, verb: Verb, region: u32, length: u32) {
    let ticket = slot.ticket();
    slot.send(Ask { ticket, region, length, verb }.encode());
}

/// Asks with a document and waits.
fn say(slot: &mut RawSlot, verb: Verb, document: &impl Serialize) {
    let bytes = self::document(document);
    let _ = slot.ask(verb, &bytes);
}

fn document(document: &impl Serialize) -> Vec<u8> {
    payload::write(document).unwrap_or_default()
}

/// Asks again and again with one document, and puts the other in its place and back while it is read.
fn change(slot: &mut RawSlot, verb: Verb, one: &[u8], other: &[u8]) {
    for _ in 0..10_000 {
        slot.put(0, one);
        ask(slot, verb, 0, one.len() as u32);
        for _ in 0..8 {
            slot.put(0, other);
            slot.put(0, one);
        }
        slot.put(0, other);
        match slot.answer() {
            Some(answer) if !answer.refused => {}
            _ => return,
        }
    }
}

fn honest_with(document: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(document).replace(from, to).into_bytes()
}

fn deep(slot: &mut RawSlot, verb: Verb) {
    let _ = slot.ask(verb, &vec![b'['; REGION_BYTES]);
}

fn split(slot: &mut RawSlot) -> SplitGrant {
    let (_, grant) = slot.ask(Verb::Split, &[]).unwrap_or_else(|| std::process::exit(1));
    payload::read(&grant).unwrap_or_else(|_| std::process::exit(1))
}

fn at(split: &SplitGrant, finished: bool) -> SplitPosition {
    SplitPosition { source: split.source, name: split.name.clone(), position: Vec::new(), finished }
}

fn commit(splits: Vec<SplitPosition>) -> Commit {
    Commit { splits, usage: Usage::default(), samples: Vec::new() }
}

fn usage(nodes: usize, each: u64) -> Usage {
    let node = NodeUsage { rows_in: each, rows_out: each, failed: each, dead: each, batches: each };
    Usage { nodes: vec![node; nodes], functions: Vec::new(), bytes_read: each, cpu: each }
}

fn line(text: &str) -> LogLine {
    LogLine { node: FUNCTION, level: "info".into(), text: text.into() }
}

/// Says that the job is done.
fn end(slot: &mut RawSlot) {
    say(slot, Verb::End, &End { failed: None, usage: Usage::default(), outcome: None });
}

/// Says that the guest failed.
fn fail(slot: &mut RawSlot, cause: &str) {
    let failed = Failed { code: 606, cause: cause.into(), help: None };
    say(slot, Verb::End, &End { failed: Some(failed), usage: Usage::default(), outcome: None });
}

fn wait() {
    loop {
        std::thread::park();
    }
}
