//! The set-up token, and credentials in a real store. What a server makes of them is tested over HTTPS in
//! `server/tests/refusals.rs`.

use super::*;
use crate::access::{Action, Role, authorize, realm};
use crate::store::{Batch, Memory, Store as _};
use crate::testing::config;
use lockgate_core::error::code;
use lockgate_core::{Name, Timestamp};
use std::sync::Arc;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

#[test]
fn the_set_up_token_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::of(folder.path());
    assert!(!setup.is_valid(at(0)).unwrap());
    let file = setup.make(at(0), false).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.trim();
    assert!(setup.is_valid(at(24 * 3_600 - 1)).unwrap() && !setup.is_valid(at(24 * 3_600)).unwrap());
    let caller = setup.authenticate(text, false, at(24 * 3_600 - 1)).unwrap();
    assert_eq!((caller.tenant.clone(), caller.principal.as_str()), (None, "setup"));
    let (_, other, _) = token::issue(token::SETUP_PREFIX).unwrap();
    assert_eq!(setup.authenticate(other.expose(), false, at(1)).unwrap_err().code(), code::CREDENTIAL_REFUSED);
    assert!(file.exists(), "a wrong guess takes the token away");
    assert_eq!(setup.authenticate(text, false, at(24 * 3_600)).unwrap_err().code(), code::SETUP_TOKEN_USED);
    assert!(!file.exists());
    // Nothing that is kept could be used.
    setup.make(at(0), false).unwrap();
    let (kept, text) =
        (std::fs::read_to_string(folder.path().join("setup.json")).unwrap(), std::fs::read_to_string(&file).unwrap());
    assert!(!kept.contains(text.split('_').nth(2).unwrap()));
}

#[test]
fn it_makes_operators_and_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::of(folder.path());
    let text = std::fs::read_to_string(setup.make(at(0), false).unwrap()).unwrap();
    let caller = setup.authenticate(text.trim(), false, at(1)).unwrap();
    let allowed: Vec<_> = Action::ALL.iter().filter(|action| realm(&caller, **action).is_some()).collect();
    assert_eq!(
        allowed,
        [&Action::Describe, &Action::ReadMembers, &Action::ManageMembers, &Action::ReadTokens, &Action::ManageTokens]
    );
    let acme = crate::access::Resource::of(Name::new("acme").unwrap(), "member");
    assert!(authorize(&caller, Action::ManageMembers, &acme).is_err());
}

#[test]
fn a_lost_operator_gets_in_again_with_the_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::of(folder.path());
    let text = std::fs::read_to_string(setup.make(at(0), false).unwrap()).unwrap();
    assert_eq!(setup.authenticate(text.trim(), true, at(1)).unwrap_err().code(), code::SETUP_TOKEN_USED);
    let text = std::fs::read_to_string(setup.make(at(0), true).unwrap()).unwrap();
    setup.authenticate(text.trim(), true, at(3_599)).unwrap();
    assert_eq!(setup.authenticate(text.trim(), true, at(3_600)).unwrap_err().code(), code::SETUP_TOKEN_USED);
}

/// A member with a token in a store, as the API would write them.
async fn kept(tenant: Option<&str>) -> (Arc<Memory>, Kept<Memory>, TokenRecord, String) {
    let store = Arc::new(Memory::new());
    let tenant = tenant.map(|tenant| Name::new(tenant).unwrap());
    let (id, text, hash) = token::issue(token::PREFIX).unwrap();
    let principal = "user:ana".to_owned();
    let record = TokenRecord {
        id: id.clone(),
        principal: principal.clone(),
        tenant: tenant.clone(),
        hash,
        label: "ci".into(),
        created: at(0),
        created_by: "setup".into(),
        expires: at(1_000_000),
        scopes: Some([Action::ReadJobs].into()),
        revoked: None,
        last_used: None,
    };
    let member = Member { principal: principal.clone(), roles: [Role::Viewer].into(), created: at(0) };
    let certificate = CertificateRecord {
        uri: "spiffe://a/b".into(),
        principal: principal.clone(),
        tenant: tenant.clone(),
        created: at(0),
        created_by: "setup".into(),
    };
    let batch = Batch::default()
        .put(keys::token(&id), serde_json::to_vec(&record).unwrap())
        .put(keys::token_of(tenant.as_ref(), &principal, &id), "")
        .put(keys::member(tenant.as_ref(), &principal), serde_json::to_vec(&member).unwrap())
        .put(keys::certificate("spiffe://a/b"), serde_json::to_vec(&certificate).unwrap());
    store.commit(batch).await.unwrap();
    (Arc::clone(&store), Kept::new(store), record, text.expose().clone())
}

