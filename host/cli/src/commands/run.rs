//! `lockgate run`: runs a project or a bundle on this machine.
//!
//! A project is built, signed with the development key of this machine and verified like every bundle: there is no
//! unsigned path. A bundle is verified against the documents of a trust folder, and what was accepted is remembered.

use super::trust::TrustFolder;
use super::{Failure, Outcome, build::Source};
use crate::files;
use crate::home::Home;
use crate::output::Output;
use crate::progress::{Progress, report};
use crate::project::{self, Project, Terms};
use lockgate_core::bundle::{Package, ReadLimits};
use lockgate_core::dsse::{Envelope, MAX_ENVELOPE};
use lockgate_core::error::code;
use lockgate_core::marks::Marks;
use lockgate_core::trust::TrustDomain;
use lockgate_core::trust::development::{self, Allowed};
use lockgate_core::verify::{Admission, Bundle, Request, Verified, learn, verify};
use lockgate_core::{Error, Name, Timestamp};
use lockgate_executor::Compiler;
use lockgate_executor::Executors;
use lockgate_taskmanager::artefact_cache::ArtefactCache;
use lockgate_taskmanager::job::{self, Kept, RunOptions, Share, Stop};
use lockgate_taskmanager::marks_file::MarksFile;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How long another process may hold the file of marks.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "Ctrl-C lets the job finish its batches and commit; the next run goes on from there. A second \
                        Ctrl-C stops at once; what was not committed is done again.")]
pub struct Run {
    /// A project's folder, or a bundle (with --trust and --domain).
    #[command(flatten)]
    source: Source,
    /// The folder of trust documents that a bundle is verified against.
    #[arg(long, value_name = "DIR", requires = "domain")]
    trust: Option<PathBuf>,
    /// The trust domain that this machine stands for.
    #[arg(long, requires = "trust")]
    domain: Option<TrustDomain>,
    /// The operator root that is pinned. If absent, the one that the domain was first run under on this machine; the
    /// first time, the first one of the trust folder.
    #[arg(long, value_name = "FILE", requires = "trust")]
    pin: Option<PathBuf>,
    /// The value of a parameter; may be given several times.
    #[arg(long = "param", short, value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(Name, String)>,
    /// Task slots; as many as the job may use and the machine has cores if absent.
    #[arg(long)]
    parallelism: Option<u32>,
    /// The directory of the states of jobs.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Gives an unfinished earlier run up and begins anew.
    #[arg(long)]
    fresh: bool,
    /// Shows neither progress nor the guests' logs.
    #[arg(long, short)]
    quiet: bool,
}

fn parameter(text: &str) -> Result<(Name, String), String> {
    let (name, value) = text.split_once('=').ok_or("not of the form NAME=VALUE")?;
    Ok((Name::new(name).map_err(|error| error.cause().to_owned())?, value.to_owned()))
}

