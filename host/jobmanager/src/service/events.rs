//! A job's events and exceptions: appended with the change that they tell of, read page by page, followed as they come.

use super::list::{Filter, Listed, Page};
use super::{Call, Change, Service};
use crate::access::Action;
use crate::model::event::{Event, Kind, MAX_EVENTS, MAX_TEXT};
use crate::model::exception::{Exception, MAX_EXCEPTIONS};
use crate::model::job::Job;
use crate::model::keys;
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// The most events that are read at once.
const PAGE: usize = 100;

impl Listed for Event {
    fn state(&self) -> Option<&'static str> {
        Some(self.kind.as_str())
    }

    fn name(&self) -> &str {
        self.operator.as_ref().map_or("", Name::as_str)
    }
}

impl Listed for Exception {
    fn state(&self) -> Option<&'static str> {
        None
    }

    fn name(&self) -> &str {
        self.operator.as_ref().map_or("", Name::as_str)
    }
}

/// Adds an event to a job's, and removes the one that is too old by it. The job is to be written in the same change.
pub(super) fn append(
    change: &mut Change,
    job: &mut Job,
    time: Timestamp,
    kind: Kind,
    mut text: String,
    principal: Option<String>,
) -> Result<Event> {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
    }
    let sequence = job.next_event;
    job.next_event = sequence.saturating_add(1);
    let event = Event { sequence, time, kind, text, operator: None, principal };
    change.create(keys::event(&job.tenant, &job.id, sequence), &event)?;
    if let Some(oldest) = sequence.checked_sub(MAX_EVENTS).filter(|oldest| *oldest > 0) {
        change.clear(keys::event(&job.tenant, &job.id, oldest));
    }
    Ok(event)
}

/// Says of which operator an event is that was just appended.
pub(super) fn of_operator(change: &mut Change, job: &Job, event: Event, operator: Option<Name>) -> Result<()> {
    match operator {
        None => Ok(()),
        operator => change.set(keys::event(&job.tenant, &job.id, event.sequence), &Event { operator, ..event }),
    }
}

/// Removes all events and exceptions of a job.
pub(super) fn clear(change: &mut Change, job: &Job) {
    let first = |next: u64, most: u64| next.saturating_sub(most).max(1);
    for sequence in first(job.next_event, MAX_EVENTS)..job.next_event {
        change.clear(keys::event(&job.tenant, &job.id, sequence));
    }
    for sequence in first(job.next_exception, MAX_EXCEPTIONS)..job.next_exception {
        change.clear(keys::exception(&job.tenant, &job.id, sequence));
    }
}

/// Follows a job's events.
pub struct Follower {
    tenant: Name,
    id: String,
    name: Name,
    after: u64,
    logs: bool,
    revision: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

/// What comes next to whoever follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Followed {
    /// These, and how many before them are kept no longer.
    Events(Vec<Event>, u64),
    /// The job is gone, or he may not see it any more.
    Gone,
}

impl Service {
    /// A job's events, oldest first. Without the right to see logs, those are left out.
    ///
    /// # Errors
    /// `LG1102` if there is no job that the caller may see.
    pub async fn job_events(&self, call: &Call, tenant: &Name, name: &Name, filter: &Filter) -> Result<Page<Event>> {
        let job = self.find_job(call, Action::ReadJobs, tenant, name).await?.record;
        let logs = self.may(call, Action::ReadJobLogs, &super::jobs::resource(tenant, name)).await;
        let mut page = self.list::<Event>(call, &keys::events(tenant, &job.id), filter).await?;
        page.items.retain(|event| logs || event.record.kind != Kind::Log);
        Ok(page)
    }

    /// What a job's functions wrote, oldest first.
    ///
    /// # Errors
    /// `LG1101` without the right to see logs, `LG1102` if there is no job that the caller may see.
    pub async fn job_logs(&self, call: &Call, tenant: &Name, name: &Name, filter: &Filter) -> Result<Page<Event>> {
        let job = self.find_job(call, Action::ReadJobLogs, tenant, name).await?.record;
        let filter = Filter { states: vec![Kind::Log.as_str().to_owned()], ..filter.clone() };
        self.list(call, &keys::events(tenant, &job.id), &filter).await
    }

    /// A job's exceptions, oldest first; with samples of the records that failed only for whoever may see data.
    ///
    /// # Errors
    /// `LG1102` if there is no job that the caller may see.
    pub async fn job_exceptions(
        &self,
        call: &Call,
        tenant: &Name,
        name: &Name,
        filter: &Filter,
    ) -> Result<(Page<Exception>, bool)> {
        let job = self.find_job(call, Action::ReadJobs, tenant, name).await?.record;
        let samples = self.may(call, Action::ReadDeadLetters, &super::jobs::resource(tenant, name)).await;
        let mut page = self.list::<Exception>(call, &keys::exceptions(tenant, &job.id), filter).await?;
        for exception in page.items.iter_mut().filter(|_| !samples) {
            exception.record.samples.clear();
        }
        Ok((page, samples))
    }

    /// Begins to follow a job's events behind the one numbered `after`.
    ///
    /// # Errors
    /// `LG1021` if too many follow, `LG1102` if there is no job that the caller may see.
    pub async fn follow(&self, call: &Call, tenant: &Name, name: &Name, after: u64) -> Result<Follower> {
        let job = self.find_job(call, Action::ReadJobs, tenant, name).await?.record;
        let logs = self.may(call, Action::ReadJobLogs, &super::jobs::resource(tenant, name)).await;
        let place = std::sync::Arc::clone(&self.following).try_acquire_owned();
        let full = |_| Error::new(code::TOO_MANY_FOLLOWERS, "as many event streams are open as are allowed");
        Ok(Follower {
            tenant: tenant.clone(),
            id: job.id,
            name: name.clone(),
            after,
            logs,
            revision: self.records.revision(),
            _place: place.map_err(full)?,
        })
    }

    /// Waits for a job's next events.
    ///
    /// # Errors
    /// `LG12nn` if they cannot be read.
    pub async fn followed(&self, follower: &mut Follower) -> Result<Followed> {
        loop {
            follower.revision.borrow_and_update();
            let prefix = keys::events(&follower.tenant, &follower.id);
            let after = keys::event(&follower.tenant, &follower.id, follower.after);
            let found = self.records.scan::<Event>(&prefix, Some(&after), PAGE).await?;
            let mut events: Vec<Event> = found.into_iter().map(|(_, kept)| kept.record).collect();
            if let (Some(first), Some(last)) = (events.first(), events.last()) {
                let missed = first.sequence.saturating_sub(follower.after).saturating_sub(1);
                follower.after = last.sequence;
                events.retain(|event| follower.logs || event.kind != Kind::Log);
                if !events.is_empty() || missed > 0 {
                    return Ok(Followed::Events(events, missed));
                }
                continue;
            }
            let job = self.records.get::<Job>(&keys::job(&follower.tenant, &follower.name)).await?;
            if job.is_none_or(|kept| kept.record.id != follower.id) {
                return Ok(Followed::Gone);
            }
            if follower.revision.changed().await.is_err() {
                return Ok(Followed::Gone);
            }
        }
    }
}