#[tokio::test]
async fn records_are_found_in_the_store() {
    let (_, directory, record, text) = kept(Some("acme")).await;
    let acme = Name::new("acme").unwrap();
    assert_eq!(directory.token(&record.id).await.unwrap().as_ref(), Some(&record));
    assert_eq!(directory.token("nobody").await.unwrap(), None);
    assert!(directory.member(Some(&acme), "user:ana").await.unwrap().is_some());
    assert!(directory.member(None, "user:ana").await.unwrap().is_none(), "a member of a tenant is no operator");
    assert!(directory.certificate("spiffe://a/b").await.unwrap().is_some());
    assert!(!directory.has_operator_token().await.unwrap());
    let (_, operators, _, _) = kept(None).await;
    assert!(operators.has_operator_token().await.unwrap());

    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    let issuers = crate::oidc::Issuers::new(&[]).unwrap();
    let authenticator = Authenticator::new(directory, issuers, config.certificates, Setup::of(folder.path()));
    let caller = authenticator.authenticate(Presented::Bearer(&text), at(5)).await.unwrap();
    assert_eq!((caller.principal.as_str(), caller.credential.as_str()), ("user:ana", record.id.as_str()));
    assert_eq!((caller.tenant, caller.roles, caller.scopes), (Some(acme), [Role::Viewer].into(), record.scopes));
    let used = authenticator.directory().token(&record.id).await.unwrap().unwrap();
    assert_eq!(used.last_used, Some(at(5)));
}

#[tokio::test]
async fn a_token_with_the_id_of_another_is_refused() {
    let (store, directory, record, text) = kept(Some("acme")).await;
    let (_, _, hash) = token::issue(token::PREFIX).unwrap();
    let of_other_secret = serde_json::to_vec(&TokenRecord { hash, ..record.clone() }).unwrap();
    store.commit(Batch::default().put(keys::token(&record.id), of_other_secret)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let issuers = crate::oidc::Issuers::new(&[]).unwrap();
    let rules = config(folder.path(), "").certificates;
    let authenticator = Authenticator::new(directory, issuers, rules, Setup::of(folder.path()));
    let refused = authenticator.authenticate(Presented::Bearer(&text), at(5)).await.unwrap_err();
    assert_eq!(refused.code(), code::CREDENTIAL_REFUSED);
}

#[tokio::test]
async fn the_last_use_is_kept_coarsely_and_undoes_no_revocation() {
    let (store, directory, record, _) = kept(Some("acme")).await;
    let last = async || directory.token(&record.id).await.unwrap().unwrap();
    directory.used(&record, at(10)).await;
    let revision = *store.revision().borrow();
    directory.used(&last().await, at(10 + directory::LAST_USED_SECONDS - 1)).await;
    assert_eq!(*store.revision().borrow(), revision, "every request is a write");
    directory.used(&last().await, at(10 + directory::LAST_USED_SECONDS)).await;
    assert_eq!(last().await.last_used, Some(at(10 + directory::LAST_USED_SECONDS)));
    // One that was read before the revocation and used after it.
    let before = TokenRecord { last_used: None, ..last().await };
    let revoked = TokenRecord { revoked: Some(at(20)), ..last().await };
    store.commit(Batch::default().put(keys::token(&record.id), serde_json::to_vec(&revoked).unwrap())).await.unwrap();
    directory.used(&before, at(100_000)).await;
    assert_eq!(last().await.revoked, Some(at(20)));
}
