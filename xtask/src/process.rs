//! Running other programs, with an error that says which one failed and how.

use crate::{Result, workspace};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

/// Cargo, in the repository's root. The one that runs this program, so that all steps use one toolchain.
pub fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace::root()).env("CARGO_TARGET_DIR", workspace::target());
    command
}

/// Cargo for the guests of `manifest`, with the target folder that they share.
pub fn guest_cargo(verb: &str, manifest: &Path) -> Command {
    let mut command = cargo([verb]);
    command.arg("--manifest-path").arg(manifest).env("CARGO_TARGET_DIR", workspace::guest_target());
    command
}

/// Runs it with our own input and outputs.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub fn run(command: &mut Command) -> Result {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", line(command))) }
}

/// Whether it can be started and succeeds; nothing is shown.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What it writes to standard output, without white space at the end.
///
/// # Errors
/// When it cannot be started, does not succeed or writes something other than UTF-8.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(format!("`{}` failed ({})", line(command), output.status));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| format!("`{}` wrote no UTF-8", line(command)))?;
    Ok(text.trim_end().to_owned())
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| {
        let word = word.to_string_lossy();
        if word.is_empty() || word.contains(' ') { format!("'{word}'") } else { word.into_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn not_started(command: &Command, error: &std::io::Error) -> String {
    format!("`{}` could not be started: {error}", line(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_named() {
        let message = run(cargo(["no-such-verb"]).stderr(Stdio::null())).unwrap_err();
        assert!(message.contains("cargo no-such-verb"), "{message}");
        let message = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(message.contains("no-such-program") && message.contains("started"), "{message}");
    }

    #[test]
    fn output_is_read() {
        assert!(read(&mut cargo(["--version"])).unwrap().starts_with("cargo "));
        assert!(succeeds(&mut cargo(["--version"])) && !succeeds(&mut cargo(["no-such-verb"])));
    }

    #[test]
    fn a_line_is_as_typed() {
        assert_eq!(line(Command::new("/bin/echo").args(["a b", "c"])), "echo 'a b' c");
    }
}
