//! CSV, JSON lines and lines, plain, compressed, or with bytes that only claim to be compressed: batches are as they
//! should be, records are numbered in order, and reading on from any position gives the same rest.
#![no_main]

mod input;

use input::Memory;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use lockgate_core::Result;
use lockgate_core::plan::{Compression, Format, FormatKind, OnError, Source, SourceConnector};
use lockgate_core::types::{Field, LogicalType};
use lockgate_dataflow::{Decoded, Rows, decoder};
use std::io::Write as _;

const TYPES: &[&str] = &[
    "utf8",
    "bool",
    "int8",
    "uint64",
    "int64",
    "float32",
    "float64",
    "binary",
    "date32",
    "timestamp[us]",
    "timestamp[us, UTC]",
    "decimal128(38, 9)",
];

#[derive(Arbitrary, Debug)]
enum Kind {
    Csv { header: bool, delimiter: bool },
    Json,
    Lines,
}

#[derive(Arbitrary, Debug)]
enum Packed {
    Plain,
    Gzip,
    Zstd,
    FakeGzip,
    FakeZstd,
}

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    kind: Kind,
    packed: Packed,
    fields: Vec<(u8, bool)>,
    batch_rows: u8,
    text: &'a [u8],
}

fn pack(packed: &Packed, text: &[u8]) -> (Compression, Vec<u8>) {
    match packed {
        Packed::Plain => (Compression::None, text.to_vec()),
        Packed::FakeGzip => (Compression::Gzip, text.to_vec()),
        Packed::FakeZstd => (Compression::Zstd, text.to_vec()),
        Packed::Zstd => (Compression::Zstd, zstd::encode_all(text, 1).expect("zstd")),
        Packed::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).expect("gzip");
            (Compression::Gzip, encoder.finish().expect("gzip"))
        }
    }
}

/// All batches from `start` on, at most one more than there can be.
fn all(source: &Source, fields: &[Field], rows: u32, bytes: &[u8], start: Option<&[u8]>) -> Result<Vec<Decoded>> {
    let mut decoder = decoder(source, fields, "split", rows, start)?;
    let (mut input, mut found) = (Memory(bytes.to_vec().into()), Vec::new());
    while let Some(decoded) = decoder.next(&mut input)? {
        found.push(decoded);
        assert!(found.len() < 100_000, "no end");
    }
    Ok(found)
}

fuzz_target!(|case: Case| {
    let kind = match case.kind {
        Kind::Csv { header, delimiter } => {
            FormatKind::Csv { header, delimiter: if delimiter { b',' } else { b'\t' }, null: String::new() }
        }
        Kind::Json => FormatKind::Json,
        Kind::Lines => FormatKind::Lines,
    };
    let fields: Vec<Field> = match kind {
        FormatKind::Lines => vec![Field::new("line", LogicalType::Utf8, false)],
        _ => {
            let named = case.fields.iter().take(8).zip(["a", "b", "c", "d", "e", "f", "g", "h"]);
            named
                .map(|((kind, nullable), name)| {
                    let data_type = TYPES[usize::from(*kind) % TYPES.len()].parse().expect("a type");
                    Field::new(name, data_type, *nullable)
                })
                .collect()
        }
    };
    let (compression, bytes) = pack(&case.packed, case.text);
    let source = Source {
        connector: SourceConnector::Stdin,
        format: Some(Format { kind, compression }),
        on_error: OnError::Fail,
        projection: None,
    };
    let rows = u32::from(case.batch_rows) + 1;
    let Ok(whole) = all(&source, &fields, rows, &bytes, None) else { return };
    let mut next = 0;
    for (at, decoded) in whole.iter().enumerate() {
        let batch = &decoded.tracked.batch;
        assert!(batch.num_rows() <= rows as usize && batch.num_columns() == fields.len());
        for (column, field) in batch.columns().iter().zip(&fields) {
            assert!(field.nullable || column.null_count() == 0);
            column.to_data().validate_full().expect("Arrow's own check");
        }
        for row in 0..batch.num_rows() {
            let record = match &decoded.tracked.rows {
                Rows::From(first) => first + row as u64,
                Rows::Each(each) => each[row],
            };
            assert!(record >= next && !decoded.bad.iter().any(|bad| bad.row == record), "row {row} is record {record}");
            next = record + 1;
        }
        let rest = all(&source, &fields, rows, &bytes, Some(&decoded.position)).expect("what was read once");
        let same = rest.iter().zip(&whole[at + 1..]).all(|(a, b)| a.tracked.batch == b.tracked.batch);
        assert!(rest.len() == whole.len() - at - 1 && same, "another rest behind batch {at}");
        if at > 8 {
            break;
        }
    }
});