impl Run {
    pub fn run(&self, output: &Output) -> Outcome {
        let home = Home::open()?;
        let values: BTreeMap<Name, String> = self.parameters.iter().cloned().collect();
        let bundle = match &self.trust {
            Some(folder) => self.verified(&home, &TrustFolder::new(folder))?,
            None => self.developed(&home, &values, output)?,
        };
        let config = self.source.machine.config()?;
        let cache = config.cache.clone().unwrap_or_else(|| home.cache());
        let cache = ArtefactCache::open(&cache, config.cache_bytes)?;
        let job = job::prepare(&bundle, &values, &Compiler::new().with_policy(config.jail), &cache)?;
        let range = bundle.manifest().job.parallelism;
        let parallelism = self.parallelism.unwrap_or_else(|| config.slots.clamp(range.min, range.max));
        if !(range.min..=range.max).contains(&parallelism) {
            let cause = format!(
                "a parallelism of {parallelism} is outside of the signed range, {} to {}",
                range.min, range.max
            );
            return Err(Error::new(code::USAGE, cause).help("change `parallelism` under [job]").into());
        }
        let volumes = lockgate_taskmanager::volume::Volumes::open(&config.volumes)?;
        let state = self.state.clone().or(config.state.clone()).unwrap_or_else(|| home.state());
        let progress = Progress::new(&job.plan, self.quiet);
        let stop = Stop::default();
        let executors = Executors::new(config.executors(parallelism, job::memory(&job.plan, parallelism)))?;
        let options = RunOptions {
            executors: &executors,
            volumes: &volumes,
            record: Kept::Here { state: &state, fresh: self.fresh },
            share: Share::whole(parallelism),
            fuel_per_second: None,
            events: progress.events(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Error::new(code::IO, format!("no threads for the job: {error}")))?;
        let (done, interrupted) = runtime.block_on(async {
            let signals = tokio::spawn(listen(stop.clone(), progress.clone()));
            let done = job::run(&job, options, &stop).await;
            let interrupted = signals.is_finished() || stop.asked();
            signals.abort();
            (done, interrupted)
        });
        progress.finish();
        // A read of standard input may still be under way; nothing waits for it.
        runtime.shutdown_background();
        let done = done
            .map_err(|error| if error.place().is_some() { error } else { error.at(format!("job {}", bundle.job())) })?;
        report(output, &job.plan, &done, progress.elapsed(), project::writes_stdout(&job.plan));
        if interrupted && !done.finished {
            return Err(Failure::interrupted());
        }
        Ok(())
    }

    /// Builds the project and signs it with the development key.
    fn developed(
        &self,
        home: &Home,
        values: &BTreeMap<Name, String>,
        output: &Output,
    ) -> Result<Verified<Bundle>, Failure> {
        if self.source.project.is_file() && self.source.project.extension().is_some_and(|ending| ending == "lgb") {
            let help =
                "give the folder of its trust documents and this machine's trust domain: --trust DIR --domain NAME";
            return Err(Error::new(code::USAGE, "a bundle runs only under the trust documents of its tenant")
                .help(help)
                .into());
        }
        let project = Project::open(&self.source.project)?;
        self.source.compile(&project)?;
        let built = project.build(&self.source.machine, values)?;
        let (keys, made) = home.development_keys()?;
        if let Some(path) = made {
            output.note(&format!("made a development key for this machine: {}", path.display()));
        }
        let allowed = Allowed::as_asked(&built.manifest);
        // The same project must give the same statement, so that an interrupted run can go on: no time stands in it.
        let terms = Terms {
            audience: development::audience()?,
            not_before: Timestamp::from_seconds(0),
            expires: Timestamp::MAX,
            grace_seconds: 0,
            fallback: Vec::new(),
        };
        let mut package = built.package(terms, None)?;
        Ok(development::admit(&keys, &mut package, &allowed, files::now())?.bundle)
    }

    /// Verifies a bundle against the trust folder, and remembers what was accepted before it is used.
    fn verified(&self, home: &Home, folder: &TrustFolder) -> Result<Verified<Bundle>, Failure> {
        let read = ReadLimits::default();
        let bytes = files::read(&self.source.project, read.total)?;
        let domain = self.domain.as_ref().ok_or_else(|| Error::new(code::USAGE, "--trust needs --domain"))?;
        let tenant = Package::parse(&bytes)?.unverified_statement()?.predicate.manifest.job.tenant;
        let documents = folder.documents(&tenant)?;
        let pinned = match &self.pin {
            Some(path) => Envelope::parse(&files::read(path, MAX_ENVELOPE as u64)?)?,
            // Whoever brings the folder must not choose the root anew each time, nor leave out the first one.
            None => match home.pin(domain)? {
                Some(root) => root,
                None => folder.first_root()?,
            },
        };
        let now = files::now();
        // One file of marks for each root that was ever pinned: another root is another world.
        let file = home.marks(&pinned.payload_digest())?;
        let mut kept = MarksFile::open(&file, PATIENCE)?;
        let marks = match kept.read()? {
            Some(bytes) => Marks::decode(&bytes)?,
            None => Marks::provision(now),
        };
        let request = |marks| Request {
            pinned: &pinned,
            documents: &documents,
            domain,
            tenant: &tenant,
            marks,
            now,
            admission: Admission::Start,
            read,
        };
        // What the documents say is remembered whatever becomes of the bundle: a revocation that refuses it now must
        // not be unseen when someone brings the documents from before.
        let marks = learn(&request(&marks)).map_err(|error| match (&self.pin, error.help_text()) {
            (None, None) => error.help("if this domain has another operator root than before, name it with --pin"),
            _ => error,
        })?;
        kept.replace(&marks.encode()?)?;
        if self.pin.is_none() {
            home.remember_pin(domain, &pinned)?;
        }
        let accepted = verify(&request(&marks), bytes.as_slice())?;
        kept.replace(&accepted.marks.encode()?)?;
        Ok(accepted.bundle)
    }
}

/// Waits for Ctrl-C or a request to terminate: the first drains, the second cuts off.
async fn listen(stop: Stop, progress: Progress) {
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else { return };
    let mut cut_off = false;
    loop {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => if pressed.is_err() { return },
            _ = terminate.recv() => {}
        }
        if cut_off {
            stop.cancel();
            return;
        }
        cut_off = true;
        progress.note("stopping after this batch; press Ctrl-C again to stop at once");
        stop.drain();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Machine;
    use clap::Parser as _;
    use lockgate_core::statement::Release;
    use lockgate_core::trust::development::Keys;
    use lockgate_core::trust::{Documents, TenantStatus, create, peek};
    use std::path::Path;

    const PROJECT: &str = "[job]\ntenant = \"acme\"\nname = \"late\"\nversion = 1\n\
        [source.in]\nconnector = \"stdin\"\nformat = \"lines\"\n[sink.out]\ninput = \"in\"\nconnector = \"discard\"\n";

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        run: Run,
    }

