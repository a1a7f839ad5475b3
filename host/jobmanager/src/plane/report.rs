//! What users are to see of a job that runs: figures from heartbeats, lines and failed rows from reports. All of it within
//! a rate for each job, so that no tenant fills the store by being talkative; what is left out is counted and said.

use super::answer::{Answer, read};
use super::dispatch::Dispatch;
use super::heartbeat::{clean, code, shown};
use crate::model::exception::{Exception, Sample};
use crate::model::job::Job;
use crate::model::keys;
use crate::model::metrics::Metrics;
use crate::service::Service;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use lockgate_core::placement::JobId;
use lockgate_core::plane::{MAX_LINES, MAX_SAMPLES, Report, ReportedException, Task};
use lockgate_core::{Name, Result, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The most bytes of a report.
const MAX_REPORT: usize = 2 << 20;
/// The most operators of a task, and jobs that are remembered.
const MAX_OPERATORS: usize = 1_024;
const MAX_JOBS: usize = 10_000;
/// The most exceptions of a report.
const MAX_EXCEPTIONS: usize = 16;
/// The longest line and the longest record of a sample, in characters.
const MAX_LINE: usize = 2_000;
/// Lines and exceptions of a job, at once and a second.
const LINES: (f64, f64) = (200.0, 20.0);
const EXCEPTIONS: (f64, f64) = (10.0, 0.5);
/// How often one thing is said.
const SAID: Duration = Duration::from_secs(60);
/// How many jobs' figures are written at once.
const AT_ONCE: usize = 16;

/// What is reported of jobs, until it is written.
#[derive(Debug, Default)]
pub(super) struct Meters {
    jobs: Mutex<BTreeMap<JobId, Meter>>,
    said: Mutex<BTreeMap<String, Instant>>,
}

#[derive(Debug)]
struct Meter {
    id: String,
    metrics: Metrics,
    dirty: bool,
    lines: Bucket,
    exceptions: Bucket,
    /// Lines that were left out and not spoken of yet.
    dropped: u64,
}

/// So many at once, and so many a second.
#[derive(Debug)]
struct Bucket {
    level: f64,
    of: (f64, f64),
    at: Instant,
}

impl Bucket {
    fn new(of: (f64, f64)) -> Self {
        Self { level: of.0, of, at: Instant::now() }
    }

    /// Takes as many of these as there is room for.
    fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let (most, rate) = self.of;
        self.level = (self.level + now.saturating_duration_since(self.at).as_secs_f64() * rate).min(most);
        self.at = now;
        let mut taken = 0;
        while taken < wanted && self.level >= 1.0 {
            self.level -= 1.0;
            taken += 1;
        }
        taken
    }
}

/// Takes a report.
pub(super) async fn report(
    State(dispatch): State<Arc<Dispatch>>,
    Path(of): Path<(String, String)>,
    request: Request,
) -> Response {
    let answer = async {
        let (peer, report) = read::<Report>(request, MAX_REPORT).await?;
        let job = super::ledger::job(of)?;
        dispatch.present(&peer.name, &report.fence)?;
        let seat = dispatch.ledger.seat(&peer.name, &job, &report.fence).await?;
        dispatch.meters.ensure(&dispatch.service, &job, &seat.job.record.id).await?;
        let (lines, exceptions) = dispatch.meters.admit(&job, &report);
        if !lines.is_empty() {
            dispatch.service.write_logs(&job.tenant, &job.name, &lines).await?;
        }
        for exception in report.exceptions.into_iter().take(exceptions) {
            let exception = kept(exception, &peer.name, dispatch.service.now());
            dispatch.service.write_exception(&job.tenant, &job.name, &exception).await?;
        }
        Ok(json!({}))
    };
    Answer(answer.await).into_response()
}

fn kept(exception: ReportedException, taskmanager: &Name, time: Timestamp) -> Exception {
    let sample = |sample: lockgate_core::plane::ReportedSample| Sample {
        split: shown(&sample.split),
        record: sample.record,
        message: shown(&sample.message),
        value: clean(&sample.value, MAX_LINE),
    };
    Exception {
        sequence: 0,
        time,
        code: code(&exception.code),
        cause: shown(&exception.cause),
        operator: exception.operator,
        task_manager: Some(taskmanager.to_string()),
        samples: exception.samples.into_iter().take(MAX_SAMPLES).map(sample).collect(),
    }
}

impl Meters {
    /// Takes figures from a TaskManager's tasks: of jobs that are placed on it.
    pub async fn note(&self, service: &Service, taskmanager: &Name, tasks: &[Task]) {
        for task in tasks.iter().filter(|task| !task.operators.is_empty()) {
            if let Err(error) = self.note_task(service, taskmanager, task).await {
                tracing::debug!(job = %task.job, %error, "figures could not be taken in");
            }
        }
    }

