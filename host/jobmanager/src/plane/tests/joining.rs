//! Joining: a token lets one TaskManager join, once, and nothing else does.

use super::*;
use crate::access::Role;
use crate::credentials::token::{JOIN_PREFIX, assemble};
use crate::service::{Filter, IdempotencyKey};
use crate::world::request;
use std::time::Duration;

#[tokio::test]
async fn a_join_token_lets_one_taskmanager_join_once_and_nothing_else() {
    let log = testing::log();
    let site = Site::start("[fair-use]\nfailures = 1000\n").await;
    let (id, token) = site.world.join_token(None).await;
    let (key, request) = request();
    // It opens nothing else, not even what everybody may see, and nothing of it is lost by trying.
    for line in ["GET /api/v1/whoami", "GET /api/v1/version", "GET /api/v1/taskmanagers", "GET /api/v1/join-tokens"] {
        let answer = site.ask_api(&token, line, "").await;
        assert_eq!((answer.status, answer.code()), (401, "LG1103"), "{line}");
    }
    for path in
        ["/api/v1/taskmanagers/jo%69n", "/api/v1/taskmanagers/join/", "/api/v1/taskmanagers/../taskmanagers/join"]
    {
        assert_eq!(site.ask_api(&token, &format!("POST {path}"), "{}").await.status, 401, "{path}");
    }
    let answer = joined(&site.join(&token, "tm-1", &request).await);
    assert_eq!(
        (answer.name.as_str(), answer.domain.as_str()),
        ("tm-1", site.world.service.domain().to_string().as_str())
    );
    assert!(answer.plane.contains(&format!("localhost:{}", site.plane.port())), "{:?}", answer.plane);
    assert_eq!(answer.certificate.renew_after_seconds, 57_600);
    assert_eq!(answer.authority, std::fs::read_to_string(site.world.folder.path().join("plane/ca.pem")).unwrap());
    let files = site.files(&key, &answer.certificate.chain);
    assert_eq!(site.get(&files, "/who").await.body, "tm-1");
    // Used, it is gone, for the same name too.
    for called in ["tm-2", "tm-1"] {
        let again = site.join(&token, called, &request).await;
        assert_eq!((again.status, again.code()), (401, "LG1402"), "{again:?}");
    }
    let secret = token.split('_').nth(2).unwrap();
    let log_of_audit = audited(&site).await;
    assert!(
        log_of_audit.contains(&format!("join:{id}")) && log_of_audit.contains("task-manager/tm-1"),
        "{log_of_audit}"
    );
    assert!(!log_of_audit.contains(secret) && !log().contains(secret), "the secret is written down");
}

#[tokio::test]
async fn what_is_no_join_token_of_ours_lets_nobody_join() {
    let site = Site::start("[fair-use]\nfailures = 1000\n").await;
    let (id, token) = site.world.join_token(None).await;
    site.world
        .service
        .set_member(
            &operator(),
            None,
            "user:op",
            &[Role::Operator].into(),
            crate::service::changes::Precondition::Unstated,
        )
        .await
        .unwrap();
    let new = crate::service::tokens::NewToken {
        principal: Some("user:op".into()),
        label: String::new(),
        days: 1,
        scopes: None,
    };
    let operators = site.world.service.create_token(&operator(), None, None, &new).await.unwrap().thing.text.unwrap();
    let forged = assemble(JOIN_PREFIX, &id, &"a".repeat(52));
    let unknown = assemble(JOIN_PREFIX, &"b".repeat(16), token.split('_').nth(2).unwrap());
    let cut_off = &token[..token.len() - 1];
    let request = request().1;
    for (credential, code) in [
        (operators.expose().as_str(), "LG1402"),
        (&forged, "LG1402"),
        (&unknown, "LG1402"),
        (cut_off, "LG1105"),
        ("eyJhbGciOiJub25lIn0.e30.", "LG1402"),
    ] {
        let answer = site.join(credential, "tm-1", &request).await;
        assert_eq!((answer.status, answer.code()), (401, code), "{answer:?}");
    }
    assert!(site.world.service.taskmanagers(&operator(), &Filter::all()).await.unwrap().items.is_empty());
    joined(&site.join(&token, "tm-1", &request).await);
}

#[tokio::test]
async fn a_join_token_is_for_its_name_and_its_time() {
    let site = Site::start("[fair-use]\nfailures = 1000\n").await;
    let (bound, text) = site.world.join_token(Some("tm-7")).await;
    let request = request().1;
    let other = site.join(&text, "tm-8", &request).await;
    assert_eq!((other.status, other.code()), (401, "LG1402"));
    // That it was tried costs nothing: the right one may still use it.
    joined(&site.join(&text, "tm-7", &request).await);
    assert!(audited(&site).await.contains(&format!("join:{bound}")));
    let (deleted, text) = site.world.join_token(None).await;
    site.world.service.delete_join_token(&operator(), &deleted).await.unwrap();
    assert_eq!(site.join(&text, "tm-8", &request).await.code(), "LG1402");
    // Made two hours ago, for an hour. Whoever checks credentials goes by the machine's clock.
    site.world.pass(-7_200);
    let (_, old) = site.world.join_token(None).await;
    site.world.pass(7_200);
    assert_eq!(site.join(&old, "tm-8", &request).await.code(), "LG1402");
    assert_eq!(site.world.service.forget_join_tokens().await.unwrap(), 1);
}

