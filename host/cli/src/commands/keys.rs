//! `lockgate keys`: secret keys in files that only their owner may read; public keys as text.

use super::Outcome;
use crate::output::{Output, pairs};
use crate::{files, keyfile};
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_core::keys::{PublicKey, SecretKey};
use lockgate_jobmanager::backup::Identity;
use lockgate_jobmanager::store::StoreKey;
use serde_json::json;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

#[derive(Debug, clap::Subcommand)]
pub enum Keys {
    /// Makes a secret key; never overwrites a file.
    Generate {
        /// The file to make, readable by you alone.
        file: PathBuf,
        /// What it is for.
        #[arg(long = "for", value_enum, default_value = "signing")]
        purpose: Purpose,
    },
    /// Shows the public key of a key file.
    Show {
        /// The key file, or a file with a public key.
        file: PathBuf,
    },
}

/// What a key is for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Purpose {
    /// Signing bundles and trust documents.
    Signing,
    /// Opening a JobManager's backups, which are encrypted to its public key.
    Backup,
    /// Encrypting a JobManager's store.
    Store,
}

impl Keys {
    pub fn run(&self, output: &Output) -> Outcome {
        match self {
            Self::Generate { file, purpose: Purpose::Backup } => {
                let identity = Identity::generate()?;
                files::create_private(file, identity.to_text().as_bytes())?;
                let public = identity.recipient().to_string();
                let value = json!({ "file": file, "public-key": public });
                output.result(&value, || pairs([("file", file.display().to_string()), ("public key", public.clone())]));
            }
            Self::Generate { file, purpose: Purpose::Store } => {
                let key = StoreKey::generate()?;
                files::create_private(file, key.to_text().as_bytes())?;
                let id = key.id().to_string();
                let value = json!({ "file": file, "key-id": id });
                output.result(&value, || pairs([("file", file.display().to_string()), ("key id", id.clone())]));
            }
            Self::Generate { file, purpose: Purpose::Signing } => {
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
