//! Bundles: streamed to a temporary file, verified against the tenant's trust documents, and only then kept and recorded.
//! A refused upload leaves nothing behind.

mod directory;

pub use directory::Directory;

use super::chain::KeptMarks;
use super::changes::Precondition;
use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource, not_found};
use crate::fair_use::{Kind as QuotaKind, Usage};
use crate::model::bundle::{Bundle, Holder};
use crate::model::job::Job;
use crate::model::{Kept, keys};
use crate::service::idempotency::Made;
use directory::Arrived;
use futures_util::{Stream, StreamExt as _};
use lockgate_core::bundle::{Package, ReadLimits};
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::marks::Marks;
use lockgate_core::verify::{self, Accepted, Admission, Request};
use lockgate_core::{Digest, Error, Name, Result};
use std::path::{Path, PathBuf};

impl Listed for Bundle {
    fn name(&self) -> &str {
        self.job()
    }
}

/// As what a bundle is to be verified.
pub(super) enum Purpose {
    /// To be kept, or to start a job.
    Start,
    /// To replace the version that runs.
    Upgrade,
    /// To replace the version that runs, which is in this file, by an earlier one that it names.
    Fallback(PathBuf),
}

fn resource(tenant: &Name, digest: Option<&Digest>) -> Resource {
    let all = Resource::of(tenant.clone(), "bundle");
    match digest {
        Some(digest) => all.named(digest.to_string()),
        None => all,
    }
}

impl Service {
    /// A tenant's bundles, filtered by the names of their jobs.
    ///
    /// # Errors
    /// `LG1102` if the caller may see none.
    pub async fn bundles(&self, call: &Call, tenant: &Name, filter: &Filter) -> Result<Page<Bundle>> {
        let resource = resource(tenant, None);
        self.allow(call, Action::ReadBundles, &resource).await?;
        self.tenant(tenant, &resource).await?;
        self.list(call, &keys::bundles(tenant), filter).await
    }

    /// A bundle.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see.
    pub async fn bundle(&self, call: &Call, tenant: &Name, digest: &Digest) -> Result<Kept<Bundle>> {
        let resource = resource(tenant, Some(digest));
        self.allow(call, Action::ReadBundles, &resource).await?;
        self.tenant(tenant, &resource).await?;
        self.find_bundle(tenant, digest, &resource).await
    }

    /// A bundle's file, to be sent to the caller, and its size in bytes.
    ///
    /// # Errors
    /// `LG1102` if there is none that the caller may see, `LG0002` if it cannot be opened.
    pub async fn bundle_file(&self, call: &Call, tenant: &Name, digest: &Digest) -> Result<(tokio::fs::File, u64)> {
        let resource = resource(tenant, Some(digest));
        self.allow(call, Action::DownloadBundles, &resource).await?;
        self.tenant(tenant, &resource).await?;
        let size = self.find_bundle(tenant, digest, &resource).await?.record.size;
        let file = tokio::fs::File::open(self.bundles.path(digest)).await;
        let lost =
            |error| Error::new(code::BUNDLE_LOST, format!("bundle {} cannot be opened: {error}", digest.short()));
        Ok((file.map_err(lost)?, size))
    }

    pub(super) async fn find_bundle(
        &self,
        tenant: &Name,
        digest: &Digest,
        resource: &Resource,
    ) -> Result<Kept<Bundle>> {
        let found = self.records.get::<Bundle>(&keys::bundle(tenant, digest)).await?;
        found.ok_or_else(|| not_found(resource))
    }

    /// Takes in a bundle. `named` is the digest that it is said to have; `announced` how many bytes are said to come.
    /// One that is here already is no change and is not read.
    ///
    /// # Errors
    /// `LG03nn` and `LG04nn` if verification refuses it, `LG1014` if trust documents are missing, `LG1016` if it is not
    /// what it was said to be, `LG1112` for a quota, `LG11nn` if the caller may not.
    pub async fn upload_bundle<B: AsRef<[u8]>>(
        &self,
        call: &Call,
        tenant: &Name,
        (named, announced): (Option<&Digest>, Option<u64>),
        body: impl Stream<Item = Result<B>> + Send + Unpin,
    ) -> Result<Made<Kept<Bundle>>> {
        let resource = resource(tenant, named);
        self.allow(call, Action::UploadBundles, &resource).await?;
        let result = self.try_upload(call, tenant, (named, announced), body, &resource).await;
        self.noted(call, Action::UploadBundles, &resource, result).await
    }

