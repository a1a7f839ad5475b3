//! What users are told of a job that runs: lines that its functions logged, and what failed without ending it. Bounded:
//! what does not fit is counted and left out, and the job never waits for it.

use super::client::{self, Plane, TIMES};
use crate::job::Event;
use lockgate_core::placement::JobId;
use lockgate_core::plan::Plan;
use lockgate_core::plane::{Fence, MAX_LINES, Report, ReportedException, ReportedLine, path};
use lockgate_core::{Error, Name};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The most lines that wait to be told.
const MAX_WAITING: usize = 1_000;
/// The most failures that wait to be told.
const MAX_EXCEPTIONS: usize = 20;
/// The most characters of a line and of a cause.
const MAX_TEXT: usize = 4_000;
/// How long lines are gathered, and how long it is until a failed report is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// What waits to be told of one task.
#[derive(Default)]
pub struct Told {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    names: Vec<Name>,
    lines: VecDeque<ReportedLine>,
    exceptions: VecDeque<ReportedException>,
    dropped: u64,
}

impl Told {
    /// From now on nodes have the names that `plan` gives them.
    pub fn of(&self, plan: &Plan) {
        self.lock().names = plan.nodes.iter().map(|node| node.name.clone()).collect();
    }

    /// Takes what an event has to tell.
    pub fn take(&self, event: &Event) {
        match event {
            Event::Log { lines, .. } => {
                let mut waiting = self.lock();
                for line in lines {
                    if waiting.lines.len() >= MAX_WAITING {
                        waiting.dropped = waiting.dropped.saturating_add(1);
                        continue;
                    }
                    let operator = waiting.names.get(line.node as usize).cloned();
                    let text = shown(&format!("{}: {}", line.level, line.text));
                    waiting.lines.push_back(ReportedLine { operator, text });
                }
            }
            Event::Restarted { error } => self.failed(error),
            Event::Started { .. } | Event::Usage { .. } | Event::Committed { .. } | Event::WallsMissing { .. } => {
                return;
            }
        }
        self.more.notify_one();
    }

    /// Takes a failure that the job goes on after, or ends with.
    pub fn failed(&self, error: &Error) {
        let mut waiting = self.lock();
        if waiting.exceptions.len() >= MAX_EXCEPTIONS {
            waiting.exceptions.pop_front();
        }
        let operator = error.place().and_then(|place| Name::new(place).ok());
        let (code, cause) = (error.code().to_string(), shown(error.cause()));
        waiting.exceptions.push_back(ReportedException { code, cause, operator, samples: Vec::new() });
        drop(waiting);
        self.more.notify_one();
    }

    /// Tells the JobManager whenever there is something, until it is dropped.
    pub async fn tell(&self, plane: &Plane, job: &JobId, fence: &Fence) {
        loop {
            self.more.notified().await;
            tokio::time::sleep(PAUSE).await;
            while self.once(plane, job, fence).await {}
        }
    }

    /// Tells what waits, once: at the end, when there is nobody to wait for more.
    pub async fn once(&self, plane: &Plane, job: &JobId, fence: &Fence) -> bool {
        let Some(report) = self.next(fence) else { return false };
        let to = client::path(path::REPORT, &[("tenant", job.tenant.as_str()), ("job", job.name.as_str())]);
        if let Err(error) = plane.post::<Value>(&to, &report, 64 << 10, &TIMES).await {
            tracing::debug!(%job, %error, lines = report.lines.len(), "a report was not taken");
            let mut waiting = self.lock();
            waiting.dropped = waiting.dropped.saturating_add(report.lines.len() as u64).saturating_add(report.dropped);
        }
        true
    }

    fn next(&self, fence: &Fence) -> Option<Report> {
        let mut waiting = self.lock();
        // That something was left out is told with what follows it.
        if waiting.lines.is_empty() && waiting.exceptions.is_empty() {
            return None;
        }
        let count = waiting.lines.len().min(MAX_LINES);
        let lines = waiting.lines.drain(..count).collect();
        let exceptions = waiting.exceptions.drain(..).collect();
        let dropped = std::mem::take(&mut waiting.dropped);
        Some(Report { fence: fence.clone(), lines, dropped, exceptions })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tenant's text, fit to be shown and of bounded length.
fn shown(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_executor::protocol::LogLine;

    fn line(text: &str) -> LogLine {
        LogLine { node: 0, level: "info".into(), text: text.into() }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_not_waited_for() {
        let told = Told::default();
        let fence = Fence { id: "x".into(), epoch: 1, session: String::new() };
        let lines = (0..MAX_WAITING + 7).map(|n| line(&n.to_string())).collect();
        told.take(&Event::Log { slot: 0, lines });
        let first = told.next(&fence).unwrap();
        assert_eq!((first.lines.len(), first.dropped), (MAX_LINES, 7));
        let mut rest = 0;
        while let Some(report) = told.next(&fence) {
            assert_eq!(report.dropped, 0);
            rest += report.lines.len();
        }
        assert_eq!(rest, MAX_WAITING - MAX_LINES);
        told.take(&Event::Log { slot: 0, lines: vec![line("a\u{1b}[2Jb\n")] });
        assert_eq!(told.next(&fence).unwrap().lines[0].text, "info: a\u{fffd}[2Jb\u{fffd}");
    }
}
