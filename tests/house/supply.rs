//! Licences, sources and banned crates, as `deny.toml` has them. `cargo deny` reads the same file where it runs.

use super::{GRAPH, files, none, root};
use spdx::{Expression, ParseMode};
use std::path::Path;
use toml::{Table, Value};

#[test]
fn every_licence_is_allowed() {
    let rules = rules();
    let allowed = strings(&rules["licenses"]["allow"]);
    let refuse = |package: &cargo_metadata::Package| match package.license.as_deref() {
        None => Some(format!("{} has no licence", package.name)),
        Some(text) if !is_allowed(text, &allowed) => Some(format!("{} is under {text}", package.name)),
        Some(_) => None,
    };
    none(GRAPH.metadata.packages.iter().filter_map(refuse).collect());
}

#[test]
fn a_licence_expression_is_understood() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"];
    for fine in
        ["MIT", "GPL-3.0-only OR MIT", "MIT/Apache-2.0", "MIT AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(is_allowed(fine, &allowed), "{fine}");
    }
    for not in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "Apache-2.0", "LicenseRef-Own", "whatever", ""] {
        assert!(!is_allowed(not, &allowed), "{not}");
    }
}

#[test]
fn nothing_banned_is_locked() {
    let rules = rules();
    let bans = rules["bans"]["deny"].as_array().expect("a list of bans");
    let banned: Vec<&str> = bans.iter().map(|ban| ban["crate"].as_str().expect("a name")).collect();
    assert!(banned.contains(&"openssl-sys"));
    let found = locked().into_iter().filter(|package| banned.contains(&package.name.as_str()));
    none(found.map(|package| format!("{}: {} is banned", package.lock, package.name)).collect());
}

#[test]
fn everything_locked_comes_from_the_registry_or_from_here() {
    let rules = rules();
    let registries: Vec<String> = strings(&rules["sources"]["allow-registry"])
        .into_iter()
        .map(|registry| format!("registry+{registry}"))
        .collect();
    let foreign = locked().into_iter().filter(|package| match &package.source {
        Some(source) => !registries.contains(source) || !package.has_checksum,
        None => false,
    });
    none(
        foreign.map(|package| format!("{}: {} comes from {:?}", package.lock, package.name, package.source)).collect(),
    );
}

#[test]
fn what_has_no_source_lies_here() {
    let elsewhere = GRAPH.metadata.packages.iter().filter(|package| package.source.is_none());
    let elsewhere = elsewhere.filter(|package| !package.manifest_path.starts_with(root()));
    none(elsewhere.map(|package| format!("{} lies in {}", package.name, package.manifest_path)).collect());
}

#[test]
fn our_crates_say_the_same_of_themselves() {
    let toolchain = read(&root().join("rust-toolchain.toml"));
    let workspace = read(&root().join("Cargo.toml"));
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a channel");
    let mut wrong = Vec::new();
    for (name, package) in GRAPH.own() {
        let rust = package.rust_version.as_ref().map(ToString::to_string).unwrap_or_default();
        if !channel.starts_with(&rust) || rust.is_empty() {
            wrong.push(format!("{name}: rust-version {rust:?}, the toolchain is {channel}"));
        }
        if package.license.as_deref() != Some("Apache-2.0") {
            wrong.push(format!("{name}: licence {:?}", package.license));
        }
        if package.description.is_none() {
            wrong.push(format!("{name}: no description"));
        }
        let missing = missing_lints(&read(package.manifest_path.as_std_path()), &workspace);
        wrong.extend(missing.into_iter().map(|lint| format!("{name}: does not deny {lint}")));
    }
    none(wrong);
}

#[test]
fn lints_of_its_own_must_not_be_weaker() {
    let workspace: Table = "[workspace.lints.clippy]\npanic = 'deny'\ntodo = 'deny'".parse().expect("TOML");
    let missing = |manifest: &str| missing_lints(&manifest.parse().expect("TOML"), &workspace);
    assert!(missing("[lints]\nworkspace = true").is_empty());
    assert!(missing("[lints.clippy]\npanic = 'deny'\ntodo = 'forbid'").is_empty());
    assert_eq!(missing("[lints.clippy]\npanic = 'warn'"), ["clippy::panic", "clippy::todo"]);
    assert_eq!(missing(""), ["clippy::panic", "clippy::todo"]);
}

/// The lints of the workspace that `manifest` neither takes over nor denies by itself, as the SDK does, which is unpacked
/// beside a user's project. Those on how to write unsafe code are left out: there is none where that is denied.
fn missing_lints(manifest: &Table, workspace: &Table) -> Vec<String> {
    let own = manifest.get("lints");
    if own.and_then(|lints| lints.get("workspace")) == Some(&Value::Boolean(true)) {
        return Vec::new();
    }
    let groups = workspace["workspace"]["lints"].as_table().expect("lints").iter();
    let wanted =
        groups.flat_map(|(group, lints)| lints.as_table().expect("lints").keys().map(move |lint| (group, lint)));
    let denied = |group: &str, lint: &str| {
        let level = own.and_then(|lints| lints.get(group)?.get(lint)?.as_str());
        matches!(level, Some("deny" | "forbid"))
            || ["unsafe_op_in_unsafe_fn", "undocumented_unsafe_blocks"].contains(&lint)
    };
    wanted.filter(|(group, lint)| !denied(group, lint)).map(|(group, lint)| format!("{group}::{lint}")).collect()
}

fn rules() -> Table {
    read(&root().join("deny.toml"))
}

fn read(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A package of a lock file.
struct Locked {
    lock: String,
    name: String,
    source: Option<String>,
    has_checksum: bool,
}

/// All packages of all lock files: those of other platforms and of the guests included.
fn locked() -> Vec<Locked> {
    let mut packages = Vec::new();
    for lock in files("lock") {
        let table: Table = lock.text.parse().expect("TOML");
        for package in table["package"].as_array().expect("packages") {
            packages.push(Locked {
                lock: lock.path.clone(),
                name: package["name"].as_str().expect("a name").to_owned(),
                source: package.get("source").map(|source| source.as_str().expect("text").to_owned()),
                has_checksum: package.get("checksum").is_some(),
            });
        }
    }
    assert!(packages.len() > 100, "{} packages", packages.len());
    packages
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|item| item.as_str().expect("text")).collect()
}

fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    Expression::parse_mode(expression, ParseMode::LAX)
        .is_ok_and(|expression| expression.evaluate(|term| allowed.contains(&term.to_string().as_str())))
}
