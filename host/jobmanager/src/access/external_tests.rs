//! An authorisation service on loopback that allows, denies, fails and dawdles.

use super::*;
use crate::config::{AuthorizationService, Client};
use crate::secret::Secret;
use crate::testing::Service;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::post;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the service does with a question.
type Answering = dyn Fn(&Value) -> (StatusCode, String) + Send + Sync;

/// What it was asked, and as whose.
type Questions = Arc<Mutex<Vec<(Option<String>, Value)>>>;

struct Asked {
    authorizer: Authorizer,
    questions: Questions,
    _service: Service,
    _folder: tempfile::TempDir,
}

async fn service(answer: Arc<Answering>) -> Asked {
    let folder = tempfile::tempdir().unwrap();
    let questions = Questions::default();
    let notes = Arc::clone(&questions);
    let service = Service::start(folder.path(), move |_| {
        let decide = move |headers: HeaderMap, body: Bytes| async move {
            let question: Value = serde_json::from_slice(&body).unwrap();
            let bearer = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
            let answered = answer(&question);
            notes.lock().unwrap().push((bearer, question));
            if answered.0 == StatusCode::CONTINUE {
                std::future::pending::<()>().await;
            }
            answered.into_response()
        };
        axum::Router::new().route("/decide", post(decide))
    })
    .await;
    let external = External::new(&AuthorizationService {
        url: format!("https://localhost:{}/decide", service.address.port()),
        token: Some(Secret::new("of-the-service".into())),
        client: Client { ca: Some(service.ca.clone()), timeout: Duration::from_millis(500) },
    });
    let authorizer = Authorizer::new(Some(external.unwrap()));
    Asked { authorizer, questions, _service: service, _folder: folder }
}

fn deployer() -> Caller {
    Caller {
        principal: "user:ana".into(),
        credential: "t1".into(),
        tenant: Some(Name::new("acme").unwrap()),
        roles: [Role::Deployer].into(),
        scopes: None,
    }
}

fn job(tenant: &str) -> Resource {
    Resource::of(Name::new(tenant).unwrap(), "job").named("late-flights")
}

fn answer(allow: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Arc<Answering> {
    Arc::new(move |question| (StatusCode::OK, json!({ "allow": allow(question) }).to_string()))
}

#[tokio::test]
async fn it_is_asked_for_what_the_table_allows_and_can_only_deny() {
    let asked = service(answer(|_| true)).await;
    asked.authorizer.authorize(&deployer(), Action::StopJobs, &job("acme")).await.unwrap();
    assert!(asked.authorizer.authorize(&deployer(), Action::ManageTokens, &job("acme")).await.is_err());
    assert!(asked.authorizer.authorize(&deployer(), Action::StopJobs, &job("umbrella")).await.unwrap_err().hidden);
    let questions = asked.questions.lock().unwrap();
    let expected = json!({"principal": "user:ana", "tenant": "acme", "roles": ["deployer"], "action": "stop-jobs",
                          "resource": {"tenant": "acme", "kind": "job", "name": "late-flights"}});
    assert_eq!(*questions, [(Some("Bearer of-the-service".into()), expected)]);
}

#[tokio::test]
async fn what_it_hides_is_missing_and_what_it_shows_forbidden() {
    let sees = service(answer(|question| question["action"] == "read-jobs")).await;
    let denied = sees.authorizer.authorize(&deployer(), Action::StopJobs, &job("acme")).await.unwrap_err();
    assert!(!denied.hidden && denied.error.code() == code::FORBIDDEN, "{denied:?}");
    sees.authorizer.authorize(&deployer(), Action::ReadJobs, &job("acme")).await.unwrap();
    let blind = service(answer(|_| false)).await;
    for action in [Action::StopJobs, Action::ReadJobs] {
        let denied = blind.authorizer.authorize(&deployer(), action, &job("acme")).await.unwrap_err();
        assert!(denied.hidden && denied.error == not_found(&job("acme")), "{denied:?}");
    }
}

#[tokio::test]
async fn whatever_is_not_a_yes_is_a_no() {
    let answers: [(StatusCode, &str); 9] = [
        (StatusCode::INTERNAL_SERVER_ERROR, r#"{"allow":true}"#),
        (StatusCode::CREATED, r#"{"allow":true}"#),
        (StatusCode::FOUND, r#"{"allow":true}"#),
        (StatusCode::CONTINUE, r#"{"allow":true}"#),
        (StatusCode::OK, ""),
        (StatusCode::OK, r#"{"allow":"true"}"#),
        (StatusCode::OK, r#"{"allow":1}"#),
        (StatusCode::OK, r#"{"allowed":true}"#),
        (StatusCode::OK, "true"),
    ];
    for (status, body) in answers {
        let asked = service(Arc::new(move |_| (status, body.to_owned()))).await;
        let denied = asked.authorizer.authorize(&deployer(), Action::ReadJobs, &job("acme")).await.unwrap_err();
        assert_eq!(denied.error.code(), code::AUTHORIZATION_SERVICE, "{status} {body}");
    }
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), |_| axum::Router::new()).await;
    let (url, ca) = (format!("https://localhost:{}/", service.address.port()), Some(service.ca.clone()));
    let settings = AuthorizationService { url, token: None, client: Client { ca, timeout: Duration::from_secs(5) } };
    let authorizer = Authorizer::new(Some(External::new(&settings).unwrap()));
    drop(service);
    let denied = authorizer.authorize(&deployer(), Action::ReadJobs, &job("acme")).await.unwrap_err();
    assert_eq!(denied.error.code(), code::AUTHORIZATION_SERVICE, "nobody is there");
}
