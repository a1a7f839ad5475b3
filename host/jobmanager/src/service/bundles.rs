//! Bundles: streamed to a temporary file, verified against the tenant's trust documents, and only then kept and recorded.
//! A refused upload leaves nothing behind.

use super::chain::KeptMarks;
use super::changes::Precondition;
use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::{Action, Resource, not_found};
use crate::bundles::Staged;
use crate::fair_use::{Kind as QuotaKind, Usage};
use crate::model::bundle::Bundle;
use crate::model::job::Job;
use crate::model::{Kept, keys};
use crate::service::idempotency::Made;
use futures_util::{Stream, StreamExt as _};
use lockgate_core::bundle::{Package, ReadLimits};
use lockgate_core::error::code;
use lockgate_core::marks::Marks;
use lockgate_core::statement::Release;
use lockgate_core::verify::{self, Accepted, Admission, Reliance, Request};
use lockgate_core::{Digest, Error, Name, Result};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

/// Bytes of a bundle that are held while it is verified: its documents. What runs is never needed here.
const MAX_HELD: u64 = 64 << 20;

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
    /// To replace the version that runs, which is this bundle, by an earlier one that it names.
    Fallback(Digest),
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
        self.find_bundle(tenant, digest, &resource).await?;
        self.open_bundle(digest)
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
        let mut upload = self.bundles.begin(self.options.max_bundle).await?;
        while let Some(bytes) = body.next().await {
            upload.write(bytes?.as_ref()).await?;
        }
        let staged = upload.complete(named).await?;
        // The disk has its time while it is verified. What verification says comes first.
        let (accepted, synced) = tokio::join!(self.verify(tenant, staged.file()?, Purpose::Start), staged.sync());
        let accepted = accepted?.0;
        synced?;
        let bundle = Bundle {
            digest: staged.digest(),
            size: staged.length(),
            uploaded: self.now(),
            uploaded_by: call.caller.principal.clone(),
            release: Release { version: accepted.bundle.version(), digest: accepted.bundle.digest() },
            reliance: Reliance::of(&accepted.bundle),
            predicate: accepted.bundle.predicate().clone(),
            descriptions: accepted.bundle.descriptions().clone(),
        };
        drop(accepted);
        // Kept before it is recorded, and collected if it comes to no record; yet not if it is refused by then.
        let taken = self.taken(tenant).await?.map(|kept| kept.record).unwrap_or_default();
        self.within_quota(tenant, &taken, &asked(bundle.size)).await?;
        Staged::keep(staged).await?;
        self.records.attempt(|| self.record_bundle(call, tenant, &bundle, resource)).await
    }

    async fn record_bundle(
        &self,
        call: &Call,
        tenant: &Name,
        bundle: &Bundle,
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
        let event = self.done(call, Action::UploadBundles, resource).detail("digest", bundle.digest.to_string());
        change.event(event.detail("job", bundle.job().as_str()).detail("version", bundle.release.version.to_string()));
        let revision = self.records.commit(change).await?;
        Ok(Made { thing: Kept { revision, record: bundle.clone() }, replayed: false })
    }

    /// Deletes a bundle that no job needs. Its file goes with the next [`Self::collect_bundles`], unless another tenant has it.
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
            change.event(self.done(call, Action::DeleteBundles, &resource));
            self.records.commit(change).await
        };
        let result = self.records.attempt(work).await.map(drop);
        self.noted(call, Action::DeleteBundles, &resource, result).await
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

    /// Removes files that no tenant has, if they came longer ago than `grace`. For whoever keeps house.
    ///
    /// # Errors
    /// `LG12nn`.
    pub async fn collect_bundles(&self, grace: Duration) -> Result<Vec<Digest>> {
        let (all, mut after, mut referenced) = (keys::all_bundles(), None, BTreeSet::new());
        loop {
            let found = self.records.scan::<Bundle>(&all, after.as_ref(), 100).await?;
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            referenced.extend(found.iter().map(|(_, kept)| kept.record.digest));
        }
        let bundles = self.bundles.clone();
        let stopped = |error| Error::new(code::INTERNAL, format!("the collection of bundles stopped: {error}"));
        tokio::task::spawn_blocking(move || bundles.sweep(&referenced, grace)).await.map_err(stopped)?
    }

    /// Verifies the bundle in a file by the tenant's documents and marks, a bounded number of them at once; with the marks
    /// that it was verified by, as they were kept.
    pub(super) async fn verify(
        &self,
        tenant: &Name,
        file: File,
        purpose: Purpose,
    ) -> Result<(Accepted, Option<Kept<KeptMarks>>)> {
        let set = self.document_set(tenant).await?;
        let kept = self.marks(tenant).await?;
        let marks = KeptMarks::of(kept.as_ref(), self.now());
        let closed = |_| Error::new(code::INTERNAL, "verification is closed");
        let permit = std::sync::Arc::clone(&self.verifying).acquire_owned().await.map_err(closed)?;
        let (tenant, domain, now) = (tenant.clone(), self.options.domain.clone(), self.now());
        let read = ReadLimits { total: self.options.max_bundle, held: MAX_HELD, ..ReadLimits::default() };
        let bundles = self.bundles.clone();
        let work = move || {
            let _permit = permit;
            let current = match &purpose {
                Purpose::Fallback(digest) => {
                    Some(Package::read(BufReader::new(bundles.file(digest)?.0), &read)?.envelope)
                }
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
            verify::verify(&request, BufReader::new(file))
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
