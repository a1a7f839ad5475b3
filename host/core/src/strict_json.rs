//! Reading signed JSON strictly (RFC 8259, narrowed), because two readers that understand the same bytes differently
//! are a hole: what a reviewer's tool shows must be what the TaskManager obeys.
//!
//! Refused: a key twice in one object (compared after escapes are decoded), numbers that are no integers of 64 bits,
//! nesting over [`MAX_DEPTH`], anything behind the value, and inputs over a bound. Unknown fields are refused by the
//! types themselves (`deny_unknown_fields`). What was verified is parsed; nothing is serialised again to be compared.

use crate::error::{Code, Error, Result, code};
use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 32;

/// The largest signed document, in bytes.
pub const MAX_DOCUMENT: usize = 4 << 20;

/// Reads `bytes` of at most `max` bytes as a `T`; `what` names the document in errors.
///
/// # Errors
/// `LG0403` if it is not strict JSON, `LG0404` if the JSON is not a `T`.
pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8], max: usize) -> Result<T> {
    check(what, bytes, max)?;
    serde_json::from_slice(bytes).map_err(|error| refuse(code::MALFORMED_DOCUMENT, what, &error))
}

/// Checks that `bytes` of at most `max` bytes are strict JSON.
///
/// # Errors
/// `LG0403`.
pub fn check(what: &str, bytes: &[u8], max: usize) -> Result<()> {
    if bytes.len() > max {
        let size = bytes.len();
        return Err(Error::new(code::MALFORMED_JSON, format!("{what} has {size} bytes, at most {max} are allowed")));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let checked = Strict { depth: 0 }.deserialize(&mut json).and_then(|()| json.end());
    checked.map_err(|error| refuse(code::MALFORMED_JSON, what, &error))
}

/// `error` as one sentence. It may quote what was read, so it is cut and stripped of control characters.
fn refuse(code: Code, what: &str, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // Checks of our own, made by the types while they are read, bring a code along; the reader's code is shown instead.
    let text = text.get(8..).filter(|_| text.starts_with("LG")).unwrap_or(&text);
    let shown: String = text.chars().filter(|c| !c.is_control()).take(240).collect();
    Error::new(code, format!("{what} is not accepted: {shown}"))
}

/// Walks a value and keeps nothing but the keys of the objects around it.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("strict JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Err(E::custom("a number is not an integer of 64 bits"))
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format_args!("key {key:?} stands twice in one object")));
            }
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code_of(text: &str) -> Option<Code> {
        check("a document", text.as_bytes(), 1_000).err().map(|error| error.code())
    }

    #[test]
    fn takes_plain_json() {
        for good in
            ["null", " {\"a\": [1, -2, true, \"x\"], \"b\": {}} ", "18446744073709551615", "-9223372036854775808"]
        {
            assert_eq!(code_of(good), None, "{good}");
        }
    }

    #[test]
    fn refuses_what_readers_could_disagree_on() {
        let cases = [
            ("duplicate keys", r#"{"a":1,"a":1}"#),
            ("duplicate keys behind an escape", r#"{"a":1,"\u0061":2}"#),
            ("duplicate keys deep inside", r#"[{"x":{"a":1,"b":2,"a":3}}]"#),
            ("a float", "1.0"),
            ("an exponent", "[1e3]"),
            ("minus zero", "-0"),
            ("more than 64 bits", "18446744073709551616"),
            ("less than 64 bits", "-9223372036854775809"),
            ("NaN", "NaN"),
            ("data behind the value", "{} {}"),
            ("a byte order mark", "\u{feff}{}"),
            ("a lone surrogate", r#""\ud800""#),
            ("a comment", "{} // x"),
            ("a trailing comma", "[1,]"),
            ("nothing", ""),
        ];
        for (what, text) in cases {
            assert_eq!(code_of(text), Some(code::MALFORMED_JSON), "{what}");
        }
        assert!(check("a document", b"\"\xff\"", 9).is_err(), "invalid UTF-8 is taken");
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(code_of(&nested(MAX_DEPTH)), None);
        assert_eq!(code_of(&nested(MAX_DEPTH + 1)), Some(code::MALFORMED_JSON));
        let objects = format!("{}1{}", "{\"a\":".repeat(MAX_DEPTH + 1), "}".repeat(MAX_DEPTH + 1));
        assert_eq!(code_of(&objects), Some(code::MALFORMED_JSON));
        assert!(check("x", b"[1,2]", 5).is_ok() && check("x", b"[1,22]", 5).is_err());
    }

    #[test]
    fn an_error_shows_no_control_characters() {
        let error = parse::<bool>("it", b"\"\\u001b[31m\\n\"", 99).unwrap_err();
        assert_eq!(error.code(), code::MALFORMED_DOCUMENT);
        assert!(!error.cause().chars().any(char::is_control));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check("a document", &bytes, 150);
        }
    }
}
