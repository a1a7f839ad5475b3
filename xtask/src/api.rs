//! `cargo xtask api`: only the test that makes calls of the API's own description, and many more than `cargo xtask test` does.

use crate::process::{cargo, run as run_command};
use crate::{Result, unknown_argument};

/// `cargo xtask api --help`.
pub const HELP: &str = "\
Usage: cargo xtask api [--examples N]

Has schemathesis make calls of the OpenAPI document that a JobManager serves, as every role, and fails if an answer is an
error of the server or not as it is described. schemathesis is fetched from PyPI into the target folder; it needs Python.

Options:
  --examples N   so many calls of each operation and role (200)
";

/// Calls of each operation and role if nothing else is asked for.
const EXAMPLES: u32 = 200;

/// Makes the calls.
///
/// # Errors
/// For an argument that is not known, and when an answer is not as it should be.
pub fn run(arguments: &[String]) -> Result {
    let examples = match arguments {
        [] => EXAMPLES,
        [option, number] if option == "--examples" => {
            number.parse().map_err(|_| format!("--examples wants a number, not {number:?}"))?
        }
        [other, ..] => return Err(unknown_argument("api", other)),
    };
    run_command(&mut cargo(["build", "--workspace", "--bins", "--examples"]))?;
    let mut command = cargo(["test", "--workspace", "--test", "lockgate", "--", "calls::api::", "--nocapture"]);
    run_command(command.env("LOCKGATE_API_EXAMPLES", examples.to_string()))
}
