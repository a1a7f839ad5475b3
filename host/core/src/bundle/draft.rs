//! From components and a manifest to a bundle that waits for its signatures.

use super::{Interfaces, Layer, LayerKind, Package};
use crate::dsse::Envelope;
use crate::error::{Error, Result, code};
use crate::keys::SecretKey;
use crate::manifest::Manifest;
use crate::name::Name;
use crate::statement::{self, Component, Kind, Predicate, Release, Statement};
use crate::time::Timestamp;
use crate::trust::Audience;
use crate::types::FunctionDescription;
use std::collections::{BTreeMap, BTreeSet};

/// A component as it goes into a bundle.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// What its `describe` says.
    pub describe: Vec<FunctionDescription>,
    /// The interfaces that it imports.
    pub imports: BTreeSet<String>,
    /// The interfaces that it exports, for other tools to show.
    pub exports: BTreeSet<String>,
}

/// Everything that is signed of a bundle, before it is.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Job or function.
    pub kind: Kind,
    /// The clusters that it is for.
    pub audience: Audience,
    /// The manifest. Paths of components are left out of what is signed.
    pub manifest: Manifest,
    /// The components by name, exactly those of the manifest.
    pub parts: BTreeMap<Name, Part>,
    /// Reference data by name.
    pub data: BTreeMap<Name, Vec<u8>>,
    /// Earlier versions that an operator may return to.
    pub fallback: Vec<Release>,
    /// Not to be started before.
    pub not_before: Timestamp,
    /// Not to be started from then on.
    pub expires: Timestamp,
    /// Seconds that restarts go on after that.
    pub grace_seconds: u64,
}

impl Draft {
    /// The bundle without signatures. With the bundle that it replaces, what it newly touches is worked out from both.
    ///
    /// # Errors
    /// `LG0310` if the contents contradict each other, or the replaced bundle is of another job.
    pub fn package(self, replaced: Option<&Package>) -> Result<Package> {
        let mut layers = Vec::new();
        let mut components = BTreeMap::new();
        let mut interfaces = (BTreeSet::new(), BTreeSet::new());
        for (name, part) in self.parts {
            let describe = serde_json::to_vec(&part.describe)
                .map_err(|error| Error::new(code::INTERNAL, format!("description of {name}: {error}")))?;
            let wasm = Layer::new(LayerKind::Component, statement::wasm_title(&name), part.wasm);
            let describe = Layer::new(LayerKind::Describe, statement::describe_title(&name), describe);
            let imports = part.imports.iter().cloned().collect();
            components.insert(name, Component { digest: wasm.digest, imports, describe: describe.digest });
            interfaces.0.extend(part.imports);
            interfaces.1.extend(part.exports);
            layers.extend([wasm, describe]);
        }
        let mut data = BTreeMap::new();
        for (name, bytes) in self.data {
            let layer = Layer::new(LayerKind::Data, statement::data_title(&name), bytes);
            data.insert(name, layer.digest);
            layers.push(layer);
        }
        let mut manifest = self.manifest;
        manifest.component.values_mut().for_each(|component| component.path = None);
        let (replaces, before) = match replaced.map(|package| predecessor(package, &manifest)).transpose()? {
            Some((release, before)) => (Some(release), before),
            None => (None, BTreeSet::new()),
        };
        let adds = manifest.touches().into_iter().filter(|touch| !before.contains(touch)).collect();
        let predicate = Predicate {
            kind: self.kind,
            audience: self.audience,
            manifest,
            components,
            data,
            replaces,
            adds,
            fallback: self.fallback,
            not_before: self.not_before,
            expires: self.expires,
            grace_seconds: self.grace_seconds,
        };
        let payload = Statement::new(predicate)?.to_json()?;
        let interfaces =
            Interfaces { imports: interfaces.0.into_iter().collect(), exports: interfaces.1.into_iter().collect() };
        Ok(Package { layers, interfaces, envelope: Envelope::unsigned(statement::PAYLOAD_TYPE, payload) })
    }
}

impl Package {
    /// The statement in the envelope, not verified: to show it or to sign it, never to obey it.
    ///
    /// # Errors
    /// As [`Statement::parse`].
    pub fn unverified_statement(&self) -> Result<Statement> {
        Statement::parse(self.envelope.unverified_payload())
    }

    /// The version and payload digest, as a status names them.
    ///
    /// # Errors
    /// As [`Statement::parse`].
    pub fn release(&self) -> Result<Release> {
        let version = self.unverified_statement()?.predicate.manifest.job.version;
        Ok(Release { version, digest: self.envelope.payload_digest() })
    }

    /// Signs the statement, after the checks that every reader makes: nobody signs what says one thing and holds
    /// another.
    ///
    /// # Errors
    /// `LG0309` to `LG0311` if the layers are not what the statement says, `LG0403` to `LG0406` for the envelope.
    pub fn sign(&mut self, key: &SecretKey) -> Result<()> {
        if self.envelope.payload_type() != statement::PAYLOAD_TYPE {
            return Err(Error::new(code::WRONG_PAYLOAD_TYPE, "the bundle's envelope does not hold a statement"));
        }
        self.check_layers(&self.unverified_statement()?.predicate)?;
        self.envelope.sign(key)
    }

    /// Refuses layers that are not exactly those that `predicate` binds.
    pub(crate) fn check_layers(&self, predicate: &Predicate) -> Result<()> {
        let refuse = |why: String| Err(Error::new(code::LAYERS_DIFFER, why));
        let mut missing = predicate.subjects();
        for layer in &self.layers {
            match missing.remove(&layer.title) {
                None => return refuse(format!("layer {:?} is in the bundle but not signed", layer.title)),
                Some(signed) if signed != layer.digest => {
                    let (title, found) = (&layer.title, layer.digest.short());
                    return refuse(format!("layer {title:?} is {found}, signed is {}", signed.short()));
                }
                Some(_) => {}
            }
            let kind = match layer.title.rsplit('.').next() {
                Some("wasm") => LayerKind::Component,
                Some("json") => LayerKind::Describe,
                _ => LayerKind::Data,
            };
            if layer.kind != kind {
                return refuse(format!("layer {:?} is of type {}", layer.title, layer.kind.media_type()));
            }
        }
        match missing.keys().next() {
            Some(title) => refuse(format!("layer {title:?} is signed but not in the bundle")),
            None => Ok(()),
        }
    }
}

fn predecessor(package: &Package, manifest: &Manifest) -> Result<(Release, BTreeSet<crate::grant::Touch>)> {
    let before = package.unverified_statement()?.predicate;
    let (old, new) = (&before.manifest.job, &manifest.job);
    if (&old.tenant, &old.name) != (&new.tenant, &new.name) {
        let cause = format!("{}/{} cannot replace {}/{}", new.tenant, new.name, old.tenant, old.name);
        return Err(Error::new(code::MALFORMED_STATEMENT, cause));
    }
    Ok((package.release()?, before.touches()))
}
