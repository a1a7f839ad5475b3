//! The marks against rollback on the disk: what this machine has seen of every trust document, so that nobody can bring
//! back an older one. What the bytes say is `lockgate_core`'s business; here they are read, checked and replaced
//! durably, by one process at a time.
//!
//! A damaged file is an error and a missing one is told apart from an empty one, because to start without marks means to
//! be provisioned anew.

use crate::durable;
use crate::durable::Lock;
use cap_std::fs::Dir;
use lockgate_core::error::code;
pub use lockgate_core::marks::MAX_MARKS;
use lockgate_core::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file of marks, locked for this process. Meant to be held from reading to replacing, and no longer.
#[derive(Debug)]
pub struct MarksFile {
    dir: Dir,
    name: String,
    path: PathBuf,
    _lock: Lock,
}

impl MarksFile {
    /// Locks the file at `path`, which need not be there; its folder is made if missing. Waits up to `patience` for
    /// another process.
    ///
    /// # Errors
    /// `LG0831` if another process still has it; `LG0830` if the system refuses.
    pub fn open(path: &Path, patience: Duration) -> Result<Self> {
        let failed = |error: &std::io::Error| durable::unusable(&path.display().to_string(), error);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if name.is_empty() {
            return Err(failed(&std::io::ErrorKind::InvalidInput.into()));
        }
        let dir = durable::private_dir(folder).map_err(|error| failed(&error))?;
        let begin = Instant::now();
        loop {
            if let Some(lock) = durable::lock(&dir, &format!("{name}.lock")).map_err(|error| failed(&error))? {
                return Ok(Self { dir, name, path: path.to_owned(), _lock: lock });
            }
            if begin.elapsed() >= patience {
                let cause = format!("another process holds the marks in {}", path.display());
                return Err(Error::new(code::STATE_IN_USE, cause));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The marks; none if they were never written.
    ///
    /// # Errors
    /// `LG0832` to `LG0834` if the file is not what [`MarksFile::replace`] wrote; `LG0830` if the system refuses.
    pub fn read(&self) -> Result<Option<Vec<u8>>> {
        let what = format!("the file of marks {}", self.path.display());
        // The header is short; what is longer than both together is refused by its checksum.
        let bytes = durable::read(&self.dir, &self.name, MAX_MARKS as u64 + 1024);
        let Some(bytes) = bytes.map_err(|error| durable::unusable(&what, &error))? else {
            return Ok(None);
        };
        match durable::unseal(KIND, &bytes) {
            Ok(marks) => Ok(Some(marks.to_vec())),
            Err(damage) => Err(damage.error(&what).help(
                "Restore the newest copy, or provision this machine anew: without its marks it cannot tell old \
                 documents from new ones.",
            )),
        }
    }

    /// Replaces the marks. When it returns they are on the disk, and only then may they be relied on.
    ///
    /// # Errors
    /// `LG0836` if they are too long; `LG0830` if the system refuses. The old marks or the new ones are there then.
    pub fn replace(&mut self, marks: &[u8]) -> Result<()> {
        if marks.len() > MAX_MARKS {
            let cause = format!("the marks have {} bytes, {MAX_MARKS} are the most", marks.len());
            return Err(Error::new(code::STATE_TOO_LARGE, cause));
        }
        let written =
            durable::replace::<std::io::Error>(&self.dir, &self.name, &durable::seal(KIND, marks), &mut |_| Ok(()));
        written.map_err(|error| durable::unusable(&self.path.display().to_string(), &error))
    }
}

const KIND: &str = "marks";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn open(path: &Path) -> Result<MarksFile> {
        MarksFile::open(path, Duration::ZERO)
    }

    #[test]
    fn keeps_what_was_written_and_tells_missing_from_empty() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("trust/marks");
        assert_eq!(open(&path).unwrap().read().unwrap(), None);
        for marks in [&b""[..], b"first", b"second"] {
            open(&path).unwrap().replace(marks).unwrap();
            assert_eq!(open(&path).unwrap().read().unwrap().as_deref(), Some(marks));
        }
        open(&path).unwrap().replace(&vec![0; MAX_MARKS]).unwrap();
        assert_eq!(open(&path).unwrap().read().unwrap().map(|marks| marks.len()), Some(MAX_MARKS));
        assert_eq!(open(&path).unwrap().replace(&vec![0; MAX_MARKS + 1]).unwrap_err().code(), code::STATE_TOO_LARGE);
        open(&path).unwrap().replace(&vec![7; MAX_MARKS]).unwrap();
        assert_eq!(open(&path).unwrap().read().unwrap().map(|marks| marks.len()), Some(MAX_MARKS));
    }

    #[test]
    fn refuses_a_file_that_is_not_what_it_wrote() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("marks");
        let mut marks = open(&path).unwrap();
        marks.replace(b"content").unwrap();
        let good = fs::read(&path).unwrap();
        let mut altered = good.clone();
        altered[good.len() - 2] ^= 1;
        let too_long = durable::seal(KIND, &vec![0; MAX_MARKS + 2048]);
        for (bytes, expected) in [
            (&b""[..], code::STATE_TRUNCATED),
            (&good[..good.len() - 1], code::STATE_TRUNCATED),
            (&too_long, code::STATE_TRUNCATED),
            (&altered, code::STATE_DAMAGED),
            (b"content", code::STATE_FOREIGN),
            (&durable::seal("checkpoint", b"content"), code::STATE_FOREIGN),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(marks.read().unwrap_err().code(), expected);
        }
    }

    #[test]
    fn one_process_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("marks");
        let held = open(&path).unwrap();
        assert_eq!(open(&path).unwrap_err().code(), code::STATE_IN_USE);
        drop(held);
        open(&path).unwrap();
        assert_eq!(open(Path::new("/")).unwrap_err().code(), code::STATE_UNUSABLE);
    }
}
