//! Asking the compiler's process and hearing it out: in bounded time, in bounded memory, and whatever it does.

use super::wire::{self, Answer, Head, LENGTH};
use lockgate_core::text::tame;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

/// How an answer came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unheard {
    /// It ended in the middle, after these last words. They are the guest's as much as the compiler's.
    Ended(String),
    /// It is none, or over its bound; why.
    Malformed(String),
    /// It was not there in time.
    Late,
    /// The system refused; why.
    System(String),
}

/// The most last words that are listened to, in bytes.
const MAX_WORDS: usize = 512;
/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// Sends `parts` into `request`, reads the one answer out of `answer`: its head, and an artefact of at most
/// `most_artefact` bytes, and then the end.
pub(super) fn converse(
    request: File,
    mut answer: File,
    parts: &[&[u8]],
    most_artefact: u64,
    patience: Duration,
) -> Result<(Answer, Vec<u8>), Unheard> {
    for end in [&request, &answer] {
        let system = |errno: Errno| Unheard::System(errno.to_string());
        fcntl_setfl(end, fcntl_getfl(end).map_err(system)? | OFlags::NONBLOCK).map_err(system)?;
    }
    let until = Instant::now().checked_add(patience);
    let mut sending = Sending { request: Some(request), parts, sent: 0 };
    let mut hearing = Hearing::new(most_artefact);
    let mut chunk = vec![0; CHUNK];
    loop {
        wait(sending.request.as_ref(), &answer, until)?;
        sending.go_on();
        // Nothing is reserved for what is only promised: memory is taken for bytes that are there.
        let wanted = hearing.wanted().min(CHUNK);
        match answer.read(chunk.get_mut(..wanted).unwrap_or_default()) {
            Ok(0) => return hearing.end(),
            Ok(count) => hearing.take(chunk.get(..count).unwrap_or_default())?,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(Unheard::System(error.to_string())),
        }
    }
}

/// Waits until there is something to send or to hear.
fn wait(request: Option<&File>, answer: &File, until: Option<Instant>) -> Result<(), Unheard> {
    let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
    if left.is_zero() {
        return Err(Unheard::Late);
    }
    let left = Timespec::try_from(left).ok();
    let mut ends = vec![PollFd::new(answer, PollFlags::IN)];
    ends.extend(request.map(|request| PollFd::new(request, PollFlags::OUT)));
    match poll(&mut ends, left.as_ref()) {
        Ok(0) => Err(Unheard::Late),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Unheard::System(errno.to_string())),
    }
}

/// What is left to be sent.
struct Sending<'a> {
    /// None once all is sent, or nobody listens any more: what happened then is in the answer, or in its absence.
    request: Option<File>,
    parts: &'a [&'a [u8]],
    /// Bytes of the first part.
    sent: usize,
}

impl Sending<'_> {
    /// Sends as much as there is room for.
    fn go_on(&mut self) {
        while let Some(request) = &mut self.request {
            let Some((part, rest)) = self.parts.split_first() else {
                self.request = None;
                return;
            };
            let left = part.get(self.sent..).unwrap_or_default();
            if left.is_empty() {
                (self.parts, self.sent) = (rest, 0);
                continue;
            }
            match request.write(left) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.request = None,
            }
        }
    }
}

/// What was heard so far.
struct Hearing {
    most_artefact: u64,
    bytes: Vec<u8>,
    part: Part,
}

enum Part {
    Length,
    Head(usize),
    Artefact(Head, usize),
    /// What a program says when it breaks down goes the same way as its answer, and is none.
    Words,
}

impl Hearing {
    fn new(most_artefact: u64) -> Self {
        Self { most_artefact, bytes: Vec::new(), part: Part::Length }
    }

    /// Bytes until the part ends.
    fn missing(&self) -> usize {
        let whole = match &self.part {
            Part::Length => LENGTH,
            Part::Head(length) | Part::Artefact(_, length) => *length,
            Part::Words => MAX_WORDS,
        };
        whole.saturating_sub(self.bytes.len())
    }

    /// Bytes to ask for: one more than there should be tells of an answer that goes on.
    fn wanted(&self) -> usize {
        self.missing().max(1)
    }

    /// Takes at most as many bytes as were [wanted](Self::wanted).
    fn take(&mut self, bytes: &[u8]) -> Result<(), Unheard> {
        if self.missing() == 0 {
            return match self.part {
                Part::Words => self.end().map(drop),
                _ => Err(Unheard::Malformed("it goes on behind its end".into())),
            };
        }
        self.bytes.extend_from_slice(bytes);
        if self.missing() > 0 {
            return Ok(());
        }
        match &self.part {
            Part::Length => {
                let length = <[u8; LENGTH]>::try_from(self.bytes.as_slice()).unwrap_or_default();
                self.part = match wire::head_length(length, wire::MAX_HEAD) {
                    Some(length) => {
                        self.bytes.clear();
                        Part::Head(length)
                    }
                    None => Part::Words,
                };
            }
            Part::Head(_) => {
                let head = Head::parse(&self.bytes, self.most_artefact).map_err(Unheard::Malformed)?;
                self.bytes = Vec::new();
                let length = usize::try_from(head.artefact).unwrap_or(usize::MAX);
                self.part = Part::Artefact(head, length);
            }
            Part::Artefact(..) | Part::Words => {}
        }
        Ok(())
    }

    /// The other end has closed.
    fn end(&mut self) -> Result<(Answer, Vec<u8>), Unheard> {
        match std::mem::replace(&mut self.part, Part::Length) {
            Part::Artefact(head, length) if self.bytes.len() == length => {
                Ok((head.answer, std::mem::take(&mut self.bytes)))
            }
            Part::Words => Err(Unheard::Ended(tame(&String::from_utf8_lossy(&self.bytes), MAX_WORDS))),
            _ => Err(Unheard::Ended(String::new())),
        }
    }
}

#[cfg(test)]
mod tests;
