//! Attacks in time: rollback, replay of an earlier life, restored disks, silent widening.

use crate::error::code;
use crate::marks::{MAX_JUMP, Marks};
use crate::testing::{Change, DAY, Part, Sealed, World, forged, key, name, now, refused};
use crate::trust::{Document, OperatorStatus, TenantPolicy, TenantRoot, TenantStatus, peek};
use crate::verify::{Admission, learn, review};

/// A world whose TaskManager has accepted versions 1 and 2 of the job, and what it was shown for each.
fn upgraded() -> (World, Sealed, Sealed) {
    let mut world = World::new();
    let first = world.seal();
    world.start().unwrap();
    world.next_version(2);
    let second = world.seal();
    world.run(Admission::Upgrade).unwrap();
    (world, first, second)
}

#[test]
fn rollback_to_what_was_replaced_is_refused() {
    let (world, first, second) = upgraded();
    // The old status with the old bundle; the old bundle with the new status.
    assert_eq!(world.refusal_of(&first), code::ROLLBACK);
    assert_eq!(world.refusal_of(&Sealed { package: first.package.clone(), ..second.clone() }), code::NOT_CURRENT);
    // A stolen status key names the old version as current again.
    let mut stolen = World::new();
    stolen.tenant_status.version = 11;
    assert_eq!(world.refusal_of(&stolen.seal()), code::ROLLBACK);
}

#[test]
fn every_document_goes_forward_only() {
    let versions: [(&str, Part<u64>); 4] = [
        ("operator status", |w| &mut w.operator_status.version),
        ("policy", |w| &mut w.policy.version),
        ("tenant root", |w| &mut w.tenant_root.version),
        ("tenant status", |w| &mut w.tenant_status.version),
    ];
    for (what, version) in versions {
        let mut world = World::new();
        world.start().unwrap();
        // The statuses above move on, so that nothing but this document is wrong.
        match what {
            "policy" => world.operator_status.version += 1,
            "tenant root" => world.tenant_status.version += 1,
            _ => {}
        }
        *version(&mut world) -= 1;
        assert_eq!(world.refusal(), code::ROLLBACK, "{what}");
        *version(&mut world) += 2 + MAX_JUMP;
        assert_eq!(world.refusal(), code::FAST_FORWARD, "{what}");
    }
    let mut world = World::new();
    world.operator_root.version = 2;
    world.start().unwrap();
    world.operator_root.version = 1;
    assert_eq!(world.refusal(), code::ROLLBACK);
}

#[test]
fn fast_forward_of_a_job_is_refused() {
    let mut world = World::new();
    world.draft.manifest.job.version = MAX_JUMP + 1;
    assert_eq!(world.refusal(), code::FAST_FORWARD);
    world.draft.manifest.job.version = u64::MAX;
    assert_eq!(world.refusal(), code::FAST_FORWARD);
}

#[test]
fn the_same_version_twice_is_refused() {
    type Step = fn(&mut World);
    let changes: [(&str, Step); 5] = [
        ("operator root", |w| w.operator_root.expires = now().plus(300 * DAY)),
        ("operator status", |w| w.operator_status.expires = now().plus(5 * DAY)),
        ("policy", |w| (w.operator_status.version, w.policy.max_parallelism) = (6, 5)),
        ("tenant root", |w| (w.tenant_status.version, w.tenant_root.expires) = (10, now().plus(300 * DAY))),
        ("tenant status", |w| w.tenant_status.expires = now().plus(5 * DAY)),
    ];
    for (what, change) in changes {
        let mut world = World::new();
        world.start().unwrap();
        change(&mut world);
        assert_eq!(world.refusal(), code::SAME_VERSION_TWICE, "{what}");
    }
    let mut world = World::new();
    world.start().unwrap();
    world.tenant_status.version += 1;
    world.draft.grace_seconds += 1;
    assert_eq!(world.refusal(), code::SAME_VERSION_TWICE);
}

#[test]
fn a_recreated_tenant_is_another_one() {
    // The tenant of epoch 3 ran here. A new owner gets the name in epoch 4, with the same keys at worst.
    let mut world = World::new();
    let old = world.seal();
    world.start().unwrap();
    world.policy.epoch = 4;
    world.policy.version = 1;
    world.operator_status.version += 1;
    let sealed = world.seal();
    // Root and status of the earlier life do not count.
    assert_eq!(world.refusal_of(&sealed), code::WRONG_EPOCH);
    world.tenant_root.epoch = 4;
    let mixed = world.tenant_status.clone();
    world.tenant_status.epoch = 4;
    let mut sealed = world.seal();
    assert!(world.present(&sealed, Admission::Start).is_ok());
    let stale = forged::<TenantStatus>(&old.documents.tenant_status, "", "", &world.keys.tenant_status);
    sealed.documents.tenant_status = stale;
    assert_eq!(world.refusal_of(&sealed), code::WRONG_EPOCH, "status of epoch {}", mixed.epoch);
    // And once the new life is known, the old one is gone for good.
    world.start().unwrap();
    assert_eq!(world.refusal_of(&old), code::ROLLBACK);
}

