//! `lockgate submit`: from a signed bundle to a job. The bundle is uploaded unless it is there; a job that is there is taken
//! to the new version, after showing what that one newly touches; then the command waits until the job runs.

use super::Outcome;
use super::bundle::upload;
use super::remote::{Remote, Target, block, cell, confirm, object, pair};
use super::waiting::{Patience, Standing, Until, Wait};
use crate::client::{Answer, Request, malformed};
use crate::output::{Output, plain};
use lockgate_core::error::code;
use lockgate_core::{Name, Result, human};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Submit {
    /// The signed bundle.
    bundle: PathBuf,
    /// A parameter's value, on top of those that the job has; may be given several times.
    #[arg(long = "parameter", short = 'p', value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// Forget the values that parameters have now: what is not given has its default.
    #[arg(long)]
    reset_parameters: bool,
    /// Slots, within the signed range.
    #[arg(long, value_name = "COUNT")]
    parallelism: Option<u32>,
    /// Fuel a second that each slot may use, such as 500M: as much as before, or by the tenant's quota, if not given.
    #[arg(long, value_name = "FUEL", value_parser = fuel)]
    fuel_per_second: Option<u64>,
    /// How much the job counts beside its tenant's others, 1 to 1,000: as much as before, or 1, if not given.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    weight: Option<u32>,
    /// A label; may be given several times. All labels are set anew if there is one.
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// The bundle is an earlier version, which the present one names as a fallback.
    #[arg(long)]
    fallback: bool,
    /// Start the job again if it has ended.
    #[arg(long)]
    restart: bool,
    /// Do not ask before an upgrade.
    #[arg(long)]
    yes: bool,
    /// Do not wait.
    #[arg(long, conflicts_with = "until")]
    detached: bool,
    /// What to wait for.
    #[arg(long, value_enum, default_value = "running")]
    until: Until,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    target: Target,
}

fn fuel(text: &str) -> Result<u64, String> {
    human::parse_count(text).map_err(|error| error.cause().to_owned())
}

impl Submit {
    pub fn run(&self, output: &Output) -> Outcome {
        block(self.submit(output))
    }

    async fn submit(&self, output: &Output) -> Outcome {
        let (parameters, labels) = (object(&self.parameters)?, object(&self.labels)?);
        let remote = self.target.open()?;
        let (bundle, uploaded) = upload(&remote, &self.bundle, output).await?;
        let name = Name::new(bundle.get("job").and_then(Value::as_str).unwrap_or_default())
            .map_err(|_| malformed("what the JobManager says of the bundle names no job"))?;
        let path = remote.of_tenant(&["jobs", &name])?;
        let (action, mut job, before) = match remote.client.find(&path).await? {
            None => {
                touches(output, &format!("{name} is new and touches"), &strings(&bundle, "touches"));
                let body = json!({
                    "bundle": bundle.get("digest"), "parameters": parameters,
                    "parallelism": self.parallelism, "fuel-per-second": self.fuel_per_second, "weight": self.weight,
                    "labels": labels,
                });
                let request = Request::post(&remote.of_tenant(&["jobs"])?).json(&body).keyed()?;
                ("created", remote.client.send(&request).await?, None)
            }
            Some(there) => self.upgrade(&remote, (&path, &name), (there, &bundle), parameters, output).await?,
        };
        if action != "created" && !labels.is_empty() {
            job =
                unless_changed(&remote, &path, job, &Request::patch(&path).json(&json!({ "labels": labels }))).await?.0;
        }
        let mut shown = job.body;
        if !self.detached {
            let since = if action == "created" { cell(&shown, "created") } else { cell(&shown, "deployment.since") };
            let wait = Wait { remote: &remote, job: &name, until: self.until, before, since };
            shown = wait.run(&self.patience, output).await?;
        }
        let value = json!({ "action": action, "uploaded": uploaded, "job": shown });
        output.result(&value, || {
            let (version, state) = (cell(&shown, "deployment.version"), plain(&cell(&shown, "state")));
            format!("{action} job {name} in version {version}: {state}")
        });
        Ok(())
    }

