//! Encoding every format, read back by another reader.

use super::*;
use crate::Decoded;
use crate::decode::tests::{Memory, csv, decode_all, source};
use crate::schema::arrow_schema;
use arrow_array::types::Date32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, PrimitiveArray, StringArray, TimestampMicrosecondArray, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array,
};
use arrow_select::concat::concat_batches;
use lockgate_core::plan::Source;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use std::sync::Arc;

fn fields(nullable: bool) -> Vec<Field> {
    [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "utf8",
        "binary",
        "date32",
        "timestamp[us]",
        "timestamp[us, UTC]",
        "decimal128(38, 10)",
        "decimal128(5, 5)",
    ]
    .map(|logical| Field::new(format!("c \"{logical}\""), logical.parse().unwrap(), nullable))
    .to_vec()
}

/// One row: integers of all widths are cut out of one number.
type Row = (Option<i64>, Option<f64>, Option<String>, Option<Vec<u8>>, Option<i128>);

fn row() -> impl Strategy<Value = Row> {
    let decimal = -(10_i128.pow(38) - 1)..10_i128.pow(38);
    let number = prop_oneof![any::<i64>(), -1000_i64..1000, 0_i64..2_000_000_000_000_000];
    (
        weighted(0.7, number),
        weighted(0.7, prop_oneof![any::<f64>().prop_filter("no JSON", |v| v.is_finite()), -1e3..1e3_f64]),
        // No null text of CSV, which is empty here; a carriage return and all else are welcome.
        weighted(0.7, "[a-z\",\n\r\t\u{0}\u{1f} é😀]{1,12}"),
        weighted(0.7, vec(any::<u8>(), 1..8)),
        weighted(0.7, decimal),
    )
}

