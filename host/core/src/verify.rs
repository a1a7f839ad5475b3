//! The one decision on whether a bundle may run here: pinned root, documents, marks and a time go in, a
//! [`Verified<Bundle>`] or one refusal comes out.
//!
//! The order, each step by what the steps before it established:
//!
//! 1. the clock has not gone back;
//! 2. operator root: from the pinned one on, each signed by its predecessor's threshold and its own;
//! 3. operator's status: fresh, and it names this root;
//! 4. tenant's policy: this tenant's, named by the status, changed root keys agreed to by the old ones;
//! 5. tenant root: of the policy's epoch, signed by the policy's root keys;
//! 6. tenant's status: fresh, not longer-lived than the policy allows, and it names this root;
//! 7. no key in two of these roles;
//! 8. the bundle's file: bounded, well-formed, every digest right;
//! 9. its envelope: signed by the threshold of the signers that are not revoked;
//! 10. its statement: strict, consistent, for this audience and tenant, its layers exactly those of the file;
//! 11. nothing of it is revoked;
//! 12. what it touches is granted, its limits and parallelism are within the ceilings;
//! 13. it is valid by now, and a restart or upgrade is of what was admitted before;
//! 14. the status names this version and payload for this job (or the version that names it as a fallback);
//! 15. what it newly touches, compared with the marked version, is listed as added;
//! 16. its version does not go back, exist twice or leap;
//! 17. nothing is expired: at all to start, by more than the signed grace to restart.
//!
//! Every document goes through audience, expiry and marks as it is read.

mod bundle;
mod reliance;

pub use bundle::{Bundle, ComponentRef};
pub use reliance::{Reliance, upgrade};

use crate::bundle::{Package, ReadLimits};
use crate::dsse::{Envelope, Signed};
use crate::error::{Error, Result, code};
use crate::limits::Limits;
use crate::marks::{JobMark, Marks};
use crate::name::Name;
use crate::statement::{self, Predicate, Release, Statement};
use crate::time::Timestamp;
use crate::trust::chain::{Chain, Clock, Scope};
use crate::trust::{Documents, Reference, TrustDomain};
use std::io::Read;
use std::ops::Deref;

/// Something that was verified. Only this module can make one:
///
/// ```compile_fail,E0423
/// let made_up = lockgate_core::verify::Verified("a bundle");
/// ```
#[derive(Debug)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Verified<Bundle> {
    /// A component of the bundle by its name in the manifest: as verified as the bundle is.
    pub fn component(&self, name: &Name) -> Option<Verified<ComponentRef<'_>>> {
        self.0.components().find(|component| component.name == name).map(Verified)
    }
}

/// As what a bundle is to run. Whoever asks is not trusted: no kind demands less than [`Admission::Start`], except that a
/// restart is granted the signed grace for everything that expires, and a fallback for the bundle.
#[derive(Clone, Copy, Debug)]
pub enum Admission<'a> {
    /// The job starts, whether it has run here before or not.
    Start,
    /// The job runs here in an earlier version, which this one replaces.
    Upgrade,
    /// Exactly this version was admitted here before.
    Restart,
    /// Back to an earlier version, which the current one names in its signed `fallback`.
    Fallback {
        /// The envelope of the current version.
        current: &'a Envelope,
    },
}

/// What verification goes by.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The operator root that was pinned at set-up, or one that was accepted since.
    pub pinned: &'a Envelope,
    /// The trust documents, from whomever.
    pub documents: &'a Documents,
    /// The trust domain of this cluster.
    pub domain: &'a TrustDomain,
    /// Whose executor it is for.
    pub tenant: &'a Name,
    /// What was accepted so far.
    pub marks: &'a Marks,
    /// The time on this machine's clock.
    pub now: Timestamp,
    /// As what it is to run.
    pub admission: Admission<'a>,
    /// What reading the bundle may cost.
    pub read: ReadLimits,
}

/// A bundle that may run, once `marks` are durable.
#[derive(Debug)]
pub struct Accepted {
    /// The bundle.
    pub bundle: Verified<Bundle>,
    /// The marks to make durable before the bundle is used.
    pub marks: Marks,
    /// What expires first, and when: for warnings beforehand.
    pub next_expiry: Option<(String, Timestamp)>,
}

