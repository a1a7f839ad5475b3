//! Trust documents: which are taken, and which set is served.

use super::audited;
use crate::model::trust::Kind;
use crate::service::Filter;
use crate::world::{DAY, World, admin, deployer, keys, name, operator, stranger, viewer};
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::keys::Role;
use lockgate_core::trust::{OperatorRoot, TenantPolicy, TenantRoot, create};
use lockgate_core::{Code, Name};
use std::collections::BTreeMap;

async fn refused(world: &World, tenant: Option<&Name>, kind: Kind, envelope: &Envelope) -> Code {
    let call = if matches!(kind, Kind::Root | Kind::Status) { admin("acme") } else { operator() };
    world.service.upload_trust(&call, tenant, kind, envelope).await.unwrap_err().code()
}

#[tokio::test]
async fn a_whole_set_is_served_and_holds_together() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let set = world.service.trust_set(&viewer("acme"), &name("acme")).await.unwrap();
    assert_eq!(set.operator_roots.len(), 1);
    assert_eq!(set.policies.len(), 1);
    assert!(world.service.trust_set(&viewer("bolt"), &name("acme")).await.is_err());
}

#[tokio::test]
async fn what_a_stranger_signed_is_refused_and_not_kept() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let (acme, evil) = (name("acme"), stranger());
    let mut root = world.tenant_root(&acme);
    root.version = 2;
    let envelope = create(&root, &[&evil]).unwrap();
    assert_eq!(refused(&world, Some(&acme), Kind::Root, &envelope).await, code::UNTRUSTED_SIGNER);
    let status = create(&world.tenant_status(&acme, BTreeMap::new()), &[&evil]).unwrap();
    assert_eq!(refused(&world, Some(&acme), Kind::Status, &status).await, code::UNTRUSTED_SIGNER);
    let mut policy = world.policy(&acme);
    policy.version = 2;
    let policy = create(&policy, &[&evil]).unwrap();
    assert_eq!(refused(&world, Some(&acme), Kind::Policy, &policy).await, code::UNTRUSTED_SIGNER);
    let mut operator_root = world.operator_root();
    operator_root.version = 2;
    operator_root.root = Role::single(evil.public());
    let operator_root = create(&operator_root, &[&evil]).unwrap();
    assert_eq!(refused(&world, None, Kind::OperatorRoot, &operator_root).await, code::UNTRUSTED_SIGNER);
    for kind in [Kind::Root, Kind::Policy] {
        let history = world.service.trust_history(&admin("acme"), Some(&acme), kind, &Filter::all()).await.unwrap();
        assert_eq!(history.items.len(), 1, "{kind:?}");
    }
    let audited = audited(&world).await;
    assert!(audited.contains(&format!("write-tenant-trust trust/root {}", code::UNTRUSTED_SIGNER)), "{audited:?}");
}

#[tokio::test]
async fn versions_only_rise_and_none_exists_twice() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let acme = name("acme");
    let upload = |version: u64, expires| {
        let mut root = world.tenant_root(&name("acme"));
        (root.version, root.expires) = (version, expires);
        create(&root, &[&keys(&name("acme")).tenant_root]).unwrap()
    };
    let (far, service) = (world.now().plus(9 * DAY), &world.service);
    service.upload_trust(&admin("acme"), Some(&acme), Kind::Root, &upload(5, far)).await.unwrap();
    let same = service.upload_trust(&admin("acme"), Some(&acme), Kind::Root, &upload(5, far)).await;
    assert!(same.is_ok(), "the same again is no change");
    assert_eq!(refused(&world, Some(&acme), Kind::Root, &upload(4, far)).await, code::ROLLBACK);
    assert_eq!(refused(&world, Some(&acme), Kind::Root, &upload(5, far.plus(1))).await, code::SAME_VERSION_TWICE);
    assert_eq!(refused(&world, Some(&acme), Kind::Root, &upload(6, world.now())).await, code::EXPIRED);
    let history = service.trust_history(&viewer("acme"), Some(&acme), Kind::Root, &Filter::all()).await.unwrap();
    let versions: Vec<u64> = history.items.iter().map(|kept| kept.record.reference.version).collect();
    assert_eq!(versions, [1, 5]);
    let old = service.trust_version(&viewer("acme"), Some(&acme), Kind::Root, (1, 1)).await.unwrap();
    assert_eq!(old.record.reference.version, 1);
    // Until a status names it, the set has the one before.
    let set = service.trust_set(&viewer("acme"), &acme).await.unwrap();
    assert_eq!(lockgate_core::trust::peek::<TenantRoot>(&set.tenant_root).unwrap().version, 1);
}

