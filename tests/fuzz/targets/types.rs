//! Logical types: what is read is written as what reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::types::LogicalType;

fuzz_target!(|text: &str| {
    if let Ok(logical) = text.parse::<LogicalType>() {
        assert_eq!(logical.to_string().parse(), Ok(logical));
        let arrow = lockgate_dataflow::schema::arrow_type(logical);
        assert_eq!(lockgate_dataflow::schema::logical_type(&arrow), Some(logical));
    }
});
