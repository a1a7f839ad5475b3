//! `lockgate label`: sets and removes single labels of a job, without any effect on its running. What somebody else changes
//! of its labels meanwhile stays.

use super::Outcome;
use super::remote::{Target, block, words};
use crate::client::Request;
use crate::output::{Output, plain};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How often the job may have moved on in between: one that restarts does so several times in a second.
const TIMES: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Label {
    /// The job.
    job: Name,
    /// `key=value` sets a label, `key-` removes one.
    #[arg(required = true, value_name = "KEY=VALUE|KEY-", value_parser = change)]
    changes: Vec<(String, Option<String>)>,
    /// Set labels anew that have another value.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    target: Target,
}

/// Reads `key=value` or `key-`.
fn change(text: &str) -> Result<(String, Option<String>), String> {
    let pair = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text.strip_suffix('-').ok_or("write KEY=VALUE, or KEY- to remove a label")?, None),
    };
    if pair.0.is_empty() {
        return Err("write KEY=VALUE, or KEY- to remove a label".into());
    }
    Ok((pair.0.to_owned(), pair.1))
}

impl Label {
    pub fn run(&self, output: &Output) -> Outcome {
        block(self.label(output))
    }

    async fn label(&self, output: &Output) -> Outcome {
        let remote = self.target.open()?;
        let path = remote.of_tenant(&["jobs", &self.job])?;
        for left in (0..TIMES).rev() {
            let there = remote.client.send(&Request::get(&path)).await?;
            let labels = self.changed(&there.body)?;
            if there.body.get("labels") == Some(&json!(labels)) {
                self.show(&there.body, output);
                return Ok(());
            }
            let request = Request::patch(&path).json(&json!({ "labels": labels })).if_match(there.etag.as_deref());
            match remote.client.send(&request).await {
                Err(error) if error.code() == code::PRECONDITION_FAILED && left > 0 => {}
                other => {
                    self.show(&other?.body, output);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The labels that a job is to have.
    fn changed(&self, job: &Value) -> Result<BTreeMap<String, String>> {
        let held = job.get("labels").and_then(Value::as_object).into_iter().flatten();
        let mut labels: BTreeMap<_, _> = held.map(|(key, value)| (key.clone(), words(value))).collect();
        for (at, (key, value)) in self.changes.iter().enumerate() {
            if self.changes.iter().skip(at + 1).any(|(other, _)| other == key) {
                return Err(Error::new(code::USAGE, format!("{key:?} is given twice")));
            }
            let Some(value) = value else {
                labels.remove(key);
                continue;
            };
            match labels.get(key).filter(|held| *held != value && !self.overwrite) {
                Some(held) => {
                    let cause = format!("job {} has the label {key}={held} already", self.job);
                    return Err(Error::new(code::ALREADY_EXISTS, cause).help("`--overwrite` sets it anew"));
                }
                None => labels.insert(key.clone(), value.clone()),
            };
        }
        Ok(labels)
    }

    fn show(&self, job: &Value, output: &Output) {
        output.result(job, || {
            let labels = job.get("labels").map(words).filter(|labels| !labels.is_empty());
            format!(
                "job {} has {}",
                self.job,
                plain(&labels.map_or("no labels".to_owned(), |all| format!("the labels {all}")))
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(changes: &[&str], overwrite: bool) -> Result<BTreeMap<String, String>> {
        let changes = changes.iter().map(|text| change(text).unwrap()).collect();
        let label = Label { job: Name::new("late").unwrap(), changes, overwrite, target: Target::default() };
        label.changed(&json!({ "labels": { "team": "data", "tier": "1" } }))
    }

    #[test]
    fn single_labels_are_set_and_removed_and_the_others_stay() {
        let labels = of(&["a=b", "tier-", "none-"], false).unwrap();
        assert_eq!(json!(labels), json!({ "a": "b", "team": "data" }));
        assert_eq!(of(&["team=data"], false).unwrap().len(), 2, "the same value is no change");
        assert_eq!(of(&["team=ops"], false).unwrap_err().code(), code::ALREADY_EXISTS);
        assert_eq!(of(&["team=ops"], true).unwrap().get("team").map(String::as_str), Some("ops"));
        assert_eq!(of(&["a=b", "a-"], true).unwrap_err().code(), code::USAGE);
        for bad in ["a", "", "-", "=b"] {
            assert!(change(bad).is_err(), "{bad:?}");
        }
    }
}
