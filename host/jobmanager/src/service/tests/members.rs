//! Members and tokens: who may make whom what, and that nothing is wider than what made it.

use super::audited;
use crate::access::{Action, Role};
use crate::credentials::{Directory as _, Kept as Kept_};
use crate::fair_use::Kind;
use crate::service::changes::Precondition;
use crate::service::tokens::NewToken;
use crate::service::{Call, Filter, IdempotencyKey};
use crate::world::{World, admin, call, caller, deployer, name, operator};
use lockgate_core::error::code;
use lockgate_core::{Code, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn new(principal: Option<&str>, scopes: Option<&[Action]>) -> NewToken {
    let scopes = scopes.map(|scopes| scopes.iter().copied().collect());
    NewToken { principal: principal.map(str::to_owned), label: "ci".into(), days: 90, scopes }
}

async fn set(world: &World, by: &Call, tenant: Option<&str>, who: &str, roles: &[Role]) -> Result<(), Code> {
    let (tenant, roles): (Option<Name>, BTreeSet<Role>) = (tenant.map(name), roles.iter().copied().collect());
    let result = world.service.set_member(by, tenant.as_ref(), who, &roles, Precondition::Unstated).await;
    result.map(drop).map_err(|error| error.code())
}

#[tokio::test]
async fn each_gives_the_roles_that_are_his_to_give() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let (admin, operator, deployer) = (admin("acme"), operator(), deployer("acme"));
    for (by, tenant, who, roles, expected) in [
        (&operator, Some("acme"), "user:a", &[Role::TenantAdmin][..], Ok(())),
        (&operator, Some("acme"), "user:b", &[Role::Deployer], Err(code::MALFORMED_REQUEST)),
        (&operator, Some("none"), "user:b", &[Role::TenantAdmin], Err(code::NOT_FOUND)),
        (&operator, None, "user:b", &[Role::Operator], Ok(())),
        (&operator, None, "user:c", &[Role::TenantAdmin], Err(code::MALFORMED_REQUEST)),
        (&admin, Some("acme"), "user:b", &[Role::Deployer, Role::Viewer], Ok(())),
        (&admin, Some("acme"), "user:c", &[Role::Operator], Err(code::MALFORMED_REQUEST)),
        (&admin, Some("acme"), "user:c", &[], Err(code::MALFORMED_REQUEST)),
        (&admin, None, "user:c", &[Role::Operator], Err(code::NOT_FOUND)),
        (&admin, Some("acme"), "user:b", &[Role::Viewer], Err(code::PRECONDITION_REQUIRED)),
        (&deployer, Some("acme"), "user:c", &[Role::Viewer], Err(code::NOT_FOUND)),
        (&admin, Some("acme"), "oidc:x#y", &[Role::Viewer], Err(code::MALFORMED_REQUEST)),
        (&admin, Some("acme"), "user:a\nb", &[Role::Viewer], Err(code::MALFORMED_REQUEST)),
        (&admin, Some("acme"), "user:\u{430}na", &[Role::Viewer], Err(code::MALFORMED_REQUEST)),
        (&admin, Some("acme"), "setup", &[Role::Viewer], Err(code::MALFORMED_REQUEST)),
    ] {
        assert_eq!(set(&world, by, tenant, who, roles).await, expected, "{} {who} {roles:?}", by.caller.principal);
    }
}

#[tokio::test]
async fn the_last_operator_stays() {
    let world = World::empty().await;
    let remove = |who: &'static str| {
        let world = &world;
        async move { world.service.remove_member(&operator(), None, who, Precondition::Unstated).await }
    };
    set(&world, &operator(), None, "user:a", &[Role::Operator]).await.unwrap();
    assert_eq!(remove("user:a").await.unwrap_err().code(), code::WRONG_STATE);
    set(&world, &operator(), None, "user:b", &[Role::Operator]).await.unwrap();
    remove("user:a").await.unwrap();
    let auditor = BTreeSet::from([Role::Auditor]);
    let demoted = world.service.set_member(&operator(), None, "user:b", &auditor, Precondition::Any).await;
    assert_eq!(demoted.unwrap_err().code(), code::WRONG_STATE);
}

#[tokio::test]
async fn a_token_is_taken_until_it_is_revoked_and_shown_once() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let acme = name("acme");
    set(&world, &admin("acme"), Some("acme"), "user:ci", &[Role::Deployer]).await.unwrap();
    let key = IdempotencyKey::new("k", "POST /tokens", b"").unwrap();
    let admin = admin("acme");
    let new = new(Some("user:ci"), None);
    let made = world.service.create_token(&admin, Some(&key), Some(&acme), &new).await.unwrap();
    let again = world.service.create_token(&admin, Some(&key), Some(&acme), &new).await.unwrap();
    let text = made.thing.text.unwrap().expose().clone();
    assert!(text.starts_with("lgt_") && again.replayed && again.thing.text.is_none());
    assert_eq!(made.thing.record, again.thing.record);
    let secret = text.split('_').nth(2).unwrap().to_owned();
    let (lines, _) = world.service.records().audit(0, 1_000).await.unwrap();
    assert!(lines.iter().any(|line| line.contains(&made.thing.record.id)));
    assert!(!lines.iter().any(|line| line.contains(&secret)));
    // As those see it who check credentials.
    let directory = Kept_::new(Arc::clone(&world.store));
    let id = made.thing.record.id;
    assert_eq!(directory.token(&id).await.unwrap().unwrap().principal, "user:ci");
    assert!(!directory.has_operator_token().await.unwrap());
    world.service.revoke_token(&admin, Some(&acme), &id).await.unwrap();
    assert!(directory.token(&id).await.unwrap().unwrap().revoked.is_some());
    assert!(audited(&world).await.contains(&format!("revoke-tokens token/{id} done")));
}

