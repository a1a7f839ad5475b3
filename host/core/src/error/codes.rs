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
    FILE_EXISTS = 4, "a file is there already";
    KEY_FILE_EXPOSED = 5, "others may read a key file";
    NOT_RECOGNISED = 6, "a file is of no kind that Lockgate knows";
    FILE_TOO_LARGE = 7, "a file is too large";
    INTERRUPTED = 8, "the command was stopped before its end";
    BUILD_FAILED = 9, "cargo could not build a component";

    // 01xx: names and manifest.
    INVALID_NAME = 101, "a name is not allowed";
    MANIFEST_SYNTAX = 102, "the manifest is not valid TOML";
    UNKNOWN_KEY = 103, "the manifest has a key that Lockgate does not know";
    MISSING_KEY = 104, "a key that is needed is missing";
    WRONG_KIND = 105, "a value is of the wrong kind";
    DUPLICATE_KEY = 106, "a key or a table is there twice";
    INVALID_QUANTITY = 107, "a size, duration or count is not understood";
    MANIFEST_PATH = 108, "a path within a volume is not allowed";
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
    IMPORTS_DIFFER = 512, "a component imports other interfaces than were signed";
    DESCRIBE_DIFFERS = 513, "a component describes itself other than it was signed";
    COMPILE_TIME = 514, "compiling a component takes too long";
    COMPILE_MEMORY = 515, "compiling a component takes too much memory";
    COMPILER_GONE = 516, "the compiler ended without an answer";
    COMPILER_ANSWER = 517, "the compiler's answer cannot be used";
    COMPILER_UNAVAILABLE = 518, "the compiler cannot be started";

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
    ROW_REFUSED = 650, "a function refused a record";
    BISECTION_OVERRUN = 651, "a batch that makes a function fail costs too much to divide";
    OUTPUT_PORTS = 652, "a function gave back a wrong number of ports";
    OUTPUT_COLUMNS = 653, "a function gave back a wrong number of columns";
    OUTPUT_BUFFERS = 654, "a column has a wrong number of buffers";
    ROW_COUNT = 655, "a one to one output has a wrong number of rows";
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
    UNKNOWN_VOLUME = 801, "a volume is not configured";
    VOLUME_UNUSABLE = 802, "a volume's directory cannot be opened";
    INVALID_VOLUME_PATH = 803, "a path or name cannot be used below a volume";
    LINK_REFUSED = 804, "a path passes through a symbolic link";
    NOT_A_FILE = 805, "a path is not a regular file";
    FILE_UNREADABLE = 806, "a file or folder of a volume could not be opened";
    NO_INPUT = 807, "a pattern matches no file";
    TOO_MANY_FILES = 808, "a pattern visits too many files or folders";
    INPUT_CHANGED = 809, "an input changed while a job depends on it";
    INPUT_FAILED = 810, "an input could not be read";
    NOT_SEEKABLE = 811, "a stream can only be read once, forwards";
    SPLITS_STARVE = 812, "splits would wait for ever";
    OUTPUT_FAILED = 820, "output could not be written";
    OUTPUT_EXISTS = 821, "an output file is there already";
    OUTPUT_LOST = 822, "prepared output is missing or was changed";
    OUTPUT_CLOSED = 823, "standard output was closed by its reader";
    STATE_UNUSABLE = 830, "a state directory cannot be used";
    STATE_IN_USE = 831, "another process uses this state";
    STATE_TRUNCATED = 832, "a state file is cut short";
    STATE_DAMAGED = 833, "a state file is damaged";
    STATE_FOREIGN = 834, "a state file is not of this kind, version or job";
    STATE_OTHER_VERSION = 835, "the state belongs to another version of the job";
    STATE_TOO_LARGE = 836, "a checkpoint is too large";
    STREAM_ELSEWHERE = 840, "a job of a cluster has no standard streams";
    EXPOSED_TO_OTHERS = 850, "a private file or directory is open to other users";
    HOST_KEY_DAMAGED = 851, "the host key is damaged";
    INVALID_CONFIGURATION = 860, "this machine's configuration is not understood";

    // 09xx: executor protocol.
    PROTOCOL_MESSAGE = 901, "a message between TaskManager and executor is not understood";
    PROTOCOL_RANGE = 902, "a message between TaskManager and executor is out of range";
    PROTOCOL_PAYLOAD = 903, "a document between TaskManager and executor is not understood";
    EXECUTOR_GONE = 904, "the executor has ended";
    JOB_CANCELLED = 905, "the job was cancelled";

    // 1001 to 1049: requests to the JobManager's API.
    MALFORMED_REQUEST = 1001, "a request is not understood";
    UNSUPPORTED_MEDIA = 1002, "a request's body is of another kind";
    METHOD_NOT_ALLOWED = 1003, "a route does not take this method";
    PRECONDITION_FAILED = 1004, "something was changed since it was read";
    PRECONDITION_REQUIRED = 1005, "a change does not say of what";
    INVALID_CURSOR = 1006, "a cursor does not belong to this list";
    INVALID_IDEMPOTENCY_KEY = 1007, "an idempotency key is malformed";
    IDEMPOTENCY_MISMATCH = 1008, "an idempotency key was used for something else";
    INVALID_LABEL = 1010, "a label is malformed";
    ALREADY_EXISTS = 1011, "there is one of this name already";
    WRONG_STATE = 1012, "the state does not allow this";
    TENANT_INACTIVE = 1013, "the tenant is suspended or closed";
    NO_TRUST = 1014, "trust documents are missing";
    UNNAMED_DOCUMENT = 1015, "a trust document names one that is not here";
    BUNDLE_IN_USE = 1017, "a bundle is in use";
    NOT_A_JOB = 1018, "a bundle is not of this job";
    CONTENDED = 1019, "too many changes of one thing at once";
    RECORD_UNREADABLE = 1020, "a record of the store cannot be read";
    TOO_MANY_FOLLOWERS = 1021, "too many follow events at once";

    // 105x and 106x: the JobManager's configuration and its server.
    JOBMANAGER_CONFIG = 1050, "the JobManager's configuration is not allowed";
    CONFIG_REFERENCE = 1051, "a reference in the configuration leads nowhere";
    SECRET_IN_CONFIG = 1052, "a secret stands in the configuration itself";
    TLS_MATERIAL = 1053, "certificates or keys cannot be used";
    LISTEN_FAILED = 1054, "an address cannot be listened on";
    DATA_DIRECTORY = 1055, "the data directory cannot be used";
    HOST_REFUSED = 1060, "a request is for another host";
    BODY_TOO_LARGE = 1061, "a request's body is too large";
    BODY_TOO_SLOW = 1062, "a request's body came too slowly";
    BODY_ENCODED = 1063, "a request's body is compressed";
    REQUEST_TIMEOUT = 1064, "a request took too long";
    TARGET_REFUSED = 1065, "a request's target is too long or malformed";
    BUSY = 1066, "the JobManager has too much to do";

    // 1070 to 1089: the client of a JobManager.
    NO_CONTEXT = 1070, "it is not said which JobManager is meant";
    CREDENTIALS_EXPOSED = 1071, "others may read what the client keeps";
    CONTEXTS_MALFORMED = 1072, "the contexts file is not understood";
    NO_TOKEN = 1073, "there is no token to send";
    UNREACHABLE = 1074, "the JobManager cannot be reached";
    SERVER_UNTRUSTED = 1075, "the server's certificate is not trusted";
    ANSWER_MALFORMED = 1076, "an answer is not a JobManager's";
    NO_TENANT = 1077, "it is not said which tenant is meant";
    NOT_CONFIRMED = 1078, "nobody said yes";
    JOB_ENDED_OTHERWISE = 1079, "the job ended otherwise than it was to";
    STILL_WAITING = 1080, "what was waited for has not come about yet";
    ANSWER_LOST = 1081, "it is not known whether a request was carried out";
    UNKNOWN_PROBLEM = 1082, "the JobManager refuses with a code that this version does not know";

    // 11xx: access, up to 1149.
    UNAUTHENTICATED = 1100, "a request has no credential";
    FORBIDDEN = 1101, "the caller may not do this";
    NOT_FOUND = 1102, "there is no such thing, or not for this caller";
    CREDENTIAL_REFUSED = 1103, "a credential is not valid";
    CREDENTIAL_EXPIRED = 1104, "a credential has expired";
    TOKEN_MALFORMED = 1105, "a token is cut off or misspelt";
    SEVERAL_CREDENTIALS = 1106, "a request has several credentials";
    IDENTITY_PROVIDER = 1107, "the identity provider does not answer";
    NO_ROLE = 1108, "a credential is genuine but gives no role here";
    AUTHORIZATION_SERVICE = 1109, "the authorisation service does not answer";
    TOO_MANY_REQUESTS = 1110, "requests come too fast";
    TOO_MANY_FAILURES = 1111, "too many credentials of one source failed";
    QUOTA_EXCEEDED = 1112, "a quota is used up";
    SETUP_TOKEN_USED = 1113, "the set-up token is no longer valid";
    // 1200 to 1269: store, audit log, bundles kept, backups.
    CONFLICT = 1201, "something was changed in the meantime";
    STORE_FULL = 1202, "the disk has no room for changes";
    STORE_FAILED = 1203, "the store cannot be read or written";
    STORE_UNCERTAIN = 1204, "it is not known whether a change was kept";
    STORE_LIMIT = 1205, "a change is too large for the store";
    STORE_RESERVED = 1206, "a key belongs to the audit log";
    STORE_CLOSED = 1207, "the store is shut down";
    STORE_IN_USE = 1210, "another process uses this store";
    STORE_FOREIGN = 1211, "the store is of a version that this program does not know";
    STORE_DAMAGED = 1212, "the store is damaged";
    STORE_KEY_WRONG = 1213, "the store is encrypted with another key";
    STORE_KEY_MISSING = 1214, "the store is encrypted and no key is configured";
    STORE_KEY_MALFORMED = 1215, "a store key is malformed";
    AUDIT_BROKEN = 1220, "the audit log was changed";
    AUDIT_TRUNCATED = 1221, "the audit log ends before a signed checkpoint";
    AUDIT_FORGED = 1222, "a checkpoint of the audit log is not signed by the expected key";
    AUDIT_MALFORMED = 1223, "a line is none of an audit log";
    AUDIT_KEY = 1224, "the audit log's key cannot be used";
    BUNDLE_LOST = 1230, "a bundle that is kept is missing or was changed";
    BACKUP_DAMAGED = 1240, "a backup is damaged or incomplete";
    BACKUP_LOCKED = 1241, "a backup cannot be decrypted";
    RESTORE_REFUSED = 1242, "there is something already where a backup would be restored";
    AUDIT_NO_ANCHOR = 1260, "there is no checkpoint at which the audit log could be cut off";
    AUDIT_CUT_ALREADY = 1261, "the audit log begins there or later already";
    // 13xx: scheduling.
    JOB_TRANSITION = 1300, "a job cannot do this in the state it is in";
    JOB_ENDED = 1301, "a job has ended";
    UNKNOWN_STATE = 1302, "a job state is not known";
    RESTARTS_EXHAUSTED = 1303, "a job failed more often than its restart strategy allows";
    TASKMANAGER_LOST = 1304, "a TaskManager was lost";
    NOT_AN_UPGRADE = 1305, "a version is no upgrade of the one in place";
    // 14xx: the plane between JobManager and TaskManagers.
    PLANE_VERSION = 1400, "the two sides of the plane are versions too far apart";
    PLANE_REFUSED = 1401, "the plane does not take this TaskManager";
    JOIN_TOKEN = 1402, "a join token is not valid";
    CERTIFICATE_REQUEST = 1403, "a request for a certificate cannot be granted";
    NO_TASKMANAGER = 1404, "there is no such TaskManager";
    PLANE_MESSAGE = 1405, "a message of the plane is not understood";
    PLANE_UNREACHABLE = 1406, "the JobManager cannot be reached";
    NAME_TAKEN = 1407, "there is a TaskManager of this name";
    NO_PLANE = 1408, "this JobManager has no plane";
    FENCED = 1410, "the lease is not the present one";
    LEDGER_CONFLICT = 1411, "a change contradicts the record of a run";
    NOT_PLACED = 1412, "nothing of this is placed on the TaskManager";
    NOT_JOINED = 1420, "a TaskManager has not joined";
    IDENTITY_EXPIRED = 1421, "a TaskManager's certificate has expired";
    IDENTITY_REFUSED = 1422, "a certificate is not what was asked for";
    AUDIT_REWRITTEN = 1423, "the audit log is not the one that was seen before";
    MARKS_MISSING = 1424, "the marks against rollback are missing";
    WRONG_ASSIGNMENT = 1425, "an assignment is not of what it names";
    NOT_ENOUGH_SLOTS = 1426, "a TaskManager is to run more than it has slots for";
    NOT_IN_A_CLUSTER = 1427, "a job needs a terminal";
    BUNDLE_REFUSED = 1428, "a bundle that was fetched is not the one that was asked for";
    METRICS_TOKEN = 1441, "the token for a TaskManager's figures cannot be used";
    SPLITS_UNREAD = 1435, "a job ended while parts of its input were unread";
    SESSION_REPLACED = 1436, "another process has taken a TaskManager's place";
    RECORD_UNBELIEVED = 1440, "the record of a run says what cannot be";
    LEDGER_FULL = 1413, "a run has more splits than the JobManager keeps";
    EXECUTOR_OVERRAN = 906, "the executor did not get on within its deadline";
    EXECUTOR_MEMORY = 907, "the executor used more memory than it may";
    EXECUTOR_BROKE_OUT = 908, "the executor tried what its jail forbids";
    EXECUTOR_CRASHED = 909, "the executor crashed";
    EXECUTOR_START = 910, "an executor could not be started";
    EXECUTOR_FULL = 912, "an executor has no room left";
    EXECUTOR_NOT_STARTED = 920, "a jailed process cannot be started";
    PRIVILEGES_KEPT = 921, "a jailed process cannot give up its privileges";
    LANDLOCK_MISSING = 922, "Landlock is missing or too old";
    SECCOMP_MISSING = 923, "system calls cannot be filtered";
    RESOURCES_UNBOUNDED = 924, "a resource limit cannot be set";
    ROOT_NOT_EMPTIED = 925, "a jailed process cannot leave the file system";
    WALLS_MISSING = 926, "this machine lacks a wall that is required";
    GROUP_REFUSED = 927, "a control group cannot be made";
}
