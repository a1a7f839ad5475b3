//! Small files that survive a crash: replaced as a whole, checksummed, locked.
//!
//! A file is written under a temporary name, synced, renamed over the old one, and the folder is synced: after a crash at
//! any point there is the old content or the new. The checksum tells a damaged file from a good one; it is no protection
//! from whoever can write the file.

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, MetadataExt, OpenOptions, OpenOptionsExt};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// What [`replace`] has done. Tests stop it in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The new content is in the temporary file.
    Written,
    /// And on the disk.
    Synced,
    /// And has its name.
    Renamed,
    /// For good.
    Durable,
}

/// Replaces `name` in `dir` by `bytes`. The caller holds the lock. After an error either content may be what is found
/// next time.
pub(crate) fn replace<E: From<io::Error>>(
    dir: &Dir,
    name: &str,
    bytes: &[u8],
    reached: &mut dyn FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    let temporary = format!(".{name}.tmp");
    let mut file = dir.open_with(&temporary, OpenOptions::new().write(true).create(true).truncate(true).mode(0o600))?;
    file.write_all(bytes)?;
    reached(Step::Written)?;
    file.sync_all()?;
    reached(Step::Synced)?;
    dir.rename(&temporary, dir, name)?;
    reached(Step::Renamed)?;
    sync_dir(dir)?;
    reached(Step::Durable)
}

/// The whole file `name`, none if it is missing. One byte more than `limit` at most: whoever gets more than `limit`
/// knows that it is too long.
pub(crate) fn read(dir: &Dir, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match dir.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Syncs the entries of a folder. cap-std's own handles cannot be synced (`O_PATH`).
pub(crate) fn sync_dir(dir: &Dir) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::fsync(rustix::fs::openat(dir, ".", flags, Mode::empty())?)?)
}

/// Opens the directory `path` (trusted: this machine's configuration), made with 0700 if missing.
pub(crate) fn private_dir(path: &Path) -> io::Result<Dir> {
    if !path.is_dir() {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700).create(path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
    }
    Dir::open_ambient_dir(path, ambient_authority())
}

/// Opens the folder `name` within `dir`, made with 0700 if missing.
pub(crate) fn private_subdir(dir: &Dir, name: &str) -> io::Result<Dir> {
    match dir.create_dir_with(name, DirBuilder::new().mode(0o700)) {
        Ok(()) => sync_dir(dir)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    dir.open_dir(name)
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(code::STATE_UNUSABLE, format!("the system has no random numbers: {error}")))?;
    Ok(bytes)
}

/// Whether what this metadata is of belongs to this process's user and nobody else has any right to it.
pub(crate) fn is_private(metadata: &cap_std::fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0
}

/// An exclusive lock. It is freed when this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Not left to the last descriptor of the file: a process that is being started has copies of all of them for a
        // moment.
        let _ = self.0.unlock();
    }
}

/// Takes the exclusive lock `name` in `dir`; none if another open file has it. The file stays: a lock on a deleted file
/// would lock nothing.
pub(crate) fn lock(dir: &Dir, name: &str) -> io::Result<Option<Lock>> {
    let file = dir.open_with(name, OpenOptions::new().write(true).create(true).mode(0o600))?.into_std();
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// `body` behind a header that names its kind, length and digest.
pub(crate) fn seal(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, body).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The body of what [`seal`] made, and of nothing else.
pub(crate) fn unseal<'a>(kind: &str, bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
    let begin = bytes.get(..MAX_HEADER).unwrap_or(bytes);
    let known = begin.len().min(MAGIC.len());
    if begin.get(..known) != MAGIC.get(..known) {
        return Err(Damage::Foreign);
    }
    let Some(end) = begin.iter().position(|byte| *byte == b'\n') else {
        return Err(if bytes.len() < MAX_HEADER { Damage::Truncated } else { Damage::Altered });
    };
    let (head, body) = bytes.split_at_checked(end + 1).ok_or(Damage::Truncated)?;
    let fields: Vec<&[u8]> = head.split(|byte| *byte == b' ').collect();
    let [_, named, version, length, _] = fields.as_slice() else {
        return Err(Damage::Altered);
    };
    if *named != kind.as_bytes() || *version != VERSION.as_bytes() {
        return Err(Damage::Foreign);
    }
    let length: u64 = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()).ok_or(Damage::Altered)?;
    if (body.len() as u64) < length {
        return Err(Damage::Truncated);
    }
    // Compared as written, so that no other spelling of the same header passes.
    if header(kind, body).as_bytes() == head { Ok(body) } else { Err(Damage::Altered) }
}

