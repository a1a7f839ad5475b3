//! Text that would be something else where it is shown, kept or passed on: in logs, headers, paths, tables, on terminals.

use super::client::{Answer, request};
use super::site::Site;
use super::suite::{Cases, Expected};
use serde_json::{Value, json};

pub const GROUP: &str = "injection";
const ACME: &str = "/api/v1/tenants/acme";
const MALFORMED: Expected = (400, "LG1001");
const LABEL: Expected = (400, "LG1010");
const NAME: Expected = (400, "LG1001");

pub fn cases(site: &Site, cases: &mut Cases) {
    let mut json = |who: &'static str, name: &str, expected, line: &str, body: &Value| {
        cases.run(site, (GROUP, who), name, expected, |site| site.try_json(who, line, body));
    };
    let tenant = |name: &str| json!({ "name": name });
    let job = |labels: Value| json!({ "bundle": site.digest, "labels": labels });
    let jobs = format!("POST {ACME}/jobs");
    let tokens = format!("POST {ACME}/tokens");
    let tenants = "POST /api/v1/tenants";
    json("operator", "name: a Cyrillic letter", MALFORMED, tenants, &tenant("аcme"));
    json("operator", "name: full-width letters", MALFORMED, tenants, &tenant("ａｃｍｅ"));
    json("operator", "name: a space of no width", MALFORMED, tenants, &tenant("ac\u{200b}me"));
    json("operator", "name: a ligature", MALFORMED, tenants, &tenant("ofﬁce"));
    json("operator", "name: a capital", MALFORMED, tenants, &tenant("Acme"));
    json("operator", "name: a newline behind it", MALFORMED, tenants, &tenant("acme\n"));
    json("operator", "header: a line of its own by a name", MALFORMED, tenants, &tenant("a\r\nset-cookie: x=y"));
    json("operator", "key: what separates them in the store", MALFORMED, tenants, &tenant("acme\0jobs"));
    json(
        "acme admin",
        "principal: a Cyrillic letter",
        MALFORMED,
        &format!("PUT {ACME}/members/user:%D0%B0da"),
        &json!({ "roles": ["viewer"] }),
    );
    json(
        "acme admin",
        "principal: a line for the log",
        MALFORMED,
        &format!("PUT {ACME}/members/user:x%0d%0aroot"),
        &json!({ "roles": ["viewer"] }),
    );
    json(
        "acme deployer",
        "CSV: a formula",
        LABEL,
        &jobs,
        &job(json!({ "team": "=HYPERLINK(\"https://evil.example\")" })),
    );
    json("acme deployer", "CSV: a command", LABEL, &jobs, &job(json!({ "team": "@SUM(1)*cmd|'/C calc'!A0" })));
    json("acme deployer", "CSV: a separator and a newline", LABEL, &jobs, &job(json!({ "team": "a\",\"b\nc" })));
    json("acme deployer", "figures: a label of their own", LABEL, &jobs, &job(json!({ "team": "x\"} 1\nrows{a=\"" })));
    json(
        "acme deployer",
        "terminal: an escape",
        MALFORMED,
        &tokens,
        &json!({ "label": "\u{1b}]0;root\u{7}\u{1b}[2J" }),
    );
    json("acme deployer", "terminal: an escape of eight bits", MALFORMED, &tokens, &json!({ "label": "\u{9b}2J" }));
    json(
        "acme deployer",
        "terminal: from right to left",
        MALFORMED,
        &tokens,
        &json!({ "label": "for \u{202e}nimda\u{202c}" }),
    );

    let mut get = |who: &'static str, name: &str, expected, path: &str| {
        cases.run(site, (GROUP, who), name, expected, |site| site.get(who, path));
    };
    get("bolt admin", "path: up and down again, encoded", NAME, "/api/v1/tenants/bolt%2f..%2facme/jobs");
    get("bolt admin", "path: up and down again", (404, "LG1102"), "/api/v1/tenants/bolt/../acme/jobs");
    get("bolt admin", "path: encoded twice", NAME, "/api/v1/tenants/%2561cme/jobs");
    get("bolt admin", "path: overlong UTF-8", NAME, "/api/v1/tenants/%c0%ae%c0%ae/jobs");
    get("bolt admin", "path: NUL", NAME, "/api/v1/tenants/acme%00/jobs");
    get("bolt admin", "log: a line of its own", NAME, "/api/v1/tenants/x%0d%0a%7b%22level%22%3a%22forged%22%7d/jobs");
    get("bolt admin", "log: an escape", NAME, "/api/v1/tenants/%1b%5b2J/jobs");
    get(
        "bolt admin",
        "cursor: a key of the store",
        (400, "LG1006"),
        "/api/v1/tenants/bolt/jobs?cursor=dGVuYW50L2FjbWU",
    );
    get("bolt admin", "query: a parameter that is not known", MALFORMED, "/api/v1/tenants/bolt/jobs?tenant=acme");

    let mut raw = |name: &str, expected, line: &str, headers: &[(&str, &str)], body: &[u8]| {
        cases.run(site, (GROUP, "acme deployer"), name, expected, |site| {
            let bearer = format!("Bearer {}", site.token("acme deployer"));
            site.client.ask(&request(line, &[&[("authorization", &*bearer)], headers].concat(), body))
        });
    };
    let body = br#"{"label":"a"}"#;
    let kind = ("content-type", "application/json");
    raw("header: another host as well", (421, "LG1060"), &format!("GET {ACME}"), &[("host", "evil.example")], b"");
    raw("path: another host", (421, "LG1060"), &format!("GET https://evil.example{ACME}"), &[], b"");
    raw("header: two lengths", (400, ""), &tokens, &[kind, ("content-length", "13"), ("content-length", "2")], body);
    raw(
        "header: a key to repeat with a control character",
        (400, "LG1007"),
        &tokens,
        &[kind, ("idempotency-key", "a\tb")],
        body,
    );
    raw("body: a key twice", MALFORMED, &tokens, &[kind], br#"{"label":"a","label":"b"}"#);
    raw("body: half a character", MALFORMED, &tokens, &[kind], b"{\"label\":\"\xc3\"}");
    cases.run(site, (GROUP, "acme deployer"), "smuggling: a request behind the last chunk", MALFORMED, smuggled);
}

/// A second request within what is a body by its length and ends earlier by its chunks: by RFC 9112, section 6.1, the chunks
/// count and the connection ends.
fn smuggled(site: &Site) -> Answer {
    let bearer = format!("Bearer {}", site.token("acme deployer"));
    let body = b"0\r\n\r\nGET /api/v1/whoami HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let length = body.len().to_string();
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
        ("content-length", &*length),
        ("transfer-encoding", "chunked"),
    ];
    site.client.ask(&request(&format!("POST {ACME}/tokens"), &headers, body))
}
