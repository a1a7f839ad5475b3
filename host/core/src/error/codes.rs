//! The registry of error codes. A code, once released, keeps its meaning for ever; new ones are added at the end of
//! their block.

use std::fmt;
use std::str::FromStr;

/// A stable error code, shown as `LG0123`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl Code {
    /// The number behind `LG`.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The code with this number, if there is one.
    pub fn from_number(number: u16) -> Option<Self> {
        ALL.iter().map(|(code, _)| *code).find(|code| code.0 == number)
    }

    /// What the code means, in a few words.
    pub fn title(self) -> &'static str {
        ALL.iter().find(|(code, _)| *code == self).map_or("", |(_, title)| title)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LG{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("LG").or_else(|| text.strip_prefix("lg")).filter(|d| d.len() == 4);
        digits
            .and_then(|digits| digits.parse().ok())
            .and_then(Self::from_number)
            .ok_or_else(|| format!("{text:?} is not a Lockgate error code, such as LG0101"))
    }
}

macro_rules! codes {
    ($($(#[$block:meta])* $name:ident = $number:literal, $title:literal;)*) => {
        /// The codes by name.
        pub mod code {
            use super::Code;
            $(#[doc = $title] pub const $name: Code = Code($number);)*
        }

        /// Every code with its title, in the order of their numbers.
        pub const ALL: &[(Code, &str)] = &[$((code::$name, $title),)*];
    };
}

codes! {
    // 00xx: command line and this machine.
    USAGE = 1, "the command line is not understood";
    IO = 2, "a file of this machine could not be read or written";
    INTERNAL = 3, "Lockgate itself is at fault";

    // 01xx: names and manifest.
    INVALID_NAME = 101, "a name is not allowed";

    // 02xx: graph, types and limits.
    UNKNOWN_TYPE = 201, "a logical type is not known";
    UNSUPPORTED_TYPE = 202, "a logical type is known but not supported yet";
    LIMIT_ABOVE_CEILING = 221, "a limit is above what the tenant's policy allows";

    // 03xx: bundles.
    INVALID_DIGEST = 301, "a digest is malformed";

    // 04xx: signatures and trust.
    INVALID_TIME = 401, "a time is malformed";

    // 05xx: checking and compiling components.

    // 06xx: running functions; from 0650 on what a guest gives back.

    // 07xx: formats and data.
    SCHEMA_MISMATCH = 701, "data does not have the declared columns";
    BAD_RECORD = 702, "a record is malformed";
    BAD_VALUE = 703, "a value does not fit its column";
    RECORD_TOO_LONG = 704, "a record is too long";
    CORRUPT_STREAM = 705, "a compressed stream is damaged";
    EXPANSION = 706, "a compressed stream expands too far";
    WINDOW_TOO_LARGE = 707, "a zstd stream needs too large a window";
    CORRUPT_PARQUET = 708, "a Parquet file is damaged";
    PARQUET_LIMIT = 709, "a Parquet file exceeds a bound";
    INVALID_POSITION = 710, "a position does not belong to its split";
    NOT_INFERRED = 711, "a schema could not be inferred";
    NOT_ENCODABLE = 712, "rows cannot be written in this format";
    NOT_TAKEN = 713, "encoded bytes were not taken";

    // 08xx: connectors, volumes and commits.

    // 09xx: executor protocol.
}
