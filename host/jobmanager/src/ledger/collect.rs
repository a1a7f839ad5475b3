//! What is kept of runs that are over: removed, some at a time.

use super::record::{Draft, Run};
use super::{Ledger, PAGE};
use crate::model::job::Job;
use crate::model::keys;
use crate::service::Change;
use crate::store::Key;
use lockgate_core::{Name, Result};
use std::time::Duration;

impl Ledger {
    /// Removes runs of jobs that are gone or have begun another run, and drafts that nobody goes on with: none is written
    /// for as long as `grace`.
    ///
    /// # Errors
    /// `LG12nn` if the store cannot be read or written.
    pub async fn collect(&self, grace: Duration) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.records.scan::<Run>(&keys::all_runs(), after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, kept) in page {
                let Some((tenant, id, Some(run))) = parts(&key, |text| text.parse::<u64>().ok()) else { continue };
                let job = self.records.get::<Job>(&keys::job(&tenant, &kept.record.job)).await?;
                if !job.is_some_and(|job| job.record.id == id && job.record.execution.run <= run) {
                    self.remove(&tenant, &id, &kept.record.id, key).await?;
                    self.cursors.forget(&kept.record.id);
                }
            }
        }
        let mut after = None;
        loop {
            let page = self.records.scan::<Draft>(&keys::all_drafts(), after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, kept) in page {
                let Some((tenant, id, ledger)) = parts(&key, str::to_owned) else { continue };
                // One that lies ahead was begun by a clock that was.
                let (now, since) = ((self.steady)(), kept.record.since);
                if since > now || now.since(since) > grace {
                    self.remove(&tenant, &id, &ledger, key).await?;
                }
            }
        }
    }

    /// Removes all of a run, and what names it last.
    pub(super) async fn remove(&self, tenant: &Name, id: &str, ledger: &str, name: Key) -> Result<()> {
        loop {
            let keys = self.records.keys(&keys::ledger(tenant, id, ledger), PAGE).await?;
            if keys.is_empty() {
                break;
            }
            let mut change = Change::default();
            keys.into_iter().for_each(|key| change.clear(key));
            self.records.commit(change).await?;
        }
        let mut change = Change::default();
        change.clear(name);
        self.records.commit(change).await.map(drop)
    }
}

/// The tenant, the job's id and the last part of a key.
fn parts<T>(key: &Key, last: impl Fn(&str) -> T) -> Option<(Name, String, T)> {
    let parts = key.parts();
    let [_, tenant, id, end] = parts.as_slice() else { return None };
    Some((Name::new(tenant).ok()?, id.clone(), last(end)))
}
