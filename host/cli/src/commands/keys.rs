//! `lockgate keys`: secret keys in files that only their owner may read; public keys as text.

use super::Outcome;
use crate::output::{Output, pairs};
use crate::{files, keyfile};
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_core::keys::{PublicKey, SecretKey};
use serde_json::json;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

#[derive(Debug, clap::Subcommand)]
pub enum Keys {
    /// Makes a secret key; never overwrites a file.
    Generate {
        /// The file to make, readable by you alone.
        file: PathBuf,
    },
    /// Shows the public key of a key file.
    Show {
        /// The key file, or a file with a public key.
        file: PathBuf,
    },
}

impl Keys {
    pub fn run(&self, output: &Output) -> Outcome {
        match self {
            Self::Generate { file } => {
                let mut seed = Zeroizing::new([0; 32]);
                getrandom::fill(&mut *seed)
                    .map_err(|error| Error::new(code::IO, format!("the system gives no random bytes: {error}")))?;
                let key = SecretKey::from_seed(&seed);
                files::create_private(file, key.to_text().as_bytes())?;
                show(output, file, &key.public());
            }
            Self::Show { file } => show(output, file, &keyfile::public(&file.to_string_lossy())?),
        }
        Ok(())
    }
}

fn show(output: &Output, file: &Path, key: &PublicKey) {
    let value = json!({ "file": file, "public-key": key.to_string(), "key-id": key.id() });
    output.result(&value, || {
        pairs([("file", file.display().to_string()), ("public key", key.to_string()), ("key id", key.id())])
    });
}
