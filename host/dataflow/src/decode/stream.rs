//! A split's bytes, uncompressed, as a window that moves forwards.
//!
//! Compressed streams are decoded in small steps, so that memory is bounded by the step and not by what a step of
//! hostile input expands to: 16 KiB of deflate give at most 16 MiB, zstd writes into a buffer of fixed size.

use super::Limits;
use crate::Input;
use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;
use lockgate_core::error::code;
use lockgate_core::plan::Compression;
use lockgate_core::{Error, Result};
use std::io::Write;
use zstd::stream::raw::{DParameter, Decoder as Zstd, Operation};

/// Bytes asked for at once.
const REQUEST: usize = 1 << 20;
/// Compressed bytes given to deflate at once; its ratio is at most 1032.
const DEFLATE_STEP: usize = 16 << 10;
/// Uncompressed bytes taken from zstd at once.
const ZSTD_STEP: usize = 256 << 10;

const BOM: &[u8] = b"\xef\xbb\xbf";

enum Codec {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd {
        decoder: Zstd<'static>,
        scratch: Vec<u8>,
        /// Whether the last frame is complete.
        complete: bool,
        /// Whether there may be more output without more input.
        more: bool,
    },
}

/// Uncompressed bytes, read forwards.
pub(crate) struct Stream {
    codec: Codec,
    limits: Limits,
    /// Read from the input but not decompressed yet.
    chunk: Bytes,
    /// Bytes of the input read, and decompressed.
    read: u64,
    fed: u64,
    /// Bytes that have come out.
    produced: u64,
    /// What has come out and is not consumed yet begins at `start`, which is byte `offset` of the stream.
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    ended: bool,
    cut: bool,
}

impl Stream {
    /// A stream from its first byte on; `compression` is not `Auto` any more.
    pub(crate) fn new(compression: Compression, limits: Limits) -> Result<Self> {
        let codec = match compression {
            Compression::Auto | Compression::None => Codec::Plain,
            Compression::Gzip => Codec::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Compression::Zstd => {
                let mut decoder = Zstd::new().map_err(|error| Error::new(code::INTERNAL, error.to_string()))?;
                decoder
                    .set_parameter(DParameter::WindowLogMax(limits.window_log))
                    .map_err(|error| Error::new(code::INTERNAL, error.to_string()))?;
                Codec::Zstd { decoder, scratch: vec![0; ZSTD_STEP], complete: false, more: false }
            }
        };
        Ok(Self {
            codec,
            limits,
            chunk: Bytes::new(),
            read: 0,
            fed: 0,
            produced: 0,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            ended: false,
            cut: false,
        })
    }

    /// What is there and not consumed.
    pub(crate) fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Whether it was stopped before its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// The place of the first pending byte in the uncompressed stream.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes `length` bytes away from what is pending.
    pub(crate) fn consume(&mut self, length: usize) {
        let length = length.min(self.pending().len());
        self.start += length;
        self.offset += length as u64;
    }

