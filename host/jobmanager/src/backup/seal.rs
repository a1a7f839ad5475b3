//! Encrypting a stream to a public key, so that a machine can make backups that it cannot read.
//!
//! X25519 with a key of one use, HKDF-SHA-256, and ChaCha20-Poly1305 in frames of 64 KiB whose nonces count (the STREAM
//! construction of Hoang, Reyhanitabar, Rogaway and Vizár, as age has it): frames cannot be changed, moved, left out or
//! cut off at the end. Whoever has the public key can make such a stream; it does not say who did.

use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use sha2::Sha256;
use std::fmt;
use std::io::{self, Read, Write};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Whom a backup is encrypted to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Recipient(PublicKey);

/// What decrypts what was encrypted to its recipient.
#[derive(Clone)]
pub struct Identity(Secret<[u8; 32]>);

const PUBLIC: &str = "lockgate-backup-public-key-v1:";
const SECRET: &str = "lockgate-backup-secret-key-v1:";

/// Plain bytes of a frame.
const FRAME: usize = 64 << 10;
const TAG: usize = 16;

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// `LG1203` if the system has no random numbers.
    pub fn generate() -> Result<Self> {
        random().map(|bytes| Self(Secret::new(bytes)))
    }

    /// Its public part.
    pub fn recipient(&self) -> Recipient {
        Recipient(PublicKey::from(&self.secret()))
    }

    /// The text of a key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SECRET}{}\n", STANDARD.encode(self.0.expose())))
    }

    /// Reads [`Identity::to_text`].
    ///
    /// # Errors
    /// `LG1241` if it is anything else.
    pub fn parse(text: &str) -> Result<Self> {
        decode(text, SECRET).map(|bytes| Self(Secret::new(bytes)))
    }

    fn secret(&self) -> StaticSecret {
        StaticSecret::from(*self.0.expose())
    }
}

impl std::str::FromStr for Recipient {
    type Err = Error;

    /// # Errors
    /// `LG1241` if it is no public key.
    fn from_str(text: &str) -> Result<Self> {
        decode(text, PUBLIC).map(|bytes| Self(PublicKey::from(bytes)))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

fn decode(text: &str, prefix: &str) -> Result<[u8; 32]> {
    let bytes = text.trim().strip_prefix(prefix).and_then(|text| STANDARD.decode(text).ok()).map(Zeroizing::new);
    let bytes = bytes.and_then(|bytes| bytes.as_slice().try_into().ok());
    bytes.ok_or_else(|| Error::new(code::BACKUP_LOCKED, format!("a key is not {prefix} and 32 bytes in base64")))
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(code::STORE_FAILED, format!("the system has no random numbers: {error}")))?;
    Ok(bytes)
}

/// The cipher for what both sides of an exchange know.
fn cipher(own: &StaticSecret, other: &PublicKey, once: &PublicKey, recipient: &PublicKey) -> Option<ChaCha20Poly1305> {
    let shared = own.diffie_hellman(other);
    // A point of small order would make the secret one that everybody knows.
    if !shared.was_contributory() {
        return None;
    }
    let salt = [once.as_bytes().as_slice(), recipient.as_bytes()].concat();
    let mut key = Zeroizing::new([0; 32]);
    let derived = Hkdf::<Sha256>::new(Some(&salt), shared.as_bytes()).expand(b"lockgate-backup-v1", &mut *key);
    derived.ok().map(|()| ChaCha20Poly1305::new((&*key).into()))
}

fn nonce(frame: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; 12];
    let (count, last) = bytes.split_at_mut(11);
    if let Some(count) = count.last_chunk_mut::<8>() {
        *count = frame.to_be_bytes();
    }
    last.fill(u8::from(is_last));
    Nonce::from(bytes)
}

/// Encrypts what is written to it. [`Encrypt::finish`] must be called, or the stream is one that was cut off.
pub(super) struct Encrypt<W> {
    sink: W,
    cipher: ChaCha20Poly1305,
    frame: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Encrypt<W> {
    pub fn new(mut sink: W, recipient: &Recipient) -> Result<Self> {
        let once = StaticSecret::from(random()?);
        let public = PublicKey::from(&once);
        let refuse = || Error::new(code::BACKUP_LOCKED, "the public key for the backup is none that can be used");
        let cipher = cipher(&once, &recipient.0, &public, &recipient.0).ok_or_else(refuse)?;
        sink.write_all(public.as_bytes()).map_err(|error| super::failed(&error))?;
        Ok(Self { sink, cipher, frame: 0, buffer: Vec::with_capacity(FRAME) })
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.frame(true)?;
        Ok(self.sink)
    }

    fn frame(&mut self, is_last: bool) -> io::Result<()> {
        let payload = Payload { msg: &self.buffer, aad: &[] };
        let sealed =
            self.cipher.encrypt(&nonce(self.frame, is_last), payload).map_err(|_| io::Error::other("cipher"))?;
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        self.sink.write_all(&[u8::from(is_last)])?;
        self.sink.write_all(&length.to_be_bytes())?;
        self.sink.write_all(&sealed)?;
        self.frame = self.frame.saturating_add(1);
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encrypt<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= FRAME {
            self.frame(false)?;
        }
        let taken = bytes.len().min(FRAME - self.buffer.len());
        self.buffer.extend(bytes.iter().take(taken));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decrypts what [`Encrypt`] wrote. Every byte that it gives was authenticated; the end of the stream too.
pub(super) struct Decrypt<R> {
    source: R,
    cipher: ChaCha20Poly1305,
    frame: u64,
    plain: io::Cursor<Vec<u8>>,
    is_over: bool,
}

impl<R: Read> Decrypt<R> {
    pub fn new(mut source: R, identity: &Identity) -> Result<Self> {
        let mut once = [0; 32];
        source.read_exact(&mut once).map_err(|error| super::failed(&error))?;
        let (once, recipient) = (PublicKey::from(once), identity.recipient().0);
        let refuse = || Error::new(code::BACKUP_LOCKED, "the backup's header is not one of an encrypted backup");
        let cipher = cipher(&identity.secret(), &once, &once, &recipient).ok_or_else(refuse)?;
        let mut stream = Self { source, cipher, frame: 0, plain: io::Cursor::default(), is_over: false };
        // The first frame tells a wrong key from damage further on.
        stream.next().map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                let cause = format!("the backup is not encrypted to {}, or it is damaged", identity.recipient());
                Error::new(code::BACKUP_LOCKED, cause)
            }
            _ => super::failed(&error),
        })?;
        Ok(stream)
    }

