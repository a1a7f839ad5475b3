//! Runs the command in a folder of its own.

pub mod proxy;
pub mod site;

use lockgate_core::bundle::Draft;
use lockgate_core::manifest::Manifest;
use lockgate_core::statement::Kind;
use lockgate_core::trust::Audience;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A job of `acme` that needs no component.
pub const MANIFEST: &str = r#"
[job]
tenant = "acme"
name = "copy"
version = 1
[source.lines]
connector = "file"
volume = "texts"
path = "in/*.txt"
[sink.out]
input = "lines"
connector = "stdout"
format = "lines"
"#;

/// What is signed of a manifest for one trust domain, for as long as tests will run.
pub fn draft(manifest: &str, domain: &str) -> Draft {
    Draft {
        kind: Kind::Job,
        audience: Audience::new(vec![domain.parse().unwrap()]).unwrap(),
        manifest: Manifest::parse_toml(manifest, "lockgate.toml").unwrap(),
        parts: BTreeMap::new(),
        data: BTreeMap::new(),
        fallback: Vec::new(),
        not_before: "2020-01-01T00:00:00Z".parse().unwrap(),
        expires: "2999-01-01T00:00:00Z".parse().unwrap(),
        grace_seconds: 0,
    }
}

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
        Ran::of(self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// As [`Self::run`], with something on standard input.
    pub fn run_fed(&self, arguments: &str, input: &str) -> Ran {
        let mut command = self.command(&arguments.split(' ').collect::<Vec<_>>());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// The command, to be run in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
        command.args(arguments).current_dir(self.0.path()).env_remove("RUST_BACKTRACE");
        command.env("LOCKGATE_HOME", self.path(".home")).env_remove("LOCKGATE_CONTEXT").env_remove("LOCKGATE_TENANT");
        command
    }

    /// Makes a key file and gives its public key.
    pub fn key(&self, name: &str) -> String {
        let made = self.run(&format!("keys generate {name} --output json"));
        made.json()["public-key"].as_str().unwrap().to_owned()
    }
}

impl Ran {
    fn of(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

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

    /// Asserts that the run succeeded, whatever it told on the way.
    #[track_caller]
    pub fn refused_nothing(&self) {
        assert_eq!(self.status, 0, "{}", self.err);
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
