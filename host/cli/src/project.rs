//! A project on the author's machine: its manifest and components, and the bundle that is made of them.

use crate::files;
use crate::local::{Author, Machine};
use lockgate_core::bundle::{Draft, Package, Part};
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::manifest::{self, Manifest};
use lockgate_core::plan::{FormatKind, NodeKind, Plan, SinkConnector, SourceConnector};
use lockgate_core::planner::Planner;
use lockgate_core::statement::{Kind, Release};
use lockgate_core::trust::Audience;
use lockgate_core::types::FunctionDescription;
use lockgate_core::{Error, Name, Timestamp};
use lockgate_executor::Input;
use lockgate_taskmanager::source;
use lockgate_taskmanager::volume::Volumes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The most bytes of a component.
const MAX_COMPONENT: u64 = 512 << 20;

/// The manifest's file name.
pub const MANIFEST: &str = "lockgate.toml";

/// All that is wrong, in the order in which it was found.
pub type Errors = Vec<Error>;

/// A project.
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// The manifest's file, as it is shown.
    file: String,
    /// The manifest's text, to find places in.
    text: String,
    /// The manifest as it was read.
    pub manifest: Manifest,
}

/// A project whose components were built, looked at and planned.
pub struct Built {
    /// The manifest, with the schema of every source.
    pub manifest: Manifest,
    /// The components by name.
    pub parts: BTreeMap<Name, Part>,
}

/// What of a bundle the project itself does not say.
pub struct Terms {
    /// The clusters that it is for.
    pub audience: Audience,
    /// Not to be started before.
    pub not_before: Timestamp,
    /// Not to be started from then on.
    pub expires: Timestamp,
    /// Seconds that restarts go on after that.
    pub grace_seconds: u64,
    /// Earlier versions that an operator may return to.
    pub fallback: Vec<Release>,
}

impl Project {
    /// Reads the manifest in `folder` (or the manifest that `folder` itself names).
    ///
    /// # Errors
    /// `LG0002` if it cannot be read, otherwise all that is wrong with it.
    pub fn open(folder: &Path) -> Result<Self, Errors> {
        let (folder, file) = match folder.is_dir() {
            true => (folder.to_owned(), folder.join(MANIFEST)),
            false => {
                let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
                (parent.unwrap_or(Path::new(".")).to_owned(), folder.to_owned())
            }
        };
        let help = "give the folder of a project; `lockgate new NAME` makes one";
        let bytes = files::read(&file, Manifest::MAX_BYTES as u64).map_err(|error| vec![error.help(help)])?;
        let text = String::from_utf8(bytes).map_err(|_| {
            vec![Error::new(code::MANIFEST_SYNTAX, "the manifest is not UTF-8").at(file.display().to_string())]
        })?;
        let shown = file.display().to_string();
        let manifest = Manifest::parse_toml(&text, &shown)?;
        Ok(Self { folder, file: shown, text, manifest })
    }

    /// Compiles the project's crate for `wasm32-wasip2` with cargo, if it has one.
    ///
    /// # Errors
    /// `LG0010` if cargo fails; it has said why.
    pub fn compile(&self) -> Result<(), Errors> {
        if !self.folder.join("Cargo.toml").is_file() {
            return Ok(());
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--release", "--target", "wasm32-wasip2"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            // Standard output may be the job's.
            .stdout(std::io::stderr())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => {
                Err(vec![Error::new(code::BUILD_FAILED, "cargo could not build the component").help(
                    "Correct what cargo says above. If the target is missing: `rustup target add wasm32-wasip2`.",
                )])
            }
            Err(error) => Err(vec![
                Error::new(code::BUILD_FAILED, format!("cargo could not be started: {error}"))
                    .help("Install Rust from rustup.rs, or build the component yourself and use --no-compile."),
            ]),
        }
    }

    /// Looks at the components, infers the schemas that the manifest leaves open from the data, and plans the graph.
    ///
    /// # Errors
    /// All that is wrong, with places in the manifest.
    pub fn build(&self, machine: &Machine, values: &BTreeMap<Name, String>) -> Result<Built, Errors> {
        let volumes = machine.volumes().map_err(|error| vec![error])?;
        let mut manifest = self.manifest.clone();
        let limits = Limits::with(&manifest.limits);
        let author = machine.author().map_err(|error| vec![error])?;
        let (mut parts, mut errors) = (BTreeMap::new(), Errors::new());
        for (name, component) in &manifest.component {
            match self.part(&author, &limits, name, component) {
                Ok(part) => drop(parts.insert(name.clone(), part)),
                Err(error) => errors.push(error.at(format!("component {name}"))),
            }
        }
        if errors.is_empty() {
            for (name, source) in &mut manifest.source {
                if let Err(error) = infer(source, &volumes, &author) {
                    errors.push(error.at(format!("source {name}")));
                }
            }
        }
        if !errors.is_empty() {
            return Err(self.located(errors));
        }
        let described: BTreeMap<Name, Vec<FunctionDescription>> =
            parts.iter().map(|(name, part)| (name.clone(), part.describe.clone())).collect();
        // What runs is planned again, of the signed manifest; here it is only to find what is wrong.
        Planner::plan(&manifest, &described, values).map_err(|errors| self.located(errors))?;
        Ok(Built { manifest, parts })
    }