    async fn try_upload<B: AsRef<[u8]>>(
        &self,
        call: &Call,
        tenant: &Name,
        (named, announced): (Option<&Digest>, Option<u64>),
        mut body: impl Stream<Item = Result<B>> + Send + Unpin,
        resource: &Resource,
    ) -> Result<Made<Kept<Bundle>>> {
        self.active_tenant(tenant, resource).await?;
        if let Some(digest) = named
            && let Some(thing) = self.records.get::<Bundle>(&keys::bundle(tenant, digest)).await?
        {
            return Ok(Made { thing, replayed: true });
        }
        // Before a byte is read: whether it could be kept at all.
        self.document_set(tenant).await?;
        let taken = self.taken(tenant).await?.map(|kept| kept.record).unwrap_or_default();
        self.within_quota(tenant, &taken, &asked(announced.unwrap_or(1))).await?;
        if let Some(size) = announced.filter(|size| *size > self.options.max_bundle) {
            let cause = format!("the bundle has {size} bytes, at most {} are taken", self.options.max_bundle);
            return Err(Error::new(code::BUNDLE_TOO_LARGE, cause));
        }
        let mut upload = self.bundles.begin().await?;
        while let Some(bytes) = body.next().await {
            upload.write(bytes?.as_ref(), self.options.max_bundle).await?;
        }
        let arrived = upload.finish().await?;
        if let Some(digest) = named.filter(|digest| **digest != arrived.digest) {
            let cause = format!("{digest} was announced, {} came ({} bytes)", arrived.digest, arrived.size);
            return Err(Error::new(code::UPLOAD_DIGEST, cause));
        }
        let accepted = self.verify(tenant, arrived.path().to_owned(), Purpose::Start).await?.0;
        let bundle = Bundle {
            digest: arrived.digest,
            size: arrived.size,
            uploaded: self.now(),
            uploaded_by: call.caller.principal.clone(),
            release: lockgate_core::statement::Release {
                version: accepted.bundle.version(),
                digest: accepted.bundle.digest(),
            },
            epoch: accepted.bundle.epoch(),
            predicate: accepted.bundle.predicate().clone(),
            descriptions: accepted.bundle.descriptions().clone(),
        };
        drop(accepted);
        // Nobody removes the file between the moment it gets its name and the one in which it is recorded.
        let _files = self.files.lock().await;
        let result = self.records.attempt(|| self.record_bundle(call, tenant, &bundle, &arrived, resource)).await;
        // What may have been recorded after all keeps its file; the next start finds out.
        if result.as_ref().is_err_and(|error| error.code() != code::STORE_UNCERTAIN) {
            self.remove_unheld(&bundle.digest).await;
        }
        result
    }

    async fn record_bundle(
        &self,
        call: &Call,
        tenant: &Name,
        bundle: &Bundle,
        arrived: &Arrived,
        resource: &Resource,
    ) -> Result<Made<Kept<Bundle>>> {
        let active = self.active_tenant(tenant, resource).await?;
        let key = keys::bundle(tenant, &bundle.digest);
        if let Some(thing) = self.records.get::<Bundle>(&key).await? {
            return Ok(Made { thing, replayed: true });
        }
        let before = self.taken(tenant).await?;
        let mut taken = before.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
        self.within_quota(tenant, &taken, &asked(bundle.size)).await?;
        taken.add_bundle(self.now(), bundle.size);
        let mut change = Change::default();
        change.require(keys::tenant(tenant), active.revision);
        change.put(keys::usage(tenant), before.as_ref(), &taken)?;
        change.create(key, bundle)?;
        change.create(keys::holder(&bundle.digest, tenant), &Holder { tenant: tenant.clone() })?;
        let event = self.done(call, Action::UploadBundles, resource).detail("digest", bundle.digest.to_string());
        change.event(event.detail("job", bundle.job().as_str()).detail("version", bundle.release.version.to_string()));
        if arrived.path().exists() {
            self.bundles.keep(arrived).await?;
        }
        let revision = self.records.commit(change).await?;
        Ok(Made { thing: Kept { revision, record: bundle.clone() }, replayed: false })
    }

    /// Deletes a bundle that no job needs.
    ///
    /// # Errors
    /// `LG1017` if a job needs it, `LG1004` for the precondition, `LG1102` if there is none that the caller may see.
    pub async fn delete_bundle(
        &self,
        call: &Call,
        tenant: &Name,
        digest: &Digest,
        precondition: Precondition,
    ) -> Result<()> {
        let resource = resource(tenant, Some(digest));
        self.allow(call, Action::DeleteBundles, &resource).await?;
        let work = || async {
            self.tenant(tenant, &resource).await?;
            let kept = self.find_bundle(tenant, digest, &resource).await?;
            precondition.require(kept.revision)?;
            // Jobs change what is taken up whenever they change what they need.
            let before = self.taken(tenant).await?;
            self.require_unused(tenant, digest).await?;
            let mut taken = before.as_ref().map(|kept| kept.record.clone()).unwrap_or_default();
            taken.remove_bundle(kept.record.size);
            let mut change = Change::default();
            change.put(keys::usage(tenant), before.as_ref(), &taken)?;
            change.remove(keys::bundle(tenant, digest), kept.revision);
            change.clear(keys::holder(digest, tenant));
            change.event(self.done(call, Action::DeleteBundles, &resource));
            self.records.commit(change).await
        };
        let _files = self.files.lock().await;
        let result = self.records.attempt(work).await.map(drop);
        self.noted(call, Action::DeleteBundles, &resource, result).await?;
        self.remove_unheld(digest).await;
        Ok(())
    }