/// Takes in new documents, whatever comes of any bundle: the marks that it gives must be made durable before
/// [`verify`] or [`review`] is asked about them, so that a revocation that was seen once is never unseen, even if all
/// that it led to was a refusal. Expired documents teach too.
///
/// # Errors
/// `LG04nn` if the documents do not hold together or go back behind the marks.
pub fn learn(request: &Request<'_>) -> Result<Marks> {
    let mut marks = request.marks.clone();
    let mut clock = Clock::new(marks.advance_clock(request.now)?, true);
    Chain::verify(request.scope(), &mut marks, &mut clock)?;
    Ok(marks)
}

/// Verifies the bundle that `reader` gives. The order of the checks stands at the top of this module.
///
/// # Errors
/// `LG0302` to `LG0311` for the bundle's file and statement, `LG04nn` for everything about trust, `LG0221` for limits.
pub fn verify(request: &Request<'_>, reader: impl Read) -> Result<Accepted> {
    let mut marks = request.marks.clone();
    let mut clock = request.clock(&mut marks)?;
    let chain = Chain::verify(request.scope(), &mut marks, &mut clock)?;

    let package = Package::read(reader, &request.read)?;
    let signed = open(&package.envelope, &chain)?;
    let statement = request.statement(&signed)?;
    let predicate = &statement.predicate;
    package.check_layers(predicate)?;

    let job = &predicate.manifest.job;
    let presented = Release { version: job.version, digest: package.envelope.payload_digest() };
    let layers = package.layers.iter().map(|layer| &layer.digest);
    chain.check_revoked(&job.name, layers.chain([&presented.digest]))?;
    let limits = within_policy(predicate, &chain)?;
    if clock.now < predicate.not_before {
        let cause = format!("{} is valid from {}, it is {} now", title(predicate), predicate.not_before, clock.now);
        return Err(Error::new(code::NOT_YET_VALID, cause));
    }
    // Current is the bundle itself, or the version that names it as a fallback.
    if let Admission::Fallback { current } = request.admission {
        let authority = request.statement(&open(current, &chain)?)?.predicate;
        let current = Release { version: authority.manifest.job.version, digest: current.payload_digest() };
        check_fallback(predicate, presented, &authority)?;
        admit(&authority, current, &chain, &mut marks)?;
        for predicate in [&authority, predicate] {
            clock.require_within(&title(predicate), predicate.expires, predicate.grace_seconds)?;
        }
    } else {
        request.require_admitted(presented, &job.name, &marks)?;
        admit(predicate, presented, &chain, &mut marks)?;
        clock.require(&title(predicate), predicate.expires, code::EXPIRED)?;
    }
    let next_expiry = clock.settle(predicate.grace_seconds)?;

    let signers = signed.signers;
    let bundle = Bundle::new(package, statement, presented, &chain, limits, signers)?;
    Ok(Accepted { bundle: Verified(bundle), marks, next_expiry })
}

/// Looks at a running job again, when documents have changed or time has passed. A job that this refuses stops.
///
/// What a new version brings is not held against a running one: it stops for revocation of the job, its content or too
/// many of its signers, for a tenant that was recreated or recovered, and when the grace after an expiry is over.
///
/// # Errors
/// `LG0419` if it is revoked, other `LG04nn` if the documents are refused.
pub fn review(request: &Request<'_>, bundle: &Verified<Bundle>) -> Result<(Marks, Option<(String, Timestamp)>)> {
    Reliance::of(bundle).review(request)
}

impl<'a> Request<'a> {
    fn clock(&self, marks: &mut Marks) -> Result<Clock> {
        let lenient = matches!(self.admission, Admission::Restart);
        Ok(Clock::new(marks.advance_clock(self.now)?, lenient))
    }

