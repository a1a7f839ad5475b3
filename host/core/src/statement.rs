//! What a tenant's signers sign: an in-toto Statement v1 whose subjects are the bundle's layers and whose predicate is
//! the manifest with everything that it leaves open bound to it.
//!
//! The rules here need the statement alone. What needs the policy, the status or the marks stands in
//! [`verify`](crate::verify).

use crate::digest::Digest;
use crate::error::{Error, Result, code};
use crate::grant::{Mode, ResourceKind, Touch};
use crate::manifest::Manifest;
use crate::name::Name;
use crate::strict_json::{self, MAX_DOCUMENT};
use crate::time::Timestamp;
use crate::trust::Audience;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The payload type of an in-toto Statement in a DSSE envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The `_type` of in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The `predicateType` of Lockgate's jobs and functions.
pub const PREDICATE_TYPE: &str = "https://lockgate.dev/job/v1";
/// The longest grace, in seconds: 30 days.
pub const MAX_GRACE: u64 = 30 * 86_400;
/// The most components, data layers or fallback versions.
pub const MAX_LIST: usize = 64;
/// The most things that a job may touch.
pub const MAX_TOUCHES: usize = 256;

/// An in-toto Statement v1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// The layers by title, the envelope's own apart.
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    pub predicate_type: String,
    /// What is said of them.
    pub predicate: Predicate,
}

/// A layer: its title and digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The layer's title.
    pub name: String,
    /// Its digest.
    pub digest: SubjectDigest,
}

/// A digest as in-toto writes it: the algorithm, and hexadecimal digits without a prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What a bundle is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A pipeline that runs.
    Job,
    /// Components and what they describe, without a pipeline, for catalogues and other engines.
    Function,
}

/// A version of a job with the digest of its signed payload: the version alone could be signed twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The version.
    pub version: u64,
    /// The digest of the envelope's payload.
    pub digest: Digest,
}

/// The predicate: the manifest, and everything bound to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Predicate {
    /// Job or function.
    pub kind: Kind,
    /// The trust domains that this is for.
    pub audience: Audience,
    /// The manifest, without paths of this or that author's disk.
    pub manifest: Manifest,
    /// Every component of the manifest.
    pub components: BTreeMap<Name, Component>,
    /// Reference data by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<Name, Digest>,
    /// The version that this one replaces; absent if it replaces none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Release>,
    /// What this version touches and the replaced one did not, sorted; everything if it replaces none.
    pub adds: Vec<Touch>,
    /// Earlier versions that an operator may return to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Release>,
    /// Not to be started before.
    pub not_before: Timestamp,
    /// Not to be started or upgraded to from then on.
    pub expires: Timestamp,
    /// Seconds that restarts of an admitted job go on after something expired, at most [`MAX_GRACE`].
    pub grace_seconds: u64,
}

/// What is signed of a component.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The interfaces that it imports, sorted.
    pub imports: Vec<String>,
    /// The digest of its `describe` output.
    pub describe: Digest,
}

impl Statement {
    /// A statement of `predicate`, its subjects derived.
    ///
    /// # Errors
    /// `LG0310` if it breaks a rule that [`Self::parse`] would refuse it for.
    pub fn new(predicate: Predicate) -> Result<Self> {
        let subject = predicate.subjects().into_iter();
        let statement = Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: subject
                .map(|(name, digest)| Subject { name, digest: SubjectDigest { sha256: digest.hex() } })
                .collect(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        };
        statement.check()?;
        Ok(statement)
    }

    /// Reads and checks the payload of a bundle's envelope.
    ///
    /// # Errors
    /// `LG0403` and `LG0404` for JSON that is not strict or not a statement, `LG0310` if it contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let statement: Self = strict_json::parse("the bundle's statement", bytes, MAX_DOCUMENT)?;
        statement.check()?;
        Ok(statement)
    }

    /// The bytes to sign.
    ///
    /// # Errors
    /// `LG0003`, never in practice.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::new(code::INTERNAL, format!("a statement: {error}")))
    }

    fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::new(code::MALFORMED_STATEMENT, format!("the bundle's statement {why}")));
        if self.statement_type != STATEMENT_TYPE {
            return refuse("is not an in-toto Statement v1");
        }
        if self.predicate_type != PREDICATE_TYPE {
            return refuse("has a predicate type that is not Lockgate's");
        }
        let predicate = &self.predicate;
        if [predicate.components.len(), predicate.data.len(), predicate.fallback.len()].iter().any(|n| *n > MAX_LIST) {
            return refuse("lists more than 64 components, data layers or fallback versions");
        }
        let subjects: BTreeSet<_> = self.subject.iter().map(|s| (s.name.clone(), s.digest.sha256.clone())).collect();
        let bound: BTreeSet<_> = predicate.subjects().into_iter().map(|(name, digest)| (name, digest.hex())).collect();
        if subjects.len() != self.subject.len() || subjects != bound {
            return refuse("has subjects that are not exactly the layers of its predicate");
        }
        predicate.check()
    }
}

