//! Text to values, exactly or not at all: what JSON numbers and CSV fields have in common.

use std::str::FromStr;

/// An integer of any width; out of range is none.
pub(super) fn integer<T: TryFrom<i64> + FromStr>(text: &str) -> Option<T> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // 18 digits always fit an i64.
    if digits.is_empty() || digits.len() > 18 {
        return text.parse().ok();
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return text.parse().ok();
        }
        value = value * 10 + i64::from(digit);
    }
    T::try_from(if negative { -value } else { value }).ok()
}

/// The unscaled value of a decimal, from plain or exponent notation; none unless it is exact at this precision and scale.
pub(super) fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|value| value.abs() < 10_000)?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let mut value = 0_i128;
    // Zeros at the end wait until a digit follows: 1000e-3 is exact whatever the scale.
    let mut zeros = 0_u32;
    for byte in whole.bytes().chain(fraction.bytes()) {
        match byte {
            b'0' => zeros = zeros.checked_add(1)?,
            b'1'..=b'9' if value == 0 => (value, zeros) = (i128::from(byte - b'0'), 0),
            b'1'..=b'9' => {
                value = value.checked_mul(10_i128.checked_pow(zeros + 1)?)?.checked_add(i128::from(byte - b'0'))?;
                zeros = 0;
            }
            _ => return None,
        }
    }
    if value == 0 {
        return Some(0);
    }
    let places = i64::from(scale) + i64::from(exponent) + i64::from(zeros) - i64::try_from(fraction.len()).ok()?;
    let value = value.checked_mul(10_i128.checked_pow(u32::try_from(places).ok()?)?)?;
    (value < 10_i128.checked_pow(u32::from(precision))?).then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_exact_or_nothing() {
        assert_eq!(integer::<i8>("-128"), Some(-128));
        assert_eq!(integer::<i8>("128"), None);
        assert_eq!(integer::<u64>("18446744073709551615"), Some(u64::MAX));
        assert_eq!(integer::<u64>("18446744073709551616"), None);
        assert_eq!(integer::<u64>("-1"), None);
        assert_eq!(integer::<i64>("-9223372036854775808"), Some(i64::MIN));
        for text in ["", "-", "1.0", "1e3", " 1", "0x1", "--1"] {
            assert_eq!(integer::<i64>(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_are_exact_or_nothing() {
        for (text, value) in [
            ("0", 0),
            ("-0.00", 0),
            ("1", 100),
            ("1.5", 150),
            ("-12.34", -1234),
            ("1.2300000", 123),
            ("12e-1", 120),
            ("1.5E2", 15_000),
            (".5", 50),
            ("5.", 500),
            ("0e9999", 0),
            ("99999999.99", 9_999_999_999),
            ("1000e-3", 100),
        ] {
            assert_eq!(decimal(text, 10, 2), Some(value), "{text}");
        }
        for text in ["", ".", "-", "1.005", "100000000", "1e8", "1e-3", "abc", "1e", "1e99999999999", "1-", "NaN"] {
            assert_eq!(decimal(text, 10, 2), None, "{text}");
        }
        assert_eq!(decimal(&"9".repeat(38), 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(decimal(&"9".repeat(39), 38, 0), None);
    }

    proptest! {
        #[test]
        fn integers_agree_with_the_standard_library(text in "-?[0-9]{0,21}") {
            prop_assert_eq!(integer::<i64>(&text), text.parse().ok());
            prop_assert_eq!(integer::<u8>(&text), text.parse::<i128>().ok().and_then(|value| value.try_into().ok()));
        }

        #[test]
        fn decimals_never_panic(text in "[-+]?[0-9.eE]{0,50}", precision in 1_u8..39, scale in 0_u8..39) {
            let _ = decimal(&text, precision, scale.min(precision));
        }
    }
}
