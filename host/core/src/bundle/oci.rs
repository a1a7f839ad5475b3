//! The OCI image layout within a bundle (OCI image specification 1.1) with the configuration of CNCF's Wasm OCI
//! artifact layout, so that registries and their tools carry and show bundles.
//!
//! Unknown fields are ignored here, as OCI demands and other tools need: nothing in these documents is trusted. What
//! counts is which bytes stand under which title, and that is signed.

use super::archive::{BLOBS, File};
use super::{Interfaces, Layer, LayerKind, Package, ReadLimits};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::error::{Error, Result, code};
use crate::strict_json;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const ENVELOPE: &str = "application/vnd.lockgate.envelope.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
const ENVELOPE_TITLE: &str = "envelope.json";
/// Fixed, so that the same contents give the same bytes.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// The longest title of a layer, in bytes.
const MAX_TITLE: usize = 128;
/// The largest of these documents, in bytes.
const MAX_JSON: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageLayout {
    image_layout_version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    manifests: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    created: String,
    architecture: String,
    os: String,
    layer_digests: Vec<Digest>,
    component: Interfaces,
}

/// The files of `package`, in the order in which they are written.
pub(super) fn pack(package: &Package) -> Result<Vec<(String, Vec<u8>)>> {
    if let Some(layer) = package.layers.iter().find(|layer| !layer.held) {
        return Err(Error::new(code::INTERNAL, format!("layer {:?} is not held and cannot be written", layer.title)));
    }
    let envelope = package.envelope.to_json()?;
    let mut layers: Vec<Descriptor> =
        package.layers.iter().map(|layer| titled(layer.kind.media_type(), &layer.bytes, &layer.title)).collect();
    layers.push(titled(ENVELOPE, &envelope, ENVELOPE_TITLE));
    let config = json(&Config {
        created: CREATED.to_owned(),
        architecture: "wasm".to_owned(),
        os: "wasip2".to_owned(),
        layer_digests: layers.iter().map(|layer| layer.digest).collect(),
        component: package.interfaces.clone(),
    })?;
    let manifest = json(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        config: describe(CONFIG, &config),
        layers,
    })?;
    let index = json(&Index {
        schema_version: 2,
        media_type: Some(INDEX.to_owned()),
        manifests: vec![describe(MANIFEST, &manifest)],
    })?;
    let layout = json(&ImageLayout { image_layout_version: "1.0.0".to_owned() })?;

    let mut files = vec![("oci-layout".to_owned(), layout), ("index.json".to_owned(), index)];
    let mut written = BTreeSet::new();
    let layers = package.layers.iter().map(|layer| layer.bytes.clone());
    for bytes in [manifest, config].into_iter().chain(layers).chain([envelope]) {
        let digest = Digest::of(&bytes);
        if written.insert(digest) {
            files.push((blob_path(&digest), bytes));
        }
    }
    Ok(files)
}

/// The package in the files of an archive, whose digests are checked already.
///
/// # Errors
/// `LG0303` for layers that are more than `limits` together, `LG0307` for documents that are wrong, `LG0308` and `LG0309` for blobs that are too many or too few.
pub(super) fn unpack(files: BTreeMap<String, File>, limits: &ReadLimits) -> Result<Package> {
    let mut blobs = Blobs { files, used: BTreeSet::new() };
    let layout: ImageLayout = read("oci-layout", &blobs.take("oci-layout")?)?;
    if layout.image_layout_version != "1.0.0" {
        return Err(refuse("oci-layout", "is not of version 1.0.0"));
    }
    let index: Index = read("index.json", &blobs.take("index.json")?)?;
    let [manifest] = index.manifests.as_slice() else {
        return Err(refuse("index.json", "does not name exactly one image"));
    };
    if index.schema_version != 2 || index.media_type.is_some_and(|found| found != INDEX) {
        return Err(refuse("index.json", "is not an image index"));
    }
    let manifest: Manifest = read("the image manifest", blobs.get(manifest, MANIFEST)?)?;
    if manifest.schema_version != 2 || manifest.media_type.is_some_and(|found| found != MANIFEST) {
        return Err(refuse("the image manifest", "is not of the kind that it should be"));
    }
    let config: Config = read("the image configuration", blobs.get(&manifest.config, CONFIG)?)?;
    let same = config.layer_digests.iter().eq(manifest.layers.iter().map(|layer| &layer.digest));
    if config.architecture != "wasm" || config.os != "wasip2" || !same {
        return Err(refuse("the image configuration", "does not fit the image manifest"));
    }
    check_amount(&manifest.layers, limits)?;
    let (envelopes, others): (Vec<_>, Vec<_>) = manifest.layers.iter().partition(|layer| layer.media_type == ENVELOPE);
    let [envelope] = envelopes.as_slice() else {
        return Err(refuse("the image manifest", "does not have exactly one envelope"));
    };
    let envelope = Envelope::parse(blobs.get(envelope, ENVELOPE)?)?;
    let mut titles = BTreeSet::new();
    let mut layers = Vec::new();
    for layer in others {
        blobs.check(layer, &layer.media_type)?;
        let kind = LayerKind::from_media_type(&layer.media_type)
            .ok_or_else(|| refuse("the image manifest", "has a layer of a media type that is not known"))?;
        let title = layer.annotations.get(TITLE).cloned().unwrap_or_default();
        if title.is_empty() || title.len() > MAX_TITLE || !titles.insert(title.clone()) {
            return Err(refuse("the image manifest", "has a layer without a short title of its own"));
        }
        layers.push(Layer { kind, title, digest: layer.digest, bytes: Vec::new(), held: false });
    }
    blobs.check_all_used()?;
    // Components are large: moved, unless several layers have one blob.
    let mut named: BTreeSet<Digest> = BTreeSet::new();
    let shared: BTreeSet<Digest> =
        layers.iter().map(|layer| layer.digest).filter(|digest| !named.insert(*digest)).collect();
    for layer in &mut layers {
        if let Some(bytes) = blobs.hand_over(&layer.digest, shared.contains(&layer.digest))? {
            (layer.bytes, layer.held) = (bytes, true);
        }
    }
    Ok(Package { layers, interfaces: config.component, envelope })
}

