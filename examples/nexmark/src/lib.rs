//! What the Nexmark queries compute of a bid, and the small functions that the benchmarks measure the sandbox with.

#![forbid(unsafe_code)]

use lockgate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::Write;

/// What an American dollar was worth in euros when Nexmark was written.
const EUR: f64 = 0.908;

/// Query 1: the price in euros.
#[udf]
pub fn q1(price: i64) -> f64 {
    price as f64 * EUR
}

/// Query 2: bids on some auctions.
#[udf(filter)]
pub fn q2(auction: i64) -> bool {
    auction % 123 == 0
}

/// What query 14 computes of a bid.
#[derive(Row, Clone, PartialEq, Debug)]
pub struct Q14 {
    /// In euros.
    pub price_eur: f64,
    /// `dayTime`, `nightTime` or `otherTime`.
    pub bid_time_type: &'static str,
    /// How often the letter c stands in `extra`.
    pub c_counts: i64,
}

/// Query 14: calculation and filter.
#[udf]
pub fn q14(price: i64, date_time: Timestamp, extra: &str) -> Option<Q14> {
    let price_eur = price as f64 * EUR;
    if !(price_eur > 1_000_000.0 && price_eur < 50_000_000.0) {
        return None;
    }
    let bid_time_type = match date_time.hour() {
        8..=18 => "dayTime",
        0..=6 | 20..=23 => "nightTime",
        _ => "otherTime",
    };
    Some(Q14 { price_eur, bid_time_type, c_counts: count(extra, b'c') })
}

/// One multiplication: what a number costs.
#[udf]
pub fn to_eur(price: f64) -> f64 {
    price * EUR
}

/// Texts with at least two letters a: what reading text costs.
#[udf(filter)]
pub fn keep(text: &str) -> bool {
    count(text, b'a') >= 2
}

/// ASCII letters in upper case: what text to text costs.
#[udf]
pub fn upper(text: &str, out: &mut TextWriter) {
    out.push_str(text);
    out.make_ascii_uppercase();
}

/// What comes in: nothing is done with it. What a call costs.
#[udf]
pub fn empty(value: i64) -> i64 {
    value
}

/// A bid as JSON.
#[derive(Serialize, Deserialize)]
struct Bid<'a> {
    auction: i64,
    bidder: i64,
    price: f64,
    #[serde(borrow)]
    channel: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    date_time: i64,
    #[serde(borrow)]
    extra: Cow<'a, str>,
}

/// Parses a bid, changes its price to euros and writes it again.
#[udf]
pub fn json(line: &str, out: &mut TextWriter) -> Result<(), serde_json::Error> {
    rewrite(line, out)
}

/// [`json`] into anything, for comparison.
///
/// # Errors
/// When `line` is no bid.
pub fn rewrite(line: &str, out: &mut impl Write) -> Result<(), serde_json::Error> {
    let mut bid: Bid<'_> = serde_json::from_str(line)?;
    bid.price *= EUR;
    serde_json::to_writer(out, &bid)
}

fn count(text: &str, wanted: u8) -> i64 {
    text.bytes().map(|byte| i64::from(byte == wanted)).sum()
}

lockgate_sdk::export!(q1, q2, q14, to_eur, keep, upper, json, empty);

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_sdk::testing;

    #[test]
    fn computes_the_queries() {
        let run = testing::call::<q1>().column("price", [100, 0]).run().unwrap();
        assert_eq!(run.column::<f64>("q1"), [90.8, 0.0]);
        let run = testing::call::<q2>().column("auction", [1, 123, 1230, 1231]).run().unwrap();
        assert_eq!(run.origin(), [1, 2]);
        let noon = Timestamp::from_micros(12 * 3_600_000_000);
        let run = testing::call::<q14>()
            .column("price", [10, 2_000_000, 3_000_000])
            .column("date_time", [noon, noon, Timestamp::from_micros(0)])
            .column("extra", ["", "cdc", "abc"])
            .run()
            .unwrap();
        assert_eq!(run.origin(), [1, 2]);
        assert_eq!(run.column::<&str>("bid_time_type"), ["dayTime", "nightTime"]);
        assert_eq!(run.column::<i64>("c_counts"), [2, 1]);
    }

    #[test]
    fn rewrites_text() {
        let run = testing::call::<upper>().column("text", ["grün", ""]).run().unwrap();
        assert_eq!(run.column::<&str>("upper"), ["GRüN", ""]);
        let bid = r#"{"auction":1,"bidder":2,"price":100.0,"channel":"a\"b","url":"u","date_time":3,"extra":"é"}"#;
        let run = testing::call::<json>().column("line", [bid, "{}"]).run().unwrap();
        assert_eq!(run.column::<&str>("json"), [bid.replace("100.0", "90.8")]);
        assert_eq!(run.failures().len(), 1);
    }
}