    async fn require_unused(&self, tenant: &Name, digest: &Digest) -> Result<()> {
        let (jobs, mut after) = (keys::jobs(tenant), None);
        loop {
            let found = self.records.scan::<Job>(&jobs, after.as_ref(), 200).await?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            after = Some(last.clone());
            if let Some((_, job)) = found.iter().find(|(_, job)| job.record.bundles().any(|needed| needed == digest)) {
                let cause = format!("job {} runs bundle {} or may return to it", job.record.name, digest.short());
                return Err(Error::new(code::BUNDLE_IN_USE, cause));
            }
        }
    }

    /// Removes a file that nobody holds. What cannot be removed now is collected at the next start.
    async fn remove_unheld(&self, digest: &Digest) {
        let removed = async {
            if !self.records.any(&keys::holders(digest)).await? {
                self.bundles.remove(digest).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%digest, %error, "a bundle that nobody holds could not be removed");
        }
    }

    /// Removes files that nobody holds: what was left when the program ended between a file and its record.
    ///
    /// # Errors
    /// `LG0002` and `LG12nn`.
    pub async fn collect_bundles(&self) -> Result<()> {
        let _files = self.files.lock().await;
        for digest in self.bundles.digests(1_000_000).await? {
            if !self.records.any(&keys::holders(&digest)).await? {
                self.bundles.remove(&digest).await?;
            }
        }
        Ok(())
    }

    /// Verifies the bundle in a file by the tenant's documents and marks, a bounded number of them at once; with the marks
    /// that it was verified by, as they were kept.
    pub(super) async fn verify(
        &self,
        tenant: &Name,
        path: PathBuf,
        purpose: Purpose,
    ) -> Result<(Accepted, Option<Kept<KeptMarks>>)> {
        let set = self.document_set(tenant).await?;
        let kept = self.marks(tenant).await?;
        let marks = KeptMarks::of(kept.as_ref(), self.now());
        let closed = |_| Error::new(code::INTERNAL, "verification is closed");
        let permit = std::sync::Arc::clone(&self.verifying).acquire_owned().await.map_err(closed)?;
        let (tenant, domain, now) = (tenant.clone(), self.options.domain.clone(), self.now());
        let read = ReadLimits { total: self.options.max_bundle, ..ReadLimits::default() };
        let work = move || {
            let _permit = permit;
            let current = match &purpose {
                Purpose::Fallback(path) => Some(envelope(path, &read)?),
                _ => None,
            };
            let admission = match (&purpose, &current) {
                (Purpose::Upgrade, _) => Admission::Upgrade,
                (_, Some(current)) => Admission::Fallback { current },
                _ => Admission::Start,
            };
            let (pinned, documents) = (&set.pinned, &set.documents);
            let request =
                Request { pinned, documents, domain: &domain, tenant: &tenant, marks: &marks, now, admission, read };
            verify::verify(&request, std::io::BufReader::new(open(&path)?))
        };
        let stopped = |error| Error::new(code::INTERNAL, format!("verification stopped: {error}"));
        Ok((tokio::task::spawn_blocking(work).await.map_err(stopped)??, kept))
    }

    /// The change of a tenant's marks to `marks`, if it is one.
    pub(super) fn advance_marks(
        change: &mut Change,
        tenant: &Name,
        kept: Option<&Kept<KeptMarks>>,
        marks: Marks,
    ) -> Result<()> {
        change.put(keys::marks(tenant), kept, &KeptMarks(marks))
    }
}

fn asked(bytes: u64) -> Usage {
    Usage::none()
        .with(QuotaKind::BundleBytes, bytes)
        .with(QuotaKind::UploadBytesPerHour, bytes)
        .with(QuotaKind::UploadBytesPerDay, bytes)
}

fn open(path: &Path) -> Result<std::fs::File> {
    std::fs::File::open(path)
        .map_err(|error| Error::new(code::BUNDLE_LOST, format!("a bundle cannot be opened: {error}")))
}

fn envelope(path: &Path, read: &ReadLimits) -> Result<Envelope> {
    Ok(Package::read(std::io::BufReader::new(open(path)?), read)?.envelope)
}
