//! Uploaded bundles: files named by their digest.
//!
//! An upload goes to a temporary file in the same folder while its digest is computed and its length counted, a piece at a
//! time while the next one comes. When it is complete it can be read and checked ([`Staged::file`]) before it is kept: synced, renamed to its digest, the folder
//! synced. Whatever is dropped before that leaves nothing behind, and what a killed process left is removed when the
//! folder is opened.
//!
//! Nothing refers to a bundle before the store says so, so a bundle must outlive the time from its upload to that commit:
//! [`Bundles::sweep`] spares what was uploaded or [claimed](Bundles::claim) within a grace.

use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;

/// The folder of bundles. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bundles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    reserve: u64,
    /// Held while files are claimed or swept, so that none goes between a look and the deed.
    claims: Mutex<()>,
}

/// What temporary files begin with; no digest does.
const TEMPORARY: &str = ".upload-";

/// Bytes are hashed and written in pieces of this size, on a thread that may block.
const PIECE: usize = 256 << 10;

impl Bundles {
    /// Opens `folder`, made with mode 0700 if it is missing, and removes what unfinished uploads left there. Uploads are
    /// refused while fewer than `reserve` bytes are free.
    ///
    /// # Errors
    /// `LG1203` if the system refuses.
    pub fn open(folder: impl Into<PathBuf>, reserve: u64) -> Result<Self> {
        let folder = folder.into();
        let failed = |error: io::Error| failed(&folder, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(Self(Arc::new(Shared { folder, reserve, claims: Mutex::default() })))
    }

    /// Begins an upload of at most `limit` bytes.
    ///
    /// # Errors
    /// `LG1202` if the disk is full, `LG1203` if the system refuses.
    pub async fn begin(&self, limit: u64) -> Result<Upload> {
        let bundles = self.clone();
        blocking(move || {
            bundles.check_room()?;
            let mut name = [0_u8; 16];
            getrandom::fill(&mut name).map_err(|error| failed(&bundles.0.folder, &io::Error::other(error)))?;
            let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
            let path = bundles.0.folder.join(format!("{TEMPORARY}{name}"));
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
            let file = file.map_err(|error| failed(&path, &error))?;
            let temporary = Temporary(path);
            let sink = Sink { file, hash: Sha256::new(), length: 0 };
            let (buffer, spare) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
            Ok(Upload { bundles, temporary, limit, work: Work::Rests(sink, spare), buffer, taken: 0 })
        })
        .await
    }

    /// The file of a bundle and its length.
    ///
    /// # Errors
    /// `LG1230` if there is none, `LG1203` if it cannot be read.
    pub fn file(&self, digest: &Digest) -> Result<(File, u64)> {
        let path = self.path(digest);
        let opened = File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
        opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(code::BUNDLE_LOST, format!("bundle {digest} is not there")),
            _ => failed(&path, &error),
        })
    }

    /// Whether there is such a bundle; if so, it is spared for a grace from now on, as if it had just been uploaded.
    ///
    /// # Errors
    /// `LG1203` if the system refuses.
    pub fn claim(&self, digest: &Digest) -> Result<bool> {
        let _claims = self.0.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(digest);
        match OpenOptions::new().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now())) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// All bundles that are there.
    ///
    /// # Errors
    /// `LG1203` if the folder cannot be read.
    pub fn list(&self) -> Result<BTreeSet<Digest>> {
        let failed = |error: io::Error| failed(&self.0.folder, &error);
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(&self.0.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            found.extend(name.to_str().and_then(|name| Digest::from_hex(name).ok()));
        }
        Ok(found)
    }

    /// Removes what is not among `referenced` and was not uploaded or claimed within `grace`, which must be longer than any
    /// time from an upload to the commit that refers to it. The set must be read from the store before this call.
    ///
    /// # Errors
    /// `LG1203` if the system refuses.
    pub fn sweep(&self, referenced: &BTreeSet<Digest>, grace: Duration) -> Result<Vec<Digest>> {
        let mut removed = Vec::new();
        for digest in self.list()?.into_iter().filter(|digest| !referenced.contains(digest)) {
            let path = self.path(&digest);
            let _claims = self.0.claims.lock().unwrap_or_else(PoisonError::into_inner);
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            let modified = modified.map_err(|error| failed(&path, &error))?;
            // A time in the future is no age: such a file stays.
            if modified.elapsed().is_ok_and(|age| age > grace) {
                std::fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
                removed.push(digest);
            }
        }
        Ok(removed)
    }

    /// Reads a bundle whole and compares it with its digest; its length.
    ///
    /// # Errors
    /// `LG1230` if it is missing or another one.
    pub fn check(&self, digest: &Digest) -> Result<u64> {
        let (mut file, _) = self.file(digest)?;
        let (mut hash, mut length, mut piece) = (Sha256::new(), 0_u64, vec![0; PIECE]);
        loop {
            let count = file.read(&mut piece).map_err(|error| failed(&self.path(digest), &error))?;
            let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            hash.update(bytes);
            length = length.saturating_add(count as u64);
        }
        if Digest::from_bytes(hash.finalize().into()) == *digest {
            return Ok(length);
        }
        Err(Error::new(code::BUNDLE_LOST, format!("the file of bundle {digest} holds something else")))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.folder.join(digest.hex())
    }

    fn check_room(&self) -> Result<()> {
        let found = rustix::fs::statvfs(&self.0.folder).map_err(|error| failed(&self.0.folder, &error.into()))?;
        if found.f_bavail.saturating_mul(found.f_frsize) >= self.0.reserve {
            return Ok(());
        }
        Err(Error::new(code::STORE_FULL, "the disk has no room for a bundle beside its reserve"))
    }
}

