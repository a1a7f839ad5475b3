//! From a manifest's text to a job that is ready to run, over the bytes of a signed bundle.

use super::guest::compiler;
use super::home::examples;
use lockgate_core::bundle::{Draft, Package, Part};
use lockgate_core::manifest::{Manifest, Source};
use lockgate_core::plan::{Compression, Format, FormatKind};
use lockgate_core::statement::Kind;
use lockgate_core::time::Timestamp;
use lockgate_core::trust::development::{self, Allowed, Keys};
use lockgate_core::verify::{Bundle, Verified};
use lockgate_core::{Name, Result};
use lockgate_executor::Input;
use lockgate_taskmanager::artefact_cache::ArtefactCache;
use lockgate_taskmanager::job::{self, Prepared};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// When everything is signed and verified.
pub fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

/// The keys of every role.
pub fn keys() -> Keys {
    Keys::from_seed(&[42; 32])
}

/// Reads a manifest. A source without a schema gets that of the example data, as `lockgate build` would find it.
pub fn manifest(text: &str) -> Manifest {
    let mut manifest =
        Manifest::parse_toml(text, "lockgate.toml").unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    let lines = |source: &Source| {
        let text = source.path.as_deref().is_some_and(|path| path.ends_with(".txt"));
        source.format.as_deref().map_or(text, |format| format == "lines")
    };
    for source in manifest.source.values_mut() {
        if source.connector == "file" && source.schema.is_none() && !lines(source) {
            source.schema = Some(infer(source));
        }
    }
    manifest
}

/// What is signed of a manifest and its components by their names.
pub fn draft(manifest: Manifest, parts: &[(&str, Part)]) -> Draft {
    Draft {
        kind: Kind::Job,
        audience: development::audience().expect("an audience"),
        manifest,
        parts: parts.iter().map(|(name, part)| (Name::new(name).expect("a name"), part.clone())).collect(),
        data: BTreeMap::new(),
        fallback: Vec::new(),
        not_before: now(),
        expires: now().plus(86_400),
        grace_seconds: 0,
    }
}

/// What the machine allows: exactly what the bundle's manifest asks for.
pub fn allowed(package: &Package) -> Allowed {
    Allowed::as_asked(&package.unverified_statement().expect("a statement").predicate.manifest)
}

/// Signs a bundle and verifies its bytes.
///
/// # Errors
/// As [`development::admit`].
pub fn admit(package: &mut Package) -> Result<Verified<Bundle>> {
    let allowed = allowed(package);
    development::admit(&keys(), package, &allowed, now()).map(|accepted| accepted.bundle)
}

/// All the way from a manifest's text and its components to a job that can run.
///
/// # Errors
/// Whatever on the way refuses.
pub fn prepare(text: &str, parts: &[(&str, Part)]) -> Result<Prepared> {
    prepare_manifest(manifest(text), parts)
}

/// The same from a manifest.
///
/// # Errors
/// Whatever on the way refuses.
pub fn prepare_manifest(manifest: Manifest, parts: &[(&str, Part)]) -> Result<Prepared> {
    prepare_bundle(&admit(&mut draft(manifest, parts).package(None)?)?)
}

/// What is left of the way from a verified bundle on.
///
/// # Errors
/// As [`job::prepare`].
pub fn prepare_bundle(bundle: &Verified<Bundle>) -> Result<Prepared> {
    job::prepare(bundle, &BTreeMap::new(), compiler(), &CACHE)
}

/// Compiled components, shared by all tests and by the processes that they start.
static CACHE: LazyLock<ArtefactCache> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("artefacts");
    ArtefactCache::open(&path, 256 << 20).expect("an artefact cache")
});

fn infer(source: &Source) -> Vec<lockgate_core::types::Field> {
    let path = source.path.as_deref().expect("a path").replace('*', "01");
    let volume = source.volume.as_ref().expect("a volume");
    let ending = path.rsplit('.').next().expect("an ending");
    let kind = match ending {
        "parquet" => FormatKind::Parquet,
        "csv" => FormatKind::Csv { header: true, delimiter: b',', null: String::new() },
        _ => FormatKind::Json,
    };
    let folder = if volume.as_str() == "flights" { "data/flights" } else { "data" };
    let bytes = std::fs::read(examples().join(folder).join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let format = Format { kind, compression: Compression::Auto };
    let executor =
        lockgate_executor::testing::executors(1).of(&Name::new("author").expect("a name")).expect("an executor");
    executor.infer(&format, &path, &mut InMemory(bytes.into())).expect("a schema")
}

struct InMemory(bytes::Bytes);

impl Input for InMemory {
    fn size(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn read(&mut self, offset: u64, length: usize) -> Result<bytes::Bytes> {
        let from = usize::try_from(offset).map_or(self.0.len(), |from| from.min(self.0.len()));
        Ok(self.0.slice(from..from.saturating_add(length).min(self.0.len())))
    }
}
