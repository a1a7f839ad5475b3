//! Every form that a function can take, through the generated batch code.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use lockgate_sdk::prelude::*;
use lockgate_sdk::testing;
use lockgate_sdk::{Udf, describe::Field};

#[udf]
fn double(value: i32) -> i32 {
    value * 2
}

#[udf]
fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole != 0.0).then(|| part / whole)
}

#[udf]
fn or_zero(value: Option<i64>) -> i64 {
    value.unwrap_or_default()
}

#[udf]
fn parsed(text: &str) -> Result<i16, std::num::ParseIntError> {
    text.parse()
}

#[udf]
fn parsed_or_null(text: &str) -> Result<Option<u8>, Error> {
    if text.is_empty() { Ok(None) } else { Ok(Some(text.parse()?)) }
}

#[udf]
fn answer() -> i64 {
    42
}

#[test]
fn one_value_for_each_row() {
    let run = testing::call::<double>().column("value", [1, -2, 3]).run().unwrap();
    assert_eq!(run.column::<i32>("double"), [2, -4, 6]);
    assert_eq!(run.origin(), [0, 1, 2]);
    assert!(run.failures().is_empty() && run.dropped().is_empty());
    let run = testing::call::<double>().column::<i32>("value", []).run().unwrap();
    assert!(run.column::<i32>("double").is_empty());
}

#[test]
fn a_null_in_gives_a_null_without_calling() {
    let run = testing::call::<double>().column("value", [Some(1), None, Some(i32::MAX / 2)]).run().unwrap();
    assert_eq!(run.column::<Option<i32>>("double"), [Some(2), None, Some(i32::MAX - 1)]);
    let parts = [Some(1.0), None, Some(3.0), None, Some(5.0)];
    let wholes = [Some(2.0), Some(1.0), None, None, Some(0.0)];
    let run = testing::call::<ratio>().column("part", parts).column("whole", wholes).run().unwrap();
    assert_eq!(run.column::<Option<f64>>("ratio"), [Some(0.5), None, None, None, None]);
}

#[test]
fn an_option_takes_the_null() {
    let run = testing::call::<or_zero>().column("value", [Some(7), None]).run().unwrap();
    assert_eq!(run.column::<i64>("or_zero"), [7, 0]);
    let run = testing::call::<or_zero>().column("value", [7]).run().unwrap();
    assert_eq!(run.column::<i64>("or_zero"), [7]);
}

#[test]
fn nulls_at_every_place_of_long_columns() {
    for rows in [1, 7, 8, 9, 63, 64, 65, 1000] {
        let values: Vec<Option<i32>> = (0..rows).map(|row| (row % 3 != 1 && row % 17 != 0).then_some(row)).collect();
        let run = testing::call::<double>().column("value", values.clone()).run().unwrap();
        let expected: Vec<Option<i32>> = values.iter().map(|value| value.map(|value| value * 2)).collect();
        assert_eq!(run.column::<Option<i32>>("double"), expected, "{rows} rows");
    }
}

#[test]
fn an_error_fails_its_row_alone() {
    let run = testing::call::<parsed>().column("text", ["1", "x", "3", "40000", "5"]).run().unwrap();
    assert_eq!(run.column::<i16>("parsed"), [1, 3, 5]);
    assert_eq!(run.origin(), [0, 2, 4]);
    let failures = run.failures();
    assert_eq!(failures.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(failures.first().unwrap().1, "invalid digit found in string");
    assert!(run.dropped().is_empty());
}

#[test]
fn errors_and_nulls_together() {
    let texts = [Some("1"), Some(""), Some("256"), None];
    let run = testing::call::<parsed_or_null>().column("text", texts).run().unwrap();
    assert_eq!(run.column::<Option<u8>>("parsed_or_null"), [Some(1), None, None]);
    assert_eq!(run.origin(), [0, 1, 3]);
    assert_eq!(run.failures(), [(2, "number too large to fit in target type".to_owned())]);
}

#[derive(Row, Debug, PartialEq)]
struct Reading<'a> {
    sensor: &'a str,
    #[row(name = "type", attribute("role" = "key"))]
    kind: Option<u8>,
    r#final: bool,
}

