//! Runs the command in a folder of its own.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder in which the command runs.
pub struct Home(TempDir);

/// What a run gave.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Runs `lockgate` with these arguments, parted by spaces.
    pub fn run(&self, arguments: &str) -> Ran {
        self.run_with(&arguments.split(' ').collect::<Vec<_>>())
    }

    pub fn run_with(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
        let Output { status, stdout, stderr } =
            command.args(arguments).current_dir(self.0.path()).env_remove("RUST_BACKTRACE").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// Makes a key file and gives its public key.
    pub fn key(&self, name: &str) -> String {
        let made = self.run(&format!("keys generate {name} --output json"));
        made.json()["public-key"].as_str().unwrap().to_owned()
    }
}

impl Ran {
    /// The JSON object of a run that succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }

    /// The text of a run that succeeded.
    pub fn text(&self) -> &str {
        assert_eq!((self.status, self.err.as_str()), (0, ""));
        &self.out
    }

    /// Asserts that the run was refused with this exit code and error code.
    #[track_caller]
    pub fn refused(&self, status: i32, code: &str) -> &str {
        assert_eq!(self.status, status, "{}{}", self.out, self.err);
        assert!(self.err.contains(code), "{}", self.err);
        &self.err
    }
}

/// The lowest bits of a file's mode.
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
