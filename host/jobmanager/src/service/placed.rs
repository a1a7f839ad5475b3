//! What TaskManagers may have of a tenant: for the plane, which says who they are.

use super::Service;
use crate::model::job::Job;
use crate::model::keys;
use crate::reconcile::Phase;
use lockgate_core::trust::Documents;
use lockgate_core::{Digest, Name, Result};

/// How many jobs are read at once.
const PAGE: usize = 200;

impl Service {
    /// The jobs of a tenant that run on a TaskManager, by committed records.
    ///
    /// # Errors
    /// `LG12nn` if they cannot be read.
    pub(crate) async fn placed_jobs(&self, tenant: &Name, taskmanager: &Name) -> Result<Vec<Job>> {
        let (mut jobs, mut after) = (Vec::new(), None);
        loop {
            let found = self.records.scan::<Job>(&keys::jobs(tenant), after.as_ref(), PAGE).await?;
            let Some((last, _)) = found.last() else { return Ok(jobs) };
            after = Some(last.clone());
            let placed = |job: &Job| {
                let holding = job.execution.holds.as_ref().filter(|holding| holding.phase == Phase::Live);
                holding.is_some_and(|holding| holding.placed.slots.contains_key(taskmanager))
            };
            jobs.extend(found.into_iter().map(|(_, kept)| kept.record).filter(placed));
        }
    }

    /// The set of documents that holds for a tenant, the operator's roots among them from the first on.
    ///
    /// # Errors
    /// `LG1014` if it is not whole.
    pub(crate) async fn trust_for(&self, tenant: &Name) -> Result<Documents> {
        let mut set = self.document_set(tenant).await?;
        set.documents.operator_roots.insert(0, set.pinned);
        Ok(set.documents)
    }

    /// A bundle's file and its size in bytes.
    ///
    /// # Errors
    /// `LG1230` if it is missing, `LG1203` if it cannot be read.
    pub(crate) fn open_bundle(&self, digest: &Digest) -> Result<(tokio::fs::File, u64)> {
        let (file, size) = self.bundles.file(digest)?;
        Ok((tokio::fs::File::from_std(file), size))
    }
}
