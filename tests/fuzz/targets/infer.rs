//! Schemas inferred from data: names are clean and few, types can be held.
#![no_main]

mod input;

use input::Memory;
use libfuzzer_sys::fuzz_target;
use lockgate_core::plan::{Compression, Format, FormatKind, Plan};
use lockgate_dataflow::infer;

fuzz_target!(|bytes: &[u8]| {
    let csv = |header| FormatKind::Csv { header, delimiter: b',', null: String::new() };
    for kind in [csv(true), csv(false), FormatKind::Json, FormatKind::Lines] {
        let format = Format { kind, compression: Compression::None };
        if let Ok(fields) = infer(&format, "split", &mut Memory(bytes.to_vec().into())) {
            assert!(fields.len() <= Plan::MAX_COLUMNS);
        }
    }
});