    /// Appends to what is pending; false at the end of the stream.
    ///
    /// # Errors
    /// `LG0705`, `LG0706`, `LG0707`, or the input's own.
    pub(crate) fn fill(&mut self, input: &mut dyn Input) -> Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        while self.buffer.len() == before && !self.ended {
            if self.chunk.is_empty() && !matches!(self.codec, Codec::Zstd { more: true, .. }) {
                self.request(input)?;
                if self.chunk.is_empty() {
                    if input.cut() {
                        self.cut()
                    } else {
                        self.end()?
                    }
                    continue;
                }
            }
            self.step()?;
            self.produced += (self.buffer.len() - before) as u64;
            let fair = self.fed.saturating_mul(self.limits.ratio).max(self.limits.ratio_from);
            if self.produced > fair && !matches!(self.codec, Codec::Plain) {
                return Err(Error::new(
                    code::EXPANSION,
                    format!("{} compressed bytes expand to more than {} bytes", self.fed, self.produced - 1),
                ));
            }
        }
        Ok(self.buffer.len() > before)
    }

    /// Goes forward to `offset`; from the very beginning, steps over a byte-order mark.
    ///
    /// # Errors
    /// `LG0710` if the stream ends before or is behind it already, else as [`Stream::fill`].
    pub(crate) fn seek(&mut self, input: &mut dyn Input, offset: u64) -> Result<()> {
        if offset == 0 && self.offset == 0 {
            while self.pending().len() < BOM.len() && self.fill(input)? {}
            if self.pending().starts_with(BOM) {
                self.consume(BOM.len());
            }
            return Ok(());
        }
        let behind = || Error::new(code::INVALID_POSITION, format!("byte {offset} lies behind the end of the data"));
        if offset < self.offset {
            return Err(Error::new(code::INVALID_POSITION, format!("byte {offset} lies within the header")));
        }
        if matches!(self.codec, Codec::Plain) && offset >= self.offset + self.pending().len() as u64 {
            if input.size().is_some_and(|size| offset > size) {
                return Err(behind());
            }
            self.buffer.clear();
            (self.start, self.read, self.fed, self.produced, self.offset) = (0, offset, offset, offset, offset);
            return Ok(());
        }
        while self.offset < offset {
            if self.pending().is_empty() && !self.fill(input)? {
                return Err(behind());
            }
            self.consume(usize::try_from(offset - self.offset).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    fn request(&mut self, input: &mut dyn Input) -> Result<()> {
        self.chunk = input.read(self.read, REQUEST)?;
        self.read += self.chunk.len() as u64;
        if !self.chunk.is_empty() && input.size().is_none_or(|size| self.read < size) {
            input.prefetch(self.read, REQUEST);
        }
        Ok(())
    }

    /// Decompresses some of `chunk`.
    fn step(&mut self) -> Result<()> {
        match &mut self.codec {
            Codec::Plain => {
                self.buffer.extend_from_slice(&self.chunk);
                self.fed += self.chunk.len() as u64;
                self.chunk.clear();
            }
            Codec::Gzip(decoder) => {
                let step = self.chunk.split_to(self.chunk.len().min(DEFLATE_STEP));
                self.fed += step.len() as u64;
                decoder.write_all(&step).map_err(|error| corrupt("gzip", &error))?;
                self.buffer.append(decoder.get_mut());
            }
            Codec::Zstd { decoder, scratch, complete, more } => {
                let status = decoder.run_on_buffers(&self.chunk, scratch).map_err(|error| zstd_error(&error))?;
                self.chunk.advance(status.bytes_read.min(self.chunk.len()));
                self.fed += status.bytes_read as u64;
                self.buffer.extend_from_slice(scratch.get(..status.bytes_written).unwrap_or_default());
                *complete = status.remaining == 0;
                *more = status.bytes_written == scratch.len();
            }
        }
        Ok(())
    }

    /// The input was stopped: what is behind the last whole line is left out.
    fn cut(&mut self) {
        (self.ended, self.cut) = (true, true);
        if let Codec::Gzip(decoder) = &mut self.codec {
            // It keeps back what it has until it is asked; that it cannot be complete is known.
            let _ = decoder.flush();
            self.buffer.append(decoder.get_mut());
        }
        let whole = memchr::memrchr(b'\n', self.pending()).map_or(0, |line| line + 1);
        self.buffer.truncate(self.start + whole);
    }

    /// The input is at its end: so must be the compressed stream.
    fn end(&mut self) -> Result<()> {
        self.ended = true;
        match &mut self.codec {
            Codec::Plain => Ok(()),
            Codec::Gzip(decoder) => {
                decoder.try_finish().map_err(|error| corrupt("gzip", &error))?;
                self.buffer.append(decoder.get_mut());
                Ok(())
            }
            Codec::Zstd { complete: true, .. } => Ok(()),
            Codec::Zstd { .. } => Err(Error::new(code::CORRUPT_STREAM, "the zstd stream ends too early")),
        }
    }
}

fn corrupt(name: &str, error: &std::io::Error) -> Error {
    Error::new(code::CORRUPT_STREAM, format!("the {name} stream cannot be decoded: {error}"))
}

fn zstd_error(error: &std::io::Error) -> Error {
    // The crate gives zstd's words, not its number; a test holds them.
    if error.to_string().contains("requires too much memory") {
        Error::new(code::WINDOW_TOO_LARGE, "a zstd frame needs a window of more than 8 MiB")
    } else {
        corrupt("zstd", error)
    }
}
