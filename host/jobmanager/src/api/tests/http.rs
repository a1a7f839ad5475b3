//! What requests and answers look like.

use super::Site;
use crate::world::{World, name, package};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use http_body_util::BodyExt as _;
use lockgate_core::Digest;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tower::ServiceExt as _;

#[test]
fn the_description_is_openapi_3_1_and_complete() {
    let document = serde_json::to_value(super::super::openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            let default = &operation["responses"]["default"]["content"];
            assert!(default["application/problem+json"].is_object(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path} is not described");
            let declared = operation["parameters"].as_array().cloned().unwrap_or_default();
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let there = declared.iter().any(|parameter| parameter["name"] == part && parameter["in"] == "path");
                assert!(there, "{method} {path}: {part}");
            }
        }
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name} is referred to and not there");
    }
    assert!(document["security"].is_array());
}

#[tokio::test]
async fn an_error_says_what_and_which_request() {
    let site = Site::new().await;
    let answer = site.get("viewer", "/api/v1/tenants/acme/jobs/none").await;
    let body = answer.json();
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(body["type"], "https://lockgate.dev/errors#lg1102");
    assert_eq!((&body["status"], &body["code"]), (&json!(404), &json!("LG1102")));
    assert_eq!(body["request"], answer.header("x-request-id"));
    assert!(body["title"].is_string() && body["detail"] == "there is no job/none");
    let page = site.get("viewer", "/api/v1/errors/LG1102").await;
    assert!(page.text().starts_with("## LG1102"));
}

#[tokio::test]
async fn a_route_says_which_methods_it_takes() {
    let site = Site::new().await;
    let answer = site.json("viewer", Method::PUT, "/api/v1/whoami", &[], &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (405, "LG1003".to_owned()));
    assert!(answer.header("allow").contains("GET"));
}

