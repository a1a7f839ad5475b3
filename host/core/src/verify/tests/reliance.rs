//! What an admitted job relies on, looked at without its bundle; and which version may take whose place.

use crate::error::code;
use crate::grant::Mode;
use crate::testing::{DAY, World, key, name};
use crate::verify::{Admission, Reliance, Verified, upgrade};
use crate::verify::{Bundle, review};

fn started(world: &mut World) -> Verified<Bundle> {
    world.run(Admission::Start).unwrap().bundle
}

#[test]
fn a_stored_reliance_is_reviewed_as_its_bundle_is() {
    let mut world = World::new();
    let bundle = started(&mut world);
    let json = serde_json::to_string(&Reliance::of(&bundle)).unwrap();
    let stored: Reliance = serde_json::from_str(&json).unwrap();
    assert_eq!(stored, Reliance::of(&bundle));
    let digests = stored.digests.clone();
    assert!(digests.contains(&bundle.digest()) && digests.len() == 4);
    let look = |world: &World| {
        let sealed = world.seal();
        let request = world.request(&sealed, Admission::Restart);
        let (mine, theirs) = (stored.review(&request), review(&request, &bundle));
        assert_eq!(mine, theirs);
        mine.map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(look(&world), Ok(()));
    // Each content on its own.
    for digest in digests {
        let mut later = World::new();
        later.tenant_status.revoked_digests = vec![digest];
        assert_eq!(look(&later), Err(code::REVOKED), "{digest}");
        let mut later = World::new();
        later.tenant_root.revoked_digests = vec![digest];
        assert_eq!(look(&later), Err(code::REVOKED), "{digest}");
    }
    // One signer of two is not enough; a key that did not sign does not matter.
    for (seed, expected) in [(1, Err(code::REVOKED)), (2, Err(code::REVOKED)), (3, Ok(()))] {
        let mut later = World::new();
        later.tenant_status.revoked_keys = vec![key(seed).public()];
        assert_eq!(look(&later), expected, "key {seed}");
    }
    let mut later = World::new();
    later.policy.max_parallelism = 3;
    assert_eq!(look(&later), Err(code::PARALLELISM_ABOVE_CEILING));
    let mut later = World::new();
    later.policy.ceilings.memory = Some(16 << 20);
    assert_eq!(look(&later), Err(code::LIMIT_ABOVE_CEILING));
}

#[test]
fn an_upgrade_goes_up_or_to_a_signed_fallback() {
    let mut world = World::new();
    let first = started(&mut world);
    world.next_version(2);
    world.draft.fallback = vec![crate::statement::Release { version: 1, digest: first.digest() }];
    let second = world.run(Admission::Upgrade).unwrap().bundle;
    assert_eq!(upgrade(&first, &second), Ok(Vec::new()));
    assert_eq!(upgrade(&first, &first), Ok(Vec::new()));
    assert_eq!(upgrade(&second, &first), Ok(Vec::new()));
    world.next_version(3);
    world.draft.fallback = Vec::new();
    let third = world.run(Admission::Upgrade).unwrap().bundle;
    assert_eq!(upgrade(&third, &second).unwrap_err().code(), code::NOT_AN_UPGRADE);
    // Another life of the same version.
    let mut other = World::new();
    other.draft.expires = other.draft.expires.plus(DAY);
    let other = started(&mut other);
    assert_eq!(upgrade(&first, &other).unwrap_err().code(), code::NOT_AN_UPGRADE);
    assert_eq!(upgrade(&other, &second).unwrap_err().code(), code::WRONG_REPLACES);
    let mut renamed = World::new();
    renamed.draft.manifest.job.name = name("early");
    assert_eq!(upgrade(&first, &started(&mut renamed)).unwrap_err().code(), code::NOT_AN_UPGRADE);
}

#[test]
fn what_an_upgrade_newly_touches_is_shown_and_must_be_listed() {
    let mut world = World::new();
    let first = started(&mut world);
    let widen = |world: &mut World| {
        let sink = world.draft.manifest.sink.get_mut("late").unwrap();
        sink.path = Some("later".into());
    };
    world.next_version(2);
    widen(&mut world);
    let second = world.run(Admission::Upgrade).unwrap().bundle;
    let newly = upgrade(&first, &second).unwrap();
    assert_eq!(
        newly.iter().map(|touch| (touch.mode, touch.path.as_str())).collect::<Vec<_>>(),
        [(Mode::Write, "later")]
    );
    // Version 3 lists nothing, because it replaces version 2; over version 1 it would widen without saying so.
    world.next_version(3);
    let third = world.run(Admission::Upgrade).unwrap().bundle;
    assert_eq!(upgrade(&second, &third), Ok(Vec::new()));
    assert_eq!(upgrade(&first, &third).unwrap_err().code(), code::WIDENED);
}