    /// Takes a job that is there to the bundle, unless it is there already. What was done, the job, and how it stood.
    async fn upgrade(
        &self,
        remote: &Remote,
        (path, name): (&str, &Name),
        (there, bundle): (Answer, &Value),
        parameters: BTreeMap<String, String>,
        output: &Output,
    ) -> Result<(&'static str, Answer, Option<Standing>)> {
        let standing = Standing::of(&there.body);
        let (from, to) = (cell(&there.body, "deployment.version"), cell(bundle, "version"));
        let newly = newly(remote, &there.body, bundle).await?;
        if from != to {
            touches(output, &format!("{name} goes from version {from} to {to} and newly touches"), &newly);
            let what = if newly.is_empty() { "nothing new".to_owned() } else { newly.join("; ") };
            confirm(self.yes, &format!("take {name} to version {to}, which newly touches {what}?"))?;
        }
        let mut body = json!({
            "bundle": bundle.get("digest"), "fallback": self.fallback, "restart": self.restart,
            "parallelism": self.parallelism, "fuel-per-second": self.fuel_per_second, "weight": self.weight,
        });
        if let (true, Some(body)) = (!parameters.is_empty() || self.reset_parameters, body.as_object_mut()) {
            let held = there.body.pointer("/deployment/parameters").and_then(Value::as_object);
            let held = held.filter(|_| !self.reset_parameters).into_iter().flatten();
            let mut all: BTreeMap<_, _> = held.map(|(key, value)| (key.clone(), super::remote::words(value))).collect();
            all.extend(parameters);
            body.insert("parameters".into(), json!(all));
        }
        let restarted = self.restart && standing.is_terminal();
        let request = Request::post(&format!("{path}/upgrade")).json(&body);
        let (job, before) = unless_changed(remote, path, there, &request).await?;
        let changed = job.etag != before;
        let action = match (changed, restarted && from == to) {
            (true, false) => "upgraded",
            (true, true) => "restarted",
            (false, _) => "unchanged",
        };
        Ok((action, job, changed.then_some(standing)))
    }
}

/// Sends a change of a job that is as it was shown, or that only the JobManager itself has moved on since: what somebody
/// else asked of it in between is an error. The answer, and the ETag of what was changed.
async fn unless_changed(
    remote: &Remote,
    path: &str,
    shown: Answer,
    request: &Request,
) -> Result<(Answer, Option<String>)> {
    /// A job that restarts moves on several times in a second.
    const TIMES: usize = 8;
    let asked =
        |job: &Value| ["id", "goal", "labels", "deployment.bundle", "deployment.since"].map(|field| cell(job, field));
    let (mut tag, expected) = (shown.etag, asked(&shown.body));
    for _ in 1..TIMES {
        match remote.client.send(&request.clone().if_match(tag.as_deref())).await {
            Err(error) if error.code() == code::PRECONDITION_FAILED => {
                let now = remote.client.send(&Request::get(path)).await?;
                if asked(&now.body) != expected {
                    return Err(error);
                }
                tag = now.etag;
            }
            other => return other.map(|answer| (answer, tag)),
        }
    }
    let answer = remote.client.send(&request.clone().if_match(tag.as_deref())).await?;
    Ok((answer, tag))
}

/// What the bundle touches and the one that runs does not. All of it if that one cannot be seen any more.
async fn newly(remote: &Remote, job: &Value, bundle: &Value) -> Result<Vec<String>> {
    let digest = cell(job, "deployment.bundle");
    if digest == cell(bundle, "digest") {
        return Ok(Vec::new());
    }
    let running = remote.client.find(&remote.of_tenant(&["bundles", &digest])?).await?;
    let held = running.map(|answer| strings(&answer.body, "touches")).unwrap_or_default();
    Ok(strings(bundle, "touches").into_iter().filter(|touch| !held.contains(touch)).collect())
}

fn strings(value: &Value, field: &str) -> Vec<String> {
    let all = value.get(field).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Says what a version touches before anything happens.
fn touches(output: &Output, what: &str, touches: &[String]) {
    if output.is_text() {
        let lines = if touches.is_empty() { vec!["nothing".to_owned()] } else { touches.to_vec() };
        anstream::eprintln!("{}:", plain(what));
        lines.iter().for_each(|line| anstream::eprintln!("- {}", plain(line)));
    }
}
