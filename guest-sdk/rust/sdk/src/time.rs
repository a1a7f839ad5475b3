//! Dates and times as the contract counts them, on the proleptic Gregorian calendar without leap seconds.
//!
//! Only what functions over columns need: to take a value apart, to put one together, to print and to read it.
//! Calendar arithmetic is H. Hinnant's `days_from_civil` and `civil_from_days`.

use std::fmt;
use std::str::FromStr;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A day, counted from 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Date(i32);

impl Date {
    /// The day that lies `days` after 1970-01-01.
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The day with this year, month (1 to 12) and day of the month (from 1); none if there is no such day.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        let shifted = i64::from(year) - i64::from(month <= 2);
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let month_from_march = (i64::from(month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        i32::try_from(era * 146_097 + day_of_era - 719_468).ok().map(Self)
    }

    /// Year, month (1 to 12) and day of the month (from 1).
    pub fn ymd(self) -> (i32, u32, u32) {
        let days = i64::from(self.0) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // An i32 of days spans under 5.9 million years to either side: nothing is cut off.
        (year as i32, month as u32, day as u32)
    }

    /// The day of the week: 1 is Monday, 7 is Sunday (ISO 8601).
    pub fn weekday(self) -> u32 {
        ((i64::from(self.0) + 3).rem_euclid(7) + 1) as u32
    }
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Prints `YYYY-MM-DD` (ISO 8601).
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        let sign = if year < 0 { "-" } else { "" };
        write!(f, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a date, a timestamp or a decimal of the wanted form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseError(pub(crate) &'static str);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}", self.0)
    }
}

impl std::error::Error for ParseError {}

/// Reads `YYYY-MM-DD`.
impl FromStr for Date {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        const ERROR: ParseError = ParseError("a date of the form YYYY-MM-DD");
        let mut parts = text.splitn(3, '-');
        let mut number = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|part| part.parse::<u32>().ok()).ok_or(ERROR)
        };
        let (year, month, day) = (number(4)?, number(2)?, number(2)?);
        i32::try_from(year).ok().and_then(|year| Self::from_ymd(year, month, day)).ok_or(ERROR)
    }
}

macro_rules! timestamp {
    ($(#[$doc:meta])* $name:ident, $suffix:literal, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i64);

        impl $name {
            /// The time `micros` microseconds after 1970-01-01T00:00:00.
            pub const fn from_micros(micros: i64) -> Self {
                Self(micros)
            }

            /// Microseconds since 1970-01-01T00:00:00.
            pub const fn micros(self) -> i64 {
                self.0
            }

            /// The time on this day, `micros` microseconds after midnight; none if it cannot be counted.
            pub fn from_date(date: Date, micros: i64) -> Option<Self> {
                i64::from(date.days()).checked_mul(MICROS_PER_DAY)?.checked_add(micros).map(Self)
            }

            /// The day.
            pub fn date(self) -> Date {
                // An i64 of microseconds spans under 110 million days to either side: nothing is cut off.
                Date::from_days(self.0.div_euclid(MICROS_PER_DAY) as i32)
            }

            /// Microseconds since midnight.
            pub const fn micros_of_day(self) -> i64 {
                self.0.rem_euclid(MICROS_PER_DAY)
            }

            /// The hour, 0 to 23.
            pub const fn hour(self) -> u32 {
                (self.micros_of_day() / (3_600 * MICROS_PER_SECOND)) as u32
            }

            /// The minute, 0 to 59.
            pub const fn minute(self) -> u32 {
                (self.micros_of_day() / (60 * MICROS_PER_SECOND) % 60) as u32
            }

            /// The second, 0 to 59.
            pub const fn second(self) -> u32 {
                (self.micros_of_day() / MICROS_PER_SECOND % 60) as u32
            }
        }

        /// Prints ISO 8601 with as many digits of a second as are needed: none or six.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}T{:02}:{:02}:{:02}", self.date(), self.hour(), self.minute(), self.second())?;
                match self.0.rem_euclid(MICROS_PER_SECOND) {
                    0 => f.write_str($suffix),
                    fraction => write!(f, ".{fraction:06}{}", $suffix),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        #[doc = concat!("Reads `", $form, "`, with up to six digits behind the second.")]
        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                const ERROR: ParseError = ParseError(concat!("a timestamp of the form ", $form));
                let (date, time) = text.strip_suffix($suffix).and_then(|text| text.split_once('T')).ok_or(ERROR)?;
                let date = date.parse().map_err(|_| ERROR)?;
                time_of_day(time).and_then(|micros| Self::from_date(date, micros)).ok_or(ERROR)
            }
        }
    };
}

timestamp!(
    /// A reading of a calendar and a clock without a time zone, in microseconds.
    Timestamp,
    "",
    "YYYY-MM-DDThh:mm:ss"
);
timestamp!(
    /// An instant, in microseconds since the Unix epoch (UTC).
    TimestampUtc,
    "Z",
    "YYYY-MM-DDThh:mm:ssZ"
);

/// Microseconds since midnight of `hh:mm:ss` or `hh:mm:ss.f`.
fn time_of_day(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut seconds = 0;
    let mut parts = whole.split(':');
    for limit in [24, 60, 60] {
        let part = parts.next().filter(|part| part.len() == 2)?;
        seconds = seconds * 60 + digits(part).filter(|value| *value < limit)?;
    }
    if parts.next().is_some() {
        return None;
    }
    let micros = match fraction {
        None => 0,
        Some(fraction) if (1..=6).contains(&fraction.len()) => {
            (fraction.len()..6).fold(digits(fraction)?, |value, _| value * 10)
        }
        Some(_) => return None,
    };
    Some(seconds * MICROS_PER_SECOND + micros)
}

fn digits(text: &str) -> Option<i64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_days() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2013-12-31", 16_070),
            ("0001-01-01", -719_162),
        ] {
            let date: Date = text.parse().unwrap();
            assert_eq!((date.days(), date.to_string().as_str()), (days, text));
        }
        assert_eq!(Date::from_days(0).weekday(), 4);
        assert_eq!(Date::from_days(-4).weekday(), 7);
        assert_eq!(Date::from_days(i32::MIN).ymd().0, -5_877_641);
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = Date::from_days(days).ymd();
            assert_eq!(Date::from_ymd(year, month, day), Some(Date::from_days(days)));
        }
    }

    #[test]
    fn refuses_days_that_are_none() {
        for text in
            ["", "2013-02-29", "2013-13-01", "2013-00-01", "2013-1-01", "2013-01-00", "+013-01-01", "2013-01-01-"]
        {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert_eq!(Date::from_ymd(1900, 2, 29), None);
        assert_eq!(Date::from_ymd(i32::MAX, 1, 1), None);
    }

    #[test]
    fn takes_timestamps_apart() {
        let stamp: TimestampUtc = "2013-07-01T23:59:58.000007Z".parse().unwrap();
        assert_eq!((stamp.hour(), stamp.minute(), stamp.second()), (23, 59, 58));
        assert_eq!(stamp.date().ymd(), (2013, 7, 1));
        assert_eq!(stamp.to_string(), "2013-07-01T23:59:58.000007Z");
        let before = Timestamp::from_micros(-1);
        assert_eq!(before.to_string(), "1969-12-31T23:59:59.999999");
        assert_eq!("1969-12-31T23:59:59.5".parse(), Ok(Timestamp::from_micros(-500_000)));
        for text in [
            "2013-07-01T24:00:00",
            "2013-07-01T00:00",
            "2013-07-01T00:00:00.",
            "2013-07-01 00:00:00",
            "T",
            "2013-07-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
