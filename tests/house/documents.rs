//! What the documents say of the repository is true: links resolve, commands exist, every invariant has its test.

use super::{TextFile, files, none, root};
use std::path::Path;

#[test]
fn every_link_resolves() {
    let documents = files("md");
    let mut broken = Vec::new();
    for document in &documents {
        for target in links(&document.text) {
            if !resolves(document, target, &documents) {
                broken.push(format!("{}: {target}", document.path));
            }
        }
    }
    none(broken);
}

#[test]
fn links_are_found_and_checked() {
    let text = "a [b](c.md) [d](https://e) `[h](i)` [j](k.md#l-m)\n```\n[n](o)\n```\n[p](#q)";
    assert_eq!(links(text), ["c.md", "k.md#l-m", "#q"]);
    assert_eq!(anchor("What `stops` him, what not?"), "what-stops-him-what-not");
    let document = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
    let all = [document("docs/a.md", "# One two\n"), document("README.md", "## Three\n")];
    for fine in ["#one-two", "../README.md#three", "../LICENSE"] {
        assert!(resolves(&all[0], fine, &all), "{fine}");
    }
    for not in ["#one", "../README.md#one-two", "LICENSE", "../../README.md"] {
        assert!(!resolves(&all[0], not, &all), "{not}");
    }
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    assert!(readme.contains("cargo xtask demo") && readme.contains("cargo xtask test"));
}

#[test]
fn every_command_that_is_named_exists() {
    let commands = std::fs::read_to_string(root().join("xtask/src/main.rs")).expect("xtask's commands");
    let mut unknown = Vec::new();
    for document in files("md") {
        for (at, prefix) in document.text.match_indices("cargo xtask ") {
            let rest = &document.text[at + prefix.len()..];
            let name: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            if !commands.contains(&format!("name: \"{name}\"")) {
                unknown.push(format!("{}: cargo xtask {name}", document.path));
            }
        }
    }
    none(unknown);
}

/// Each row of the table under "Invariants" names, in its last cell, tests that exist, or says "not yet".
#[test]
fn every_invariant_has_its_test() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section = text.split("\n## ").find(|section| section.starts_with("Invariants")).expect("a section Invariants");
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 10, "the table has {} rows", rows.len());
    none(untested(&rows));
}

/// So does each row of the threat model's tables.
#[test]
fn every_claim_of_the_threat_model_has_its_test() {
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).expect("the threat model");
    let lines = text.lines().zip(text.lines().skip(1));
    let heads: Vec<&str> = lines.filter(|(_, next)| next.starts_with("|--")).map(|(head, _)| head).collect();
    assert!(heads.len() >= 5 && heads.iter().all(|head| head.ends_with("| test |")), "{heads:?}");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && !heads.contains(line)).collect();
    none(untested(&rows));
}

/// What is wrong with the last cells of these rows.
fn untested(rows: &[&str]) -> Vec<String> {
    let sources = files("rs");
    let exists = |name: &str| sources.iter().any(|file| file.text.contains(&format!("fn {name}(")));
    let mut without = Vec::new();
    for row in rows {
        let cell = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if names.is_empty() && !cell.contains("not yet") {
            without.push(format!("no test: {row}"));
        }
        let missing = names.into_iter().filter(|name| !exists(name.rsplit("::").next().unwrap_or(name)));
        without.extend(missing.map(|name| format!("there is no test {name}")));
    }
    without
}

/// The targets of all links that stay within the repository, code left out.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for prose in line.split('`').step_by(2) {
            let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            found.extend(targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")));
        }
    }
    found
}

fn resolves(from: &TextFile, target: &str, documents: &[TextFile]) -> bool {
    let (path, heading) = target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let resolved = if path.is_empty() {
        from.path.clone()
    } else {
        let folder = Path::new(&from.path).parent().unwrap_or(Path::new(""));
        match normal(&folder.join(path)) {
            Some(resolved) if root().join(&resolved).exists() => resolved,
            _ => return false,
        }
    };
    heading.is_none_or(|heading| {
        let document = documents.iter().find(|document| document.path == resolved);
        document.is_some_and(|document| headings(&document.text).any(|title| anchor(title) == heading))
    })
}

/// `a/../b` as `b`; none if it leaves the root.
fn normal(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.to_str()?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// The anchor of a heading as forges make it.
fn anchor(title: &str) -> String {
    let kept = title
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}