    fn next(&mut self) -> io::Result<()> {
        let damaged = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let mut head = [0; 5];
        self.source.read_exact(&mut head)?;
        let [last, length @ ..] = head;
        let is_last = match last {
            0 => false,
            1 => true,
            _ => return Err(damaged("a frame of no known kind")),
        };
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
        if length > FRAME + TAG {
            return Err(damaged("a frame is too long"));
        }
        let mut sealed = vec![0; length];
        self.source.read_exact(&mut sealed)?;
        let payload = Payload { msg: &sealed, aad: &[] };
        let plain = self.cipher.decrypt(&nonce(self.frame, is_last), payload);
        self.plain = io::Cursor::new(plain.map_err(|_| damaged("a frame is not what was encrypted"))?);
        self.frame = self.frame.saturating_add(1);
        if is_last {
            self.is_over = true;
            if self.source.read(&mut [0])? > 0 {
                return Err(damaged("something follows the end"));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Decrypt<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.plain.read(into)?;
            if count > 0 || self.is_over || into.is_empty() {
                return Ok(count);
            }
            self.next()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(plain: &[u8], to: &Recipient) -> Vec<u8> {
        let mut stream = Encrypt::new(Vec::new(), to).unwrap();
        stream.write_all(plain).unwrap();
        stream.finish().unwrap()
    }

    fn opened(sealed: &[u8], with: &Identity) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        Decrypt::new(sealed, with)?.read_to_end(&mut plain).map_err(|error| super::super::failed(&error))?;
        Ok(plain)
    }

    #[test]
    fn only_the_recipient_reads_it_and_only_as_it_was_written() {
        let (own, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        for length in [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME] {
            let plain = vec![7; length];
            let sealed = sealed(&plain, &own.recipient());
            assert_eq!(opened(&sealed, &own).unwrap(), plain);
            assert_eq!(opened(&sealed, &other).unwrap_err().code(), code::BACKUP_LOCKED);
            assert!(length < 100 || !sealed.windows(100).any(|window| window == &plain[..100]));
            assert!(
                opened(&sealed[..sealed.len() - 1], &own).is_err()
                    && opened(&[&sealed[..], b"x"].concat(), &own).is_err()
            );
        }
    }

    #[test]
    fn frames_cannot_be_left_out_or_moved() {
        let own = Identity::generate().unwrap();
        let whole = sealed(&vec![7; 3 * FRAME + 9], &own.recipient());
        let frame = 5 + FRAME + TAG;
        let (head, frames) = whole.split_at(32);
        let (first, rest) = frames.split_at(frame);
        let (second, rest) = rest.split_at(frame);
        for parts in [
            vec![head, first, rest],
            vec![head, second, first, rest],
            vec![head, first, second],
            vec![head, first, first, rest],
        ] {
            assert!(opened(&parts.concat(), &own).is_err());
        }
        assert_eq!(opened(&[head, first, second, rest].concat(), &own).unwrap().len(), 3 * FRAME + 9);
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_the_secret_one_is_not_shown() {
        let own = Identity::generate().unwrap();
        assert_eq!(Identity::parse(&own.to_text()).unwrap().recipient(), own.recipient());
        assert_eq!(own.recipient().to_string().parse::<Recipient>().unwrap(), own.recipient());
        let secret = own.to_text().trim().strip_prefix(SECRET).unwrap().to_owned();
        assert!(!format!("{own:?}").contains(&secret));
        for bad in ["", SECRET, &own.recipient().to_string(), &format!("{SECRET}{secret}A")] {
            let error = Identity::parse(bad).unwrap_err();
            assert!(error.code() == code::BACKUP_LOCKED && !error.cause().contains(&secret));
        }
        // A point of small order.
        let weak: Recipient = format!("{PUBLIC}{}", STANDARD.encode([0; 32])).parse().unwrap();
        assert_eq!(Encrypt::new(Vec::new(), &weak).err().unwrap().code(), code::BACKUP_LOCKED);
    }
}
