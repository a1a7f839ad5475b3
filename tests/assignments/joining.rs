//! Joining: what a JobManager gives to who joins, and later to who renews, is held to what was asked for.

use super::authority::Authority;
use super::jobmanager::{JobManager, domain};
use super::papers::Operator;
use super::stage::{Harmless, Site};
use super::taskmanager::TaskManager;
use super::wire::{Answer, How, Request};
use crate::harness::suite::Ended;
use lockgate_core::plane::{Join, jobmanager_uri, taskmanager_uri};
use serde_json::{Value, json};
use std::time::Duration;

const GROUP: &str = "joining";
/// What a certificate is refused with that is not what was asked for, and messages that are not understood.
const REFUSED: &[&str] = &["LG1422"];
const NOT_UNDERSTOOD: &[&str] = &["LG1405", "LG1422", "LG1406"];

pub fn outcomes() -> Vec<Ended> {
    let mut ended = Vec::new();
    for (name, codes, lie) in lies() {
        let result = attempt(codes, lie);
        if let Err(why) = &result {
            eprintln!("{GROUP}, {name}: {why}");
        }
        let verdict = format!("refused {}", codes.join(" or "));
        ended.push(Ended { group: GROUP, name: name.into(), verdict, billed: "nobody", result });
    }
    let result = of_another_authority();
    let verdict = "refused LG1075".to_owned();
    ended.push(Ended { group: GROUP, name: "an API of another authority".into(), verdict, billed: "nobody", result });
    ended.extend(renewing());
    ended
}

type Change = fn(&Authority, &Join, &mut Value);

