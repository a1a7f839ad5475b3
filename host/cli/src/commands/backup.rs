//! `lockgate backup` and `lockgate restore`: all that a JobManager keeps as one file, and back.
//!
//! They work on the data directory of a JobManager that does not run: one that runs has the store locked, and makes its
//! backups itself (`--server`) while it goes on.

use super::Outcome;
use super::remote::{Remote, Target};
use crate::client::Request;
use crate::files;
use crate::output::{Output, pairs};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_jobmanager::backup::{self, Contents, Identity, Layout, Recipient};
use lockgate_jobmanager::bundles::Bundles;
use lockgate_jobmanager::store::{Options, Sled, Store as _, StoreKey};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

/// A JobManager: its data directory while it does not run, or itself while it does.
#[derive(Debug, clap::Args)]
pub struct Origin {
    /// The data directory of a JobManager that does not run.
    #[arg(long, value_name = "DIR", required_unless_present = "server", conflicts_with = "server")]
    data: Option<PathBuf>,
    /// A file with the key that encrypts the store's values; a second one for the key that it replaces.
    #[arg(long, value_name = "FILE", requires = "data")]
    store_key: Vec<PathBuf>,
    /// Ask a JobManager that runs.
    #[arg(long)]
    server: bool,
    /// Which one; the context in use if not given.
    #[arg(long, value_name = "NAME", env = "LOCKGATE_CONTEXT")]
    context: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Backup {
    #[command(flatten)]
    from: Origin,
    /// The file to make.
    file: PathBuf,
    /// Encrypt it to this public key (`lockgate keys generate --for backup`), so that only the secret key opens it.
    #[arg(long, value_name = "KEY")]
    recipient: Option<Recipient>,
}

#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup.
    file: PathBuf,
    /// The data directory to make; it must be missing or empty. Without it the backup is only checked.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The file of the secret key that the backup was encrypted to.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Encrypt the restored store's values with the key in this file.
    #[arg(long, value_name = "FILE", requires = "data")]
    store_key: Option<PathBuf>,
}

impl Origin {
    /// The JobManager that runs, if it is one.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub fn server(&self) -> Result<Option<Remote>> {
        self.server.then(|| Target::of(self.context.clone()).open()).transpose()
    }

    fn layout(&self) -> Result<Layout> {
        let none = || Error::new(code::USAGE, "neither --data nor --server says which JobManager is meant");
        self.data.as_ref().map(Layout::new).ok_or_else(none)
    }

    /// Opens the store that is there.
    pub fn open(&self) -> Result<Sled> {
        let layout = self.layout()?;
        if !layout.store().is_dir() {
            let missing = std::io::Error::from(ErrorKind::NotFound);
            return Err(files::failed(&layout.store(), &missing).help("--data wants a JobManager's data directory"));
        }
        let keys = self.store_key.iter().map(|path| StoreKey::read(path)).collect::<Result<_>>()?;
        Sled::open(Options { keys, ..Options::new(layout.store()) })
    }
}

impl Backup {
    pub fn run(&self, output: &Output) -> Outcome {
        match self.from.server()? {
            Some(remote) => self.fetch(&remote, output),
            None => self.write(output),
        }
    }

    /// Of a JobManager that runs.
    fn fetch(&self, remote: &Remote, output: &Output) -> Outcome {
        let path = &self.file;
        let none = || Error::new(code::USAGE, "a backup leaves a JobManager encrypted only: add `--recipient KEY`");
        let recipient = self.recipient.as_ref().ok_or_else(none)?;
        let request = Request::post("/api/v1/backup").json(&json!({ "recipient": recipient.to_string() }));
        let mut file = create(path)?;
        let written = runtime()?.block_on(remote.client.download(&request, &mut file));
        let synced = written.and_then(|_| {
            let bytes = file.sync_all().and_then(|()| file.metadata()).map_err(|error| files::failed(path, &error))?;
            Ok(bytes.len())
        });
        let bytes = synced.inspect_err(|_| {
            // Half a backup would only be found to be none when it is needed.
            let _ = std::fs::remove_file(path);
        })?;
        output.result(&json!({ "written": path, "bytes": bytes }), || {
            pairs([("written", path.display().to_string()), ("bytes", bytes.to_string())])
        });
        Ok(())
    }

    /// Of a data directory.
    fn write(&self, output: &Output) -> Outcome {
        let path = &self.file;
        let store = self.from.open()?;
        let bundles = Bundles::open(self.from.layout()?.bundles(), 0)?;
        let file = create(path)?;
        let written = runtime()?.block_on(async {
            let written = backup::write(&store, &bundles, self.recipient.as_ref(), file).await;
            store.close().await;
            written
        });
        let synced = written.and_then(|(contents, file)| {
            file.sync_all().map_err(|error| files::failed(path, &error))?;
            Ok(contents)
        });
        let contents = synced.inspect_err(|_| {
            let _ = std::fs::remove_file(path);
        })?;
        show(output, "written", path, &contents);
        if self.recipient.is_none() {
            output.note("the backup is not encrypted: whoever reads the file reads everything");
        }
        Ok(())
    }
}

impl Restore {
    pub fn run(&self, output: &Output) -> Outcome {
        let identity = self.key.as_deref().map(identity).transpose()?;
        let file = File::open(&self.file).map_err(|error| files::failed(&self.file, &error))?;
        let Some(data) = &self.data else {
            let contents = backup::read(file, identity.as_ref(), &mut ())?;
            show(output, "whole", &self.file, &contents);
            return Ok(());
        };
        let keys = self.store_key.iter().map(|path| StoreKey::read(path)).collect::<Result<_>>()?;
        let layout = Layout::new(data);
        let contents = runtime()?.block_on(backup::restore(file, identity, &layout, keys, files::now()))?;
        show(output, "restored", data, &contents);
        Ok(())
    }
}

fn show(output: &Output, what: &'static str, path: &Path, contents: &Contents) {
    let value = json!({ what: path, "entries": contents.entries, "bundles": contents.bundles });
    output.result(&value, || {
        pairs([
            (what, path.display().to_string()),
            ("entries", contents.entries.to_string()),
            ("bundles", contents.bundles.to_string()),
        ])
    });
}

/// A new file that only its owner may read.
fn create(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(code::FILE_EXISTS, format!("{} is there already", path.display())),
        _ => files::failed(path, &error),
    })
}

/// The secret key of a backup, in a file that nobody else may read.
fn identity(path: &Path) -> Result<Identity> {
    let file = File::open(path).map_err(|error| files::failed(path, &error))?;
    let mode = file.metadata().map_err(|error| files::failed(path, &error))?.mode();
    if mode & 0o077 != 0 {
        let cause = format!("key file {} has mode {:o}: others may read it", path.display(), mode & 0o777);
        return Err(Error::new(code::KEY_FILE_EXPOSED, cause));
    }
    let bytes = Zeroizing::new(files::read_open(file, path, 4_096)?);
    Identity::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| error.at(path.display().to_string()))
}

/// A runtime for one command.
pub fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(code::IO, format!("no runtime: {error}")))
}
