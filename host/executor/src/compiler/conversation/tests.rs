//! What another end may answer that is no compiler, or is one no longer.

use super::super::wire::{MAX_HEAD, VERSION};
use super::*;
use std::io;
use std::os::fd::OwnedFd;

const PATIENCE: Duration = Duration::from_secs(60);

/// Asks another end that says `answer` and then ends.
fn heard(answer: &[u8], most_artefact: u64) -> Result<(Answer, Vec<u8>), Unheard> {
    let ((_hears, request), (reads, mut says)) = (io::pipe().unwrap(), io::pipe().unwrap());
    std::thread::scope(|scope| {
        // It may find that nobody listens any more.
        scope.spawn(move || drop(says.write_all(answer)));
        converse(OwnedFd::from(request).into(), OwnedFd::from(reads).into(), &[b"request"], most_artefact, PATIENCE)
    })
}

fn framed(json: &str) -> Vec<u8> {
    [&(json.len() as u32).to_le_bytes(), json.as_bytes()].concat()
}

fn refused(code: &str) -> String {
    format!(r#"{{"refused":{{"code":"{code}","cause":"c","help":null}}}}"#)
}

const INFO: &str = r#"{"component":{"imports":[],"exports":[],"size":0,"modules":0,"functions":0,"code":0,"largest-body":0,"work":0}}"#;

fn head(answer: &str, artefact: u64) -> Vec<u8> {
    framed(&format!(r#"{{"version":{VERSION},"answer":{answer},"artefact":{artefact}}}"#))
}

#[test]
fn an_answer_is_heard() {
    let (answer, artefact) = heard(&[head(INFO, 5), b"bytes".to_vec()].concat(), 5).unwrap();
    assert!(matches!(answer, Answer::Component(_)) && artefact == b"bytes");
    assert!(matches!(heard(&head(&refused("LG0501"), 0), 0).unwrap().0, Answer::Refused { .. }));
}

#[test]
fn what_is_no_answer_is_refused() {
    let other = framed(r#"{"version":2,"answer":{"refused":{"code":"","cause":"","help":null}},"artefact":0}"#);
    let deep = framed(&"[".repeat(100_000));
    for (answer, why) in [
        (framed("{}"), "version"),
        (framed("\u{1b}[31m"), ""),
        (framed("null"), ""),
        (deep, ""),
        (other, "version 2"),
        (head(INFO, 6), "6 bytes, at most 5"),
        (head(INFO, u64::MAX), "at most 5"),
        // Only a component has an artefact.
        (head(&refused("LG0501"), 1), "at most 0"),
        ([head(INFO, 0), b"x".to_vec()].concat(), "behind its end"),
        ([head(INFO, 2), b"xxx".to_vec()].concat(), "behind its end"),
        ([head(INFO, 0), vec![0; 1 << 20]].concat(), "behind its end"),
    ] {
        match heard(&answer, 5) {
            Err(Unheard::Malformed(told)) => assert!(told.contains(why), "{told}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    for answer in [&b""[..], b"\x05", b"\x05\0\0\0nul", &head(INFO, 5)[..], &[head(INFO, 5), b"four".to_vec()].concat()]
    {
        assert_eq!(heard(answer, 5).unwrap_err(), Unheard::Ended(String::new()));
    }
}

#[test]
fn last_words_are_heard_and_bounded() {
    let ended = |answer: &[u8]| match heard(answer, 5) {
        Err(Unheard::Ended(words)) => words,
        other => panic!("{other:?}"),
    };
    assert_eq!(ended(b"memory allocation of 9 bytes failed"), "memory allocation of 9 bytes failed");
    assert_eq!(ended(b"\xff\x1b[31m gone"), "\u{fffd}\\u{1b}[31m gone");
    assert!(ended(&[b'x'; 1 << 20]).len() < MAX_WORDS + 8);
    assert!(ended(&(MAX_HEAD as u32 + 1).to_le_bytes()).len() < 64);
}

#[test]
fn silence_is_not_waited_out() {
    let ((_hears, request), (reads, _says)) = (io::pipe().unwrap(), io::pipe().unwrap());
    // More than the pipe takes, so that both directions stand still.
    let parts: [&[u8]; 1] = [&[0; 1 << 20]];
    let ends = (OwnedFd::from(request).into(), OwnedFd::from(reads).into());
    assert_eq!(converse(ends.0, ends.1, &parts, 0, Duration::from_millis(20)).unwrap_err(), Unheard::Late);
}

#[test]
fn all_of_a_large_request_is_sent_while_the_answer_comes() {
    let ((mut hears, request), (reads, mut says)) = (io::pipe().unwrap(), io::pipe().unwrap());
    let sent = vec![7; 3 << 20];
    let artefact = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut all = Vec::new();
            says.write_all(&head(INFO, 3 << 20)).unwrap();
            hears.read_to_end(&mut all).unwrap();
            says.write_all(&all).unwrap();
        });
        let parts: [&[u8]; 3] = [&sent[..10], &[], &sent[10..]];
        converse(OwnedFd::from(request).into(), OwnedFd::from(reads).into(), &parts, 3 << 20, PATIENCE).unwrap().1
    });
    assert!(artefact == sent);
}
