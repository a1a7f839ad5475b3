//! Who is refused, how it is told, and what it costs him.

use super::{routes, start};
use crate::access::{Action, Role};
use crate::credentials::token;
use crate::server::Refused;
use crate::testing::client::{get, post};
use crate::testing::{Answer, Running, Trust, soon};
use lockgate_core::Timestamp;
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn every_wrong_token_is_refused_in_one_voice() {
    let (server, token, _) = start("[fair-use]\nfailures = 1000").await;
    let (_, stranger, _) = token::issue(token::PREFIX).unwrap();
    let (_, setup, _) = token::issue(token::SETUP_PREFIX).unwrap();
    let parts: Vec<&str> = token.split('_').collect();
    let stranger_parts: Vec<&str> = stranger.expose().split('_').collect();
    // The id of one and the secret of another, with a checksum that fits.
    let crossed = token::assemble(token::PREFIX, parts[1], stranger_parts[2]);
    let mut voices = std::collections::BTreeSet::new();
    for wrong in
        [stranger.expose().as_str(), setup.expose(), crossed.as_str(), "x", "eyJhbGciOiJub25lIn0.e30.", "a.b.c"]
    {
        let answer = server.get("/whoami", wrong).await;
        assert_eq!((answer.status, answer.code()), (401, "LG1103"), "{wrong}");
        assert!(answer.body.contains("\"type\":\"https://lockgate.dev/errors#lg1103\""), "{answer:?}");
        let id = answer.header("x-request-id").unwrap();
        assert!(answer.body.contains(&format!("\"request\":\"{id}\"")), "{answer:?}");
        voices.insert(answer.body.replace(id, "ID"));
    }
    assert_eq!(voices.len(), 1, "{voices:?}");
    let summless = crossed.rsplit_once('_').unwrap().0;
    assert_eq!(server.get("/whoami", summless).await.code(), "LG1105", "no checksum");
    assert_eq!(server.get("/whoami", &token[..token.len() - 1]).await.code(), "LG1105", "cut off");
    for header in ["Basic YTpi", "Bearer", "Bearer ", "bearertoken", "Token x"] {
        let answer = server.ask(&get("/whoami", "x").replace("Bearer x", header)).await;
        assert_eq!(answer.code(), "LG1103", "{header}");
    }
    let twice = get("/whoami", &token).replace("\r\n\r\n", &format!("\r\nauthorization: Bearer {token}\r\n\r\n"));
    assert_eq!(server.ask(&twice).await.code(), "LG1106");
    assert_eq!(server.ask(&get("/whoami", &token).replace("Bearer", "bEARER")).await.status, 200);
}

#[tokio::test]
async fn what_is_taken_away_is_gone_with_the_next_request() {
    let (server, token, _) = start("").await;
    assert_eq!(server.get("/whoami", &token).await.status, 200);
    let people = &server.people;
    people.change(&token, |record| assert!(record.last_used.is_some(), "the last use is not noted"));

    people.member_is(Some("acme"), "user:ana", Some(&[Role::Deployer]));
    assert!(server.get("/whoami", &token).await.body.contains("{Deployer}"));
    people.member_is(Some("acme"), "user:ana", None);
    assert_eq!(server.get("/whoami", &token).await.code(), "LG1103");
    people.member_is(Some("acme"), "user:ana", Some(&[Role::Viewer]));

    people.change(&token, |record| record.expires = Timestamp::from_seconds(1));
    assert_eq!(server.get("/whoami", &token).await.code(), "LG1104");
    people.change(&token, |record| record.expires = Timestamp::MAX);
    assert_eq!(server.get("/whoami", &token).await.status, 200);
    people.change(&token, |record| record.revoked = Some(Timestamp::from_seconds(1)));
    assert_eq!(server.get("/whoami", &token).await.code(), "LG1103");
}

#[tokio::test]
async fn a_token_is_narrowed_to_its_scopes() {
    let folder = tempfile::tempdir().unwrap();
    let show = |caller: crate::access::Caller| async move { format!("{:?}", caller.scopes) };
    let routes = axum::Router::new().route("/scopes", axum::routing::get(show));
    let server = Running::start_in(folder, "", routes).await;
    server.people.add(Some("acme"), "user:ana", &[Role::TenantAdmin]);
    let narrow = server.people.token_for(Some("acme"), "user:ana", Some(&[Action::ReadJobs]));
    assert_eq!(server.get("/scopes", &narrow).await.body, "Some({ReadJobs})");
}