    fn scope(&self) -> Scope<'a> {
        Scope { pinned: self.pinned, documents: self.documents, domain: self.domain, tenant: self.tenant }
    }

    /// Reads a verified statement that is for this cluster and tenant.
    fn statement(&self, signed: &Signed<'_>) -> Result<Statement> {
        let statement = Statement::parse(signed.payload)?;
        statement.predicate.audience.require("the bundle", self.domain)?;
        let tenant = &statement.predicate.manifest.job.tenant;
        if tenant == self.tenant {
            return Ok(statement);
        }
        Err(Error::new(code::WRONG_TENANT, format!("the bundle is of tenant {tenant}, not {}", self.tenant)))
    }

    /// Refuses an upgrade of nothing, and a restart of what was not admitted.
    fn require_admitted(&self, presented: Release, job: &Name, marks: &Marks) -> Result<()> {
        let held = marks.job(self.tenant, job);
        let refuse = |what: &str| {
            let known = held.map_or_else(|| "none".to_owned(), |held| held.to_string());
            let cause = format!("job {job} version {} {what}: admitted here is {known}", presented.version);
            Err(Error::new(code::NOT_ADMITTED, cause))
        };
        match (self.admission, held) {
            (Admission::Upgrade, None) => refuse("upgrades nothing"),
            (Admission::Restart, held) if held.is_none_or(|held| (held.version, held.digest) != pair(presented)) => {
                refuse("cannot be restarted")
            }
            _ => Ok(()),
        }
    }
}

fn pair(release: Release) -> (u64, crate::Digest) {
    (release.version, release.digest)
}

fn open<'a>(envelope: &'a Envelope, chain: &Chain) -> Result<Signed<'a>> {
    envelope.verify("the bundle", statement::PAYLOAD_TYPE, &chain.signers())
}

/// What is touched is granted, and limits and parallelism are within the policy's ceilings.
fn within_policy(predicate: &Predicate, chain: &Chain) -> Result<Limits> {
    let job = &predicate.manifest.job;
    reliance::covered(&title(predicate), &predicate.touches(), job.parallelism.max, chain)?;
    Limits::with(&predicate.manifest.limits).within(&chain.policy.ceilings)
}

/// The status must name this release as current, and the job's mark must let it pass; what it touches beyond the marked
/// version must be listed as added.
fn admit(predicate: &Predicate, release: Release, chain: &Chain, marks: &mut Marks) -> Result<()> {
    let job = &predicate.manifest.job;
    let named = chain.status.jobs.get(&job.name);
    if named != Some(&release) {
        let named =
            named.map_or_else(|| "none".to_owned(), |r| format!("version {} ({})", r.version, r.digest.short()));
        let cause = format!(
            "{} ({}) is not current: the tenant's status names {named}",
            title(predicate),
            release.digest.short()
        );
        return Err(Error::new(code::NOT_CURRENT, cause));
    }
    let next = Reference { epoch: chain.policy.epoch, version: release.version, digest: release.digest };
    let touches = predicate.touches();
    if let Some(held) = marks.job_mark(&job.tenant, &job.name) {
        let (version, digest) = (held.release.version, held.release.digest);
        if predicate.replaces.is_some_and(|replaced| replaced.version == version && replaced.digest != digest) {
            let cause =
                format!("{} replaces another version {version} than the one that was admitted here", title(predicate));
            return Err(Error::new(code::WRONG_REPLACES, cause));
        }
        let unlisted = |touch: &&_| !held.touched(touch) && !predicate.adds.contains(touch);
        if let Some(touch) = touches.iter().find(unlisted).filter(|_| version < next.version) {
            let cause = format!(
                "{} newly touches what it does not list as added: {}",
                title(predicate),
                statement::show(touch)
            );
            return Err(Error::new(code::WIDENED, cause));
        }
    }
    marks.advance_job(&format!("job {}", job.name), &job.tenant, &job.name, JobMark::new(next, &touches))
}

fn check_fallback(predicate: &Predicate, presented: Release, authority: &Predicate) -> Result<()> {
    let same = predicate.manifest.job.name == authority.manifest.job.name;
    if same && authority.fallback.contains(&presented) {
        return Ok(());
    }
    let cause = format!("{} is no fallback that {} names", title(predicate), title(authority));
    Err(Error::new(code::NOT_A_FALLBACK, cause))
}

fn title(predicate: &Predicate) -> String {
    format!("job {} version {}", predicate.manifest.job.name, predicate.manifest.job.version)
}

#[cfg(test)]
mod tests;