/// Layers may share a blob, so a small file could name much.
fn check_amount(layers: &[Descriptor], limits: &ReadLimits) -> Result<()> {
    let bytes = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
    if layers.len() <= limits.entries && bytes <= limits.total {
        return Ok(());
    }
    let cause = format!("the bundle has {} layers of {bytes} bytes together", layers.len());
    Err(Error::new(code::BUNDLE_TOO_LARGE, cause))
}

struct Blobs {
    files: BTreeMap<String, File>,
    used: BTreeSet<String>,
}

impl Blobs {
    fn take(&mut self, path: &str) -> Result<Vec<u8>> {
        let file = self.files.remove(path).ok_or_else(|| refuse(path, "is missing"))?;
        file.bytes.ok_or_else(|| not_held(path))
    }

    fn get(&mut self, descriptor: &Descriptor, media_type: &str) -> Result<&[u8]> {
        let file = self.check(descriptor, media_type)?;
        file.bytes.as_deref().ok_or_else(|| not_held("an image document"))
    }

    fn check(&mut self, descriptor: &Descriptor, media_type: &str) -> Result<&File> {
        if descriptor.media_type != media_type {
            return Err(refuse("an image document", &format!("names something that is not of type {media_type}")));
        }
        let path = blob_path(&descriptor.digest);
        let file = self.files.get(&path).ok_or_else(|| missing(&descriptor.digest))?;
        if file.size != descriptor.size {
            let cause = format!("blob {} has {} bytes, not {}", descriptor.digest.short(), file.size, descriptor.size);
            return Err(Error::new(code::DIGEST_MISMATCH, cause));
        }
        self.used.insert(path);
        Ok(file)
    }

    /// A blob's bytes, if they are held.
    fn hand_over(&mut self, digest: &Digest, keep: bool) -> Result<Option<Vec<u8>>> {
        let path = blob_path(digest);
        let file = self.files.get_mut(&path).ok_or_else(|| missing(digest))?;
        Ok(if keep { file.bytes.clone() } else { file.bytes.take() })
    }

    fn check_all_used(&self) -> Result<()> {
        match self.files.keys().find(|path| !self.used.contains(*path)) {
            Some(path) => Err(Error::new(code::UNREFERENCED_BLOB, format!("{path} is named nowhere in the bundle"))),
            None => Ok(()),
        }
    }
}

fn not_held(what: &str) -> Error {
    Error::new(code::BUNDLE_TOO_LARGE, format!("{what} is larger than what is read of a bundle here"))
}

fn missing(digest: &Digest) -> Error {
    Error::new(code::MISSING_BLOB, format!("blob {} is named but not there", digest.short()))
}

fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

fn describe(media_type: &str, bytes: &[u8]) -> Descriptor {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Descriptor { media_type: media_type.to_owned(), digest: Digest::of(bytes), size, annotations: BTreeMap::new() }
}

fn titled(media_type: &str, bytes: &[u8], title: &str) -> Descriptor {
    let annotations = BTreeMap::from([(TITLE.to_owned(), title.to_owned())]);
    Descriptor { annotations, ..describe(media_type, bytes) }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(code::INTERNAL, format!("an image document: {error}")))
}

fn read<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    strict_json::parse(what, bytes, MAX_JSON).map_err(|error| Error::new(code::MALFORMED_LAYOUT, error.cause()))
}

fn refuse(what: &str, why: &str) -> Error {
    Error::new(code::MALFORMED_LAYOUT, format!("the bundle is not an image layout: {what} {why}"))
}
