//! A new project is what a stranger begins with: it must be refused where it would overwrite, and pass as it is.

use crate::support::Home;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[test]
fn a_new_project_has_a_manifest_that_is_understood() {
    let home = Home::new();
    let said = home.run("new my-udfs");
    assert!(said.text().contains("cd my-udfs\n") && said.out.contains("lockgate run"), "{}", said.out);
    let shown = home.run("inspect my-udfs/lockgate.toml");
    assert!(shown.text().contains("- calls component my-udfs (to_eur)"), "{}", shown.out);
    assert!(home.path("my-udfs/.lockgate/sdk/sdk/src/lib.rs").is_file() && home.path("my-udfs/.gitignore").is_file());
}

#[test]
fn nothing_is_overwritten() {
    let home = Home::new();
    home.write("fares/notes.txt", "mine");
    home.run("new fares").refused(3, "LG0004");
    assert_eq!(std::fs::read_dir(home.path("fares")).unwrap().count(), 1);
    home.run("new fares --path fares/notes.txt").refused(3, "LG0004");
    // An empty folder is taken, under another name too, and missing ones are made.
    std::fs::create_dir(home.path("empty")).unwrap();
    home.run("new fares --path empty").text();
    home.run("new fares --path a/b").text();
    assert!(home.path("empty/Cargo.toml").is_file() && home.path("a/b/lockgate.toml").is_file());
    home.run("new fares --path empty").refused(3, "LG0004");
}

#[test]
fn a_name_that_cargo_or_lockgate_refuses_makes_nothing() {
    let home = Home::new();
    assert!(home.run("new My_Fares").refused(1, "LG0101").contains("lockgate new my-fares"));
    home.run("new loop").refused(1, "LG0101");
    home.run("new ../fares").refused(1, "LG0101");
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0);
}

/// With the versions and the target folder of the examples, so that little is left to compile.
#[test]
fn a_new_project_passes_its_test_and_runs() {
    let home = Home::new();
    home.run("new fares").text();
    let project = home.path("fares");
    std::fs::copy(root().join("examples/Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let tested = finish(command(env!("CARGO"), &project).args(["test", "--release"]), "");
    assert!(tested.contains("test tests::converts_prices ... ok"), "{tested}");
    let records = "{\"item\":\"coffee\",\"price\":3.5}\n{\"item\":\"gift\",\"price\":null}\n";
    let lockgate = env!("CARGO_BIN_EXE_lockgate");
    let ran = finish(command(lockgate, &project).arg("run").env("LOCKGATE_HOME", home.path("home")), records);
    let expected =
        "{\"item\":\"coffee\",\"price\":3.5,\"to_eur\":3.178}\n{\"item\":\"gift\",\"price\":null,\"to_eur\":null}\n";
    assert_eq!(ran, expected);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
    command.current_dir(folder).env("CARGO_TARGET_DIR", target);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What it writes to standard output, given `input`, which must be little.
fn finish(command: &mut Command, input: &str) -> String {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}