/// The same without nulls.
fn filled(row: Row) -> Row {
    (row.0.or(Some(0)), row.1.or(Some(0.0)), row.2.or(Some("x".into())), row.3.or(Some(vec![0])), row.4.or(Some(0)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any value of the type will do")]
fn batch(rows: &[Row], nullable: bool) -> RecordBatch {
    let int = || rows.iter().map(|row| row.0);
    let schema = arrow_schema(&fields(nullable));
    let typed = |at: usize| schema.field(at).data_type().clone();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(int().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(int().map(|v| v.map(|v| v as i8)).collect::<Int8Array>()),
        Arc::new(int().map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
        Arc::new(int().map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        Arc::new(int().collect::<Int64Array>()),
        Arc::new(int().map(|v| v.map(|v| v as u8)).collect::<UInt8Array>()),
        Arc::new(int().map(|v| v.map(|v| v as u16)).collect::<UInt16Array>()),
        Arc::new(int().map(|v| v.map(|v| v as u32)).collect::<UInt32Array>()),
        Arc::new(int().map(|v| v.map(|v| v as u64)).collect::<UInt64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.1.map(|v| v as f32).filter(|v| v.is_finite()).or(row.1.map(|_| 0.5)))
                .collect::<Float32Array>(),
        ),
        Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.3.as_deref()).collect::<BinaryArray>()),
        Arc::new(int().map(|v| v.map(|v| v as i32)).collect::<PrimitiveArray<Date32Type>>()),
        Arc::new(int().collect::<TimestampMicrosecondArray>()),
        Arc::new(int().collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| row.4).collect::<Decimal128Array>().with_data_type(typed(16))),
        Arc::new(
            rows.iter().map(|row| row.4.map(|v| v % 100_000)).collect::<Decimal128Array>().with_data_type(typed(17)),
        ),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

fn encode(format: &Format, fields: &[Field], batches: &[RecordBatch]) -> Vec<u8> {
    let mut encoder = encoder(format, fields).unwrap();
    let mut out = Vec::new();
    for batch in batches {
        encoder.write(batch, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out
}

fn together(fields: &[Field], decoded: &[Decoded]) -> RecordBatch {
    assert!(decoded.iter().all(|decoded| decoded.bad.is_empty()), "{:?}", decoded.first().map(|d| d.bad.first()));
    concat_batches(&arrow_schema(fields), decoded.iter().map(|decoded| &decoded.tracked.batch)).unwrap()
}

fn every_format() -> Vec<(&'static str, Source)> {
    let mut formats = Vec::new();
    for (name, kind) in
        [("parquet", FormatKind::Parquet), ("json", FormatKind::Json), ("csv", csv(true)), ("bare csv", csv(false))]
    {
        for compression in [Compression::Auto, Compression::Gzip, Compression::Zstd] {
            if kind != FormatKind::Parquet || compression == Compression::Auto {
                formats.push((
                    name,
                    Source { format: Some(Format { kind: kind.clone(), compression }), ..source(kind.clone()) },
                ));
            }
        }
    }
    formats
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_format_gives_back_every_value(
        rows in vec(row(), 0..40), cut in 0_usize..10, batch_rows in 1_u32..30,
    ) {
        let full = rows.iter().cloned().map(filled).collect();
        for (rows, nullable) in [(rows, true), (full, false)] {
            let (whole, fields) = (batch(&rows, nullable), fields(nullable));
            let cut = cut.min(rows.len());
            // Slices, whose buffers do not begin where the values do, and an empty one.
            let parts = [whole.slice(0, cut), whole.slice(cut, 0), whole.slice(cut, rows.len() - cut)];
            for (name, source) in every_format() {
                let bytes = encode(source.format.as_ref().unwrap(), &fields, &parts);
                prop_assert_eq!(&bytes, &encode(source.format.as_ref().unwrap(), &fields, &parts), "{}", name);
                let decoded = decode_all(&source, &fields, "x", batch_rows, None, &mut Memory::new(bytes)).unwrap();
                prop_assert_eq!(&together(&fields, &decoded), &whole, "{}", name);
            }
        }
    }
}

#[test]
fn floats_that_are_no_numbers() {
    let fields = [Field::new("f", LogicalType::Float64, true)];
    let column = Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]);
    let batch = RecordBatch::try_new(arrow_schema(&fields), vec![Arc::new(column)]).unwrap();
    let write = |kind: FormatKind| {
        let format = Format { kind, compression: Compression::None };
        String::from_utf8(encode(&format, &fields, std::slice::from_ref(&batch))).unwrap()
    };
    assert_eq!(write(FormatKind::Json), "{\"f\":null}\n{\"f\":null}\n{\"f\":null}\n{\"f\":-0.0}\n");
    let text = write(csv(true));
    assert_eq!(text, "f\nNaN\ninf\n-inf\n-0.0\n");
    let back = decode_all(&source(csv(true)), &fields, "x", 9, None, &mut Memory::new(text)).unwrap();
    assert_eq!(together(&fields, &back), batch);
}

#[test]
fn json_looks_as_expected() {
    let fields = [
        Field::new("t", "timestamp[us, UTC]".parse().unwrap(), true),
        Field::new("d", LogicalType::Date32, true),
        Field::new("b", LogicalType::Binary, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500), Some(i64::MAX), None]).with_timezone("UTC")),
        Arc::new(PrimitiveArray::<Date32Type>::from(vec![Some(-1), Some(i32::MAX), None])),
        Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), Some(b""), None])),
    ];
    let batch = RecordBatch::try_new(arrow_schema(&fields), columns).unwrap();
    let format = Format { kind: FormatKind::Json, compression: Compression::None };
    let text = String::from_utf8(encode(&format, &fields, &[batch])).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], r#"{"t":"1970-01-01T00:00:00.001500Z","d":"1969-12-31","b":"AP8="}"#);
    assert_eq!(lines[1], r#"{"t":9223372036854775807,"d":2147483647,"b":""}"#);
    assert_eq!(lines[2], r#"{"t":null,"d":null,"b":null}"#);
}

#[test]
fn a_single_csv_column_of_nothing_keeps_its_rows() {
    let fields = [Field::new("a", LogicalType::Utf8, true)];
    let column = StringArray::from(vec![None, Some("x"), None]);
    let batch = RecordBatch::try_new(arrow_schema(&fields), vec![Arc::new(column)]).unwrap();
    let format = Format { kind: csv(true), compression: Compression::None };
    let bytes = encode(&format, &fields, std::slice::from_ref(&batch));
    let back = decode_all(&source(csv(true)), &fields, "x", 9, None, &mut Memory::new(bytes)).unwrap();
    assert_eq!(together(&fields, &back), batch);
}

#[test]
fn lines_refuse_what_would_not_come_back() {
    let format = Format { kind: FormatKind::Lines, compression: Compression::None };
    let fields = [Field::new("text", LogicalType::Utf8, true)];
    let write = |value: Option<&str>| {
        let batch =
            RecordBatch::try_new(arrow_schema(&fields), vec![Arc::new(StringArray::from(vec![value]))]).unwrap();
        let mut out = Vec::new();
        encoder(&format, &fields).unwrap().write(&batch, &mut out).map(|()| out).map_err(|error| error.code())
    };
    assert_eq!(write(Some("a\rb")), Ok(b"a\rb\n".to_vec()));
    for refused in [None, Some("a\nb"), Some("a\r")] {
        assert_eq!(write(refused), Err(code::NOT_ENCODABLE));
    }
    assert_eq!(encoder(&format, &[]).err().map(|error| error.code()), Some(code::NOT_ENCODABLE));
}

#[test]
fn a_batch_of_other_columns_is_refused() {
    let declared = [Field::new("a", LogicalType::Int64, true)];
    let other = batch(&[], true);
    for kind in [FormatKind::Parquet, FormatKind::Json, csv(true)] {
        let format = Format { kind, compression: Compression::None };
        let error = encoder(&format, &declared).unwrap().write(&other, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), code::NOT_ENCODABLE);
    }
}

#[test]
fn the_writers_own_error_comes_through() {
    struct Full(bool);
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let ours = Error::new(code::IO, "the volume is full");
            Err(if self.0 { io::Error::other(ours) } else { io::Error::other("broken pipe") })
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let format = Format { kind: csv(true), compression: Compression::None };
    let fields = fields(true);
    for (ours, expected) in [(true, code::IO), (false, code::NOT_TAKEN)] {
        let error = encoder(&format, &fields).unwrap().write(&batch(&[], true), &mut Full(ours)).unwrap_err();
        assert_eq!(error.code(), expected);
    }
}

#[test]
fn arrow_reads_what_we_write() {
    let fields = vec![Field::new("n", LogicalType::Int64, true), Field::new("s", LogicalType::Utf8, true)];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)])),
        Arc::new(StringArray::from(vec![Some("a\"b,\n"), Some("\u{1}"), None])),
    ];
    let batch = RecordBatch::try_new(arrow_schema(&fields), columns).unwrap();
    let write = |kind| encode(&Format { kind, compression: Compression::None }, &fields, std::slice::from_ref(&batch));
    let json = write(FormatKind::Json);
    let mut reader = arrow_json::ReaderBuilder::new(arrow_schema(&fields)).build(&json[..]).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), batch);
    let csv = write(csv(true));
    let mut reader = arrow_csv::ReaderBuilder::new(arrow_schema(&fields)).with_header(true).build(&csv[..]).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), batch);
}
