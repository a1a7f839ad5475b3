//! What users are told of a job that runs: lines that its functions logged, and what failed without ending it. Bounded:
//! what does not fit is counted and left out, and the job never waits for it.

use super::client::{self, Plane, TIMES};
use crate::job::Event;
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plan::Plan;
use lockgate_core::plane::{
    Fence, MAX_LINES, MAX_SAMPLES, Report, ReportedException, ReportedLine, ReportedSample, path,
};
use lockgate_core::{Code, Error, Name};
use lockgate_executor::protocol::FailedRow;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The most lines that wait to be told.
const MAX_WAITING: usize = 1_000;
/// The most failures that wait to be told.
const MAX_EXCEPTIONS: usize = 20;
/// The most characters of a line and of a cause.
const MAX_TEXT: usize = 4_000;
/// How often rows that failed are told of, of one task: they are samples, and must not push out what else failed.
const SAMPLING: Duration = Duration::from_secs(60);
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
    /// When rows that failed were last taken.
    sampled: Option<Instant>,
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
            Event::Failed { rows, .. } => {
                if !self.sample(rows) {
                    return;
                }
            }
            Event::Started { .. } | Event::Usage { .. } | Event::Committed { .. } | Event::WallsMissing { .. } => {
                return;
            }
        }
        self.more.notify_one();
    }

    /// Takes rows that failed, if none were taken for a while; whether they were. What they are of says nothing of them to who may not
    /// read them: only the samples do.
    fn sample(&self, rows: &[FailedRow]) -> bool {
        let (mut waiting, now) = (self.lock(), Instant::now());
        if waiting.sampled.is_some_and(|last| now.saturating_duration_since(last) < SAMPLING) {
            return false;
        }
        waiting.sampled = Some(now);
        let mut kinds: BTreeMap<(Name, u16), Vec<ReportedSample>> = BTreeMap::new();
        for FailedRow { node, split, row, code, message, input } in rows.iter().take(MAX_SAMPLES) {
            let (split, message, value) = (shown(split), shown(message), shown(input));
            let sample = ReportedSample { split, record: *row, message, value };
            kinds.entry((node.clone(), *code)).or_default().push(sample);
        }
        for ((node, number), samples) in kinds {
            let code = Code::from_number(number).unwrap_or(code::INTERNAL).to_string();
            let cause = "rows failed and went to the dead letters".to_owned();
            waiting.exceptions.push_back(ReportedException { code, cause, operator: Some(node), samples });
        }
        // Samples make no room for themselves: failures say more.
        waiting.exceptions.truncate(MAX_EXCEPTIONS);
        true
    }

    /// Takes a failure that the job goes on after, or ends with.
    pub fn failed(&self, error: &Error) {
        let mut waiting = self.lock();
        if waiting.exceptions.len() >= MAX_EXCEPTIONS {
            let samples = waiting.exceptions.iter().position(|exception| !exception.samples.is_empty());
            waiting.exceptions.remove(samples.unwrap_or_default());
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
        let mut exceptions: Vec<_> = waiting.exceptions.drain(..).collect();
        // Of many the JobManager takes the first.
        exceptions.sort_by_key(|exception| !exception.samples.is_empty());
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

    #[test]
    fn rows_that_failed_are_told_of_a_few_at_a_time_and_never_by_their_cause() {
        let (told, fence) = (Told::default(), Fence { id: "x".into(), epoch: 1, session: String::new() });
        let row = |row| FailedRow {
            node: Name::new("f").unwrap(),
            split: "rows/a".into(),
            row,
            code: 601,
            message: "secret-1\u{1b}[2J".into(),
            input: format!("{{\"x\":\"secret-2{}\"}}", "y".repeat(MAX_TEXT)),
        };
        let rows: Vec<FailedRow> = (0..50).map(row).collect();
        for _ in 0..3 {
            told.take(&Event::Failed { slot: 0, rows: rows.clone() });
        }
        let report = told.next(&fence).unwrap();
        assert_eq!(report.exceptions.len(), 1, "at most once in a while");
        let exception = &report.exceptions[0];
        assert_eq!((exception.code.as_str(), exception.samples.len()), ("LG0601", MAX_SAMPLES));
        assert!(!exception.cause.contains("secret"), "{}", exception.cause);
        let sample = &exception.samples[0];
        assert_eq!((sample.message.as_str(), sample.value.chars().count()), ("secret-1\u{fffd}[2J", MAX_TEXT));
        assert_eq!(told.next(&fence), None);
        // What failed is told first, and samples make room for it.
        let (told, kinds) = (Told::default(), 601..611);
        let rows: Vec<FailedRow> = kinds.map(|code| FailedRow { code, ..row(1) }).collect();
        told.take(&Event::Failed { slot: 0, rows });
        for _ in 0..MAX_EXCEPTIONS {
            told.failed(&Error::new(code::GUEST_TRAP, "it trapped"));
        }
        let report = told.next(&fence).unwrap();
        assert_eq!(report.exceptions.len(), MAX_EXCEPTIONS);
        assert!(report.exceptions.iter().all(|exception| exception.samples.is_empty()), "samples push failures out");
        let told = Told::default();
        told.take(&Event::Failed { slot: 0, rows: vec![row(1)] });
        told.failed(&Error::new(code::GUEST_TRAP, "it trapped"));
        let order =
            told.next(&fence).unwrap().exceptions.iter().map(|exception| exception.samples.len()).collect::<Vec<_>>();
        assert_eq!(order, [0, 1]);
    }
}
