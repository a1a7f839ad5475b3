//! Trust documents: sets of envelopes, and each kind of document within an envelope.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::dsse::Envelope;
use lockgate_core::trust::{
    Document, Documents, OperatorRoot, OperatorStatus, TenantPolicy, TenantRoot, TenantStatus, peek,
};

fn read<D: Document>(bytes: &[u8]) {
    let _ = peek::<D>(&Envelope::unsigned(D::PAYLOAD_TYPE, bytes.to_vec()));
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(documents) = Documents::parse(bytes) {
        let json = documents.to_json().expect("they can be written");
        assert_eq!(Documents::parse(&json).expect("what was written is refused"), documents);
    }
    read::<OperatorRoot>(bytes);
    read::<OperatorStatus>(bytes);
    read::<TenantPolicy>(bytes);
    read::<TenantRoot>(bytes);
    read::<TenantStatus>(bytes);
});