/// An upload under way. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    bundles: Bundles,
    temporary: Temporary,
    limit: u64,
    work: Work,
    buffer: Vec<u8>,
    taken: u64,
}

/// What becomes of the pieces of an upload: while one is hashed and written, the next one comes over the network.
#[derive(Debug)]
enum Work {
    /// Nothing is under way: where the next piece goes, and the buffer for the one after it.
    Rests(Sink, Vec<u8>),
    /// A piece is being written; both come back with it.
    Writes(JoinHandle<Result<(Sink, Vec<u8>)>>),
    /// One could not be written, or that was broken off.
    Ended,
}

#[derive(Debug)]
struct Sink {
    file: File,
    hash: Sha256,
    length: u64,
}

impl Upload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// `LG0303` if there are more than the limit, `LG1202` if the disk is full, `LG1203` if the system refuses.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.taken = self.taken.saturating_add(bytes.len() as u64);
        if self.taken > self.limit {
            let cause = format!("the upload has more than {} bytes", self.limit);
            return Err(Error::new(code::BUNDLE_TOO_LARGE, cause));
        }
        while !bytes.is_empty() {
            let room = PIECE.saturating_sub(self.buffer.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= PIECE {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Ends the upload: what was taken can be read and checked now, and kept or dropped.
    ///
    /// # Errors
    /// `LG0306` if its digest is not the `expected` one, otherwise as [`Upload::write`].
    pub async fn complete(mut self, expected: Option<&Digest>) -> Result<Staged> {
        self.flush().await?;
        let (Sink { file, hash, length }, _) = self.rest().await?;
        let digest = Digest::from_bytes(hash.finalize().into());
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            let cause = format!("the upload has the digest {digest}, announced was {expected}");
            return Err(Error::new(code::DIGEST_MISMATCH, cause));
        }
        Ok(Staged { bundles: self.bundles, temporary: self.temporary, file, digest, length })
    }

    /// Begins to write what was taken, once what came before it is written.
    async fn flush(&mut self) -> Result<()> {
        let (mut sink, spare) = self.rest().await?;
        let (mut buffer, bundles) = (std::mem::replace(&mut self.buffer, spare), self.bundles.clone());
        self.work = Work::Writes(tokio::task::spawn_blocking(move || {
            bundles.check_room()?;
            sink.hash.update(&buffer);
            sink.length = sink.length.saturating_add(buffer.len() as u64);
            sink.file.write_all(&buffer).map_err(|error| failed(&bundles.0.folder, &error))?;
            buffer.clear();
            Ok((sink, buffer))
        }));
        Ok(())
    }

    /// Waits until nothing is under way, and takes what was written and an empty buffer.
    async fn rest(&mut self) -> Result<(Sink, Vec<u8>)> {
        match std::mem::replace(&mut self.work, Work::Ended) {
            Work::Rests(sink, spare) => Ok((sink, spare)),
            Work::Writes(writing) => writing.await.unwrap_or_else(|_| Err(broken_off())),
            Work::Ended => Err(broken_off()),
        }
    }
}

/// A complete upload that is not kept yet. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    bundles: Bundles,
    temporary: Temporary,
    file: File,
    digest: Digest,
    length: u64,
}

