//! Subcommands that are not for people: what this program is when it was started to hold a tenant's code or data.
//!
//! The jailed processes are the same program as the one that starts them (`/proc/self/exe`), so that both ends of a
//! protocol are always of one build. Whoever embeds this crate calls [`child`] before anything else: a jail is raised
//! before there are threads, and before anything is open that would have to be closed again.

use crate::{child as executor, compiler, slot};
use std::ffi::OsStr;
use std::process::ExitCode;

/// Runs the hidden subcommand that the program's arguments (its own name first) ask for; none if they ask for none.
pub fn child<A: AsRef<OsStr>>(mut arguments: impl Iterator<Item = A>) -> Option<ExitCode> {
    let subcommand = arguments.nth(1)?;
    match subcommand.as_ref().to_str()? {
        compiler::SUBCOMMAND => Some(compiler::child()),
        executor::SUBCOMMAND => Some(executor::main(slot::run)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_people_is_left_to_them() {
        for arguments in [&[][..], &["lockgate"], &["lockgate", "run"], &["compiler"], &["lockgate", "", "compiler"]] {
            assert!(child(arguments.iter()).is_none(), "{arguments:?}");
        }
    }
}
