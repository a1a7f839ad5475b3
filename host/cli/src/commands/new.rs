//! `lockgate new`: a project that builds, passes its test and runs as it is.
//!
//! The templates and the SDK's sources are part of this binary, so that a project needs nothing but `lockgate` and Rust
//! and gets the SDK that speaks this host's contract. The sources are listed one by one: a build script or a macro that
//! walks the tree would do the same with more machinery, and a test compares the list with the tree.

use super::Outcome;
use crate::files;
use crate::output::{Output, pairs};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use serde_json::json;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Names match [a-z][a-z0-9-]{0,62}. The sources of the SDK are unpacked to .lockgate/sdk in the \
                        project; commit them with it."
)]
pub struct New {
    /// What the project is called, and with it its folder, crate, component and job.
    name: String,
    /// The project's folder, missing or empty; NAME if absent.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Where the SDK is unpacked, within a project.
const SDK_FOLDER: &str = ".lockgate/sdk";

/// A project's own files and their templates.
const TEMPLATES: &[(&str, &str)] = &[
    (".gitignore", include_str!("../../templates/gitignore.in")),
    ("Cargo.toml", include_str!("../../templates/Cargo.toml.in")),
    ("README.md", include_str!("../../templates/README.md.in")),
    ("lockgate.toml", include_str!("../../templates/lockgate.toml.in")),
    ("rust-toolchain.toml", include_str!("../../templates/rust-toolchain.toml.in")),
    ("src/lib.rs", include_str!("../../templates/lib.rs.in")),
];

/// The toolchain that a project is built with: Lockgate's own.
const TOOLCHAIN: &str = include_str!("../../../../rust-toolchain.toml");

macro_rules! sdk {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../../guest-sdk/rust/", $path)))),*]
    };
}

/// The SDK: paths as below `guest-sdk/rust`, where `sdk/wit` is a link to the contract.
const SDK: &[(&str, &str)] = sdk! {
    "README.md"
    "macros/Cargo.toml"
    "macros/src/function.rs"
    "macros/src/lib.rs"
    "macros/src/options.rs"
    "macros/src/row.rs"
    "sdk/Cargo.toml"
    "sdk/src/argument.rs"
    "sdk/src/batch.rs"
    "sdk/src/config.rs"
    "sdk/src/decimal.rs"
    "sdk/src/describe.rs"
    "sdk/src/error.rs"
    "sdk/src/guest.rs"
    "sdk/src/lib.rs"
    "sdk/src/raw.rs"
    "sdk/src/result.rs"
    "sdk/src/run.rs"
    "sdk/src/scalar.rs"
    "sdk/src/testing.rs"
    "sdk/src/time.rs"
    "sdk/src/writer.rs"
    "sdk/wit/udf.wit"
};

/// Its licence, which goes where its sources go.
const LICENCE: &str = include_str!("../../../../LICENSE");

impl New {
    pub fn run(&self, output: &Output) -> Outcome {
        let name = checked(&self.name)?;
        let folder = self.path.clone().unwrap_or_else(|| PathBuf::from(name.as_str()));
        make_empty(&folder)?;
        for (path, template) in TEMPLATES {
            files::replace(&folder.join(path), fill(template, &name).as_bytes())?;
        }
        let sdk = folder.join(SDK_FOLDER);
        for (path, text) in SDK.iter().chain(&[("LICENSE", LICENCE)]) {
            files::replace(&sdk.join(path), text.as_bytes())?;
        }
        output.result(&json!({ "name": name, "folder": folder }), || {
            let made = pairs([
                ("made", format!("project {name} in {}", folder.display())),
                ("", "src/lib.rs has the functions, lockgate.toml says what runs".to_owned()),
            ]);
            format!("{made}\nnext:\n  cd {}\n  cargo test\n{RUN}", folder.display())
        });
        Ok(())
    }
}

/// A record that the template's job takes.
const RUN: &str = "  echo '{\"item\": \"coffee\", \"price\": 3.5}' | lockgate run\n";

/// The name, if Lockgate and cargo both take it.
fn checked(text: &str) -> Result<Name> {
    let name = Name::new(text).map_err(|error| match suggestion(text) {
        Some(name) => error.help(format!("for example: lockgate new {name}")),
        None => error.help("for example: lockgate new fares"),
    })?;
    // Cargo's own rule for packages, and the crates that the project depends on.
    if RESERVED.contains(&name.as_str()) {
        let cause = format!("{text:?} means something else to cargo or Rust");
        return Err(Error::new(code::INVALID_NAME, cause).help(format!("for example: lockgate new {name}-udfs")));
    }
    Ok(name)
}

/// The nearest name, if one can be made of what is there.
fn suggestion(text: &str) -> Option<Name> {
    let part = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let near: String = text.chars().take(Name::MAX).map(part).collect();
    Name::new(near.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-')).ok()
}

const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "lockgate-sdk",
    "lockgate-sdk-macros",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Makes the folder, or takes it if it is there and empty.
fn make_empty(folder: &Path) -> Result<()> {
    let taken = |what: &str| {
        Error::new(code::FILE_EXISTS, format!("{} {what}", folder.display()))
            .help("choose another name or another folder with --path; nothing was written")
    };
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(taken("is there and not empty")),
            None => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(folder).map_err(|error| files::failed(folder, &error))
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(taken("is there and no folder")),
        Err(error) => Err(files::failed(folder, &error)),
    }
}

fn fill(template: &str, name: &Name) -> String {
    let channel = TOOLCHAIN.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
    template
        .replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
        .replace("{{sdk}}", &format!("{SDK_FOLDER}/sdk"))
        .replace("{{toolchain}}", channel.unwrap_or("stable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_whole_sdk_is_embedded() {
        fn walk(root: &Path, folder: &str, found: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
                if root.join(&path).is_dir() {
                    walk(root, &path, found);
                } else {
                    found.insert(path);
                }
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/rust");
        let mut there = BTreeSet::from(["README.md"].map(String::from));
        for folder in ["macros", "sdk"] {
            walk(&root, folder, &mut there);
        }
        // The SDK's own tests stay where it is developed.
        there.retain(|path| !path.starts_with("sdk/tests/"));
        assert_eq!(SDK.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>(), there);
    }

    #[test]
    fn every_template_is_embedded_and_filled() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), TEMPLATES.len());
        for (path, template) in TEMPLATES {
            let text = fill(template, &Name::new("my-udfs").unwrap());
            assert!(!text.contains("{{") && !text.contains("}}"), "{path}: {text}");
        }
        let toolchain = fill("{{toolchain}}", &Name::new("x").unwrap());
        assert!(toolchain.starts_with(|c: char| c.is_ascii_digit()), "{toolchain}");
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_one_that_is() {
        for (text, near) in [("My_Fares", "my-fares"), ("9lives!", "lives"), ("ä", "fares"), ("loop", "loop-udfs")] {
            let error = checked(text).unwrap_err();
            assert_eq!(error.code(), code::INVALID_NAME);
            assert!(error.help_text().unwrap().ends_with(&format!(" {near}")), "{error:?}");
        }
        assert_eq!(checked("my-fares").unwrap().as_str(), "my-fares");
    }
}
