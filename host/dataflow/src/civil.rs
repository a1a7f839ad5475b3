//! Dates and times as text: ISO 8601 dates and RFC 3339 times of the proleptic Gregorian calendar.
//!
//! A hot path of the text formats, hence by hand: parsing allocates nothing and looks at each byte once. Years are 0000
//! to 9999, as RFC 3339 has them; whoever writes falls back to the plain integer outside of them, and readers take it.

const DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text.first_chunk::<10>()? else { return None };
    if text.len() != 10 {
        return None;
    }
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    i32::try_from(days_from_civil(year, month, day)).ok()
}

/// Microseconds since 1970-01-01T00:00:00 of `YYYY-MM-DDTHH:MM:SS[.f…]`, with `T`, `t` or a space between; `utc` asks
/// for a zone (`Z`, `z`, `±HH:MM`) and gives the instant, otherwise there must be none. Digits behind the microsecond
/// are cut off; leap seconds are refused, since a count of microseconds has no place for them.
pub(crate) fn parse_timestamp(text: &[u8], utc: bool) -> Option<i64> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let days = i64::from(parse_date(date)?);
    let (clock, mut rest) = rest.split_first_chunk::<9>()?;
    let [b'T' | b't' | b' ', h0, h1, b':', m0, m1, b':', s0, s1] = *clock else { return None };
    let (hour, minute, second) = (two(h0, h1)?, two(m0, m1)?, two(s0, s1)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = 0;
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, behind) = fraction.split_at_checked(digits).filter(|_| digits > 0)?;
        micros = (0..6).fold(0, |value, at| value * 10 + fraction.get(at).map_or(0, |byte| i64::from(byte - b'0')));
        rest = behind;
    }
    let offset = match *rest {
        [] if !utc => 0,
        [b'Z' | b'z'] if utc => 0,
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] if utc => {
            let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    Some(days * DAY + ((hour * 60 + minute - offset) * 60 + second) * 1_000_000 + micros)
}

/// Writes `YYYY-MM-DD`; false, and nothing written, outside of the years 0000 to 9999.
pub(crate) fn write_date(out: &mut Vec<u8>, days: i64) -> bool {
    let (year, month, day) = civil_from_days(days);
    if !(0..=9999).contains(&year) {
        return false;
    }
    let mut text = *b"0000-00-00";
    let [y0, y1, y2, y3, _, m0, m1, _, d0, d1] = &mut text;
    for (tens, ones, value) in [(y0, y1, year / 100), (y2, y3, year % 100), (m0, m1, month), (d0, d1, day)] {
        *tens = digit(value / 10);
        *ones = digit(value);
    }
    out.extend_from_slice(&text);
    true
}

/// Writes `YYYY-MM-DDTHH:MM:SS[.mmm[uuu]][Z]`; false, and nothing written, outside of the years 0000 to 9999.
pub(crate) fn write_timestamp(out: &mut Vec<u8>, micros: i64, utc: bool) -> bool {
    if !write_date(out, micros.div_euclid(DAY)) {
        return false;
    }
    let (seconds, fraction) = (micros.rem_euclid(DAY) / 1_000_000, micros.rem_euclid(1_000_000));
    let mut text = *b"T00:00:00.000000";
    let [_, h0, h1, _, m0, m1, _, s0, s1, _, f0, f1, f2, f3, f4, f5] = &mut text;
    for (tens, ones, value) in [
        (h0, h1, seconds / 3600),
        (m0, m1, seconds / 60 % 60),
        (s0, s1, seconds % 60),
        (f0, f1, fraction / 10_000),
        (f2, f3, fraction / 100 % 100),
        (f4, f5, fraction % 100),
    ] {
        *tens = digit(value / 10);
        *ones = digit(value);
    }
    let length = match fraction {
        0 => 9,
        _ if fraction % 1000 == 0 => 13,
        _ => 16,
    };
    out.extend_from_slice(text.get(..length).unwrap_or(&text));
    if utc {
        out.push(b'Z');
    }
    true
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

fn digit(value: i64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or(0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01; the calendar is counted in eras of 400 years that begin on 1 March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::temporal_conversions::timestamp_us_to_datetime;
    use proptest::prelude::*;

    fn written(micros: i64, utc: bool) -> String {
        let mut out = Vec::new();
        assert!(write_timestamp(&mut out, micros, utc));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_times() {
        assert_eq!(parse_date(b"1970-01-01"), Some(0));
        assert_eq!(parse_date(b"2000-02-29"), Some(11_016));
        assert_eq!(parse_timestamp(b"1970-01-01T00:00:01Z", true), Some(1_000_000));
        assert_eq!(parse_timestamp(b"1970-01-01 01:00:00.5+01:00", true), Some(500_000));
        assert_eq!(parse_timestamp(b"1969-12-31t23:59:59.999999999", false), Some(-1));
        assert_eq!(written(0, true), "1970-01-01T00:00:00Z");
        assert_eq!(written(1_500_000, false), "1970-01-01T00:00:01.500");
        assert_eq!(written(-1, false), "1969-12-31T23:59:59.999999");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "1970-1-1",
            "1970-13-01",
            "1970-02-29",
            "1900-02-29",
            "1970-00-10",
            "1970-01-00",
            "19700101",
            "1970-01-011",
            "+970-01-01",
        ] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
        for text in [
            "1970-01-01T24:00:00",
            "1970-01-01T00:60:00",
            "1970-01-01T23:59:60",
            "1970-01-01T00:00",
            "1970-01-01T00:00:00.",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "1970-01-01",
        ] {
            assert_eq!(parse_timestamp(text.as_bytes(), false), None, "{text}");
        }
        for text in
            ["1970-01-01T00:00:00", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00+0100", "1970-01-01T00:00:00Zx"]
        {
            assert_eq!(parse_timestamp(text.as_bytes(), true), None, "{text}");
        }
    }

    #[test]
    fn years_of_more_than_four_digits_are_not_written() {
        let mut out = Vec::new();
        assert!(!write_date(&mut out, i64::from(i32::MAX)) && !write_timestamp(&mut out, i64::MIN, true));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000, utc: bool) {
            let text = written(micros, utc);
            prop_assert_eq!(parse_timestamp(text.as_bytes(), utc), Some(micros));
            let oracle = timestamp_us_to_datetime(micros).unwrap().format("%Y-%m-%dT%H:%M:%S").to_string();
            prop_assert!(text.starts_with(&oracle), "{text} {oracle}");
        }

        #[test]
        fn never_panics(text in "[0-9TZ:+. -]{0,40}") {
            let _ = (parse_timestamp(text.as_bytes(), true), parse_date(text.as_bytes()));
        }
    }
}