/// Each with the codes of which one must be said, and what is changed of an honest answer.
fn lies() -> Vec<(&'static str, &'static [&'static str], Change)> {
    fn uri() -> String {
        taskmanager_uri(&domain(), &"tm".parse().expect("a name"))
    }
    vec![
        ("a certificate for another key", REFUSED, |authority, _, joined| {
            joined["certificate"]["chain"] = json!(authority.identity(&[&uri()]).chain);
        }),
        ("a certificate for another name", REFUSED, |authority, join, joined| {
            let other = taskmanager_uri(&domain(), &"other".parse().expect("a name"));
            joined["certificate"]["chain"] = json!(authority.grant(&join.request, &[&other]));
        }),
        ("a certificate of the JobManager's", REFUSED, |authority, join, joined| {
            joined["certificate"]["chain"] = json!(authority.grant(&join.request, &[&jobmanager_uri(&domain())]));
        }),
        ("a certificate of two names", REFUSED, |authority, join, joined| {
            let both = [uri(), jobmanager_uri(&domain())];
            joined["certificate"]["chain"] = json!(authority.grant(&join.request, &[&both[0], &both[1]]));
        }),
        ("a certificate of no name", REFUSED, |authority, join, joined| {
            joined["certificate"]["chain"] = json!(authority.grant(&join.request, &[]));
        }),
        ("a certificate of another authority than is named", REFUSED, |_, join, joined| {
            joined["certificate"]["chain"] = json!(Authority::new("plane").grant(&join.request, &[&uri()]));
        }),
        ("an authority that is none", REFUSED, |_, _, joined| joined["authority"] = json!("nobody")),
        ("no authority", REFUSED, |_, _, joined| joined["authority"] = json!("")),
        ("no certificate", REFUSED, |_, _, joined| joined["certificate"]["chain"] = json!("")),
        ("a chain of 1,000 certificates", REFUSED, |authority, join, joined| {
            joined["certificate"]["chain"] = json!(authority.grant(&join.request, &[&uri()]).repeat(300));
        }),
        ("another name", REFUSED, |_, _, joined| joined["name"] = json!("other")),
        ("a name that is a path", NOT_UNDERSTOOD, |_, _, joined| joined["name"] = json!("../../etc")),
        ("another trust domain", REFUSED, |_, _, joined| joined["domain"] = json!("other.test")),
        ("a plane that is nowhere", NOT_UNDERSTOOD, |_, _, joined| joined["plane"] = json!(["../../x", "a b:0"])),
        ("a plane of 100,000 addresses", NOT_UNDERSTOOD, |_, _, joined| {
            joined["plane"] = (0..100_000).map(|n| json!(format!("host-{n}.test:1"))).collect();
        }),
        ("an answer without end", NOT_UNDERSTOOD, |_, _, joined| *joined = json!("endless")),
        ("an answer that is nested", NOT_UNDERSTOOD, |_, _, joined| *joined = json!("nested")),
        ("another message", NOT_UNDERSTOOD, |_, _, joined| *joined = json!({ "hello": 1 })),
        ("the way elsewhere", &["LG1405", "LG1076"], |_, _, joined| *joined = json!("elsewhere")),
    ]
}

fn changed(change: Change, request: &Request, mut honest: Answer, authority: &Authority) -> Answer {
    let mut joined: Value = serde_json::from_slice(&honest.body).expect("JSON");
    change(authority, &request.json(), &mut joined);
    match joined.as_str() {
        Some("endless") => honest.with(vec![b' '; 1 << 16]).how(How::Endless(Duration::ZERO)),
        Some("nested") => honest.with("[".repeat(100_000)),
        Some("elsewhere") => {
            honest.headers.push(("location".into(), "https://127.0.0.1:1/".into()));
            honest.with("").status(307)
        }
        _ => {
            let body = joined.to_string();
            honest.with(body)
        }
    }
}

/// It ends with one of these codes, has kept nothing, and has said nothing on the plane.
fn attempt(codes: &[&str], change: Change) -> Result<(), String> {
    let jobmanager = JobManager::start();
    let authority = jobmanager.authority_again();
    jobmanager.lie(move |request, honest| match request.route() {
        "join" => changed(change, request, honest, &authority),
        _ => honest,
    });
    refused(&jobmanager, codes)
}

/// The API's certificate is of another authority than the configuration names: the token is not even sent.
fn of_another_authority() -> Result<(), String> {
    let mut jobmanager = JobManager::start();
    jobmanager.ca = Authority::new("api").pem;
    refused(&jobmanager, &["LG1075"])?;
    let asked = jobmanager.change(|state| state.seen.len());
    if asked == 0 { Ok(()) } else { Err("it asked all the same".into()) }
}

fn refused(jobmanager: &JobManager, codes: &[&str]) -> Result<(), String> {
    let mut taskmanager = TaskManager::start(jobmanager, &Operator::new(7), "");
    let status = taskmanager.ended();
    let log = taskmanager.log();
    let said = log.join("\n");
    if status.success() || !codes.iter().any(|code| said.contains(code)) {
        return Err(format!("{status}: {log:#?}"));
    }
    if said.contains("0123456789abcdef") {
        return Err(format!("the token stands in {log:#?}"));
    }
    if taskmanager.files("state").keys().any(|path| path.ends_with("identity")) {
        return Err("it kept what it refused".into());
    }
    let heartbeats = jobmanager.change(|state| state.heartbeats);
    if heartbeats == 0 { Ok(()) } else { Err("it went to the plane with it".into()) }
}

/// Certificates that are given instead of the next one: the present one stays, and all goes on.
fn renewing() -> Vec<Ended> {
    let lies: [(&str, Change); 3] = [
        ("the next certificate for another key", |authority, _, next| {
            let uri = taskmanager_uri(&domain(), &"tm".parse().expect("a name"));
            next["chain"] = json!(authority.identity(&[&uri]).chain);
        }),
        ("the next certificate for another name", |authority, join, next| {
            next["chain"] = json!(authority.grant(&join.request, &[&jobmanager_uri(&domain())]));
        }),
        ("no next certificate", |_, _, next| next["chain"] = json!("")),
    ];
    let mut ended = Vec::new();
    for (name, change) in lies {
        let jobmanager = JobManager::start();
        jobmanager.change(|state| state.renew_after = 1);
        let authority = jobmanager.authority_again();
        let mut site = Site::of(jobmanager, "");
        site.case(GROUP, name, Harmless, move |site, _| {
            site.jobmanager.lie(move |request, honest| {
                if request.route() != "certificate" {
                    return honest;
                }
                let mut next: Value = serde_json::from_slice(&honest.body).expect("JSON");
                let asked: Value = request.json();
                let request = asked["request"].as_str().expect("a request").to_owned();
                change(&authority, &Join { name: "tm".parse().expect("a name"), request }, &mut next);
                let body = next.to_string();
                honest.with(body)
            });
            let refused = || site.taskmanager.log().iter().any(|line| line.contains("LG1422")).then_some(());
            site.jobmanager.poll("a refusal of the certificate", refused)
        });
        ended.append(&mut site.ended);
    }
    ended
}
