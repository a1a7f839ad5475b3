//! Attacks on the bundle: its signatures, layers, and what it asks for.

use crate::bundle::{Layer, LayerKind, Package, ReadLimits};
use crate::dsse::Envelope;
use crate::error::{Code, code};
use crate::grant::Mode;
use crate::statement;
use crate::testing::{DAY, Sealed, World, audience, domain, key, name};
use crate::trust::Audience;
use crate::verify::{Admission, verify};

#[test]
fn a_stranger_is_refused() {
    let mut world = World::new();
    world.signing = vec![key(66), key(67)];
    assert_eq!(world.refusal(), code::UNTRUSTED_SIGNER);
    world.signing.clear();
    assert_eq!(world.refusal(), code::UNTRUSTED_SIGNER);
}

#[test]
fn a_stolen_signer_below_the_threshold_is_refused() {
    let mut world = World::new();
    world.signing = vec![key(1)];
    assert_eq!(world.refusal(), code::THRESHOLD);
    world.signing = vec![key(1), key(1), key(66)];
    assert_eq!(world.refusal(), code::THRESHOLD);
}

#[test]
fn keys_of_other_roles_sign_no_bundle() {
    let mut world = World::new();
    let crate::trust::development::Keys { operator_root, operator_status, tenant_root, tenant_status, .. } =
        crate::testing::keys();
    world.signing = vec![operator_root, operator_status, tenant_root, tenant_status];
    assert_eq!(world.refusal(), code::UNTRUSTED_SIGNER);
}

#[test]
fn a_signed_trust_document_is_no_bundle() {
    let world = World::new();
    let mut sealed = world.seal();
    let mut document = sealed.documents.tenant_root.clone();
    [1, 2].iter().for_each(|seed| document.sign(&key(*seed)).unwrap());
    sealed.package.envelope = document;
    assert_eq!(world.refusal_of(&sealed), code::WRONG_PAYLOAD_TYPE);
    // Nor the other way round: the tenant's own keys over the right bytes of the wrong type.
    let mut sealed = world.seal();
    let payload = sealed.documents.tenant_root.unverified_payload().to_vec();
    sealed.documents.tenant_root = Envelope::unsigned(statement::PAYLOAD_TYPE, payload);
    sealed.documents.tenant_root.sign(&world.keys.tenant_root).unwrap();
    assert_eq!(world.refusal_of(&sealed), code::WRONG_PAYLOAD_TYPE);
}

fn with_layers(change: impl FnOnce(&mut Sealed)) -> Code {
    let world = World::new();
    let mut sealed = world.seal();
    change(&mut sealed);
    world.refusal_of(&sealed)
}

#[test]
fn a_flipped_byte_in_every_layer_is_found() {
    for at in 0..World::new().package().layers.len() {
        let found = with_layers(|sealed| {
            let Layer { kind, title, mut bytes, .. } = sealed.package.layers[at].clone();
            bytes[7] ^= 1;
            sealed.package.layers[at] = Layer::new(kind, title, bytes);
        });
        assert_eq!(found, code::LAYERS_DIFFER, "layer {at}");
    }
}

#[test]
fn layers_that_are_extra_missing_or_swapped_are_refused() {
    let layer = |title: &str| Layer::new(LayerKind::Data, title.to_owned(), b"x".to_vec());
    assert_eq!(with_layers(|s| s.package.layers.push(layer("more.data"))), code::LAYERS_DIFFER);
    assert_eq!(with_layers(|s| drop(s.package.layers.pop())), code::LAYERS_DIFFER);
    assert_eq!(with_layers(|s| s.package.layers.clear()), code::LAYERS_DIFFER);
    assert_eq!(with_layers(|s| s.package.layers[0].kind = LayerKind::Data), code::LAYERS_DIFFER);
    let swapped = with_layers(|s| {
        let (first, last) = (s.package.layers[0].title.clone(), s.package.layers[2].title.clone());
        (s.package.layers[0].title, s.package.layers[2].title) = (last, first);
    });
    assert_eq!(swapped, code::LAYERS_DIFFER);
}

#[test]
fn a_changed_payload_is_refused() {
    let world = World::new();
    let sealed = world.seal();
    let json = String::from_utf8(sealed.package.envelope.to_json().unwrap()).unwrap();
    let raw: serde_json::Value = serde_json::from_str(&json).unwrap();
    let other = world_with_name("other").package();
    let foreign: serde_json::Value = serde_json::from_slice(&other.envelope.to_json().unwrap()).unwrap();
    let mut mixed = raw.clone();
    mixed["payload"] = foreign["payload"].clone();
    let mut sealed = sealed;
    sealed.package.envelope = Envelope::parse(mixed.to_string().as_bytes()).unwrap();
    assert_eq!(world.refusal_of(&sealed), code::BAD_SIGNATURE);
}

fn world_with_name(job: &str) -> World {
    let mut world = World::new();
    world.draft.manifest.job.name = name(job);
    world
}

#[test]
fn replay_to_another_cluster_is_refused() {
    let mut world = World::new();
    world.draft.audience = Audience::new(vec![domain("test.example")]).unwrap();
    assert_eq!(world.refusal(), code::WRONG_AUDIENCE);
    world.draft.audience = audience();
    world.domain = domain("elsewhere.example");
    assert_eq!(world.refusal(), code::WRONG_AUDIENCE);
}

