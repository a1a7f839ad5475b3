//! A bundle as verification leaves it: what the sandbox and the TaskManager build everything from.

use crate::bundle::{Layer, Package};
use crate::digest::Digest;
use crate::error::{Error, Result, code};
use crate::grant::Grant;
use crate::keys::PublicKey;
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::name::Name;
use crate::statement::{self, Kind, Predicate, Release, Statement};
use crate::strict_json::{self, MAX_DOCUMENT};
use crate::trust::chain::Chain;
use crate::types::FunctionDescription;
use std::collections::BTreeMap;

/// A bundle. Made by verification only, which is why it is found as `Verified<Bundle>` alone.
#[derive(Debug)]
pub struct Bundle {
    package: Package,
    statement: Statement,
    release: Release,
    epoch: u64,
    limits: Limits,
    grants: Vec<Grant>,
    descriptions: BTreeMap<Name, Vec<FunctionDescription>>,
    signers: Vec<PublicKey>,
    threshold: u32,
}

/// A component of a bundle.
#[derive(Clone, Copy, Debug)]
pub struct ComponentRef<'a> {
    /// Its name in the manifest.
    pub name: &'a Name,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Their digest.
    pub digest: Digest,
    /// The interfaces that it may import, sorted.
    pub imports: &'a [String],
    /// What its `describe` says, as signed.
    pub describe: &'a [FunctionDescription],
}

impl Bundle {
    /// For a package whose envelope, statement and layers have been verified.
    pub(super) fn new(
        package: Package,
        statement: Statement,
        release: Release,
        chain: &Chain,
        limits: Limits,
        signers: Vec<PublicKey>,
    ) -> Result<Self> {
        let mut descriptions = BTreeMap::new();
        for name in statement.predicate.components.keys() {
            let title = statement::describe_title(name);
            let described = layer(&package, &title)?;
            if !described.held {
                let cause = format!("layer {title:?} is larger than what is read of a bundle here");
                return Err(Error::new(code::BUNDLE_TOO_LARGE, cause));
            }
            descriptions.insert(name.clone(), strict_json::parse(&title, &described.bytes, MAX_DOCUMENT)?);
            layer(&package, &statement::wasm_title(name))?;
        }
        let (epoch, grants) = (chain.policy.epoch, chain.policy.grants.clone());
        let threshold = chain.root.signers.threshold();
        Ok(Self { package, statement, release, epoch, limits, grants, descriptions, signers, threshold })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.predicate().manifest
    }

    /// The job's name.
    pub fn job(&self) -> &Name {
        &self.manifest().job.name
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &Name {
        &self.manifest().job.tenant
    }

    /// Whether it is a job or a collection of functions.
    pub fn kind(&self) -> Kind {
        self.predicate().kind
    }

    /// The version.
    pub fn version(&self) -> u64 {
        self.release.version
    }

    /// The digest of the signed payload: what names this version beyond doubt.
    pub fn digest(&self) -> Digest {
        self.release.digest
    }

    /// The tenant's epoch in which it was admitted.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All that was signed.
    pub fn predicate(&self) -> &Predicate {
        &self.statement.predicate
    }

    /// The components in the order of their names, as far as their bytes are held.
    pub fn components(&self) -> impl Iterator<Item = ComponentRef<'_>> {
        self.predicate().components.iter().filter_map(|(name, component)| {
            Some(ComponentRef {
                name,
                bytes: &self.package.layer(&statement::wasm_title(name)).filter(|layer| layer.held)?.bytes,
                digest: component.digest,
                imports: &component.imports,
                describe: self.descriptions.get(name)?,
            })
        })
    }

    /// What each component's `describe` says, as signed.
    pub fn descriptions(&self) -> &BTreeMap<Name, Vec<FunctionDescription>> {
        &self.descriptions
    }

    /// Reference data by name, if its bytes are held.
    pub fn data(&self, name: &Name) -> Option<&[u8]> {
        self.predicate().data.get(name)?;
        let layer = self.package.layer(&statement::data_title(name)).filter(|layer| layer.held);
        layer.map(|layer| layer.bytes.as_slice())
    }

    /// The limits: the manifest's, within the policy's ceilings.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the policy grants; what the job touches is among it.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The keys whose signatures counted.
    pub fn signers(&self) -> &[PublicKey] {
        &self.signers
    }

    /// How many of them were needed.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Everything by which it can be revoked.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.package.layers.iter().map(|layer: &Layer| &layer.digest).chain([&self.release.digest])
    }
}

fn layer<'a>(package: &'a Package, title: &str) -> Result<&'a Layer> {
    let missing = || Error::new(code::LAYERS_DIFFER, format!("layer {title:?} is not in the bundle"));
    package.layer(title).ok_or_else(missing)
}
