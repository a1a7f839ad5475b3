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
    MANIFEST_SYNTAX = 102, "the manifest is not valid TOML";
    UNKNOWN_KEY = 103, "the manifest has a key that Lockgate does not know";
    MISSING_KEY = 104, "a key that is needed is missing";
    WRONG_KIND = 105, "a value is of the wrong kind";
    DUPLICATE_KEY = 106, "a key or a table is there twice";
    INVALID_QUANTITY = 107, "a size, duration or count is not understood";
    INVALID_PATH = 108, "a path within a volume is not allowed";
    UNKNOWN_CHOICE = 109, "a value is not one of those allowed";
    OPTION_NOT_APPLICABLE = 110, "an option does not apply here";
    OPTION_MISSING = 111, "an option is needed here";
    VALUE_OUT_OF_RANGE = 112, "a value is outside its range";
    MANIFEST_TOO_LARGE = 113, "the manifest is too large";
    INVALID_SETTING = 114, "a setting of a function is not allowed";
    INVALID_PARAMETER = 120, "a parameter is declared wrongly";
    UNKNOWN_PARAMETER = 121, "a parameter is not declared";
    MISSING_PARAMETER = 122, "a parameter has no value";
    PARAMETER_REFUSED = 123, "a parameter's value is not allowed";

    // 02xx: graph, types and limits.
    UNKNOWN_TYPE = 201, "a logical type is not known";
    UNSUPPORTED_TYPE = 202, "a logical type is known but not supported yet";
    UNKNOWN_NODE = 203, "an input names a node that does not exist";
    UNKNOWN_OUTPUT = 204, "a node has no such output";
    MISSING_INPUT = 205, "an operator has no input";
    AMBIGUOUS_INPUT = 206, "both `input` and `inputs` are there";
    DUPLICATE_INPUT = 207, "an input is there twice";
    INPUT_IS_SINK = 208, "an input names a sink";
    CYCLE = 209, "the graph has a cycle";
    UNUSED = 210, "something is declared but never used";
    DUPLICATE_NODE = 211, "two nodes have the same name";
    UNION_MISMATCH = 212, "the inputs of a union have different schemas";
    UNKNOWN_COMPONENT = 213, "a component does not exist";
    UNKNOWN_FUNCTION = 214, "a component has no such function";
    MISSING_ARGUMENT = 215, "a parameter of a function has no column";
    UNKNOWN_ARGUMENT = 216, "a function has no such parameter";
    UNKNOWN_COLUMN = 217, "a column does not exist";
    TYPE_MISMATCH = 218, "a column has another type than the parameter";
    COLUMN_COLLISION = 219, "two columns would have the same name";
    UNKNOWN_RESULT = 220, "a function has no such result";
    LIMIT_ABOVE_CEILING = 221, "a limit is above what the tenant's policy allows";
    CAST_NOT_ALLOWED = 222, "a cast is not possible";
    NOT_DEAD_LETTER_SINK = 223, "dead letters are sent to what is no sink";
    DEAD_LETTER_SINK_HAS_INPUT = 224, "a sink has both an input and dead letters";
    SCHEMA_MISSING = 225, "a source has no schema";
    INVALID_COLUMN = 226, "a column's name is not allowed";
    DUPLICATE_COLUMN = 227, "a column is there twice";
    FORMAT_COLUMNS = 228, "a format cannot hold these columns";
    FORMAT_NEEDS_FILE = 229, "a format cannot be streamed";
    TOO_MANY = 230, "the graph is too large";
    OPERATOR_KIND = 231, "an operator is neither a function nor a select";
    RESERVED_NAME = 232, "a name is reserved";
    EMPTY_GRAPH = 233, "the job has no source or no sink";
    NOT_DESCRIBED = 234, "a component has no description";
    FUNCTION_TWICE = 235, "a component describes a function twice";
    FUNCTION_KIND = 236, "a function is of a kind that this version does not run";
    FUNCTION_PORTS = 237, "a function has ports that this version does not run";
    NULLABLE_ARGUMENT = 238, "a function refuses nulls that a column may hold";
    NO_COLUMNS = 239, "a node has no columns";
    LIMIT_TOO_LOW = 240, "a limit is too low for anything to run";

    // 03xx: bundles.
    INVALID_DIGEST = 301, "a digest is malformed";

    // 04xx: signatures and trust.
    INVALID_TIME = 401, "a time is malformed";

    // 05xx: checking and compiling components.

    // 06xx: running functions; from 0650 on what a guest gives back.

    // 07xx: formats and data.

    // 08xx: connectors, volumes and commits.

    // 09xx: executor protocol.
}
