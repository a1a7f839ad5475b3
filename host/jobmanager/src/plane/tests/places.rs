//! Places: what every request is asked for, and what becomes of whoever loses his place.

use super::*;
use crate::model::taskmanager::State;
use crate::reconcile::Observed;
use crate::service::changes::Precondition;
use crate::world::request;
use lockgate_core::UnixMillis;
use lockgate_core::error::code;
use lockgate_core::placement::{Availability, TaskManager};
use rustls::pki_types::pem::PemObject as _;
use std::collections::BTreeSet;

#[tokio::test]
async fn versions_that_are_too_far_apart_are_refused_both_ways() {
    let site = Site::start("").await;
    let files = site.joined("tm-1").await;
    let ask = async |request: String| site.trust().with(files.clone()).ask(site.plane, request.as_bytes()).await;
    for version in ["1.0", "1.1"] {
        let answer = ask(text("/who", version, "close")).await;
        assert_eq!(
            (answer.status, answer.header(HEADER)),
            (200, Some(Version::OURS.to_string().as_str())),
            "{version}"
        );
    }
    for version in ["1.2", "2.0", "0.1", "", "x", "1.0\r\nlockgate-plane: 1.0"] {
        let answer = ask(text("/who", version, "close")).await;
        assert_eq!((answer.status, answer.code()), (426, "LG1400"), "{version:?}");
        assert_eq!(answer.header(HEADER), Some("1.0"), "the other side is not told what is spoken here");
    }
    let none = "GET /who HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned();
    assert_eq!(ask(none).await.code(), "LG1400");
}

#[tokio::test]
async fn what_is_no_route_is_told_so_and_bodies_are_bounded() {
    let site = Site::start("").await;
    let files = site.joined("tm-1").await;
    assert_eq!(site.get(&files, "/api/v1/whoami").await.code(), "LG1102");
    assert_eq!(site.get(&files, path::CERTIFICATE).await.status, 405);
    let mut stream = site.connect(&files).await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\n{HEADER}: 1.0\r\ncontent-length: {}\r\n\r\n",
        path::CERTIFICATE,
        64 << 20
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert_eq!((answer.status, answer.code(), answer.header("connection")), (413, "LG1061", Some("close")));
    let mut stream = site.connect(&files).await;
    let (status, body) = site.renew(&mut stream, "x").await;
    assert!(status == 422 && body.contains("LG1403"), "{status} {body}");
}

#[tokio::test]
async fn a_certificate_that_expires_on_an_open_connection_does_not_count() {
    let site = Site::start("").await;
    let files = site.joined("tm-1").await;
    let mut stream = site.connect(&files).await;
    assert_eq!(who(&mut stream).await, (200, "tm-1".to_owned()));
    site.world.pass(86_399);
    assert_eq!(who(&mut stream).await.0, 200);
    site.world.pass(1);
    let (status, body) = who(&mut stream).await;
    assert!(status == 403 && body.contains("LG1401"), "{status} {body}");
}

#[tokio::test]
async fn a_certificate_is_renewed_without_dropping_a_connection() {
    let site = Site::start("").await;
    let files = site.joined("tm-1").await;
    let (mut stream, mut waiting) = (site.connect(&files).await, site.connect(&files).await);
    site.wait_on(&mut waiting).await;
    site.world.pass(57_600);
    let (key, request) = request();
    let (status, body) = site.renew(&mut stream, &request).await;
    assert_eq!(status, 200, "{body}");
    let next: Certificate = serde_json::from_str(&body).unwrap();
    assert_eq!(who(&mut stream).await, (200, "tm-1".to_owned()), "the present one ended early");
    site.world.pass(28_800);
    assert_eq!(who(&mut stream).await.0, 403, "the former one counts for ever");
    // Issued by a clock that is ahead of the machine's here: TLS takes it as soon as that has come.
    let der = rustls::pki_types::CertificateDer::from_pem_slice(next.chain.as_bytes()).unwrap();
    let identity = super::super::Identity::of(&der, site.world.service.domain()).unwrap();
    site.world.service.admitted(&identity).await.unwrap();
    site.world.pass(57_600);
    assert_eq!(site.world.service.admitted(&identity).await.unwrap_err().code(), code::PLANE_REFUSED);
    // The one that waits was asked when it came.
    let mut byte = [0];
    assert!(tokio::time::timeout(std::time::Duration::ZERO, waiting.read(&mut byte)).await.is_err(), "it was dropped");
    assert!(!key.is_empty());
}

