//! A tenant's documents: the policy that the operator signs, the root and the status that the tenant signs.

use super::super::Outcome;
use super::finish;
use super::folder::of_tenant;
use super::options::{Signing, ceilings, grant, in_days, public_keys, role};
use crate::files;
use crate::output::Output;
use lockgate_core::bundle::{Package, ReadLimits};
use lockgate_core::error::code;
use lockgate_core::keys::PublicKey;
use lockgate_core::trust::{OperatorRoot, Reference, TenantPolicy, TenantRoot, TenantStatus, create, peek};
use lockgate_core::{Digest, Error, Name, Result};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "Signed by the operator's root keys. Other tenant root keys need the old tenant threshold as \
                        well, or --recover, which begins a new epoch and stops the tenant's jobs.")]
pub struct MakePolicy {
    /// The tenant's id.
    tenant: Name,
    #[command(flatten)]
    signing: Signing,
    /// A public key (text or file) of the tenant's root; may be given several times.
    #[arg(long, value_name = "KEY")]
    root: Vec<String>,
    /// How many of them must sign.
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// What the tenant's jobs may touch, such as `read:volume:flights/2013` or `write:stream:stdout`; may be given
    /// several times, and then replaces all earlier grants.
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
    /// The most that a manifest may ask for, such as `memory=1 GiB`; may be given several times.
    #[arg(long = "ceiling", value_name = "LIMIT=VALUE")]
    ceilings: Vec<String>,
    /// The most slots of one job.
    #[arg(long, value_name = "N")]
    max_parallelism: Option<u32>,
    /// The longest life of the tenant's status in days, 7 to 30.
    #[arg(long, value_name = "DAYS")]
    status_days: Option<u32>,
    /// Begin a new epoch: everything of the tenant's that was signed before is void.
    #[arg(long)]
    recover: bool,
    /// Days until it expires.
    #[arg(long, default_value_t = 365)]
    days: u32,
}

impl MakePolicy {
    pub fn run(&self, output: &Output) -> Outcome {
        let (folder, keys) = (self.signing.folder(), self.signing.keys()?);
        let operator: OperatorRoot = peek(&folder.last_root()?)?;
        let before: Option<TenantPolicy> = folder.policies(&self.tenant)?.last().map(peek).transpose()?;
        let before = before.as_ref();
        let grants = if self.grants.is_empty() {
            before.map(|before| before.grants.clone()).unwrap_or_default()
        } else {
            self.grants.iter().map(|text| grant(text)).collect::<Result<_>>()?
        };
        let (epoch, version) = match before {
            None => (1, 1),
            Some(before) if self.recover => (before.epoch.saturating_add(1), 1),
            Some(before) => (before.epoch, before.version.saturating_add(1)),
        };
        let next = TenantPolicy {
            tenant: self.tenant.clone(),
            epoch,
            version,
            expires: in_days(self.days),
            audience: operator.audience.clone(),
            root: role("--root", &self.root, self.threshold, before.map(|before| &before.root))?,
            grants,
            ceilings: ceilings(before.map(|before| before.ceilings).unwrap_or_default(), &self.ceilings)?,
            max_parallelism: self.max_parallelism.or(before.map(|before| before.max_parallelism)).unwrap_or(1),
            status_days: self.status_days.or(before.map(|before| before.status_days)).unwrap_or(7),
        };
        let envelope = create(&next, &keys.iter().collect::<Vec<_>>())?;
        let mut roles = vec![&operator.root];
        roles.extend(
            before.filter(|before| before.epoch == epoch && before.root != next.root).map(|before| &before.root),
        );
        let file = of_tenant(&self.tenant, &format!("policy.{epoch}.{version}.json"));
        finish(&folder, &file, &envelope, &next, &roles, output)
    }
}

#[derive(Debug, clap::Args)]
pub struct MakeRoot {
    /// The tenant's id.
    tenant: Name,
    #[command(flatten)]
    signing: Signing,
    /// A public key (text or file) that signs bundles; may be given several times.
    #[arg(long, value_name = "KEY")]
    signer: Vec<String>,
    /// How many of them must sign.
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// A public key that signs the tenant's status; may be given several times.
    #[arg(long, value_name = "KEY")]
    status: Vec<String>,
    /// How many of them must sign.
    #[arg(long, value_name = "N")]
    status_threshold: Option<u32>,
    /// A public key that may never serve again; may be given several times.
    #[arg(long, value_name = "KEY")]
    revoke_key: Vec<String>,
    /// The digest of a payload or component that must not run; may be given several times.
    #[arg(long, value_name = "DIGEST")]
    revoke_digest: Vec<Digest>,
    /// Days until it expires.
    #[arg(long, default_value_t = 365)]
    days: u32,
}

