//! What every Rust file keeps to.

use super::{GRAPH, TextFile, files, none, root};
use cargo_metadata::TargetKind;

/// Where `unsafe` may stand: beside the engine and the jail, and in guests whose business is to misbehave.
const UNSAFE: &[&str] = &["host/sandbox/", "host/executor/", "tests/guests/"];

/// The longest file, in lines.
const LINES: usize = 600;

/// The modules of `std` that pure code does not name.
const IMPURE: &[&str] = &["fs", "net", "thread", "process", "env", "os"];

/// The clocks that it does not read.
const CLOCKS: &[&str] = &["Instant", "SystemTime"];

#[test]
fn every_file_says_what_it_is_for() {
    let silent = files("rs").into_iter().filter(|file| !file.text.lines().take(5).any(|line| line.starts_with("//! ")));
    none(silent.map(|file| format!("{} does not open with //!", file.path)).collect());
}

#[test]
fn files_are_short_enough_to_read_in_one_sitting() {
    let long =
        files("rs").into_iter().map(|file| (file.text.lines().count(), file.path)).filter(|(lines, _)| *lines > LINES);
    none(long.map(|(lines, path)| format!("{path} has {lines} lines, more than {LINES}")).collect());
}

#[test]
fn nothing_is_left_for_later() {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("#[ig", "nore"), concat!("todo", "!(")];
    let left = files("rs").into_iter().flat_map(|file| {
        let hits = marks.iter().filter(|mark| file.text.contains(*mark));
        hits.map(|mark| format!("{} has {mark}", file.path)).collect::<Vec<_>>()
    });
    none(left.collect());
}

#[test]
fn unsafe_stands_only_in_the_sandbox_and_the_executor() {
    let elsewhere = files("rs").into_iter().filter(|file| !UNSAFE.iter().any(|folder| file.path.starts_with(folder)));
    let word = concat!("un", "safe");
    let found = elsewhere.flat_map(|file| {
        let lines = code_lines(&file.text).filter(|(_, code)| has_word(code, word));
        lines.map(|(number, _)| format!("{}:{number} has {word}", file.path)).collect::<Vec<_>>()
    });
    none(found.collect());
}

#[test]
fn every_other_crate_forbids_it() {
    let mut open = Vec::new();
    for (name, package) in GRAPH.own() {
        if ["lockgate-sandbox", "lockgate-executor"].contains(&name) {
            continue;
        }
        // What `generate!` makes of the contract cannot do without; the SDK allows it for that one module.
        let attribute = if name == "lockgate-sdk" { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
        for target in package.targets.iter().filter(|target| !target.kind.contains(&TargetKind::CustomBuild)) {
            let text = std::fs::read_to_string(&target.src_path).expect("a crate root");
            let shown = target.src_path.strip_prefix(root()).unwrap_or(&target.src_path);
            if !text.lines().any(|line| line == attribute || line == "#![forbid(unsafe_code)]") {
                open.push(format!("{shown} lacks {attribute}"));
            }
        }
    }
    none(open);
}

#[test]
fn core_and_dataflow_name_no_file_socket_thread_or_clock() {
    let pure = |file: &TextFile| {
        let shipped = file.path.starts_with("host/core/src/") || file.path.starts_with("host/dataflow/src/");
        shipped && !file.path.contains("/tests/") && !file.path.ends_with("tests.rs")
    };
    let found = files("rs").into_iter().filter(pure).flat_map(|file| {
        let shipped = file.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = code_lines(shipped).filter(|(_, code)| is_impure(code));
        lines.map(|(number, code)| format!("{}:{number}: {}", file.path, code.trim())).collect::<Vec<_>>()
    });
    none(found.collect());
}

#[test]
fn the_rules_find_what_they_look_for() {
    let text = "let a = 1; // unsafe\n/// unsafe\nunsafe_code\nlet b = unsafe { f() };\nsay(\"unsafe\")\n";
    let word = concat!("un", "safe");
    let found: Vec<usize> =
        code_lines(text).filter(|(_, code)| has_word(code, word)).map(|(number, _)| number).collect();
    assert_eq!(found, [4]);
    for code in ["use std::fs;", "std::env::var(name)", "use std::{fmt, net::IpAddr};", "let now = Instant::now();"] {
        assert!(is_impure(code), "{code}");
    }
    for code in ["use std::fmt;", "let fs = thread;", "env!(NAME)", "use std::{fmt, str};", "time::OffsetDateTime"] {
        assert!(!is_impure(code), "{code}");
    }
}

/// The lines with their numbers, without comments and without the text of string literals.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let code = |line: &str| line.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    text.lines().enumerate().map(move |(at, line)| (at + 1, code(line.split("//").next().unwrap_or_default())))
}

/// Whether `code` names a module of `std` or a clock that pure code keeps away from.
fn is_impure(code: &str) -> bool {
    let group = code.contains("std::{");
    let module = |name: &&str| code.contains(&format!("std::{name}")) || (group && has_word(code, name));
    IMPURE.iter().any(module) || CLOCKS.iter().any(|name| has_word(code, name))
}

/// Whether `word` stands in `code` as a word of its own.
fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}
