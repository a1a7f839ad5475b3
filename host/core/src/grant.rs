//! What a job touches and what a policy grants: named resources, path prefixes and modes.

use crate::name::Name;
use serde::{Deserialize, Serialize};

/// How a resource is touched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Records are read from it.
    Read,
    /// Records are written to it.
    Write,
}

/// What a resource is. More kinds (clusters, databases, buckets, endpoints) come with their connectors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// A folder that the TaskManager's configuration names.
    Volume,
    /// A standard stream of the process that runs the job: `stdin` or `stdout`.
    Stream,
}

/// One thing that a job touches, as its manifest declares it.
///
/// Ordered, so that a list of them can be sorted and compared: what an upgrade newly touches is a set difference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Touch {
    /// What the resource is.
    pub kind: ResourceKind,
    /// Its name.
    pub name: Name,
    /// Read or write.
    pub mode: Mode,
    /// The path or glob within it, with `/` between components; empty where the kind has no paths.
    pub path: String,
}

/// One thing that a policy allows: everything below a path prefix of a resource, in a mode.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What the resource is.
    pub kind: ResourceKind,
    /// Its name.
    pub name: Name,
    /// Read or write.
    pub mode: Mode,
    /// Whole path components that a touched path must begin with; empty allows all.
    pub prefix: String,
}

impl Grant {
    /// Whether this grant covers `touch`. Compares whole components, and a glob only by its literal beginning, so that
    /// `a*/x` is not covered by the prefix `ab`.
    pub fn covers(&self, touch: &Touch) -> bool {
        if (self.kind, &self.name, self.mode) != (touch.kind, &touch.name, touch.mode) {
            return false;
        }
        let mut touched = touch.path.split('/').filter(|part| !part.is_empty());
        self.prefix.split('/').filter(|part| !part.is_empty()).all(|wanted| {
            touched.next().is_some_and(|part| part == wanted && !part.contains(['*', '?', '[', '{', '\\']))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &str) -> Touch {
        Touch { kind: ResourceKind::Volume, name: Name::new("v").unwrap(), mode: Mode::Read, path: path.into() }
    }

    #[test]
    fn a_prefix_covers_whole_components_only() {
        let grant = |prefix: &str| Grant {
            kind: ResourceKind::Volume,
            name: Name::new("v").unwrap(),
            mode: Mode::Read,
            prefix: prefix.into(),
        };
        assert!(
            grant("").covers(&touch("a/b")) && grant("a").covers(&touch("a/*.csv")) && grant("a/").covers(&touch("a"))
        );
        for (prefix, path) in [("a", "ab/c"), ("a/b", "a"), ("a", "*/c"), ("ab", "a*"), ("a/b", "a/{b,c}/d")] {
            assert!(!grant(prefix).covers(&touch(path)), "{prefix} covers {path}");
        }
        assert!(!Grant { mode: Mode::Write, ..grant("") }.covers(&touch("a")));
    }
}