#[test]
fn a_bundle_of_another_tenant_is_refused() {
    let mut world = World::new();
    world.draft.manifest.job.tenant = name("globex");
    assert_eq!(world.refusal(), code::WRONG_TENANT);
}

#[test]
fn what_is_not_granted_is_refused() {
    let path = |path: &str| {
        let mut world = World::new();
        world.draft.manifest.source.get_mut("flights").unwrap().path = Some(path.into());
        world.refusal()
    };
    for bad in ["2014/x", "201*/x", "*", "2013x/y", "{2013,2014}/x"] {
        assert_eq!(path(bad), code::NOT_GRANTED, "{bad}");
    }
    for without in 0..3 {
        let mut world = World::new();
        world.policy.grants.remove(without);
        assert_eq!(world.refusal(), code::NOT_GRANTED, "grant {without}");
    }
    let mut world = World::new();
    world.policy.grants.iter_mut().for_each(|grant| grant.mode = Mode::Read);
    assert_eq!(world.refusal(), code::NOT_GRANTED);
}

#[test]
fn limits_and_parallelism_are_capped() {
    let mut world = World::new();
    world.draft.manifest.limits.memory = Some((64 << 20) + 1);
    assert_eq!(world.refusal(), code::LIMIT_ABOVE_CEILING);
    world.policy.ceilings.memory = Some(128 << 20);
    assert!(world.start().is_ok());
    let mut world = World::new();
    world.policy.max_parallelism = 3;
    assert_eq!(world.refusal(), code::PARALLELISM_ABOVE_CEILING);
}

#[test]
fn validity_has_a_beginning_an_end_and_a_grace() {
    let mut world = World::new();
    world.draft.not_before = world.now.plus(1);
    assert_eq!(world.refusal(), code::NOT_YET_VALID);
    let mut world = World::new();
    world.draft.expires = world.now;
    assert_eq!(world.refusal(), code::EXPIRED);

    // Admitted a second before its expiry, restarted until the grace is over.
    let mut world = World::new();
    world.draft.expires = world.now.plus(1);
    world.start().unwrap();
    world.now = world.draft.expires;
    assert_eq!(world.refusal(), code::EXPIRED);
    assert_eq!(crate::testing::refused(world.run(Admission::Upgrade)), code::EXPIRED);
    world.now = world.draft.expires.plus(3 * DAY - 1);
    assert!(world.run(Admission::Restart).is_ok());
    world.now = world.draft.expires.plus(3 * DAY);
    assert_eq!(crate::testing::refused(world.run(Admission::Restart)), code::EXPIRED);
}

#[test]
fn a_restart_needs_an_admission() {
    let mut world = World::new();
    assert_eq!(crate::testing::refused(world.run(Admission::Restart)), code::NOT_ADMITTED);
    assert_eq!(crate::testing::refused(world.run(Admission::Upgrade)), code::NOT_ADMITTED);
    world.start().unwrap();
    world.next_version(2);
    assert_eq!(crate::testing::refused(world.run(Admission::Restart)), code::NOT_ADMITTED);
    assert!(world.run(Admission::Upgrade).is_ok());
}

#[test]
fn a_description_that_is_none_is_refused_though_signed() {
    for (describe, expected) in [
        (r#"[{"name":"score"}]"#, code::MALFORMED_DOCUMENT),
        (r#"[{"name":"score","name":"score"}]"#, code::MALFORMED_JSON),
        ("not JSON", code::MALFORMED_JSON),
    ] {
        let world = World::new();
        let mut package = world.package();
        let layer = Layer::new(LayerKind::Describe, "delays.describe.json".into(), describe.as_bytes().to_vec());
        let mut predicate = package.unverified_statement().unwrap().predicate;
        predicate.components.get_mut("delays").unwrap().describe = layer.digest;
        package.layers[1] = layer;
        let payload = statement::Statement::new(predicate).unwrap().to_json().unwrap();
        package.envelope = Envelope::unsigned(statement::PAYLOAD_TYPE, payload);
        world.signing.iter().for_each(|key| package.sign(key).unwrap());
        assert_eq!(world.refusal_of(&world.seal_with(package)), expected, "{describe}");
    }
}

#[test]
fn what_is_not_held_is_verified_all_the_same_and_never_handed_out() {
    let world = World::new();
    let sealed = world.seal();
    let bytes = sealed.package.to_bytes().unwrap();
    let mut request = world.request(&sealed, Admission::Start);
    // Room for the documents of this bundle, not for its component.
    request.read.held = 64 << 10;
    let accepted = verify(&request, bytes.as_slice()).unwrap();
    assert!(accepted.bundle.component(&name("delays")).is_none() && accepted.bundle.components().next().is_none());
    assert_eq!(accepted.bundle.descriptions().len(), 1);
    let at = bytes.windows(5).position(|window| window == b"\0asm,").unwrap();
    for at in [at + 4, at + 40] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(verify(&request, changed.as_slice()).unwrap_err().code(), code::DIGEST_MISMATCH);
    }
    request.read.held = 100;
    assert_eq!(verify(&request, bytes.as_slice()).unwrap_err().code(), code::BUNDLE_TOO_LARGE);
    let limits = ReadLimits { held: 64 << 10, ..ReadLimits::default() };
    assert!(Package::read(bytes.as_slice(), &limits).unwrap().to_bytes().is_err(), "written, it would be another");
}
