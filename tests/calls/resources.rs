//! Whoever wants the server to be busy with him: slow, many, large, often. Others are answered all the while.
//!
//! The site of these cases has small limits. What is limited by source comes from an address of its own on loopback.

use super::client::{Answer, HOSTILE, request, rest};
use super::site::{Site, TAR};
use super::suite::{CLOSED, Cases, Expected};
use crate::harness::signed;
use lockgate_core::Digest;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::time::Duration;

pub const GROUP: &str = "resources";
const WHO: &str = "acme deployer";
const PATH: &str = "/api/v1/tenants/acme/jobs";
const TOKENS: &str = "POST /api/v1/tenants/acme/tokens";
const BUNDLES: &str = "POST /api/v1/tenants/acme/bundles";

/// What makes limits small enough to be met.
pub const SETTINGS: &str = r#"
[limits]
connections-per-source = 16
handshake-timeout = "500ms"
header-timeout = "500ms"
header-bytes = "16 KiB"
headers = 32
body-bytes = "64 KiB"
upload-bytes = "1 MiB"
body-idle = "500ms"
body-bytes-per-second = "64 KiB"
[fair-use]
principal-requests-per-second = 300
failures = 5
failure-delay = "60s"
[quota]
jobs = 1
tokens = 8
bundle-bytes = "28 KiB"
requests-per-second = 1000000
"#;

/// What comes after these bytes, if nothing more is said.
fn silent_after(site: &Site, bytes: &[u8]) -> Answer {
    let Ok(mut connection) = site.client.connect(HOSTILE) else { return Answer::default() };
    connection.write_all(bytes).and_then(|()| connection.flush()).expect("the beginning");
    rest(&mut connection)
}

