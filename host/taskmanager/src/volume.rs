//! Named directories, and the only way to files below them.
//!
//! A manifest names a volume and a path; which directory the volume is, this machine's configuration says. It is opened
//! once, and from then on every path is walked from that handle one component at a time, each opened relative to the
//! one before with `O_NOFOLLOW`. So no path leaves the volume, whatever is renamed or linked meanwhile.
//!
//! Symbolic links are refused even where they stay within the volume: policies grant path prefixes, and whoever may
//! write below one prefix must not be able to point it into another. Hard links cannot be told from the file itself;
//! making one needs write access to the volume and, with Linux's `protected_hardlinks`, to the file.

mod path;
mod walk;

use crate::durable;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileTypeExt, MetadataExt};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use path::{MAX_COMPONENTS, MAX_LENGTH};
pub use walk::MAX_ENTRIES;

/// The volumes of this machine by name.
#[derive(Clone, Debug, Default)]
pub struct Volumes(BTreeMap<Name, Arc<Volume>>);

impl Volumes {
    /// Opens the directory of every volume.
    ///
    /// # Errors
    /// `LG0802` if one cannot be opened.
    pub fn open(directories: &BTreeMap<Name, PathBuf>) -> Result<Self> {
        let open = |(name, path): (&Name, &PathBuf)| Ok((name.clone(), Arc::new(Volume::open(name.clone(), path)?)));
        Ok(Self(directories.iter().map(open).collect::<Result<_>>()?))
    }

    /// The volume of this name.
    ///
    /// # Errors
    /// `LG0801` if there is none.
    pub fn get(&self, name: &Name) -> Result<&Arc<Volume>> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(Name::as_str).collect();
            let known = if known.is_empty() { "none is configured".into() } else { known.join(", ") };
            Error::new(code::UNKNOWN_VOLUME, format!("there is no volume {name} (known: {known})"))
                .help(format!("Give `--volume {name}=DIRECTORY`, or add it to [volumes] of the configuration."))
        })
    }
}

/// A directory under a name.
#[derive(Debug)]
pub struct Volume {
    name: Name,
    root: Dir,
}

