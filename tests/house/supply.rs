//! Licences, sources and banned crates, as `deny.toml` has them. `cargo deny` reads the same file where it runs.

use super::{GRAPH, none, root};
use spdx::{Expression, ParseMode};
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
fn nothing_banned_is_used() {
    let rules = rules();
    let bans = rules["bans"]["deny"].as_array().expect("a list of bans");
    let banned: Vec<&str> = bans.iter().map(|ban| ban["crate"].as_str().expect("a name")).collect();
    assert!(banned.contains(&"openssl-sys"));
    let used = GRAPH.metadata.packages.iter().filter(|package| banned.contains(&package.name.as_str()));
    none(used.map(|package| format!("{} {} is banned", package.name, package.version)).collect());
}

#[test]
fn everything_comes_from_the_registry_or_from_here() {
    let rules = rules();
    let registries: Vec<String> = strings(&rules["sources"]["allow-registry"])
        .into_iter()
        .map(|registry| format!("registry+{registry}"))
        .collect();
    let foreign = GRAPH.metadata.packages.iter().filter(|package| match &package.source {
        Some(source) => !registries.contains(&source.repr),
        None => !package.manifest_path.starts_with(root()),
    });
    none(foreign.map(|package| format!("{} comes from {:?}", package.name, package.source)).collect());
}

#[test]
fn our_crates_say_the_same_of_themselves() {
    let toolchain = std::fs::read_to_string(root().join("rust-toolchain.toml")).expect("rust-toolchain.toml");
    let toolchain: Table = toolchain.parse().expect("TOML");
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
        let manifest: Table =
            std::fs::read_to_string(&package.manifest_path).expect("a manifest").parse().expect("TOML");
        if manifest.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)) {
            wrong.push(format!("{name}: does not take the workspace's lints"));
        }
    }
    none(wrong);
}

fn rules() -> Table {
    std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml").parse().expect("TOML")
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|item| item.as_str().expect("text")).collect()
}

fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    Expression::parse_mode(expression, ParseMode::LAX)
        .is_ok_and(|expression| expression.evaluate(|term| allowed.contains(&term.to_string().as_str())))
}
