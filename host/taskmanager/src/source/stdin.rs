//! Standard input, or any other stream: one split without a size, read once, forwards.

use super::{Bytes, Source, Split};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A stream of bytes.
pub struct StreamSource {
    name: String,
    stream: Mutex<Option<Box<dyn Read + Send>>>,
}

impl StreamSource {
    /// The standard input of this process. It ends at its end, or soon after `stop` is set: whoever stops a job does not
    /// wait for somebody to type.
    ///
    /// # Errors
    /// `LG0810` if there is none.
    pub fn stdin(stop: Arc<AtomicBool>) -> Result<Self> {
        let closed = |error| Error::new(code::INPUT_FAILED, format!("standard input cannot be read: {error}"));
        let file = File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(closed)?);
        Ok(Self::new("stdin", Box::new(Stoppable { file, stop })))
    }

    /// A stream; `name` is the name of its only split.
    pub fn new(name: &str, stream: Box<dyn Read + Send>) -> Self {
        Self { name: name.to_owned(), stream: Mutex::new(Some(stream)) }
    }
}

impl Source for StreamSource {
    fn splits(&self) -> Result<Vec<Split>> {
        Ok(vec![Split { name: self.name.clone(), size: None, fingerprint: "stream".into() }])
    }

    fn open(&self, split: &Split) -> Result<Box<dyn Bytes>> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let refuse = || Error::new(code::NOT_SEEKABLE, format!("{} has been opened already", self.name));
        Ok(Box::new(StreamBytes { name: split.name.clone(), stream: stream.ok_or_else(refuse)?, read: 0 }))
    }

    fn resumable(&self) -> bool {
        false
    }
}

/// A file that is at its end once it is told to stop.
struct Stoppable {
    file: File,
    stop: Arc<AtomicBool>,
}

/// How long a read waits before it looks whether to stop.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

impl Read for Stoppable {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while !self.stop.load(Ordering::Relaxed) {
            let mut waiting = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut waiting, Some(&PATIENCE)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }
}

struct StreamBytes {
    name: String,
    stream: Box<dyn Read + Send>,
    /// Bytes read so far.
    read: u64,
}

impl Bytes for StreamBytes {
    fn size(&self) -> Option<u64> {
        None
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        if offset != self.read {
            let cause = format!("{} is at byte {} and cannot be read from byte {offset}", self.name, self.read);
            return Err(Error::new(code::NOT_SEEKABLE, cause));
        }
        loop {
            match self.stream.read(buffer) {
                Ok(count) => {
                    self.read += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let cause = format!("{} could not be read: {error}", self.name);
                    return Err(Error::new(code::INPUT_FAILED, cause));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_forwards_as_bytes_come() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let source = StreamSource::new("stdin", Box::new(reader));
        let [split] = source.splits().unwrap().try_into().unwrap();
        let mut bytes = source.open(&split).unwrap();
        let mut buffer = [0; 8];
        writer.write_all(b"abc").unwrap();
        assert_eq!(bytes.read_at(0, &mut buffer).unwrap(), 3);
        writer.write_all(b"de").unwrap();
        drop(writer);
        assert_eq!(bytes.read_at(3, &mut buffer).unwrap(), 2);
        assert_eq!(&buffer[..2], b"de");
        assert_eq!(bytes.read_at(5, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn refuses_to_seek_and_to_be_read_twice() {
        let source = StreamSource::new("stdin", Box::new(&b"0123456789"[..]));
        let [split] = source.splits().unwrap().try_into().unwrap();
        let mut bytes = source.open(&split).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(bytes.read_at(4, &mut buffer).unwrap_err().code(), code::NOT_SEEKABLE);
        assert_eq!(bytes.read_at(0, &mut buffer).unwrap(), 4);
        for offset in [0, 3, 5] {
            assert_eq!(bytes.read_at(offset, &mut buffer).unwrap_err().code(), code::NOT_SEEKABLE, "{offset}");
        }
        assert_eq!(bytes.read_at(4, &mut buffer).unwrap(), 4);
        assert_eq!(source.open(&split).map(|_| ()).unwrap_err().code(), code::NOT_SEEKABLE);
        assert!(!source.resumable());
    }
}