#[tokio::test]
async fn of_two_at_once_with_one_token_one_joins() {
    let site = Site::start("").await;
    let (_, token) = site.world.join_token(None).await;
    let (a, b) = (request().1, request().1);
    let (a, b) = tokio::join!(site.join(&token, "tm-a", &a), site.join(&token, "tm-b", &b));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{a:?} {b:?}");
    assert_eq!(site.world.service.taskmanagers(&operator(), &Filter::all()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn guesses_of_join_tokens_slow_down() {
    let site = Site::start("[fair-use]\nfailures = 2\n").await;
    let forged = assemble(JOIN_PREFIX, &"a".repeat(16), &"a".repeat(52));
    let request = request().1;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(site.join(&forged, "tm-1", &request).await.code().to_owned());
    }
    assert_eq!(codes, ["LG1402", "LG1402", "LG1402", "LG1111"]);
    let (_, token) = site.world.join_token(None).await;
    assert_eq!(site.join(&token, "tm-1", &request).await.code(), "LG1111", "a right one in a flood shows");
}

#[tokio::test]
async fn a_name_that_has_a_place_is_given_anew_by_its_own_token_only() {
    let site = Site::start("").await;
    let before = site.joined("tm-1").await;
    let mut open = site.connect(&before).await;
    site.wait_on(&mut open).await;
    let (key, request) = request();
    let (_, any) = site.world.join_token(None).await;
    let taken = site.join(&any, "tm-1", &request).await;
    assert_eq!((taken.status, taken.code()), (409, "LG1407"));
    assert_eq!(site.get(&before, "/who").await.status, 200, "an attempt cost the place");
    let (_, own) = site.world.join_token(Some("tm-1")).await;
    let anew = joined(&site.join(&own, "tm-1", &request).await);
    assert_eq!(rest(&mut open).await.status, 0, "the former one is still served");
    let refused = site.get(&before, "/who").await;
    assert_eq!((refused.status, refused.code()), (403, "LG1401"));
    let files = site.files(&key, &anew.certificate.chain);
    assert_eq!(site.get(&files, "/who").await.body, "tm-1");
    // Whoever was revoked does not come back before the operator has removed it.
    let revoked = crate::model::taskmanager::State::Revoked;
    let any_way = crate::service::changes::Precondition::Unstated;
    site.world.service.set_taskmanager(&operator(), &name("tm-1"), revoked, any_way).await.unwrap();
    let (_, own) = site.world.join_token(Some("tm-1")).await;
    assert_eq!(site.join(&own, "tm-1", &request).await.code(), "LG1407");
    site.world.service.remove_taskmanager(&operator(), &name("tm-1"), any_way).await.unwrap();
    joined(&site.join(&own, "tm-1", &request).await);
    for old in [&before, &files] {
        assert_eq!(site.get(old, "/who").await.code(), "LG1401", "a certificate of an earlier one counts again");
    }
    assert_eq!(site.join(&any, "join", &request).await.code(), "LG1407", "a name that hides behind a route");
}

#[tokio::test]
async fn a_join_token_is_shown_once_and_to_operators_only() {
    let site = Site::start("").await;
    let service = &site.world.service;
    let key = IdempotencyKey::new("k", "POST /join-tokens", b"").unwrap();
    let make = async |lifetime: Option<u64>| {
        let lifetime = lifetime.map(Duration::from_secs);
        service.create_join_token(&operator(), Some(&key), None, lifetime).await
    };
    let first = make(None).await.unwrap();
    let again = make(None).await.unwrap();
    assert!(!first.replayed && again.replayed && again.thing.text.is_none());
    assert_eq!(first.thing.record, again.thing.record);
    let text = first.thing.text.as_ref().unwrap().expose().clone();
    assert!(!format!("{first:?}").contains(text.split('_').nth(2).unwrap()));
    for wrong in [0, 59, 86_401] {
        let made = service.create_join_token(&operator(), None, None, Some(Duration::from_secs(wrong))).await;
        assert_eq!(made.unwrap_err().code(), lockgate_core::error::code::MALFORMED_REQUEST, "{wrong}");
    }
    let auditor = crate::world::call(crate::world::caller("user:aud", None, &[Role::Auditor]));
    for by in [crate::world::admin("acme"), auditor] {
        let made = service.create_join_token(&by, None, None, None).await.unwrap_err();
        assert_eq!(made.code(), lockgate_core::error::code::NOT_FOUND);
    }
}
