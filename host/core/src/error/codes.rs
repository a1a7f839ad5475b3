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
    INVALID_COMPONENT = 501, "a component is not valid WebAssembly";
    COMPONENT_TOO_LARGE = 502, "a component is beyond what is compiled";
    IMPORT_NOT_OFFERED = 503, "a component imports what is not offered";
    EXPORT_MISSING = 504, "a component does not export the functions of lockgate:udf";
    INTERFACE_MISMATCH = 505, "an interface of a component has another type";
    DESCRIBE_INVALID = 506, "what a component says of its functions is malformed";
    ARTEFACT_REFUSED = 508, "a compiled artefact does not fit this machine";
    NOT_A_COMPONENT = 509, "a file is a core module, not a component";
    SANDBOX_UNAVAILABLE = 510, "the sandbox cannot be set up on this machine";
    COMPOSED_COMPONENT = 511, "a component is composed of components that run code";

    // 06xx: running functions; from 0650 on what a guest gives back.
    OUT_OF_FUEL = 601, "a function used all its fuel";
    MEMORY_LIMIT = 602, "a function asked for more memory than its limit";
    DEADLINE_PASSED = 603, "a call took longer than its deadline";
    CALL_CANCELLED = 604, "a call was cancelled";
    STACK_OVERFLOW = 605, "a function used all its stack";
    GUEST_TRAP = 606, "a function trapped";
    TRANSFER_LIMIT = 607, "a function handed over too much at once";
    HANDLE_LIMIT = 608, "a function held too many handles";
    OUTPUT_ROWS = 609, "a function gave back too many rows";
    OUTPUT_BYTES = 610, "a function gave back too many bytes";
    GUEST_ERROR = 611, "a function failed the batch";
    GUEST_EXIT = 612, "a function called exit";
    START_FAILED = 613, "an instance could not be started";
    IMPORT_REFUSED = 614, "a function called something that it may not";
    ABI_VIOLATION = 615, "a guest broke the canonical ABI";
    NO_INSTANCE_SLOT = 616, "no room is left for another instance";
    LIMIT_ABOVE_EXECUTOR = 617, "a limit is above what the executor was set up for";

    // 07xx: formats and data.

    // 08xx: connectors, volumes and commits.

    // 09xx: executor protocol.
}