    fn part(
        &self,
        author: &Author,
        limits: &Limits,
        name: &Name,
        component: &manifest::Component,
    ) -> Result<Part, Error> {
        let path = component.path.as_deref().ok_or_else(|| {
            Error::new(code::OPTION_MISSING, format!("component {name} has no path"))
                .help("add `path = \"target/wasm32-wasip2/release/NAME.wasm\"`")
        })?;
        let file = self.folder.join(path);
        let file = redirected(path, std::env::var_os("CARGO_TARGET_DIR")).unwrap_or(file);
        let help = "build it (`cargo build --release --target wasm32-wasip2`) or correct the path";
        let wasm = files::read(&file, MAX_COMPONENT).map_err(|error| error.help(help))?;
        let info = author.inspect(&wasm)?;
        let describe = author.describe(&wasm, limits)?;
        Ok(Part {
            wasm,
            describe,
            imports: info.imports.into_iter().collect(),
            exports: info.exports.into_iter().collect(),
        })
    }

    /// Places such as `operator score` become places in the manifest's file.
    fn located(&self, errors: Errors) -> Errors {
        let find = |place: &str| manifest::locate(&self.text, &self.file, place);
        let locate = |error: Error| match error.place().and_then(find) {
            Some(place) => {
                let (node, cause) = (error.place().unwrap_or_default(), error.cause());
                let cause = if cause.contains(node) { cause.to_owned() } else { format!("{node}: {cause}") };
                let told = Error::new(error.code(), cause).at(place);
                match error.help_text() {
                    Some(help) => told.help(help),
                    None => told,
                }
            }
            None => error,
        };
        errors.into_iter().map(locate).collect()
    }
}

impl Built {
    /// The bundle, waiting for its signatures.
    ///
    /// # Errors
    /// `LG0310` if the bundle that it replaces is of another job.
    pub fn package(self, terms: Terms, replaced: Option<&Package>) -> Result<Package, Error> {
        let draft = Draft {
            kind: Kind::Job,
            audience: terms.audience,
            manifest: self.manifest,
            parts: self.parts,
            data: BTreeMap::new(),
            fallback: terms.fallback,
            not_before: terms.not_before,
            expires: terms.expires,
            grace_seconds: terms.grace_seconds,
        };
        draft.package(replaced)
    }
}

/// Where cargo puts what a manifest has as `…/target/wasm32-wasip2/…` when it was told of another target folder.
fn redirected(path: &str, folder: Option<std::ffi::OsString>) -> Option<PathBuf> {
    let (_, within) = path.split_once("target/").filter(|(_, within)| within.starts_with("wasm32-"))?;
    Some(Path::new(&folder?).join(within))
}

/// Whether a sink of `plan` writes to standard output.
pub fn writes_stdout(plan: &Plan) -> bool {
    plan.nodes.iter().any(|node| matches!(&node.kind, NodeKind::Sink(sink) if sink.connector == SinkConnector::Stdout))
}

/// Gives a source whose format has no schema of its own the one that the first file of its data has.
fn infer(source: &mut manifest::Source, volumes: &Volumes, author: &Author) -> Result<(), Error> {
    if source.schema.is_some() || source.connector != "file" {
        return Ok(());
    }
    let (Some(volume), Some(path)) = (&source.volume, &source.path) else { return Ok(()) };
    let Some(format) = Planner::file_format(source) else { return Ok(()) };
    if format.kind == FormatKind::Lines {
        return Ok(());
    }
    let connector = SourceConnector::File { volume: volume.clone(), path: path.clone() };
    let help = format!("Name the volume with `--volume {volume}=DIRECTORY`, or write the schema into the manifest.");
    let connected = source::connect(&connector, volumes, &Arc::default()).map_err(|error| error.help(help))?;
    let splits = connected.splits()?;
    let Some(split) = splits.first() else { return Ok(()) };
    let mut input = FileInput(connected.open(split)?);
    source.schema = Some(author.infer(&format, &split.name, &mut input)?);
    Ok(())
}

/// A file as the decoders want it.
struct FileInput(Box<dyn source::Bytes>);

impl Input for FileInput {
    fn size(&self) -> Option<u64> {
        self.0.size()
    }

    fn read(&mut self, offset: u64, length: usize) -> Result<lockgate_executor::Bytes, Error> {
        let left = self.0.size().map_or(u64::MAX, |size| size.saturating_sub(offset));
        let mut bytes = vec![0; length.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..)
            && !rest.is_empty()
        {
            match self.0.read_at(offset + filled as u64, rest)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes.into())
    }
}
