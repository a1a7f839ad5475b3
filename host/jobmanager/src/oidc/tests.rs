//! Tokens that hold and those that do not, over keys that are fetched from a server on loopback.

mod real_provider;

use super::*;
use crate::access::Role;
use crate::testing::Service;
use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A key that signs.
enum Signer {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn ec() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap())
    }

    fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    /// As a key set lists it.
    fn public(&self, id: &str) -> Value {
        match self {
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": "ES256"})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(key.public_key()), "kid": id, "use": "sig"})
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = match self {
            Self::Ec(key) => key.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", BASE64.encode(signature))
    }
}

/// An identity provider whose documents a test can change.
struct Provider {
    service: Service,
    issuer: String,
    state: Arc<State>,
    _folder: tempfile::TempDir,
}

#[derive(Default)]
struct State {
    discovery: Mutex<Value>,
    keys: Mutex<Value>,
    down: Mutex<bool>,
    fetches: AtomicUsize,
}

impl Provider {
    async fn start(keys: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State::default());
        *state.keys.lock().unwrap() = json!({ "keys": keys });
        let (discovery, key_set) = (Arc::clone(&state), Arc::clone(&state));
        let service = Service::start(folder.path(), move |_| {
            let show_discovery = move || async move { discovery.discovery.lock().unwrap().to_string() };
            let show_keys = move || async move {
                key_set.fetches.fetch_add(1, Ordering::Relaxed);
                if *key_set.down.lock().unwrap() {
                    return StatusCode::BAD_GATEWAY.into_response();
                }
                key_set.keys.lock().unwrap().to_string().into_response()
            };
            let elsewhere = || async { axum::response::Redirect::temporary("/keys") };
            Router::new()
                .route("/.well-known/openid-configuration", get(show_discovery))
                .route("/keys", get(show_keys))
                .route("/elsewhere", get(elsewhere))
        })
        .await;
        let issuer = format!("https://localhost:{}", service.address.port());
        *state.discovery.lock().unwrap() = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        Self { service, issuer, state, _folder: folder }
    }

    fn settings(&self) -> Issuer {
        let rule = |value: &str, tenant: &str, role| IssuerRule {
            claim: "groups".into(),
            value: value.into(),
            grant: Grant { tenant: Some(Name::new(tenant).unwrap()), roles: [role].into() },
        };
        Issuer {
            issuer: self.issuer.clone(),
            audience: "lockgate".into(),
            algorithms: vec![Algorithm::ES256],
            clock_skew: Duration::from_secs(30),
            client: crate::config::Client { ca: Some(self.service.ca.clone()), timeout: Duration::from_secs(5) },
            principal_claim: "sub".into(),
            rules: vec![
                rule("deployers", "acme", Role::Deployer),
                rule("viewers", "acme", Role::Viewer),
                rule("others", "umbrella", Role::Viewer),
            ],
        }
    }

    fn issuers(&self) -> Issuers {
        Issuers::new(&[self.settings()]).unwrap().with_patience(Duration::ZERO)
    }

    /// Claims that hold.
    fn claims(&self) -> Value {
        json!({"iss": self.issuer, "aud": "lockgate", "sub": "ana", "exp": now() + 600, "groups": ["deployers"]})
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn header(id: &str) -> Value {
    json!({"alg": "ES256", "typ": "JWT", "kid": id})
}

fn with(mut claims: Value, key: &str, value: Value) -> Value {
    claims[key] = value;
    claims
}

#[tokio::test]
async fn claims_become_roles_by_the_rules() {
    let signer = Signer::ec();
    let provider = Provider::start(&[signer.public("k1")]).await;
    let issuers = provider.issuers();
    let ask = async |groups: Value| {
        issuers.authenticate(&signer.sign(&header("k1"), &with(provider.claims(), "groups", groups))).await
    };
    let caller = ask(json!(["deployers", "viewers", "unknown", 3])).await.unwrap();
    assert_eq!(caller.principal, format!("oidc:{}#ana", provider.issuer));
    assert_eq!(caller.tenant, Some(Name::new("acme").unwrap()));
    assert_eq!(caller.roles, [Role::Deployer, Role::Viewer].into());
    assert_eq!(ask(json!("viewers")).await.unwrap().roles, [Role::Viewer].into());
    for none in [json!(["unknown"]), json!([]), json!(null), json!({"deployers": true}), json!(["deployers", "others"])]
    {
        assert_eq!(ask(none.clone()).await.unwrap_err().code(), code::NO_ROLE, "{none}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused() {
    let (signer, stranger, ed) = (Signer::ec(), Signer::ec(), Signer::ed());
    let provider = Provider::start(&[signer.public("k1"), ed.public("k2")]).await;
    let issuers = provider.issuers();
    let good = signer.sign(&header("k1"), &provider.claims());
    issuers.authenticate(&good).await.unwrap();
    let (claims, parts) = (provider.claims(), good.split('.').collect::<Vec<_>>());
    let public = signer.public("k1");
    let unsigned = format!("{}.{}.", BASE64.encode(json!({"alg": "none", "kid": "k1"}).to_string()), parts[1]);
    let symmetric = {
        // The old trick: HMAC with what everybody can read.
        let head = BASE64.encode(json!({"alg": "HS256", "kid": "k1"}).to_string());
        let message = format!("{head}.{}", parts[1]);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.to_string().as_bytes());
        format!("{message}.{}", BASE64.encode(ring::hmac::sign(&key, message.as_bytes())))
    };
    let mut flipped = good.clone().into_bytes();
    let at = parts[0].len() + 3;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    let cases = [
        ("no signature", unsigned),
        ("a symmetric signature", symmetric),
        ("another's signature", stranger.sign(&header("k1"), &claims)),
        ("a key of its own", stranger.sign(&json!({"alg": "ES256", "jwk": stranger.public("k1")}), &claims)),
        ("an unknown key", stranger.sign(&header("k3"), &claims)),
        ("an algorithm that is not pinned", ed.sign(&json!({"alg": "EdDSA", "kid": "k2"}), &claims)),
        ("a key of another kind", signer.sign(&header("k2"), &claims)),
        ("an algorithm of another kind", signer.sign(&json!({"alg": "RS256", "kid": "k1"}), &claims)),
        ("a critical extension", signer.sign(&with(header("k1"), "crit", json!(["x"])), &claims)),
        ("another issuer", signer.sign(&header("k1"), &with(claims.clone(), "iss", json!("https://evil.example.org")))),
        ("another audience", signer.sign(&header("k1"), &with(claims.clone(), "aud", json!("grafana")))),
        ("other audiences", signer.sign(&header("k1"), &with(claims.clone(), "aud", json!(["a", "b"])))),
        ("no audience", signer.sign(&header("k1"), &with(claims.clone(), "aud", json!(null)))),
        ("no expiry", signer.sign(&header("k1"), &with(claims.clone(), "exp", json!(null)))),
        ("no subject", signer.sign(&header("k1"), &with(claims.clone(), "sub", json!("")))),
        ("a subject of control characters", signer.sign(&header("k1"), &with(claims.clone(), "sub", json!("a\nb")))),
        ("a subject without end", signer.sign(&header("k1"), &with(claims.clone(), "sub", json!("a".repeat(300))))),
        ("a flipped bit", String::from_utf8(flipped).unwrap()),
        ("a signature cut off", good[..good.len() - 4].to_owned()),
        ("four parts", format!("{good}.x")),
        ("nothing", ".".into()),
    ];
    for (what, token) in cases {
        let refused = issuers.authenticate(&token).await.expect_err(what);
        assert_eq!(refused.code(), code::CREDENTIAL_REFUSED, "{what}: {refused}");
        assert_eq!(refused.cause(), "the credential is not valid", "{what}");
    }
    let several = with(claims, "aud", json!(["grafana", "lockgate"]));
    issuers.authenticate(&signer.sign(&header("k1"), &several)).await.unwrap();
}

#[tokio::test]
async fn time_counts_with_the_skew_that_is_allowed() {
    let signer = Signer::ec();
    let provider = Provider::start(&[signer.public("k1")]).await;
    let issuers = provider.issuers();
    let at = async |key: &str, offset: i64| {
        issuers.authenticate(&signer.sign(&header("k1"), &with(provider.claims(), key, json!(now() + offset)))).await
    };
    at("exp", -10).await.unwrap();
    at("nbf", 10).await.unwrap();
    assert_eq!(at("exp", -60).await.unwrap_err().code(), code::CREDENTIAL_EXPIRED);
    assert_eq!(at("nbf", 60).await.unwrap_err().code(), code::CREDENTIAL_EXPIRED);
}

#[tokio::test]
async fn keys_are_rotated_and_withdrawn_by_the_provider() {
    let (old, new) = (Signer::ec(), Signer::ec());
    let provider = Provider::start(&[old.public("k1")]).await;
    let issuers = provider.issuers();
    let (first, second) = (old.sign(&header("k1"), &provider.claims()), new.sign(&header("k2"), &provider.claims()));
    issuers.authenticate(&first).await.unwrap();
    issuers.authenticate(&first).await.unwrap();
    assert_eq!(provider.state.fetches.load(Ordering::Relaxed), 1, "keys that are known are fetched again");
    assert!(issuers.authenticate(&second).await.is_err());
    // One that is not understood does not hide the others.
    *provider.state.keys.lock().unwrap() = json!({"keys": [{"kty": "new"}, {"kty": "RSA"}, new.public("k2")]});
    issuers.authenticate(&second).await.unwrap();
    assert!(issuers.authenticate(&first).await.is_err(), "a withdrawn key is taken");
    // Without an id a key is taken only if it is the only one that could be meant.
    let nameless = new.sign(&json!({"alg": "ES256"}), &provider.claims());
    issuers.authenticate(&nameless).await.unwrap();
    *provider.state.keys.lock().unwrap() = json!({"keys": [old.public("k1"), new.public("k2")]});
    issuers.authenticate(&first).await.unwrap();
    assert!(issuers.authenticate(&nameless).await.is_err());
}

#[tokio::test]
async fn made_up_keys_do_not_make_the_provider_work() {
    let signer = Signer::ec();
    let provider = Provider::start(&[signer.public("k1")]).await;
    let issuers = Arc::new(Issuers::new(&[provider.settings()]).unwrap());
    let asked = (0..50).map(|n| {
        let (issuers, token) =
            (Arc::clone(&issuers), signer.sign(&header(&format!("made-up-{n}")), &provider.claims()));
        tokio::spawn(async move { issuers.authenticate(&token).await })
    });
    for asked in asked.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap().unwrap_err().code(), code::CREDENTIAL_REFUSED);
    }
    assert_eq!(provider.state.fetches.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_properly_is_told_apart() {
    let signer = Signer::ec();
    let provider = Provider::start(&[signer.public("k1")]).await;
    let token = signer.sign(&header("k1"), &provider.claims());
    let proper = provider.state.discovery.lock().unwrap().clone();
    let broken = [
        with(proper.clone(), "issuer", json!("https://evil.example.org")),
        with(proper.clone(), "jwks_uri", json!(provider.issuer.replace("https", "http") + "/keys")),
        with(proper.clone(), "jwks_uri", json!(format!("{}/elsewhere", provider.issuer))),
        with(proper.clone(), "padding", json!("x".repeat(crate::http_client::MAX_ANSWER))),
        json!([]),
    ];
    let issuers = provider.issuers();
    for document in broken {
        *provider.state.discovery.lock().unwrap() = document.clone();
        let error = issuers.authenticate(&token).await.unwrap_err();
        assert_eq!(error.code(), code::IDENTITY_PROVIDER, "{:.200}", document.to_string());
    }
    *provider.state.discovery.lock().unwrap() = proper;
    *provider.state.down.lock().unwrap() = true;
    assert_eq!(issuers.authenticate(&token).await.unwrap_err().code(), code::IDENTITY_PROVIDER);
    *provider.state.down.lock().unwrap() = false;
    issuers.authenticate(&token).await.unwrap();
    // What is known goes on when it is down.
    *provider.state.down.lock().unwrap() = true;
    issuers.authenticate(&token).await.unwrap();
    assert!(issuers.authenticate(&signer.sign(&header("k9"), &provider.claims())).await.is_err());
    issuers.authenticate(&token).await.unwrap();
}

#[tokio::test]
async fn a_provider_with_a_certificate_of_a_stranger_is_not_believed() {
    let signer = Signer::ec();
    let provider = Provider::start(&[signer.public("k1")]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = crate::testing::Authority::new(elsewhere.path(), "stranger");
    let mut settings = provider.settings();
    settings.client.ca = Some(stranger.ca());
    let issuers = Issuers::new(&[settings]).unwrap();
    let error = issuers.authenticate(&signer.sign(&header("k1"), &provider.claims())).await.unwrap_err();
    assert_eq!(error.code(), code::IDENTITY_PROVIDER);
}

#[test]
fn nothing_symmetric_can_be_configured() {
    for name in ["HS256", "HS384", "HS512", "none", "es256", ""] {
        assert!(algorithm(name).is_err(), "{name}");
    }
    for (name, known) in ALGORITHMS {
        assert_eq!(algorithm(name).unwrap(), *known);
        assert_eq!(format!("{known:?}"), *name, "keys name their algorithm so");
    }
}
