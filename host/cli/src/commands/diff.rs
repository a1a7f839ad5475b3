//! `lockgate diff`: what an upgrade newly touches and changes, from bundles or manifests.

use super::Outcome;
use super::inspect::list;
use crate::content::{Content, unfit};
use crate::output::Output;
use lockgate_core::manifest::Manifest;
use lockgate_core::{Digest, Error, Name, diff};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Diff {
    /// The bundle or manifest that runs now.
    old: PathBuf,
    /// The bundle or manifest that shall replace it.
    new: PathBuf,
}

impl Diff {
    pub fn run(&self, output: &Output) -> Outcome {
        let ((old, old_digests), (new, new_digests)) = (read(&self.old)?, read(&self.new)?);
        let changes = diff::diff(&old, &new);
        let other_bytes: Vec<&Name> = new_digests
            .iter()
            .filter(|(name, digest)| old_digests.get(*name).is_some_and(|before| before != *digest))
            .map(|(name, _)| name)
            .collect();
        let mut lines = Vec::new();
        if (&old.job.tenant, &old.job.name) != (&new.job.tenant, &new.job.name) {
            let (old, new) = (&old.job, &new.job);
            lines.push(format!(
                "is another job: {} of {} instead of {} of {}",
                new.name, new.tenant, old.name, old.tenant
            ));
        }
        if new.job.version <= old.job.version {
            lines.push(format!("does not raise the version: {} after {}", new.job.version, old.job.version));
        }
        lines.extend(changes.lines());
        lines.extend(other_bytes.iter().map(|name| format!("brings another build of component {name}")));
        let value = json!({ "changes": changes, "other-bytes": other_bytes, "lines": lines });
        output.result(&value, || if lines.is_empty() { "changes nothing".into() } else { list(&lines) });
        Ok(())
    }
}

fn read(path: &Path) -> Result<(Manifest, BTreeMap<Name, Digest>), Vec<Error>> {
    match Content::read(path)? {
        Content::Manifest(manifest) => Ok((*manifest, BTreeMap::new())),
        Content::Bundle(package) => {
            let predicate = package.unverified_statement().map_err(|error| vec![error])?.predicate;
            let digests = predicate.components.into_iter().map(|(name, component)| (name, component.digest)).collect();
            Ok((predicate.manifest, digests))
        }
        _ => Err(vec![unfit(&path.display().to_string(), "a bundle or a manifest")]),
    }
}