pub fn cases(site: &mut Site, cases: &mut Cases) {
    // A tenant with a small quota of its own.
    site.json("operator", "POST /api/v1/tenants", &json!({ "name": "crowd" }), 201);
    let few = json!({ "set": { "requests-per-second": 1 } });
    site.json("operator", "PUT /api/v1/tenants/crowd/quota", &few, 200);
    site.member("operator", "/tenants/crowd", "user:many", "tenant-admin", "crowd admin");
    let site = &*site;
    let bearer = format!("Bearer {}", site.token(WHO));
    let authorized = [("authorization", &*bearer)];
    // As much as the quotas allow.
    let others = ["second", "third"].map(|job| signed::package("acme", job, 1, None));
    site.release("acme", &[&site.package, &others[0], &others[1]], 2);
    let [second, third] = others.map(|other| other.to_bytes().expect("bytes"));
    assert_eq!(site.send(WHO, BUNDLES, TAR, &second).status, 201);
    let second = Digest::of(&second);
    (0..4).for_each(|_| drop(site.json(WHO, TOKENS, &json!({}), 201)));
    let mut run = |name: &str, expected: Expected, call: &dyn Fn(&Site) -> Answer| {
        cases.run(site, (GROUP, WHO), name, expected, |site| {
            let answer = call(site);
            // Whoever else asks is answered.
            assert_eq!(site.get("bolt admin", "/api/v1/whoami").status, 200, "nobody else is answered after {name}");
            answer
        });
    };

    run("slow-loris: half a head, and silence", CLOSED, &|site| {
        silent_after(site, b"GET /api/v1/tenants HTTP/1.1\r\nhost: lo")
    });
    run("slow-loris: a head of one line at a time", CLOSED, &|site| {
        let mut connection = site.client.connect(HOSTILE).expect("a connection");
        connection.write_all(b"GET / HTTP/1.1\r\n").expect("a line");
        while connection.write_all(b"x: y\r\n").and_then(|()| connection.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(40));
        }
        rest(&mut connection)
    });
    run("a connection without a handshake", CLOSED, &|site| {
        let mut stream = site.client.bare(HOSTILE).expect("a connection");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer { status: answer.len() as u16, ..Answer::default() }
    });
    run("a body that stops", (408, "LG1062"), &|site| {
        let upload = [authorized[0], ("content-type", TAR), ("content-length", "4096")];
        silent_after(site, &request(BUNDLES, &upload, b"first bytes"))
    });
    run("a body of a few bytes at a time", (408, "LG1062"), &|site| {
        let upload = [authorized[0], ("content-type", TAR), ("content-length", "4096")];
        let head = request(BUNDLES, &upload, b"");
        let pieces = std::iter::repeat_n(vec![0; 2], 1_000);
        site.client.drip(HOSTILE, &head, pieces, Duration::from_millis(40))
    });
    run("the 17th connection of a source", CLOSED, &|site| {
        let open: Vec<_> = (0..16).map(|_| site.client.connect(HOSTILE).expect("a connection")).collect();
        let answer = site.client.ask_from(HOSTILE, &request(&format!("GET {PATH}"), &authorized, b""));
        drop(open);
        answer
    });
    run("a header of 20 KiB", (431, ""), &|site| {
        let large = "x".repeat(20 << 10);
        site.client.ask(&request(&format!("GET {PATH}"), &[authorized[0], ("x-large", &large)], b""))
    });
    run("1,000 headers", (431, ""), &|site| {
        let many = [&authorized[..], &vec![("x", "y"); 1_000]].concat();
        site.client.ask(&request(&format!("GET {PATH}"), &many, b""))
    });
    run("a path of 10 KiB", (400, "LG1065"), &|site| {
        site.client.ask(&request(&format!("GET {PATH}?name={}", "x".repeat(10 << 10)), &authorized, b""))
    });
    run("a body that would expand", (415, "LG1063"), &|site| {
        let headers = [authorized[0], ("content-type", "application/json"), ("content-encoding", "gzip")];
        site.client.ask(&request(&format!("POST {PATH}"), &headers, b"\x1f\x8b\x08"))
    });
    run("JSON of 3 MiB", (413, "LG1061"), &|site| {
        let headers = [authorized[0], ("content-type", "application/json"), ("content-length", "3145728")];
        site.client.ask(&request(&format!("POST {PATH}"), &headers, b""))
    });
    run("JSON of 100,000 levels", (400, "LG1001"), &|site| {
        site.send(WHO, &format!("POST {PATH}"), "application/json", &vec![b'['; 100_000])
    });
    run("a list of everything at once", (400, "LG1001"), &|site| site.get(WHO, &format!("{PATH}?limit=100000")));
    run("labels without end", (400, "LG1010"), &|site| {
        let query: String = (0..100).map(|n| format!("&label=k{n}=v")).collect();
        site.get(WHO, &format!("{PATH}?limit=1{query}"))
    });
    run("a flood against a tenant's own quota", (429, "LG1110"), &|site| {
        // Until one is refused: how many that takes depends on the machine.
        let mut answers = (0..1_000).map(|_| site.get("crowd admin", "/api/v1/version"));
        let refused = answers.find(|answer| answer.status != 200).unwrap_or_default();
        let why = "quota requests-per-second of tenant crowd is 1, 1 are used and 1 more is asked for";
        assert!(refused.body.contains(why), "{refused:?}");
        refused
    });
    run("a flood of requests", (429, "LG1110"), &|site| {
        let mut connection = site.client.connect(HOSTILE).expect("a connection");
        let one = format!("GET /api/v1/version HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\r\n");
        let last = request("GET /api/v1/version", &authorized, b"");
        let mut refused = Answer::default();
        for _ in 0..20_000 {
            connection.write_all(one.as_bytes()).and_then(|()| connection.flush()).expect("a request");
            let mut buffer = [0; 8 << 10];
            let length = connection.read(&mut buffer).expect("an answer");
            if buffer[..length].starts_with(b"HTTP/1.1 429") {
                refused = site.client.ask_from(HOSTILE, &last);
                if refused.status == 429 {
                    break;
                }
            }
        }
        refused
    });
    let over = (429, "LG1112");
    run("one job more than the quota", over, &|site| {
        site.try_json(WHO, &format!("POST {PATH}"), &json!({ "bundle": second }))
    });
    run("one token more than the quota", over, &|site| site.try_json(WHO, TOKENS, &json!({})));
    run("more bundles than the quota", over, &|site| site.send(WHO, BUNDLES, TAR, &third));
    run("a flood of wrong tokens", (429, "LG1111"), &|site| {
        let wrong = request(&format!("GET {PATH}"), &[("authorization", "Bearer lgt_wrong")], b"");
        for _ in 0..6 {
            site.client.ask_from(HOSTILE, &wrong);
        }
        // The right one does not show either.
        site.client.ask_from(HOSTILE, &request(&format!("GET {PATH}"), &authorized, b""))
    });
}
