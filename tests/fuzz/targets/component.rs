//! The check of components before they are compiled: a header is put before the bytes, which else the fuzzer would have
//! to find out first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_sandbox::{CheckLimits, inspect};

fuzz_target!(|bytes: &[u8]| {
    let _ = inspect(bytes, &CheckLimits::default());
    let component = [b"\0asm\x0d\0\x01\0", bytes].concat();
    if let Ok(info) = inspect(&component, &CheckLimits::default()) {
        assert!(info.imports.iter().chain(&info.exports).all(|name| !name.chars().any(char::is_control)));
    }
});
