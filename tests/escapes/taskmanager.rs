//! What a compromised executor attempts on its TaskManager: a real executor in its jail, started as every executor is,
//! whose slot speaks the protocol and then lies (`tests/src/bin/compromised/slot.rs` has what each attempt does).
//!
//! Each is a job of its own, beside another tenant's honest job in the same TaskManager. It must fail with the code that
//! says why, leave no output, and leave its state so that an honest executor goes on and gets everything right.

use crate::harness::suite::{Ended, Left};
use crate::harness::{self, Home, Run};
use crate::hostile::attack::{OnError, ROWS, beside_in, manifest, tame, unchanged};
use crate::jail::PROGRAM;
use lockgate_core::Code;
use lockgate_core::error::code;
use lockgate_executor::jail::Policy;
use lockgate_executor::{ExecutorOptions, Executors, testing};
use lockgate_taskmanager::job::{Event, Prepared};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How an attempt ends.
#[derive(Clone, Copy)]
enum Verdict {
    /// At once, with one of these codes; the executor is killed for it or goes on.
    Fails(&'static [Code]),
    /// The executor dies of it, as often as a job may, with one of these codes.
    Dies(&'static [Code]),
    /// The same, under a short deadline.
    Overruns,
    /// It goes on until somebody cancels the job, and dies of not stopping.
    GoesOn,
}

use Verdict::{Dies, Fails, GoesOn, Overruns};

const MESSAGE: Verdict = Fails(&[code::PROTOCOL_MESSAGE]);
const RANGE: Verdict = Fails(&[code::PROTOCOL_RANGE]);
const PAYLOAD: Verdict = Fails(&[code::PROTOCOL_PAYLOAD]);
/// What the slot says in its last words, having had nothing.
const NOTHING: Verdict = Fails(&[code::GUEST_TRAP]);
const BREACH: Verdict = Dies(&[code::EXECUTOR_BROKE_OUT]);

const ATTEMPTS: &[(&str, &[(&str, Verdict)])] = &[
    (
        "frames",
        &[
            ("unknown-kind", MESSAGE),
            ("answer-for-an-ask", MESSAGE),
            ("bytes-behind-a-frame", MESSAGE),
            ("giant-length", RANGE),
            ("length-of-everything", RANGE),
            ("foreign-region", RANGE),
            ("region-lent-twice", RANGE),
            ("ticket-left-out", RANGE),
            ("ticket-used-twice", RANGE),
            ("last-ticket-of-all", RANGE),
            ("flood-of-asks", RANGE),
            ("asks-taken-back", RANGE),
            ("ringing-for-nothing", RANGE),
        ],
    ),
    (
        "arena",
        &[
            ("changing-commit", Fails(&[code::PROTOCOL_RANGE, code::PROTOCOL_PAYLOAD])),
            ("changing-position", Fails(&[code::PROTOCOL_RANGE, code::PROTOCOL_PAYLOAD])),
            ("changing-counters", PAYLOAD),
            ("everything-set", RANGE),
            ("everything-cleared", Fails(&[code::PROTOCOL_MESSAGE, code::PROTOCOL_RANGE])),
            ("answers-forged", RANGE),
        ],
    ),
    (
        "grants",
        &[
            ("foreign-input", RANGE),
            ("input-before-its-split", RANGE),
            ("input-that-was", RANGE),
            ("behind-the-end-of-an-input", NOTHING),
            ("behind-all-numbers", NOTHING),
            ("foreign-sink", RANGE),
            ("writing-to-a-source", RANGE),
            ("epoch-to-come", RANGE),
            ("epoch-of-all-numbers", RANGE),
            ("epoch-that-was", RANGE),
            ("commit-of-another-split", RANGE),
            ("commit-of-another-source", RANGE),
            ("commit-of-another-epoch", RANGE),
            ("commit-of-nothing", RANGE),
            ("commit-twice", RANGE),
            ("position-without-end", RANGE),
            ("splits-beyond-the-last", NOTHING),
        ],
    ),
    (
        "documents",
        &[
            ("deep-log", PAYLOAD),
            ("deep-counters", PAYLOAD),
            ("deep-commit", PAYLOAD),
            ("deep-end", PAYLOAD),
            ("no-text", PAYLOAD),
            ("log-of-many-lines", RANGE),
            ("log-of-nobody", RANGE),
            ("log-of-no-level", RANGE),
            ("counters-of-nobody", RANGE),
            ("counters-of-no-function", RANGE),
            ("counters-twice", RANGE),
            ("counters-beyond-all-numbers", NOTHING),
            ("text-that-steers", NOTHING),
            ("text-without-end", NOTHING),
            ("error-that-is-none", Fails(&[code::INTERNAL])),
        ],
    ),
    (
        "ends",
        &[
            ("end-before-the-splits", RANGE),
            ("end-without-commit", RANGE),
            ("end-while-asks-are-open", RANGE),
            ("asks-behind-the-end", NOTHING),
            ("gone-and-not-dead", Dies(&[code::PROTOCOL_MESSAGE])),
            // What a thread does at its end is forbidden too, so that it may be that which is seen.
            ("panic", Dies(&[code::PROTOCOL_MESSAGE, code::EXECUTOR_BROKE_OUT])),
            ("silence", Overruns),
            ("spinning", Overruns),
            ("progress-without-end", GoesOn),
            ("asks-without-end", GoesOn),
            ("exit", Dies(&[code::EXECUTOR_CRASHED])),
            ("abort", Dies(&[code::EXECUTOR_CRASHED])),
            ("fault", Dies(&[code::EXECUTOR_CRASHED])),
        ],
    ),
    (
        "floods",
        &[
            ("flood-of-logs", NOTHING),
            ("flood-of-counters", NOTHING),
            ("flood-of-hellos", NOTHING),
            ("flood-of-rubbish-on-the-socket", Overruns),
            ("memory-refused", Dies(&[code::EXECUTOR_MEMORY])),
            ("word-of-refused-memory", Dies(&[code::EXECUTOR_MEMORY])),
            ("memory-hidden", Dies(&[code::EXECUTOR_MEMORY])),
            ("page-tables", Dies(&[code::EXECUTOR_MEMORY])),
        ],
    ),
    (
        "calls",
        &[
            ("call-open", NOTHING),
            ("call-own-memory", NOTHING),
            ("call-tcp", BREACH),
            ("call-unix-abstract", BREACH),
            ("call-fork", BREACH),
            ("call-exec-descriptor", BREACH),
            ("call-ptrace", BREACH),
            ("call-read-memory", BREACH),
            ("call-send-descriptor", BREACH),
            ("call-take-descriptor", BREACH),
            ("call-write-socket", BREACH),
            ("call-shut-down", BREACH),
            ("call-close", BREACH),
            ("call-duplicate", BREACH),
            ("call-map-shared", BREACH),
            ("call-map-code-writable", BREACH),
            ("call-write-then-execute", BREACH),
            ("call-io-uring", BREACH),
        ],
    ),
];

/// Resident bytes that an attempt may cost the TaskManager while it goes on, and all of them in the end.
const MEMORY: u64 = 160 << 20;

/// Plays them and counts what is left.
pub fn outcomes() -> Vec<Ended> {
    let world = World::new();
    // What is made once in a process is made before anything is counted.
    world.attempt("unknown-kind", MESSAGE).expect("the first attempt");
    let before = Left::now();
    let mut ended = Vec::new();
    for (group, attempts) in ATTEMPTS {
        ended.extend(attempts.iter().map(|(name, verdict)| world.run(group, name, *verdict)));
    }
    // The watchdog forgets the dead; nothing says when it has.
    for _ in 0..1_000 {
        if Left::now().descriptors <= before.descriptors {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    ended.extend(before.compare(MEMORY));
    ended
}

struct World {
    /// Whose program is compromised.
    executors: Arc<Executors>,
    honest: Arc<Executors>,
}

/// Executors of the compromised program.
pub fn compromised(slots: u32) -> Arc<Executors> {
    let options =
        ExecutorOptions { program: Some(PROGRAM.clone()), slots, memory: 512 << 20, nice: 0, jail: Policy::Required };
    Arc::new(Executors::new(options).expect("executors"))
}

/// The job of this name, in which every row goes through an honest function.
pub fn job(name: &str, job: &str, limits: &str) -> Prepared {
    let text = manifest("honest", OnError::Fail, job, limits).replace("\"attack\"", &format!("{name:?}"));
    harness::prepare(&text, &[("guest", harness::part("hostile"))]).expect("a job")
}

impl World {
    fn new() -> Self {
        Self { executors: compromised(1), honest: Arc::new(testing::executors(1)) }
    }

    fn run(&self, group: &'static str, name: &str, verdict: Verdict) -> Ended {
        Left::forget_peak();
        let before = Left::now();
        let result = self.attempt(name, verdict).and_then(|()| {
            let grown = Left::now().peak.saturating_sub(before.memory);
            if grown > MEMORY { Err(format!("it cost {} MiB of memory", grown >> 20)) } else { Ok(()) }
        });
        Ended { group, name: name.into(), verdict: verdict.shown(), billed: "its job", result }
    }

    fn attempt(&self, name: &str, verdict: Verdict) -> Result<(), String> {
        let limits = if matches!(verdict, Overruns | GoesOn) { "deadline = \"200 ms\"" } else { "" };
        let home = Home::with_rows(0..ROWS);
        let died = Arc::new(AtomicUsize::new(0));
        let deaths = Arc::clone(&died);
        let watch = move |event: &Event, stop: &lockgate_taskmanager::job::Stop| match event {
            Event::Restarted { .. } => drop(deaths.fetch_add(1, Ordering::Relaxed)),
            Event::Usage { .. } if matches!(verdict, GoesOn) => stop.cancel(),
            _ => {}
        };
        let run = Run { executors: Some(Arc::clone(&self.executors)), watch: Some(Box::new(watch)), ..Run::default() };
        let ran = beside_in(&home, &job(name, "", limits), run)?;
        let error = ran.result.as_ref().err().ok_or("the job succeeded")?;
        verdict.check(error.code(), died.load(Ordering::Relaxed)).map_err(|why| format!("{why}: {error}"))?;
        if error.to_string().contains("succeeded") {
            return Err(error.to_string());
        }
        tame(&error.to_string())?;
        ran.logs.iter().try_for_each(|line| tame_line(&line.text))?;
        if !home.rows("good").is_empty() {
            return Err("the job failed and yet has output".into());
        }
        // An honest executor does all of it: state and output are whole. Of what was committed in its own tenant's name
        // it may say that it is no position; then the job begins anew.
        let again = |fresh| {
            let executors = Some(Arc::clone(&self.honest));
            home.run_as(&job(name, "", ""), Run { executors, fresh, ..Run::default() }).result
        };
        match again(false) {
            Err(error) if error.code() == code::INVALID_POSITION => again(true),
            result => result,
        }
        .map_err(|error| format!("an honest executor cannot go on: {error}"))?;
        unchanged(&home, "good").map_err(|why| format!("after it {why}"))
    }
}

/// A line is bounded by what the executor may say, not by what an error may.
fn tame_line(text: &str) -> Result<(), String> {
    if text.len() > 9_000 {
        return Err(format!("a log line of {} bytes", text.len()));
    }
    text.as_bytes().chunks(4_000).try_for_each(|part| tame(&String::from_utf8_lossy(part)))
}

impl Verdict {
    fn check(self, found: Code, restarts: usize) -> Result<(), String> {
        let (codes, expected): (&[Code], _) = match &self {
            Fails(codes) => (codes, 0),
            Dies(codes) => (codes, 2),
            Overruns => (&[code::EXECUTOR_OVERRAN], 2),
            GoesOn => (&[code::EXECUTOR_OVERRAN], 0),
        };
        if !codes.contains(&found) {
            return Err(format!("not {}", self.shown()));
        }
        if restarts == expected { Ok(()) } else { Err(format!("started again {restarts} times, not {expected}")) }
    }

    fn shown(self) -> String {
        let any = |codes: &[Code]| codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        match self {
            Fails(codes) => format!("fails {}", any(codes)),
            Dies(codes) => format!("dies 3 times {}", any(codes)),
            Overruns => format!("dies 3 times {}", code::EXECUTOR_OVERRAN),
            GoesOn => format!("dies when cancelled {}", code::EXECUTOR_OVERRAN),
        }
    }
}
