//! Answers that are no answers: without end, too long, too deep, too slow, elsewhere, compressed, broken. On every route.
//!
//! Nothing of them is believed, none of them takes much memory, and the TaskManager asks again.

use super::stage::{Delayed, Fails, Harmless, Site};
use super::wire::{Answer, How, Request};
use crate::harness::suite;
use lockgate_core::error::code;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

const GROUP: &str = "answers";
/// The most bytes that a TaskManager may have more of in memory after all this than before, at its peak.
const MEMORY: u64 = 256 << 20;

/// The most bytes that it may take of one answer: of the largest bundle, and what the sockets between hold.
const BYTES: u64 = (256 << 20) + (16 << 20);

type Bad = Arc<dyn Fn(&Request, Answer) -> Answer + Send + Sync>;

fn bad(bad: impl Fn(Answer) -> Answer + Send + Sync + 'static) -> Bad {
    Arc::new(move |_, honest| bad(honest))
}

pub fn cases(site: &mut Site) {
    let mut kinds: Vec<(&str, Bad)> = vec![
        ("a body without end", bad(|honest| honest.with(vec![b' '; 1 << 20]).how(How::Endless(Duration::ZERO)))),
        ("nesting without end", bad(|honest| honest.with("[".repeat(1 << 20)))),
        ("another message", bad(|honest| honest.with("[1,2,3]"))),
        ("nothing", bad(|honest| honest.with(""))),
        ("text that is none", bad(|honest| honest.with(vec![0xff; 1_000]))),
        ("a compressed bomb", bad(|honest| honest.with(bomb()).header("content-encoding", "gzip"))),
        ("a header without end", bad(|honest| honest.header("x-later", &"x".repeat(2 << 20)))),
        (
            "10,000 headers",
            bad(|mut honest| {
                honest.headers.extend((0..10_000).map(|n| (format!("x-{n}"), "x".to_owned())));
                honest
            }),
        ),
        (
            "an answer that breaks off",
            bad(|honest| {
                let head = "HTTP/1.1 200 OK\r\nlockgate-plane: 1.0\r\ncontent-length: 100000\r\n\r\n{";
                honest.with(head).how(How::Raw)
            }),
        ),
        (
            "a length that overflows",
            bad(|honest| {
                let head = "HTTP/1.1 200 OK\r\nlockgate-plane: 1.0\r\ncontent-length: 99999999999999999999\r\n\r\n{}";
                honest.with(head).how(How::Raw)
            }),
        ),
        (
            "two lengths",
            bad(|mut honest| {
                honest.headers.extend([("content-length".into(), "3".into()), ("content-length".into(), "5".into())]);
                honest
            }),
        ),
        ("bytes that are no HTTP", bad(|honest| honest.with("SSH-2.0-OpenSSH_9.9\r\n\r\n").how(How::Raw))),
        ("another protocol", bad(|honest| honest.status(101).header("upgrade", "websocket"))),
        (
            "the way elsewhere",
            bad(|honest| honest.status(307).header("location", "https://127.0.0.1:1/plane/v1/heartbeat")),
        ),
        ("a refusal for ever", bad(|_| Answer::problem(500, "LG0003").header("lockgate-plane", "1.0"))),
        (
            "a refusal that steers a terminal",
            bad(|_| {
                let text = "{\"code\":\"LG1410\",\"detail\":\"\\u001b[2J\\u202eevil\\u0007\"}";
                Answer::problem(409, "LG1410").with(text).header("lockgate-plane", "1.0")
            }),
        ),
    ];
    if suite::all() {
        // As long as the TaskManager is patient.
        kinds.push(("silence", bad(|honest| honest.how(How::Silence))));
        kinds.push(("an answer byte by byte", bad(|honest| honest.how(How::Drip(Duration::from_secs(1))))));
    }
    site.jobmanager.plane.taken();
    let before = site.taskmanager.peak();
    for (at, route) in ["heartbeat", "bundles", "trust", "open", "claim", "commit"].into_iter().enumerate() {
        for (number, (kind, bad)) in kinds.iter().enumerate() {
            // What reads the others is the same: each kind on one of them at least, and on all where there is time.
            if at > 1 && number % 4 != at - 2 && !suite::all() {
                continue;
            }
            let bad = Arc::clone(bad);
            site.case(GROUP, &format!("{route}: {kind}"), Delayed, move |site, said| {
                let tenant = said.tenant.name.clone();
                site.lie_at(route, move |request, honest| {
                    let about = request.route() == "heartbeat" || request.path.contains(tenant.as_str());
                    if about { bad(request, honest) } else { honest }
                });
                Ok(())
            });
        }
    }
    let grown = site.taskmanager.peak().saturating_sub(before);
    let held = if grown <= MEMORY { Ok(()) } else { Err(format!("it grew by {} MiB", grown >> 20)) };
    site.note(GROUP, "memory of all this", format!("within {} MiB", MEMORY >> 20), held);
    let most = site.jobmanager.plane.taken();
    let taken = if most <= BYTES { Ok(()) } else { Err(format!("it took {} MiB of one answer", most >> 20)) };
    site.note(GROUP, "bytes of one answer", format!("within {} MiB", BYTES >> 20), taken);
    // Why a job failed is reported before its end is said; whoever never takes it does not hold that up.
    site.case(GROUP, "the report of a failure is never answered", Fails(&[code::PLANE_MESSAGE]), |site, _| {
        site.jobmanager.lie(|request, honest| match request.route() {
            "claim" => honest.with("{}"),
            "report" => honest.how(How::Silence),
            _ => honest,
        });
        Ok(())
    });
    let given_up = |line: &serde_json::Value| line["message"] == "its last reports are not waited for any longer";
    let given_up = site.taskmanager.lines().iter().any(given_up);
    let given_up = if given_up { Ok(()) } else { Err("it waited until the connection was over".to_owned()) };
    site.note(GROUP, "how long the end waits for it", "not for the answer".into(), given_up);
    site.case(GROUP, "reports are refused for ever", Harmless, |site, _| {
        site.lie_at("report", |_, _| Answer::problem(500, "LG0003"));
        Ok(())
    });
}

/// 64 MiB of spaces in few bytes.
fn bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![b' '; 64 << 20]).expect("memory");
    encoder.finish().expect("memory")
}
