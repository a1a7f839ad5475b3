//! The record of a run: as it is, and behind a seal that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::Digest;
use lockgate_taskmanager::checkpoint::Record;

fuzz_target!(|json: &[u8]| {
    let _ = Record::decode(json);
    let digest = Digest::of(&[b"checkpoint\0", json].concat());
    let mut bytes = format!("lockgate checkpoint 1 {} {digest}\n", json.len()).into_bytes();
    bytes.extend_from_slice(json);
    if let Ok(record) = Record::decode(&bytes) {
        let again = record.encode().expect("it can be written");
        assert_eq!(Record::decode(&again).expect("what was written is refused"), record);
    }
});
