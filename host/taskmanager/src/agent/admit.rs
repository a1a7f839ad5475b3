//! Whether an assignment may run here: the one place where what a JobManager says meets what was signed.
//!
//! First the tenant's documents are fetched and learnt from, and the marks are on the disk, before anything else happens:
//! a revocation that was seen once is never unseen. Then the bundle is fetched by digest and verified as what it is to
//! run; only then is it prepared. While it runs it is looked at again, with new documents if there are any and with the
//! time in any case.

use super::bundles::Bundles;
use super::client::{self, Plane};
use super::clock::Clock;
use super::marks::TenantMarks;
use crate::artefact_cache::ArtefactCache;
use crate::job::{self, Prepared};
use crate::volume::Volumes;
use lockgate_core::bundle::{Package, ReadLimits};
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::marks::Marks;
use lockgate_core::placement::JobId;
use lockgate_core::plan::{NodeKind, Plan, SinkConnector, SourceConnector};
use lockgate_core::plane::{Assignment, path};
use lockgate_core::statement::{Kind, Release};
use lockgate_core::trust::chain::MAX_DOCUMENTS;
use lockgate_core::trust::{Documents, TrustDomain};
use lockgate_core::verify::{Admission, Bundle, Reliance, Request, Verified, learn, verify};
use lockgate_core::{Error, Name, Result, Timestamp};
use lockgate_executor::Compiler;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Mutex as AsyncMutex;

/// The most bytes of a bundle that are held when only its envelope is needed: of all its documents.
const MAX_HELD: u64 = 16 << 20;

/// What admission goes by.
pub struct Admitter {
    /// The operator root that the configuration pins.
    pub pinned: Envelope,
    /// The cluster's trust domain.
    pub domain: TrustDomain,
    /// Where documents and bundles come from.
    pub plane: Arc<Plane>,
    /// The time.
    pub clock: Arc<Clock>,
    /// What was seen before.
    pub marks: TenantMarks,
    /// Fetched bundles.
    pub bundles: Bundles,
    /// The volumes of this machine.
    pub volumes: Volumes,
    /// Compiles what is not in `cache`.
    pub compiler: Compiler,
    /// Compiled components.
    pub cache: ArtefactCache,
    /// The last documents of each tenant that were learnt from. Locked while documents and marks must not part.
    pub tenants: Mutex<BTreeMap<Name, Known>>,
}

/// A tenant's documents as they were last learnt from.
pub type Known = Arc<AsyncMutex<Option<Arc<Documents>>>>;

/// A job that may run here.
pub struct Admitted {
    /// What it relies on, to be looked at again.
    pub reliance: Reliance,
    /// It, ready to run.
    pub prepared: Prepared,
}

impl Admitter {
    /// Admits what is assigned.
    ///
    /// # Errors
    /// Why not: see [`learn`], [`verify`] and [`job::prepare`]; `LG1425` if it is not what was assigned, `LG1427` if it needs a
    /// terminal, `LG0801` if a volume is not here; what [`client::may_pass`] knows if the JobManager cannot be asked.
    pub async fn admit(self: &Arc<Self>, assignment: &Assignment) -> Result<Admitted> {
        let tenant = &assignment.job.tenant;
        self.refresh(tenant).await?;
        let file = self.bundles.fetch(&self.plane, tenant, assignment.bundle).await?;
        let current = match assignment.fallback_of {
            Some(digest) => Some(self.bundles.fetch(&self.plane, tenant, digest).await?),
            None => None,
        };
        let bundle = self.verified(assignment, file, current).await?;
        let (this, assignment) = (Arc::clone(self), assignment.clone());
        blocking(move || {
            let reliance = Reliance::of(&bundle);
            let prepared = job::prepare(&bundle, &assignment.parameters, &this.compiler, &this.cache)?;
            this.connectors(&prepared.plan)?;
            Ok(Admitted { reliance, prepared })
        })
        .await
    }

    /// Looks at a running job again, with new documents if they can be had and with the last ones otherwise: time passes
    /// for both.
    ///
    /// # Errors
    /// Why it may not run any longer.
    pub async fn review(self: &Arc<Self>, tenant: &Name, reliance: &Reliance) -> Result<()> {
        if let Err(error) = self.refresh(tenant).await {
            tracing::warn!(%tenant, %error, "no newer trust documents; what runs is looked at by the last ones");
        }
        let known = self.known(tenant);
        let held = known.lock().await;
        let Some(documents) = held.clone() else { return Ok(()) };
        let (this, tenant, reliance) = (Arc::clone(self), tenant.clone(), reliance.clone());
        blocking(move || {
            let now = this.clock.now();
            let mut open = this.marks.of(&tenant, now)?;
            let marks = open.marks.clone();
            let request = this.request(&documents, &tenant, &marks, now, Admission::Restart);
            let (marks, _) = reliance.review(&request)?;
            open.keep(marks)
        })
        .await
    }

    /// Fetches a tenant's documents and learns from them.
    async fn refresh(self: &Arc<Self>, tenant: &Name) -> Result<()> {
        match self.refresh_once(tenant).await {
            // Another tenant's documents may have brought something newer of the operator's meanwhile.
            Err(error) if error.code() == code::ROLLBACK => self.refresh_once(tenant).await,
            refreshed => refreshed,
        }
    }