/// Why bytes are not a sealed file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Damage {
    /// Shorter than they say.
    Truncated,
    /// Not what was sealed.
    Altered,
    /// Never sealed, or as something else.
    Foreign,
}

impl Damage {
    /// The error that a user sees; `what` names the file.
    pub(crate) fn error(self, what: &str) -> Error {
        match self {
            Self::Truncated => Error::new(code::STATE_TRUNCATED, format!("{what} is cut short")),
            Self::Altered => Error::new(code::STATE_DAMAGED, format!("{what} does not fit its checksum")),
            Self::Foreign => {
                Error::new(code::STATE_FOREIGN, format!("{what} is not a file of this kind that this version can read"))
            }
        }
    }
}

/// A failure of the system, seen by a user; `what` names the file.
pub(crate) fn unusable(what: &str, error: &io::Error) -> Error {
    Error::new(code::STATE_UNUSABLE, format!("{what}: {error}"))
}

const MAGIC: &[u8] = b"lockgate ";
const VERSION: &str = "1";
const MAX_HEADER: usize = 160;

fn header(kind: &str, body: &[u8]) -> String {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(body).finalize();
    format!("lockgate {kind} {VERSION} {} {}\n", body.len(), Digest::from_bytes(digest.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tells_what_is_wrong() {
        let sealed = seal("marks", b"body");
        assert_eq!(unseal("marks", &sealed), Ok(&b"body"[..]));
        assert_eq!(unseal("checkpoint", &sealed), Err(Damage::Foreign));
        assert_eq!(unseal("marks", b"%PDF-1.7\n"), Err(Damage::Foreign));
        for end in 0..sealed.len() {
            assert_eq!(unseal("marks", &sealed[..end]), Err(Damage::Truncated), "{end}");
        }
        let newer = String::from_utf8(sealed.clone()).unwrap().replace("marks 1", "marks 2");
        assert_eq!(unseal("marks", newer.as_bytes()), Err(Damage::Foreign));
        let longer = [sealed.as_slice(), b"x"].concat();
        assert_eq!(unseal("marks", &longer), Err(Damage::Altered));
        let spelt = String::from_utf8(sealed).unwrap().replace(" 4 ", " +4 ");
        assert_eq!(unseal("marks", spelt.as_bytes()), Err(Damage::Altered));
    }

    #[test]
    fn a_lock_is_held_once() {
        let root = tempfile::tempdir().unwrap();
        let dir = private_dir(&root.path().join("a/b")).unwrap();
        assert!(is_private(&dir.dir_metadata().unwrap()));
        let held = lock(&dir, "lock").unwrap();
        assert!(held.is_some() && lock(&dir, "lock").unwrap().is_none());
        drop(held);
        assert!(lock(&dir, "lock").unwrap().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn nothing_altered_is_accepted(body in prop::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let sealed = seal("checkpoint", &body);
            prop_assert_eq!(unseal("checkpoint", &sealed), Ok(body.as_slice()));
            let mut altered = sealed.clone();
            altered[at.index(sealed.len())] ^= flip;
            prop_assert!(unseal("checkpoint", &altered).is_err());
        }

        #[test]
        fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(unseal("checkpoint", &bytes).is_err());
        }
    }
}
