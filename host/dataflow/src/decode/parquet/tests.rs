//! Parquet by range: projection, widening, resuming, and files that lie.

use super::*;
use crate::decode::tests::{Memory, comparable, decode_all, drain, failure, field, source};
use crate::decode::{Limits, decoder_within};
use crate::{Decoded, Rows};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Float32Array, Int8Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use lockgate_core::plan::{FormatKind, Source};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn parquet_source() -> Source {
    source(FormatKind::Parquet)
}

fn write(columns: Vec<(&str, ArrayRef)>, row_group: usize) -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
    let batch = batch.unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group))
        .set_compression(Compression::ZSTD(Default::default()))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// 100 rows in groups of 30: `n` counts, `s` repeats, `b` is there to be left out.
fn numbers() -> Vec<u8> {
    let s: Vec<_> = (0..100).map(|n| (n % 7 != 0).then(|| format!("s{}", n % 5))).collect();
    write(
        vec![
            ("n", Arc::new(Int64Array::from_iter_values(0..100))),
            ("b", Arc::new(StringArray::from_iter_values((0..100).map(|n| format!("{n}").repeat(1000))))),
            ("s", Arc::new(StringArray::from(s))),
        ],
        30,
    )
}

fn decode(fields: &[Field], batch_rows: u32, bytes: Vec<u8>) -> Result<Vec<Decoded>> {
    decode_all(&parquet_source(), fields, "x.gz", batch_rows, None, &mut Memory::new(bytes))
}

#[test]
fn reads_only_the_columns_that_are_declared() {
    let bytes = numbers();
    let fields = [field("s", "utf8", true), field("n", "int64", false)];
    let mut input = Memory::by(bytes.clone(), 64);
    let all = decode_all(&parquet_source(), &fields, "x", 20, None, &mut input).unwrap();
    assert_eq!(all.iter().map(|d| d.tracked.batch.num_rows()).collect::<Vec<_>>(), [20, 10, 20, 10, 20, 10, 10]);
    assert_eq!(all[2].tracked.rows, Rows::From(30));
    assert_eq!(all[6].tracked.batch.column(1).as_primitive::<Int64Type>().value(9), 99);
    assert_eq!(all[0].tracked.batch.column(0).as_string::<i32>().value(6), "s1");
    // What is not read includes the large column: only its metadata is.
    let whole = decode_all(&parquet_source(), &[field("b", "utf8", true)], "x", 20, None, &mut Memory::new(bytes));
    assert_eq!(whole.unwrap()[0].tracked.batch.column(0).as_string::<i32>().value(1).len(), 1000);
    let none = decode(&[], 64, numbers()).unwrap();
    assert_eq!(none.iter().map(|d| d.tracked.batch.num_rows()).sum::<usize>(), 100);
}

#[test]
fn resumed_runs_see_the_same_batches() {
    let (bytes, fields) = (numbers(), [field("n", "int64", false), field("s", "utf8", false)]);
    for batch_rows in [1, 7, 30, 64] {
        let all = decode(&fields, batch_rows, bytes.clone()).unwrap();
        for at in 0..all.len() {
            let start = Some(&all[at].position[..]);
            let rest = decode_all(&parquet_source(), &fields, "x", batch_rows, start, &mut Memory::new(bytes.clone()));
            assert_eq!(comparable(&rest.unwrap()), comparable(&all[at + 1..]));
        }
    }
    let behind = Position { offset: 0, record: 101 }.to_bytes(PARQUET);
    let all = decode_all(&parquet_source(), &fields, "x", 8, Some(&behind), &mut Memory::new(bytes));
    assert_eq!(failure(all), code::INVALID_POSITION);
}

#[test]
fn nulls_where_there_must_be_none_are_bad_rows() {
    let all = decode(&[field("s", "utf8", false), field("n", "int64", false)], 64, numbers()).unwrap();
    assert_eq!(all[1].bad.iter().map(|bad| bad.row).collect::<Vec<_>>(), [35, 42, 49, 56]);
    assert_eq!(all[1].bad[0].error.code(), code::BAD_VALUE);
    let batch = &all[1].tracked.batch;
    assert_eq!((batch.num_rows(), batch.column(0).null_count()), (26, 0));
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(5), 36);
    let Rows::Each(rows) = &all[1].tracked.rows else { panic!("there are gaps") };
    assert_eq!((rows.len(), rows[4], rows[5]), (26, 34, 36));
}

