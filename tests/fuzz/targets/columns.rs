//! What a guest gives back: the check takes nothing that Arrow's own, slower check would refuse.
#![no_main]

use arrow_array::Array as _;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use lockgate_core::columns::{Column, Failures, Output, PortOutput};
use lockgate_core::types::{Field, LogicalType};
use lockgate_dataflow::columns::check;

const TYPES: &[&str] = &[
    "bool",
    "int8",
    "uint16",
    "int32",
    "int64",
    "float32",
    "float64",
    "utf8",
    "binary",
    "date32",
    "timestamp[us]",
    "timestamp[us, UTC]",
    "decimal128(10, 2)",
];

type RawColumn = (Option<Vec<u8>>, Vec<Vec<u8>>);

#[derive(Arbitrary, Debug)]
struct Case {
    rows: u8,
    given: u8,
    fields: Vec<(u8, bool)>,
    columns: Vec<RawColumn>,
    origin: Option<Vec<u8>>,
    failed: Option<(Vec<u8>, Vec<Vec<u8>>)>,
}

fn field((number, (kind, nullable)): (usize, &(u8, bool))) -> Field {
    let name = TYPES[usize::from(*kind) % TYPES.len()];
    Field::new(format!("c{number}"), name.parse::<LogicalType>().expect("a type"), *nullable)
}

fuzz_target!(|case: Case| {
    let fields: Vec<Field> = case.fields.iter().enumerate().map(field).collect();
    let columns = case.columns.into_iter().map(|(validity, buffers)| Column { validity, buffers });
    let port = PortOutput { rows: u32::from(case.given), columns: columns.collect(), origin: case.origin };
    let failed = case.failed.map(|(rows, messages)| Failures { rows, messages });
    let rows = u32::from(case.rows);
    let Ok(checked) = check(Output { ports: vec![port], failed }, &[&fields], rows) else { return };
    if let Some(failed) = &checked.failed {
        assert!(failed.iter().all(|(row, message)| row < rows && message.len() <= 1024));
    }
    let [port] = &checked.ports[..] else { panic!("one port") };
    if let Some(origin) = &port.origin {
        assert_eq!(origin.len(), port.rows);
        assert!(origin.is_sorted() && origin.last().is_none_or(|last| *last < rows));
    }
    for (column, field) in port.columns.iter().zip(&fields) {
        assert_eq!(column.len(), port.rows);
        assert!(field.nullable || column.null_count() == 0);
        column.to_data().validate_full().expect("Arrow's own check");
    }
});
