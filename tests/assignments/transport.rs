//! Whoever answers on the plane's address and is not the JobManager, or speaks as nobody does any more.

use super::authority::{Authority, Identity, Speaks};
use super::jobmanager::domain;
use super::stage::{Delayed, Harmless, Ignored, Site};
use lockgate_core::plane::{jobmanager_uri, taskmanager_uri};
use rcgen::{ExtendedKeyUsagePurpose, IsCa};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const GROUP: &str = "transport";

pub fn cases(site: &mut Site) {
    servers(site);
    versions(site);
}

fn servers(site: &mut Site) {
    let domain = domain();
    let jobmanager = jobmanager_uri(&domain);
    let taskmanager = taskmanager_uri(&domain, &"tm".parse().expect("a name"));
    let other = Authority::new("plane");
    let ours = site.jobmanager.authority();
    let expired = ours.identity_with(&[&jobmanager], |params| {
        params.not_before = time::OffsetDateTime::now_utc() - Duration::from_secs(7_200);
        params.not_after = time::OffsetDateTime::now_utc() - Duration::from_secs(3_600);
    });
    let clients_only = ours.identity_with(&[&jobmanager], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let below = ours.identity_with(&[&jobmanager], |params| params.is_ca = IsCa::ExplicitNoCa);
    let identities: Vec<(&str, Identity)> = vec![
        ("a certificate of another authority", other.identity(&[&jobmanager])),
        ("a TaskManager's certificate", ours.identity(&[&taskmanager])),
        ("a certificate of no name", ours.identity(&[])),
        ("a certificate of another cluster", ours.identity(&["spiffe://other.test/jobmanager"])),
        ("a certificate of both sides", ours.identity(&[&jobmanager, &taskmanager])),
        ("a certificate of a longer name", ours.identity(&[&format!("{jobmanager}/x")])),
        ("a certificate that has expired", expired),
        ("a certificate for clients only", clients_only),
        ("a certificate below another one", chained(&below, &other.identity(&[&jobmanager]))),
    ];
    let mut speaks: Vec<(String, Arc<rustls::ServerConfig>)> = Vec::new();
    for (name, identity) in &identities {
        let config = Speaks { identity, versions: &[&TLS13], clients: Some(ours) }.config();
        speaks.push(((*name).to_owned(), config));
    }
    let good = ours.identity(&[&jobmanager]);
    let old = Speaks { identity: &good, versions: &[&TLS12], clients: Some(ours) }.config();
    speaks.push(("nothing newer than TLS 1.2".into(), old));
    for (name, config) in speaks {
        site.case(GROUP, &name, Harmless, move |site, _| impostor(site, config));
    }
}

/// The leaf of one authority with another authority's above it.
fn chained(above: &Identity, leaf: &Identity) -> Identity {
    Identity { chain: format!("{}{}", leaf.chain, above.chain), key: leaf.key.clone() }
}

/// Nothing is said to whoever speaks so; once the JobManager is back, all goes on.
fn impostor(site: &mut Site, config: Arc<rustls::ServerConfig>) -> Result<(), String> {
    let plane = &site.jobmanager.plane;
    let before = plane.failed();
    let heard = site.jobmanager.change(|state| {
        state.seen.clear();
        state.heartbeats
    });
    plane.speak(config);
    let tried = site.jobmanager.poll("two attempts", || (plane.failed() >= before + 2).then_some(()));
    let said = site.jobmanager.change(|state| state.heartbeats - heard + state.seen.len() as u64);
    plane.speak(site.jobmanager.good());
    tried?;
    // One that was under way when the connection ended may have come in before that.
    if said > 1 {
        return Err(format!("{said} requests were made to it"));
    }
    site.jobmanager.beats(1)
}

fn versions(site: &mut Site) {
    for version in ["0.9", "1.2", "2.0", "1", "1.0.0", "", "-1.0", "1.99999999999", "latest"] {
        site.case(GROUP, &format!("version {version:?} of the plane"), Ignored, move |site, _| {
            site.jobmanager.lie(move |_, honest| honest.header("lockgate-plane", version));
            Ok(())
        });
    }
    site.case(GROUP, "no version of the plane", Ignored, |site, _| {
        site.jobmanager.lie(|_, mut honest| {
            honest.headers.retain(|(name, _)| name != "lockgate-plane");
            honest
        });
        Ok(())
    });
    site.case(GROUP, "another version for documents only", Delayed, |site, _| {
        site.lie_at("trust", |_, honest| honest.header("lockgate-plane", "2.0"));
        Ok(())
    });
    // Not hostile, but the same cluster half-way through an upgrade.
    site.case(GROUP, "a JobManager one minor version newer", Harmless, |site, _| {
        site.jobmanager.lie(|request, honest| {
            let honest = honest.header("lockgate-plane", "1.1");
            // Signed documents are of no version of the plane, and bundles no messages.
            let message = (request.route() != "trust").then(|| serde_json::from_slice::<Value>(&honest.body).ok());
            let Some(mut value) = message.flatten() else { return honest };
            add(&mut value);
            let body = value.to_string();
            honest.with(body)
        });
        Ok(())
    });
    site.case(GROUP, "a JobManager that knows no optional field", Harmless, |site, _| {
        site.jobmanager.lie(|request, honest| {
            let Ok(mut value) = serde_json::from_slice::<Value>(&honest.body) else { return honest };
            match request.route() {
                "heartbeat" => {
                    let orders = value.as_object_mut().expect("orders");
                    orders.retain(|key, _| ["revision", "lease_ms", "assignments"].contains(&key.as_str()));
                    for assignment in orders["assignments"].as_array_mut().expect("assignments") {
                        let assignment = assignment.as_object_mut().expect("an assignment");
                        let optional = ["fallback_of", "parameters", "fuel_per_second", "drain", "documents"];
                        assignment.retain(|key, _| !optional.contains(&key.as_str()));
                    }
                }
                // That nothing is left has to be said.
                "claim" => {
                    value.as_object_mut().expect("an answer").retain(|key, value| key == "split" || !value.is_null())
                }
                _ => {}
            }
            let body = value.to_string();
            honest.with(body)
        });
        Ok(())
    });
}

/// Adds a field that nobody knows to every object but the maps by name.
fn add(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if !["parameters", "slots", "operators", "job"].contains(&key.as_str()) {
                    add(value);
                }
            }
            // Names of versions are what they are and take no further fields, as those of jobs do.
            if !fields.contains_key("digest") {
                fields.insert("later".into(), json!({ "than": ["this", 1.5, null] }));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(add),
        _ => {}
    }
}
