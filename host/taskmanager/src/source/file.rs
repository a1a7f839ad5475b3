//! Files of a volume; each is a split.
//!
//! A file has to stay what it was when it was listed: positions point into it, and records that were read before and
//! after a change do not belong together. So its size, time of modification and inode are compared when it is opened
//! and after every read, and a change fails the split. A file that grows is a changed file.

use super::{Bytes, Source, Split};
use crate::volume::{Stat, Volume};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The files of a volume that a pattern matches.
#[derive(Debug)]
pub struct FileSource {
    volume: Arc<Volume>,
    pattern: String,
}

impl FileSource {
    /// The files that `pattern` matches (see [`Volume::find`]).
    pub fn new(volume: Arc<Volume>, pattern: &str) -> Self {
        Self { volume, pattern: pattern.to_owned() }
    }
}

impl Source for FileSource {
    fn splits(&self) -> Result<Vec<Split>> {
        let split =
            |(name, stat): (String, Stat)| Split { name, size: Some(stat.size), fingerprint: stat.fingerprint() };
        Ok(self.volume.find(&self.pattern)?.into_iter().map(split).collect())
    }

    fn open(&self, split: &Split) -> Result<Box<dyn Bytes>> {
        let (file, stat) = self.volume.file(&split.name)?;
        let place = format!("volume {}: {}", self.volume.name(), split.name);
        if stat.fingerprint() != split.fingerprint {
            return Err(changed(&place, "is not the file that was listed: it was changed or replaced"));
        }
        Ok(Box::new(FileBytes { file, stat, place }))
    }
}

#[derive(Debug)]
struct FileBytes {
    file: File,
    /// As it was listed.
    stat: Stat,
    place: String,
}

impl Bytes for FileBytes {
    fn size(&self) -> Option<u64> {
        Some(self.stat.size)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.stat.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..wanted).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(read as u64)) {
                Ok(0) => return Err(changed(&self.place, "became shorter while it was read")),
                Ok(count) => read += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.place, &error)),
            }
        }
        if Stat::of(&self.file).map_err(|error| failed(&self.place, &error))? != self.stat {
            return Err(changed(&self.place, "was changed while it was read"));
        }
        Ok(read)
    }
}

fn changed(place: &str, how: &str) -> Error {
    Error::new(code::INPUT_CHANGED, format!("the file {how}")).at(place)
}

fn failed(place: &str, error: &std::io::Error) -> Error {
    Error::new(code::INPUT_FAILED, format!("the file could not be read: {error}")).at(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn source(content: &[u8]) -> (tempfile::TempDir, FileSource) {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), content).unwrap();
        let volume = Volume::open("v".parse().unwrap(), root.path()).unwrap();
        (root, FileSource::new(Arc::new(volume), "*"))
    }

    #[test]
    fn reads_any_range_and_stops_at_the_end() {
        let (_root, source) = source(b"0123456789");
        let [split] = source.splits().unwrap().try_into().unwrap();
        assert_eq!((split.name.as_str(), split.size), ("a", Some(10)));
        let mut bytes = source.open(&split).unwrap();
        let mut buffer = [0; 4];
        for (offset, expected) in [(0, "0123"), (6, "6789"), (3, "3456"), (8, "89"), (10, ""), (u64::MAX, "")] {
            let read = bytes.read_at(offset, &mut buffer).unwrap();
            assert_eq!(&buffer[..read], expected.as_bytes(), "{offset}");
        }
        assert_eq!(bytes.read_at(0, &mut []).unwrap(), 0);
    }

    #[test]
    fn notices_a_file_that_was_changed_before_it_was_opened() {
        let changes: [fn(&std::path::Path); 3] = [
            |path| fs::write(path, "shorter").unwrap(),
            |path| fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap(),
            |path| {
                // The same content and size under the same name, but another file.
                fs::write(path.with_file_name("new"), "0123456789").unwrap();
                fs::rename(path.with_file_name("new"), path).unwrap();
            },
        ];
        for change in changes {
            let (root, source) = source(b"0123456789");
            let [split] = source.splits().unwrap().try_into().unwrap();
            change(&root.path().join("a"));
            assert_eq!(source.open(&split).map(|_| ()).unwrap_err().code(), code::INPUT_CHANGED);
        }
    }

    #[test]
    fn notices_a_file_that_is_changed_while_it_is_read() {
        let changes: [fn(&fs::File); 3] = [
            |file| file.set_len(5).unwrap(),
            |file| file.set_len(11).unwrap(),
            |file| file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap(),
        ];
        for change in changes {
            let (root, source) = source(b"0123456789");
            let [split] = source.splits().unwrap().try_into().unwrap();
            let mut bytes = source.open(&split).unwrap();
            let mut buffer = [0; 4];
            bytes.read_at(0, &mut buffer).unwrap();
            change(&fs::OpenOptions::new().write(true).open(root.path().join("a")).unwrap());
            assert_eq!(bytes.read_at(4, &mut buffer).unwrap_err().code(), code::INPUT_CHANGED);
        }
    }
}
