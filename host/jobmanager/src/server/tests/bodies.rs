//! What a request's body may be.

use super::start;
use crate::testing::client::{get, post, rest};
use crate::testing::{PATIENCE, soon};
use tokio::io::AsyncWriteExt as _;

fn chunked(length: usize) -> String {
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1_024));
    format!("{}{:x}\r\n{}\r\n0\r\n\r\n", chunk.repeat(length / 1_024), length % 1_024, "x".repeat(length % 1_024))
        .replace("\r\n0\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n")
}

#[tokio::test]
async fn a_body_is_bounded_however_it_is_announced() {
    let (server, token, _) = start("[limits]\nbody-bytes = \"4 KiB\"").await;
    let announced =
        |path: &str, length: usize| post(path, &token, &format!("content-length: {length}\r\n")) + &"x".repeat(length);
    let sent = |path: &str, length: usize| post(path, &token, "transfer-encoding: chunked\r\n") + &chunked(length);
    for length in [0, 1, 4_096] {
        for request in [announced("/length", length), sent("/length", length)] {
            let answer = server.ask(&request).await;
            assert_eq!((answer.status, answer.body), (200, length.to_string()));
        }
    }
    for request in [announced("/length", 4_097), sent("/length", 4_097)] {
        let answer = server.ask(&request).await;
        assert_eq!((answer.status, answer.code()), (413, "LG1061"), "{answer:?}");
    }
    // A route that takes uploads raises the bound, to one of its own.
    for request in [announced("/upload", 1 << 20), sent("/upload", 1 << 20)] {
        assert_eq!(server.ask(&request).await.body, (1 << 20).to_string());
    }
    assert_eq!(server.ask(&announced("/upload", (1 << 20) + 1)).await.code(), "LG1061");
    // Nothing of what is announced as too large is waited for.
    let answer = server.ask(&post("/length", &token, "content-length: 1000000000000\r\n")).await;
    assert_eq!(answer.code(), "LG1061");
}

#[tokio::test]
async fn a_body_is_not_expanded() {
    let (server, token, _) = start("").await;
    for encoding in ["gzip", "zstd", "identity, gzip", "x"] {
        let headers = format!("content-length: 1\r\ncontent-encoding: {encoding}\r\n");
        let answer = server.ask(&(post("/length", &token, &headers) + "x")).await;
        assert_eq!((answer.status, answer.code()), (415, "LG1063"), "{encoding}");
    }
    let plain = post("/length", &token, "content-length: 1\r\ncontent-encoding: identity\r\n") + "x";
    assert_eq!(server.ask(&plain).await.status, 200);
}

#[tokio::test]
async fn a_silent_body_is_given_up() {
    let (server, token, _) = start("[limits]\nbody-idle = \"200 ms\"").await;
    let answer = server.ask(&(post("/length", &token, "content-length: 9\r\n") + "x")).await;
    assert_eq!((answer.status, answer.code()), (408, "LG1062"), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    // Never silent for as long as `body-idle`, and always below the rate.
    let (server, token, _) = start("[limits]\nbody-idle = \"500 ms\"\nbody-bytes-per-second = \"100 KiB\"").await;
    let mut stream = server.trust().connect(server.address).await.unwrap();
    stream.write_all(post("/length", &token, "content-length: 100000\r\n").as_bytes()).await.unwrap();
    let (reading, mut writing) = tokio::io::split(stream);
    let dripping = tokio::spawn(async move {
        let mut drip = tokio::time::interval(std::time::Duration::from_millis(50));
        while writing.write_all(b"x").await.is_ok() {
            drip.tick().await;
        }
    });
    let mut text = Vec::new();
    let mut reading = reading;
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut text);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("a drip keeps a connection open");
    assert!(String::from_utf8_lossy(&text).contains("LG1062"), "{}", String::from_utf8_lossy(&text));
    drop(reading);
    soon("the end of the drip", dripping).await.unwrap();
}

#[tokio::test]
async fn the_time_for_an_answer_counts_from_the_last_of_the_body() {
    let (server, token, signals) = start("[limits]\nrequest-timeout = \"400 ms\"\nbody-bytes-per-second = 0").await;
    let answer = server.get("/held", &token).await;
    assert_eq!((answer.status, answer.code()), (503, "LG1064"), "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    signals.entered.notified().await;
    // An upload may take longer than that as long as it goes on.
    let mut stream = server.trust().connect(server.address).await.unwrap();
    stream.write_all(post("/length", &token, "content-length: 8\r\n").as_bytes()).await.unwrap();
    let mut steps = tokio::time::interval(std::time::Duration::from_millis(100));
    for _ in 0..8 {
        steps.tick().await;
        stream.write_all(b"x").await.unwrap();
    }
    let answer = rest(&mut stream).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "8"), "{answer:?}");
}

#[tokio::test]
async fn whoever_is_answered_before_his_body_has_ended_is_told_that_the_connection_ends() {
    let (server, token, _) = start("").await;
    // No credential, so that nobody reads the body.
    let early = "POST /length HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n";
    let answer = server.ask(early).await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    let mut stream = server.trust().connect(server.address).await.unwrap();
    let whole = post("/length", &token, "content-length: 3\r\n").replace("connection: close\r\n", "") + "abc";
    stream.write_all(whole.as_bytes()).await.unwrap();
    stream.write_all(get("/whoami", &token).as_bytes()).await.unwrap();
    let answer = soon("both answers", rest(&mut stream)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("connection").is_none() && answer.body.contains("HTTP/1.1 200"), "{answer:?}");
}
