//! Reading a backup, and putting it in place.

use super::seal::{Decrypt, Identity};
use super::{BUNDLE, Contents, ENCRYPTED, END, ENTRY, Layout, MAGIC, PLAIN, failed};
use crate::audit::{Event, export};
use crate::store::{Batch, Entry, Import, Key, MAX_KEY, MAX_VALUE, Options, Sled, Store as _, StoreKey};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Result, Timestamp};
use sha2::{Digest as _, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Takes what a backup holds.
pub trait Sink {
    /// An entry of the store.
    ///
    /// # Errors
    /// Whatever makes it stop.
    fn entry(&mut self, entry: Entry) -> Result<()>;

    /// A bundle's bytes, which end where the bundle does.
    ///
    /// # Errors
    /// Whatever makes it stop.
    fn bundle(&mut self, digest: &Digest, bytes: &mut dyn Read) -> Result<()>;
}

/// Looks and keeps nothing.
impl Sink for () {
    fn entry(&mut self, _entry: Entry) -> Result<()> {
        Ok(())
    }

    fn bundle(&mut self, _digest: &Digest, bytes: &mut dyn Read) -> Result<()> {
        io::copy(bytes, &mut io::sink()).map(drop).map_err(|error| failed(&error))
    }
}

/// Reads a backup to its end and gives `sink` what it holds. Only when this returns is it known that all of it was whole.
///
/// # Errors
/// `LG1240` if it is damaged, `LG1241` if it is encrypted and `identity` does not open it, and those of the sink.
pub fn read(source: impl Read, identity: Option<&Identity>, sink: &mut dyn Sink) -> Result<Contents> {
    let mut source = BufReader::with_capacity(256 << 10, source);
    let mut head = vec![0; MAGIC.len() + 1];
    source.read_exact(&mut head).map_err(|error| failed(&error))?;
    match (head.strip_prefix(MAGIC), identity) {
        (Some([PLAIN]), _) => Reader::new(source).read(sink),
        (Some([ENCRYPTED]), Some(identity)) => Reader::new(Decrypt::new(source, identity)?).read(sink),
        (Some([ENCRYPTED]), None) => {
            Err(Error::new(code::BACKUP_LOCKED, "the backup is encrypted and no key was given"))
        }
        _ => Err(Error::new(code::BACKUP_DAMAGED, "this is no backup that this program can read")),
    }
}

/// Restores a backup as the data directory `layout`, which must be missing or empty; values are encrypted with the first of
/// `keys`, if there is one. That it was restored is recorded in its audit log.
///
/// # Errors
/// `LG1242` if there is something already, those of [`read`], `LG1220` if its audit log was changed, `LG1202` or `LG1203` if
/// the system refuses. Nothing is in place then.
pub async fn restore(
    source: impl Read + Send + 'static,
    identity: Option<Identity>,
    layout: &Layout,
    keys: Vec<StoreKey>,
    now: Timestamp,
) -> Result<Contents> {
    let target = layout.data().to_owned();
    let is_there = target.read_dir().is_ok_and(|mut entries| entries.next().is_some()) || target.is_file();
    if is_there {
        return Err(Error::new(code::RESTORE_REFUSED, format!("{} is not empty", target.display())));
    }
    let beside = Beside::make(&target)?;
    let aside = Layout::new(&beside.0);
    let options = Options { keys, ..Options::new(aside.store()) };
    let (bundles, import) = (aside.bundles(), Import::begin(&options)?);
    let contents = tokio::task::spawn_blocking(move || {
        DirBuilder::new().mode(0o700).create(&bundles).map_err(|error| unusable(&bundles, &error))?;
        let mut place = Place { import, bundles };
        let contents = read(source, identity.as_ref(), &mut place)?;
        File::open(&place.bundles)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| unusable(&place.bundles, &error))?;
        place.import.finish(contents.revision)?;
        Ok(contents)
    });
    let contents = contents.await.unwrap_or_else(|_| Err(super::broken_off()))?;
    let store = Sled::open(options)?;
    let summary = export::verify(&store, Vec::new(), &[]).await?;
    let event = Event::system(now, "store.restore", "store")
        .detail("entries", contents.entries.to_string())
        .detail("bundles", contents.bundles.to_string())
        .detail("records", summary.records.to_string());
    store.commit(Batch::default().event(event)).await?;
    store.close().await;
    drop(store);
    beside.put(&target)?;
    Ok(contents)
}

/// Where a backup is put before it is known to be whole.
struct Place {
    import: Import,
    bundles: PathBuf,
}

impl Sink for Place {
    fn entry(&mut self, entry: Entry) -> Result<()> {
        self.import.entry(&entry)
    }

    fn bundle(&mut self, digest: &Digest, bytes: &mut dyn Read) -> Result<()> {
        let path = self.bundles.join(digest.hex());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(|error| unusable(&path, &error))?;
        let mut piece = vec![0; 256 << 10];
        loop {
            // A failure of the source is another one than of the file.
            let count = bytes.read(&mut piece).map_err(|error| failed(&error))?;
            let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            file.write_all(bytes).map_err(|error| unusable(&path, &error))?;
        }
        file.sync_all().map_err(|error| unusable(&path, &error))
    }
}