impl Predicate {
    /// The layers that this binds, by title: `NAME.wasm` and `NAME.describe.json` for each component, `NAME.data` for
    /// reference data. Names have no dots, so no two titles are alike.
    pub fn subjects(&self) -> BTreeMap<String, Digest> {
        let components = self.components.iter();
        components
            .flat_map(|(name, c)| [(wasm_title(name), c.digest), (describe_title(name), c.describe)])
            .chain(self.data.iter().map(|(name, digest)| (data_title(name), *digest)))
            .collect()
    }

    /// What the manifest touches.
    pub fn touches(&self) -> BTreeSet<Touch> {
        self.manifest.touches().into_iter().collect()
    }

    fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::new(code::MALFORMED_STATEMENT, format!("the bundle's statement {why}")));
        let Manifest { job, component, source, operator, sink, .. } = &self.manifest;
        if let Some(error) = self.manifest.check().into_iter().next() {
            return refuse(format!("has a manifest that is not allowed: {}", error.cause()));
        }
        if !component.keys().eq(self.components.keys()) {
            return refuse("does not bind exactly the components of its manifest".to_owned());
        }
        if let Some((name, _)) = component.iter().find(|(_, component)| component.path.is_some()) {
            return refuse(format!("has a path for component {name}, which means nothing here"));
        }
        for (name, component) in &self.components {
            if !component.imports.is_sorted_by(|a, b| a < b) {
                return refuse(format!("has imports of component {name} that are not sorted and distinct"));
            }
        }
        if self.kind == Kind::Function && !(source.is_empty() && operator.is_empty() && sink.is_empty()) {
            return refuse("is of kind function and has a pipeline".to_owned());
        }
        if self.not_before >= self.expires {
            return refuse(format!("expires at {}, not after {}", self.expires, self.not_before));
        }
        if self.grace_seconds > MAX_GRACE {
            return refuse(format!("has a grace of {} s, at most {MAX_GRACE} are allowed", self.grace_seconds));
        }
        if let Some(later) = self.fallback.iter().find(|release| release.version >= job.version) {
            return refuse(format!("of version {} falls back to version {}", job.version, later.version));
        }
        if let Some(replaced) = self.replaces.filter(|release| release.version >= job.version) {
            return refuse(format!("of version {} replaces version {}", job.version, replaced.version));
        }
        if !self.adds.is_sorted_by(|a, b| a < b) {
            return refuse("has additions that are not sorted and distinct".to_owned());
        }
        let (touched, added): (_, BTreeSet<_>) = (self.touches(), self.adds.iter().cloned().collect());
        if touched.len() > MAX_TOUCHES {
            return refuse(format!("touches {} things, at most {MAX_TOUCHES} are allowed", touched.len()));
        }
        if let Some(touch) = added.difference(&touched).next() {
            return refuse(format!("adds {}, which its manifest does not touch", show(touch)));
        }
        if let (None, Some(touch)) = (self.replaces, touched.difference(&added).next()) {
            return refuse(format!("replaces no version and does not list {} as added", show(touch)));
        }
        if let Some(touch) = touched.iter().find(|touch| !is_plain(&touch.path)) {
            return refuse(format!("touches {}: the path is not plain", show(touch)));
        }
        Ok(())
    }
}

/// The title of a component's layer.
pub fn wasm_title(component: &Name) -> String {
    format!("{component}.wasm")
}

/// The title of the layer with a component's `describe` output.
pub fn describe_title(component: &Name) -> String {
    format!("{component}.describe.json")
}

/// The title of a layer with reference data.
pub fn data_title(data: &Name) -> String {
    format!("{data}.data")
}

/// A touch as people read it.
pub fn show(touch: &Touch) -> String {
    let Touch { name, path, .. } = touch;
    let mode = match touch.mode {
        Mode::Read => "reading",
        Mode::Write => "writing",
    };
    match touch.kind {
        ResourceKind::Volume => format!("{mode} {path:?} of volume {name}"),
        ResourceKind::Stream => format!("{mode} {name}"),
    }
}

/// Whether a path has nothing in it by which it could lead elsewhere than its components say, whoever expands its
/// globs: prefixes of it are compared as text.
pub(crate) fn is_plain(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let odd = |c: char| c.is_control() || c == '\\';
    let dots = |part: &str| part == "." || part == "..";
    path.is_empty()
        || !(path.contains(odd) || path.split('/').any(str::is_empty) || path.split(['/', '{', ',', '}']).any(dots))
}

#[cfg(test)]
mod tests;
