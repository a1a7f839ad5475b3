//! What a request's head may be, and what every answer has.

use super::start;
use crate::testing::client::{get, post};
use std::collections::BTreeSet;

#[tokio::test]
async fn nothing_but_health_answers_without_a_credential() {
    let (server, token, _) = start("").await;
    for path in [
        "/whoami",
        "/",
        "/api/v1/jobs",
        "/health",
        "/health/live/",
        "/health/live/x",
        "/health%2flive",
        "//health/live",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "X"] {
            let answer =
                server.ask(&format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
            assert!([400, 401].contains(&answer.status), "{method} {path}: {answer:?}");
        }
    }
    let answer = server.ask("GET /whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!((answer.status, answer.code()), (401, "LG1100"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"lockgate\""));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    for health in ["/health/live", "/health/ready"] {
        let answer =
            server.ask(&format!("GET {health} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{health}");
    }
    assert_eq!(server.get("/whoami", &token).await.status, 200);
    assert_eq!(server.get("/api/v1/nowhere", &token).await.status, 404);
}

#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let (server, token, _) = start("names = [\"localhost\", \"jobs.example.org\", \"[::1]\"]").await;
    let ask = async |host: &str| {
        server
            .ask(&format!("GET /whoami HTTP/1.1\r\n{host}authorization: Bearer {token}\r\nconnection: close\r\n\r\n"))
            .await
    };
    for good in ["host: jobs.example.org\r\n", "host: JOBS.example.org:8443\r\n", "host: [::1]:1\r\n"] {
        assert_eq!(ask(good).await.status, 200, "{good}");
    }
    for bad in [
        "",
        "host:\r\n",
        "host: evil.example.org\r\n",
        "host: jobs.example.org.evil.org\r\n",
        "host: evil@jobs.example.org\r\n",
        "host: 127.0.0.1\r\n",
        "host: jobs.example.org\r\nhost: jobs.example.org\r\n",
        "host: jobs.example.org, evil.org\r\n",
        "x-forwarded-host: jobs.example.org\r\n",
    ] {
        let answer = ask(bad).await;
        assert_eq!((answer.status, answer.code()), (421, "LG1060"), "{bad:?}: {answer:?}");
    }
    let target = |host: &str| {
        format!(
            "GET https://{host}/whoami HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        )
    };
    assert_eq!(server.ask(&target("jobs.example.org")).await.status, 200);
    assert_eq!(server.ask(&target("evil.example.org")).await.status, 421);
}

#[tokio::test]
async fn heads_are_bounded() {
    let (server, token, _) = start("[limits]\nheader-bytes = \"8 KiB\"\nheaders = 8").await;
    let with = async |headers: String| {
        server.ask(&get("/whoami", &token).replace("\r\n\r\n", &format!("\r\n{headers}\r\n"))).await
    };
    assert_eq!(with("x: y\r\n".repeat(5)).await.status, 200);
    assert_eq!(with("x: y\r\n".repeat(6)).await.status, 431);
    assert_eq!(with(format!("x: {}\r\n", "y".repeat(7_000))).await.status, 200);
    assert_eq!(with(format!("x: {}\r\n", "y".repeat(8_192))).await.status, 431);
    // A head without end is cut off before it has an end.
    let endless = format!("GET /whoami HTTP/1.1\r\nhost: localhost\r\nx: {}", "y".repeat(1 << 20));
    assert_eq!(server.ask(&endless).await.status, 431);

    let (server, token, _) = start("").await;
    let long = server.get(&format!("/{}", "x".repeat(8 << 10)), &token).await;
    assert_eq!((long.status, long.code()), (400, "LG1065"));
    assert_eq!(server.get(&format!("/{}", "x".repeat(8_000)), &token).await.status, 404);
}

#[tokio::test]
async fn two_readings_of_one_request_are_refused() {
    let (server, token, _) = start("").await;
    let smuggled = [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: 5\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        " folded: x\r\n",
    ];
    for headers in smuggled {
        let answer = server.ask(&format!("{}abcdef", post("/length", &token, headers))).await;
        assert!((400..500).contains(&answer.status), "{headers:?}: {answer:?}");
    }
    let both = post("/length", &token, "content-length: 5\r\ntransfer-encoding: chunked\r\n");
    let answer = server.ask(&format!("{both}0\r\n\r\nGET /whoami HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    assert!(answer.status == 400 || !answer.body.contains("HTTP/1.1"), "a second request was seen: {answer:?}");
}

#[tokio::test]
async fn no_browser_makes_anything_of_an_answer() {
    let (server, token, _) = start("").await;
    let origin = get("/whoami", &token).replace("\r\n\r\n", "\r\norigin: https://evil.example.org\r\n\r\n");
    let preflight = "OPTIONS /whoami HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example.org\r\n\
                     access-control-request-method: GET\r\nconnection: close\r\n\r\n";
    for request in [&*origin, preflight] {
        let answer = server.ask(request).await;
        assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")), "{answer:?}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("strict-transport-security", "max-age=63072000"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn every_request_has_an_id_that_no_client_chose() {
    let (server, token, _) = start("").await;
    let mut seen = BTreeSet::new();
    for request in [
        get("/whoami", &token),
        get("/nowhere", &token),
        get("/whoami", "wrong"),
        get("/whoami", &token).replace("\r\n\r\n", "\r\nx-request-id: chosen\r\n\r\n"),
    ] {
        let answer = server.ask(&request).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!(id.len() == 26 && seen.insert(id.clone()), "{answer:?}");
        assert!(answer.status != 200 || answer.body.ends_with(&id), "the route had another one: {answer:?}");
    }
}
