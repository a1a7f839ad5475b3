//! Every route of the description, asked by everybody, against a written table; and that what another tenant owns cannot
//! be told from what is not there.

use super::{Answer, Site, callers};
use crate::backup::Identity;
use crate::world::{keys, name, package};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use lockgate_core::Digest;
use lockgate_core::trust::create;
use std::collections::{BTreeMap, BTreeSet};

/// The status for each of [`callers`]: the operator, his auditor; of the tenant whose things they are the administrator, a
/// deployer, a viewer, an auditor; somebody with every role in another tenant. Whoever has no credential, a wrong one or
/// an expired one gets 401 everywhere.
#[rustfmt::skip]
const TABLE: &[(&str, [u16; 7])] = &[
    //                                                                        op   aud  adm  dep  view aud  other
    ("GET /api/v1/whoami",                                                   [200, 200, 200, 200, 200, 200, 200]),
    ("GET /api/v1/version",                                                  [200, 200, 200, 200, 200, 200, 200]),
    ("GET /api/v1/openapi.json",                                             [200, 200, 200, 200, 200, 200, 200]),
    ("GET /api/v1/errors/{code}",                                            [200, 200, 200, 200, 200, 200, 200]),
    ("GET /api/v1/taskmanagers",                                             [200, 404, 404, 404, 404, 404, 404]),
    ("GET /api/v1/taskmanagers/{name}",                                      [200, 404, 404, 404, 404, 404, 404]),
    ("PATCH /api/v1/taskmanagers/{name}",                                    [200, 404, 404, 404, 404, 404, 404]),
    ("DELETE /api/v1/taskmanagers/{name}",                                   [409, 404, 404, 404, 404, 404, 404]),
    ("POST /api/v1/taskmanagers/join",                                       [401, 401, 401, 401, 401, 401, 401]),
    ("GET /api/v1/join-tokens",                                              [200, 404, 404, 404, 404, 404, 404]),
    ("POST /api/v1/join-tokens",                                             [201, 404, 404, 404, 404, 404, 404]),
    ("DELETE /api/v1/join-tokens/{id}",                                      [204, 404, 404, 404, 404, 404, 404]),
    ("GET /metrics",                                                         [200, 404, 200, 200, 200, 404, 200]),
    ("GET /api/v1/audit",                                                    [200, 200, 200, 404, 404, 200, 200]),
    ("POST /api/v1/audit/prune",                                             [200, 404, 404, 404, 404, 404, 404]),
    ("POST /api/v1/backup",                                                  [200, 404, 404, 404, 404, 404, 404]),
    ("GET /api/v1/tenants",                                                  [200, 200, 200, 200, 200, 200, 200]),
    ("POST /api/v1/tenants",                                                 [201, 403, 404, 404, 404, 404, 404]),
    ("GET /api/v1/tenants/{tenant}",                                         [200, 200, 200, 200, 200, 200, 404]),
    ("PATCH /api/v1/tenants/{tenant}",                                       [200, 403, 403, 403, 403, 403, 404]),
    ("DELETE /api/v1/tenants/{tenant}",                                      [409, 403, 403, 403, 403, 403, 404]),
    ("GET /api/v1/tenants/{tenant}/quota",                                   [200, 200, 200, 200, 200, 200, 404]),
    ("PUT /api/v1/tenants/{tenant}/quota",                                   [200, 403, 403, 403, 403, 403, 404]),
    ("GET /api/v1/members",                                                  [200, 200, 404, 404, 404, 404, 404]),
    ("GET /api/v1/members/{principal}",                                      [200, 200, 404, 404, 404, 404, 404]),
    ("PUT /api/v1/members/{principal}",                                      [200, 403, 404, 404, 404, 404, 404]),
    ("DELETE /api/v1/members/{principal}",                                   [204, 403, 404, 404, 404, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/members",                                 [200, 200, 200, 404, 404, 200, 404]),
    ("GET /api/v1/tenants/{tenant}/members/{principal}",                     [200, 200, 200, 404, 404, 200, 404]),
    ("PUT /api/v1/tenants/{tenant}/members/{principal}",                     [200, 403, 200, 404, 404, 403, 404]),
    ("DELETE /api/v1/tenants/{tenant}/members/{principal}",                  [403, 403, 204, 404, 404, 403, 404]),
    ("GET /api/v1/tokens",                                                   [200, 200, 404, 404, 404, 404, 404]),
    ("POST /api/v1/tokens",                                                  [201, 403, 404, 404, 404, 404, 404]),
    ("DELETE /api/v1/tokens/{id}",                                           [204, 403, 404, 404, 404, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/tokens",                                  [200, 200, 200, 200, 200, 200, 404]),
    ("POST /api/v1/tenants/{tenant}/tokens",                                 [201, 403, 201, 404, 404, 403, 404]),
    ("DELETE /api/v1/tenants/{tenant}/tokens/{id}",                          [204, 403, 204, 404, 404, 403, 404]),
    ("GET /api/v1/certificates",                                             [200, 200, 404, 404, 404, 404, 404]),
    ("PUT /api/v1/certificates/{uri}",                                       [200, 403, 404, 404, 404, 404, 404]),
    ("DELETE /api/v1/certificates/{uri}",                                    [204, 403, 404, 404, 404, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/certificates",                            [200, 200, 200, 404, 404, 200, 404]),
    ("PUT /api/v1/tenants/{tenant}/certificates/{uri}",                      [200, 403, 403, 404, 404, 403, 404]),
    ("DELETE /api/v1/tenants/{tenant}/certificates/{uri}",                   [204, 403, 204, 404, 404, 403, 404]),
    ("GET /api/v1/trust/{document}",                                         [200, 200, 200, 200, 200, 200, 200]),
    ("POST /api/v1/trust/{document}",                                        [200, 403, 404, 404, 404, 404, 404]),
    ("GET /api/v1/trust/{document}/versions",                                [200, 200, 200, 200, 200, 200, 200]),
    ("GET /api/v1/trust/{document}/versions/{version}",                      [200, 200, 200, 200, 200, 200, 200]),
    ("GET /api/v1/tenants/{tenant}/trust",                                   [200, 200, 200, 200, 200, 200, 404]),
    ("GET /api/v1/tenants/{tenant}/trust/{document}",                        [200, 200, 200, 200, 200, 200, 404]),
    ("POST /api/v1/tenants/{tenant}/trust/{document}",                       [403, 403, 200, 403, 403, 403, 404]),
    ("GET /api/v1/tenants/{tenant}/trust/{document}/versions",               [200, 200, 200, 200, 200, 200, 404]),
    ("GET /api/v1/tenants/{tenant}/trust/{document}/versions/{version}",     [200, 200, 200, 200, 200, 200, 404]),
    ("GET /api/v1/tenants/{tenant}/bundles",                                 [404, 404, 200, 200, 200, 404, 404]),
    ("POST /api/v1/tenants/{tenant}/bundles",                                [404, 404, 200, 200, 403, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/bundles/{digest}",                        [404, 404, 200, 200, 200, 404, 404]),
    ("PUT /api/v1/tenants/{tenant}/bundles/{digest}",                        [404, 404, 200, 200, 403, 404, 404]),
    ("DELETE /api/v1/tenants/{tenant}/bundles/{digest}",                     [404, 404, 409, 409, 403, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/bundles/{digest}/content",                [404, 404, 200, 200, 403, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/jobs",                                    [200, 404, 200, 200, 200, 404, 404]),
    ("POST /api/v1/tenants/{tenant}/jobs",                                   [403, 404, 409, 409, 403, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/jobs/{job}",                              [200, 404, 200, 200, 200, 404, 404]),
    ("PATCH /api/v1/tenants/{tenant}/jobs/{job}",                            [403, 404, 200, 200, 403, 404, 404]),
    ("DELETE /api/v1/tenants/{tenant}/jobs/{job}",                           [403, 404, 409, 409, 403, 404, 404]),
    ("POST /api/v1/tenants/{tenant}/jobs/{job}/upgrade",                     [403, 404, 200, 200, 403, 404, 404]),
    ("POST /api/v1/tenants/{tenant}/jobs/{job}/cancel",                      [200, 404, 200, 200, 403, 404, 404]),
    ("POST /api/v1/tenants/{tenant}/jobs/{job}/stop",                        [200, 404, 200, 200, 403, 404, 404]),
    ("POST /api/v1/tenants/{tenant}/jobs/{job}/restart",                     [403, 404, 200, 200, 403, 404, 404]),
    ("POST /api/v1/tenants/{tenant}/jobs/{job}/suspend",                     [403, 404, 200, 200, 403, 404, 404]),
    ("POST /api/v1/tenants/{tenant}/jobs/{job}/resume",                      [403, 404, 200, 200, 403, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/jobs/{job}/graph",                        [200, 404, 200, 200, 200, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/jobs/{job}/metrics",                      [200, 404, 200, 200, 200, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/jobs/{job}/events",                       [200, 404, 200, 200, 200, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/jobs/{job}/events/stream",                [200, 404, 200, 200, 200, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/jobs/{job}/logs",                         [403, 404, 200, 200, 403, 404, 404]),
    ("GET /api/v1/tenants/{tenant}/jobs/{job}/exceptions",                   [200, 404, 200, 200, 200, 404, 404]),
];

/// Every route of the description, as the table writes it.
fn described() -> BTreeSet<String> {
    let document = serde_json::to_value(super::super::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let route = |path: &str, method: &String| format!("{} {path}", method.to_uppercase());
    paths.iter().flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |m| route(path, m))).collect()
}

/// A body that the route takes, and its type.
fn body(site: &Site, route: &str) -> (&'static str, Vec<u8>) {
    let (world, acme) = (&site.world, name("acme"));
    let bundle = || package("acme", "late", 1, None, world.now()).to_bytes().unwrap();
    let json = |value: serde_json::Value| ("application/json", value.to_string().into_bytes());
    match route {
        "POST /api/v1/backup" => {
            json(serde_json::json!({ "recipient": Identity::generate().unwrap().recipient().to_string() }))
        }
        "PATCH /api/v1/taskmanagers/{name}" => json(serde_json::json!({ "state": "cordoned" })),
        "POST /api/v1/taskmanagers/join" => {
            json(serde_json::json!({ "name": "tm-2", "request": crate::world::request().1 }))
        }
        "POST /api/v1/join-tokens" => json(serde_json::json!({ "seconds": 60 })),
        "POST /api/v1/audit/prune" => json(serde_json::json!({ "before-checkpoint": site.checkpoint })),
        "POST /api/v1/tenants" => json(serde_json::json!({ "name": "fresh" })),
        "PATCH /api/v1/tenants/{tenant}" => json(serde_json::json!({ "suspended": false })),
        "PUT /api/v1/members/{principal}" => json(serde_json::json!({ "roles": ["auditor"] })),
        "PUT /api/v1/tenants/{tenant}/members/{principal}" => json(serde_json::json!({ "roles": ["tenant-admin"] })),
        "POST /api/v1/tokens" => json(serde_json::json!({ "principal": "user:second" })),
        "POST /api/v1/tenants/{tenant}/tokens" => json(serde_json::json!({ "principal": "user:ana" })),
        "PUT /api/v1/certificates/{uri}" => json(serde_json::json!({ "principal": "user:second" })),
        "PUT /api/v1/tenants/{tenant}/certificates/{uri}" => json(serde_json::json!({ "principal": "user:ana" })),
        "PUT /api/v1/tenants/{tenant}/quota" => json(serde_json::json!({ "set": { "jobs": 5 } })),
        "POST /api/v1/trust/{document}" => {
            let root = create(&world.operator_root(), &[&world.operator_keys().operator_root]).unwrap();
            ("application/json", root.to_json().unwrap())
        }
        "POST /api/v1/tenants/{tenant}/trust/{document}" => {
            let root = create(&world.tenant_root(&acme), &[&keys(&acme).tenant_root]).unwrap();
            ("application/json", root.to_json().unwrap())
        }
        "POST /api/v1/tenants/{tenant}/jobs" => json(serde_json::json!({ "bundle": Digest::of(&bundle()) })),
        "PATCH /api/v1/tenants/{tenant}/jobs/{job}" => json(serde_json::json!({ "labels": { "a": "b" } })),
        "POST /api/v1/tenants/{tenant}/jobs/{job}/upgrade" => json(serde_json::json!({})),
        route if route.contains("/bundles") => ("application/octet-stream", bundle()),
        _ => ("application/json", Vec::new()),
    }
}

async fn ask(site: &Site, who: Option<&str>, route: &str, tenant: &str) -> Answer {
    let (method, path) = route.split_once(' ').unwrap();
    let digest = Digest::of(&package("acme", "late", 1, None, site.world.now()).to_bytes().unwrap());
    let (document, version) = if path.contains("{tenant}") { ("root", "1.1") } else { ("operator-root", "1") };
    let id = match path {
        path if path.contains("{tenant}") => &site.tokens.0,
        path if path.contains("join-tokens") => &site.join_token,
        _ => &site.tokens.1,
    };
    let path = [
        ("{tenant}", tenant),
        ("{job}", "late"),
        ("{digest}", &digest.to_string()),
        ("{document}", document),
        ("{version}", version),
        ("{code}", "LG1102"),
        ("{principal}", if path.contains("{tenant}") { "user:ana" } else { "user:second" }),
        ("{uri}", if path.contains("{tenant}") { "spiffe:%2F%2Fexample%2Fana" } else { "spiffe:%2F%2Fexample%2Fop" }),
        ("{name}", "tm-1"),
        ("{id}", id),
    ]
    .iter()
    .fold(path.to_owned(), |path, (key, value)| path.replace(key, value));
    let (kind, bytes) = body(site, route);
    let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    let request = request.header(header::CONTENT_TYPE, kind);
    // A quota is set for the first time; labels and roles are replaced.
    let replaces = route.contains("PATCH") || route.contains("PUT") && route.contains("{principal}");
    let request = if replaces { request.header(header::IF_MATCH, "*") } else { request };
    site.send(who, request, Body::from(bytes)).await
}

#[test]
fn every_route_is_in_the_table() {
    let table: BTreeSet<String> = TABLE.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(table.len(), TABLE.len(), "a row is there twice");
    assert_eq!(described(), table);
}

#[tokio::test]
async fn nobody_gets_in_without_a_valid_credential() {
    let site = Site::new().await;
    for (route, _) in TABLE {
        for who in [None, Some("wrong"), Some("expired")] {
            let answer = ask(&site, who, route, "acme").await;
            assert_eq!(answer.status, 401, "{route} by {who:?}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert!(!answer.header("www-authenticate").is_empty());
        }
    }
    let nowhere = ask(&site, None, "GET /api/v1/nowhere", "acme").await;
    assert_eq!(nowhere.status, 401, "not even which routes there are");
}

#[tokio::test]
async fn everybody_gets_what_the_table_says() {
    let (mut wrong, mut site) = (Vec::new(), Site::new().await);
    for (route, expected) in TABLE {
        for ((who, _), expected) in callers().iter().zip(expected) {
            let answer = ask(&site, Some(who), route, "acme").await;
            if answer.status.as_u16() != *expected {
                wrong.push(format!("{route} by {who}: {} instead of {expected}: {}", answer.status, answer.text()));
            }
            // What one has changed must not show in the answer to the next.
            if answer.status.is_success() && !route.starts_with("GET") {
                site = Site::new().await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a suspended tenant's own people may still ask for, if it was theirs to ask before.
const WHILE_SUSPENDED: &[&str] = &[
    "GET /api/v1/whoami",
    "GET /api/v1/version",
    "GET /api/v1/openapi.json",
    "GET /api/v1/errors/{code}",
    "GET /api/v1/audit",
    "GET /api/v1/tenants",
    "GET /api/v1/tenants/{tenant}",
    "GET /api/v1/tenants/{tenant}/quota",
];

#[tokio::test]
async fn while_a_tenant_is_suspended_its_people_see_why_and_nothing_else() {
    let (mut wrong, site) = (Vec::new(), Site::new().await);
    let suspend = serde_json::json!({ "suspended": true });
    let suspended = site.json("operator", Method::PATCH, "/api/v1/tenants/acme", &[("if-match", "*")], &suspend).await;
    assert_eq!(suspended.status, 200);
    for (route, before) in TABLE {
        for ((who, caller), before) in callers().iter().zip(before) {
            if caller.tenant.as_deref() != Some("acme") {
                continue;
            }
            let answer = ask(&site, Some(who), route, "acme").await;
            let refused = !WHILE_SUSPENDED.contains(route) && ![401, 403, 404].contains(before);
            let expected = if refused { 403 } else { *before };
            if answer.status.as_u16() != expected || (refused && answer.code() != "LG1013") {
                wrong.push(format!("{route} by {who}: {} instead of {expected}: {}", answer.status, answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let elsewhere = site.get("other", "/api/v1/tenants/bolt/jobs").await;
    assert_eq!(elsewhere.status, 200, "others are not suspended");
    assert_eq!(site.get("operator", "/api/v1/tenants/acme/jobs").await.status, 200, "nor is the operator");
}

#[tokio::test]
async fn what_another_tenant_owns_cannot_be_told_from_what_is_missing() {
    let site = Site::new().await;
    let mut seen = BTreeMap::new();
    for (route, _) in TABLE.iter().filter(|(route, _)| route.contains("{tenant}")) {
        let (foreign, missing) =
            (ask(&site, Some("other"), route, "acme").await, ask(&site, Some("other"), route, "nope").await);
        assert_eq!(foreign.status, missing.status, "{route}");
        let plain = |answer: &Answer, tenant: &str| {
            let mut json = answer.json();
            json.as_object_mut().unwrap().remove("request");
            json.to_string().replace(tenant, "TENANT")
        };
        assert_eq!(plain(&foreign, "acme"), plain(&missing, "nope"), "{route}");
        let names = |answer: &Answer| answer.headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&foreign), names(&missing), "{route}");
        *seen.entry(foreign.status.as_u16()).or_insert(0) += 1;
    }
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [404]);
}

#[tokio::test]
async fn within_a_tenant_what_one_may_not_see_is_missing_too() {
    let site = Site::new().await;
    for path in ["jobs/late", "jobs/nope"] {
        let answer = site.get("auditor", &format!("/api/v1/tenants/acme/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "LG1102".to_owned()));
    }
}