#[udf]
fn reading(line: &str) -> Option<Reading<'_>> {
    let (sensor, kind) = line.split_once(' ')?;
    Some(Reading { sensor, kind: kind.parse().ok(), r#final: kind.is_empty() })
}

#[udf]
fn strict<'line>(line: &'line str) -> Result<Option<Reading<'line>>, String> {
    if line == "!" { Err(format!("bad line {line}")) } else { Ok(reading(line)) }
}

#[udf]
fn describe(reading: Reading<'_>, more: i64) -> String {
    format!("{} {:?} {} {more}", reading.sensor, reading.kind, reading.r#final)
}

#[test]
fn rows_have_several_columns() {
    let run = testing::call::<reading>().column("line", ["a 1", "b", "c ", "d x"]).run().unwrap();
    assert_eq!(run.column::<&str>("sensor"), ["a", "c", "d"]);
    assert_eq!(run.column::<Option<u8>>("type"), [Some(1), None, None]);
    assert_eq!(run.column::<bool>("final"), [false, true, false]);
    assert_eq!((run.origin(), run.dropped()), (vec![0, 2, 3], vec![1]));
    assert_eq!(run.rows::<Reading<'_>>().first(), Some(&Reading { sensor: "a", kind: Some(1), r#final: false }));
}

#[test]
fn a_null_gives_a_row_of_nulls() {
    let run = testing::call::<strict>().column("line", [Some("a 1"), None, Some("!"), Some("b")]).run().unwrap();
    assert_eq!(run.column::<Option<&str>>("sensor"), [Some("a"), None]);
    assert_eq!(run.column::<Option<bool>>("final"), [Some(false), None]);
    assert_eq!((run.origin(), run.dropped()), (vec![0, 1], vec![3]));
    assert_eq!(run.failures(), [(2, "bad line !".to_owned())]);
}

#[test]
fn rows_can_be_parameters() {
    let rows =
        [Reading { sensor: "a", kind: None, r#final: true }, Reading { sensor: "b", kind: Some(2), r#final: false }];
    let run = testing::call::<describe>().rows(rows).column("more", [Some(1), None]).run().unwrap();
    assert_eq!(run.column::<Option<&str>>("describe"), [Some("a None true 1"), None]);
}

#[udf(filter)]
fn long(text: &str) -> bool {
    text.len() > 3
}

#[udf(filter)]
fn positive(value: Option<i8>) -> Result<bool, Error> {
    value.map(|value| value > 0).ok_or_else(|| Error::new("no value"))
}

#[udf(filter)]
fn known(flag: bool, other: Option<bool>) -> Option<bool> {
    other.map(|other| flag && other)
}

#[test]
fn filters_keep_rows() {
    let run = testing::call::<long>().column("text", ["abcd", "abc", "", "äö"]).run().unwrap();
    assert_eq!((run.origin(), run.dropped()), (vec![0, 3], vec![1, 2]));
    let run = testing::call::<long>().column("text", [Some("abcd"), None, Some("abcde")]).run().unwrap();
    assert_eq!(run.origin(), [0, 2]);
    let run = testing::call::<long>().column("text", ["abcd", "efgh"]).run().unwrap();
    assert_eq!(run.origin(), [0, 1]);
    let run = testing::call::<long>().column::<&str>("text", []).run().unwrap();
    assert!(run.origin().is_empty());
}

#[test]
fn filters_can_fail_and_be_null() {
    let run = testing::call::<positive>().column("value", [Some(1), None, Some(-1)]).run().unwrap();
    assert_eq!((run.origin(), run.dropped()), (vec![0], vec![2]));
    assert_eq!(run.failures(), [(1, "no value".to_owned())]);
    let others = [Some(true), None, Some(false), Some(true)];
    let run = testing::call::<known>()
        .column("flag", [Some(true), Some(true), Some(true), None])
        .column("other", others)
        .run()
        .unwrap();
    assert_eq!(run.origin(), [0]);
}

#[udf]
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

#[udf]
fn digits(number: u32) -> Vec<u8x::Digit> {
    number.to_string().bytes().map(|byte| u8x::Digit { digit: byte - b'0', odd: byte % 2 == 1 }).collect()
}

mod u8x {
    use lockgate_sdk::prelude::*;

    #[derive(Row, Debug, PartialEq)]
    pub struct Digit {
        pub digit: u8,
        pub odd: bool,
    }
}

#[udf]
fn numbers(line: &str) -> Result<Vec<i64>, std::num::ParseIntError> {
    line.split(',').map(str::parse).collect()
}

#[udf]
fn boxed(line: &str) -> Box<dyn Iterator<Item = Option<char32::Code>> + '_> {
    Box::new(line.chars().map(|c| c.is_alphabetic().then_some(u32::from(c))))
}

mod char32 {
    pub type Code = u32;
}

#[udf(flat_map)]
fn present(value: Option<i64>) -> Option<i64> {
    value
}

#[udf]
fn bytes(text: &str) -> Vec<u8> {
    text.bytes().rev().collect()
}

#[test]
fn several_rows_for_one() {
    let run = testing::call::<words>().column("line", [Some("a b"), Some(""), None, Some(" c ")]).run().unwrap();
    assert_eq!(run.column::<&str>("words"), ["a", "b", "c"]);
    assert_eq!((run.origin(), run.dropped()), (vec![0, 0, 3], vec![1, 2]));
    let run = testing::call::<digits>().column("number", [10, 7]).run().unwrap();
    assert_eq!(run.rows::<u8x::Digit>().len(), 3);
    assert_eq!(run.column::<bool>("odd"), [true, false, true]);
    let run = testing::call::<numbers>().column("line", ["1,2", "x", "3"]).run().unwrap();
    assert_eq!(run.column::<i64>("numbers"), [1, 2, 3]);
    assert_eq!((run.origin(), run.failures().len(), run.dropped().len()), (vec![0, 0, 2], 1, 0));
    let run = testing::call::<boxed>().column("line", ["a1"]).run().unwrap();
    assert_eq!(run.column::<Option<u32>>("boxed"), [Some(97), None]);
    let run = testing::call::<present>().column("value", [Some(1), None]).run().unwrap();
    assert_eq!(run.column::<i64>("present"), [1]);
}

#[test]
fn a_vec_of_bytes_is_a_value() {
    let run = testing::call::<bytes>().column("text", ["abc", ""]).run().unwrap();
    assert_eq!(run.column::<&[u8]>("bytes"), [&b"cba"[..], b""]);
}

#[udf]
fn shout(text: &str, out: &mut TextWriter) {
    out.push_str(text);
    out.make_ascii_uppercase();
    out.push('!');
}

#[udf]
fn half(value: i64, out: &mut TextWriter) -> Result<Option<()>, Error> {
    use std::fmt::Write;
    write!(out, "half of {value}: ")?;
    match value {
        0 => Ok(None),
        value if value % 2 == 1 => Err(Error::new("odd")),
        value => Ok(Some(write!(out, "{}", value / 2)?)),
    }
}

#[udf]
fn packed(value: u16, out: &mut BytesWriter) {
    out.push(&value.to_be_bytes());
}

#[test]
fn functions_write_into_their_column() {
    let run = testing::call::<shout>().column("text", [Some("ab"), None, Some(""), Some("é")]).run().unwrap();
    assert_eq!(run.column::<Option<&str>>("shout"), [Some("AB!"), None, Some("!"), Some("é!")]);
    let run = testing::call::<half>().column("value", [4, 0, 3, 6]).run().unwrap();
    assert_eq!(run.column::<Option<&str>>("half"), [Some("half of 4: 2"), None, Some("half of 6: 3")]);
    assert_eq!((run.origin(), run.failures()), (vec![0, 1, 3], vec![(2, "odd".to_owned())]));
    let run = testing::call::<packed>().column("value", [1_u16, 258]).run().unwrap();
    assert_eq!(run.column::<Vec<u8>>("packed"), [[0, 1], [1, 2]]);
}

#[test]
fn writers_take_utf8_only() {
    #[udf]
    fn raw(data: &[u8], out: &mut TextWriter) -> std::io::Result<()> {
        std::io::Write::write_all(out, b"<")?;
        std::io::Write::write_all(out, data)
    }
    let run = testing::call::<raw>().column("data", [&b"\xc3\xa9"[..], b"\xff", b""]).run().unwrap();
    assert_eq!(run.column::<&str>("raw"), ["<é", "<"]);
    assert_eq!(run.failures(), [(1, "not UTF-8".to_owned())]);
}

#[udf(attribute("deterministic" = "true"))]
fn configured(value: f64) -> f64 {
    value * config::parse("rate").unwrap_or(1.0)
}

#[test]
fn settings_reach_the_function() {
    let call = || testing::call::<configured>().column("value", [2.0]);
    assert_eq!(call().run().unwrap().column::<f64>("configured"), [2.0]);
    assert_eq!(call().config("rate", "1.5").run().unwrap().column::<f64>("configured"), [3.0]);
    assert_eq!(call().config("rate", "much").run().unwrap().column::<f64>("configured"), [2.0]);
}

#[test]
fn descriptions_say_what_signatures_say() {
    let named = |fields: &[Field]| {
        fields
            .iter()
            .map(|f| format!("{}: {}{}", f.name, f.logical, if f.nullable { "?" } else { "" }))
            .collect::<Vec<_>>()
    };
    let ports = |function: lockgate_sdk::describe::Function| {
        let ports: Vec<_> = function.inputs.into_iter().chain(function.outputs).collect();
        ports.iter().map(|port| (port.name.clone(), named(&port.fields))).collect::<Vec<_>>()
    };
    let of = |input: &[&str], output: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        vec![("in".to_owned(), texts(input)), ("out".to_owned(), texts(output))]
    };
    assert_eq!(ports(answer::describe()), of(&[], &["answer: int64"]));
    assert_eq!(ports(ratio::describe()), of(&["part: float64", "whole: float64"], &["ratio: float64?"]));
    assert_eq!(ports(or_zero::describe()), of(&["value: int64?"], &["or_zero: int64"]));
    assert_eq!(ports(parsed_or_null::describe()), of(&["text: utf8"], &["parsed_or_null: uint8?"]));
    assert_eq!(ports(strict::describe()), of(&["line: utf8"], &["sensor: utf8", "type: uint8?", "final: bool"]));
    assert_eq!(ports(long::describe()), of(&["text: utf8"], &[]));
    assert_eq!(ports(boxed::describe()), of(&["line: utf8"], &["boxed: uint32?"]));
    assert_eq!(ports(present::describe()), of(&["value: int64?"], &["present: int64"]));
    assert_eq!(ports(half::describe()), of(&["value: int64"], &["half: utf8?"]));
    assert_eq!(ports(packed::describe()), of(&["value: uint16"], &["packed: binary"]));
    assert_eq!(configured::describe().attributes, [("deterministic".to_owned(), "true".to_owned())]);
    let kind = reading::describe().outputs.remove(0).fields.remove(1);
    assert_eq!(kind.attributes, [("role".to_owned(), "key".to_owned())]);
}

#[test]
fn a_function_without_parameters_has_no_columns() {
    let run = testing::call::<answer>().run().unwrap();
    assert!(run.column::<i64>("answer").is_empty());
}

#[test]
fn a_test_that_is_wrong_panics() {
    for wrong in [
        || testing::call::<double>().run().map(|_| ()),
        || testing::call::<double>().column("value", ["1"]).run().map(|_| ()),
        || testing::call::<double>().column("value", [1_i64]).run().map(|_| ()),
        || testing::call::<packed>().column("value", [-1]).run().map(|_| ()),
        || testing::call::<double>().column("value", [1]).column("more", [1]).run().map(|_| ()),
        || testing::call::<ratio>().column("part", [1.0]).column("whole", [1.0, 2.0]).run().map(|_| ()),
        || testing::call::<double>().column("value", [1]).run().map(|run| drop(run.column::<i64>("double"))),
        || testing::call::<double>().column("value", [None::<i32>]).run().map(|run| drop(run.column::<i32>("double"))),
    ] {
        assert!(std::panic::catch_unwind(wrong).is_err());
    }
}

lockgate_sdk::export!(double, ratio, words, u8x_free::shift);

mod u8x_free {
    use lockgate_sdk::prelude::*;

    #[udf]
    pub fn shift(value: Timestamp) -> Option<TimestampUtc> {
        TimestampUtc::from_date(value.date(), value.micros_of_day())
    }
}
