//! Decimals: 128-bit integers with a fixed place for the point.

use crate::time::ParseError;
use std::fmt;
use std::str::FromStr;

/// A number of at most `P` digits (1 to 38), `S` of them behind the point.
///
/// The type holds the number without its point; what arithmetic means (scale of a product, rounding) is for the
/// function to say, on [`Decimal::unscaled`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal<const P: u8, const S: u8>(i128);

impl<const P: u8, const S: u8> Decimal<P, S> {
    const LIMIT: i128 = {
        assert!(P >= 1 && P <= 38, "a decimal has 1 to 38 digits");
        assert!(S <= P, "a decimal has no more digits behind the point than it has digits");
        10_i128.pow(P as u32)
    };
    const ONE: u128 = 10_u128.pow(S as u32);

    /// The decimal `unscaled` / 10^S; none if it has more than `P` digits.
    pub const fn new(unscaled: i128) -> Option<Self> {
        if unscaled > -Self::LIMIT && unscaled < Self::LIMIT { Some(Self(unscaled)) } else { None }
    }

    /// The number times 10^S.
    pub const fn unscaled(self) -> i128 {
        self.0
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::ONE as f64
    }

    /// The sum; none if it has more than `P` digits.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }

    /// The difference; none if it has more than `P` digits.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Self::new(difference),
            None => None,
        }
    }

    pub(crate) const fn from_column(unscaled: i128) -> Self {
        let _ = Self::LIMIT;
        Self(unscaled)
    }
}

/// Prints all digits behind the point: `-12.50`.
impl<const P: u8, const S: u8> fmt::Display for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / Self::ONE, self.0.unsigned_abs() % Self::ONE);
        if S == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{fraction:0width$}", width = usize::from(S))
    }
}

impl<const P: u8, const S: u8> fmt::Debug for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads an optional sign, digits, and a point with at most `S` digits behind it. Nothing is rounded.
impl<const P: u8, const S: u8> FromStr for Decimal<P, S> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text, usize::from(S)).and_then(Self::new).ok_or(ParseError("a decimal that fits its digits"))
    }
}

fn parse(text: &str, scale: usize) -> Option<i128> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || fraction.len() > scale || (fraction.is_empty() && digits.contains('.')) {
        return None;
    }
    let mut value = 0_i128;
    for byte in whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', scale - fraction.len())) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    Some(if text.starts_with('-') { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in ["0.00", "-0.01", "12.50", "-99999999.99", "99999999.99"] {
            assert_eq!(text.parse::<Decimal<10, 2>>().unwrap().to_string(), text);
        }
        assert_eq!("+7".parse::<Decimal<10, 2>>().unwrap().unscaled(), 700);
        assert_eq!("0.5".parse::<Decimal<2, 2>>().unwrap().to_f64(), 0.5);
        assert_eq!("42".parse::<Decimal<38, 0>>().unwrap().to_string(), "42");
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for text in [
            "",
            "-",
            ".5",
            "1.",
            "1.234",
            "100000000.00",
            "1e3",
            "--1",
            "1.-1",
            "9999999999999999999999999999999999999999999",
        ] {
            assert!(text.parse::<Decimal<10, 2>>().is_err(), "{text}");
        }
        let most = Decimal::<38, 0>::new(10_i128.pow(38) - 1).unwrap();
        assert_eq!(most.checked_add(Decimal::new(1).unwrap()), None);
        assert_eq!(most.checked_add(most), None);
        assert_eq!(Decimal::new(-most.unscaled()).unwrap().checked_sub(most), None);
        assert_eq!(most.checked_sub(most), Decimal::new(0));
        assert_eq!(Decimal::<38, 0>::new(10_i128.pow(38)), None);
    }
}
