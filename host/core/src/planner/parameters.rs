//! Values of parameters: what a submission may set without a new signature, within the bounds that were signed.
//!
//! Numbers are compared by their digits. A float would let `0.30000000000000001` pass a bound of `0.3`.

use super::Problems;
use crate::error::{Code, Error, code};
use crate::manifest::{Manifest, Operator, Parameter, Setting};
use crate::name::Name;
use crate::suggest;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The longest text, in bytes, if the manifest does not say.
const MAX_TEXT: u32 = 1_024;
/// The longest text, in bytes, that a manifest may allow.
const MAX_TEXT_EVER: u32 = 64 << 10;
/// The most digits of a number before the point, and behind it.
const MAX_DIGITS: usize = 38;

const KINDS: [&str; 4] = ["text", "integer", "decimal", "bool"];

/// The value of every parameter: the given one, or its default.
pub(super) fn resolve<'m>(
    manifest: &'m Manifest,
    given: &BTreeMap<Name, String>,
    problems: &mut Problems,
) -> BTreeMap<&'m Name, String> {
    for name in given.keys().filter(|name| !manifest.parameters.contains_key(*name)) {
        let help = suggest::help(name, manifest.parameters.keys().map(|name| name.as_str()));
        let error = Error::new(code::UNKNOWN_PARAMETER, format!("a value is given for {name}, which is not declared"));
        problems.add(&format!("parameter {name}"), error.help(help));
    }
    let settings = manifest.operator.values().flat_map(|operator| operator.config.values());
    let used: BTreeSet<&Name> = settings
        .filter_map(|setting| match setting {
            Setting::Parameter(wanted) => Some(&wanted.parameter),
            Setting::Text(_) => None,
        })
        .collect();
    let mut values = BTreeMap::new();
    for (name, parameter) in &manifest.parameters {
        let place = format!("parameter {name}");
        if !used.contains(name) {
            let error = Error::new(code::UNUSED, format!("no setting refers to parameter {name}"));
            problems.add(
                &place,
                error.help(format!("refer to it with `config = {{ … = {{ parameter = \"{name}\" }} }}`, or remove it")),
            );
        }
        match declared(parameter).and_then(|()| value(name, parameter, given.get(name))) {
            Ok(value) => {
                values.insert(name, value);
            }
            Err(error) => problems.add(&place, error),
        }
    }
    values
}

/// The settings of a function, parameters filled in.
pub(super) fn config(operator: &Operator, values: &BTreeMap<&Name, String>) -> BTreeMap<String, String> {
    let filled = operator.config.iter().filter_map(|(name, setting)| {
        let value = match setting {
            Setting::Text(text) => text.clone(),
            Setting::Parameter(wanted) => values.get(&wanted.parameter)?.clone(),
        };
        Some((name.clone(), value))
    });
    filled.collect()
}

fn value(name: &Name, parameter: &Parameter, given: Option<&String>) -> Result<String, Error> {
    let Some(value) = given.or(parameter.default.as_ref()) else {
        let error =
            Error::new(code::MISSING_PARAMETER, format!("parameter {name} has no default and no value is given"));
        return Err(error.help(format!("give it: `--parameter {name}=…`")));
    };
    check(parameter, value, code::PARAMETER_REFUSED).map(|()| value.clone())
}

/// Checks the declaration itself: bounds that fit the type, a default within them.
fn declared(parameter: &Parameter) -> Result<(), Error> {
    let refuse = |cause: &str| Err(Error::new(code::INVALID_PARAMETER, cause));
    let kind = parameter.kind.as_str();
    if !KINDS.contains(&kind) {
        let shown: String = kind.chars().take(80).collect();
        let error = Error::new(code::UNKNOWN_CHOICE, format!("{shown:?} is not a type of a parameter"));
        return Err(error.help(suggest::help(kind, KINDS)));
    }
    if (parameter.min.is_some() || parameter.max.is_some()) && !matches!(kind, "integer" | "decimal") {
        return refuse("`min` and `max` are for integer and decimal");
    }
    if (parameter.one_of.is_some() || parameter.max_length.is_some()) && kind != "text" {
        return refuse("`one-of` and `max-length` are for text");
    }
    if parameter.max_length.is_some_and(|length| length > MAX_TEXT_EVER) {
        return refuse("`max-length` is above 65,536");
    }
    if parameter.one_of.as_ref().is_some_and(Vec::is_empty) {
        return refuse("`one-of` allows no value at all");
    }
    let bounds = [&parameter.min, &parameter.max].map(|bound| bound.as_deref().map(|bound| number(bound, kind)));
    match bounds {
        [Some(None), _] | [_, Some(None)] => return refuse("`min` or `max` is not a number of the parameter's type"),
        [Some(Some(min)), Some(Some(max))] if min.compare(&max) == Ordering::Greater => {
            return refuse("`min` is greater than `max`");
        }
        _ => {}
    }
    parameter.default.as_ref().map_or(Ok(()), |default| check(parameter, default, code::INVALID_PARAMETER))
}

