//! `lockgate bundle`: bundles on a JobManager, each known by the digest of its file: uploaded, shown, fetched and deleted.

use super::Outcome;
use super::remote::{Narrow, Remote, Target, block, confirm, fields};
use crate::client::{Request, malformed};
use crate::files;
use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Name, Result, human};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read as _, Write};
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
    /// Fetches a bundle's file; what does not fit the digest is not left.
    Download {
        /// Its digest, sha256:...
        digest: Digest,
        /// The file to make, JOB.VERSION.lgb of this folder if not given.
        #[arg(long, short = 'o', value_name = "FILE")]
        to: Option<PathBuf>,
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
            Self::Download { digest, to, target } => {
                let remote = target.open()?;
                let path = remote.of_tenant(&["bundles", &digest.to_string()])?;
                let bundle = remote.client.send(&Request::get(&path)).await?.body;
                let size = bundle.get("size").and_then(Value::as_u64);
                let size = size.ok_or_else(|| malformed("what the JobManager says of the bundle has no size"))?;
                let to = to.clone().map_or_else(|| named(&bundle), Ok)?;
                let bar = progress(size, output);
                let request = Request::get(&(path + "/content"));
                let mut file = Download::begin(&to, size, bar.clone())?;
                let fetched = remote.client.download(&request, &mut file).await;
                bar.finish_and_clear();
                fetched.and_then(|_| file.finish(digest))?;
                output.result(&json!({ "written": to, "digest": digest, "size": size }), || {
                    format!("wrote {} of {}", to.display(), human::bytes(size))
                });
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
    let bar = progress(size, output);
    let sent = remote.client.send(&Request::put(&path).bundle(file, size, bar.clone())).await;
    bar.finish_and_clear();
    Ok((sent?.body, true))
}

fn progress(size: u64, output: &Output) -> ProgressBar {
    let bar = if output.is_text() { ProgressBar::new(size) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar
}

/// What a bundle's file is called if nobody says. The JobManager's words are no path until they have been checked.
fn named(bundle: &Value) -> Result<PathBuf> {
    let job = Name::new(bundle.get("job").and_then(Value::as_str).unwrap_or_default());
    let (Ok(job), Some(version)) = (job, bundle.get("version").and_then(Value::as_u64)) else {
        return Err(malformed("what the JobManager says of the bundle names no job and version"));
    };
    Ok(PathBuf::from(format!("{job}.{version}.lgb")))
}

/// A file that comes: of a known size, under another name until its digest is known to be right.
struct Download {
    to: PathBuf,
    new: files::New,
    hasher: Sha256,
    left: u64,
    bar: ProgressBar,
}

impl Download {
    fn begin(to: &Path, size: u64, bar: ProgressBar) -> Result<Self> {
        Ok(Self { to: to.to_owned(), new: files::New::create(to)?, hasher: Sha256::new(), left: size, bar })
    }

    fn finish(self, digest: &Digest) -> Result<()> {
        let found = Digest::from_bytes(self.hasher.finalize().into());
        if self.left > 0 || found != *digest {
            let cause = format!("what came for {} is not that: it has the digest {found}", self.to.display());
            let help = "nothing was written; upload the bundle again, its file at the JobManager is damaged";
            return Err(Error::new(code::DIGEST_MISMATCH, cause).help(help));
        }
        self.new.keep()
    }
}

impl Write for Download {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len() as u64;
        self.left =
            self.left.checked_sub(count).ok_or_else(|| std::io::Error::other("more came than was announced"))?;
        self.new.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bar.inc(count);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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
