//! What is another tenant's: for whoever asks from outside it is not there, whatever he asks and however.
//!
//! Whoever asks is `bolt`'s administrator or deployer, who may do all this at home.

use super::client::Answer;
use super::site::{Site, TAR};
use super::suite::{Cases, Expected};
use crate::harness::signed;
use serde_json::{Value, json};

pub const GROUP: &str = "object-level access";
const MISSING: Expected = (404, "LG1102");
const ACME: &str = "/api/v1/tenants/acme";
const BOLT: &str = "/api/v1/tenants/bolt";

pub fn cases(site: &Site, cases: &mut Cases) {
    let digest = site.digest;
    let id = site.token("acme deployer").split('_').nth(1).expect("an id").to_owned();
    let empty = json!({});
    let mut admin = |name: &str, expected, line: &str, body: &Value| {
        cases.run(site, (GROUP, "bolt admin"), name, expected, |site| site.try_json("bolt admin", line, body));
    };
    admin("see the tenant", MISSING, &format!("GET {ACME}"), &empty);
    admin("see its quota", MISSING, &format!("GET {ACME}/quota"), &empty);
    admin("see its trust documents", MISSING, &format!("GET {ACME}/trust"), &empty);
    admin("list its members", MISSING, &format!("GET {ACME}/members"), &empty);
    admin(
        "become its administrator",
        MISSING,
        &format!("PUT {ACME}/members/user:eve"),
        &json!({ "roles": ["tenant-admin"] }),
    );
    admin("remove its administrator", MISSING, &format!("DELETE {ACME}/members/user:ada-acme"), &empty);
    admin("make a token there", MISSING, &format!("POST {ACME}/tokens"), &json!({ "principal": "user:ada-acme" }));
    admin(
        "make a token at home for its member",
        MISSING,
        &format!("POST {BOLT}/tokens"),
        &json!({ "principal": "user:ada-acme" }),
    );
    admin("revoke its token there", MISSING, &format!("DELETE {ACME}/tokens/{id}"), &empty);
    admin("revoke its token by way of home", MISSING, &format!("DELETE {BOLT}/tokens/{id}"), &empty);
    let signer = site.domain.tenant("acme");
    let status = signed::value(&signer.sign_status(signer.releasing(&[], 9)));
    admin("upload its status", MISSING, &format!("POST {ACME}/trust/status"), &status);
    admin("upload its status at home", (422, "LG0420"), &format!("POST {BOLT}/trust/status"), &status);
    admin("read its dead letters", MISSING, &format!("GET {ACME}/jobs/late/exceptions"), &empty);

    let mut deployer = |name: &str, expected, line: &str, body: &Value| {
        cases.run(site, (GROUP, "bolt deployer"), name, expected, |site| site.try_json("bolt deployer", line, body));
    };
    deployer("list its jobs", MISSING, &format!("GET {ACME}/jobs"), &empty);
    deployer("see its job", MISSING, &format!("GET {ACME}/jobs/late"), &empty);
    deployer("see a job of this name at home", MISSING, &format!("GET {BOLT}/jobs/late"), &empty);
    deployer("follow its events", MISSING, &format!("GET {ACME}/jobs/late/events/stream"), &empty);
    deployer("read its logs", MISSING, &format!("GET {ACME}/jobs/late/logs"), &empty);
    deployer("cancel its job", MISSING, &format!("POST {ACME}/jobs/late/cancel"), &empty);
    deployer("upgrade its job", MISSING, &format!("POST {ACME}/jobs/late/upgrade"), &json!({ "parallelism": 1 }));
    deployer("delete its job", MISSING, &format!("DELETE {ACME}/jobs/late"), &empty);
    deployer("see its bundle by its digest", MISSING, &format!("GET {BOLT}/bundles/{digest}"), &empty);
    deployer("fetch its bundle", MISSING, &format!("GET {ACME}/bundles/{digest}/content"), &empty);
    deployer("fetch its bundle by way of home", MISSING, &format!("GET {BOLT}/bundles/{digest}/content"), &empty);
    deployer("delete its bundle by way of home", MISSING, &format!("DELETE {BOLT}/bundles/{digest}"), &empty);
    deployer("run its bundle at home", MISSING, &format!("POST {BOLT}/jobs"), &json!({ "bundle": digest }));
    deployer("fetch what a tenant has that there is not", MISSING, "GET /api/v1/tenants/none/jobs", &empty);

    let bytes = site.package.to_bytes().expect("bytes");
    let put = format!("PUT {BOLT}/bundles/{digest}");
    cases.run(site, (GROUP, "bolt deployer"), "put its bundle at home", (409, "LG1014"), |site| {
        site.send("bolt deployer", &put, TAR, &bytes)
    });
    cases.run(site, (GROUP, "bolt deployer"), "go on with its cursor", (400, "LG1006"), |site| {
        let cursor = cursor(site);
        site.get("bolt deployer", &format!("{BOLT}/jobs?cursor={cursor}"))
    });
}

/// A cursor of `acme`'s list of tokens.
fn cursor(site: &Site) -> String {
    let page: Answer = site.get("acme admin", &format!("{ACME}/tokens?limit=1"));
    page.json()["next"].as_str().unwrap_or_default().to_owned()
}
