//! Each check broken by the output that it must refuse, and mutated outputs of every kind.

use super::*;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use lockgate_core::columns::Column;
use lockgate_core::error::Code;
use lockgate_core::types::LogicalType;
use proptest::prelude::*;

fn bytes<const N: usize, const W: usize>(values: [[u8; W]; N]) -> Vec<u8> {
    values.concat()
}

fn u32s(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn i32s(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn fields() -> Vec<Field> {
    vec![
        Field::new("n", LogicalType::Int32, false),
        Field::new("t", LogicalType::Utf8, true),
        Field::new("d", LogicalType::Decimal128 { precision: 3, scale: 1 }, true),
        Field::new("b", LogicalType::Bool, false),
        Field::new("y", LogicalType::Binary, false),
    ]
}

/// Two rows of each field, one to one.
fn good() -> Output {
    let column =
        |validity: Option<u8>, buffers: Vec<Vec<u8>>| Column { validity: validity.map(|bits| vec![bits]), buffers };
    Output {
        ports: vec![PortOutput {
            rows: 2,
            columns: vec![
                column(None, vec![i32s(&[7, 8])]),
                column(Some(0b01), vec![i32s(&[0, 2, 3]), "éx".into()]),
                column(None, vec![bytes([999_i128.to_le_bytes(), (-999_i128).to_le_bytes()])]),
                column(Some(0b11), vec![vec![0b10]]),
                column(None, vec![i32s(&[0, 0, 1]), vec![0xff]]),
            ],
            origin: None,
        }],
        failed: None,
    }
}

fn run(output: Output, rows: u32) -> Result<Checked> {
    check(output, &[&fields()], rows)
}

/// What `change` makes of the good output (on two rows) must be refused with `code`.
#[track_caller]
fn refused(code: Code, change: impl FnOnce(&mut Output)) {
    let mut output = good();
    change(&mut output);
    let error = run(output, 2).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
}

/// As [`refused`], for a change of the port's column.
#[track_caller]
fn refused_column(code: Code, index: usize, change: impl FnOnce(&mut Column)) {
    refused(code, |output| change(&mut output.ports[0].columns[index]));
}

/// Two rows of output for three rows of input, the last of which failed.
fn with_failure() -> Output {
    let mut output = good();
    output.ports[0].origin = Some(u32s(&[0, 1]));
    output.failed = Some(Failures { rows: u32s(&[2]), messages: vec![i32s(&[0, 4]), b"late".to_vec()] });
    output
}

#[track_caller]
fn refused_failure(code: Code, change: impl FnOnce(&mut Output)) {
    let mut output = with_failure();
    change(&mut output);
    let error = run(output, 3).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
}

#[test]
fn takes_what_is_right() {
    let checked = run(good(), 2).unwrap();
    let port = &checked.ports[0];
    assert!(checked.failed.is_none() && port.origin.is_none() && port.rows == 2);
    assert_eq!(port.columns[1].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("é"), None]);
    assert_eq!(port.columns[3].as_boolean().iter().collect::<Vec<_>>(), [Some(false), Some(true)]);
    assert!(port.columns[3].nulls().is_none(), "validity without nulls is dropped");
}

#[test]
fn takes_no_rows_at_all() {
    let mut output = good();
    output.ports[0].rows = 0;
    for column in &mut output.ports[0].columns {
        column.validity = column.validity.as_ref().map(|_| vec![]);
        let empty = if column.buffers.len() == 2 { vec![i32s(&[0]), vec![]] } else { vec![vec![]] };
        column.buffers = empty;
    }
    assert_eq!(run(output.clone(), 0).unwrap().ports[0].rows, 0);
    output.ports[0].origin = Some(vec![]);
    assert_eq!(run(output, 5).unwrap().ports[0].origin.as_ref().unwrap().len(), 0);
}

#[test]
fn refuses_wrong_counts() {
    refused(code::OUTPUT_PORTS, |output| output.ports.clear());
    refused(code::OUTPUT_PORTS, |output| output.ports.push(PortOutput::default()));
    refused(code::OUTPUT_COLUMNS, |output| output.ports[0].columns.truncate(4));
    refused(code::OUTPUT_COLUMNS, |output| output.ports[0].columns.push(Column::default()));
    refused_column(code::OUTPUT_BUFFERS, 0, |column| column.buffers.clear());
    refused_column(code::OUTPUT_BUFFERS, 0, |column| column.buffers.push(vec![]));
    refused_column(code::OUTPUT_BUFFERS, 1, |column| column.buffers.truncate(1));
    refused_column(code::OUTPUT_BUFFERS, 1, |column| column.buffers.push(vec![]));
    assert_eq!(run(good(), 3).unwrap_err().code(), code::ROW_COUNT);
    assert_eq!(run(good(), 1).unwrap_err().code(), code::ROW_COUNT);
}

#[test]
fn refuses_wrong_validity() {
    refused_column(code::VALIDITY_LENGTH, 1, |column| column.validity = Some(vec![]));
    refused_column(code::VALIDITY_LENGTH, 1, |column| column.validity = Some(vec![3, 0]));
    refused_column(code::UNEXPECTED_NULL, 0, |column| column.validity = Some(vec![0b01]));
}

#[test]
fn refuses_wrong_lengths() {
    for index in 0..4 {
        refused_column(code::BUFFER_LENGTH, index, |column| column.buffers[0].push(0));
        refused_column(code::BUFFER_LENGTH, index, |column| {
            column.buffers[0].pop();
        });
        refused_column(code::BUFFER_LENGTH, index, |column| column.buffers[0].clear());
    }
    // Rows that no buffer could have: nothing is allocated for them.
    refused(code::BUFFER_LENGTH, |output| {
        output.ports[0].columns[3].validity = None;
        output.ports[0].origin = Some(u32s(&[0, 0, 1]));
        output.ports[0].rows = 3;
    });
    refused(code::ORIGIN_LENGTH, |output| {
        output.ports[0].rows = u32::MAX;
        output.ports[0].origin = Some(vec![0; 8]);
    });
}

#[test]
fn refuses_wrong_offsets() {
    refused_column(code::OFFSETS_START, 1, |column| column.buffers[0] = i32s(&[1, 2, 3]));
    refused_column(code::OFFSETS_START, 1, |column| column.buffers[0] = i32s(&[-1, 2, 3]));
    refused_column(code::OFFSETS_ORDER, 1, |column| column.buffers[0] = i32s(&[0, 4, 3]));
    refused_column(code::OFFSETS_ORDER, 1, |column| column.buffers[0] = i32s(&[0, i32::MIN, 3]));
    refused_column(code::OFFSETS_END, 1, |column| column.buffers[0] = i32s(&[0, 2, 4]));
    refused_column(code::OFFSETS_END, 1, |column| column.buffers[0] = i32s(&[0, 2, i32::MAX]));
    refused_column(code::OFFSETS_END, 4, |column| column.buffers[1].push(0));
}

#[test]
fn refuses_wrong_text_and_decimals() {
    refused_column(code::NOT_UTF8, 1, |column| column.buffers[1] = vec![0xc3, 0x28, b'x']);
    refused_column(code::NOT_UTF8, 1, |column| column.buffers[1] = vec![b'x', b'y', 0xc3]);
    refused_column(code::SPLIT_CHARACTER, 1, |column| column.buffers[0] = i32s(&[0, 1, 3]));
    for value in [1000, -1000, i128::MIN, i128::MAX] {
        refused_column(code::DECIMAL_RANGE, 2, |column| {
            column.validity = Some(vec![0b01]);
            column.buffers[0] = bytes([0_i128.to_le_bytes(), value.to_le_bytes()]);
        });
    }
}

#[test]
fn refuses_wrong_origins() {
    refused(code::ORIGIN_LENGTH, |output| output.ports[0].origin = Some(u32s(&[0])));
    refused(code::ORIGIN_LENGTH, |output| output.ports[0].origin = Some(vec![0; 7]));
    refused(code::ORIGIN_ORDER, |output| output.ports[0].origin = Some(u32s(&[1, 0])));
    refused(code::ORIGIN_RANGE, |output| output.ports[0].origin = Some(u32s(&[0, 2])));
    refused(code::ORIGIN_RANGE, |output| output.ports[0].origin = Some(u32s(&[0, u32::MAX])));
}

#[test]
fn refuses_wrong_failures() {
    assert_eq!(run(with_failure(), 3).unwrap().failed.unwrap().iter().collect::<Vec<_>>(), [(2, "late")]);
    let failed = |output: &mut Output, rows: &[u32]| {
        let messages = vec![i32s(&vec![0; rows.len() + 1]), vec![]];
        output.failed = Some(Failures { rows: u32s(rows), messages });
    };
    refused_failure(code::ORIGIN_MISSING, |output| {
        output.ports[0].origin = None;
        output.ports[0].rows = 3;
    });
    refused_failure(code::FAILED_LENGTH, |output| output.failed.as_mut().unwrap().rows.push(0));
    refused_failure(code::FAILED_ORDER, |output| failed(output, &[2, 2]));
    refused_failure(code::FAILED_ORDER, |output| failed(output, &[2, 1]));
    refused_failure(code::FAILED_RANGE, |output| failed(output, &[3]));
    refused_failure(code::FAILED_WITH_OUTPUT, |output| failed(output, &[1]));
    refused_failure(code::BUFFER_LENGTH, |output| output.failed.as_mut().unwrap().rows = u32s(&[]));
    refused_failure(code::BUFFER_LENGTH, |output| output.failed.as_mut().unwrap().messages[0].truncate(4));
    refused_failure(code::OUTPUT_BUFFERS, |output| output.failed.as_mut().unwrap().messages.truncate(1));
    refused_failure(code::OFFSETS_END, |output| output.failed.as_mut().unwrap().messages[1].clear());
    refused_failure(code::NOT_UTF8, |output| output.failed.as_mut().unwrap().messages[1] = vec![0xff; 4]);
}

#[test]
fn names_port_and_column() {
    let mut output = good();
    output.ports[0].columns[1].buffers[0] = i32s(&[1, 2, 3]);
    let error = run(output, 2).unwrap_err().to_string();
    assert_eq!(error, "LG0659: output port 0, column \"t\": the first offset is 1, not 0");
}

#[test]
fn a_long_message_is_cut() {
    let mut output = with_failure();
    let text = "ü".repeat(MAX_MESSAGE);
    output.failed.as_mut().unwrap().messages = vec![i32s(&[0, text.len() as i32]), text.clone().into_bytes()];
    let failed = run(output, 3).unwrap().failed.unwrap();
    assert_eq!(failed.iter().next().unwrap().1, &text[..MAX_MESSAGE]);
}

#[test]
fn an_origin_that_lists_every_row_is_one_to_one() {
    let mut output = good();
    output.ports[0].origin = Some(u32s(&[0, 1]));
    assert!(run(output.clone(), 2).unwrap().ports[0].origin.is_none());
    let checked = run(output.clone(), 3).unwrap();
    assert_eq!(checked.ports[0].origin.as_deref(), Some(&[0, 1][..]));
    output.ports[0].origin = Some(u32s(&[1, 1]));
    assert!(run(output, 2).unwrap().ports[0].repeats);
}

#[test]
fn vectors_become_buffers_without_a_copy() {
    let output = good();
    let lies = output.ports[0].columns[1].buffers[1].as_ptr();
    let checked = run(output, 2).unwrap();
    assert_eq!(checked.ports[0].columns[1].as_string::<i32>().value_data().as_ptr(), lies);
}

/// A change of an output: in one of its byte vectors or its counts.
#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, usize, u8),
    Push(usize, u8),
    Cut(usize, usize),
    Rows(u32),
    Origin(Option<Vec<u32>>),
    Validity(usize, Option<Vec<u8>>),
    Failed(Vec<u32>, Vec<i32>, Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let value = prop_oneof![Just(0_u8), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    let index = prop_oneof![0_u32..4, any::<u32>()];
    prop_oneof![
        4 => (0..12_usize, 0..40_usize, value.clone()).prop_map(|(b, i, v)| Mutation::Set(b, i, v)),
        1 => (0..12_usize, value).prop_map(|(b, v)| Mutation::Push(b, v)),
        1 => (0..12_usize, 0..40_usize).prop_map(|(b, n)| Mutation::Cut(b, n)),
        1 => index.clone().prop_map(Mutation::Rows),
        1 => prop::option::of(prop::collection::vec(index.clone(), 0..4)).prop_map(Mutation::Origin),
        1 => (0..5_usize, prop::option::of(prop::collection::vec(any::<u8>(), 0..3)))
            .prop_map(|(c, v)| Mutation::Validity(c, v)),
        1 => (
            prop::collection::vec(index, 0..3),
            prop::collection::vec(-1_i32..4, 0..4),
            prop::collection::vec(any::<u8>(), 0..4),
        )
            .prop_map(|(r, o, d)| Mutation::Failed(r, o, d)),
    ]
}

fn mutate(output: &mut Output, mutation: Mutation) {
    let port = &mut output.ports[0];
    let mut buffers: Vec<&mut Vec<u8>> = port.columns.iter_mut().flat_map(|column| &mut column.buffers).collect();
    let count = buffers.len();
    match mutation {
        Mutation::Set(buffer, index, value) => {
            if let Some(byte) = buffers[buffer % count].get_mut(index) {
                *byte = value;
            }
        }
        Mutation::Push(buffer, value) => buffers[buffer % count].push(value),
        Mutation::Cut(buffer, length) => buffers[buffer % count].truncate(length),
        Mutation::Rows(rows) => port.rows = rows,
        Mutation::Origin(origin) => port.origin = origin.map(|origin| u32s(&origin)),
        Mutation::Validity(column, validity) => port.columns[column].validity = validity,
        Mutation::Failed(rows, offsets, data) => {
            output.failed = Some(Failures { rows: u32s(&rows), messages: vec![i32s(&offsets), data] });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever a guest gives back: no panic, and what passes is valid in every way.
    #[test]
    fn nothing_invalid_passes(
        mutations in prop::collection::vec(mutation(), 1..4),
        failing: bool,
        rows in 0_u32..5,
    ) {
        let mut output = if failing { with_failure() } else { good() };
        for mutation in mutations {
            mutate(&mut output, mutation);
        }
        let Ok(checked) = run(output, rows) else { return Ok(()) };
        let failed: Vec<u32> = checked.failed.iter().flat_map(|failed| failed.iter().map(|(row, _)| row)).collect();
        prop_assert!(failed.iter().all(|row| *row < rows) && failed.is_sorted_by(|a, b| a < b));
        for port in &checked.ports {
            for (column, field) in port.columns.iter().zip(fields()) {
                prop_assert_eq!(column.len(), port.rows);
                prop_assert_eq!(column.data_type(), &crate::schema::arrow_type(field.data_type));
                prop_assert!(field.nullable || column.null_count() == 0);
                column.to_data().validate_full().unwrap();
            }
            match &port.origin {
                None => prop_assert!(port.rows == rows as usize && failed.is_empty()),
                Some(origin) => {
                    prop_assert!(origin.len() == port.rows && origin.is_sorted());
                    prop_assert!(origin.iter().all(|row| *row < rows && !failed.contains(row)));
                }
            }
        }
    }
}