/// Checks one value against the declaration.
fn check(parameter: &Parameter, value: &str, code: Code) -> Result<(), Error> {
    let shown: String = value.chars().take(80).collect();
    let refuse = |why: String, help: String| Err(Error::new(code, format!("{shown:?} {why}")).help(help));
    match parameter.kind.as_str() {
        "text" => {
            let longest = parameter.max_length.unwrap_or(MAX_TEXT);
            if value.len() > longest as usize || value.contains('\0') {
                return refuse(format!("is longer than {longest} bytes or has a NUL"), "shorten it".into());
            }
            match &parameter.one_of {
                Some(allowed) if !allowed.iter().any(|one| one == value) => refuse(
                    "is not one of the values allowed".into(),
                    suggest::help(value, allowed.iter().map(String::as_str)),
                ),
                _ => Ok(()),
            }
        }
        "bool" if matches!(value, "true" | "false") => Ok(()),
        "bool" => refuse("is neither true nor false".into(), "write `true` or `false`".into()),
        kind => {
            let Some(parsed) = number(value, kind) else {
                return refuse(
                    format!("is not a number of type {kind}"),
                    "write digits, such as `42` or, for decimal, `-0.25`".into(),
                );
            };
            let outside = |bound: &Option<String>, wrong| {
                bound
                    .as_deref()
                    .and_then(|bound| number(bound, kind))
                    .is_some_and(|bound| parsed.compare(&bound) == wrong)
            };
            if outside(&parameter.min, Ordering::Less) || outside(&parameter.max, Ordering::Greater) {
                let bound = |bound: &Option<String>| bound.clone().unwrap_or_else(|| "any".into());
                return refuse(
                    "is out of bounds".into(),
                    format!("at least {}, at most {}", bound(&parameter.min), bound(&parameter.max)),
                );
            }
            Ok(())
        }
    }
}

/// A decimal number as its digits.
#[derive(PartialEq, Eq, Debug)]
struct Number<'a> {
    negative: bool,
    /// Without leading zeros.
    whole: &'a str,
    /// Without trailing zeros.
    fraction: &'a str,
}

/// Reads `-?(0|[1-9][0-9]*)`, and with `decimal` also `.[0-9]+`.
fn number<'a>(text: &'a str, kind: &str) -> Option<Number<'a>> {
    let digits = |text: &str| text.len() <= MAX_DIGITS && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) if kind == "decimal" && digits(fraction) => (whole, fraction),
        Some(_) => return None,
        None => (rest, ""),
    };
    if !digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    // There is one zero only.
    Some(Number { negative: negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction })
}

impl Number<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        let magnitude = || {
            let (ours, theirs) = (self.whole.len(), other.whole.len());
            ours.cmp(&theirs).then_with(|| self.whole.cmp(other.whole)).then_with(|| self.fraction.cmp(other.fraction))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_compare_exactly() {
        let rising = [
            "-10",
            "-9.5",
            "-9.49",
            "-0.1",
            "0",
            "0.09",
            "0.1",
            "0.3",
            "0.30000000000000001",
            "9",
            "10",
            "99999999999999999999",
        ];
        for (low, a) in rising.iter().enumerate() {
            for (high, b) in rising.iter().enumerate() {
                let (a, b) = (number(a, "decimal").unwrap(), number(b, "decimal").unwrap());
                assert_eq!(a.compare(&b), low.cmp(&high), "{a:?} {b:?}");
            }
        }
        assert_eq!(number("0.10", "decimal"), number("0.1", "decimal"));
        assert_eq!(number("-0", "integer"), number("0", "integer"));
        for bad in ["", "-", "+1", "01", "1.", ".1", "1e3", "0x1", "1_0", "1.2.3", &"9".repeat(39)] {
            assert!(number(bad, "decimal").is_none(), "{bad}");
        }
        assert!(number("1.0", "integer").is_none());
    }

    proptest! {
        #[test]
        fn agrees_with_integers(a: i64, b: i64) {
            let (x, y) = (a.to_string(), b.to_string());
            prop_assert_eq!(number(&x, "integer").unwrap().compare(&number(&y, "integer").unwrap()), a.cmp(&b));
        }
    }
}
