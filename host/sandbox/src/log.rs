//! Logs of guests: `log`, standard output and standard error all end here, line by line, within a quota.
//!
//! What is beyond the quota of a batch is dropped and counted; the guest sees success, so that a flood of logs is
//! neither an error nor a channel that reports how full the host is.

use lockgate_core::text::tame;
use std::sync::Arc;

/// The severity of a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// Something happened.
    Info,
    /// For whoever looks for a fault.
    Debug,
}

/// Takes the lines that guests log. Called on the thread that calls the guest, on the fibre's stack: keep it short.
pub trait LogSink: Send + Sync {
    /// Takes a line: at most 4 KiB, without control characters or line breaks.
    fn line(&self, level: Level, line: &str);
}

/// Takes nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoLog;

impl LogSink for NoLog {
    fn line(&self, _: Level, _: &str) {}
}

/// The longest line, in bytes; what is longer is broken into several.
const MAX_LINE: usize = 4 << 10;

/// Standard streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    Out = 1,
    Err = 2,
}

/// The way from a guest to the sink.
pub(crate) struct Logs {
    sink: Arc<dyn LogSink>,
    /// Bytes left in this batch.
    left: u64,
    /// Unfinished lines of standard output and standard error.
    partial: [Vec<u8>; 2],
    /// Bytes taken since the beginning.
    pub written: u64,
    /// Bytes dropped since the beginning.
    pub dropped: u64,
}

impl Logs {
    pub fn new(sink: Arc<dyn LogSink>) -> Self {
        Self { sink, left: 0, partial: [Vec::new(), Vec::new()], written: 0, dropped: 0 }
    }

    /// Begins a batch with this quota, in bytes.
    pub fn begin(&mut self, quota: u64) {
        self.left = quota;
    }

    /// Ends a batch: hands on lines that were left unfinished.
    pub fn end(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            let line = std::mem::take(self.partial(stream));
            if !line.is_empty() {
                self.emit(stream.level(), &line);
            }
        }
    }

    /// Bytes that may still be logged in this batch.
    pub fn left(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    /// Logs a message of `length` bytes, of which `head` are the first that [`Logs::left`] has room for; one line for
    /// each of its lines.
    pub fn message(&mut self, level: Level, head: &str, length: usize) {
        // A line costs a byte at least, so that empty ones run out too.
        let granted = self.grant(length.saturating_add(1));
        let kept = head.get(..head.floor_char_boundary(granted)).unwrap_or_default();
        if granted > 0 {
            kept.lines().for_each(|line| self.emit(level, line.as_bytes()));
        }
    }

    /// Takes bytes of a standard stream.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let granted = self.grant(bytes.len());
        for piece in bytes.get(..granted).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            let partial = self.partial(stream);
            partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(partial);
                self.emit(stream.level(), line.trim_ascii_end());
            } else if partial.len() >= MAX_LINE {
                let line = std::mem::take(partial);
                self.emit(stream.level(), &line);
            }
        }
    }

    /// Takes up to `bytes` out of the quota and counts the rest as dropped.
    fn grant(&mut self, bytes: usize) -> usize {
        let granted = (bytes as u64).min(self.left);
        self.left -= granted;
        self.written += granted;
        self.dropped += bytes as u64 - granted;
        usize::try_from(granted).unwrap_or(bytes)
    }

    fn emit(&self, level: Level, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let mut rest = line.as_ref();
        loop {
            let (head, tail) = rest.split_at(rest.floor_char_boundary(MAX_LINE));
            self.sink.line(level, &tame(head, MAX_LINE));
            if tail.is_empty() {
                return;
            }
            rest = tail;
        }
    }

    fn partial(&mut self, stream: Stream) -> &mut Vec<u8> {
        let [out, err] = &mut self.partial;
        match stream {
            Stream::Out => out,
            Stream::Err => err,
        }
    }
}

impl Stream {
    fn level(self) -> Level {
        match self {
            Self::Out => Level::Info,
            Self::Err => Level::Warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl LogSink for Lines {
        fn line(&self, level: Level, line: &str) {
            self.0.lock().unwrap().push(format!("{level:?} {line}"));
        }
    }

    fn run(quota: u64, work: impl FnOnce(&mut Logs)) -> (Vec<String>, u64) {
        let lines = Arc::new(Lines::default());
        let mut logs = Logs::new(lines.clone());
        logs.begin(quota);
        work(&mut logs);
        logs.end();
        (lines.0.lock().unwrap().clone(), logs.dropped)
    }

    #[test]
    fn streams_are_cut_into_lines() {
        let (lines, dropped) = run(1_000, |logs| {
            logs.write(Stream::Out, b"he");
            logs.write(Stream::Err, b"oops\r\n");
            logs.write(Stream::Out, b"llo\nwor\xffld");
            logs.message(Level::Debug, "a\nb", 3);
        });
        assert_eq!(lines, ["Warn oops", "Info hello", "Debug a", "Debug b", "Info wor\u{fffd}ld"]);
        assert_eq!(dropped, 0);
    }

    #[test]
    fn what_is_beyond_the_quota_is_dropped_and_counted() {
        let (lines, dropped) = run(10, |logs| {
            logs.write(Stream::Out, b"12345\n");
            logs.message(Level::Info, "67890", 5);
            logs.message(Level::Info, "", 0);
        });
        assert_eq!(lines, ["Info 12345", "Info 6789"]);
        assert_eq!(dropped, 3);
        let (lines, _) = run(1 << 20, |logs| logs.write(Stream::Out, &[b'x'; 10_000]));
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE + 5 + "…".len()), "{}", lines.len());
    }
}