#[tokio::test]
async fn a_new_certificate_opens_a_connection_of_its_own() {
    let site = Site::start("").await;
    let files = site.joined("tm-1").await;
    let mut stream = site.connect(&files).await;
    let (key, request) = request();
    let next: Certificate = serde_json::from_str(&site.renew(&mut stream, &request).await.1).unwrap();
    let files = site.files(&key, &next.chain);
    assert_eq!(site.get(&files, "/who").await.body, "tm-1");
    assert_eq!(who(&mut stream).await.0, 200);
    // As many as count at once, and not one more.
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(site.renew(&mut stream, &request).await.0);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 429]);
    assert!(audited(&site).await.contains("renew-certificate"));
}

#[tokio::test]
async fn whoever_is_revoked_is_cut_off_at_once_and_nobody_else() {
    let site = Site::start("").await;
    let (bad, good) = (site.joined("tm-bad").await, site.joined("tm-good").await);
    let (mut pending, mut idle, mut other) =
        (site.connect(&bad).await, site.connect(&bad).await, site.connect(&good).await);
    assert_eq!(who(&mut idle).await.0, 200);
    site.wait_on(&mut pending).await;
    site.wait_on(&mut other).await;
    let service = &site.world.service;
    for state in [State::Cordoned, State::Draining, State::Active] {
        service.set_taskmanager(&operator(), &name("tm-bad"), state, Precondition::Unstated).await.unwrap();
        assert_eq!(who(&mut idle).await.0, 200, "{state:?}");
    }
    service.set_taskmanager(&operator(), &name("tm-bad"), State::Revoked, Precondition::Unstated).await.unwrap();
    for stream in [&mut pending, &mut idle] {
        assert_eq!(rest(stream).await.status, 0, "what is open goes on");
    }
    let refused = site.get(&bad, "/who").await;
    assert_eq!((refused.status, refused.code()), (403, "LG1401"), "it is not told why");
    assert_eq!(site.get(&good, "/who").await.status, 200);
    let mut byte = [0];
    assert!(
        tokio::time::timeout(std::time::Duration::ZERO, other.read(&mut byte)).await.is_err(),
        "another was cut off"
    );
    let back = service.set_taskmanager(&operator(), &name("tm-bad"), State::Active, Precondition::Unstated).await;
    assert_eq!(back.unwrap_err().code(), code::WRONG_STATE);
}

#[tokio::test]
async fn only_who_is_revoked_or_lost_is_removed() {
    let site = Site::start("").await;
    let files = site.joined("tm-1").await;
    let service = &site.world.service;
    let remove = async || service.remove_taskmanager(&operator(), &name("tm-1"), Precondition::Unstated).await;
    let offer =
        TaskManager { name: name("tm-1"), state: Availability::Active, slots: 1, memory: 1, volumes: BTreeSet::new() };
    let now = UnixMillis::from(site.world.now());
    let observed = Observed { offer, heard: now, told: now, tasks: Vec::new(), session: String::new() };
    service.fleet().update(&name("tm-1"), |seen| *seen = Some(observed));
    assert_eq!(remove().await.unwrap_err().code(), code::WRONG_STATE);
    site.world.pass(59);
    assert_eq!(remove().await.unwrap_err().code(), code::WRONG_STATE);
    // Twice as long as a lease is.
    site.world.pass(1);
    let mut open = site.connect(&files).await;
    assert_eq!(who(&mut open).await.0, 200);
    remove().await.unwrap();
    let state = service.fleet().observed(&name("tm-1")).map(|seen| seen.offer.state);
    assert_eq!(state, Some(Availability::Lost), "something may be placed there still");
    assert_eq!(rest(&mut open).await.status, 0);
    assert_eq!(remove().await.unwrap_err().code(), code::NO_TASKMANAGER);
    assert_eq!(site.get(&files, "/who").await.code(), "LG1401");
    service.forget_taskmanagers().await.unwrap();
    assert!(service.fleet().names().is_empty());
}

#[tokio::test]
async fn a_change_that_comes_too_late_is_refused() {
    let site = Site::start("").await;
    site.joined("tm-1").await;
    let service = &site.world.service;
    let seen = service.taskmanager(&operator(), &name("tm-1")).await.unwrap().revision;
    let set = async |revision| {
        let wanted = Precondition::Revision(revision);
        service.set_taskmanager(&operator(), &name("tm-1"), State::Cordoned, wanted).await
    };
    set(seen).await.unwrap();
    assert_eq!(set(seen).await.unwrap_err().code(), code::PRECONDITION_FAILED);
    let none = service.taskmanager(&operator(), &name("tm-2")).await.unwrap_err();
    assert_eq!(none.code(), code::NO_TASKMANAGER);
    let admin = service.taskmanager(&crate::world::admin("acme"), &name("tm-1")).await.unwrap_err();
    assert_eq!(admin.code(), code::NOT_FOUND);
}
