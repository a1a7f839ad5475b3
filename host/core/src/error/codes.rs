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
    ROW_REFUSED = 650, "a function refused a record";
    BISECTION_OVERRUN = 651, "a batch that makes a function fail costs too much to divide";
    OUTPUT_PORTS = 652, "a function gave back a wrong number of ports";
    OUTPUT_COLUMNS = 653, "a function gave back a wrong number of columns";
    OUTPUT_BUFFERS = 654, "a column has a wrong number of buffers";
    OUTPUT_ROWS = 655, "a one to one output has a wrong number of rows";
    VALIDITY_LENGTH = 656, "validity bits have a wrong length";
    UNEXPECTED_NULL = 657, "a column that is not nullable holds a null";
    BUFFER_LENGTH = 658, "a buffer has a wrong length";
    OFFSETS_START = 659, "offsets do not start at 0";
    OFFSETS_ORDER = 660, "offsets decrease";
    OFFSETS_END = 661, "offsets do not end where the data ends";
    NOT_UTF8 = 662, "a utf8 column holds bytes that are not UTF-8";
    SPLIT_CHARACTER = 663, "an offset lies within a character";
    DECIMAL_RANGE = 664, "a decimal has too many digits";
    ORIGIN_LENGTH = 665, "origin has a wrong length";
    ORIGIN_ORDER = 666, "origin decreases";
    ORIGIN_RANGE = 667, "origin points behind the input";
    ORIGIN_MISSING = 668, "rows failed but a port has no origin";
    FAILED_LENGTH = 669, "the indexes of failed rows have a wrong length";
    FAILED_ORDER = 670, "the failed rows are not ascending";
    FAILED_RANGE = 671, "a failed row lies behind the input";
    FAILED_WITH_OUTPUT = 672, "a row failed and has output as well";
    CAST_FAILED = 680, "a value does not fit its column after a cast";
    NEXMARK_COLUMN = 690, "a column is not one of the Nexmark table's";
    NEXMARK_SPLIT = 691, "a split or position is not the Nexmark generator's";

    // 07xx: formats and data.

    // 08xx: connectors, volumes and commits.

    // 09xx: executor protocol.
}