#[tokio::test]
async fn no_token_is_wider_than_what_made_it() {
    let world = World::empty().await;
    world.tenant("acme").await;
    set(&world, &admin("acme"), Some("acme"), "user:dep-acme", &[Role::Deployer]).await.unwrap();
    let mut narrowed = deployer("acme");
    narrowed.caller.scopes = Some([Action::ReadJobs, Action::OwnTokens].into());
    let make = |by: Call, new: NewToken| {
        let world = &world;
        async move {
            let made = world.service.create_token(&by, None, Some(&name("acme")), &new).await;
            made.map(|made| made.thing.record.scopes).map_err(|error| error.code())
        }
    };
    assert!(make(deployer("acme"), new(None, None)).await.is_ok());
    assert_eq!(make(narrowed.clone(), new(None, None)).await, Err(code::FORBIDDEN));
    let wider = [Action::ReadJobs, Action::CreateJobs];
    assert_eq!(make(narrowed.clone(), new(None, Some(&wider))).await, Err(code::FORBIDDEN));
    assert_eq!(make(narrowed, new(None, Some(&[Action::ReadJobs]))).await, Ok(Some([Action::ReadJobs].into())));
    // For others it takes a right, and they have to be members.
    assert_eq!(make(deployer("acme"), new(Some("user:admin-acme"), None)).await, Err(code::NOT_FOUND));
    assert_eq!(make(admin("acme"), new(Some("user:nobody"), None)).await, Err(code::NOT_FOUND));
    // The operator gives a tenant's administrators their first token, and nobody else of it.
    assert_eq!(make(operator(), new(Some("user:dep-acme"), None)).await, Err(code::FORBIDDEN));
    for bad in
        [NewToken { days: 0, ..new(None, None) }, NewToken { days: 367, ..new(None, None) }, new(None, Some(&[]))]
    {
        assert_eq!(make(deployer("acme"), bad).await, Err(code::MALFORMED_REQUEST));
    }
}

#[tokio::test]
async fn whoever_is_removed_loses_his_tokens_for_good() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let acme = name("acme");
    let id = world.member(Some("acme"), "user:ci", &[Role::Deployer]).await;
    world.service.remove_member(&admin("acme"), Some(&acme), "user:ci", Precondition::Unstated).await.unwrap();
    set(&world, &admin("acme"), Some("acme"), "user:ci", &[Role::Deployer]).await.unwrap();
    let directory = Kept_::new(Arc::clone(&world.store));
    assert!(directory.token(&id).await.unwrap().unwrap().revoked.is_some());
}

#[tokio::test]
async fn one_sees_and_revokes_ones_own() {
    let world = World::empty().await;
    for tenant in ["acme", "bolt"] {
        world.tenant(tenant).await;
    }
    let (acme, bolt) = (name("acme"), name("bolt"));
    let ana = world.member(Some("acme"), "user:ana", &[Role::Viewer]).await;
    let ben = world.member(Some("acme"), "user:ben", &[Role::Viewer]).await;
    let call = call(caller("user:ana", Some("acme"), &[Role::Viewer]));
    let ids = |by: Call| {
        let (world, acme) = (&world, &acme);
        async move {
            let page = world.service.tokens(&by, Some(acme), &Filter::all()).await.unwrap();
            page.items.into_iter().map(|kept| kept.record.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(call.clone()).await.join(" "), ana);
    assert_eq!(ids(admin("acme")).await.len(), 2);
    let foreign = world.service.revoke_token(&call, Some(&acme), &ben).await.unwrap_err();
    let missing = world.service.revoke_token(&call, Some(&acme), "none").await.unwrap_err();
    assert_eq!((foreign.code(), foreign.cause().replace(&ben, "none")), (missing.code(), missing.cause().to_owned()));
    assert!(
        world.service.revoke_token(&admin("bolt"), Some(&bolt), &ana).await.is_err(),
        "under another tenant's name"
    );
    assert!(world.service.revoke_token(&admin("bolt"), Some(&acme), &ana).await.is_err());
    world.service.revoke_token(&call, Some(&acme), &ana).await.unwrap();
}

#[tokio::test]
async fn no_more_tokens_than_the_quota() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let acme = name("acme");
    let first = world.member(Some("acme"), "user:ci", &[Role::Deployer]).await;
    let values = BTreeMap::from([(Kind::Tokens, 2)]);
    world.service.set_quota(&operator(), &acme, &values, Precondition::Unstated).await.unwrap();
    let make = || {
        let (world, acme) = (&world, &acme);
        async move {
            let made = world.service.create_token(&admin("acme"), None, Some(acme), &new(Some("user:ci"), None)).await;
            made.map(drop).map_err(|error| error.code())
        }
    };
    let both = tokio::join!(make(), make());
    assert_eq!([both.0, both.1].iter().filter(|made| made.is_ok()).count(), 1);
    assert_eq!(make().await, Err(code::QUOTA_EXCEEDED));
    world.service.revoke_token(&admin("acme"), Some(&acme), &first).await.unwrap();
    assert_eq!(make().await, Ok(()));
}
