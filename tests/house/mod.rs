//! Rules about the repository itself, held by tests because a rule that is only written down is forgotten.
//!
//! Everything here reads one `cargo metadata` and the files of the tree; nothing is compiled or run.

mod dependencies;
mod documents;
mod sources;
mod supply;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie within the repository")
}

/// What cargo resolved for this platform: exactly what has been fetched to build these tests.
static GRAPH: LazyLock<Graph> = LazyLock::new(Graph::load);

struct Graph {
    metadata: Metadata,
    packages: BTreeMap<PackageId, usize>,
    nodes: BTreeMap<PackageId, usize>,
}

impl Graph {
    fn load() -> Self {
        let version = std::process::Command::new("rustc").arg("-vV").output().expect("rustc runs");
        let version = String::from_utf8(version.stdout).expect("rustc writes UTF-8");
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        let metadata = MetadataCommand::new()
            .current_dir(root())
            .other_options(["--offline", "--locked", "--filter-platform", host].map(String::from))
            .exec()
            .expect("cargo metadata");
        let packages = metadata.packages.iter().enumerate().map(|(at, package)| (package.id.clone(), at)).collect();
        let resolve = metadata.resolve.as_ref().expect("a resolved graph");
        let nodes = resolve.nodes.iter().enumerate().map(|(at, node)| (node.id.clone(), at)).collect();
        Self { metadata, packages, nodes }
    }

    /// Our own packages, by name.
    fn own(&self) -> BTreeMap<&str, &Package> {
        self.metadata.workspace_packages().into_iter().map(|package| (package.name.as_str(), package)).collect()
    }

    fn package(&self, id: &PackageId) -> &Package {
        &self.metadata.packages[self.packages[id]]
    }

    fn node(&self, id: &PackageId) -> &Node {
        &self.metadata.resolve.as_ref().expect("a resolved graph").nodes[self.nodes[id]]
    }

    /// Every version of the crate called `name`.
    fn versions(&self, name: &str) -> Vec<&Package> {
        self.metadata.packages.iter().filter(|package| package.name == name).collect()
    }

    /// What `id` depends on directly, apart from its tests.
    fn direct(&self, id: &PackageId) -> Vec<&Package> {
        let shipped = |kind: &DependencyKind| matches!(kind, DependencyKind::Normal | DependencyKind::Build);
        let deps = self.node(id).deps.iter();
        deps.filter(|dep| dep.dep_kinds.iter().any(|kind| shipped(&kind.kind)))
            .map(|dep| self.package(&dep.pkg))
            .collect()
    }

    /// The names of all that `id` depends on, directly or not, apart from tests.
    fn closure(&self, id: &PackageId) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        let mut names = BTreeSet::new();
        while let Some(id) = open.pop() {
            for package in self.direct(id) {
                if seen.insert(&package.id) {
                    names.insert(package.name.as_str());
                    open.push(&package.id);
                }
            }
        }
        names
    }
}

/// A text file of the tree.
struct TextFile {
    /// From the root, with `/`.
    path: String,
    text: String,
}

/// Every file below the root whose name ends in `.extension`, but for what is built and what is hidden.
fn files(extension: &str) -> Vec<TextFile> {
    fn collect(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let entry = entry.expect("a readable entry");
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry.file_type().expect("a file type");
            if kind.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                collect(&path, extension, found);
            } else if kind.is_file() && path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(root(), extension, &mut found);
    found.sort();
    let load = |path: PathBuf| TextFile {
        text: std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        path: path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/"),
    };
    found.into_iter().map(load).collect()
}

/// Fails with all that was found rather than with the first.
#[track_caller]
fn none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
