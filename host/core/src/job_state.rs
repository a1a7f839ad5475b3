//! The states of a job: Flink's, as a pure and total state machine.
//!
//! ```text
//! INITIALIZING ─admit─▶ CREATED ─start─▶ RUNNING ─finish─▶ FINISHED
//!                          ▲              │  ▲ lose/start
//!                          │ready    fail │  ▼
//!                     RESTARTING ◀─restart─ FAILING   RECONCILING      FAILING ─give up─▶ FAILED
//!
//! cancel leads from wherever a job has not ended to CANCELLING, and the end of its tasks from there to CANCELED;
//! suspend leads to SUSPENDED and resume back to CREATED.
//! ```
//!
//! Names and meanings are those of `org.apache.flink.api.common.JobStatus`, so that tools made for Flink's REST API
//! read them. One difference: a job is set aside as SUSPENDED and taken up again by the same control plane, whereas
//! Flink only does so when the JobManager itself goes. What starts again after its end is a new run with a record of
//! its own; no transition leads out of FINISHED, CANCELED or FAILED.

use crate::error::{Error, Result, code};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The state of a job. Written in capitals, as in Flink's REST API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Taken in; its bundle is not verified to the end yet.
    Initializing,
    /// Admitted; waits for slots.
    Created,
    /// Its tasks run.
    Running,
    /// Something failed; its tasks are being ended.
    Failing,
    /// Failed for good.
    Failed,
    /// Somebody cancelled it; its tasks are being ended.
    Cancelling,
    /// Ended because somebody cancelled it.
    Canceled,
    /// Ended by itself, or drained.
    Finished,
    /// Waits for the delay that its restart strategy says, and for the end of its tasks.
    Restarting,
    /// Set aside: holds no slots until it is resumed.
    Suspended,
    /// A TaskManager that holds its tasks is silent, or the JobManager has just started: they may still run.
    Reconciling,
}

/// What happens to a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// Its bundle was verified and its record stored.
    Admit,
    /// All its tasks are reported as running.
    Start,
    /// A TaskManager with tasks of it fell silent.
    Lose,
    /// A task failed, a lease ended, or the job must not run any more.
    Fail,
    /// Its tasks shall end and start again: after a failure, for an upgrade, elsewhere, or because somebody asks.
    Restart,
    /// The delay is over and no task of it runs.
    Ready,
    /// No task runs any more and it is not to be started again.
    GiveUp,
    /// Somebody cancels it.
    Cancel,
    /// The last of its tasks has ended after a cancellation.
    Ended,
    /// All input is read and committed, or everything in flight is drained.
    Finish,
    /// It is set aside.
    Suspend,
    /// It is taken up again.
    Resume,
}

impl State {
    /// Every state, in the order in which Flink names them.
    pub const ALL: [Self; 11] = [
        Self::Initializing,
        Self::Created,
        Self::Running,
        Self::Failing,
        Self::Failed,
        Self::Cancelling,
        Self::Canceled,
        Self::Finished,
        Self::Restarting,
        Self::Suspended,
        Self::Reconciling,
    ];

    /// The state after `trigger`. What only repeats what led to a state leaves it as it is, so that a message that
    /// comes twice does no harm.
    ///
    /// # Errors
    /// `LG1301` if the job has ended, `LG1300` if the trigger does not follow on this state.
    pub fn next(self, trigger: Trigger) -> Result<Self> {
        use State as S;
        use Trigger as T;
        if self.is_terminal() {
            let cause = format!("the job is {self}: {trigger} means nothing to it any more");
            return Err(Error::new(code::JOB_ENDED, cause));
        }
        Ok(match (self, trigger) {
            (S::Initializing | S::Created, T::Admit) => S::Created,
            // What cannot be admitted has no task that would have to end first.
            (S::Initializing, T::Fail | T::GiveUp) => S::Failed,
            (S::Created | S::Running | S::Reconciling, T::Start) => S::Running,
            (S::Running | S::Reconciling, T::Lose) => S::Reconciling,
            (S::Created | S::Running | S::Reconciling | S::Restarting | S::Suspended | S::Failing, T::Fail) => {
                S::Failing
            }
            // A task that fails while it is being ended has ended.
            (S::Cancelling, T::Fail | T::Cancel | T::Lose) => S::Cancelling,
            (S::Failing | S::Restarting, T::Lose) => self,
            // Nothing of it runs, so that there is nothing to restart.
            (S::Created, T::Restart) => S::Created,
            (S::Running | S::Reconciling | S::Failing | S::Restarting, T::Restart) => S::Restarting,
            (S::Restarting | S::Created, T::Ready) => S::Created,
            (S::Failing, T::GiveUp) => S::Failed,
            (S::Cancelling, T::Ended) => S::Canceled,
            (S::Running | S::Reconciling | S::Created | S::Restarting | S::Suspended, T::Finish) => S::Finished,
            (S::Created | S::Running | S::Reconciling | S::Restarting | S::Failing | S::Suspended, T::Suspend) => {
                S::Suspended
            }
            (S::Suspended, T::Resume) => S::Created,
            (_, T::Cancel) => S::Cancelling,
            _ => {
                let cause = format!("the job is {self}, {trigger} does not follow on that");
                return Err(Error::new(code::JOB_TRANSITION, cause));
            }
        })
    }

    /// Whether a job stays in this state for ever.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }

    /// Whether a job in this state is to have slots.
    pub const fn wants_slots(self) -> bool {
        matches!(self, Self::Created | Self::Running | Self::Reconciling)
    }

    /// The name, as in Flink's REST API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Restarting => "RESTARTING",
            Self::Suspended => "SUSPENDED",
            Self::Reconciling => "RECONCILING",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Error;

    /// # Errors
    /// `LG1302` if there is no such state.
    fn from_str(text: &str) -> Result<Self> {
        let shown: String = text.chars().take(40).collect();
        let unknown = || Error::new(code::UNKNOWN_STATE, format!("{shown:?} is no state of a job"));
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(unknown)
    }
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 12] = [
        Self::Admit,
        Self::Start,
        Self::Lose,
        Self::Fail,
        Self::Restart,
        Self::Ready,
        Self::GiveUp,
        Self::Cancel,
        Self::Ended,
        Self::Finish,
        Self::Suspend,
        Self::Resume,
    ];
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admit => "admit",
            Self::Start => "start",
            Self::Lose => "lose",
            Self::Fail => "fail",
            Self::Restart => "restart",
            Self::Ready => "ready",
            Self::GiveUp => "give up",
            Self::Cancel => "cancel",
            Self::Ended => "ended",
            Self::Finish => "finish",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        })
    }
}

#[cfg(test)]
mod tests;
