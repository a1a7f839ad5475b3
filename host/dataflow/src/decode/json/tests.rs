//! The scanner against serde_json, on ordinary, odd and mutated lines.

use crate::decode::tests::{Memory, decode_all, source};
use lockgate_core::plan::FormatKind;
use lockgate_core::types::{Field, LogicalType};
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

fn fields() -> Vec<Field> {
    [("a", LogicalType::Int64), ("bb", LogicalType::Utf8), ("c", LogicalType::Float64), ("d", LogicalType::Bool)]
        .map(|(name, data_type)| Field::new(name, data_type, true))
        .to_vec()
}

/// What serde_json makes of a line: the raw text of the known keys, the others read over.
struct Oracle(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Oracle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Oracle;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Oracle, A::Error> {
                let mut known = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if fields().iter().any(|field| field.name == key) {
                        let raw: Box<RawValue> = map.next_value()?;
                        // A text with half a surrogate pair spoils the record even if the key comes again.
                        if raw.get().starts_with('"') {
                            serde_json::from_str::<String>(raw.get()).map_err(serde::de::Error::custom)?;
                        }
                        known.insert(key, raw);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Oracle(known))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// The row as our encoder would write it; none if the record is bad.
fn oracle(line: &str) -> Option<String> {
    let Oracle(known) = serde_json::from_str(line).ok()?;
    let cell = |field: &Field| -> Option<serde_json::Value> {
        let Some(raw) = known.get(&field.name).map(|raw| raw.get()).filter(|raw| *raw != "null") else {
            return Some(serde_json::Value::Null);
        };
        let number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        match field.data_type {
            LogicalType::Int64 => Some(raw.parse::<i64>().ok()?.into()),
            LogicalType::Float64 if number => Some(raw.parse::<f64>().ok().filter(|value| value.is_finite())?.into()),
            LogicalType::Bool => Some(raw.parse::<bool>().ok()?.into()),
            LogicalType::Utf8 if raw.starts_with('"') => Some(serde_json::from_str::<String>(raw).ok()?.into()),
            LogicalType::Utf8 if raw.starts_with(['{', '[']) => Some(raw.into()),
            _ => None,
        }
    };
    let cells: Option<Vec<_>> = fields().iter().map(cell).collect();
    let row = fields().iter().zip(cells?).map(|(field, cell)| format!("{:?}:{cell}", field.name)).collect::<Vec<_>>();
    Some(format!("{{{}}}\n", row.join(",")))
}

/// Decodes lines one by one with one decoder and writes each row again.
fn ours(lines: &[String]) -> Vec<Option<String>> {
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let source = source(FormatKind::Json);
    let decoded = decode_all(&source, &fields(), "x", 1, None, &mut Memory::new(text.into_bytes())).unwrap();
    let row = |decoded: &crate::Decoded| {
        let mut out = Vec::new();
        let mut encoder = crate::encoder(source.format.as_ref().unwrap(), &fields()).unwrap();
        encoder.write(&decoded.tracked.batch, &mut out).unwrap();
        decoded.bad.is_empty().then(|| String::from_utf8(out).unwrap())
    };
    decoded.iter().map(row).collect()
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,21}",
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        any::<f64>().prop_map(|value| format!("{value:e}")),
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "\"[ -~]{0,12}\"",
        "\"(\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fD]{4}|é|[a-z]){0,6}\"",
        "[\\[\\]{}:,\"a1 ]{1,8}",
        Just("[1, {\"a\": [null]}]".to_owned()),
        Just("{\"a\": 1}".to_owned()),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop_oneof![Just("\"a\""), Just("\"bb\""), Just("\"c\""), Just("\"d\"")].prop_map(str::to_owned),
        2 => prop_oneof![Just("\"\\u0061\""), Just("\"b\""), Just("\"bbb\""), Just("\"\""), Just("a"), Just("\"x\\y\"")]
            .prop_map(str::to_owned),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let space = || prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\t "), 1 => Just("\r")];
    let pair = (space(), key(), space(), space(), value(), space());
    let pairs = proptest::collection::vec(pair, 0..6).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.into_iter().map(|(a, k, b, c, v, d)| format!("{a}{k}{b}:{c}{v}{d}")).collect();
        format!("{{{}}}", pairs.join(","))
    });
    let mutations = proptest::collection::vec((any::<prop::sample::Index>(), "[{}\\[\\]:,\"\\\\0-9a-z \u{1}é]"), 0..3);
    (pairs, prop_oneof![3 => Just(false), 1 => Just(true)], mutations).prop_map(|(line, mutate, mutations)| {
        let mut chars: Vec<char> = line.chars().collect();
        for (at, with) in mutations.iter().filter(|_| mutate) {
            let at = at.index(chars.len());
            chars[at] = with.chars().next().unwrap();
        }
        // A blank line is no record.
        Some(chars.into_iter().collect::<String>()).filter(|line| !line.trim().is_empty()).unwrap_or("{}".into())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn agrees_with_serde_json(lines in proptest::collection::vec(line(), 1..6)) {
        let lines: Vec<String> = lines.into_iter().map(|line| line.replace('\n', " ")).collect();
        for (line, ours) in lines.iter().zip(ours(&lines)) {
            prop_assert_eq!(ours, oracle(line), "{}", line);
        }
    }
}

#[test]
fn what_the_lines_may_look_like() {
    for (line, row) in [
        (r#"{"a":1,"bb":"x","c":1.5,"d":true}"#, Some(r#"{"a":1,"bb":"x","c":1.5,"d":true}"#)),
        (r#" { "d" : false , "z" : [ {} ] , "a" : -7 } "#, Some(r#"{"a":-7,"bb":null,"c":null,"d":false}"#)),
        (r#"{}"#, Some(r#"{"a":null,"bb":null,"c":null,"d":null}"#)),
        (r#"{"a":1,"a":2}"#, Some(r#"{"a":2,"bb":null,"c":null,"d":null}"#)),
        (r#"{"bb":"\u00e4\ud83d\ude00\n"}"#, Some("{\"a\":null,\"bb\":\"ä😀\\n\",\"c\":null,\"d\":null}")),
        (r#"{"bb":{"k": [1, 2]}}"#, Some(r#"{"a":null,"bb":"{\"k\": [1, 2]}","c":null,"d":null}"#)),
        (r#"{"a":1.0}"#, None),
        (r#"{"a":"1"}"#, None),
        (r#"{"a":9223372036854775808}"#, None),
        (r#"{"a":01}"#, None),
        (r#"{"c":1e999}"#, None),
        (r#"{"c":"NaN"}"#, None),
        (r#"{"bb":1}"#, None),
        (r#"{"bb":"\ud800"}"#, None),
        ("{\"bb\":\"a\tb\"}", None),
        (r#"{"a":1,}"#, None),
        (r#"{"a":1}x"#, None),
        (r#"{"a":1"#, None),
        (r#"{"bb":"x\"#, None),
        (r#"[1]"#, None),
        (r#"null"#, None),
    ] {
        let found = ours(&[line.to_owned()]).remove(0);
        assert_eq!(found.as_deref().map(str::trim_end), row, "{line}");
    }
}

#[test]
fn deep_nesting_costs_no_stack() {
    let deep = "[".repeat(1_000_000);
    let found = ours(&[format!(r#"{{"z":{deep}}}"#), format!(r#"{{"bb":{deep}"#), "{\"a\":1}".into()]);
    assert_eq!(found[..2], [None, None]);
    assert!(found[2].is_some());
}
