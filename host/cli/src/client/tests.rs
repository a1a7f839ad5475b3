//! The parts of the client that take a server's bytes, each against bytes that a server should not send.

use super::sse::{Event, Parser};
use super::*;
use lockgate_core::Code;
use lockgate_http::{Parts, Response};
use std::collections::VecDeque;

fn events(parts: &[&[u8]]) -> Result<Vec<Event>> {
    let (mut parser, mut ready) = (Parser::default(), VecDeque::new());
    parts.iter().try_for_each(|part| parser.feed(part, &mut ready))?;
    Ok(ready.into())
}

fn event(id: Option<u64>, kind: &str, data: &str) -> Event {
    Event { id, kind: kind.into(), data: data.into() }
}

#[test]
fn events_are_put_together_however_they_are_cut() {
    let text = b": hello\nid: 1\nevent: state\ndata: a\ndata: b\n\nevent: gone\ndata\n\nid: 9\n\r\nid:x\rdata:c\r\n\r\ndata: cut";
    let expected = [event(Some(1), "state", "a\nb"), event(None, "gone", ""), event(None, "", "c")];
    assert_eq!(events(&[text]).unwrap(), expected);
    let single: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(events(&single).unwrap(), expected);
    for at in 0..text.len() {
        assert_eq!(events(&[&text[..at], &text[at..]]).unwrap(), expected, "{at}");
    }
    assert_eq!(events(&[b"data: \xff\n\n"]).unwrap(), [event(None, "", "\u{fffd}")]);
}

#[test]
fn a_line_and_an_event_without_end_are_refused() {
    let line = vec![b'a'; (128 << 10) + 1];
    assert_eq!(events(&[b"data:", &line]).unwrap_err().code(), code::ANSWER_MALFORMED);
    let mut many = Vec::new();
    for _ in 0..300 {
        many.extend_from_slice(b"data:");
        many.extend_from_slice(&[b'a'; 1_024]);
        many.push(b'\n');
    }
    assert_eq!(events(&[&many]).unwrap_err().code(), code::ANSWER_MALFORMED);
}

#[test]
fn an_address_is_https_and_nothing_that_hides_something() {
    for (text, shown) in [
        ("https://jobs.example.org", "https://jobs.example.org"),
        ("https://Jobs.example.org:443/", "https://jobs.example.org"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ] {
        assert_eq!(server(text).unwrap().to_string(), shown);
    }
    for bad in ["http://a", "https://", "a:8443", "https://u:p@a", "https://a/path", "https://a?x", "https://a#b", ""] {
        assert_eq!(server(bad).unwrap_err().code(), code::USAGE, "{bad}");
    }
}

#[test]
fn what_stands_in_a_path_cannot_leave_its_place() {
    assert_eq!(escaped("user:ana/../x?y#z é~"), "user%3Aana%2F..%2Fx%3Fy%23z%20%C3%A9~");
    let query = [("label", "a=b&state=x".to_owned())];
    assert_eq!(request::with_query("/p", &query), "/p?label=a%3Db%26state%3Dx");
    assert_eq!(request::with_query("/p", &[]), "/p");
}

fn head(status: u16, headers: &[(&str, &str)]) -> Parts {
    let builder = headers.iter().fold(Response::builder(), |builder, (name, value)| builder.header(*name, *value));
    builder.status(status).body(()).unwrap().into_parts().0
}

#[test]
fn a_problem_keeps_its_code_its_words_and_the_request() {
    let head = head(403, &[("x-request-id", "r-1")]);
    let body = br#"{"code":"LG1101","detail":"no","help":"ask","title":"t"}"#;
    let error = problem::read(&head, body, "https://a");
    assert_eq!((error.code(), error.cause(), error.help_text()), (code::FORBIDDEN, "no", Some("ask")));
    assert_eq!(error.place(), Some("https://a, request r-1"));
    let newer = problem::read(&head, br#"{"code":"LG9999","detail":"new"}"#, "https://a");
    assert_eq!((newer.code(), newer.cause()), (code::UNKNOWN_PROBLEM, "LG9999: new"));
    for nothing in [&b""[..], b"<html>", b"[]", br#"{"code":7}"#] {
        assert_eq!(problem::read(&head, nothing, "https://a").code(), code::ANSWER_MALFORMED);
    }
    let long = format!(r#"{{"code":"LG1101","detail":"{}"}}"#, "x".repeat(100_000));
    assert_eq!(problem::read(&head, long.as_bytes(), "https://a").cause().len(), 2_000);
}

#[test]
fn only_what_the_server_has_not_done_is_asked_again() {
    let wait = |code: Code| problem::wait(&head(503, &[("retry-after", "2")]), code);
    for soon in [code::BUSY, code::CONTENDED, code::TOO_MANY_REQUESTS] {
        assert_eq!(wait(soon), Some(Duration::from_secs(2)));
    }
    for never in [code::QUOTA_EXCEEDED, code::TOO_MANY_FAILURES, code::STORE_UNCERTAIN, code::CREDENTIAL_REFUSED] {
        assert_eq!(wait(never), None);
    }
    assert!(Request::get("/").may_arrive_twice());
    assert!(Request::post("/").keyed().unwrap().may_arrive_twice());
    for once in [Request::post("/"), Request::put("/"), Request::delete("/"), Request::patch("/")] {
        assert!(!once.may_arrive_twice());
    }
}

#[test]
fn the_token_is_not_shown() {
    let server = server("https://localhost:1").unwrap();
    let pin = Pin::Digest(lockgate_core::Digest::of(b""));
    let client = Client::new(server, &pin, Secret::new("lgt_marker".into())).unwrap();
    assert!(!format!("{client:?}").contains("marker"));
}