impl Volume {
    /// Opens the directory `path`, which is trusted: it may be or contain a symbolic link.
    ///
    /// # Errors
    /// `LG0802`.
    pub fn open(name: Name, path: &Path) -> Result<Self> {
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| {
            Error::new(code::VOLUME_UNUSABLE, format!("volume {name}: {}: {error}", path.display())).help(
                "a volume is a directory that is there already and that you may enter: make it, or correct the path",
            )
        })?;
        Ok(Self { name, root })
    }

    /// The volume's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Opens the regular file at `path` to read.
    ///
    /// # Errors
    /// `LG0803` to `LG0806`.
    pub fn file(&self, path: &str) -> Result<(File, Stat)> {
        let (folders, name) = path::file(path).map_err(|error| error.at(self.place()))?;
        let folder = self.descend(folders.iter().copied(), path)?;
        // Opening a device can act (rewind a tape, arm a watchdog), so look first; what was opened is looked at again.
        self.regular(&folder, name, path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, name, flags, Mode::empty())
            .map_err(|errno| self.refused(&folder, name, path, errno))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(|error| self.unreadable(path, &error))?;
        if !metadata.is_file() {
            return Err(self.not_a_file(path, "was replaced by something that is not a regular file"));
        }
        let stat = Stat::of(&file).map_err(|error| self.unreadable(path, &error))?;
        Ok((file, stat))
    }

    /// The files that `pattern` matches, with their paths, sorted by path. A pattern without `*`, `?`, `[` and `{` is the
    /// path of one file. `*` and `?` stay within a component, `**` crosses folders. Names that begin with a dot are
    /// matched only by components before the first one with a wildcard. Linked folders are not entered.
    ///
    /// # Errors
    /// `LG0803` to `LG0808`; also if what the last component matches is a symbolic link or a special file, because to
    /// leave it out in silence would be to lose data.
    pub fn find(&self, pattern: &str) -> Result<Vec<(String, Stat)>> {
        walk::find(self, pattern)
    }

    /// Opens the folder at `path`, the root if empty; makes it and the folders on the way if they are missing. One `/` at
    /// the end is allowed.
    ///
    /// # Errors
    /// `LG0803` to `LG0806`.
    pub fn folder(&self, path: &str) -> Result<Dir> {
        let folders = path::folder(path).map_err(|error| error.at(self.place()))?;
        let mut dir = self.root()?;
        for name in folders {
            match dir.create_dir(name) {
                Ok(()) => durable::sync_dir(&dir).map_err(|error| self.unreadable(path, &error))?,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.unreadable(path, &error)),
            }
            dir = self.step(&dir, name, path)?;
        }
        Ok(dir)
    }

    /// A handle of the root that can be read and synced.
    fn root(&self) -> Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&self.root, ".", flags, Mode::empty());
        Ok(Dir::from_std_file(File::from(root.map_err(|errno| self.unreadable(".", &errno.into()))?)))
    }

    /// Walks `folders` from the root; `path` is for messages.
    fn descend<'a>(&self, folders: impl IntoIterator<Item = &'a str>, path: &str) -> Result<Dir> {
        folders.into_iter().try_fold(self.root()?, |dir, name| self.step(&dir, name, path))
    }

    /// Opens the folder `name`, one component, within `dir`.
    fn step(&self, dir: &Dir, name: &str, path: &str) -> Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(dir, name, flags, Mode::empty()) {
            Ok(folder) => Ok(Dir::from_std_file(File::from(folder))),
            Err(errno) => Err(self.refused(dir, name, path, errno)),
        }
    }

    /// Refuses what is not a regular file, without opening it.
    fn regular(&self, dir: &Dir, name: &str, path: &str) -> Result<Stat> {
        let metadata = dir.symlink_metadata(name).map_err(|error| self.unreadable(path, &error))?;
        let kind = metadata.file_type();
        if kind.is_symlink() {
            return Err(self.link(path, name));
        }
        if !kind.is_file() {
            return Err(self.not_a_file(path, describe(kind)));
        }
        Ok(Stat {
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
        })
    }

    /// Why `name` in `dir` could not be opened: looks once more, for the message only.
    fn refused(&self, dir: &Dir, name: &str, path: &str, errno: Errno) -> Error {
        if !matches!(errno, Errno::LOOP | Errno::NOTDIR | Errno::NXIO) {
            return self.unreadable(path, &errno.into());
        }
        match dir.symlink_metadata(name).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_symlink() => self.link(path, name),
            Ok(kind) => self.not_a_file(path, &format!("has {name:?} on its way, which {}", describe(kind))),
            Err(_) => self.unreadable(path, &errno.into()),
        }
    }

    fn place(&self) -> String {
        format!("volume {}", self.name)
    }

    fn link(&self, path: &str, name: &str) -> Error {
        Error::new(code::LINK_REFUSED, format!("{path:?} passes through the symbolic link {name:?}")).at(self.place())
    }

    fn not_a_file(&self, path: &str, what: &str) -> Error {
        Error::new(code::NOT_A_FILE, format!("{path:?} {what}")).at(self.place())
    }

    fn unreadable(&self, path: &str, error: &std::io::Error) -> Error {
        Error::new(code::FILE_UNREADABLE, format!("{path:?}: {error}")).at(self.place())
    }
}

/// What tells one content of a file from another, cheaply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Time of the last modification, nanoseconds since 1970.
    pub modified: i128,
    /// Number of the inode.
    pub inode: u64,
}

impl Stat {
    /// Of an open file.
    ///
    /// # Errors
    /// The system's own.
    pub fn of(file: &File) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = file.metadata()?;
        let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { size: metadata.len(), modified, inode: metadata.ino() })
    }

    /// As one word. The device is left out, since its number may change with a restart of the machine.
    pub fn fingerprint(&self) -> String {
        format!("{:x}-{:x}-{:x}", self.size, self.modified, self.inode)
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

fn describe(kind: cap_std::fs::FileType) -> &'static str {
    if kind.is_dir() {
        "is a folder"
    } else if kind.is_fifo() {
        "is a pipe"
    } else if kind.is_socket() {
        "is a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "is a device"
    } else {
        "is not a regular file"
    }
}

#[cfg(test)]
mod tests;