#[tokio::test]
async fn requests_that_are_not_understood_are_refused() {
    let site = Site::new().await;
    let post = |kind: &'static str, body: &str| {
        let request = Request::builder().method(Method::POST).uri("/api/v1/tenants").header(header::CONTENT_TYPE, kind);
        site.send(Some("operator"), request, Body::from(body.to_owned()))
    };
    for (kind, body, expected) in [
        ("application/json", "{", 400),
        ("application/json", "", 400),
        ("application/json", r#"{"name":"a","name":"b"}"#, 400),
        ("application/json", r#"{"name":"a","more":1}"#, 400),
        ("application/json", r#"{"name":"A"}"#, 400),
        ("application/json", r#"{"name":"a","labels":{"X":"y"}}"#, 400),
        ("text/plain", r#"{"name":"a"}"#, 415),
        ("application/json", &format!(r#"{{"name":"{}"}}"#, "a".repeat(3 << 20)), 413),
        ("application/json", r#"{"name":"a","labels":{}}"#, 201),
    ] {
        let answer = post(kind, body).await;
        assert_eq!(answer.status, expected, "{kind} {}: {}", body.get(..40).unwrap_or(body), answer.text());
    }
    for query in ["limit=0", "limit=201", "limit=x", "other=1", "label=x", "label=X%3Dy", "cursor=x"] {
        let answer = site.get("operator", &format!("/api/v1/tenants?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
    for path in ["tenants/A", "tenants/acme/jobs/..%2f", "tenants/acme/bundles/sha256:x", "tenants/%00"] {
        let answer = site.get("operator", &format!("/api/v1/{path}")).await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn revisions_travel_as_etags() {
    let site = Site::new().await;
    let path = "/api/v1/tenants/acme/jobs/late";
    let tag = site.get("deployer", path).await.header("etag").to_owned();
    let label = |matches: Option<String>| {
        let site = &site;
        async move {
            let headers: Vec<(&str, &str)> = matches.iter().map(|tag| ("if-match", tag.as_str())).collect();
            site.json("deployer", Method::PATCH, path, &headers, &json!({ "labels": { "a": "b" } })).await
        }
    };
    assert_eq!(label(None).await.status, 428);
    assert_eq!(label(Some("\"1\"".into())).await.status, 412);
    for malformed in ["1", "W/\"1\"", "\"1\", \"2\"", "\"x\"", ""] {
        assert_eq!(label(Some(malformed.into())).await.status, 400, "{malformed}");
    }
    let changed = label(Some(tag.clone())).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["labels"]), (200, &json!({ "a": "b" })));
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(label(Some(tag)).await.status, 412);
    let listed = site.get("viewer", "/api/v1/tenants/acme/jobs?label=a%3Db&state=CREATED&name=la").await.json();
    assert_eq!(listed["items"][0]["name"], "late");
    let none = site.get("viewer", "/api/v1/tenants/acme/jobs?label=a%3Dc").await.json();
    assert_eq!(none, json!({ "items": [] }));
}

#[tokio::test]
async fn a_creating_request_can_be_repeated() {
    let site = Site::new().await;
    let post = |key: &str, who: &str, body: Value| {
        let (site, key, who) = (&site, key.to_owned(), who.to_owned());
        async move { site.json(&who, Method::POST, "/api/v1/tenants", &[("idempotency-key", &key)], &body).await }
    };
    let first = post("k", "operator", json!({ "name": "fresh" })).await;
    let second = post("k", "operator", json!({ "name": "fresh" })).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 200));
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), ("", "true"));
    assert_eq!(first.json(), second.json());
    assert_eq!(first.header("location"), "/api/v1/tenants/fresh");
    assert_eq!(post("k", "operator", json!({ "name": "other" })).await.code(), "LG1008");
    assert_eq!(post("a b", "operator", json!({ "name": "other" })).await.code(), "LG1007");
    assert_eq!(post(&"k".repeat(129), "operator", json!({ "name": "other" })).await.code(), "LG1007");
}

#[tokio::test]
async fn a_bundle_goes_in_and_comes_out_as_it_was() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let package = package("acme", "late", 1, None, world.now());
    world.status("acme", BTreeMap::from([(name("late"), package.release().unwrap())])).await;
    let (site, bytes) = (Site::of(world), package.to_bytes().unwrap());
    let digest = Digest::of(&bytes);
    let path = format!("/api/v1/tenants/acme/bundles/{digest}");
    let put = |bytes: Vec<u8>, kind: &'static str| {
        let request = Request::builder().method(Method::PUT).uri(&path).header(header::CONTENT_TYPE, kind);
        site.send(Some("deployer"), request, Body::from(bytes))
    };
    assert_eq!(put(bytes.clone(), "application/json").await.status, 415);
    assert_eq!(put(b"no bundle".to_vec(), "application/octet-stream").await.status, 422);
    assert_eq!(site.world.files(), Vec::<String>::new());
    let made = put(bytes.clone(), "application/octet-stream").await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, path.as_str()), "{}", made.text());
    assert_eq!(made.json()["touches"].as_array().unwrap().len(), 2);
    assert_eq!(put(bytes.clone(), "application/octet-stream").await.status, 200);
    let content = site.get("deployer", &format!("{path}/content")).await;
    assert_eq!(content.bytes, bytes);
    let job = site.json("deployer", Method::POST, "/api/v1/tenants/acme/jobs", &[], &json!({ "bundle": digest })).await;
    assert_eq!((job.status.as_u16(), &job.json()["state"]), (201, &json!("CREATED")));
    let graph = site.get("viewer", "/api/v1/tenants/acme/jobs/late/graph").await.json();
    assert_eq!(graph["nodes"][1], json!({ "name": "score", "kind": "function", "inputs": ["flights.out"] }));
    let shown = site.get("viewer", "/api/v1/tenants/acme/jobs/late").await.json();
    assert!(shown["deployment"]["parameters"].is_null(), "a viewer sees no configuration");
    let all = site.get("deployer", "/api/v1/tenants/acme/jobs/late").await.json();
    assert!(all["deployment"]["parameters"].is_object());
}

#[tokio::test]
async fn events_come_as_they_happen_and_go_on_where_they_ended() {
    let site = Site::new().await;
    let (acme, late) = (name("acme"), name("late"));
    let open = |last: Option<&str>| {
        let request = Request::builder().uri("/api/v1/tenants/acme/jobs/late/events/stream");
        let request = request.header(header::AUTHORIZATION, "Bearer deployer");
        let request = last.map_or(Request::builder(), |_| Request::builder()).uri(request.uri_ref().unwrap().clone());
        let request = request.header(header::AUTHORIZATION, "Bearer deployer");
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        site.router().oneshot(request.body(Body::empty()).unwrap())
    };
    let response = open(None).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = String::from_utf8(frame.to_vec()).unwrap();
    assert!(text.contains("id: 1\n") && text.contains("event: request\n") && text.contains("data: {"), "{text}");
    site.world.service.write_logs(&acme, &late, &[(None, "two\nlines\r\n\r\nevent: forged".into())]).await.unwrap();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = String::from_utf8(frame.to_vec()).unwrap();
    assert_eq!(text.matches("event: ").count() - text.matches("\\nevent: ").count(), 1, "{text}");
    let mut resumed = open(Some("1")).await.unwrap().into_body();
    let frame = resumed.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8(frame.to_vec()).unwrap().contains("id: 2\n"));
    assert_eq!(open(Some("x")).await.unwrap().status(), 400);
    let path = "/api/v1/tenants/acme/jobs/late/events/stream";
    for bad in ["seconds=0", "seconds=901", "seconds=x", "second=1"] {
        assert_eq!(site.get("deployer", &format!("{path}?{bad}")).await.status, 400, "{bad}");
    }
    drop((body, resumed));
    // One that is to last a second has an end of its own, whatever happens.
    let request = Request::builder().uri(format!("{path}?seconds=1")).header(header::AUTHORIZATION, "Bearer deployer");
    let bounded = site.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let text = bounded.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("id: 2\n"));
}