#[tokio::test]
async fn failures_slow_down_their_source_and_nobody_else() {
    let (server, token, _) =
        start("[fair-use]\nfailures = 2\nfailure-delay = \"60 s\"\nfailure-delay-max = \"60 s\"").await;
    for _ in 0..9 {
        let answer = server.ask("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        assert_eq!(answer.code(), "LG1100", "no credential is no failure");
    }
    for _ in 0..3 {
        assert_eq!(server.get("/whoami", "wrong").await.code(), "LG1103");
    }
    for token in ["wrong", &token] {
        let slowed = server.get("/whoami", token).await;
        assert_eq!((slowed.status, slowed.code()), (429, "LG1111"), "a right guess shows: {slowed:?}");
        assert!(slowed.header("retry-after").unwrap().parse::<u64>().unwrap() > 50, "{slowed:?}");
    }
    let health = server.ask("GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(health.status, 204);
}

/// What is answered to many requests on one connection, which come faster than a rate gives back.
async fn burst(server: &Running, token: &str) -> Answer {
    let one = get("/whoami", token).replace("connection: close\r\n", "");
    server.trust().ask(server.address, (one.repeat(19) + &get("/whoami", token)).as_bytes()).await
}

#[tokio::test]
async fn requests_are_counted_by_principal() {
    let (server, ana, _) = start("[fair-use]\nprincipal-requests-per-second = 3").await;
    let bob = server.people.add(Some("acme"), "user:bob", &[Role::Viewer]);
    let another = server.people.token_for(Some("acme"), "user:ana", None);
    let answer = burst(&server, &ana).await.body.to_lowercase();
    assert!(
        answer.contains("http/1.1 429") && answer.contains("lg1110") && answer.contains("retry-after: 1"),
        "{answer}"
    );
    assert!(answer.contains("requests-per-second of principal user:ana is 3"), "{answer}");
    assert_eq!(server.get("/whoami", &bob).await.status, 200, "somebody else pays for it");
    assert!(burst(&server, &another).await.body.contains("LG1110"), "each token has a rate of its own");
}

#[tokio::test]
async fn requests_are_counted_by_tenant() {
    let text = "[fair-use]\nprincipal-requests-per-second = 1000\n[quota]\nrequests-per-second = 5";
    let (server, ana, _) = start(text).await;
    let eve = server.people.add(Some("umbrella"), "user:eve", &[Role::Viewer]);
    let operator = server.people.add(None, "user:root", &[Role::Operator]);
    let answer = burst(&server, &ana).await;
    assert!(answer.body.contains("requests-per-second of tenant acme is 5"), "{answer:?}");
    assert_eq!(server.get("/whoami", &eve).await.status, 200, "another tenant pays for it");
    assert!(!burst(&server, &operator).await.body.contains("LG1110"), "the operator's people are no tenant");
}

#[tokio::test]
async fn a_tenants_own_rate_comes_first_and_refusals_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = crate::testing::config(folder.path(), "[fair-use]\nprincipal-requests-per-second = 1000");
    let people = Arc::new(crate::testing::People::default());
    let ana = people.add(Some("acme"), "user:ana", &[Role::Viewer]);
    let prepared = crate::serve::Prepared::new(&config, Arc::clone(&people), false).await.unwrap();
    let told: Arc<Mutex<Vec<Refused>>> = Arc::default();
    let notes = Arc::clone(&told);
    let prepared = prepared.map_guard(|guard| {
        let observer = Arc::new(move |refused: Refused| notes.lock().unwrap().push(refused));
        guard.with_tenant_rate(Arc::new(|tenant| (tenant.as_str() == "acme").then_some(0))).with_observer(observer)
    });
    let (address, trust) = (prepared.addresses()[0], Trust::of(&folder.path().join("data/tls/ca.pem")));
    let serving = tokio::spawn(prepared.run(routes(&super::Signals::default()), std::future::pending()));
    let answer = trust.ask(address, get("/whoami?secret=1", &ana).as_bytes()).await;
    assert_eq!(answer.code(), "LG1110", "{answer:?}");
    let wrong = trust.ask(address, get("/whoami", "wrong").as_bytes()).await;
    serving.abort();
    let told = told.lock().unwrap();
    let [limited, refused] = &told[..] else { panic!("{told:?}") };
    assert_eq!((limited.caller.as_ref().unwrap().principal.as_str(), limited.status), ("user:ana", 429));
    assert_eq!(limited.asked, "GET /whoami");
    assert!(refused.caller.is_none() && refused.code.to_string() == "LG1103" && refused.source.is_some());
    assert_eq!(wrong.header("x-request-id"), Some(refused.request.as_str()));
}

#[tokio::test]
async fn the_set_up_token_makes_the_first_operator_and_nothing_else() {
    let server = Running::start("", routes(&super::Signals::default())).await;
    let file = server.folder.path().join("data/setup-token");
    let text = std::fs::read_to_string(&file).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let answer = server.get("/whoami", text.trim()).await;
    assert!(answer.body.starts_with("setup None {Operator}"), "{answer:?}");
    server.people.add(None, "user:root", &[Role::Operator]);
    let answer = server.get("/whoami", text.trim()).await;
    assert_eq!((answer.status, answer.code()), (401, "LG1113"));
    assert!(!file.exists(), "a token that is not taken lies about");
}

#[tokio::test]
async fn no_line_of_the_log_has_a_secret_a_query_or_a_body() {
    let log = crate::testing::log();
    let (server, token, _) = start("").await;
    let marked = |text: &str| text.replace("MARK", "marker-91ab");
    server.get(&marked("/whoami?secret=MARK"), &token).await;
    server.get("/whoami", &marked("lgt_MARK")).await;
    server.get("/whoami", &marked("eyMARK.e30.MARK")).await;
    server
        .ask(
            &(marked(&post("/length", &token, "content-length: 11\r\ncookie: MARK\r\nx-key: MARK\r\n"))
                + "marker-91ab"),
        )
        .await;
    server.ask(&(marked(&post("/length", "x", "content-length: 11\r\n")) + "marker-91ab")).await;
    server.get("/a%1b[31m\u{7f}", &token).await;
    let lines = log();
    assert!(lines.contains("lockgate::access") && lines.contains("user:ana"), "{lines}");
    for secret in ["marker-91ab", &token, token.split('_').nth(2).unwrap()] {
        assert!(!lines.contains(secret), "{secret} in {lines}");
    }
    assert!(!lines.contains('\u{1b}') && !lines.contains('\u{7f}'), "a terminal would act on it");
    soon("the end", server.stopped()).await;
}
