//! `lockgate new`: a project that builds and passes its test as it is. Templates and the SDK's sources are compiled in,
//! so that a project needs nothing but this command and Rust.

use super::Outcome;
use crate::files;
use crate::output::{Output, pairs};
use lockgate_core::error::code;
use lockgate_core::{Error, Name};
use serde_json::json;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct New {
    /// The project's name, which its folder, component and job get.
    name: Name,
    /// The folder in which the project's own is made; the current one if absent.
    #[arg(long, value_name = "DIR", default_value = ".")]
    within: PathBuf,
}

macro_rules! embed {
    ($root:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!($root, $path)))),*]
    };
}

/// The SDK's sources, unpacked below `.lockgate/sdk`.
const SDK: &[(&str, &str)] = embed! {
    "../../../../guest-sdk/rust/":
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

/// The project's own files: template and path.
const TEMPLATES: &[(&str, &str)] = &[
    (include_str!("../../templates/Cargo.toml.in"), "Cargo.toml"),
    (include_str!("../../templates/lib.rs.in"), "src/lib.rs"),
    (include_str!("../../templates/lockgate.toml.in"), "lockgate.toml"),
    (include_str!("../../templates/README.md.in"), "README.md"),
    (include_str!("../../templates/gitignore.in"), ".gitignore"),
    (include_str!("../../templates/rust-toolchain.toml.in"), "rust-toolchain.toml"),
];

/// The toolchain that Lockgate itself is built with.
const TOOLCHAIN: &str = include_str!("../../../../rust-toolchain.toml");

impl New {
    pub fn run(&self, output: &Output) -> Outcome {
        let folder = self.within.join(self.name.as_str());
        std::fs::create_dir(&folder).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::new(code::FILE_EXISTS, format!("{} is there already", folder.display()))
                .help("choose another name, or move the folder away yourself"),
            _ => files::failed(&folder, &error),
        })?;
        for (template, path) in TEMPLATES {
            files::replace(&folder.join(path), fill(template, &self.name).as_bytes())?;
        }
        for (path, text) in SDK {
            files::replace(&folder.join(".lockgate/sdk").join(path), text.as_bytes())?;
        }
        output.result(&json!({ "folder": folder }), || made(&folder));
        Ok(())
    }
}

fn made(folder: &Path) -> String {
    let enter = format!("cd {} && cargo test", folder.display());
    pairs([("made", folder.display().to_string()), ("next", enter)])
}

fn fill(template: &str, name: &Name) -> String {
    let channel = TOOLCHAIN.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
    template
        .replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
        .replace("{{sdk}}", ".lockgate/sdk/sdk")
        .replace("{{toolchain}}", channel.unwrap_or("stable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A source file that the SDK gains must come along, or new projects do not build.
    #[test]
    fn the_whole_sdk_is_compiled_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/rust");
        let mut there = BTreeSet::from(["README.md", "macros/Cargo.toml", "sdk/Cargo.toml"].map(String::from));
        for folder in ["macros/src", "sdk/src", "sdk/wit"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                there.insert(format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()));
            }
        }
        assert_eq!(SDK.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>(), there);
    }

    #[test]
    fn every_template_is_filled() {
        for (template, path) in TEMPLATES {
            let text = fill(template, &Name::new("my-udfs").unwrap());
            assert!(!text.contains("{{") && !text.contains("}}"), "{path}");
        }
        assert!(fill("{{toolchain}}", &Name::new("x").unwrap()).starts_with("1."));
    }
}
