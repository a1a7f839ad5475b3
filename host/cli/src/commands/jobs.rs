//! `lockgate list`, `info`, `cancel`, `stop`, `restart`, `suspend`, `resume` and `delete`: jobs on a JobManager.

use super::Outcome;
use super::remote::{Narrow, Remote, Target, block, cell, confirm, fields, pair};
use super::waiting::{Patience, Standing, Until, Wait};
use crate::client::Request;
use crate::output::{Output, plain, table};
use lockgate_core::job_state::State;
use lockgate_core::{Name, Result};
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    narrow: Narrow,
    /// A state, such as running; may be given several times, any of which fits.
    #[arg(long = "state", value_name = "STATE", value_parser = state)]
    states: Vec<State>,
    /// A label; may be given several times, all of which must fit.
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    target: Target,
}

/// A job that is there.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The job.
    job: Name,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
pub struct End {
    #[command(flatten)]
    one: One,
    /// Wait until it has ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
}

#[derive(Debug, clap::Args)]
pub struct Stop {
    #[command(flatten)]
    end: End,
    /// Take in nothing more, commit what is in flight, and finish: the only way to stop so far, `cancel` being the hard one.
    #[arg(long)]
    drain: bool,
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    one: One,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

fn state(text: &str) -> Result<State, String> {
    text.to_ascii_uppercase().parse::<State>().map_err(|error| error.cause().to_owned())
}

impl List {
    pub fn run(&self, output: &Output) -> Outcome {
        block(async {
            let remote = self.target.open()?;
            let mut query: Vec<(&str, String)> = self.states.iter().map(|state| ("state", state.to_string())).collect();
            query.extend(self.labels.iter().map(|(key, value)| ("label", format!("{key}={value}"))));
            let columns = [
                ("name", "name"),
                ("state", "state"),
                ("version", "deployment.version"),
                ("slots", "slots"),
                ("wanted", "parallelism"),
                ("failures", "failures"),
                ("since", "since"),
                ("labels", "labels"),
            ];
            self.narrow.show((&remote, output), &remote.of_tenant(&["jobs"])?, query, &columns).await
        })
    }
}

impl One {
    /// Shows a job.
    pub fn info(&self, output: &Output) -> Outcome {
        block(async {
            let remote = self.target.open()?;
            let job = remote.client.send(&Request::get(&self.path(&remote)?)).await?.body;
            output.result(&job, || describe(&job));
            Ok(())
        })
    }

    /// Asks something of a job: a verb of the API.
    pub fn ask(&self, verb: &str, output: &Output) -> Outcome {
        block(async {
            let remote = self.target.open()?;
            let job = remote.client.send(&Request::post(&(self.path(&remote)? + "/" + verb))).await?.body;
            self.show(&job, output);
            Ok(())
        })
    }

    fn path(&self, remote: &Remote) -> Result<String> {
        remote.of_tenant(&["jobs", &self.job])
    }

    fn show(&self, job: &Value, output: &Output) {
        output.result(job, || {
            format!("job {} is {}, to {}", self.job, plain(&cell(job, "state")), plain(&cell(job, "goal")))
        });
    }
}

impl End {
    /// Ends a job, and waits until it has ended if so asked.
    pub fn run(&self, verb: &str, output: &Output) -> Outcome {
        if !self.wait {
            return self.one.ask(verb, output);
        }
        block(async {
            let remote = self.one.target.open()?;
            let path = self.one.path(&remote)?;
            let before = Standing::of(&remote.client.send(&Request::get(&path)).await?.body);
            remote.client.send(&Request::post(&(path + "/" + verb))).await?;
            // The job had not ended, or it would have been refused: if it looks ended, it was restarted just before.
            let before = Some(before);
            // What led here is of no interest: only the end is.
            let since = crate::files::now().to_string();
            let wait = Wait { remote: &remote, job: &self.one.job, until: Until::Gone, before, since };
            let job = wait.run(&self.patience, output).await?;
            self.one.show(&job, output);
            Ok(())
        })
    }
}

impl Stop {
    pub fn run(&self, output: &Output) -> Outcome {
        self.end.run("stop", output)
    }
}

impl Delete {
    pub fn run(&self, output: &Output) -> Outcome {
        let One { job, target } = &self.one;
        block(async {
            let remote = target.open()?;
            confirm(self.yes, &format!("delete job {job} with its history?"))?;
            remote.client.send(&Request::delete(&self.one.path(&remote)?)).await?;
            output.result(&json!({ "deleted": job }), || format!("deleted job {job}"));
            Ok(())
        })
    }
}

fn describe(job: &Value) -> String {
    let rows = [
        ("name", "name"),
        ("state", "state"),
        ("since", "since"),
        ("goal", "goal"),
        ("version", "deployment.version"),
        ("bundle", "deployment.bundle"),
        ("parameters", "deployment.parameters"),
        ("slots", "slots"),
        ("wanted", "parallelism"),
        ("fuel a second of each slot", "fuel-per-second"),
        ("weight", "weight"),
        ("failures", "failures"),
        ("failure", "failure"),
        ("labels", "labels"),
        ("created", "created"),
        ("by", "created-by"),
        ("id", "id"),
    ];
    let former = job.get("former").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let columns = ["version", "since", "by", "bundle"];
    let before = former.iter().map(|one| columns.iter().map(|field| cell(one, field)).collect());
    let before =
        if former.is_empty() { String::new() } else { "\nbefore:\n".to_owned() + &table(Some(&columns), before) };
    fields(job, &rows) + &before
}
