//! Each rule by the attack that it stops.

mod bundles;
mod documents;
mod reliance;
mod versions;

use crate::error::code;
use crate::testing::{World, name, now};
use crate::trust::Documents;
use crate::verify::{Admission, verify};
use proptest::prelude::*;

#[test]
fn an_honest_bundle_is_accepted() {
    let mut world = World::new();
    let accepted = world.start().unwrap();
    let bundle = &accepted.bundle;
    assert_eq!((bundle.tenant().as_str(), bundle.job().as_str(), bundle.version()), ("acme", "late", 1));
    assert_eq!(bundle.digest(), world.package().envelope.payload_digest());
    let component = bundle.components().next().unwrap();
    assert!(component.name == &name("delays") && component.bytes.starts_with(b"\0asm"));
    assert_eq!((component.imports.len(), component.describe[0].name.as_str()), (2, "score"));
    assert_eq!(bundle.data(&name("airports")), Some(b"JFK,LGA,EWR".as_slice()));
    assert_eq!((bundle.limits().memory, bundle.grants().len(), bundle.signers().len()), (32 << 20, 3, 2));
    let (what, when) = accepted.next_expiry.unwrap();
    assert_eq!((what.as_str(), when), ("the operator's status (version 5)", world.operator_status.expires));
    assert_eq!(accepted.marks.job(&name("acme"), &name("late")).unwrap().version, 1);
    assert_eq!(accepted.marks.seen(), now());
}

#[test]
fn the_same_again_is_accepted_and_moves_no_mark() {
    let mut world = World::new();
    let first = world.start().unwrap().marks;
    for admission in [Admission::Start, Admission::Upgrade, Admission::Restart] {
        assert_eq!(world.run(admission).unwrap().marks, first, "{admission:?}");
    }
}

#[test]
fn a_refusal_says_who_and_what() {
    let mut world = World::new();
    world.signing.truncate(1);
    let error = world.start().unwrap_err();
    assert_eq!(error.to_string(), "LG0409: the bundle is signed by 1 of the keys that count, 2 are needed");
    world.signing = vec![crate::testing::key(66)];
    let stranger = crate::testing::key(66).public().short();
    let error = world.start().unwrap_err();
    assert_eq!(error.code(), code::UNTRUSTED_SIGNER);
    assert!(error.cause().contains(&stranger), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is changed in a set of documents: what they say stays what was signed, or they are refused.
    #[test]
    fn mutated_documents_say_nothing_new(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let world = World::new();
        let sealed = world.seal();
        let mut json = sealed.documents.to_json().unwrap();
        for (place, byte) in changes {
            let at = place.index(json.len());
            json[at] = byte;
        }
        if let Ok(documents) = Documents::parse(&json) {
            let mut changed = sealed.clone();
            changed.documents = documents;
            if world.present(&changed, Admission::Start).is_ok() {
                prop_assert_eq!(payloads(&changed.documents), payloads(&sealed.documents));
            }
        }
    }

    /// A bundle in which something was changed is refused, or is the bundle that was signed.
    #[test]
    fn mutated_bundles_say_nothing_new(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let world = World::new();
        let sealed = world.seal();
        let mut bytes = sealed.package.to_bytes().unwrap();
        for (place, byte) in changes {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(accepted) = verify(&world.request(&sealed, Admission::Start), bytes.as_slice()) {
            prop_assert_eq!(accepted.bundle.digest(), sealed.package.envelope.payload_digest());
            let component = accepted.bundle.components().next().map(|component| component.bytes.to_vec());
            prop_assert_eq!(component.as_ref(), Some(&sealed.package.layers[0].bytes));
        }
    }
}

fn payloads(documents: &Documents) -> Vec<Vec<u8>> {
    let Documents { operator_roots, operator_status, policies, tenant_root, tenant_status } = documents;
    let single = [operator_status, tenant_root, tenant_status];
    let all = operator_roots.iter().chain(policies).chain(single);
    all.map(|envelope| envelope.unverified_payload().to_vec()).collect()
}
