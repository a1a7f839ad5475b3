//! Waiting for a job: its events are followed and shown, and each change of its state is looked at, until it is where it
//! shall be or has ended.

use super::Failure;
use super::remote::{Remote, cell, stopped_waiting};
use crate::client::Request;
use crate::output::{Output, plain};
use indicatif::{ProgressBar, ProgressStyle};
use lockgate_core::error::code;
use lockgate_core::job_state::State;
use lockgate_core::{Error, Name, Result, human};
use serde_json::Value;
use std::time::Duration;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Until {
    /// That it runs.
    Running,
    /// That it has ended.
    Ended,
    /// That it has ended because somebody cancelled it, or by itself.
    #[value(skip)]
    Gone,
}

/// The flags that say how to wait.
#[derive(Clone, Debug, clap::Args)]
pub struct Patience {
    /// Wait no longer than this, such as `5 min`.
    #[arg(long, value_name = "DURATION", value_parser = super::remote::duration)]
    timeout: Option<Duration>,
}

/// A wait for a job.
#[derive(Debug)]
pub struct Wait<'a> {
    /// Where it is.
    pub remote: &'a Remote,
    /// Which.
    pub job: &'a Name,
    /// For what.
    pub until: Until,
    /// The state before anything was asked, which is not yet an answer.
    pub before: Option<Standing>,
    /// Events before this time are not shown.
    pub since: String,
}

/// A state, and since when: two of the same name at different times are told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing(String, String);

impl Standing {
    /// That of a job as the API shows it.
    pub fn of(job: &Value) -> Self {
        Self(cell(job, "state"), cell(job, "since"))
    }

    /// Whether the job has ended.
    pub fn is_terminal(&self) -> bool {
        self.0.parse::<State>().is_ok_and(State::is_terminal)
    }
}

impl Wait<'_> {
    /// The job once it is there.
    ///
    /// # Errors
    /// `LG1079` if it ended otherwise, `LG1080` after the time-out, `LG0008` if somebody stopped the wait.
    pub async fn run(&self, patience: &Patience, output: &Output) -> Result<Value, Failure> {
        let bar = if output.is_text() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let timeout = async {
            match patience.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = self.ended(&bar, output) => ended.map_err(Failure::from),
            () = timeout => {
                let waited = human::millis(patience.timeout.unwrap_or_default().as_millis().try_into().unwrap_or(u64::MAX));
                let cause = format!("job {} is not there after {waited}; it goes on", self.job);
                let help = format!("`lockgate events {} --follow` shows what happens to it", self.job);
                Err(Error::new(code::STILL_WAITING, cause).help(help).into())
            }
            _ = tokio::signal::ctrl_c() => Err(stopped_waiting()),
        };
        bar.finish_and_clear();
        ended
    }

    async fn ended(&self, bar: &ProgressBar, output: &Output) -> Result<Value> {
        let path = self.remote.of_tenant(&["jobs", self.job])?;
        let mut follower = self.remote.client.follow(&format!("{path}/events/stream"), 0);
        loop {
            // Looked at first, and again after each change: the stream begins with all events that are kept, so that no
            // change in between is missed.
            let job = self.remote.client.send(&Request::get(&path)).await?.body;
            bar.set_message(format!("{}: {}", self.job, plain(&cell(&job, "state"))));
            if self.reached(&job)? {
                return Ok(job);
            }
            let mut changed = false;
            while !changed || follower.has_more() {
                let event = follower.next().await?;
                changed |= event.kind == "state";
                if event.kind == "gone" {
                    return Err(Error::new(code::NOT_FOUND, format!("job {} was deleted", self.job)));
                }
                if let Ok(event) = serde_json::from_str::<Value>(&event.data)
                    && output.is_text()
                    && cell(&event, "time") >= self.since
                {
                    bar.suspend(|| anstream::eprintln!("{}", line(&event)));
                }
            }
        }
    }

    fn reached(&self, job: &Value) -> Result<bool> {
        let standing = Standing::of(job);
        if self.before.as_ref() == Some(&standing) {
            return Ok(false);
        }
        match (standing.0.parse::<State>(), self.until) {
            (Ok(State::Running), Until::Running) | (Ok(State::Finished), _) | (Ok(State::Canceled), Until::Gone) => {
                Ok(true)
            }
            (Ok(state), _) if state.is_terminal() => {
                let why = cell(job, "failure.cause");
                let why = if state == State::Failed && !why.is_empty() { format!(": {why}") } else { String::new() };
                let error = Error::new(code::JOB_ENDED_OTHERWISE, format!("job {} is {state}{why}", self.job));
                Err(error.help(format!("`lockgate events {}` shows what happened to it", self.job)))
            }
            _ => Ok(false),
        }
    }
}

/// An event in a line.
pub fn line(event: &Value) -> String {
    let field = |name: &str| plain(&cell(event, name));
    let operator = Some(field("operator")).filter(|name| !name.is_empty()).map(|name| format!("[{name}] "));
    format!("{} {:<9} {}{}", field("time"), field("kind"), operator.unwrap_or_default(), field("text"))
}