#[tokio::test]
async fn figures_are_of_those_whom_one_may_see() {
    let site = Site::new().await;
    let all = site.get("operator", "/metrics").await.text();
    for line in [
        "lockgate_job{tenant=\"acme\",job=\"late\",state=\"CREATED\"} 1",
        "lockgate_quota_used{tenant=\"acme\",quota=\"slots\"} 4",
        "lockgate_quota_used{tenant=\"bolt\",quota=\"slots\"} 0",
    ] {
        assert!(all.contains(line), "{line} is not in {all}");
    }
    let own = site.get("other", "/metrics").await.text();
    assert!(own.contains("bolt") && !own.contains("acme") && !own.contains("lockgate_requests"), "{own}");
    assert_eq!(site.get("operator", "/api/v1/tenants/none").await.code(), "LG1102");
    let again = site.get("operator", "/metrics").await.text();
    assert!(again.contains("lockgate_refusals_total{code=\"LG1102\"} 1"), "{again}");
    assert!(again.contains("lockgate_requests_total{method=\"GET\",route=\"/metrics\",status=\"200\"} 2"), "{again}");
}

#[tokio::test]
async fn a_tenants_auditor_reads_of_his_tenant_only() {
    let site = Site::new().await;
    let all = site.get("operators-auditor", "/api/v1/audit?limit=1000").await;
    assert!(all.text().contains("acme") && all.text().contains("bolt"));
    assert_eq!(all.header("audit-whole"), "true");
    let own = site.get("auditor", "/api/v1/audit?limit=1000").await;
    assert!(own.text().contains("acme") && !own.text().contains("bolt"));
    assert_eq!((own.header("audit-whole"), own.header("audit-next")), ("false", all.header("audit-next")));
    let part = site.get("operators-auditor", "/api/v1/audit?after=2&limit=1").await;
    assert_eq!((part.text().lines().count(), part.header("audit-next")), (1, "3"));
}

#[tokio::test]
async fn the_operator_cuts_the_audit_log_off_at_a_checkpoint() {
    let site = Site::new().await;
    let at = site.checkpoint;
    let prune = |who: &'static str, body: Value| {
        let site = &site;
        async move { site.json(who, Method::POST, "/api/v1/audit/prune", &[], &body).await }
    };
    let (before, log) = (json!({ "before-checkpoint": at }), "/api/v1/audit?limit=1000");
    assert_eq!(prune("operators-auditor", before.clone()).await.code(), "LG1102");
    let nowhere = prune("operator", json!({ "before-checkpoint": at - 1 })).await;
    assert_eq!((nowhere.status.as_u16(), nowhere.code()), (409, "LG1260".to_owned()));
    let done = prune("operator", before.clone()).await.json();
    assert_eq!((&done["sequence"], &done["removed"]), (&json!(at), &json!(at)));
    let lines = site.get("operator", log).await.text();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&first["type"], &first["sequence"]), (&json!("checkpoint"), &json!(at)));
    assert_eq!(format!("sha256:{}", first["hash"].as_str().unwrap()), done["hash"].as_str().unwrap());
    let cut = lines.lines().find(|line| line.contains("\"detail_ask\":\"prune\"")).unwrap();
    assert!(cut.contains("\"principal\":\"operator\"") && cut.contains(&format!("\"detail_before\":\"{at}\"")));
    assert!(lines.contains("LG1260") && lines.contains("LG1102"), "what was refused is recorded: {lines}");
    assert!(!site.get("admin", log).await.text().contains("checkpoint"), "a tenant has no chain");
    let again = prune("operator", before).await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "LG1261".to_owned()));
}
