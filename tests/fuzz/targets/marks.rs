//! The file of marks: as it is, and behind a checksum that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::Digest;
use lockgate_core::marks::Marks;

fuzz_target!(|json: &[u8]| {
    let _ = Marks::decode(json);
    let mut bytes = format!("lockgate-marks-v1 {}\n", Digest::of(json)).into_bytes();
    bytes.extend_from_slice(json);
    if let Ok(marks) = Marks::decode(&bytes) {
        let again = marks.encode().expect("they can be written");
        assert_eq!(Marks::decode(&again).expect("what was written is refused"), marks);
    }
});
