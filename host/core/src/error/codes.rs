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
    MALFORMED_ARCHIVE = 302, "a bundle is not a well-formed archive";
    BUNDLE_TOO_LARGE = 303, "a bundle is too large";
    FORBIDDEN_ENTRY = 304, "a bundle has an entry that is not allowed";
    TRAILING_DATA = 305, "a bundle goes on behind its end";
    DIGEST_MISMATCH = 306, "the content of a bundle does not fit its digest";
    MALFORMED_LAYOUT = 307, "a bundle is not an OCI image layout of Lockgate's form";
    UNREFERENCED_BLOB = 308, "a bundle holds content that it names nowhere";
    MISSING_BLOB = 309, "a bundle names content that it does not hold";
    MALFORMED_STATEMENT = 310, "the statement of a bundle contradicts itself";
    LAYERS_DIFFER = 311, "the layers of a bundle are not those that were signed";

    // 04xx: signatures and trust.
    INVALID_TIME = 401, "a time is malformed";
    MALFORMED_KEY = 402, "a key is malformed";
    MALFORMED_JSON = 403, "signed JSON is not strict";
    MALFORMED_DOCUMENT = 404, "a signed document breaks the rules of its kind";
    MALFORMED_ENVELOPE = 405, "an envelope is malformed";
    WRONG_PAYLOAD_TYPE = 406, "an envelope holds another kind of document";
    BAD_SIGNATURE = 407, "a signature does not fit what it is said to sign";
    UNTRUSTED_SIGNER = 408, "nobody whose signature counts has signed";
    THRESHOLD = 409, "too few have signed";
    KEY_IN_TWO_ROLES = 410, "a key serves two roles";
    WRONG_AUDIENCE = 411, "a document or bundle is for another cluster";
    EXPIRED = 412, "a document or bundle is expired";
    NOT_YET_VALID = 413, "a document or bundle is not valid yet";
    STALE_STATUS = 414, "a status is too old to rely on";
    ROLLBACK = 415, "an older version was presented";
    SAME_VERSION_TWICE = 416, "one version exists with two contents";
    FAST_FORWARD = 417, "a version leaps too far ahead";
    NOT_CURRENT = 418, "the status names another version";
    REVOKED = 419, "a job, its content or its signers are revoked";
    WRONG_TENANT = 420, "a document or bundle is of another tenant";
    WRONG_EPOCH = 421, "a document is of another life of its tenant";
    ROOT_CHAIN = 422, "an operator root is missing from the chain";
    ROTATION_UNSIGNED = 423, "the tenant's root keys changed without the old keys' consent";
    NOT_GRANTED = 424, "a job asks for what its tenant was not granted";
    WIDENED = 425, "an upgrade touches more than it lists";
    WRONG_REPLACES = 426, "an upgrade replaces another version than the one in place";
    CORRUPT_MARKS = 427, "the marks against rollback are damaged";
    MARKS_FULL = 428, "the marks against rollback are full";
    CLOCK_WENT_BACK = 429, "this machine's clock went back";
    STATUS_TOO_LONG = 430, "a status lives longer than is allowed";
    NOT_A_FALLBACK = 431, "a version is no signed fallback";
    NOT_ADMITTED = 432, "a job was not admitted here before";
    PARALLELISM_ABOVE_CEILING = 433, "a job asks for more slots than its tenant may have";

    // 05xx: checking and compiling components.

    // 06xx: running functions; from 0650 on what a guest gives back.

    // 07xx: formats and data.

    // 08xx: connectors, volumes and commits.

    // 09xx: executor protocol.
}
