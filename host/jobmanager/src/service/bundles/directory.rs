//! The folder of bundles, by the digest of their files. What comes in goes to a temporary file first, is made durable, and
//! gets its name last, so that a name never stands for something half-written.

use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

/// The folder.
#[derive(Debug)]
pub struct Directory {
    kept: PathBuf,
    coming: PathBuf,
}

/// A file that is coming in. Dropped before it is kept, it leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    path: PathBuf,
    file: File,
    hash: Sha256,
    size: u64,
}

/// A file that has come in as a whole and has no name yet.
#[derive(Debug)]
pub struct Arrived {
    path: PathBuf,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many.
    pub size: u64,
}

impl Directory {
    /// Opens the folder, makes it if need be, and removes what was coming in when the program ended.
    ///
    /// # Errors
    /// `LG0002`.
    pub async fn open(folder: &Path) -> Result<Self> {
        let (kept, coming) = (folder.join("sha256"), folder.join("coming"));
        let opened = async {
            match fs::remove_dir_all(&coming).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(&kept).await?;
            builder.create(&coming).await
        };
        opened.await.map_err(failed)?;
        Ok(Self { kept, coming })
    }

    /// Begins to take in a file.
    ///
    /// # Errors
    /// `LG0002`.
    pub async fn begin(&self) -> Result<Upload> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Error::new(code::INTERNAL, format!("no random numbers: {error}")))?;
        let path = self.coming.join(Digest::of(&random).hex());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).await.map_err(failed)?;
        Ok(Upload { path, file, hash: Sha256::new(), size: 0 })
    }

    /// Gives a file its name. From now on it is kept, until [`Self::remove`].
    ///
    /// # Errors
    /// `LG0002`.
    pub async fn keep(&self, arrived: &Arrived) -> Result<()> {
        let kept = async {
            fs::rename(&arrived.path, self.path(&arrived.digest)).await?;
            File::open(&self.kept).await?.sync_all().await
        };
        kept.await.map_err(failed)
    }

    /// Where a file stands.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.kept.join(digest.hex())
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// `LG0002`.
    pub async fn remove(&self, digest: &Digest) -> Result<()> {
        match fs::remove_file(self.path(digest)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// The digests of all files, at most `limit` of them.
    ///
    /// # Errors
    /// `LG0002`.
    pub async fn digests(&self, limit: usize) -> Result<Vec<Digest>> {
        let (mut folder, mut digests) = (fs::read_dir(&self.kept).await.map_err(failed)?, Vec::new());
        while let Some(entry) = folder.next_entry().await.map_err(failed)? {
            if digests.len() >= limit {
                break;
            }
            digests.extend(entry.file_name().to_str().and_then(|name| Digest::from_hex(name).ok()));
        }
        Ok(digests)
    }
}

impl Upload {
    /// Takes more bytes.
    ///
    /// # Errors
    /// `LG0303` if there are more than `most` now, `LG0002` if they cannot be written.
    pub async fn write(&mut self, bytes: &[u8], most: u64) -> Result<()> {
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.size > most {
            return Err(Error::new(code::BUNDLE_TOO_LARGE, format!("the bundle has more than {most} bytes")));
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).await.map_err(failed)
    }

    /// Ends it, durably.
    ///
    /// # Errors
    /// `LG0002`.
    pub async fn finish(mut self) -> Result<Arrived> {
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        let hash = std::mem::take(&mut self.hash);
        let path = std::mem::take(&mut self.path);
        Ok(Arrived { path, digest: Digest::from_bytes(hash.finalize().into()), size: self.size })
    }
}

impl Arrived {
    /// Where it stands until it has a name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        forget(&self.path);
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        forget(&self.path);
    }
}

/// Removes a temporary file that was not kept. What cannot be removed is at the next start.
fn forget(path: &Path) {
    if !path.as_os_str().is_empty() {
        let _ = std::fs::remove_file(path);
    }
}

fn failed(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Error::new(code::STORE_FULL, "the disk has no room for the bundle");
    }
    Error::new(code::IO, format!("the folder of bundles: {error}"))
}
