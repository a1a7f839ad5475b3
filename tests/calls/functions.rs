//! What is one's own tenant's but not one's own right, and what nobody may set.

use super::site::Site;
use super::suite::{Cases, Expected};
use crate::harness::signed;
use serde_json::{Value, json};

pub const GROUP: &str = "function and property level";
const MISSING: Expected = (404, "LG1102");
const FORBIDDEN: Expected = (403, "LG1101");
const MALFORMED: Expected = (400, "LG1001");
const ACME: &str = "/api/v1/tenants/acme";

pub fn cases(site: &Site, cases: &mut Cases) {
    let digest = site.digest;
    let empty = json!({});
    let mut run = |who: &'static str, name: &str, expected, line: &str, body: &Value| {
        cases.run(site, (GROUP, who), name, expected, |site| site.try_json(who, line, body));
    };
    run("acme viewer", "create a job", FORBIDDEN, &format!("POST {ACME}/jobs"), &json!({ "bundle": digest }));
    run("acme viewer", "cancel a job", FORBIDDEN, &format!("POST {ACME}/jobs/late/cancel"), &empty);
    run("acme viewer", "read logs", FORBIDDEN, &format!("GET {ACME}/jobs/late/logs"), &empty);
    run("acme viewer", "fetch a bundle", FORBIDDEN, &format!("GET {ACME}/bundles/{digest}/content"), &empty);
    run("acme auditor", "see a job", MISSING, &format!("GET {ACME}/jobs/late"), &empty);
    run(
        "acme deployer",
        "make oneself administrator",
        MISSING,
        &format!("PUT {ACME}/members/user:deployer"),
        &json!({ "roles": ["tenant-admin"] }),
    );
    run(
        "acme deployer",
        "make a token for the administrator",
        MISSING,
        &format!("POST {ACME}/tokens"),
        &json!({ "principal": "user:ada-acme" }),
    );
    run("acme deployer", "read the audit log", MISSING, "GET /api/v1/audit", &empty);
    run(
        "acme admin",
        "raise one's own quota",
        FORBIDDEN,
        &format!("PUT {ACME}/quota"),
        &json!({ "set": { "jobs": 1_000_000 } }),
    );
    run("acme admin", "make a tenant", MISSING, "POST /api/v1/tenants", &json!({ "name": "third" }));
    run("acme admin", "suspend the tenant", FORBIDDEN, &format!("PATCH {ACME}"), &json!({ "suspended": true }));
    run(
        "acme admin",
        "upload a policy",
        FORBIDDEN,
        &format!("POST {ACME}/trust/policy"),
        &signed::value(&site.domain.policy("acme")),
    );
    run(
        "acme admin",
        "give somebody the operator's role",
        MALFORMED,
        &format!("PUT {ACME}/members/user:eve"),
        &json!({ "roles": ["operator"] }),
    );
    run(
        "acme admin",
        "join the operator's people",
        MISSING,
        "PUT /api/v1/members/user:ada-acme",
        &json!({ "roles": ["operator"] }),
    );
    run("operator", "fetch a tenant's bundle", MISSING, &format!("GET {ACME}/bundles/{digest}/content"), &empty);
    run(
        "operator",
        "appoint a tenant's deployer",
        MALFORMED,
        &format!("PUT {ACME}/members/user:eve"),
        &json!({ "roles": ["deployer"] }),
    );
    run("operator", "step down as the last operator", (409, "LG1012"), "DELETE /api/v1/members/user:op", &empty);

    run(
        "acme deployer",
        "set the state of a job",
        MALFORMED,
        &format!("PATCH {ACME}/jobs/late"),
        &json!({ "labels": {}, "state": "FINISHED" }),
    );
    run(
        "acme deployer",
        "set who made a job",
        MALFORMED,
        &format!("POST {ACME}/jobs"),
        &json!({ "bundle": digest, "created-by": "user:op" }),
    );
    run(
        "acme deployer",
        "change a job unseen",
        (428, "LG1005"),
        &format!("PATCH {ACME}/jobs/late"),
        &json!({ "labels": {} }),
    );
    run(
        "acme deployer",
        "set a parameter above its signed bound",
        (422, "LG0123"),
        &format!("POST {ACME}/jobs/late/upgrade"),
        &json!({ "parameters": { "weight": "2" } }),
    );
    run(
        "acme deployer",
        "take more slots than are signed",
        (422, "LG0123"),
        &format!("POST {ACME}/jobs/late/upgrade"),
        &json!({ "parallelism": 5 }),
    );
    run(
        "acme deployer",
        "make a token for ever",
        MALFORMED,
        &format!("POST {ACME}/tokens"),
        &json!({ "days": 100_000 }),
    );
    run(
        "acme deployer",
        "make a token that says its own id",
        MALFORMED,
        &format!("POST {ACME}/tokens"),
        &json!({ "id": "aaaaaaaaaaaaaaaa" }),
    );
}