    async fn note_task(&self, service: &Service, taskmanager: &Name, task: &Task) -> Result<()> {
        let job = service.records().get::<Job>(&keys::job(&task.job.tenant, &task.job.name)).await?;
        let Some(job) = job.map(|kept| kept.record).filter(|job| job.id == task.id) else { return Ok(()) };
        let Some(holding) = &job.execution.holds else { return Ok(()) };
        let epoch = holding.placed.lease.epoch;
        // What was told to end says so under the fence's epoch.
        let is_present = (epoch..=job.execution.epoch.max(epoch)).contains(&task.epoch);
        if !is_present || !holding.placed.slots.contains_key(taskmanager) {
            return Ok(());
        }
        self.ensure(service, &task.job, &job.id).await?;
        let operators = task.operators.iter().take(MAX_OPERATORS);
        let operators = operators.map(|(name, usage)| (name.clone(), (*usage).into())).collect();
        let mut jobs = self.jobs();
        if let Some(meter) = jobs.get_mut(&task.job)
            && meter.metrics.note(epoch, taskmanager, operators)
        {
            meter.metrics.reported = Some(service.now());
            meter.dirty = true;
        }
        Ok(())
    }

    /// Begins to count for a job, from what is kept of it.
    async fn ensure(&self, service: &Service, job: &JobId, id: &str) -> Result<()> {
        if self.jobs().get(job).is_some_and(|meter| meter.id == id) {
            return Ok(());
        }
        let found = service.records().get::<Metrics>(&keys::metrics(&job.tenant, id)).await?;
        let metrics = found.map(|kept| kept.record).unwrap_or_default();
        let mut jobs = self.jobs();
        if jobs.len() >= MAX_JOBS {
            jobs.retain(|_, meter| meter.dirty);
        }
        let (lines, exceptions) = (Bucket::new(LINES), Bucket::new(EXCEPTIONS));
        let meter = Meter { id: id.to_owned(), metrics, dirty: false, lines, exceptions, dropped: 0 };
        if jobs.get(job).is_none_or(|known| known.id != id) {
            jobs.insert(job.clone(), meter);
        }
        Ok(())
    }

    /// The lines of a report that are written, and how many of its exceptions.
    fn admit(&self, job: &JobId, report: &Report) -> (Vec<(Option<Name>, String)>, usize) {
        let (mut jobs, now) = (self.jobs(), Instant::now());
        let Some(meter) = jobs.get_mut(job) else { return (Vec::new(), 0) };
        let given = report.lines.len().min(MAX_LINES);
        // One is for the word about those that were left out.
        let taken = meter.lines.take(given.saturating_add(1), now);
        let room = taken.saturating_sub(1).min(given);
        let left_out = report.lines.len().saturating_sub(room) as u64;
        meter.dropped = meter.dropped.saturating_add(report.dropped).saturating_add(left_out);
        let lines = report.lines.iter().take(room);
        let mut lines: Vec<_> = lines.map(|line| (line.operator.clone(), clean(&line.text, MAX_LINE))).collect();
        if taken > 0 && meter.dropped > 0 {
            lines.truncate(MAX_LINES.saturating_sub(1));
            lines.push((None, format!("{} lines were left out", std::mem::take(&mut meter.dropped))));
        }
        let given = report.exceptions.len().min(MAX_EXCEPTIONS);
        let exceptions = meter.exceptions.take(given, now);
        if exceptions < report.exceptions.len() {
            tracing::debug!(%job, left_out = report.exceptions.len() - exceptions, "exceptions were left out");
        }
        (lines, exceptions)
    }

    /// Writes the figures that are new.
    pub async fn write(&self, service: &Service) {
        let due: Vec<(JobId, Metrics)> = {
            let mut jobs = self.jobs();
            let due = jobs.iter_mut().filter_map(|(job, meter)| {
                std::mem::take(&mut meter.dirty).then(|| (job.clone(), meter.metrics.clone()))
            });
            due.collect()
        };
        let write = |(job, metrics): (JobId, Metrics)| async move {
            if let Err(error) = service.write_metrics(&job.tenant, &job.name, &metrics).await {
                tracing::debug!(%job, %error, "figures could not be written");
                self.jobs().remove(&job);
            }
        };
        stream::iter(due).map(write).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Whether something may be said once more, which is said from time to time only.
    pub fn may_say(&self, what: &str) -> bool {
        let (now, mut said) = (Instant::now(), self.said.lock().unwrap_or_else(PoisonError::into_inner));
        said.retain(|_, at| now.saturating_duration_since(*at) < SAID);
        if said.len() >= MAX_JOBS || said.contains_key(what) {
            return false;
        }
        said.insert(what.to_owned(), now);
        true
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<JobId, Meter>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
