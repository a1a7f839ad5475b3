//! Points in time as signed documents have them: whole seconds, written as RFC 3339 in UTC (`2026-11-22T10:00:00Z`);
//! and as the control plane counts them, in milliseconds, because leases and back-offs are shorter than documents live.

use crate::error::{Error, Result, code};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest time that can be written, 9999-12-31T23:59:59Z.
    pub const MAX: Self = Self(253_402_300_799);

    /// The time this many seconds after 1970-01-01T00:00:00Z, kept within the years 1970 to 9999.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.clamp(0, Self::MAX.0))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// This many seconds later, or earlier if negative.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Self {
        Self::from_seconds(self.0.saturating_add(seconds))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = Error;

    /// # Errors
    /// `LG0401` if it is not of the one spelling that this type writes.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || Error::new(code::INVALID_TIME, "a time is not written as 2026-11-22T10:00:00Z");
        let seconds = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| refuse())?.unix_timestamp();
        let parsed = Self::from_seconds(seconds);
        if parsed.to_string() == text { Ok(parsed) } else { Err(refuse()) }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0).ok().and_then(|time| time.format(&Rfc3339).ok());
        f.write_str(&text.unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, by the JobManager's clock.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This much later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; nothing if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<Timestamp> for UnixMillis {
    fn from(time: Timestamp) -> Self {
        Self(time.seconds().unsigned_abs().saturating_mul(1_000))
    }
}

impl From<UnixMillis> for Timestamp {
    fn from(time: UnixMillis) -> Self {
        Self::from_seconds(i64::try_from(time.0 / 1_000).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_and_seconds_fit_each_other() {
        let time: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let millis = UnixMillis::from(time).plus(Duration::from_millis(999));
        assert_eq!((millis.0 % 1_000, Timestamp::from(millis)), (999, time));
        assert_eq!(UnixMillis(5).since(UnixMillis(7)), Duration::ZERO);
        assert_eq!(Timestamp::from(UnixMillis(u64::MAX).plus(Duration::MAX)), Timestamp::MAX);
    }

    #[test]
    fn one_spelling_only() {
        let time: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-22T10:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59Z");
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T10:00:00+00:00",
            "2026-11-22T10:00:00.5Z",
            "1969-01-01T00:00:00Z",
            "2026-11-22t10:00:00z",
        ] {
            assert_eq!(bad.parse::<Timestamp>().unwrap_err().code(), code::INVALID_TIME, "{bad}");
        }
    }
}