    async fn refresh_once(self: &Arc<Self>, tenant: &Name) -> Result<()> {
        let known = self.known(tenant);
        let mut held = known.lock().await;
        let from = client::path(path::TRUST, &[("tenant", tenant.as_str())]);
        let bytes = self.plane.get(&from, MAX_DOCUMENTS).await?;
        let (this, tenant) = (Arc::clone(self), tenant.clone());
        let documents = blocking(move || {
            let documents = Documents::parse(&bytes)?;
            let now = this.clock.now_durably()?;
            let mut open = this.marks.of(&tenant, now)?;
            let marks = open.marks.clone();
            let learnt = learn(&this.request(&documents, &tenant, &marks, now, Admission::Start))?;
            open.keep(learnt)?;
            Ok(documents)
        })
        .await?;
        *held = Some(Arc::new(documents));
        Ok(())
    }

    async fn verified(
        self: &Arc<Self>,
        assignment: &Assignment,
        file: File,
        current: Option<File>,
    ) -> Result<Verified<Bundle>> {
        let known = self.known(&assignment.job.tenant);
        let held = known.lock().await;
        let documents = held.clone().ok_or_else(|| Error::new(code::INTERNAL, "a tenant without documents"))?;
        let (this, assignment) = (Arc::clone(self), assignment.clone());
        blocking(move || {
            let now = this.clock.now_durably()?;
            let mut open = this.marks.of(&assignment.job.tenant, now)?;
            let marks = open.marks.clone();
            let authority = current.map(|file| this.envelope(file)).transpose()?;
            let admission = kind(&assignment, &marks, authority.as_ref());
            let request = this.request(&documents, &assignment.job.tenant, &marks, now, admission);
            let accepted = verify(&request, file)?;
            assigned(&assignment, &accepted.bundle)?;
            open.keep(accepted.marks)?;
            Ok(accepted.bundle)
        })
        .await
    }

    /// The envelope of a bundle of which nothing else is needed.
    fn envelope(&self, file: File) -> Result<Envelope> {
        let limits = ReadLimits { held: MAX_HELD, ..self.bundles.limits() };
        Ok(Package::read(file, &limits)?.envelope)
    }

    fn request<'a>(
        &'a self,
        documents: &'a Documents,
        tenant: &'a Name,
        marks: &'a Marks,
        now: Timestamp,
        admission: Admission<'a>,
    ) -> Request<'a> {
        let (pinned, domain, read) = (&self.pinned, &self.domain, self.bundles.limits());
        Request { pinned, documents, domain, tenant, marks, now, admission, read }
    }

    fn known(&self, tenant: &Name) -> Known {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tenants.entry(tenant.clone()).or_default())
    }

    /// Forgets the documents of all tenants but these. Marks stay.
    pub fn forget_others<'a>(&self, jobs: impl Iterator<Item = &'a JobId>) {
        let kept: std::collections::BTreeSet<&Name> = jobs.map(|job| &job.tenant).collect();
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|tenant, known| kept.contains(tenant) || Arc::strong_count(known) > 1);
    }

    /// The volumes are here, and nothing needs a terminal.
    fn connectors(&self, plan: &Plan) -> Result<()> {
        for node in &plan.nodes {
            let volume = match &node.kind {
                NodeKind::Source(source) => match &source.connector {
                    SourceConnector::File { volume, .. } => Some(volume),
                    SourceConnector::Stdin => return Err(terminal(&node.name, "reads standard input")),
                    SourceConnector::Nexmark(_) => None,
                },
                NodeKind::Sink(sink) => match &sink.connector {
                    SinkConnector::File { volume, .. } => Some(volume),
                    SinkConnector::Stdout => return Err(terminal(&node.name, "writes standard output")),
                    SinkConnector::Discard => None,
                },
                NodeKind::Function(_) | NodeKind::Select(_) => None,
            };
            if let Some(volume) = volume {
                self.volumes.get(volume).map_err(|error| error.at(node.name.as_str()))?;
            }
        }
        Ok(())
    }
}

/// As what a bundle is to run, by what was admitted here before and not by what the JobManager says.
fn kind<'a>(assignment: &Assignment, marks: &Marks, authority: Option<&'a Envelope>) -> Admission<'a> {
    if let Some(current) = authority {
        return Admission::Fallback { current };
    }
    let Release { version, digest } = assignment.release;
    match marks.job(&assignment.job.tenant, &assignment.job.name) {
        Some(held) if (held.version, held.digest) == (version, digest) => Admission::Restart,
        Some(_) => Admission::Upgrade,
        None => Admission::Start,
    }
}

/// What was verified must be what was assigned, within what was signed.
fn assigned(assignment: &Assignment, bundle: &Verified<Bundle>) -> Result<()> {
    let refuse = |cause: String| Err(Error::new(code::WRONG_ASSIGNMENT, cause));
    let job = &assignment.job;
    if (bundle.tenant(), bundle.job()) != (&job.tenant, &job.name) || bundle.kind() != Kind::Job {
        return refuse(format!("job {job} is assigned, the bundle is {}/{}", bundle.tenant(), bundle.job()));
    }
    let Release { version, digest } = assignment.release;
    if (bundle.version(), bundle.digest()) != (version, digest) {
        return refuse(format!(
            "version {version} ({}) of job {job} is assigned, the bundle is version {} ({})",
            digest.short(),
            bundle.version(),
            bundle.digest().short()
        ));
    }
    let range = bundle.manifest().job.parallelism;
    if !(range.min..=range.max).contains(&assignment.parallelism) {
        let (min, max) = (range.min, range.max);
        return refuse(format!("job {job} is assigned {} slots, signed are {min} to {max}", assignment.parallelism));
    }
    Ok(())
}

fn terminal(node: &Name, what: &str) -> Error {
    Error::new(code::NOT_IN_A_CLUSTER, format!("{node} {what}, which a TaskManager of a cluster has none of"))
}

/// Does what takes long, or waits for a disk, where nobody else waits for it.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(code::INTERNAL, format!("a thread of the TaskManager: {error}"))),
    }
}
