//! The whole way over TLS, with credentials that are really checked: from the set-up token of an empty store to a job of a
//! tenant's deployer.

use super::super::{Measured, router};
use crate::credentials::Kept;
use crate::serve::Prepared;
use crate::server::TenantRate;
use crate::testing::{self, Answer, Authority, Trust};
use crate::world::{World, name, package};
use lockgate_core::Digest;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::oneshot;

struct Site {
    world: World,
    folder: TempDir,
    /// Signs client certificates.
    authority: Authority,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Site {
    async fn start() -> Self {
        let world = World::empty().await;
        // Whoever checks credentials goes by the machine's clock.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        world.pass(i64::try_from(now).unwrap() - world.now().seconds());
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "client authority");
        let text = format!("[fair-use]\nprincipal-requests-per-second = 1000\n[tls]\nclient-ca = {:?}", authority.ca());
        let config = testing::config(folder.path(), &text);
        let directory = Kept::new(Arc::clone(&world.store));
        let service = Arc::clone(&world.service);
        let rate: TenantRate = Arc::new(move |tenant| service.own_request_rate(tenant));
        let prepared = Prepared::new(&config, directory, false).await.unwrap();
        let prepared = prepared.map_guard(|guard| guard.with_tenant_rate(rate));
        let address = prepared.addresses()[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = router(Arc::clone(&world.service), Arc::new(Measured::default()));
        tokio::spawn(prepared.run(routes, async move {
            let _ = stopped.await;
        }));
        Self { world, folder, authority, address, _stop: stop }
    }

    async fn send(&self, token: &str, line: &str, kind: &str, body: &[u8]) -> Answer {
        // A line may bring headers of its own.
        let (line, headers) = line.split_once('\n').unwrap_or((line, ""));
        let head = format!(
            "{line} HTTP/1.1\r\n{headers}Host: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        Trust::of(&self.folder.path().join("data/tls/ca.pem")).ask(self.address, &bytes).await
    }

    async fn json(&self, token: &str, line: &str, body: &Value) -> Answer {
        self.send(token, line, "application/json", body.to_string().as_bytes()).await
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(token, &format!("GET {path}"), "application/json", b"").await
    }

    /// Makes a member and a token for him; its text and id.
    async fn member(&self, by: &str, at: &str, who: &str, role: &str) -> (String, String) {
        let made = self.json(by, &format!("PUT {at}/members/{who}"), &json!({ "roles": [role] })).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let made = self.json(by, &format!("POST {at}/tokens"), &json!({ "principal": who })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let token: Value = serde_json::from_str(&made.body).unwrap();
        (token["token"].as_str().unwrap().to_owned(), token["id"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn from_the_set_up_token_to_a_job() {
    let site = Site::start().await;
    let setup = std::fs::read_to_string(site.folder.path().join("data/setup-token")).unwrap().trim().to_owned();
    assert_eq!(site.json(&setup, "POST /api/v1/tenants", &json!({ "name": "acme" })).await.status, 404);
    let (operator, _) = site.member(&setup, "/api/v1", "user:op", "operator").await;
    assert_eq!(site.get(&setup, "/api/v1/members").await.code(), "LG1113", "it has done its work");

    for tenant in ["acme", "bolt"] {
        site.world.tenant(tenant).await;
    }
    let tenant = "/api/v1/tenants/acme";
    let (admin, admin_id) = site.member(&operator, tenant, "user:ana", "tenant-admin").await;
    let (deployer, _) = site.member(&admin, tenant, "service:ci", "deployer").await;
    let (other, _) = site.member(&operator, "/api/v1/tenants/bolt", "user:eve", "tenant-admin").await;

    let package = package("acme", "late", 1, None, site.world.now());
    site.world.status("acme", [(name("late"), package.release().unwrap())].into()).await;
    let bytes = package.to_bytes().unwrap();
    let digest = Digest::of(&bytes);
    let put = format!("PUT {tenant}/bundles/{digest}");
    for (token, expected) in [(&other, 404), (&operator, 404), (&deployer, 201), (&deployer, 200)] {
        let answer = site.send(token, &put, "application/octet-stream", &bytes).await;
        assert_eq!(answer.status, expected, "{}", answer.body);
    }
    let job = site.json(&deployer, &format!("POST {tenant}/jobs"), &json!({ "bundle": digest })).await;
    assert_eq!(job.status, 201, "{}", job.body);
    for (token, expected) in [(&other, 404), (&operator, 200), (&deployer, 200), (&admin, 200)] {
        assert_eq!(site.get(token, &format!("{tenant}/jobs/late")).await.status, expected);
    }

    assert_eq!(site.send(&operator, &format!("DELETE {tenant}/tokens/{admin_id}"), "", b"").await.status, 204);
    assert_eq!(site.get(&admin, tenant).await.status, 401, "revoked, it is not taken from the next request on");
    let removed = site.send(&operator, "DELETE /api/v1/tenants/bolt/members/user:eve", "", b"").await;
    assert_eq!(removed.status, 403, "a tenant's members are the tenant's");
}

#[tokio::test]
async fn a_token_is_not_taken_beyond_its_time() {
    let site = Site::start().await;
    site.world.tenant("acme").await;
    site.world.pass(-3 * 86_400);
    let role = [crate::access::Role::Viewer];
    site.world.member(Some("acme"), "user:late", &role).await;
    let (tenant, late) = (name("acme"), "user:late".to_owned());
    let new = crate::service::tokens::NewToken { principal: Some(late), label: String::new(), days: 2, scopes: None };
    let made = site.world.service.create_token(&crate::world::admin("acme"), None, Some(&tenant), &new).await.unwrap();
    let answer = site.get(made.thing.text.unwrap().expose(), "/api/v1/whoami").await;
    assert_eq!((answer.status, answer.code()), (401, "LG1104"));
    let wrong = format!("lgt_{}", "a".repeat(40));
    assert_eq!(site.get(&wrong, "/api/v1/whoami").await.code(), "LG1105");
}

#[tokio::test]
async fn a_large_body_is_taken_where_it_belongs_only() {
    let site = Site::start().await;
    let setup = std::fs::read_to_string(site.folder.path().join("data/setup-token")).unwrap().trim().to_owned();
    let (operator, _) = site.member(&setup, "/api/v1", "user:op", "operator").await;
    let large = vec![b' '; 3 << 20];
    let answer = site.send(&operator, "POST /api/v1/tenants", "application/json", &large).await;
    assert_eq!((answer.status, answer.code()), (413, "LG1061"));
}

#[tokio::test]
async fn one_tenants_flood_is_held_to_its_own_quota_and_others_go_on() {
    let site = Site::start().await;
    for tenant in ["acme", "bolt"] {
        site.world.tenant(tenant).await;
    }
    let setup = std::fs::read_to_string(site.folder.path().join("data/setup-token")).unwrap().trim().to_owned();
    let (operator, _) = site.member(&setup, "/api/v1", "user:op", "operator").await;
    let (ana, _) = site.member(&operator, "/api/v1/tenants/acme", "user:ana", "tenant-admin").await;
    let (bob, _) = site.member(&operator, "/api/v1/tenants/bolt", "user:bob", "tenant-admin").await;
    let flood = async |token: &str| {
        for _ in 0..20 {
            let answer = site.get(token, "/api/v1/whoami").await;
            if answer.status != 200 {
                return Some(answer);
            }
        }
        None
    };
    assert!(flood(&ana).await.is_none(), "the default is 200 a second");
    let put = "PUT /api/v1/tenants/acme/quota";
    let set = site.json(&operator, put, &json!({ "set": { "requests-per-second": 0 } })).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let refused = flood(&ana).await.expect("the next request already is over it");
    assert_eq!((refused.status, refused.code()), (429, "LG1110"));
    let why = "quota requests-per-second of tenant acme is 0, 0 are used and 1 more is asked for";
    assert!(refused.body.contains(why), "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    assert!(flood(&bob).await.is_none(), "another tenant pays for it");
    assert!(flood(&operator).await.is_none(), "the operator pays for it");
    // After a restart as before.
    assert_eq!(site.world.reopened().await.own_request_rate(&name("acme")), Some(0));
    let tag = set.header("etag").unwrap();
    let line = format!("{put}\nIf-Match: {tag}\r\n");
    let set = site.json(&operator, &line, &json!({ "set": {} })).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert!(flood(&ana).await.is_none(), "it is taken away, and the default counts at once");
    assert_eq!(site.world.reopened().await.own_request_rate(&name("acme")), None);
}

#[tokio::test]
async fn a_certificate_is_its_members_from_the_next_request_on_and_no_longer_than_that() {
    let site = Site::start().await;
    for tenant in ["acme", "bolt"] {
        site.world.tenant(tenant).await;
    }
    let setup = std::fs::read_to_string(site.folder.path().join("data/setup-token")).unwrap().trim().to_owned();
    let (operator, _) = site.member(&setup, "/api/v1", "user:op", "operator").await;
    let (ana, _) = site.member(&operator, "/api/v1/tenants/acme", "user:ana", "tenant-admin").await;
    let (bob, _) = site.member(&operator, "/api/v1/tenants/bolt", "user:bob", "tenant-admin").await;
    site.member(&ana, "/api/v1/tenants/acme", "service:ci", "deployer").await;
    let trust = Trust::of(&site.folder.path().join("data/tls/ca.pem"));
    let trust = trust.with(site.authority.issue("ci", &["spiffe://example.org/ci"]));
    let whoami = async || {
        let request = "GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        trust.ask(site.address, request.as_bytes()).await
    };
    let (path, of) =
        ("/api/v1/tenants/acme/certificates/spiffe:%2F%2Fexample.org%2Fci", json!({ "principal": "service:ci" }));
    let put = |by: &str, path: &str, body: &Value| {
        let (site, by, line, body) = (&site, by.to_owned(), format!("PUT {path}"), body.clone());
        async move { site.json(&by, &line, &body).await }
    };
    assert_eq!(whoami().await.code(), "LG1103", "it is nobody's");
    assert_eq!(put(&ana, path, &of).await.code(), "LG1101", "which name is whose is the operator's to say");
    assert_eq!(put(&bob, path, &of).await.code(), "LG1102");
    let nobody = json!({ "principal": "service:nobody" });
    assert_eq!(put(&operator, path, &nobody).await.code(), "LG1102");
    for bad in ["no-uri", "a:%20b", "a:%0A", &format!("a:{}", "x".repeat(255))] {
        let answer = put(&operator, &format!("/api/v1/tenants/acme/certificates/{bad}"), &of).await;
        assert_eq!((answer.status, answer.code()), (400, "LG1001"), "{bad}");
    }
    let mapped = put(&operator, path, &of).await;
    assert_eq!(mapped.status, 200, "{}", mapped.body);
    let answer = whoami().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"service:ci\"") && answer.body.contains("\"acme\""), "{}", answer.body);
    assert_eq!(put(&operator, path, &of).await.status, 200, "once more it is the same");
    let elsewhere = path.replace("acme", "bolt");
    let taken = put(&operator, &elsewhere, &json!({ "principal": "user:bob" })).await;
    assert_eq!((taken.status, taken.code()), (409, "LG1011"));
    let listed = site.get(&ana, "/api/v1/tenants/acme/certificates?name=service").await;
    assert!(listed.body.contains("spiffe://example.org/ci"), "{}", listed.body);
    assert_eq!(site.get(&bob, "/api/v1/tenants/bolt/certificates").await.body, "{\"items\":[]}");
    // By whoever may not, in the wrong place, by the tenant itself.
    let delete = |by: &str, path: &str| {
        let (site, by, line) = (&site, by.to_owned(), format!("DELETE {path}"));
        async move { site.send(&by, &line, "", b"").await }
    };
    assert_eq!(delete(&bob, path).await.code(), "LG1102");
    assert_eq!(delete(&bob, &elsewhere).await.code(), "LG1102");
    assert_eq!(whoami().await.status, 200);
    assert_eq!(delete(&ana, path).await.status, 204);
    assert_eq!(whoami().await.code(), "LG1103", "it is taken no more");
    assert_eq!(delete(&ana, path).await.code(), "LG1102");
    // Whoever is removed does not come back with his certificate when he is a member again.
    assert_eq!(put(&operator, path, &of).await.status, 200);
    assert_eq!(delete(&ana, "/api/v1/tenants/acme/members/service:ci").await.status, 204);
    site.member(&ana, "/api/v1/tenants/acme", "service:ci", "viewer").await;
    assert_eq!(whoami().await.code(), "LG1103");
    let log = site.get(&operator, "/api/v1/audit?limit=1000").await.body;
    for event in ["map-certificates", "revoke-tokens", "detail_certificates\":\"1"] {
        assert!(log.contains(event), "{event} is not in the audit log");
    }
}
