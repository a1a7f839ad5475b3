//! Attacks on the trust documents: forged, foreign, stale, mixed.

use crate::dsse::Envelope;
use crate::error::{Code, code};
use crate::keys::Role;
use crate::testing::{Change, DAY, Sealed, World, domain, forged, key, name, refused};
use crate::trust::chain::MAX_CHAIN;
use crate::trust::{
    Audience, Document, Documents, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus,
    countersign, create,
};
use crate::verify::Admission;

fn changed(change: impl FnOnce(&World, &mut Sealed)) -> Code {
    let world = World::new();
    let mut sealed = world.seal();
    change(&world, &mut sealed);
    world.refusal_of(&sealed)
}

#[test]
fn documents_read_what_they_write() {
    let documents = World::new().seal().documents;
    assert_eq!(Documents::parse(&documents.to_json().unwrap()).unwrap(), documents);
    assert_eq!(Documents::parse(b"{}").unwrap_err().code(), code::MALFORMED_DOCUMENT);
}

#[test]
fn every_document_needs_its_own_signer() {
    let thief = key(66);
    let refusals = [
        changed(|w, s| s.pinned = create(&w.operator_root, &[&thief]).unwrap()),
        changed(|_, s| {
            s.documents.operator_status = forged::<OperatorStatus>(&s.documents.operator_status, "", "", &thief)
        }),
        changed(|_, s| s.documents.policies[0] = forged::<TenantPolicy>(&s.documents.policies[0], "", "", &thief)),
        changed(|_, s| s.documents.tenant_root = forged::<TenantRoot>(&s.documents.tenant_root, "", "", &thief)),
        changed(|_, s| s.documents.tenant_status = forged::<TenantStatus>(&s.documents.tenant_status, "", "", &thief)),
        // The tenant's own root signs itself a policy.
        changed(|w, s| {
            s.documents.policies[0] = forged::<TenantPolicy>(&s.documents.policies[0], "2013", "", &w.keys.tenant_root);
        }),
        // A status key signs a root, and a root key a status.
        changed(|w, s| {
            s.documents.tenant_root = forged::<TenantRoot>(&s.documents.tenant_root, "", "", &w.keys.tenant_status);
        }),
        changed(|w, s| {
            s.documents.tenant_status = forged::<TenantStatus>(&s.documents.tenant_status, "", "", &w.keys.tenant_root);
        }),
    ];
    assert_eq!(refusals, [code::UNTRUSTED_SIGNER; 8]);
}

