//! A bundle: one file, an OCI image layout in a tar, with one `application/wasm` layer for each component, layers for
//! `describe` output and reference data, and the signed envelope.
//!
//! Reading is bounded and believes nothing: [`Package::read`] checks the form and the digests, and gives a [`Package`]
//! that still means nothing until [`verify`](crate::verify) has made a [`Bundle`](crate::verify::Bundle) of it.
//! Writing is deterministic: the same contents give the same bytes.

mod archive;
mod draft;
mod oci;

pub use draft::{Draft, Part};

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::error::{Error, Result, code};
use std::io::{Read, Write};

/// What reading a bundle may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimits {
    /// Bytes of the whole file.
    pub total: u64,
    /// Bytes of one entry.
    pub entry: u64,
    /// Entries.
    pub entries: usize,
    /// Bytes of all entries together that are held in memory; all of them if `u64::MAX`. Otherwise WebAssembly binaries,
    /// what is larger than any document and what does not fit are checked while they come and let go: enough for whoever
    /// verifies a bundle and does not run it.
    pub held: u64,
}

impl Default for ReadLimits {
    /// 256 MiB, 128 MiB for one entry, 256 entries, all held.
    fn default() -> Self {
        Self { total: 256 << 20, entry: 128 << 20, entries: 256, held: u64::MAX }
    }
}

/// What a layer holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LayerKind {
    /// A WebAssembly component.
    Component,
    /// The `describe` output of a component, as JSON.
    Describe,
    /// Reference data.
    Data,
}

impl LayerKind {
    const ALL: [Self; 3] = [Self::Component, Self::Describe, Self::Data];

    /// Its OCI media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Component => "application/wasm",
            Self::Describe => "application/vnd.lockgate.describe.v1+json",
            Self::Data => "application/vnd.lockgate.data.v1",
        }
    }

    fn from_media_type(media_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.media_type() == media_type)
    }
}

/// A layer, the envelope's own apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it holds.
    pub kind: LayerKind,
    /// Its title (`org.opencontainers.image.title`), such as `delays.wasm`.
    pub title: String,
    /// The digest of its bytes, checked.
    pub digest: Digest,
    /// Its bytes; none if they are not held.
    pub bytes: Vec<u8>,
    /// Whether its bytes are held, see [`ReadLimits::held`].
    pub held: bool,
}

impl Layer {
    /// A layer of `bytes`.
    pub fn new(kind: LayerKind, title: String, bytes: Vec<u8>) -> Self {
        Self { kind, title, digest: Digest::of(&bytes), bytes, held: true }
    }
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Layer({}, {}, {} bytes)", self.title, self.digest.short(), self.bytes.len())
    }
}

/// What a bundle's file holds: well-formed, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package {
    /// The layers, in the order of the file.
    pub layers: Vec<Layer>,
    /// The interfaces that the components import and export together, for other tools to show. Nothing relies on them.
    pub interfaces: Interfaces,
    /// The envelope with the statement.
    pub envelope: Envelope,
}

/// Imports and exports as other tools show them.
#[derive(Clone, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
pub struct Interfaces {
    /// Imported interfaces.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Exported interfaces.
    #[serde(default)]
    pub exports: Vec<String>,
}

impl Package {
    /// Reads a bundle's file within `limits`.
    ///
    /// # Errors
    /// `LG0302` to `LG0309`, one for each way in which a file can be ill-formed; `LG0403` to `LG0405` for its envelope.
    pub fn read(reader: impl Read, limits: &ReadLimits) -> Result<Self> {
        oci::unpack(archive::read(reader, limits)?, limits)
    }

    /// Reads a bundle's bytes within the default limits.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes, &ReadLimits::default())
    }

    /// Writes the bundle's file.
    ///
    /// # Errors
    /// `LG0002` if `writer` fails.
    pub fn write(&self, writer: impl Write) -> Result<()> {
        let write = |error| Error::new(code::IO, format!("the bundle could not be written: {error}"));
        archive::write(&oci::pack(self)?, writer).map_err(write)
    }

    /// The bundle's bytes.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// The layer with this title.
    pub fn layer(&self, title: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.title == title)
    }
}

#[cfg(test)]
mod tests;
