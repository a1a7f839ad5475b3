//! JSON lines to columns. What is no event fails its line alone, with the parser's own words.

#![forbid(unsafe_code)]

use lockgate_sdk::prelude::*;
use serde::Deserialize;
use std::borrow::Cow;

/// An event of a web shop: what is read and, as it stands, what comes out. Text without escapes is borrowed from the
/// line, not copied.
#[derive(Row, Deserialize)]
pub struct Event<'a> {
    id: i64,
    #[serde(deserialize_with = "instant")]
    #[row(attribute("role" = "rowtime"))]
    at: TimestampUtc,
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    page: Cow<'a, str>,
    amount: Option<f64>,
    #[serde(borrow)]
    currency: Option<Cow<'a, str>>,
}

/// Parses a line. An empty one is dropped.
#[udf]
fn parse(line: &str) -> Result<Option<Event<'_>>, serde_json::Error> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(line).map(Some)
}

fn instant<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<TimestampUtc, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

lockgate_sdk::export!(parse);

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_sdk::testing;

    #[test]
    fn parses_events() {
        let lines = [
            r#"{"id": 1, "at": "2026-03-01T08:00:41.383Z", "user": "u-38", "kind": "view", "page": "/\u00fcber"}"#,
            "",
            r#"{"id": "seven"}"#,
            r#"{"id": 2, "at": "2026-03-01T08:00:42Z", "user": "u", "kind": "refund", "page": "/", "amount": 7.5, "currency": "EUR"}"#,
        ];
        let run = testing::call::<parse>().column("line", lines).run().unwrap();
        assert_eq!(run.column::<i64>("id"), [1, 2]);
        assert_eq!(run.column::<&str>("page"), ["/über", "/"]);
        assert_eq!(run.column::<Option<f64>>("amount"), [None, Some(7.5)]);
        assert_eq!(run.column::<TimestampUtc>("at").iter().map(|at| at.second()).collect::<Vec<_>>(), [41, 42]);
        assert_eq!(run.dropped(), [1]);
        let failures = run.failures();
        assert!(matches!(failures.as_slice(), [(2, message)] if message.contains("invalid type")), "{failures:?}");
    }
}
