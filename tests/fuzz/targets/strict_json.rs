//! Strict JSON: what it takes, an ordinary reader takes as well, and reads it as one value only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::strict_json;

fuzz_target!(|bytes: &[u8]| {
    if strict_json::check("it", bytes, 1 << 16).is_ok() {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("another reader refuses it");
        let again = serde_json::to_vec(&value).expect("it can be written");
        // Written anew, an escape can take more room than it did.
        strict_json::check("it", &again, 1 << 19).expect("what is written again is refused");
    }
});
