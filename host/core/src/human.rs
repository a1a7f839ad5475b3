//! Sizes, durations and counts as people write and read them, for manifests, messages and the command line alike.
//!
//! Integers throughout: what is written as "64 MiB" means exactly that, and a fraction is asked to be written in the
//! next smaller unit.

use crate::error::{Error, Result, code};

const BYTES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
const BINARY: &[(&str, u64)] = &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const MILLIS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
const COUNTS: &[(&str, u64)] = &[("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

/// Reads a number of bytes: `64 MiB`, `1GB`, `65_536`. A number alone is bytes.
///
/// # Errors
/// `LG0107` if it is anything else or does not fit 64 bits.
pub fn parse_bytes(text: &str) -> Result<u64> {
    parse(text, BYTES, true)
        .ok_or_else(|| refuse(text, "a size", "write a whole number of B, KiB, MiB or GiB: \"64 MiB\""))
}

/// Reads a duration in milliseconds: `10 s`, `500 ms`, `5 min`. The unit is needed.
///
/// # Errors
/// `LG0107` if it is anything else or does not fit 64 bits.
pub fn parse_millis(text: &str) -> Result<u64> {
    parse(text, MILLIS, false)
        .ok_or_else(|| refuse(text, "a duration", "write a whole number of ms, s, min, h or d: \"10 s\""))
}

/// Reads a count: `100k`, `10 M`, `1_000_000`.
///
/// # Errors
/// `LG0107` if it is anything else or does not fit 64 bits.
pub fn parse_count(text: &str) -> Result<u64> {
    parse(text, COUNTS, true)
        .ok_or_else(|| refuse(text, "a count", "write a whole number, if you like in k, M or G: \"100k\" or 100_000"))
}

fn parse(text: &str, units: &[(&str, u64)], bare: bool) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    if digits.starts_with('_') || digits.ends_with('_') {
        return None;
    }
    let number: u64 = digits.replace('_', "").parse().ok()?;
    if unit.is_empty() {
        return bare.then_some(number);
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

fn refuse(text: &str, what: &str, help: &str) -> Error {
    let shown: String = text.chars().take(40).collect();
    Error::new(code::INVALID_QUANTITY, format!("{shown:?} is not {what}")).help(help)
}

/// A number of bytes, exactly: `64 MiB`, `65,537 B`.
pub fn bytes(value: u64) -> String {
    exact(value, BINARY, " ").unwrap_or_else(|| format!("{} B", grouped(value)))
}

/// A duration of milliseconds, exactly: `10 s`, `1,500 ms`.
pub fn millis(value: u64) -> String {
    exact(value, MILLIS, " ").unwrap_or_else(|| format!("{} ms", grouped(value)))
}

/// A count, exactly: `100 k`, `1,234`.
pub fn count(value: u64) -> String {
    exact(value, COUNTS, " ").unwrap_or_else(|| grouped(value))
}

/// A number of bytes, to about three digits: `1.4 GiB`.
pub fn about_bytes(value: u64) -> String {
    about(value, BINARY).unwrap_or_else(|| format!("{value} B"))
}

/// A count, to about three digits: `336 k`, `8.1 M`.
pub fn about_count(value: u64) -> String {
    about(value, COUNTS).unwrap_or_else(|| value.to_string())
}

/// Every digit, in groups of three: `336,776`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// In the largest unit that divides it; none if none does.
fn exact(value: u64, units: &[(&str, u64)], space: &str) -> Option<String> {
    let (unit, factor) = units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))?;
    Some(format!("{}{space}{unit}", grouped(value / factor)))
}

/// In the largest unit that it reaches, with one decimal below 100; none below the smallest.
fn about(value: u64, units: &[(&str, u64)]) -> Option<String> {
    let (unit, factor) = units.iter().find(|(_, factor)| value >= *factor)?;
    let (whole, tenth) = (value / factor, value % factor * 10 / factor);
    Some(if whole < 100 { format!("{whole}.{} {unit}", tenth) } else { format!("{} {unit}", grouped(whole)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units() {
        for (text, value) in [("64 MiB", 64 << 20), ("1GiB", 1 << 30), ("65_536", 65_536), ("3 kB", 3_000), ("0", 0)] {
            assert_eq!(parse_bytes(text).unwrap(), value, "{text}");
        }
        for (text, value) in [("10 s", 10_000), ("500 ms", 500), ("2min", 120_000), ("1 d", 86_400_000)] {
            assert_eq!(parse_millis(text).unwrap(), value, "{text}");
        }
        for (text, value) in [("100k", 100_000), ("10 M", 10_000_000), ("1_0", 10), ("2 G", 2_000_000_000)] {
            assert_eq!(parse_count(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "MiB",
            "1.5 GiB",
            "-1",
            "1  MiB",
            "1 mib",
            "_1",
            "1_ B",
            "99999999999999999999",
            "18446744073709551615 KiB",
            " 1",
        ] {
            assert_eq!(parse_bytes(text).unwrap_err().code(), code::INVALID_QUANTITY, "{text}");
        }
        for text in ["10", "s", "1 m", "1 S"] {
            assert_eq!(parse_millis(text).unwrap_err().code(), code::INVALID_QUANTITY, "{text}");
        }
        assert_eq!(parse_count("1 K").unwrap_err().code(), code::INVALID_QUANTITY);
    }

    #[test]
    fn writes_what_it_reads() {
        for value in [0, 1, 999, 1_000, 1 << 10, 64 << 20, 65_537, 86_400_000, u64::MAX] {
            assert_eq!(parse_bytes(&bytes(value).replace(',', "_")).unwrap(), value);
            assert_eq!(parse_millis(&millis(value).replace(',', "_")).unwrap(), value);
            assert_eq!(parse_count(&count(value).replace(',', "_")).unwrap(), value);
        }
        assert_eq!(
            (bytes(64 << 20), millis(1_500), count(100_000)),
            ("64 MiB".into(), "1,500 ms".into(), "100 k".into())
        );
    }

    #[test]
    fn rounds_down_for_people() {
        assert_eq!(about_bytes(1_503_238_553), "1.3 GiB");
        assert_eq!(about_bytes(1_023), "1023 B");
        assert_eq!(about_count(336_776), "336 k");
        assert_eq!(about_count(8_149_999), "8.1 M");
        assert_eq!(about_count(u64::MAX), "18,446,744 T");
    }
}
