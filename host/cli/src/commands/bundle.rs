//! `lockgate bundle`: bundles on a JobManager, each known by the digest of its file.

use super::Outcome;
use super::remote::{Narrow, Remote, Target, block, confirm, fields};
use crate::client::Request;
use crate::files;
use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use lockgate_core::{Digest, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub enum Bundle {
    /// Uploads a bundle, unless it is there already.
    Upload {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Shows a tenant's bundles.
    List {
        #[command(flatten)]
        narrow: Narrow,
        #[command(flatten)]
        target: Target,
    },
    /// Shows what is signed of a bundle.
    Show {
        /// Its digest, sha256:...
        digest: Digest,
        #[command(flatten)]
        target: Target,
    },
    /// Deletes a bundle that no job needs.
    Delete {
        /// Its digest, sha256:...
        digest: Digest,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        target: Target,
    },
}

const ROWS: &[(&str, &str)] = &[
    ("digest", "digest"),
    ("job", "job"),
    ("version", "version"),
    ("kind", "kind"),
    ("size", "size"),
    ("expires", "expires"),
    ("uploaded", "uploaded"),
    ("by", "uploaded-by"),
    ("touches", "touches"),
    ("newly", "adds"),
    ("parallelism", "parallelism"),
    ("parameters", "parameters"),
];

impl Bundle {
    pub fn run(&self, output: &Output) -> Outcome {
        block(self.go(output))
    }

    async fn go(&self, output: &Output) -> Outcome {
        match self {
            Self::Upload { file, target } => {
                let remote = target.open()?;
                let (bundle, uploaded) = upload(&remote, file, output).await?;
                let value = json!({ "uploaded": uploaded, "bundle": bundle });
                output.result(&value, || {
                    let what = if uploaded { "uploaded\n" } else { "is there already\n" };
                    what.to_owned() + &fields(&bundle, ROWS)
                });
                Ok(())
            }
            Self::List { narrow, target } => {
                let remote = target.open()?;
                let columns = [
                    ("job", "job"),
                    ("version", "version"),
                    ("size", "size"),
                    ("expires", "expires"),
                    ("digest", "digest"),
                ];
                narrow.show((&remote, output), &remote.of_tenant(&["bundles"])?, Vec::new(), &columns).await
            }
            Self::Show { digest, target } => {
                let remote = target.open()?;
                let path = remote.of_tenant(&["bundles", &digest.to_string()])?;
                let bundle = remote.client.send(&Request::get(&path)).await?.body;
                output.result(&bundle, || fields(&bundle, ROWS));
                Ok(())
            }
            Self::Delete { digest, yes, target } => {
                let remote = target.open()?;
                confirm(*yes, &format!("delete bundle {}?", digest.short()))?;
                let path = remote.of_tenant(&["bundles", &digest.to_string()])?;
                remote.client.send(&Request::delete(&path)).await?;
                output.result(&json!({ "deleted": digest }), || format!("deleted bundle {digest}"));
                Ok(())
            }
        }
    }
}

/// Uploads a bundle unless it is there; what the JobManager says of it, and whether it was new.
///
/// # Errors
/// `LG0002` if the file cannot be read, what the JobManager refuses otherwise.
pub async fn upload(remote: &Remote, file: &Path, output: &Output) -> Result<(Value, bool)> {
    let (digest, size) = digest_of(file)?;
    let path = remote.of_tenant(&["bundles", &digest.to_string()])?;
    if let Some(answer) = remote.client.find(&path).await? {
        return Ok((answer.body, false));
    }
    let bar = if output.is_text() { ProgressBar::new(size) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}") {
        bar.set_style(style);
    }
    let sent = remote.client.send(&Request::put(&path).bundle(file, size, bar.clone())).await;
    bar.finish_and_clear();
    Ok((sent?.body, true))
}

/// The digest and the size of a file, which may be larger than memory.
fn digest_of(path: &Path) -> Result<(Digest, u64)> {
    let failed = |error: std::io::Error| files::failed(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hasher, mut size, mut chunk) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let count = file.read(&mut chunk).map_err(failed)?;
        let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        size += count as u64;
    }
    Ok((Digest::from_bytes(hasher.finalize().into()), size))
}