#[test]
fn types_are_widened_but_never_narrowed() {
    let bytes = write(
        vec![
            ("i", Arc::new(Int8Array::from(vec![-1, 2]))),
            ("f", Arc::new(Float32Array::from(vec![0.5, 1.5]))),
            ("ms", Arc::new(TimestampMillisecondArray::from(vec![1, -1]).with_timezone("+02:00"))),
            ("ns", Arc::new(TimestampNanosecondArray::from(vec![1_999, 0]))),
        ],
        10,
    );
    let fields = [
        field("i", "int64", true),
        field("f", "float64", true),
        field("ms", "timestamp[us, UTC]", true),
        field("ns", "timestamp[us]", true),
    ];
    let batch = decode(&fields, 10, bytes.clone()).unwrap().remove(0).tracked.batch;
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[-1, 2]);
    assert_eq!(batch.column(2).as_primitive::<TimestampMicrosecondType>().values(), &[1000, -1000]);
    assert_eq!(batch.column(3).as_primitive::<TimestampMicrosecondType>().values(), &[1, 0]);
    assert_eq!(
        decode(&[field("i", "int8", true)], 10, bytes.clone()).unwrap()[0]
            .tracked
            .batch
            .column(0)
            .as_primitive::<Int8Type>()
            .value(0),
        -1
    );
    for (name, logical) in
        [("i", "uint8"), ("f", "int64"), ("ms", "timestamp[us]"), ("ns", "timestamp[us, UTC]"), ("x", "int8")]
    {
        let error = decode(&[field(name, logical, true)], 10, bytes.clone()).unwrap_err();
        assert_eq!(error.code(), code::SCHEMA_MISMATCH);
        assert!(error.cause().contains(&format!("{name:?}")), "{error}");
    }
    let error = decode(&[field("f", "int64", true)], 10, bytes).unwrap_err();
    assert_eq!(error.cause(), "column \"f\" is declared as int64, but the Parquet file has it as Float32");
}

#[test]
fn footers_that_lie_are_refused() {
    let bytes = numbers();
    let fields = [field("n", "int64", false)];
    let end = bytes.len();
    let with_length = |length: u32| [&bytes[..end - 8], &length.to_le_bytes(), b"PAR1"].concat();
    let honest = u32::from_le_bytes(bytes[end - 8..end - 4].try_into().unwrap());
    for (bytes, refused) in [
        (b"PAR1".to_vec(), code::CORRUPT_PARQUET),
        (bytes[..end - 1].to_vec(), code::CORRUPT_PARQUET),
        (bytes[100..].to_vec(), code::CORRUPT_PARQUET),
        (with_length(u32::MAX), code::PARQUET_LIMIT),
        (with_length(16 << 20), code::CORRUPT_PARQUET),
        (with_length(honest - 1), code::CORRUPT_PARQUET),
        (with_length(0), code::CORRUPT_PARQUET),
    ] {
        assert_eq!(failure(decode(&fields, 8, bytes)), refused);
    }
}

#[test]
fn pages_and_row_groups_have_bounds() {
    // Unpacked, the pages of the large column are 100 times what they are packed.
    let fields = [field("b", "utf8", true)];
    let run = |limits| {
        let decoder = decoder_within(limits, &parquet_source(), &fields, "x", 8, None).unwrap();
        drain(decoder, &mut Memory::new(numbers()))
    };
    assert!(run(Limits { page: 200_000, row_group: 10_000, ..Limits::DEFAULT }).is_ok());
    assert_eq!(failure(run(Limits { page: 20_000, ..Limits::DEFAULT })), code::PARQUET_LIMIT);
    assert_eq!(failure(run(Limits { row_group: 100, ..Limits::DEFAULT })), code::PARQUET_LIMIT);
}

