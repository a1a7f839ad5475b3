//! Every type of the contract: in, out, null, and as the bytes that the contract says.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use lockgate_sdk::prelude::*;
use lockgate_sdk::{Udf, raw, testing};
use std::borrow::Cow;

/// A function from `T` to `T` and one from `Option<T>` to `Option<T>`, called with values and with nulls.
macro_rules! round_trip {
    ($test:ident, $type:ty, $logical:literal, [$($value:expr),+]) => {
        #[test]
        fn $test() {
            #[udf]
            fn same(value: $type) -> $type {
                value
            }

            #[udf]
            fn maybe(value: Option<$type>) -> Result<Option<$type>, Error> {
                Ok(value)
            }

            #[udf]
            fn twice(value: $type) -> Vec<$type> {
                vec![value.clone(), value]
            }

            let values: Vec<$type> = vec![$($value),+];
            let run = testing::call::<same>().column("value", values.clone()).run().unwrap();
            assert_eq!(run.column::<$type>("same"), values);
            assert_eq!(same::describe().outputs[0].fields[0].logical, $logical);
            let run = testing::call::<twice>().column("value", values.clone()).run().unwrap();
            assert_eq!(run.column::<$type>("twice").len(), 2 * values.len());
            let options: Vec<Option<$type>> =
                values.iter().cloned().flat_map(|value| [None, Some(value.clone()), Some(value)]).collect();
            let run = testing::call::<maybe>().column("value", options.clone()).run().unwrap();
            assert_eq!(run.column::<Option<$type>>("maybe"), options);
            let run = testing::call::<same>().column("value", options.clone()).run().unwrap();
            assert_eq!(run.column::<Option<$type>>("same"), options);
            let run = testing::call::<maybe>().column::<$type>("value", []).run().unwrap();
            assert!(run.column::<Option<$type>>("maybe").is_empty());
        }
    };
}

round_trip!(bools, bool, "bool", [true, false, true, true, false, false, true, true, false, true]);
round_trip!(int8, i8, "int8", [i8::MIN, 0, i8::MAX]);
round_trip!(int16, i16, "int16", [i16::MIN, 0, i16::MAX]);
round_trip!(int32, i32, "int32", [i32::MIN, 0, i32::MAX]);
round_trip!(int64, i64, "int64", [i64::MIN, 0, i64::MAX]);
round_trip!(uint8, u8, "uint8", [0, u8::MAX]);
round_trip!(uint16, u16, "uint16", [0, u16::MAX]);
round_trip!(uint32, u32, "uint32", [0, u32::MAX]);
round_trip!(uint64, u64, "uint64", [0, u64::MAX]);
round_trip!(float32, f32, "float32", [f32::MIN_POSITIVE, -0.0, f32::INFINITY]);
round_trip!(float64, f64, "float64", [f64::MIN_POSITIVE, -0.0, f64::NEG_INFINITY]);
round_trip!(strings, String, "utf8", ["".to_owned(), "żółć".to_owned(), "a".repeat(1000)]);
round_trip!(binaries, Vec<u8>, "binary", [vec![], vec![0, 255], vec![7; 1000]]);
round_trip!(dates, Date, "date32", [Date::from_days(i32::MIN), Date::from_days(0)]);
round_trip!(timestamps, Timestamp, "timestamp[us]", [Timestamp::from_micros(i64::MIN), Timestamp::from_micros(1)]);
round_trip!(instants, TimestampUtc, "timestamp[us, UTC]", [TimestampUtc::from_micros(i64::MAX)]);
round_trip!(decimals, Decimal<38, 2>, "decimal128(38, 2)", [Decimal::new(-1).unwrap(), Decimal::new(10_i128.pow(37)).unwrap()]);

#[udf]
fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

#[udf]
fn inverted(flag: bool) -> bool {
    !flag
}

#[udf]
fn length(text: &str) -> u32 {
    text.len().try_into().unwrap_or(u32::MAX)
}

#[udf]
fn echo(text: &str) -> &str {
    text
}

#[test]
fn borrows_where_it_can() {
    let run = testing::call::<trimmed>().column("text", [" a ", "b"]).run().unwrap();
    assert_eq!(run.column::<&str>("trimmed"), ["a", "b"]);
}

fn column(validity: Option<Vec<u8>>, buffers: Vec<Vec<u8>>) -> raw::Column {
    raw::Column { validity, buffers }
}

fn batch(rows: u32, column: raw::Column) -> raw::Batch {
    raw::Batch { rows, columns: vec![column] }
}

#[test]
fn columns_are_as_the_contract_says() {
    let input = batch(
        3,
        column(Some(vec![0b101]), vec![vec![0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0], b"abc".to_vec()]),
    );
    let output = echo::call(input).unwrap();
    let expected = vec![vec![0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0], b"abc".to_vec()];
    assert_eq!(output.ports[0].data, batch(3, column(Some(vec![0b101]), expected)));
    assert_eq!((&output.ports[0].origin, &output.failed), (&None, &None));
    let output = inverted::call(batch(10, column(None, vec![vec![0b1010_1010, 0b01]]))).unwrap();
    assert_eq!(output.ports[0].data.columns, [column(None, vec![vec![0b0101_0101, 0b10]])]);
    // The offsets of an empty column are one 0.
    let output = echo::call(batch(0, column(None, vec![vec![0; 4], vec![]]))).unwrap();
    assert_eq!(output.ports[0].data.columns, [column(None, vec![vec![0; 4], vec![]])]);
}

#[test]
fn malformed_columns_fail_the_batch() {
    let offsets = |offsets: &[u32]| offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect::<Vec<u8>>();
    for (wrong, why) in [
        (batch(2, column(None, vec![offsets(&[0, 1]), b"a".to_vec()])), "2 rows"),
        (batch(0, column(None, vec![vec![], vec![]])), "0 rows"),
        (batch(1, column(None, vec![vec![0; 7], b"a".to_vec()])), "1 rows"),
        (batch(1, column(None, vec![offsets(&[0, 1]), b"\xff".to_vec()])), "UTF-8"),
        (batch(1, column(None, vec![offsets(&[0, 1])])), "two buffers"),
        (batch(9, column(Some(vec![255]), vec![offsets(&[0; 10]), vec![]])), "validity"),
        (raw::Batch { rows: 1, columns: vec![] }, "fewer columns"),
        (raw::Batch { rows: 0, columns: vec![column(None, vec![vec![0; 4], vec![]]); 2] }, "more columns"),
    ] {
        let error = length::call(wrong).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    for (wrong, why) in
        [(batch(9, column(None, vec![vec![0]])), "9 rows"), (batch(1, column(None, vec![])), "one buffer")]
    {
        let error = inverted::call(wrong).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