#[test]
fn a_restored_disk_brings_nothing_back() {
    let (mut world, first, _) = upgraded();
    // Marks and documents from before the upgrade, once the old status is stale.
    world.marks = Marks::provision(now());
    world.now = world.tenant_status.expires;
    assert_eq!(world.refusal_of(&first), code::STALE_STATUS);
    // With the clock turned back, the marks' time tells.
    let mut seen = world.marks.clone();
    seen.advance_clock(world.now).unwrap();
    (world.marks, world.now) = (seen, now());
    assert_eq!(world.refusal_of(&first), code::CLOCK_WENT_BACK);
}

#[test]
fn marks_survive_their_file() {
    let (mut world, first, second) = upgraded();
    world.marks = Marks::decode(&world.marks.encode().unwrap()).unwrap();
    assert_eq!(world.refusal_of(&first), code::ROLLBACK);
    assert!(world.present(&second, Admission::Restart).is_ok());
}

#[test]
fn an_upgrade_touches_no_more_than_it_lists() {
    let mut world = World::new();
    world.start().unwrap();
    // Version 2 reads more and is reviewed against a version 1 that read it already.
    let mut pretended = World::new();
    pretended.draft.manifest.source.get_mut("flights").unwrap().path = Some("2013/12/*".into());
    world.replaced = Some(pretended.package());
    world.draft = pretended.draft.clone();
    world.draft.manifest.job.version = 2;
    world.tenant_status.version += 1;
    assert_eq!(refused(world.run(Admission::Upgrade)), code::WRONG_REPLACES);
    assert_eq!(world.refusal(), code::WRONG_REPLACES, "calling it a start widens a job");

    // The same by a version 2 that never ran here.
    pretended.draft.manifest.job.version = 2;
    world.replaced = Some(pretended.package());
    world.draft.manifest.job.version = 3;
    assert_eq!(world.refusal(), code::WIDENED);

    // Honestly against version 1: what is new is listed.
    world.replaced = Some(World::new().package());
    assert_eq!(world.run(Admission::Upgrade).unwrap().bundle.predicate().adds.len(), 1);
}

#[test]
fn a_skipped_version_that_touches_nothing_new_is_no_harm() {
    let mut world = World::new();
    world.start().unwrap();
    let mut second = World::new();
    second.next_version(2);
    world.replaced = Some(second.package());
    world.draft.manifest.job.version = 3;
    world.tenant_status.version += 1;
    assert!(world.run(Admission::Upgrade).is_ok());
}

#[test]
fn only_signed_fallbacks_bring_an_earlier_version_back() {
    let mut world = World::new();
    let first = world.package();
    world.start().unwrap();
    world.next_version(2);
    let current = world.package();
    world.run(Admission::Upgrade).unwrap();
    let mut sealed = world.seal();
    sealed.package = first.clone();
    let fall_back = |world: &World, sealed: &Sealed, current: &crate::dsse::Envelope| {
        world.present(sealed, Admission::Fallback { current }).map(|accepted| accepted.bundle.version())
    };
    let denied = fall_back(&world, &sealed, &current.envelope).unwrap_err();
    assert_eq!(denied.code(), code::NOT_A_FALLBACK);

    // Version 3 names version 1, and only with this content.
    world.replaced = Some(current.clone());
    world.draft.manifest.job.version = 3;
    world.draft.fallback = vec![first.release().unwrap()];
    world.tenant_status.version += 1;
    world.run(Admission::Upgrade).unwrap();
    let third = world.package();
    let mut sealed = world.seal();
    sealed.package = first.clone();
    assert_eq!(fall_back(&world, &sealed, &third.envelope).unwrap(), 1);
    sealed.package = current.clone();
    assert_eq!(fall_back(&world, &sealed, &third.envelope).unwrap_err().code(), code::NOT_A_FALLBACK);
    // The authority must be the current version, properly signed.
    sealed.package = first.clone();
    assert_eq!(fall_back(&world, &sealed, &current.envelope).unwrap_err().code(), code::NOT_A_FALLBACK);
    let mut impostor = World::new();
    impostor.signing = vec![key(66), key(67)];
    impostor.draft.manifest.job.version = 3;
    impostor.draft.fallback = vec![current.release().unwrap()];
    sealed.package = current;
    let denied = fall_back(&world, &sealed, &impostor.package().envelope).unwrap_err();
    assert_eq!(denied.code(), code::UNTRUSTED_SIGNER);
    // The mark stays with the current version.
    assert_eq!(world.marks.job(&name("acme"), &name("late")).unwrap().version, 3);
}

#[test]
fn an_authority_that_is_not_current_allows_no_fallback() {
    let mut world = World::new();
    let first = world.package();
    world.start().unwrap();
    world.next_version(2);
    world.draft.fallback = vec![first.release().unwrap()];
    let second = world.package();
    world.run(Admission::Upgrade).unwrap();
    world.next_version(3);
    world.draft.fallback.clear();
    world.run(Admission::Upgrade).unwrap();
    let mut sealed = world.seal();
    sealed.package = first;
    let current = &second.envelope;
    assert_eq!(refused(world.present(&sealed, Admission::Fallback { current })), code::NOT_CURRENT);
}

