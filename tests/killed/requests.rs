//! What a tenant's administrator and the operator ask for, each change with the requests that it takes.

use super::driver::Client;
use super::https::{Answer, Https};
use crate::harness::signed::{self, Domain};
use lockgate_core::{Digest, Name};
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A tenant with its administrator's token and what it signs.
#[derive(Clone)]
pub struct Tenant {
    pub name: Name,
    pub token: String,
    pub domain: Arc<Domain>,
}

/// A number that no version had before.
pub fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(10);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Change {
    Create { job: u64, version: u64, weight: u64 },
    Upgrade { job: u64, version: u64 },
    Set { job: u64, weight: u64 },
    Label { job: u64, label: u64 },
    Cancel { job: u64 },
    Stop { job: u64 },
    Delete { job: u64 },
    Token { label: u64 },
    Revoke { label: u64 },
    Quota { value: u64, first: bool },
}

/// A tenant's connection, and the operator's.
pub struct Connection {
    pub address: SocketAddr,
    pub tls: Arc<ClientConfig>,
    pub operator: String,
    pub tenant: Tenant,
    pub own: Option<Https>,
}

fn weight(weight: u64) -> Value {
    json!({ "weight": format!("0.{weight:02}") })
}

impl Client<Change> for Connection {
    fn ask(&mut self, change: &Change) -> bool {
        self.try_ask(change).is_some()
    }
}

impl Connection {
    fn try_ask(&mut self, change: &Change) -> Option<()> {
        let mut own = match self.own.take() {
            Some(own) => own,
            None => Https::connect(self.address, &self.tls, &self.tenant.token)?,
        };
        let at = format!("/api/v1/tenants/{}", self.tenant.name);
        let job = |job: &u64| format!("{at}/jobs/job-{job}");
        let expect = |answer: Answer, status: u16| {
            assert_eq!(answer.status, status, "{change:?}: {}", answer.body);
        };
        match change {
            Change::Create { job, version, weight: hundredths } => {
                let bundle = self.publish(&mut own, *job, *version)?;
                let body = json!({ "bundle": bundle, "parameters": weight(*hundredths) });
                expect(own.json(&format!("POST {at}/jobs"), &[], &body)?, 201);
            }
            Change::Upgrade { job: number, version } => {
                let bundle = self.publish(&mut own, *number, *version)?;
                expect(own.json(&format!("POST {}/upgrade", job(number)), &[], &json!({ "bundle": bundle }))?, 200);
            }
            Change::Set { job: number, weight: hundredths } => {
                let body = json!({ "parameters": weight(*hundredths) });
                expect(own.json(&format!("POST {}/upgrade", job(number)), &[], &body)?, 200);
            }
            Change::Label { job: number, label } => {
                let body = json!({ "labels": { "n": label.to_string() } });
                expect(own.json(&format!("PATCH {}", job(number)), &[("If-Match", "*")], &body)?, 200);
            }
            Change::Cancel { job: number } => {
                expect(own.json(&format!("POST {}/cancel", job(number)), &[], &Value::Null)?, 200);
            }
            Change::Stop { job: number } => {
                expect(own.json(&format!("POST {}/stop", job(number)), &[], &Value::Null)?, 200);
            }
            Change::Delete { job: number } => {
                // It has to end first, which is the reconciler's to see to, and which an event tells.
                let mut events = None;
                loop {
                    let answer = own.json(&format!("DELETE {}", job(number)), &[], &Value::Null)?;
                    if answer.status == 204 {
                        break;
                    }
                    let code = answer.json()["code"].as_str().map(str::to_owned);
                    assert_eq!((answer.status, code.as_deref()), (409, Some("LG1012")), "{}", answer.body);
                    let events = match &mut events {
                        Some(events) => events,
                        none => {
                            let other = Https::connect(self.address, &self.tls, &self.tenant.token)?;
                            none.insert(other.follow(&format!("{}/events/stream", job(number)))?)
                        }
                    };
                    events.next()?;
                }
            }
            Change::Token { label } => {
                let body = json!({ "label": label.to_string(), "days": 1 });
                expect(own.json(&format!("POST {at}/tokens"), &[], &body)?, 201);
            }
            Change::Revoke { label } => {
                let id = self.token(&mut own, &at, *label)?;
                expect(own.json(&format!("DELETE {at}/tokens/{id}"), &[], &Value::Null)?, 204);
            }
            Change::Quota { value, first } => {
                let mut operator = Https::connect(self.address, &self.tls, &self.operator)?;
                let replaces: &[(&str, &str)] = if *first { &[] } else { &[("If-Match", "*")] };
                let body = json!({ "set": { "tokens": value } });
                expect(operator.json(&format!("PUT {at}/quota"), replaces, &body)?, 200);
            }
        }
        self.own = Some(own);
        Some(())
    }

    /// Makes a version the current one of its job and uploads its bundle; the bundle's digest.
    fn publish(&self, own: &mut Https, job: u64, version: u64) -> Option<String> {
        let (tenant, name) = (&self.tenant.name, format!("job-{job}"));
        let papers = self.tenant.domain.tenant(tenant);
        let package = papers.sign(signed::draft(tenant, &name, version), None);
        let status = papers.sign_status(papers.releasing(&[&package], next_version())).to_json().expect("JSON");
        let bytes = package.to_bytes().expect("a bundle");
        let digest = Digest::of(&bytes);
        let at = format!("/api/v1/tenants/{tenant}");
        let answer = own.send(&format!("POST {at}/trust/status"), "application/json", &[], &status)?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer = own.send(&format!("PUT {at}/bundles/{digest}"), "application/octet-stream", &[], &bytes)?;
        assert!([200, 201].contains(&answer.status), "{}", answer.body);
        Some(digest.to_string())
    }

    /// The id of the token with this label.
    fn token(&self, own: &mut Https, at: &str, label: u64) -> Option<String> {
        let (mut cursor, label) = (String::new(), label.to_string());
        loop {
            let page = own.send(&format!("GET {at}/tokens?limit=200{cursor}"), "", &[], b"")?.json();
            let mut tokens = page["items"].as_array().expect("tokens").iter();
            if let Some(found) = tokens.find(|token| token["label"] == *label) {
                return Some(found["id"].as_str().expect("an id").to_owned());
            }
            cursor = format!("&cursor={}", page["next"].as_str().expect("the token is there"));
        }
    }
}
