//! Tenants and quotas.

use super::audited;
use crate::fair_use::Kind;
use crate::model::tenant::State;
use crate::service::changes::Precondition;
use crate::service::tenants::{NewTenant, TenantChange};
use crate::service::{Filter, IdempotencyKey};
use crate::world::{World, admin, deployer, name, operator, package, viewer};
use lockgate_core::error::code;
use std::collections::BTreeMap;

fn new(tenant: &str) -> NewTenant {
    NewTenant { name: name(tenant), labels: BTreeMap::from([("team".to_owned(), tenant.to_owned())]) }
}

#[tokio::test]
async fn a_name_is_given_once() {
    let world = World::empty().await;
    let service = &world.service;
    service.create_tenant(&operator(), None, &new("acme")).await.unwrap();
    let again = service.create_tenant(&operator(), None, &new("acme")).await;
    assert_eq!(again.unwrap_err().code(), code::ALREADY_EXISTS);
    service.close_tenant(&operator(), &name("acme"), &Precondition::Unstated).await.unwrap();
    let again = service.create_tenant(&operator(), None, &new("acme")).await;
    assert_eq!(again.unwrap_err().code(), code::ALREADY_EXISTS, "of a closed tenant too");
    assert_eq!(service.get_tenant(&operator(), &name("acme")).await.unwrap().record.state, State::Closed);
    assert_eq!(service.get_tenant(&admin("acme"), &name("acme")).await.unwrap_err().code(), code::NOT_FOUND);
}

#[tokio::test]
async fn a_request_that_comes_twice_makes_one() {
    let world = World::empty().await;
    let key = |body: &[u8]| IdempotencyKey::new("k-1", "POST /tenants", body).unwrap();
    let first = world.service.create_tenant(&operator(), Some(&key(b"a")), &new("acme")).await.unwrap();
    let second = world.service.create_tenant(&operator(), Some(&key(b"a")), &new("acme")).await.unwrap();
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.thing, second.thing);
    let other = world.service.create_tenant(&operator(), Some(&key(b"b")), &new("other")).await;
    assert_eq!(other.unwrap_err().code(), code::IDEMPOTENCY_MISMATCH);
    // After a restart as well, and no longer than it says.
    let again = world.reopened().await.create_tenant(&operator(), Some(&key(b"a")), &new("acme")).await.unwrap();
    assert!(again.replayed);
    world.pass(86_400);
    let late = world.service.create_tenant(&operator(), Some(&key(b"a")), &new("acme")).await;
    assert_eq!(late.unwrap_err().code(), code::ALREADY_EXISTS);
    assert_eq!(world.service.forget_answers(10).await.unwrap(), 1);
    assert_eq!(world.service.forget_answers(10).await.unwrap(), 0);
}

#[tokio::test]
async fn many_at_once_make_one() {
    let world = World::empty().await;
    let key = IdempotencyKey::new("k-1", "POST /tenants", b"").unwrap();
    let (caller, tenant) = (operator(), new("acme"));
    let all = (0..20).map(|_| world.service.create_tenant(&caller, Some(&key), &tenant));
    let made = futures_util::future::join_all(all).await;
    assert_eq!(made.iter().filter(|made| !made.as_ref().unwrap().replayed).count(), 1);
}

#[tokio::test]
async fn a_stale_revision_changes_nothing() {
    let world = World::empty().await;
    let made = world.service.create_tenant(&operator(), None, &new("acme")).await.unwrap().thing;
    let suspend = TenantChange { suspended: Some(true), labels: None };
    let change = |revision| {
        let (world, suspend) = (&world, &suspend);
        async move {
            let precondition = Precondition::Revision(revision);
            world.service.change_tenant(&operator(), &name("acme"), suspend, &precondition).await
        }
    };
    let changed = change(made.revision).await.unwrap();
    assert_eq!(changed.record.state, State::Suspended);
    assert_eq!(change(made.revision).await.unwrap_err().code(), code::PRECONDITION_FAILED);
    assert!(change(changed.revision).await.is_ok());
}

