//! Envelopes: who signed what, and everything that tries to look like it.

use super::*;
use crate::error::Code;
use proptest::prelude::*;

const TYPE: &str = "application/vnd.lockgate.test.v1+json";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn role(seeds: &[u8], threshold: u32) -> Role {
    Role::new(seeds.iter().map(|seed| key(*seed).public()).collect(), threshold).unwrap()
}

fn signed(seeds: &[u8]) -> Envelope {
    let mut envelope = Envelope::unsigned(TYPE, br#"{"a":[1,2,3],"b":"a payload of some length"}"#.to_vec());
    seeds.iter().for_each(|seed| envelope.sign(&key(*seed)).unwrap());
    envelope
}

fn refusal(envelope: &Envelope, role: &Role) -> Code {
    envelope.verify("it", TYPE, role).unwrap_err().code()
}

#[test]
fn encodes_as_dsse_says() {
    assert_eq!(
        pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn the_threshold_of_a_role_is_enough() {
    let envelope = Envelope::parse(&signed(&[1, 2]).to_json().unwrap()).unwrap();
    let found = envelope.verify("it", TYPE, &role(&[1, 2, 3], 2)).unwrap();
    assert_eq!(found.payload, envelope.unverified_payload());
    assert_eq!(found.signers, [key(1).public(), key(2).public()]);
}

#[test]
fn a_stolen_key_below_the_threshold_is_not_enough() {
    assert_eq!(refusal(&signed(&[1]), &role(&[1, 2, 3], 2)), code::THRESHOLD);
    assert_eq!(refusal(&signed(&[1, 9]), &role(&[1, 2, 3], 2)), code::THRESHOLD);
}

#[test]
fn strangers_and_nobody_are_refused() {
    assert_eq!(refusal(&signed(&[9]), &role(&[1], 1)), code::UNTRUSTED_SIGNER);
    assert_eq!(refusal(&signed(&[]), &role(&[1], 1)), code::UNTRUSTED_SIGNER);
}

#[test]
fn the_same_key_twice_counts_once() {
    let mut envelope = signed(&[1]);
    envelope.sign(&key(1)).unwrap();
    assert_eq!(envelope.signature_count(), 1);
    let mut twice = envelope.signatures[0].clone();
    twice.key_id = Some(key(2).public().id());
    envelope.signatures.push(twice);
    envelope.signatures.push(envelope.signatures[0].clone());
    assert_eq!(refusal(&envelope, &role(&[1, 2], 2)), code::THRESHOLD);
}

#[test]
fn key_ids_are_hints_only() {
    let mut envelope = signed(&[1, 2]);
    (envelope.signatures[0].key_id, envelope.signatures[1].key_id) = (Some("nonsense".into()), None);
    assert!(envelope.verify("it", TYPE, &role(&[1, 2], 2)).is_ok(), "a wrong hint hides a signature");
    envelope.signatures[0].key_id = Some(key(2).public().id());
    assert!(envelope.verify("it", TYPE, &role(&[1, 2], 2)).is_ok(), "a hint at another key hides a signature");
    let mut stranger = signed(&[9]);
    stranger.signatures[0].key_id = Some(key(1).public().id());
    assert_eq!(refusal(&stranger, &role(&[1], 1)), code::BAD_SIGNATURE, "a hint makes a stranger a signer");
}

#[test]
fn a_signature_over_one_type_does_not_fit_another() {
    let mut envelope = signed(&[1]);
    assert_eq!(
        envelope.verify("it", "application/other", &role(&[1], 1)).unwrap_err().code(),
        code::WRONG_PAYLOAD_TYPE
    );
    envelope.payload_type = "application/other".into();
    assert!(envelope.verify("it", "application/other", &role(&[1], 1)).is_err());
}

#[test]
fn what_is_no_envelope_is_refused() {
    let json = String::from_utf8(signed(&[1]).to_json().unwrap()).unwrap();
    let many = vec![r#"{"sig":""}"#; MAX_SIGNATURES + 1].join(",");
    for (what, text, expected) in [
        ("an unknown field", json.replacen('{', r#"{"x":1,"#, 1), code::MALFORMED_DOCUMENT),
        ("a duplicate key", json.replacen('{', r#"{"payloadType":"x","#, 1), code::MALFORMED_JSON),
        ("a float", json.replacen('{', r#"{"x":1.5,"#, 1), code::MALFORMED_JSON),
        ("trailing data", format!("{json} 1"), code::MALFORMED_JSON),
        ("no signatures field", r#"{"payloadType":"x","payload":""}"#.into(), code::MALFORMED_DOCUMENT),
        ("no base64", r#"{"payloadType":"x","payload":"?","signatures":[]}"#.into(), code::MALFORMED_ENVELOPE),
        ("spare bits", r#"{"payloadType":"x","payload":"QR==","signatures":[]}"#.into(), code::MALFORMED_ENVELOPE),
        (
            "a short signature",
            r#"{"payloadType":"x","payload":"","signatures":[{"sig":"QQ=="}]}"#.into(),
            code::MALFORMED_ENVELOPE,
        ),
        ("too many", format!(r#"{{"payloadType":"x","payload":"","signatures":[{many}]}}"#), code::MALFORMED_ENVELOPE),
    ] {
        assert_eq!(Envelope::parse(text.as_bytes()).unwrap_err().code(), expected, "{what}");
    }
    assert!(Envelope::parse(&vec![b' '; MAX_ENVELOPE + 1]).is_err());
}

#[test]
fn signatures_are_bounded() {
    let mut envelope = signed(&(0..32).collect::<Vec<u8>>());
    assert_eq!(envelope.sign(&key(99)).unwrap_err().code(), code::MALFORMED_ENVELOPE);
}

/// An envelope without hints: every byte of it means something.
fn bare() -> Envelope {
    let mut envelope = signed(&[1]);
    envelope.signatures[0].key_id = None;
    envelope
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Two times four: 8,000 mutations of the text, one or two bytes each.
    #[test]
    fn no_mutated_text_is_accepted(
        places in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 4),
        second in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let json = bare().to_json().unwrap();
        for (place, byte) in places {
            let mut mutated = json.clone();
            mutated[place.index(json.len())] = byte;
            if let Some((place, byte)) = second {
                mutated[place.index(json.len())] = byte;
            }
            if mutated == json {
                continue;
            }
            let accepted = Envelope::parse(&mutated).and_then(|envelope| {
                envelope.verify("it", TYPE, &role(&[1], 1)).map(|signed| signed.payload.to_vec())
            });
            prop_assert!(accepted.is_err(), "{}", String::from_utf8_lossy(&mutated));
        }
    }

    /// 2,000 mutations of what the text means.
    #[test]
    fn no_mutated_content_is_accepted(which in 0..3, place in any::<proptest::sample::Index>(), flip in 1_u8..) {
        let mut envelope = bare();
        match which {
            0 => { let at = place.index(envelope.payload.len()); envelope.payload[at] ^= flip; }
            1 => { let at = place.index(SIGNATURE_BYTES); envelope.signatures[0].bytes[at] ^= flip; }
            _ => { let at = place.index(envelope.payload.len()); envelope.payload.truncate(at); }
        }
        prop_assert!(envelope.verify("it", TYPE, &role(&[1], 1)).is_err());
    }
}
