//! The form that takes whole columns.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use lockgate_sdk::prelude::*;
use lockgate_sdk::{Udf, testing};

#[udf(batch, input(price: f64, symbol: Option<&str>), output(share: Option<f64>), output late(symbol: &str, at: Date))]
fn shares(batch: &Batch) -> Result<Output, Error> {
    let (prices, symbols) = (batch.column::<f64>("price")?, batch.column::<&str>("symbol")?);
    let total: f64 = prices.iter().flatten().sum();
    let late: Vec<(usize, &str)> =
        symbols.iter().enumerate().filter_map(|(row, symbol)| symbol.map(|symbol| (row, symbol))).collect();
    Ok(Output::new()
        .column("share", prices.iter().map(|price| price.map(|price| price / total)))
        .port("late")
        .column("at", late.iter().map(|(row, _)| Date::from_days(i32::try_from(*row).unwrap())))
        .column("symbol", late.iter().map(|(_, symbol)| *symbol))
        .origin(late.iter().map(|(row, _)| *row)))
}

#[test]
fn whole_columns_to_several_outputs() {
    let run = testing::call::<shares>()
        .column("price", [Some(1.0), None, Some(3.0)])
        .column("symbol", [None, Some("b"), Some("c")])
        .run()
        .unwrap();
    assert_eq!(run.column::<Option<f64>>("share"), [Some(0.25), None, Some(0.75)]);
    assert_eq!(run.port("late").column::<&str>("symbol"), ["b", "c"]);
    assert_eq!(run.port("late").column::<Date>("at").last(), Some(&Date::from_days(2)));
    assert_eq!(run.port("late").origin(), [1, 2]);
    let names: Vec<_> = shares::describe().outputs.into_iter().map(|port| port.name).collect();
    assert_eq!(names, ["out", "late"]);
}

#[udf(batch, input(value: i64), output(value: i64))]
fn free(batch: &Batch) -> Result<Output, String> {
    let values = batch.column::<i64>("value").map_err(|error| error.to_string())?;
    let values: Vec<i64> = values.values().ok_or("nulls")?.collect();
    let output = Output::new().column("value", values.iter().copied());
    match values.first() {
        Some(1) => Ok(output.fail(0, "one").origin([1])),
        Some(2) => Ok(Output::new().column("value", [7_i64]).fail(0, "two").fail(0, "again").origin([1])),
        Some(3) => Ok(Output::new().column("value", [7_i64])),
        Some(4) => Ok(output.origin([1, 0])),
        Some(5) => Ok(output.origin([0, 2])),
        Some(6) => Ok(output.port("side").column("value", [1])),
        Some(7) => Ok(output.column("other", [1_i64, 2])),
        Some(8) => Ok(Output::new().column("value", ["text", "text"])),
        Some(9) => Ok(Output::new()),
        Some(10) => Ok(output.column("more", [1])),
        Some(11) => Ok(output.fail(2, "no such row")),
        Some(12) => Ok(output.fail(0, "one").origin([0, 1])),
        Some(13) => Err("no".to_owned()),
        Some(14) => batch.column::<i32>("value").map(|_| output).map_err(|error| error.to_string()),
        Some(15) => batch.column::<i64>("values").map(|_| output).map_err(|error| error.to_string()),
        _ => Ok(output),
    }
}

#[test]
fn what_breaks_the_contract_fails_the_batch() {
    for (first, why) in [
        (1_i64, "1 entries for 2 rows"),
        (3, "needs an origin"),
        (4, "non-decreasing"),
        (5, "not below"),
        (6, "no output named \"side\""),
        (7, "no column \"other\""),
        (8, "is utf8, described as int64"),
        (9, "lacks column \"value\""),
        (10, "as many rows"),
        (11, "row 2 cannot fail"),
        (12, "cannot have output rows"),
        (13, "no"),
        (14, "is int64, not int32"),
        (15, "no column \"values\""),
    ] {
        let error = testing::call::<free>().column("value", [first, 0]).run().unwrap_err();
        assert!(error.contains(why), "{first}: {error}");
    }
    let run = testing::call::<free>().column("value", [2_i64, 0]).run().unwrap();
    assert_eq!((run.column::<i64>("value"), run.failures()), (vec![7], vec![(0, "two".to_owned())]));
    let run = testing::call::<free>().column("value", [99_i64, 0]).run().unwrap();
    assert_eq!(run.column::<i64>("value"), [99, 0]);
    assert_eq!(testing::call::<free>().column("value", [None::<i64>]).run().unwrap_err(), "nulls");
}