impl Staged {
    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Its bytes, from the beginning, to be checked before it is kept.
    ///
    /// # Errors
    /// `LG1203` if it cannot be read.
    pub fn file(&self) -> Result<File> {
        File::open(&self.temporary.0).map_err(|error| failed(&self.temporary.0, &error))
    }

    /// Sees to it that it is on the disk: while it is checked, since [`Staged::keep`] waits for that.
    ///
    /// # Errors
    /// `LG1202` or `LG1203` if the system refuses.
    pub fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (file, path) = (self.file.try_clone(), self.temporary.0.clone());
        blocking(move || file.and_then(|file| file.sync_all()).map_err(|error| failed(&path, &error)))
    }

    /// Keeps it for good, under its digest. If it is there already, this is one and the same.
    ///
    /// # Errors
    /// `LG1202` or `LG1203` if the system refuses.
    pub async fn keep(self) -> Result<Digest> {
        blocking(move || {
            let path = self.bundles.path(&self.digest);
            let failed = |error: io::Error| failed(&path, &error);
            self.file.sync_all().map_err(failed)?;
            let _claims = self.bundles.0.claims.lock().unwrap_or_else(PoisonError::into_inner);
            self.file.set_modified(SystemTime::now()).map_err(failed)?;
            std::fs::rename(&self.temporary.0, &path).map_err(failed)?;
            File::open(&self.bundles.0.folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            Ok(self.digest)
        })
        .await
    }
}

/// A file that goes with its owner, unless it was renamed.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone if it was kept; otherwise the next start removes what cannot be removed now.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(broken_off()))
}