/// A folder beside the target that goes away unless it takes its name.
struct Beside(PathBuf);

impl Beside {
    fn make(target: &Path) -> Result<Self> {
        let name = target.file_name().ok_or_else(|| Error::new(code::RESTORE_REFUSED, "the directory has no name"))?;
        let mut beside = name.to_owned();
        beside.push(".restoring");
        let beside = target.with_file_name(beside);
        DirBuilder::new().mode(0o700).create(&beside).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::new(
                code::RESTORE_REFUSED,
                format!("{} is there: of a restore that runs or was killed", beside.display()),
            )
            .help("if none runs, remove it"),
            _ => unusable(&beside, &error),
        })?;
        Ok(Self(beside))
    }

    fn put(self, target: &Path) -> Result<()> {
        // Takes the place of an empty directory, of nothing else.
        std::fs::rename(&self.0, target).map_err(|error| unusable(target, &error))?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| unusable(parent, &error))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Gone if it was put in place.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    let code = if error.kind() == io::ErrorKind::StorageFull { code::STORE_FULL } else { code::STORE_FAILED };
    Error::new(code, format!("{}: {error}", path.display()))
}

/// Reads the content, with its digest computed on the way.
struct Reader<R> {
    source: R,
    hash: Sha256,
}

fn damaged(why: impl Into<String>) -> Error {
    Error::new(code::BACKUP_DAMAGED, why)
}

impl<R: Read> Reader<R> {
    fn new(source: R) -> Self {
        Self { source, hash: Sha256::new() }
    }

    fn read(mut self, sink: &mut dyn Sink) -> Result<Contents> {
        let mut contents = Contents::default();
        loop {
            let [kind] = self.array()?;
            match kind {
                ENTRY => {
                    let entry = self.entry()?;
                    contents.entries = contents.entries.saturating_add(1);
                    contents.revision = contents.revision.max(entry.revision);
                    sink.entry(entry)?;
                }
                BUNDLE => {
                    let digest = Digest::from_bytes(self.array()?);
                    let length = u64::from_be_bytes(self.array()?);
                    let mut bytes = Bundle { reader: &mut self, left: length, hash: Sha256::new() };
                    sink.bundle(&digest, &mut bytes)?;
                    let (left, found) = (bytes.left, Digest::from_bytes(bytes.hash.finalize().into()));
                    if left > 0 || found != digest {
                        return Err(damaged(format!("bundle {digest} is not what was kept")));
                    }
                    contents.bundles = contents.bundles.saturating_add(1);
                }
                END => return self.end(contents),
                _ => return Err(damaged("the backup has a part of no known kind")),
            }
        }
    }

    fn entry(&mut self) -> Result<Entry> {
        let key = self.bytes(MAX_KEY)?;
        let key = Key::from_bytes(&key).ok_or_else(|| damaged("a key in the backup is malformed"))?;
        let revision = u64::from_be_bytes(self.array()?);
        Ok(Entry { key, revision, value: self.bytes(MAX_VALUE)? })
    }

    fn end(mut self, counted: Contents) -> Result<Contents> {
        let [entries, bundles, revision] = [self.array()?, self.array()?, self.array()?].map(u64::from_be_bytes);
        let contents = Contents { entries, bundles, revision };
        if (counted.entries, counted.bundles) != (entries, bundles) || counted.revision > revision {
            return Err(damaged("the backup does not hold what it says"));
        }
        let wanted = Digest::from_bytes(std::mem::take(&mut self.hash).finalize().into());
        if Digest::from_bytes(self.array()?) != wanted {
            return Err(damaged("the backup does not fit its digest"));
        }
        match self.source.read(&mut [0]).map_err(|error| failed(&error))? {
            0 => Ok(contents),
            _ => Err(damaged("something follows the backup's end")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(|error| failed(&error))?;
        self.hash.update(bytes);
        Ok(bytes)
    }

    fn bytes(&mut self, limit: usize) -> Result<Vec<u8>> {
        let length = u32::from_be_bytes(self.array()?);
        let length = usize::try_from(length).ok().filter(|length| *length <= limit);
        let mut bytes = vec![0; length.ok_or_else(|| damaged("a length in the backup is too large"))?];
        self.source.read_exact(&mut bytes).map_err(|error| failed(&error))?;
        self.hash.update(&bytes);
        Ok(bytes)
    }
}

/// A bundle's part of the stream.
struct Bundle<'a, R> {
    reader: &'a mut Reader<R>,
    left: u64,
    hash: Sha256,
}

impl<R: Read> Read for Bundle<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..room).unwrap_or_default();
        if into.is_empty() {
            return Ok(0);
        }
        let count = self.reader.source.read(into)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = into.get(..count).unwrap_or_default();
        self.reader.hash.update(bytes);
        self.hash.update(bytes);
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}
