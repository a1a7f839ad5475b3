//! `lockgate build` and `lockgate check`: from a project to a bundle that waits for its signatures, or to what its
//! reviewer should read.

use super::Outcome;
use super::inspect::list;
use crate::files;
use crate::local::Machine;
use crate::output::{Output, pairs};
use crate::project::{Built, Project, Terms};
use lockgate_core::bundle::{Package, ReadLimits};
use lockgate_core::diff::capabilities;
use lockgate_core::error::code;
use lockgate_core::trust::{Audience, TrustDomain};
use lockgate_core::{Error, Name, Timestamp, human};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Days for which a bundle may be started, if nobody says.
const DAYS: u32 = 90;

/// How a project is read: shared by every verb that takes one.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// The project's folder.
    #[arg(default_value = ".")]
    pub project: PathBuf,
    /// Takes the components as they are instead of building the project with cargo.
    #[arg(long)]
    pub no_compile: bool,
    #[command(flatten)]
    pub machine: Machine,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "The bundle is not signed yet: `lockgate sign BUNDLE --key FILE` does that. Schemas that the \
                        manifest leaves open are inferred from the data of its volumes and become part of what is signed.")]
pub struct Build {
    #[command(flatten)]
    source: Source,
    /// A cluster's trust domain that the bundle is for; may be given several times.
    #[arg(long = "audience", value_name = "DOMAIN", required = true)]
    audience: Vec<TrustDomain>,
    /// The bundle's file; JOB-VERSION.lgb in the project if absent.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The bundle that this one upgrades: what is newly touched is worked out and signed.
    #[arg(long, value_name = "BUNDLE")]
    replaces: Option<PathBuf>,
    /// An earlier bundle that an operator may return to; may be given several times.
    #[arg(long, value_name = "BUNDLE")]
    fallback: Vec<PathBuf>,
    /// Not to be started before this time; now if absent.
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    /// Days for which it may be started.
    #[arg(long, default_value_t = DAYS)]
    days: u32,
    /// Days for which restarts go on after that.
    #[arg(long, default_value_t = 7)]
    grace_days: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Nothing is written. What is shown is what `lockgate sign` would have signed.")]
pub struct Check {
    #[command(flatten)]
    source: Source,
}

impl Build {
    pub fn run(&self, output: &Output) -> Outcome {
        let built = self.source.built()?;
        let read = |path: &PathBuf| Package::parse(&files::read(path, ReadLimits::default().total)?);
        let replaced = self.replaces.as_ref().map(read).transpose()?;
        let fallback = self.fallback.iter().map(|path| read(path)?.release()).collect::<Result<_, Error>>()?;
        let not_before = self.not_before.unwrap_or_else(files::now);
        let terms = Terms {
            audience: Audience::new(self.audience.clone())?,
            not_before,
            expires: not_before.plus(i64::from(self.days) * 86_400),
            grace_seconds: u64::from(self.grace_days) * 86_400,
            fallback,
        };
        let lines = capable(&built);
        let job = built.manifest.job.clone();
        let package = built.package(terms, replaced.as_ref())?;
        let file = match &self.out {
            Some(file) => file.clone(),
            None => self.source.folder()?.join(format!("{}-{}.lgb", job.name, job.version)),
        };
        let bytes = package.to_bytes()?;
        files::replace(&file, &bytes)?;
        let digest = package.release()?.digest;
        let value = json!({
            "file": file, "bytes": bytes.len(), "tenant": job.tenant, "job": job.name, "version": job.version,
            "digest": digest, "capabilities": lines,
        });
        output.result(&value, || {
            let head = pairs([
                ("built", format!("job {} of tenant {}, version {}", job.name, job.tenant, job.version)),
                ("file", format!("{} ({})", file.display(), human::about_bytes(bytes.len() as u64))),
                ("digest", digest.to_string()),
                ("next", format!("lockgate sign {} --key FILE", file.display())),
            ]);
            head + &list(&lines)
        });
        Ok(())
    }
}

impl Check {
    pub fn run(&self, output: &Output) -> Outcome {
        let built = self.source.built()?;
        let lines = capable(&built);
        let job = &built.manifest.job;
        let value = json!({ "tenant": job.tenant, "job": job.name, "version": job.version, "capabilities": lines });
        output.result(&value, || {
            let head = format!("job {} of tenant {}, version {}, is sound. It\n", job.name, job.tenant, job.version);
            head + &list(&lines)
        });
        Ok(())
    }
}

impl Source {
    /// The project, built and planned. Parameters without a default get a value of their type that is within bounds only
    /// when the job runs; until then the planner is told of none.
    fn built(&self) -> Result<Built, Vec<Error>> {
        let project = Project::open(&self.project)?;
        self.compile(&project)?;
        project.build(&self.machine, &BTreeMap::new())
    }

    /// Builds the project's crate unless told not to.
    pub fn compile(&self, project: &Project) -> Result<(), Vec<Error>> {
        if self.no_compile { Ok(()) } else { project.compile() }
    }

    fn folder(&self) -> Result<PathBuf, Error> {
        let folder = if self.project.is_dir() { Some(self.project.as_path()) } else { self.project.parent() };
        folder.map(PathBuf::from).ok_or_else(|| Error::new(code::USAGE, "the project has no folder"))
    }
}

fn capable(built: &Built) -> Vec<String> {
    let imports: BTreeMap<Name, Vec<String>> =
        built.parts.iter().map(|(name, part)| (name.clone(), part.imports.iter().cloned().collect())).collect();
    capabilities(&built.manifest, &imports)
}