fn broken_off() -> Error {
    Error::new(code::STORE_FAILED, "an upload was broken off")
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let code = if full { code::STORE_FULL } else { code::STORE_FAILED };
    Error::new(code, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, Bundles) {
        let folder = tempfile::tempdir().unwrap();
        let bundles = Bundles::open(folder.path().join("bundles"), 0).unwrap();
        (folder, bundles)
    }

    fn names(bundles: &Bundles) -> Vec<String> {
        let entries = std::fs::read_dir(&bundles.0.folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn upload(bundles: &Bundles, content: &[u8]) -> Result<Digest> {
        let mut upload = bundles.begin(1 << 20).await?;
        for piece in content.chunks(100_000) {
            upload.write(piece).await?;
        }
        upload.complete(None).await?.keep().await
    }

    #[tokio::test]
    async fn what_is_kept_has_its_digest_for_a_name() {
        let (_folder, bundles) = open();
        for content in [vec![], b"small".to_vec(), vec![7; 700_000]] {
            let digest = upload(&bundles, &content).await.unwrap();
            assert_eq!(digest, Digest::of(&content));
            assert_eq!(bundles.check(&digest).unwrap(), content.len() as u64);
            let mut found = Vec::new();
            bundles.file(&digest).unwrap().0.read_to_end(&mut found).unwrap();
            assert_eq!(found, content);
            assert_eq!(upload(&bundles, &content).await.unwrap(), digest, "twice is once");
        }
        assert_eq!(names(&bundles).len(), 3);
        assert_eq!(bundles.file(&Digest::of(b"other")).unwrap_err().code(), code::BUNDLE_LOST);
    }

    #[tokio::test]
    async fn what_is_not_kept_leaves_nothing_behind() {
        let (_folder, bundles) = open();
        let mut large = bundles.begin(10).await.unwrap();
        large.write(&[0; 10]).await.unwrap();
        assert_eq!(large.write(&[0]).await.unwrap_err().code(), code::BUNDLE_TOO_LARGE);
        drop(large);
        let mut other = bundles.begin(10).await.unwrap();
        other.write(b"content").await.unwrap();
        let error = other.complete(Some(&Digest::of(b"announced"))).await.unwrap_err();
        assert_eq!(error.code(), code::DIGEST_MISMATCH);
        let mut dropped = bundles.begin(10).await.unwrap();
        dropped.write(b"content").await.unwrap();
        let staged = dropped.complete(Some(&Digest::of(b"content"))).await.unwrap();
        let mut text = String::new();
        staged.file().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), staged.length()), ("content", 7));
        assert_eq!(names(&bundles).len(), 1);
        drop(staged);
        assert!(names(&bundles).is_empty());
    }

    #[tokio::test]
    async fn what_a_piece_failed_with_is_told_and_nothing_is_kept() {
        let (_folder, bundles) = open();
        let failing =
            || tokio::task::spawn_blocking(|| Err(Error::new(code::STORE_FULL, "the disk has no room for a piece")));
        let begun = async || {
            let mut upload = bundles.begin(10 << 20).await.unwrap();
            upload.write(&vec![1; PIECE]).await.unwrap();
            upload.work = Work::Writes(failing());
            upload
        };
        assert_eq!(begun().await.complete(None).await.unwrap_err().code(), code::STORE_FULL);
        let mut upload = begun().await;
        assert_eq!(upload.write(&vec![2; PIECE]).await.unwrap_err().code(), code::STORE_FULL);
        // Whoever goes on all the same does not get a file with a hole.
        assert!(upload.write(&vec![3; PIECE]).await.is_err());
        assert!(upload.complete(None).await.is_err());
        assert!(names(&bundles).is_empty());
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_removed_at_start() {
        let (folder, bundles) = open();
        let kept = upload(&bundles, b"kept").await.unwrap();
        std::fs::write(bundles.0.folder.join(format!("{TEMPORARY}0123")), "half").unwrap();
        let bundles = Bundles::open(folder.path().join("bundles"), 0).unwrap();
        assert_eq!(names(&bundles), [kept.hex()]);
    }

    #[tokio::test]
    async fn only_what_nobody_refers_to_is_swept_and_only_after_a_grace() {
        let (_folder, bundles) = open();
        let [a, b, c] = [
            upload(&bundles, b"a").await.unwrap(),
            upload(&bundles, b"b").await.unwrap(),
            upload(&bundles, b"c").await.unwrap(),
        ];
        let hour = Duration::from_secs(3_600);
        assert!(bundles.sweep(&BTreeSet::new(), hour).unwrap().is_empty(), "an upload in flight was removed");
        for digest in [a, b, c] {
            let file = OpenOptions::new().write(true).open(bundles.path(&digest)).unwrap();
            file.set_modified(SystemTime::now() - 2 * hour).unwrap();
        }
        assert!(bundles.claim(&b).unwrap() && !bundles.claim(&Digest::of(b"none")).unwrap());
        assert_eq!(bundles.sweep(&BTreeSet::from([a]), hour).unwrap(), [c], "a is referred to, b was claimed");
        assert_eq!(bundles.list().unwrap(), BTreeSet::from([a, b]));
        // Uploaded again, it is as fresh as a new one.
        let file = OpenOptions::new().write(true).open(bundles.path(&b)).unwrap();
        file.set_modified(SystemTime::now() - 2 * hour).unwrap();
        upload(&bundles, b"b").await.unwrap();
        assert!(bundles.sweep(&BTreeSet::from([a]), hour).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_file_that_was_changed_is_found() {
        let (_folder, bundles) = open();
        let digest = upload(&bundles, b"content").await.unwrap();
        std::fs::write(bundles.path(&digest), "contenT").unwrap();
        assert_eq!(bundles.check(&digest).unwrap_err().code(), code::BUNDLE_LOST);
    }

    #[tokio::test]
    async fn below_the_reserve_uploads_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = Bundles::open(folder.path(), 1 << 60).unwrap();
        assert_eq!(bundles.begin(10).await.unwrap_err().code(), code::STORE_FULL);
    }
}