impl MakeRoot {
    pub fn run(&self, output: &Output) -> Outcome {
        let (folder, keys) = (self.signing.folder(), self.signing.keys()?);
        let policy: TenantPolicy = peek(&folder.policy(&self.tenant)?)?;
        let before: Option<TenantRoot> = folder.of_tenant(&self.tenant, "root")?.as_ref().map(peek).transpose()?;
        // What was signed in an earlier epoch is void; a new one begins at version 1 with keys that are named anew.
        let before = before.filter(|before| before.epoch == policy.epoch);
        let before = before.as_ref();
        let mut revoked_keys = before.map(|before| before.revoked_keys.clone()).unwrap_or_default();
        extend(&mut revoked_keys, public_keys(&self.revoke_key)?);
        let mut revoked_digests = before.map(|before| before.revoked_digests.clone()).unwrap_or_default();
        extend(&mut revoked_digests, self.revoke_digest.clone());
        let next = TenantRoot {
            tenant: self.tenant.clone(),
            epoch: policy.epoch,
            version: before.map_or(0, |before| before.version).saturating_add(1),
            expires: in_days(self.days),
            audience: policy.audience.clone(),
            signers: role("--signer", &self.signer, self.threshold, before.map(|before| &before.signers))?,
            status: role("--status", &self.status, self.status_threshold, before.map(|before| &before.status))?,
            revoked_keys,
            revoked_digests,
        };
        let envelope = create(&next, &keys.iter().collect::<Vec<_>>())?;
        finish(&folder, &of_tenant(&self.tenant, "root.json"), &envelope, &next, &[&policy.root], output)
    }
}

#[derive(Debug, clap::Args)]
pub struct MakeStatus {
    /// The tenant's id.
    tenant: Name,
    #[command(flatten)]
    signing: Signing,
    /// A bundle that is the current version of its job from now on; may be given several times.
    #[arg(long, value_name = "BUNDLE")]
    current: Vec<PathBuf>,
    /// A job that is not current in any version; may be given several times.
    #[arg(long, value_name = "JOB")]
    remove: Vec<Name>,
    /// A job that must not run, and stops where it does; may be given several times.
    #[arg(long, value_name = "JOB")]
    revoke_job: Vec<Name>,
    /// A signer's public key that does not count; may be given several times.
    #[arg(long, value_name = "KEY")]
    revoke_key: Vec<String>,
    /// The digest of a payload or component that must not run; may be given several times.
    #[arg(long, value_name = "DIGEST")]
    revoke_digest: Vec<Digest>,
    /// Days until it expires; as many as the policy allows if absent.
    #[arg(long)]
    days: Option<u32>,
}

impl MakeStatus {
    pub fn run(&self, output: &Output) -> Outcome {
        let (folder, keys) = (self.signing.folder(), self.signing.keys()?);
        let policy: TenantPolicy = peek(&folder.policy(&self.tenant)?)?;
        let missing =
            || Error::new(code::IO, format!("{} has no root of tenant {}", folder.path().display(), self.tenant));
        let root_envelope = folder
            .of_tenant(&self.tenant, "root")?
            .ok_or_else(|| missing().help("make it with `lockgate trust tenant-root`"))?;
        let root: TenantRoot = peek(&root_envelope)?;
        let before: Option<TenantStatus> = folder.of_tenant(&self.tenant, "status")?.as_ref().map(peek).transpose()?;
        let before = before.filter(|before| before.epoch == policy.epoch);
        let (mut jobs, mut revoked_jobs, mut revoked_keys, mut revoked_digests, version) = match before {
            Some(before) => {
                (before.jobs, before.revoked_jobs, before.revoked_keys, before.revoked_digests, before.version)
            }
            None => Default::default(),
        };
        for path in &self.current {
            let (job, release) = self.release(path)?;
            jobs.insert(job, release);
        }
        jobs.retain(|job, _| !self.remove.contains(job));
        extend(&mut revoked_jobs, self.revoke_job.clone());
        extend::<PublicKey>(&mut revoked_keys, public_keys(&self.revoke_key)?);
        extend(&mut revoked_digests, self.revoke_digest.clone());
        let next = TenantStatus {
            tenant: self.tenant.clone(),
            epoch: policy.epoch,
            version: version.saturating_add(1),
            issued: files::now(),
            expires: in_days(self.days.unwrap_or(policy.status_days)),
            audience: policy.audience.clone(),
            root: Reference::of::<TenantRoot>(&root_envelope)?,
            jobs,
            revoked_jobs,
            revoked_keys,
            revoked_digests,
        };
        let envelope = create(&next, &keys.iter().collect::<Vec<_>>())?;
        finish(&folder, &of_tenant(&self.tenant, "status.json"), &envelope, &next, &[&root.status], output)
    }

    /// The job of a bundle and its version, as the status names them.
    fn release(&self, path: &Path) -> Result<(Name, lockgate_core::statement::Release)> {
        let place = |error: Error| error.at(path.display().to_string());
        let package = Package::parse(&files::read(path, ReadLimits::default().total)?).map_err(place)?;
        let job = package.unverified_statement().map_err(place)?.predicate.manifest.job;
        if job.tenant != self.tenant {
            let cause = format!("the bundle is of tenant {}, not {}", job.tenant, self.tenant);
            return Err(place(Error::new(code::WRONG_TENANT, cause)));
        }
        Ok((job.name, package.release()?))
    }
}

/// Adds what is not there yet.
fn extend<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}