#[tokio::test]
async fn documents_of_others_do_not_fit() {
    let world = World::empty().await;
    world.tenant("acme").await;
    world.tenant("bolt").await;
    let (acme, bolt) = (name("acme"), name("bolt"));
    let foreign = create(&world.policy(&bolt), &[&world.operator_keys().operator_root]).unwrap();
    assert_eq!(refused(&world, Some(&acme), Kind::Policy, &foreign).await, code::WRONG_TENANT);
    let status = create(&world.tenant_status(&bolt, BTreeMap::new()), &[&keys(&acme).tenant_status]).unwrap();
    assert_eq!(refused(&world, Some(&acme), Kind::Status, &status).await, code::WRONG_TENANT);
    let root = create(&world.tenant_root(&acme), &[&keys(&acme).tenant_root]).unwrap();
    assert_eq!(refused(&world, Some(&acme), Kind::Status, &root).await, code::WRONG_PAYLOAD_TYPE);
}

#[tokio::test]
async fn a_status_names_what_is_here() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let acme = name("acme");
    let mut status = world.tenant_status(&acme, BTreeMap::new());
    status.root.version = 9;
    let status = create(&status, &[&keys(&acme).tenant_status]).unwrap();
    assert_eq!(refused(&world, Some(&acme), Kind::Status, &status).await, code::UNNAMED_DOCUMENT);
}

#[tokio::test]
async fn root_keys_change_with_the_old_ones_consent_only() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let (acme, fresh) = (name("acme"), stranger());
    let mut policy = world.policy(&acme);
    (policy.version, policy.root) = (2, Role::single(fresh.public()));
    let by_operator = create(&policy, &[&world.operator_keys().operator_root]).unwrap();
    assert_eq!(refused(&world, Some(&acme), Kind::Policy, &by_operator).await, code::ROTATION_UNSIGNED);
    let by_both = create(&policy, &[&world.operator_keys().operator_root, &keys(&acme).tenant_root]).unwrap();
    assert!(world.service.upload_trust(&operator(), Some(&acme), Kind::Policy, &by_both).await.is_ok());
}

#[tokio::test]
async fn the_operator_root_advances_by_one_under_both_thresholds() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let (fresh, old) = (stranger(), &world.operator_keys().operator_root);
    let mut root: OperatorRoot = world.operator_root();
    root.root = Role::single(fresh.public());
    root.version = 3;
    let leap = create(&root, &[&fresh, old]).unwrap();
    assert_eq!(refused(&world, None, Kind::OperatorRoot, &leap).await, code::ROOT_CHAIN);
    root.version = 2;
    let by_old = create(&root, &[old]).unwrap();
    assert_eq!(refused(&world, None, Kind::OperatorRoot, &by_old).await, code::UNTRUSTED_SIGNER);
    let by_both = create(&root, &[&fresh, old]).unwrap();
    assert!(world.service.upload_trust(&operator(), None, Kind::OperatorRoot, &by_both).await.is_ok());
}

#[tokio::test]
async fn each_uploads_his_own() {
    let world = World::empty().await;
    world.tenant("acme").await;
    let acme = name("acme");
    let mut policy: TenantPolicy = world.policy(&acme);
    policy.version = 2;
    let policy = create(&policy, &[&world.operator_keys().operator_root]).unwrap();
    let mut root = world.tenant_root(&acme);
    root.version = 2;
    let root = create(&root, &[&keys(&acme).tenant_root]).unwrap();
    for (call, kind, envelope, expected) in [
        (admin("acme"), Kind::Policy, &policy, code::FORBIDDEN),
        (operator(), Kind::Root, &root, code::FORBIDDEN),
        (deployer("acme"), Kind::Root, &root, code::FORBIDDEN),
        (viewer("acme"), Kind::Root, &root, code::FORBIDDEN),
        (admin("bolt"), Kind::Root, &root, code::NOT_FOUND),
    ] {
        let error = world.service.upload_trust(&call, Some(&acme), kind, envelope).await.unwrap_err();
        assert_eq!(error.code(), expected, "{} {kind:?}", call.caller.principal);
    }
}