#[test]
fn unknown_fields_duplicate_keys_and_floats_are_refused_though_signed() {
    let policy = |from: &str, to: &str| {
        changed(|w, s| {
            s.documents.policies[0] = forged::<TenantPolicy>(&s.documents.policies[0], from, to, &w.keys.operator_root);
        })
    };
    assert_eq!(policy("{", r#"{"admin":true,"#), code::MALFORMED_DOCUMENT);
    assert_eq!(policy("\"epoch\":3", "\"epoch\":3,\"epoch\":3"), code::MALFORMED_JSON);
    assert_eq!(policy("\"epoch\":3", "\"epoch\":3.0"), code::MALFORMED_JSON);
    assert_eq!(policy("\"epoch\":3", "\"epoch\":0"), code::MALFORMED_DOCUMENT);
    assert_eq!(policy("\"threshold\":1", "\"threshold\":0"), code::MALFORMED_DOCUMENT);
    assert_eq!(policy("\"status-days\":7", "\"status-days\":6"), code::MALFORMED_DOCUMENT);
    assert_eq!(policy("\"status-days\":7", "\"status-days\":31"), code::MALFORMED_DOCUMENT);
    assert_eq!(policy("\"prefix\":\"2013\"", "\"prefix\":\"2013/..\""), code::MALFORMED_DOCUMENT);
    assert_eq!(policy("}]", "}]} {"), code::MALFORMED_JSON);
}

#[test]
fn a_document_of_one_kind_is_none_of_another() {
    assert_eq!(changed(|_, s| s.documents.tenant_status = s.documents.tenant_root.clone()), code::WRONG_PAYLOAD_TYPE);
    assert_eq!(changed(|_, s| s.documents.policies[0] = s.pinned.clone()), code::WRONG_PAYLOAD_TYPE);
    assert_eq!(changed(|_, s| s.pinned = s.documents.policies[0].clone()), code::WRONG_PAYLOAD_TYPE);
}

#[test]
fn documents_for_another_cluster_are_refused() {
    let elsewhere = || Audience::new(vec![domain("elsewhere.example")]).unwrap();
    let changes: [fn(&mut World) -> &mut Audience; 5] = [
        |w| &mut w.operator_root.audience,
        |w| &mut w.operator_status.audience,
        |w| &mut w.policy.audience,
        |w| &mut w.tenant_root.audience,
        |w| &mut w.tenant_status.audience,
    ];
    for (at, field) in changes.into_iter().enumerate() {
        let mut world = World::new();
        *field(&mut world) = elsewhere();
        assert_eq!(world.refusal(), code::WRONG_AUDIENCE, "document {at}");
    }
}

#[test]
fn a_freeze_ends_with_the_expiry() {
    for (at, expected) in
        [code::EXPIRED, code::STALE_STATUS, code::EXPIRED, code::EXPIRED, code::STALE_STATUS].into_iter().enumerate()
    {
        let mut world = World::new();
        let fields = [
            &mut world.operator_root.expires,
            &mut world.operator_status.expires,
            &mut world.policy.expires,
            &mut world.tenant_root.expires,
            &mut world.tenant_status.expires,
        ];
        for (field, expires) in fields.into_iter().enumerate() {
            if field == at {
                *expires = world.now;
            }
        }
        assert_eq!(world.refusal(), expected, "document {at}");
    }
}

#[test]
fn a_restart_outlives_a_stale_status_by_its_grace() {
    let mut world = World::new();
    world.start().unwrap();
    world.now = world.tenant_status.expires.plus(3 * DAY - 1);
    assert_eq!(world.refusal(), code::STALE_STATUS);
    assert!(world.run(Admission::Restart).is_ok());
    world.now = world.tenant_status.expires.plus(3 * DAY);
    assert_eq!(refused(world.run(Admission::Restart)), code::STALE_STATUS);
}

#[test]
fn a_status_lives_no_longer_than_the_policy_allows() {
    let mut world = World::new();
    world.tenant_status.expires = world.tenant_status.issued.plus(7 * DAY);
    assert!(world.start().is_ok());
    world.tenant_status.expires = world.tenant_status.issued.plus(7 * DAY + 1);
    assert_eq!(world.refusal(), code::STATUS_TOO_LONG);
    let long = OperatorStatus { expires: world.now.plus(40 * DAY), ..world.operator_status.clone() };
    assert_eq!(create(&long, &[]).unwrap_err().code(), code::STATUS_TOO_LONG);
    // Nor is it kept in stock for later.
    let mut world = World::new();
    (world.tenant_status.issued, world.tenant_status.expires) = (world.now.plus(DAY), world.now.plus(8 * DAY));
    assert_eq!(world.refusal(), code::NOT_YET_VALID);
}

#[test]
fn a_status_names_exactly_what_is_current() {
    let stranger = Reference { epoch: 3, version: 2, digest: crate::Digest::of(b"other") };
    let mut world = World::new();
    world.operator_status.policies.insert(name("acme"), stranger);
    assert_eq!(world.refusal(), code::NOT_CURRENT);
    let mut world = World::new();
    world.tenant_status.jobs.insert(name("late"), crate::testing::release(1, "other"));
    assert_eq!(world.refusal(), code::NOT_CURRENT);

    // An older root of the operator, of the tenant; a tenant that the operator no longer lists; an unlisted job.
    let old = World::new().seal();
    let mut newer = World::new();
    newer.tenant_root.version += 1;
    let mut sealed = newer.seal();
    sealed.documents.tenant_root = old.documents.tenant_root.clone();
    assert_eq!(newer.refusal_of(&sealed), code::NOT_CURRENT);
    let mut newer = World::new();
    newer.operator_root.expires = newer.operator_root.expires.plus(1);
    let mut sealed = newer.seal();
    sealed.pinned = old.pinned;
    assert_eq!(newer.refusal_of(&sealed), code::NOT_CURRENT);
    assert_eq!(
        changed(|w, s| {
            let status: OperatorStatus = crate::trust::peek(&s.documents.operator_status).unwrap();
            let none = OperatorStatus { policies: Default::default(), ..status };
            s.documents.operator_status = create(&none, &[&w.keys.operator_status]).unwrap();
        }),
        code::NOT_CURRENT
    );
    assert_eq!(
        changed(|w, s| {
            let status: TenantStatus = crate::trust::peek(&s.documents.tenant_status).unwrap();
            let none = TenantStatus { jobs: Default::default(), ..status };
            s.documents.tenant_status = create(&none, &[&w.keys.tenant_status]).unwrap();
        }),
        code::NOT_CURRENT
    );
    assert_eq!(changed(|_, s| s.documents.policies.clear()), code::NOT_CURRENT);
}

#[test]
fn documents_of_another_tenant_are_refused() {
    let mut world = World::new();
    world.tenant = name("globex");
    assert_eq!(world.refusal(), code::WRONG_TENANT);
    let changes: [fn(&mut World); 2] =
        [|w| w.tenant_root.tenant = name("globex"), |w| w.tenant_status.tenant = name("globex")];
    for change in changes {
        let mut world = World::new();
        change(&mut world);
        assert_eq!(world.refusal(), code::WRONG_TENANT);
    }
}

#[test]
fn no_key_serves_two_roles() {
    let keys = crate::testing::keys();
    type Set = fn(&mut World, Role);
    let roles: [(&str, Set); 4] = [
        ("operator status", |w, role| w.operator_root.status = role),
        ("tenant root", |w, role| w.policy.root = role),
        ("signers", |w, role| w.tenant_root.signers = role),
        ("tenant status", |w, role| w.tenant_root.status = role),
    ];
    let others = [&keys.operator_root, &keys.operator_status, &keys.tenant_root, &keys.tenant_status, &key(1)];
    let mut checked = 0;
    for (what, set) in roles {
        for other in others {
            let mut world = World::new();
            let own = [
                &world.operator_root.status,
                &world.policy.root,
                &world.tenant_root.signers,
                &world.tenant_root.status,
            ]
            .map(|role| role.keys().to_vec());
            let at =
                ["operator status", "tenant root", "signers", "tenant status"].iter().position(|n| *n == what).unwrap();
            if own[at].contains(&other.public()) {
                continue;
            }
            // Beside its own key, so that everything stays well signed.
            let mut together = own[at].clone();
            together.push(other.public());
            let threshold = if what == "signers" { 2 } else { 1 };
            set(&mut world, Role::new(together, threshold).unwrap());
            assert_eq!(world.refusal(), code::KEY_IN_TWO_ROLES, "{what}");
            checked += 1;
        }
    }
    assert_eq!(checked, 16);
}

#[test]
fn revoked_keys_jobs_and_content_do_not_run() {
    let component = World::new().package().layers[0].digest;
    let payload = World::new().package().envelope.payload_digest();
    let changes: [(&str, Change, Code); 7] = [
        ("job", Box::new(|w| w.tenant_status.revoked_jobs.push(name("late"))), code::REVOKED),
        ("component", Box::new(move |w| w.tenant_status.revoked_digests.push(component)), code::REVOKED),
        ("payload", Box::new(move |w| w.tenant_status.revoked_digests.push(payload)), code::REVOKED),
        ("component, for good", Box::new(move |w| w.tenant_root.revoked_digests.push(component)), code::REVOKED),
        ("payload, for good", Box::new(move |w| w.tenant_root.revoked_digests.push(payload)), code::REVOKED),
        ("signer", Box::new(|w| w.tenant_status.revoked_keys.push(key(2).public())), code::THRESHOLD),
        (
            "signers",
            Box::new(|w| w.tenant_status.revoked_keys = vec![key(1).public(), key(2).public()]),
            code::UNTRUSTED_SIGNER,
        ),
    ];
    for (what, change, expected) in changes {
        let mut world = World::new();
        change(&mut world);
        assert_eq!(world.refusal(), expected, "{what}");
    }
    let mut root = World::new().tenant_root;
    root.revoked_keys.push(key(2).public());
    assert_eq!(create(&root, &[]).unwrap_err().code(), code::MALFORMED_DOCUMENT, "a revoked key keeps its role");
}

#[test]
fn the_operator_root_advances_under_old_and_new_thresholds_together() {
    let world = World::new();
    let old = &world.keys.operator_root;
    let (new, other) = (key(70), key(71));
    let next = |seeds: &[&crate::keys::SecretKey], version: u64| {
        let mut next = world.operator_root.succeed(world.operator_root.expires);
        next.version = version;
        next.root = Role::new(vec![new.public(), other.public()], 2).unwrap();
        create(&next, seeds).unwrap()
    };
    let run = |envelope: Envelope| {
        let mut sealed = world.seal();
        // What was signed by the operator root is signed by the new one.
        let policy = create(&world.policy, &[&new, &other]).unwrap();
        let mut status: OperatorStatus = crate::trust::peek(&sealed.documents.operator_status).unwrap();
        status.root = Reference::of::<OperatorRoot>(&envelope).unwrap();
        status.policies.insert(name("acme"), Reference::of::<TenantPolicy>(&policy).unwrap());
        sealed.documents.operator_status = create(&status, &[&world.keys.operator_status]).unwrap();
        sealed.documents.policies = vec![policy];
        // The chain may begin with what is pinned already.
        sealed.documents.operator_roots = vec![sealed.pinned.clone(), envelope];
        world.present(&sealed, Admission::Start).map_err(|error| error.code()).err()
    };
    assert_eq!(run(next(&[old, &new, &other], 2)), None);
    assert_eq!(run(next(&[&new, &other], 2)), Some(code::UNTRUSTED_SIGNER), "without the old threshold");
    assert_eq!(run(next(&[old], 2)), Some(code::UNTRUSTED_SIGNER), "without the new threshold");
    assert_eq!(run(next(&[old, &new], 2)), Some(code::THRESHOLD), "below the new threshold");
    assert_eq!(run(next(&[old, &new, &other], 3)), Some(code::ROOT_CHAIN), "with a gap");
}

#[test]
fn other_tenant_root_keys_need_the_old_ones_or_a_new_epoch() {
    let mut world = World::new();
    world.start().unwrap();
    let (old, new) = (crate::testing::keys().tenant_root, key(80));
    world.policy.version += 1;
    world.operator_status.version += 1;
    world.policy.root = Role::single(new.public());
    (world.tenant_root.version, world.tenant_status.version) = (5, 10);
    world.keys.tenant_root = new;
    // A stolen operator root alone would give the tenant away.
    assert_eq!(world.refusal(), code::ROTATION_UNSIGNED);
    // A lower threshold over the same keys is a change too; more signatures leave the payload as it was.
    let mut sealed = world.seal();
    countersign(&mut sealed.documents.policies[0], &old).unwrap();
    assert!(world.present(&sealed, Admission::Start).is_ok());
    // Recovery: a new epoch, by the operator alone. What ran before does not restart.
    for document in [&mut world.policy.epoch, &mut world.tenant_root.epoch, &mut world.tenant_status.epoch] {
        *document += 1;
    }
    let sealed = world.seal();
    assert_eq!(refused(world.present(&sealed, Admission::Restart)), code::NOT_ADMITTED);
    assert!(world.present(&sealed, Admission::Start).is_ok());
}

#[test]
fn a_missed_change_of_root_keys_is_caught_up() {
    let mut world = World::new();
    world.start().unwrap();
    let first = crate::testing::keys().tenant_root;
    let (second, third) = (key(80), key(81));
    let change = |world: &mut World, to: &crate::keys::SecretKey, consent: &crate::keys::SecretKey| {
        world.policy.version += 1;
        world.operator_status.version += 1;
        world.policy.root = Role::single(to.public());
        create(&world.policy, &[&world.keys.operator_root, consent]).unwrap()
    };
    let to_second = change(&mut world, &second, &first);
    let to_third = change(&mut world, &third, &second);
    (world.tenant_root.version, world.tenant_status.version) = (5, 10);
    world.keys.tenant_root = third;
    let mut sealed = world.seal();
    sealed.documents.policies = vec![to_third.clone()];
    assert_eq!(world.refusal_of(&sealed), code::ROTATION_UNSIGNED);
    sealed.documents.policies = vec![to_second, to_third];
    assert!(world.present(&sealed, Admission::Start).is_ok());
}

#[test]
fn nobody_countersigns_what_readers_refuse() {
    let sealed = World::new().seal();
    let Documents { operator_status, policies, tenant_root, tenant_status, .. } = sealed.documents;
    for mut good in [sealed.pinned, operator_status, policies[0].clone(), tenant_root.clone(), tenant_status] {
        countersign(&mut good, &key(50)).unwrap();
        assert_eq!(good.signature_count(), 2);
    }
    let mut forgery = forged::<TenantRoot>(&tenant_root, "\"version\":4", "\"version\":0", &key(50));
    assert_eq!(countersign(&mut forgery, &key(51)).unwrap_err().code(), code::MALFORMED_DOCUMENT);
    let mut bundle = sealed.package.envelope;
    assert_eq!(countersign(&mut bundle, &key(51)).unwrap_err().code(), code::WRONG_PAYLOAD_TYPE);
}

#[test]
fn lists_in_documents_are_bounded() {
    let many = |count: usize| Audience::new((0..count).map(|at| domain(&format!("d{at}"))).collect());
    assert!(many(64).is_ok());
    assert_eq!(many(65).unwrap_err().code(), code::MALFORMED_DOCUMENT);
    assert_eq!(many(0).unwrap_err().code(), code::MALFORMED_DOCUMENT);
    for bad in ["", "UPPER", "a b", "a/b", &"x".repeat(256)] {
        assert_eq!(bad.parse::<crate::trust::TrustDomain>().unwrap_err().code(), code::MALFORMED_DOCUMENT, "{bad}");
    }
    let long = |s: &mut Sealed| s.documents.policies = vec![s.documents.policies[0].clone(); MAX_CHAIN + 1];
    assert_eq!(changed(|_, s| long(s)), code::MALFORMED_DOCUMENT);
    let roots = |s: &mut Sealed| s.documents.operator_roots = vec![s.pinned.clone(); MAX_CHAIN + 1];
    assert_eq!(changed(|_, s| roots(s)), code::MALFORMED_DOCUMENT);
    let digests = vec![crate::Digest::of(b""); 10_001];
    let root = TenantRoot { revoked_digests: digests, ..World::new().tenant_root };
    assert_eq!(create(&root, &[]).unwrap_err().code(), code::MALFORMED_DOCUMENT);
}
