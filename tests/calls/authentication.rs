//! Credentials that are none, or not any more, or not whole, or somebody else's.

use super::client::{Answer, HONEST, request, rest};
use super::site::Site;
use super::suite::{CLOSED, Cases, Expected};
use serde_json::json;
use std::io::{Read as _, Write as _};

pub const GROUP: &str = "authentication";
const PATH: &str = "GET /api/v1/tenants";
const NONE: Expected = (401, "LG1100");
const REFUSED: Expected = (401, "LG1103");
const CUT: Expected = (401, "LG1105");

fn with(site: &Site, headers: &[(&str, &str)]) -> Answer {
    site.client.ask(&request(PATH, headers, b""))
}

fn bearer(site: &Site, token: &str) -> Answer {
    with(site, &[("authorization", &format!("Bearer {token}"))])
}

/// A token of these parts with the checksum that fits, as whoever knows the form makes one.
fn assembled(prefix: &str, id: &str, secret: &str) -> String {
    let body = format!("{prefix}_{id}_{secret}");
    let mut crc = flate2::Crc::new();
    crc.update(body.as_bytes());
    format!("{body}_{:08x}", crc.sum())
}

pub fn cases(site: &mut Site, cases: &mut Cases) {
    site.member("acme admin", "/tenants/acme", "user:gone", "deployer", "gone");
    site.json("acme admin", "DELETE /api/v1/tenants/acme/members/user:gone", &json!({}), 204);
    site.member("acme admin", "/tenants/acme", "user:robbed", "deployer", "revoked");
    let id = site.token("revoked").split('_').nth(1).expect("an id").to_owned();
    site.json("acme admin", &format!("DELETE /api/v1/tenants/acme/tokens/{id}"), &json!({}), 204);

    let operator = site.token("operator").to_owned();
    let parts: Vec<String> = operator.split('_').map(str::to_owned).collect();
    let (id, secret) = (parts[1].clone(), parts[2].clone());
    let viewers = site.token("acme viewer").split('_').nth(2).expect("a secret").to_owned();
    let mut flipped = secret.clone();
    flipped.replace_range(..1, if secret.starts_with('a') { "b" } else { "a" });
    let mut run = |name: &str, expected, call: &dyn Fn(&Site) -> Answer| {
        cases.run(site, (GROUP, "nobody"), name, expected, call);
    };

    run("no credential", NONE, &|site| with(site, &[]));
    run("a password", REFUSED, &|site| with(site, &[("authorization", "Basic b3BlcmF0b3I6b3BlcmF0b3I=")]));
    run("an empty token", REFUSED, &|site| bearer(site, ""));
    run("a token in the query", NONE, &|site| {
        site.client.ask(&request(&format!("{PATH}?access_token={operator}"), &[], b""))
    });
    run("a token in a cookie", NONE, &|site| with(site, &[("cookie", &format!("token={operator}"))]));
    run("a name in a header that a proxy would set", NONE, &|site| {
        with(site, &[("x-forwarded-user", "user:op"), ("x-remote-user", "operator"), ("x-real-ip", "127.0.0.1")])
    });
    run("two tokens", (400, "LG1106"), &|site| {
        let (own, other) = (format!("Bearer {}", site.token("acme viewer")), format!("Bearer {operator}"));
        with(site, &[("authorization", &own), ("authorization", &other)])
    });
    run("a token that is cut off", CUT, &|site| bearer(site, &operator[..operator.len() - 1]));
    run("a token in capitals", REFUSED, &|site| bearer(site, &operator.to_uppercase()));
    run("a token without its checksum", CUT, &|site| bearer(site, &format!("lgt_{id}_{secret}")));
    run("another secret", REFUSED, &|site| bearer(site, &assembled("lgt", &id, &flipped)));
    run("one's own secret under the operator's id", REFUSED, &|site| bearer(site, &assembled("lgt", &id, &viewers)));
    run("an operator's token as a set-up token", REFUSED, &|site| bearer(site, &assembled("lgs", &id, &secret)));
    run("a revoked token", REFUSED, &|site| bearer(site, site.token("revoked")));
    run("the token of a member who was removed", REFUSED, &|site| bearer(site, site.token("gone")));
    run("the set-up token after its work", (401, "LG1113"), &|site| bearer(site, &site.setup));
    run("the set-up token once more", REFUSED, &|site| bearer(site, &site.setup));
    run("a JWT that is signed by nobody", REFUSED, &|site| {
        bearer(site, "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lkIiwic3ViIjoidXNlcjpvcCJ9.")
    });
    run("a token of 20 KiB", REFUSED, &|site| bearer(site, &"a".repeat(20 << 10)));
    run("TLS 1.2", CLOSED, &|site| {
        let old = site.client.only_1_2(&site.ca());
        old.connect(HONEST).map(|mut connection| rest(&mut connection)).unwrap_or_default()
    });
    run("plain text", CLOSED, &|site| {
        let mut stream = site.client.bare(HONEST).expect("a connection");
        let head = request(PATH, &[("authorization", &format!("Bearer {operator}"))], b"");
        stream.write_all(&head).expect("a request");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // An alert of TLS, if anything.
        let body = String::from_utf8_lossy(&answer).into_owned();
        Answer { status: u16::from(body.contains("HTTP")), ..Answer::default() }
    });
}