#[test]
fn a_fallback_has_the_grace_of_its_bundle_and_fresh_documents() {
    let mut world = World::new();
    world.draft.expires = now().plus(DAY);
    let first = world.package();
    world.start().unwrap();
    world.next_version(2);
    world.draft.fallback = vec![first.release().unwrap()];
    world.draft.expires = now().plus(90 * DAY);
    let second = world.package();
    world.run(Admission::Upgrade).unwrap();
    let mut sealed = world.seal();
    sealed.package = first;
    let current = &second.envelope;
    for (after, expected) in
        [(0, None), (4 * DAY - 1, None), (4 * DAY, Some(code::EXPIRED)), (6 * DAY, Some(code::STALE_STATUS))]
    {
        world.now = now().plus(after);
        let found = world.present(&sealed, Admission::Fallback { current }).err().map(|error| error.code());
        assert_eq!(found, expected, "after {after} s");
    }
}

#[test]
fn revocation_reaches_running_jobs() {
    let mut world = World::new();
    let running = world.start().unwrap().bundle;
    let look = |world: &World| {
        let sealed = world.seal();
        review(&world.request(&sealed, Admission::Restart), &running).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(look(&world), Ok(()));
    // A newer version is no reason to stop.
    world.next_version(2);
    assert_eq!(look(&world), Ok(()));
    let component = running.components().next().unwrap().digest;
    let changes: [(&str, Change); 6] = [
        ("job", Box::new(|w| w.tenant_status.revoked_jobs.push(name("late")))),
        ("component", Box::new(move |w| w.tenant_status.revoked_digests.push(component))),
        (
            "version",
            Box::new(|w| w.tenant_status.revoked_digests.push(World::new().package().envelope.payload_digest())),
        ),
        ("a signer", Box::new(|w| w.tenant_status.revoked_keys.push(key(1).public()))),
        ("a grant", Box::new(|w| drop((w.policy.grants.pop(), w.policy.version += 1, w.operator_status.version += 1)))),
        (
            "the epoch",
            Box::new(|w| {
                (w.policy.epoch, w.tenant_root.epoch, w.tenant_status.epoch) = (4, 4, 4);
                w.operator_status.version += 1;
            }),
        ),
    ];
    let expected = [code::REVOKED, code::REVOKED, code::REVOKED, code::REVOKED, code::NOT_GRANTED, code::WRONG_EPOCH];
    for ((what, change), expected) in changes.into_iter().zip(expected) {
        let mut later = World::new();
        later.marks = world.marks.clone();
        later.tenant_status.version += 1;
        change(&mut later);
        assert_eq!(look(&later), Err(expected), "{what}");
    }
    // Withheld news: the status goes stale, and after the grace the job stops.
    world.now = world.tenant_status.expires.plus(3 * DAY - 1);
    assert_eq!(look(&world), Ok(()));
    world.now = world.tenant_status.expires.plus(3 * DAY);
    assert_eq!(look(&world), Err(code::STALE_STATUS));
}

#[test]
fn a_revocation_that_was_seen_is_never_unseen() {
    let mut world = World::new();
    let before = world.seal();
    let running = world.start().unwrap().bundle;
    world.tenant_status.version += 1;
    world.tenant_status.revoked_jobs.push(name("late"));
    let after = world.seal();
    let request = world.request(&after, Admission::Restart);
    world.marks = learn(&request).unwrap();
    let stopped = review(&world.request(&after, Admission::Restart), &running).unwrap_err();
    assert_eq!(stopped.code(), code::REVOKED);
    // The status from before the revocation is still fresh.
    assert_eq!(refused(world.present(&before, Admission::Restart)), code::ROLLBACK);
    // Learning takes expired documents, but no forged ones.
    world.now = world.tenant_status.expires.plus(DAY);
    assert!(learn(&world.request(&after, Admission::Start)).is_ok());
    let mut forgery = after.clone();
    forgery.documents.tenant_status = forged::<TenantStatus>(&after.documents.tenant_status, "", "", &key(66));
    assert_eq!(learn(&world.request(&forgery, Admission::Start)).unwrap_err().code(), code::UNTRUSTED_SIGNER);
}

#[test]
fn the_next_version_of_a_document_follows_by_one() {
    let world = World::new();
    let later = now().plus(20 * DAY);
    let sealed = world.seal();
    let status: TenantStatus = peek::<TenantStatus>(&sealed.documents.tenant_status).unwrap().succeed(later);
    assert_eq!((status.version, status.expires, status.issued), (10, later, later.plus(-7 * DAY)));
    let operator: OperatorStatus = world.operator_status.succeed(later);
    let (policy, root): (TenantPolicy, TenantRoot) = (world.policy.succeed(later), world.tenant_root.succeed(later));
    assert_eq!((operator.version, policy.version, root.version), (6, 3, 5));
    assert_eq!(world.operator_root.succeed(later).version, 2);
}
