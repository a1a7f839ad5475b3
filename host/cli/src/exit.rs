//! Exit codes, for scripts: few, and each asks for another reaction. `docs/exit-codes.md` has them for people.

use lockgate_core::Error;
use lockgate_core::error::code;

/// Done.
pub const OK: u8 = 0;
/// Something was checked and refused, or the job failed.
pub const REFUSED: u8 = 1;
/// The command line is not understood. The same as clap's own.
pub const USAGE: u8 = 2;
/// A file of this machine could not be read or written, or the machine lacks a wall that is required.
pub const MACHINE: u8 = 3;
/// Lockgate itself is at fault.
pub const INTERNAL: u8 = 4;

/// The JobManager cannot be reached, is busy, or what was waited for has not come about yet.
pub const LATER: u8 = 5;
/// The credential is missing or not accepted, or does not allow this; or the server is not trusted.
pub const ACCESS: u8 = 6;
/// There is no such thing, or not for this caller.
pub const NOT_FOUND: u8 = 7;

/// Stopped by a signal, as shells say it for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The exit codes as `--help` shows them.
pub const HELP: &str = "Exit codes:
  0  done
  1  refused, or the job failed
  2  the command line is not understood
  3  a file of this machine could not be read or written, or is there already; or the machine lacks a required wall
  4  Lockgate itself is at fault
  5  the JobManager cannot be reached or is busy, or what was waited for has not come about yet
  6  the credential is missing, not accepted or does not allow this; or the server is not trusted
  7  there is no such thing on the JobManager, or not for this caller
  130  stopped by Ctrl-C before the end

`lockgate explain LG0412` says more about an error.";

/// The exit code for `errors`: that of the first.
pub fn code(errors: &[Error]) -> u8 {
    match errors.first().map(Error::code) {
        Some(code::USAGE) => USAGE,
        Some(code::IO | code::FILE_EXISTS | code::WALLS_MISSING) => MACHINE,
        Some(code::STORE_FULL | code::STORE_FAILED | code::STORE_IN_USE | code::RESTORE_REFUSED) => MACHINE,
        Some(code::CREDENTIALS_EXPOSED | code::CONTEXTS_MALFORMED | code::TLS_MATERIAL) => MACHINE,
        Some(code::NO_CONTEXT | code::NO_TENANT) => USAGE,
        Some(code::UNREACHABLE | code::STILL_WAITING | code::ANSWER_LOST | code::PLANE_UNREACHABLE) => LATER,
        Some(code::BUSY | code::CONTENDED | code::TOO_MANY_REQUESTS | code::TOO_MANY_FOLLOWERS) => LATER,
        Some(code::REQUEST_TIMEOUT | code::IDENTITY_PROVIDER | code::AUTHORIZATION_SERVICE) => LATER,
        Some(code::SERVER_UNTRUSTED | code::NO_TOKEN | code::UNAUTHENTICATED | code::FORBIDDEN) => ACCESS,
        Some(code::CREDENTIAL_REFUSED | code::CREDENTIAL_EXPIRED | code::TOKEN_MALFORMED) => ACCESS,
        Some(code::SEVERAL_CREDENTIALS | code::NO_ROLE | code::TOO_MANY_FAILURES | code::SETUP_TOKEN_USED) => ACCESS,
        Some(code::NOT_JOINED | code::IDENTITY_EXPIRED | code::JOIN_TOKEN | code::PLANE_REFUSED) => ACCESS,
        Some(code::NOT_FOUND) => NOT_FOUND,
        Some(code::INTERRUPTED | code::JOB_CANCELLED | code::CALL_CANCELLED) => INTERRUPTED,
        Some(code::INTERNAL) | None => INTERNAL,
        Some(_) => REFUSED,
    }
}