#[tokio::test]
async fn the_people_of_a_suspended_tenant_see_why_and_nothing_else() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.tenant("bolt").await;
    world.job("acme", "late").await;
    let suspend = |suspended| {
        let (world, change) = (&world, TenantChange { suspended: Some(suspended), labels: None });
        async move {
            world.service.change_tenant(&operator(), &name("acme"), &change, &Precondition::Unstated).await.unwrap();
        }
    };
    suspend(true).await;
    let package = package("acme", "other", 1, None, world.now());
    let refused = world.upload_bytes("acme", package.to_bytes().unwrap()).await.unwrap_err();
    assert_eq!((refused.code(), refused.cause()), (code::TENANT_INACTIVE, "tenant acme is suspended"));
    let jobs = async |call| world.service.jobs(&call, &name("acme"), &Filter::all()).await.map(|page| page.items.len());
    for call in [viewer("acme"), deployer("acme"), admin("acme")] {
        assert_eq!(jobs(call).await.unwrap_err().code(), code::TENANT_INACTIVE);
    }
    assert_eq!(jobs(operator()).await.unwrap(), 1, "the operator works on");
    assert_eq!(jobs(viewer("bolt")).await.unwrap_err().code(), code::NOT_FOUND, "it is nobody else's business");
    assert!(world.service.jobs(&viewer("bolt"), &name("bolt"), &Filter::all()).await.is_ok());
    assert_eq!(world.service.get_tenant(&viewer("acme"), &name("acme")).await.unwrap().record.state, State::Suspended);
    assert!(world.service.quota(&viewer("acme"), &name("acme")).await.is_ok());
    let log = world.service.audit_log(&admin("acme"), 0, 1_000).await.unwrap().lines;
    assert!(log.iter().any(|line| line.contains("manage-tenants") && line.contains("suspended")), "who did it");
    let denied = audited(&world).await;
    assert!(denied.contains(&"read-jobs job LG1013".to_owned()), "{denied:?}");
    let close = world.service.close_tenant(&operator(), &name("acme"), &Precondition::Unstated).await;
    assert_eq!(close.unwrap_err().code(), code::WRONG_STATE, "it has a job");
    suspend(false).await;
    assert_eq!(jobs(viewer("acme")).await.unwrap(), 1);
}

#[tokio::test]
async fn everybody_sees_his_own_and_the_operator_all() {
    let world = World::empty().await;
    for tenant in ["acme", "bolt"] {
        world.service.create_tenant(&operator(), None, &new(tenant)).await.unwrap();
    }
    let names = |call| {
        let world = &world;
        async move {
            let page = world.service.tenants(&call, &Filter::all()).await.unwrap();
            page.items.into_iter().map(|kept| kept.record.name.to_string()).collect::<Vec<_>>()
        }
    };
    assert_eq!(names(operator()).await, ["acme", "bolt"]);
    assert_eq!(names(viewer("bolt")).await, ["bolt"]);
    let other = world.service.get_tenant(&viewer("bolt"), &name("acme")).await.unwrap_err();
    let none = world.service.get_tenant(&viewer("bolt"), &name("none")).await.unwrap_err();
    assert_eq!((other.code(), none.code()), (code::NOT_FOUND, code::NOT_FOUND));
    assert_eq!(other.cause().replace("acme", "none"), none.cause());
}

#[tokio::test]
async fn changes_and_denials_are_in_the_audit_log() {
    let world = World::empty().await;
    world.service.create_tenant(&operator(), None, &new("acme")).await.unwrap();
    let denied = world.service.create_tenant(&admin("acme"), None, &new("bolt")).await;
    assert!(denied.is_err());
    assert!(world.service.create_tenant(&operator(), None, &new("acme")).await.is_err());
    let audited = audited(&world).await;
    assert_eq!(audited.first().unwrap(), "manage-tenants tenant/acme done");
    assert!(audited.iter().any(|line| line.starts_with("manage-tenants tenant LG110")), "{audited:?}");
    assert!(audited.contains(&"manage-tenants tenant/acme LG1011".to_owned()), "{audited:?}");
}

#[tokio::test]
async fn a_quota_is_replaced_only_by_who_has_seen_it() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let set = |jobs, precondition| {
        let world = &world;
        async move {
            let values = BTreeMap::from([(Kind::Jobs, jobs)]);
            world.service.set_quota(&operator(), &name("acme"), &values, precondition).await
        }
    };
    for absent in [Precondition::Any, Precondition::Revision(1)] {
        assert_eq!(
            set(3, absent).await.unwrap_err().code(),
            code::PRECONDITION_FAILED,
            "{absent:?}: there is none yet"
        );
    }
    let first = set(3, Precondition::Unstated).await.unwrap();
    assert_eq!(first.quota.get(Kind::Jobs), 3);
    assert_eq!(set(4, Precondition::Unstated).await.unwrap_err().code(), code::PRECONDITION_REQUIRED);
    assert_eq!(set(4, Precondition::Revision(1)).await.unwrap_err().code(), code::PRECONDITION_FAILED);
    let second = set(4, Precondition::Revision(first.revision)).await.unwrap();
    assert_eq!((second.own.get(&Kind::Jobs), second.usage.get(Kind::Jobs)), (Some(&4), 0));
    let denied = world.service.set_quota(&admin("acme"), &name("acme"), &BTreeMap::new(), Precondition::Any).await;
    assert_eq!(denied.unwrap_err().code(), code::FORBIDDEN);
}
