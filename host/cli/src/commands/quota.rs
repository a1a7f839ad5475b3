//! `lockgate quota`: what a tenant may take up, and what it does.

use super::Outcome;
use super::remote::{Target, block};
use crate::client::Request;
use crate::output::{Output, table};
use lockgate_core::error::code;
use lockgate_core::{Error, human, suggest};
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Subcommand)]
pub enum Quota {
    /// Shows a tenant's quota and its use.
    Show {
        #[command(flatten)]
        target: Target,
    },
    /// Sets quotas of a tenant; those that are not named stay as they are.
    Set {
        /// Such as `jobs=20` or `memory=8 GiB`; `jobs=` takes what was set away, so that the default counts.
        #[arg(required_unless_present = "weight", value_name = "KIND=VALUE", value_parser = super::remote::pair)]
        quotas: Vec<(String, String)>,
        /// How much the tenant counts beside others when they share the cluster: from 1 to 1,000; as `weight=N`.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        weight: Option<u32>,
        #[command(flatten)]
        target: Target,
    },
}

impl Quota {
    pub fn run(&self, output: &Output) -> Outcome {
        block(async {
            match self {
                Self::Show { target } => {
                    let remote = target.open()?;
                    show(&remote.client.send(&Request::get(&remote.of_tenant(&["quota"])?)).await?.body, output);
                }
                Self::Set { quotas, weight, target } => {
                    let remote = target.open()?;
                    let path = remote.of_tenant(&["quota"])?;
                    let now = remote.client.send(&Request::get(&path)).await?;
                    let weight = weight.map(|weight| ("weight".to_owned(), weight.to_string()));
                    let quotas: Vec<_> = quotas.iter().cloned().chain(weight).collect();
                    let set = changed(&now.body, &quotas)?;
                    let request = Request::put(&path).json(&json!({ "set": set })).if_match(now.etag.as_deref());
                    show(&remote.client.send(&request).await?.body, output);
                }
            }
            Ok(())
        })
    }
}

/// What is set, with these changes.
fn changed(now: &Value, quotas: &[(String, String)]) -> Result<Map<String, Value>, Error> {
    let object = |field: &str| now.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
    let (mut set, known) = (object("set"), object("allowed"));
    for (kind, value) in quotas {
        if !known.contains_key(kind) {
            let error = Error::new(code::USAGE, format!("there is no quota {kind:?}"));
            return Err(error.help(suggest::help(kind, known.keys().map(String::as_str))));
        }
        if value.is_empty() {
            set.remove(kind);
            continue;
        }
        let number = human::parse_count(value).or_else(|_| human::parse_bytes(value))?;
        set.insert(kind.clone(), json!(number));
    }
    Ok(set)
}

fn show(quota: &Value, output: &Output) {
    output.result(quota, || {
        let kinds = quota.get("allowed").and_then(Value::as_object).cloned().unwrap_or_default();
        let of = |field: &str, kind: &str| quota.get(field)?.get(kind)?.as_u64();
        let number = |kind: &str, value: Option<u64>| match value {
            Some(value) if kind.contains("bytes") || kind == "memory" => human::bytes(value),
            Some(value) => human::grouped(value),
            None => String::new(),
        };
        let rows = kinds.keys().map(|kind| {
            let cell = |field: &str| number(kind, of(field, kind));
            vec![kind.clone(), cell("used"), cell("allowed"), cell("set")]
        });
        table(Some(&["quota", "used", "allowed", "set"]), rows)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let now =
            json!({ "set": { "jobs": 5, "slots": 2 }, "allowed": { "jobs": 5, "slots": 2, "memory": 9 }, "used": {} });
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            changed(&now, &pairs).map(Value::Object)
        };
        assert_eq!(of(&[("memory", "1 GiB")]).unwrap(), json!({ "jobs": 5, "slots": 2, "memory": 1 << 30 }));
        assert_eq!(of(&[("jobs", ""), ("slots", "7")]).unwrap(), json!({ "slots": 7 }));
        assert_eq!(of(&[("job", "7")]).unwrap_err().help_text(), Some("did you mean `jobs`?"));
        assert!(of(&[("jobs", "many")]).is_err());
    }
}
