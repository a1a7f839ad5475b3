//! Which version of the plane's messages somebody speaks.

use crate::error::{Error, Result, code};
use std::fmt;
use std::str::FromStr;

/// The header of every request and answer that says the version of who sends it.
pub const HEADER: &str = "lockgate-plane";

/// A version of the plane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// Rises when a message can no longer be read by who knows the former version only.
    pub major: u16,
    /// Rises with every addition.
    pub minor: u16,
}

impl Version {
    /// What this program speaks.
    pub const OURS: Self = Self { major: 1, minor: 0 };

    /// Whether who speaks this version and who speaks `other` understand each other: the same major version, and at most one
    /// minor version apart, so that a cluster is upgraded one process after the other.
    ///
    /// # Errors
    /// `LG1400`.
    pub fn check(self, other: Self) -> Result<()> {
        if self.major == other.major && self.minor.abs_diff(other.minor) <= 1 {
            return Ok(());
        }
        let cause = format!("this side speaks version {self} of the plane, the other {other}");
        let help = "upgrade one minor version at a time, the JobManager first";
        Err(Error::new(code::PLANE_VERSION, cause).help(help))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = Error;

    /// # Errors
    /// `LG1400` if it is not of the form `1.0`.
    fn from_str(text: &str) -> Result<Self> {
        let number = |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => part.parse().ok(),
            false => None,
        };
        let parsed = text.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        let (major, minor) = parsed.ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            Error::new(code::PLANE_VERSION, format!("{shown:?} is no version of the plane"))
        })?;
        Ok(Self { major, minor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_minor_versions_understand_each_other() {
        let of = |text: &str| text.parse::<Version>().unwrap();
        for (a, b) in [("1.0", "1.0"), ("1.0", "1.1"), ("1.4", "1.3")] {
            of(a).check(of(b)).unwrap();
            of(b).check(of(a)).unwrap();
        }
        for (a, b) in [("1.0", "1.2"), ("1.0", "2.0"), ("0.1", "1.0")] {
            assert_eq!(of(a).check(of(b)).unwrap_err().code(), code::PLANE_VERSION, "{a} {b}");
        }
        for wrong in ["", "1", "1.", ".1", "1.0.0", "+1.0", "1.-0", "1.70000", "a.b", "1. 0"] {
            assert_eq!(wrong.parse::<Version>().unwrap_err().code(), code::PLANE_VERSION, "{wrong}");
        }
        assert_eq!(of("1.0"), Version::OURS);
        assert_eq!(Version::OURS.to_string(), "1.0");
    }
}
