//! From a manifest to a verified bundle, the way of `lockgate run`.

use crate::{Result, from_environment};
use bytes::Bytes;
use lockgate_core::bundle::{Draft, Package, Part};
use lockgate_core::limits::Limits;
use lockgate_core::manifest::Manifest;
use lockgate_core::planner::Planner;
use lockgate_core::statement::Kind;
use lockgate_core::trust::development::{self, Allowed, Keys};
use lockgate_core::verify::{Bundle, Verified};
use lockgate_core::{Error, Timestamp};
use lockgate_executor::jail::Policy;
use lockgate_executor::{Compiler, ExecutorOptions, Executors, Input};
use std::collections::BTreeMap;
use std::path::Path;

/// Executors that are this very program.
///
/// # Errors
/// When they cannot be had.
pub fn executors(slots: u32) -> Result<Executors> {
    let jail = Policy::Required;
    Ok(Executors::new(ExecutorOptions { program: None, slots, memory: 2 << 30, nice: 0, jail })?)
}

/// A manifest with its components.
pub struct Project {
    /// The manifest.
    pub manifest: Manifest,
    /// Its components.
    pub parts: BTreeMap<lockgate_core::Name, Part>,
}

/// A compiler of the program that is built along with the benches.
pub fn compiler() -> Compiler {
    Compiler::new()
}

impl Project {
    /// Reads a manifest; its components are those that were built, by their names. Sources without a schema have that
    /// of `sample`.
    ///
    /// # Errors
    /// When something is wrong with either.
    pub fn new(manifest: &str, sample: Option<&Path>) -> Result<Self> {
        let mut manifest = Manifest::parse_toml(manifest, "lockgate.toml").map_err(first)?;
        let folder = from_environment("LOCKGATE_COMPONENTS")?;
        let compiler = compiler();
        let mut parts = BTreeMap::new();
        for name in manifest.component.keys() {
            let wasm = read(&folder.join(format!("{name}.wasm")))?;
            let info = compiler.inspect(&wasm)?;
            let describe = compiler.describe(&executors(1)?.of(&"author".parse()?)?, &wasm, &Limits::default())?;
            let (imports, exports) = (info.imports.into_iter().collect(), info.exports.into_iter().collect());
            parts.insert(name.clone(), Part { wasm, describe, imports, exports });
        }
        for source in manifest.source.values_mut() {
            if let (None, Some(sample), Some(format)) = (&source.schema, sample, Planner::file_format(source)) {
                let mut input = Whole(read(sample)?.into());
                let executor = executors(1)?.of(&"author".parse()?)?;
                source.schema = Some(executor.infer(&format, &sample.to_string_lossy(), &mut input)?);
            }
        }
        Ok(Self { manifest, parts })
    }

    /// The bundle, without signatures.
    ///
    /// # Errors
    /// When its parts contradict each other.
    pub fn package(&self) -> Result<Package> {
        let draft = Draft {
            kind: Kind::Job,
            audience: development::audience()?,
            manifest: self.manifest.clone(),
            parts: self.parts.clone(),
            data: BTreeMap::new(),
            fallback: Vec::new(),
            not_before: Timestamp::from_seconds(0),
            expires: Timestamp::MAX,
            grace_seconds: 0,
        };
        Ok(draft.package(None)?)
    }

    /// The bundle, signed and verified.
    ///
    /// # Errors
    /// When it is refused.
    pub fn admit(&self) -> Result<Verified<Bundle>> {
        let allowed = Allowed::as_asked(&self.manifest);
        Ok(development::admit(&keys(), &mut self.package()?, &allowed, now())?.bundle)
    }
}

/// The keys of everything here.
pub fn keys() -> Keys {
    Keys::from_seed(&[7; 32])
}

/// A time at which everything here is valid.
pub fn now() -> Timestamp {
    Timestamp::from_seconds(1_800_000_000)
}

/// The first of several errors.
pub fn first(errors: Vec<Error>) -> Box<dyn std::error::Error> {
    errors.into_iter().next().map_or_else(|| "refused without a reason".into(), Into::into)
}

/// The bytes of a file.
///
/// # Errors
/// With its name when it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// An input that is in memory.
struct Whole(Bytes);

impl Input for Whole {
    fn size(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn read(&mut self, offset: u64, length: usize) -> lockgate_core::Result<Bytes> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        Ok(self.0.slice(start..start.saturating_add(length).min(self.0.len())))
    }
}
