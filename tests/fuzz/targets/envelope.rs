//! DSSE envelopes: what is read writes what reads the same, and nobody's key has signed it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::dsse::Envelope;
use lockgate_core::keys::{Role, SecretKey};

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    let json = envelope.to_json().expect("it can be written");
    assert_eq!(Envelope::parse(&json).expect("what was written is refused"), envelope);
    let role = Role::single(SecretKey::from_seed(&[7; 32]).public());
    let error = envelope.verify("it", envelope.payload_type(), &role).expect_err("a forgery is accepted");
    assert!(!error.cause().chars().any(char::is_control));
});
