//! Parquet: whatever a file claims, batches are as they should be and there is an end.
#![no_main]

mod input;

use input::Memory;
use libfuzzer_sys::fuzz_target;
use lockgate_core::plan::{Compression, Format, FormatKind, OnError, Source, SourceConnector};
use lockgate_dataflow::{decoder, infer};

fuzz_target!(|bytes: &[u8]| {
    let format = Format { kind: FormatKind::Parquet, compression: Compression::None };
    let mut input = Memory(bytes.to_vec().into());
    let Ok(fields) = infer(&format, "split", &mut input) else { return };
    let connector = SourceConnector::Stdin;
    let source = Source { connector, format: Some(format), on_error: OnError::Fail, projection: None };
    let Ok(mut decoder) = decoder(&source, &fields, "split", 100, None) else { return };
    for _ in 0..100 {
        let Ok(Some(decoded)) = decoder.next(&mut input) else { return };
        assert!(decoded.tracked.batch.num_rows() <= 100);
        for (column, field) in decoded.tracked.batch.columns().iter().zip(&fields) {
            assert!(field.nullable || column.null_count() == 0);
            column.to_data().validate_full().expect("Arrow's own check");
        }
    }
});
