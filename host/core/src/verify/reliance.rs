//! What a job that was admitted goes on relying on: so little that a JobManager can look at all its jobs again whenever
//! a document changes, without their bundles.

use super::{Bundle, Request, Verified, check_fallback, title};
use crate::digest::Digest;
use crate::error::{Error, Result, code};
use crate::grant::Touch;
use crate::keys::PublicKey;
use crate::limits::Limits;
use crate::marks::Marks;
use crate::name::Name;
use crate::statement::{self, Predicate, Release};
use crate::time::Timestamp;
use crate::trust::chain::{Chain, Clock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What must still hold for an admitted job to go on.
///
/// Made of a verified bundle. Stored and read again it is as trustworthy as the store; a TaskManager, which trusts no
/// store, makes its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reliance {
    /// The job.
    pub job: Name,
    /// The version, and the digest of the signed payload.
    pub release: Release,
    /// The tenant's epoch in which it was admitted.
    pub epoch: u64,
    /// Everything by which it can be revoked: the payload and all layers.
    pub digests: BTreeSet<Digest>,
    /// The keys whose signatures counted.
    pub signers: Vec<PublicKey>,
    /// How many of them are needed.
    pub threshold: u32,
    /// What it touches.
    pub touches: BTreeSet<Touch>,
    /// The greatest parallelism that it asks for.
    pub parallelism: u32,
    /// Its limits.
    pub limits: Limits,
    /// When it expires.
    pub expires: Timestamp,
    /// Seconds that it goes on after something expired.
    pub grace_seconds: u64,
}

impl Reliance {
    /// What a bundle relies on.
    pub fn of(bundle: &Verified<Bundle>) -> Self {
        let predicate = bundle.predicate();
        Self {
            job: bundle.job().clone(),
            release: Release { version: bundle.version(), digest: bundle.digest() },
            epoch: bundle.epoch(),
            digests: bundle.digests().copied().collect(),
            signers: bundle.signers().to_vec(),
            threshold: bundle.threshold(),
            touches: predicate.touches(),
            parallelism: predicate.manifest.job.parallelism.max,
            limits: *bundle.limits(),
            expires: predicate.expires,
            grace_seconds: predicate.grace_seconds,
        }
    }

    /// Looks at the job again, as [`review`](super::review) does with its bundle at hand; `request.tenant` is whose it
    /// is. A job that this refuses stops.
    ///
    /// # Errors
    /// `LG0419` if it is revoked, other `LG04nn` and `LG0221` if the documents are refused or cover it no more.
    pub fn review(&self, request: &Request<'_>) -> Result<(Marks, Option<(String, Timestamp)>)> {
        let mut marks = request.marks.clone();
        let now = marks.advance_clock(request.now)?;
        let mut clock = Clock::new(now, true);
        let chain = Chain::verify(request.scope(), &mut marks, &mut clock)?;
        if chain.policy.epoch != self.epoch {
            let cause = format!("job {} was admitted in epoch {} of tenant {}", self.job, self.epoch, request.tenant);
            return Err(
                Error::new(code::WRONG_EPOCH, cause).help("Start the job again under the tenant's new documents.")
            );
        }
        chain.check_revoked(&self.job, self.digests.iter())?;
        let revoked = |key| chain.root.revoked_keys.contains(key) || chain.status.revoked_keys.contains(key);
        let left = self.signers.iter().filter(|key| !revoked(key)).count();
        if u32::try_from(left).is_ok_and(|left| left < self.threshold) {
            let cause =
                format!("job {} has {left} signers left that are not revoked, {} are needed", self.job, self.threshold);
            return Err(Error::new(code::REVOKED, cause));
        }
        let title = format!("job {} version {}", self.job, self.release.version);
        covered(&title, &self.touches, self.parallelism, &chain)?;
        self.limits.within(&chain.policy.ceilings)?;
        clock.require(&title, self.expires, code::EXPIRED)?;
        let next_expiry = clock.settle(self.grace_seconds)?;
        Ok((marks, next_expiry))
    }
}

/// Whether `to` may take the place of `from`, and what it newly touches: what a user is shown before it happens. Both
/// are verified; the TaskManagers check the same against their own marks.
///
/// # Errors
/// `LG1305` if it is neither a higher version nor a fallback that `from` names, `LG0425` if it newly touches what it
/// does not list as added, `LG0426` if it says that it replaces another content of that version.
pub fn upgrade(from: &Verified<Bundle>, to: &Verified<Bundle>) -> Result<Vec<Touch>> {
    let (old, new) = (from.predicate(), to.predicate());
    let (placed, presented) = (release(from), release(to));
    if (from.tenant(), from.job()) != (to.tenant(), to.job()) {
        return Err(Error::new(code::NOT_AN_UPGRADE, format!("{} is another job than {}", title(new), title(old))));
    }
    if placed == presented {
        return Ok(Vec::new());
    }
    if presented.version <= placed.version {
        return check_fallback(new, presented, old).map(|()| newly(old, new)).map_err(|_| {
            let cause = format!("{} is no upgrade of {}, and no fallback that it names", title(new), title(old));
            Error::new(code::NOT_AN_UPGRADE, cause)
        });
    }
    if new.replaces.is_some_and(|replaced| replaced.version == placed.version && replaced != placed) {
        let cause = format!("{} replaces another version {} than the one in place", title(new), placed.version);
        return Err(Error::new(code::WRONG_REPLACES, cause));
    }
    let newly = newly(old, new);
    match newly.iter().find(|touch| !new.adds.contains(touch)) {
        Some(touch) => {
            let what = statement::show(touch);
            let cause = format!("{} newly touches what it does not list as added: {what}", title(new));
            Err(Error::new(code::WIDENED, cause))
        }
        None => Ok(newly),
    }
}

fn release(bundle: &Bundle) -> Release {
    Release { version: bundle.version(), digest: bundle.digest() }
}

fn newly(old: &Predicate, new: &Predicate) -> Vec<Touch> {
    new.touches().difference(&old.touches()).cloned().collect()
}

/// What is touched is granted, and the parallelism is within the policy's ceiling.
pub(super) fn covered(title: &str, touches: &BTreeSet<Touch>, parallelism: u32, chain: &Chain) -> Result<()> {
    let policy = &chain.policy;
    if let Some(touch) = touches.iter().find(|touch| !policy.grants.iter().any(|grant| grant.covers(touch))) {
        let cause = format!("{title} asks for {}, which its tenant's policy does not grant", statement::show(touch));
        return Err(Error::new(code::NOT_GRANTED, cause));
    }
    let allowed = policy.max_parallelism;
    if parallelism > allowed {
        let cause = format!("{title} asks for a parallelism of {parallelism}, its tenant's policy allows {allowed}");
        return Err(Error::new(code::PARALLELISM_ABOVE_CEILING, cause));
    }
    Ok(())
}