#[test]
fn values_that_repeat_hold_batches_to_what_the_largest_allows() {
    use parquet::basic::Encoding;
    use parquet::file::properties::WriterPropertiesBuilder;
    // 100 rows of the same kilobyte, but for two.
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..100).map(|n| "s".repeat(if [10, 60].contains(&n) { 2_048 } else { 1_024 })),
    ));
    let values = (0..100).map(|n| (n % 2 == 0).then_some([0_u8; 500]));
    let fixed = arrow_array::FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 500).unwrap();
    let fixed: ArrayRef = Arc::new(fixed);
    type Change = fn(WriterPropertiesBuilder) -> WriterPropertiesBuilder;
    let dictionary: Change = |properties| properties;
    let prefixes: Change =
        |properties| properties.set_dictionary_enabled(false).set_encoding(Encoding::DELTA_BYTE_ARRAY);
    let plain: Change = |properties| properties.set_dictionary_enabled(false);
    for (name, array, logical, change, rows) in [
        // 64 KiB of 2 KiB each; of a little more, since a page of shared prefixes is
        // taken at its size; of what the pages hold.
        ("dictionary", &texts, "utf8", dictionary, 32),
        ("prefixes", &texts, "utf8", prefixes, 32),
        ("plain", &texts, "utf8", plain, 100),
        ("fixed", &fixed, "binary", plain, 131),
        ("fixed with a dictionary", &fixed, "binary", dictionary, 131),
    ] {
        let batch = RecordBatch::try_from_iter_with_nullable([("v", array.clone(), true)]).unwrap();
        let mut bytes = Vec::new();
        let properties = change(WriterProperties::builder()).build();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let limits = Limits { batch_bytes: 64 << 10, ..Limits::DEFAULT };
        let decode = |start: Option<&[u8]>| {
            let decoder = decoder_within(limits, &parquet_source(), &[field("v", logical, true)], "x", 1_000, start);
            drain(decoder.unwrap(), &mut Memory::new(bytes.clone())).unwrap()
        };
        let all = decode(None);
        assert!(all.len() > 1 || rows >= 100, "{name}");
        assert!(all[0].tracked.batch.num_rows() <= rows, "{name}: {}", all[0].tracked.batch.num_rows());
        assert_eq!(all.iter().map(|decoded| decoded.tracked.batch.num_rows()).sum::<usize>(), 100, "{name}");
        assert_eq!(comparable(&decode(Some(&all[0].position))), comparable(&all[1..]), "{name}");
    }
}

#[test]
fn row_groups_have_the_rows_that_they_claim() {
    let bytes = Bytes::from(numbers());
    let metadata = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let mut builder = metadata.into_builder();
    for group in builder.take_row_groups() {
        // The columns claim as many values, so that only reading them shows what is missing.
        let columns = group
            .columns()
            .iter()
            .map(|column| column.clone().into_builder().set_num_values(group.num_rows() + 1).build().unwrap());
        let columns = columns.collect();
        let more = group.num_rows() + 1;
        builder = builder
            .add_row_group(group.into_builder().set_num_rows(more).set_column_metadata(columns).build().unwrap());
    }
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
    let mut lying = bytes[..bytes.len() - 8 - length].to_vec();
    parquet::file::metadata::ParquetMetaDataWriter::new(&mut lying, &builder.build()).finish().unwrap();
    assert_eq!(failure(decode(&[field("n", "int64", false)], 64, lying)), code::CORRUPT_PARQUET);
}

#[test]
fn a_stream_cannot_be_parquet() {
    struct Endless;
    impl Input for Endless {
        fn size(&self) -> Option<u64> {
            None
        }
        fn read(&mut self, _: u64, length: usize) -> Result<Bytes> {
            Ok(vec![0; length].into())
        }
    }
    let all = decode_all(&parquet_source(), &[field("n", "int64", false)], "x", 8, None, &mut Endless);
    assert_eq!(failure(all), code::CORRUPT_PARQUET);
}

#[test]
fn decimals_are_widened_by_digits_and_places() {
    for (from, to, possible) in [
        (DataType::Decimal128(10, 2), "decimal128(10, 2)", true),
        (DataType::Decimal128(10, 2), "decimal128(12, 4)", true),
        (DataType::Decimal128(10, 2), "decimal128(11, 4)", false),
        (DataType::Decimal128(10, 2), "decimal128(10, 1)", false),
        (DataType::Decimal256(38, 2), "decimal128(38, 2)", true),
        (DataType::Decimal256(39, 2), "decimal128(38, 2)", false),
        (DataType::Int64, "int32", false),
        (DataType::Utf8, "binary", false),
    ] {
        assert_eq!(convertible(&from, to.parse().unwrap()), possible, "{from} {to}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The reader may panic, as the module says, but it must come back, and with our own errors.
    #[test]
    fn damaged_files_end(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), in_footer: bool,
    ) {
        let column: ArrayRef = Arc::new(Int32Array::from_iter((0..50).map(|n| (n % 3 > 0).then_some(n))));
        let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..50).map(|n| format!("text {n}"))));
        let mut bytes = write(vec![("n", column), ("s", text)], 20);
        let footer = bytes.len() - 8 - usize::try_from(u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap())).unwrap();
        for (at, with) in changes {
            let at = if in_footer { footer + at.index(bytes.len() - footer) } else { at.index(bytes.len()) };
            bytes[at] = with;
        }
        let fields = [field("n", "int32", true), field("s", "utf8", true)];
        match catch_unwind(AssertUnwindSafe(|| decode(&fields, 8, bytes))) {
            Ok(Ok(all)) => prop_assert!(all.len() <= 50),
            Ok(Err(error)) => prop_assert!((701..=710).contains(&error.code().number())),
            Err(_) => {}
        }
    }
}