    fn write(folder: &Path, root: &Envelope, documents: &Documents) {
        let folder = TrustFolder::new(folder);
        let tenant = Path::new("tenants/acme");
        folder.write(Path::new("operator-root.1.json"), root).unwrap();
        folder.write(Path::new("operator-status.json"), &documents.operator_status).unwrap();
        folder.write(&tenant.join("policy.1.1.json"), &documents.policies[0]).unwrap();
        folder.write(&tenant.join("root.json"), &documents.tenant_root).unwrap();
        folder.write(&tenant.join("status.json"), &documents.tenant_status).unwrap();
    }

    /// The project's bundle, not signed, and what it asks for.
    fn package(folder: &Path) -> (Package, Allowed) {
        let built = Project::open(folder).unwrap().build(&Machine::default(), &BTreeMap::new()).unwrap();
        let allowed = Allowed::as_asked(&built.manifest);
        let terms = Terms {
            audience: development::audience().unwrap(),
            not_before: Timestamp::from_seconds(0),
            expires: Timestamp::MAX,
            grace_seconds: 0,
            fallback: Vec::new(),
        };
        (built.package(terms, None).unwrap(), allowed)
    }

    fn line(bundle: &Path, trust: &Path) -> Run {
        let domain = development::domain().unwrap().to_string();
        let args = ["run", bundle.to_str().unwrap(), "--trust", trust.to_str().unwrap(), "--domain", &domain];
        Line::try_parse_from(args).unwrap().run
    }

    #[test]
    fn a_revocation_that_refused_a_bundle_is_not_unseen() {
        let place = tempfile::tempdir().unwrap();
        let (bundle, trust) = (place.path().join("late.lgb"), place.path().join("trust"));
        std::fs::write(place.path().join(project::MANIFEST), PROJECT).unwrap();
        let keys = Keys::from_seed(&[5; 32]);
        let (mut package, allowed) = package(place.path());
        package.sign(&keys.signer).unwrap();
        std::fs::write(&bundle, package.to_bytes().unwrap()).unwrap();
        let (tenant, job) = (Name::new("acme").unwrap(), Name::new("late").unwrap());
        let jobs: BTreeMap<Name, Release> = BTreeMap::from([(job.clone(), package.release().unwrap())]);
        let (root, before) = development::chain(&keys, &tenant, &allowed, jobs, files::now(), 1).unwrap();

        let mut status: TenantStatus = peek(&before.tenant_status).unwrap();
        status.version += 1;
        status.revoked_jobs.push(job);
        let after = Documents { tenant_status: create(&status, &[&keys.tenant_status]).unwrap(), ..before.clone() };

        let home = Home::at(place.path().to_owned());
        let run = line(&bundle, &trust);
        let present = |documents: &Documents| {
            write(&trust, &root, documents);
            run.verified(&home, &TrustFolder::new(&trust)).map(|_| ()).map_err(|failed| failed.0[0].code())
        };
        assert_eq!(present(&before), Ok(()));
        assert_eq!(present(&after), Err(code::REVOKED));
        assert_eq!(present(&before), Err(code::ROLLBACK));
    }

    #[test]
    fn the_root_of_a_domain_is_not_chosen_anew() {
        let place = tempfile::tempdir().unwrap();
        let (bundle, trust) = (place.path().join("late.lgb"), place.path().join("trust"));
        std::fs::write(place.path().join(project::MANIFEST), PROJECT).unwrap();
        let (ours, theirs) = (Keys::from_seed(&[5; 32]), Keys::from_seed(&[6; 32]));
        let (mut package, allowed) = package(place.path());
        package.sign(&ours.signer).unwrap();
        package.sign(&theirs.signer).unwrap();
        std::fs::write(&bundle, package.to_bytes().unwrap()).unwrap();
        let chain = |keys: &Keys| {
            let jobs = BTreeMap::from([(Name::new("late").unwrap(), package.release().unwrap())]);
            let tenant = Name::new("acme").unwrap();
            development::chain(keys, &tenant, &allowed, jobs, files::now(), 1).unwrap()
        };
        let home = Home::at(place.path().to_owned());
        let present = |keys: &Keys, pin: bool| {
            let (root, documents) = chain(keys);
            write(&trust, &root, &documents);
            let mut run = line(&bundle, &trust);
            run.pin = pin.then(|| trust.join("operator-root.1.json"));
            run.verified(&home, &TrustFolder::new(&trust)).map(|_| ()).map_err(|failed| failed.0[0].code())
        };
        assert_eq!(present(&ours, false), Ok(()));
        assert_eq!(present(&theirs, false), Err(code::UNTRUSTED_SIGNER));
        assert_eq!(present(&theirs, true), Ok(()));
    }
}
