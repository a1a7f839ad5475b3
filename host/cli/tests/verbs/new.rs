//! A new project is what a stranger begins with: it must be refused where it would overwrite, and pass as it is.

use crate::support::Home;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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

/// The walk of the README, to the letter, by the shell that its reader has. The versions and the target folder are those
/// of the examples, so that little is left to compile.
#[test]
fn the_walk_of_the_readme_can_be_followed() {
    let home = Home::new();
    home.write("clone/placeholder", "");
    let lock = root().join("examples/Cargo.lock");
    let walk = walk(&std::fs::read_to_string(root().join("README.md")).unwrap())
        .replace("&& cd fares\n", &format!("&& cd fares && cp '{}' .\n", lock.display()));
    let ports = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let [api, plane] = ports;
    let cluster = format!("lockgate standalone --listen 127.0.0.1:{api} --plane 127.0.0.1:{plane}");
    let walk = walk.replace("lockgate standalone", &cluster).replace("localhost:8443", &format!("localhost:{api}"));
    let (status, out, err) = bash(&home, "clone", &walk);
    assert!(status.success(), "{out}{err}");
    for expected in [
        "test tests::converts_prices ... ok\n",
        "\n{\"item\":\"coffee\",\"price\":3.5,\"to_eur\":3.178}\n",
        "item,price,to_eur\ncoffee,3.5,3.178\ngift,,\n{\"node\":\"convert\",",
        "-2 is no price",
        "- reads files *.csv of volume data\n",
        "verified       fares-of-files of tenant dev, version 1\n",
        "created job fares-of-files in version 1: FINISHED\n",
        "## LG0411: ",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    assert!(err.contains("made a development key") && err.contains("error[LG0411]"), "{err}");
}

/// The operations guide, to the letter: three hosts as three folders.
#[test]
fn the_walk_of_the_operations_guide_can_be_followed() {
    let home = Home::new();
    let guide = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let lock = root().join("examples/Cargo.lock");
    let ports = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let mut commands: String = blocks(&guide).flat_map(|block| block.lines().map(|line| format!("{line}\n"))).collect();
    let made = "lockgate new fares --path fares\n";
    commands = commands.replace(made, &format!("{made}cp '{}' fares/\n", lock.display()));
    for (port, free) in ["8443", "8444"].into_iter().zip(ports) {
        commands = commands.replace(port, &free.to_string());
    }
    let (status, out, err) = bash(&home, "", &format!("trap 'kill $(jobs -p)' EXIT\n{commands}trap - EXIT\n"));
    assert!(status.success(), "{out}{err}");
    for expected in ["created job fares in version 1: FINISHED\n", "item,price,to_eur\ncoffee,3.5,3.178\n", "tm-2"] {
        assert!(out.contains(expected), "{expected}\n{out}{err}");
    }
}

/// What bash makes of these commands in a folder of `home`.
fn bash(home: &Home, folder: &str, commands: &str) -> (std::process::ExitStatus, String, String) {
    let bin = Path::new(env!("CARGO_BIN_EXE_lockgate")).parent().unwrap().display();
    let Output { status, stdout, stderr } = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", commands])
        .current_dir(home.path(folder))
        .env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()))
        .env("LOCKGATE_HOME", home.path("home"))
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests"))
        .output()
        .unwrap();
    (status, String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap())
}

/// The commands between making a project and the next chapter; those that must be refused say so in a comment.
fn walk(readme: &str) -> String {
    let (_, rest) = readme.split_once("**Make a project**").unwrap();
    let (chapter, _) = rest.split_once("\n## ").unwrap();
    let line = |line: &str| match line.split_once(" # refused") {
        Some((command, _)) => format!("if {command}; then exit 9; fi\n"),
        None => format!("{line}\n"),
    };
    blocks(chapter).flat_map(str::lines).map(line).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
