//! `lockgate events` and `lockgate logs`: what happened to a job and what its functions wrote, as far as it is kept, or as
//! it comes.

use super::Outcome;
use super::remote::{Target, block};
use super::waiting::line;
use crate::client::malformed;
use crate::output::Output;
use lockgate_core::Name;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct Events {
    /// The job.
    job: Name,
    /// Go on as they come, until the job is deleted or Ctrl-C.
    #[arg(long, short = 'f')]
    follow: bool,
    /// Begin behind the event of this number.
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    after: u64,
    #[command(flatten)]
    target: Target,
}

impl Events {
    /// Shows all events, or only what functions wrote.
    pub fn run(&self, only_logs: bool, output: &Output) -> Outcome {
        block(self.go(only_logs, output))
    }

    async fn go(&self, only_logs: bool, output: &Output) -> Outcome {
        /// More than are kept.
        const ALL: usize = 100_000;
        let remote = self.target.open()?;
        if !self.follow {
            let list = if only_logs { "logs" } else { "events" };
            let path = remote.of_tenant(&["jobs", &self.job, list])?;
            for event in remote.client.list(&path, &[], ALL).await?.0 {
                let number = event.get("sequence").and_then(Value::as_u64);
                if number.is_some_and(|number| number > self.after) && !output.stream(&event, || line(&event)) {
                    break;
                }
            }
            return Ok(());
        }
        let path = remote.of_tenant(&["jobs", &self.job, "events", "stream"])?;
        let mut follower = remote.client.follow(&path, self.after);
        loop {
            let event = follower.next().await?;
            let going_on = match event.kind.as_str() {
                "gone" => false,
                "gap" => {
                    let missed: u64 = event.data.parse().unwrap_or_default();
                    let what = || format!("{missed} events are kept no longer");
                    output.stream(&json!({ "kind": "gap", "missed": missed }), what)
                }
                kind if only_logs && kind != "log" => true,
                _ => {
                    let event: Value =
                        serde_json::from_str(&event.data).map_err(|_| malformed("an event is not JSON"))?;
                    output.stream(&event, || line(&event))
                }
            };
            if !going_on {
                return Ok(());
            }
        }
    }
}
