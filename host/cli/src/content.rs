//! What a file holds, told by its content: names and endings are whatever someone gave them.

use crate::files;
use lockgate_core::bundle::{Package, ReadLimits};
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::keys::SecretKey;
use lockgate_core::manifest::Manifest;
use lockgate_core::statement;
use lockgate_core::trust::{Document as _, OperatorRoot, OperatorStatus, TenantPolicy, TenantRoot, TenantStatus};
use lockgate_core::{Error, Result};
use std::path::Path;
use zeroize::Zeroizing;

/// What a file holds. Nothing of it is verified.
pub enum Content {
    /// A bundle.
    Bundle(Box<Package>),
    /// A WebAssembly component, or a core module, which Lockgate does not run.
    Wasm {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether it is a component.
        component: bool,
    },
    /// An envelope, of a bundle or a trust document.
    Envelope(Box<Envelope>),
    /// A manifest.
    Manifest(Box<Manifest>),
    /// A secret key.
    Secret(SecretKey),
}

impl Content {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `LG0006` if it is of no kind that is known; whatever is wrong with it if its kind is clear; `LG0002` if it
    /// cannot be read.
    pub fn read(path: &Path) -> Result<Self, Vec<Error>> {
        let max = ReadLimits::default().total;
        let bytes = Zeroizing::new(files::read(path, max).map_err(|error| vec![error])?);
        let place = path.display().to_string();
        let at = |error: Error| vec![error.at(place.clone())];
        if let Some(layer) = bytes.strip_prefix(b"\0asm") {
            // The component model's layer field; a core module has 01 00 00 00.
            return Ok(Self::Wasm { bytes: bytes.to_vec(), component: layer.get(2..4) == Some(&[1, 0]) });
        }
        if bytes.get(257..262) == Some(b"ustar") {
            return Package::parse(&bytes).map(|package| Self::Bundle(Box::new(package))).map_err(at);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| at(unknown(&place)))?;
        if text.trim_start().starts_with('{') {
            return Envelope::parse(&bytes).map(|envelope| Self::Envelope(Box::new(envelope))).map_err(at);
        }
        if let Ok(key) = SecretKey::parse(text) {
            return Ok(Self::Secret(key));
        }
        if text.contains("[job]") || path.extension().is_some_and(|ending| ending == "toml") {
            return Manifest::parse_toml(text, &place).map(|manifest| Self::Manifest(Box::new(manifest)));
        }
        Err(at(unknown(&place)))
    }
}

/// An error that the file at `place` is nothing that is known.
fn unknown(place: &str) -> Error {
    Error::new(code::NOT_RECOGNISED, format!("{place} is no bundle, component, envelope, manifest or key"))
}

/// An error that what the file at `place` holds is of no use here.
pub fn unfit(place: &str, wanted: &str) -> Error {
    Error::new(code::NOT_RECOGNISED, format!("{place} is not {wanted}"))
}

/// What an envelope's payload type stands for, in words.
pub fn title(payload_type: &str) -> Option<&'static str> {
    Some(match payload_type {
        statement::PAYLOAD_TYPE => "the statement of a bundle",
        OperatorRoot::PAYLOAD_TYPE => OperatorRoot::NAME,
        OperatorStatus::PAYLOAD_TYPE => OperatorStatus::NAME,
        TenantPolicy::PAYLOAD_TYPE => TenantPolicy::NAME,
        TenantRoot::PAYLOAD_TYPE => TenantRoot::NAME,
        TenantStatus::PAYLOAD_TYPE => TenantStatus::NAME,
        _ => return None,
    })
}
