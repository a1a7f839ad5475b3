//! Fetched bundles by digest, so that one is fetched once: bounded, the oldest go. What lies there is checked anew each
//! time, as if it had just come.

use super::client::{self, Plane};
use super::state::StateDir;
use cap_std::fs::{Dir, MetadataExt, OpenOptions, OpenOptionsExt};
use lockgate_core::bundle::ReadLimits;
use lockgate_core::error::code;
use lockgate_core::plane::path;
use lockgate_core::{Digest, Error, Name, Result};
use lockgate_http::Times;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const FOLDER: &str = "bundles";
const TEMPORARY: &str = "fetching-";
/// A bundle may be large and the way to the JobManager narrow.
const TIMES: Times =
    Times { connect: Duration::from_secs(5), stall: Duration::from_secs(30), whole: Some(Duration::from_secs(900)) };

/// The folder of fetched bundles.
#[derive(Debug)]
pub struct Bundles {
    dir: Dir,
    state: StateDir,
    max_bytes: u64,
    limits: ReadLimits,
    next: AtomicU64,
}

impl Bundles {
    /// Opens the folder; what an earlier process left half fetched goes.
    ///
    /// # Errors
    /// `LG0830`.
    pub fn open(state: &StateDir, max_bytes: u64) -> Result<Self> {
        let dir = state.folder(FOLDER)?;
        let bundles =
            Self { dir, state: state.clone(), max_bytes, limits: ReadLimits::default(), next: AtomicU64::new(0) };
        bundles.sweep().map_err(|error| bundles.failed(&error))?;
        Ok(bundles)
    }

    /// What reading one may cost.
    pub fn limits(&self) -> ReadLimits {
        self.limits
    }

    /// The bundle's file, with this very digest, at its beginning.
    ///
    /// # Errors
    /// `LG1428` if what comes is something else, `LG0830` if it cannot be kept, else as [`Plane::open`].
    pub async fn fetch(&self, plane: &Plane, tenant: &Name, digest: Digest) -> Result<File> {
        if let Some(file) = self.held(digest) {
            return Ok(file);
        }
        let temporary = format!("{TEMPORARY}{}", self.next.fetch_add(1, Ordering::Relaxed));
        let fetched = self.fetch_to(&temporary, plane, tenant, digest).await;
        if fetched.is_err() {
            drop(self.dir.remove_file(&temporary));
        }
        fetched
    }

    async fn fetch_to(&self, temporary: &str, plane: &Plane, tenant: &Name, digest: Digest) -> Result<File> {
        let failed = |error: io::Error| self.failed(&error);
        let mut options = OpenOptions::new();
        let mut file = self
            .dir
            .open_with(temporary, options.read(true).write(true).create_new(true).mode(0o600))
            .map_err(failed)?;
        let from = client::path(path::BUNDLE, &[("tenant", tenant.as_str()), ("digest", &digest.to_string())]);
        let mut answer = plane.open(&from, &TIMES).await?;
        let (mut hash, mut length) = (Sha256::new(), 0_u64);
        while let Some(chunk) = answer.chunk().await.map_err(|failure| client::failed(&from, &failure))? {
            length = length.saturating_add(chunk.len() as u64);
            if length > self.limits.total {
                let cause =
                    format!("what comes as bundle {} has more than {} bytes", digest.short(), self.limits.total);
                return Err(Error::new(code::BUNDLE_REFUSED, cause));
            }
            hash.update(&chunk);
            file.write_all(&chunk).map_err(failed)?;
        }
        let found = Digest::from_bytes(hash.finalize().into());
        if found != digest {
            let cause = format!("what came as bundle {} is {}", digest.short(), found.short());
            return Err(Error::new(code::BUNDLE_REFUSED, cause));
        }
        // Not synced: what a crash leaves half written is not of its digest, and is fetched again.
        self.dir.rename(temporary, &self.dir, digest.hex()).map_err(failed)?;
        self.evict(&digest.hex()).map_err(failed)?;
        file.rewind().map_err(failed)?;
        Ok(file.into_std())
    }

    /// The file, if it is here and still is what it was.
    fn held(&self, digest: Digest) -> Option<File> {
        let name = digest.hex();
        let mut file = self.dir.open(&name).ok()?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        let read = (&mut file).take(self.limits.total.saturating_add(1));
        match copy(read, &mut hash, &mut buffer).and_then(|()| file.rewind()) {
            Ok(()) if Digest::from_bytes(hash.finalize().into()) == digest => Some(file.into_std()),
            _ => {
                tracing::warn!(file = name, "a kept bundle is not what it was; it is fetched again");
                drop(self.dir.remove_file(&name));
                None
            }
        }
    }

    /// Removes the oldest files, but never `keep`, until the rest fits.
    fn evict(&self, keep: &str) -> io::Result<()> {
        let (mut files, mut total) = (Vec::new(), 0_u64);
        for entry in self.dir.entries()? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            let Ok(metadata) = self.dir.symlink_metadata(&name) else { continue };
            total = total.saturating_add(metadata.len());
            if name != keep && !name.starts_with(TEMPORARY) {
                files.push((metadata.mtime(), metadata.mtime_nsec(), name, metadata.len()));
            }
        }
        files.sort_unstable();
        for (_, _, name, size) in files {
            if total <= self.max_bytes {
                break;
            }
            match self.dir.remove_file(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => total = total.saturating_sub(size),
            }
        }
        Ok(())
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in self.dir.entries()? {
            let name = entry?.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(TEMPORARY)) {
                self.dir.remove_file(&name)?;
            }
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Error {
        self.state.failed(FOLDER, error)
    }
}

fn copy(mut from: impl Read, hash: &mut Sha256, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match from.read(buffer)? {
            0 => return Ok(()),
            length => hash.update(buffer.get(..length).unwrap_or_default()),
        }
    }
}
