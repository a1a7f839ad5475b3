//! `lockgate taskmanager list` and its like: a JobManager's TaskManagers, as its operator sees and steers them, and the tokens
//! by which they join. A join token's text is shown once, when it is made, or goes straight into a file.

use super::Outcome;
use super::remote::{Narrow, Target, block, cell, confirm, duration, fields, words};
use crate::client::Request;
use crate::files;
use crate::output::{Output, table};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, human};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// Where they are.
const PATH: &str = "/api/v1/taskmanagers";
/// Where the tokens are.
const TOKENS: &str = "/api/v1/join-tokens";

#[derive(Debug, clap::Subcommand)]
pub enum TaskManagers {
    /// Shows the TaskManagers that have joined.
    List {
        /// A state, such as cordoned; may be given several times, any of which fits.
        #[arg(long = "state", value_name = "STATE")]
        states: Vec<String>,
        #[command(flatten)]
        narrow: Narrow,
        #[command(flatten)]
        target: Target,
    },
    /// Shows a TaskManager.
    Show(Named),
    /// Places nothing new on a TaskManager; what is there stays.
    Cordon(Named),
    /// Places jobs on a TaskManager again that was cordoned or drained.
    Uncordon(Named),
    /// Takes everything from a TaskManager, and places nothing new there.
    Drain(Named),
    /// Cuts a TaskManager off, at once and for good: its certificates do not count any more.
    Revoke(Asked),
    /// Forgets a TaskManager that was revoked or is gone; its name is free then.
    Remove(Asked),
    /// Makes, shows and deletes the tokens by which TaskManagers join.
    #[command(subcommand)]
    Token(Token),
}

/// A TaskManager that is there.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The TaskManager.
    name: Name,
    #[command(flatten)]
    target: Target,
}

/// The same, for what is asked before.
#[derive(Debug, clap::Args)]
pub struct Asked {
    #[command(flatten)]
    named: Named,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Subcommand)]
pub enum Token {
    /// Makes a token by which one TaskManager joins, once.
    Create(Create),
    /// Shows tokens that were not used, without their text.
    List {
        #[command(flatten)]
        narrow: Narrow,
        #[command(flatten)]
        target: Target,
    },
    /// Deletes a token: it is not taken any more, at once.
    Delete {
        /// Its public id: what stands between the first two `_`.
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// The one name under which it may be used, be it that of a TaskManager that is to join anew; any that is free if not
    /// given.
    #[arg(long)]
    name: Option<Name>,
    /// For how long it is taken, from `1 min` to `24 h`; as the JobManager's configuration says if not given.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<Duration>,
    /// A new file for its text, readable by you alone, instead of showing it.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

fn path(name: &Name) -> String {
    format!("{PATH}/{name}")
}

impl TaskManagers {
    pub fn run(&self, output: &Output) -> Outcome {
        block(self.go(output))
    }

    async fn go(&self, output: &Output) -> Outcome {
        let (named, state) = match self {
            Self::List { states, narrow, target } => {
                let remote = target.open()?;
                let mut query: Vec<_> = states.iter().map(|state| ("state", state.clone())).collect();
                query.extend(narrow.name().map(|name| ("name", name)));
                let (items, more) = remote.client.list(PATH, &query, narrow.limit()).await?;
                output.result(&json!({ "items": items, "more": more }), || listed(&items));
                narrow.tell(more, output);
                return Ok(());
            }
            Self::Show(named) => {
                return show(&named.target.open()?.client.send(&Request::get(&path(&named.name))).await?.body, output);
            }
            Self::Cordon(named) => (named, "cordoned"),
            Self::Uncordon(named) => (named, "active"),
            Self::Drain(named) => (named, "draining"),
            Self::Revoke(Asked { named, yes }) => {
                let question = format!("cut TaskManager {} off for good? What it runs goes elsewhere.", named.name);
                confirm(*yes, &question)?;
                (named, "revoked")
            }
            Self::Remove(Asked { named: Named { name, target }, yes }) => {
                let remote = target.open()?;
                confirm(*yes, &format!("remove TaskManager {name}? Its name is free then."))?;
                remote.client.send(&Request::delete(&path(name))).await?;
                output.result(&json!({ "removed": name }), || format!("removed TaskManager {name}"));
                return Ok(());
            }
            Self::Token(token) => return token.go(output).await,
        };
        let request = Request::patch(&path(&named.name)).json(&json!({ "state": state }));
        show(&named.target.open()?.client.send(&request).await?.body, output)
    }
}

/// The table of a list.
fn listed(items: &[Value]) -> String {
    if items.is_empty() {
        return "none".into();
    }
    let header = ["name", "state", "slots", "used", "memory", "volumes", "program", "heard"];
    let row = |item: &Value| {
        header.iter().map(|heading| shown(item, if *heading == "used" { "slots-used" } else { heading })).collect()
    };
    table(Some(&header), items.iter().map(row))
}

/// A field in words; what was never heard of says nothing of itself.
fn shown(item: &Value, field: &str) -> String {
    match item.get(field) {
        Some(Value::Number(bytes)) if field == "memory" => bytes.as_u64().map(human::about_bytes).unwrap_or_default(),
        Some(value) => words(value),
        None => "-".into(),
    }
}

fn show(taskmanager: &Value, output: &Output) -> Outcome {
    let rows = [
        ("name", "name"),
        ("state", "state"),
        ("joined", "joined"),
        ("with token", "joined-by"),
        ("certificate until", "certificate-expires"),
        ("heard", "heard"),
        ("slots", "slots"),
        ("used", "slots-used"),
        ("memory", "memory"),
        ("volumes", "volumes"),
        ("program", "program"),
        ("missing walls", "missing-walls"),
    ];
    output.result(taskmanager, || {
        let there = rows.iter().filter(|(_, field)| taskmanager.get(field).is_some());
        crate::output::pairs(there.map(|(heading, field)| (*heading, shown(taskmanager, field))))
    });
    Ok(())
}

impl Token {
    async fn go(&self, output: &Output) -> Outcome {
        match self {
            Self::Create(create) => create.go(output).await,
            Self::List { narrow, target } => {
                let columns = [
                    ("id", "id"),
                    ("name", "name"),
                    ("created", "created"),
                    ("by", "created-by"),
                    ("expires", "expires"),
                ];
                narrow.show((&target.open()?, output), TOKENS, Vec::new(), &columns).await
            }
            Self::Delete { id, target } => {
                let path = format!("{TOKENS}/{}", crate::client::escaped(id));
                target.open()?.client.send(&Request::delete(&path)).await?;
                output.result(&json!({ "deleted": id }), || format!("deleted join token {id}"));
                Ok(())
            }
        }
    }
}

impl Create {
    async fn go(&self, output: &Output) -> Outcome {
        if let Some(path) = self.to.as_ref().filter(|path| path.exists()) {
            return Err(Error::new(code::FILE_EXISTS, format!("{} is there already", path.display())).into());
        }
        let remote = self.target.open()?;
        let body = json!({ "name": self.name, "seconds": self.ttl.map(|ttl| ttl.as_secs()) });
        let mut token = remote.client.send(&Request::post(TOKENS).json(&body).keyed()?).await?.body;
        let id = cell(&token, "id");
        // Taken out of what is shown, unless that is where it goes.
        let text = token.get_mut("token").map(Value::take);
        let Some(text) = text.as_ref().and_then(Value::as_str).map(|text| Zeroizing::new(text.to_owned())) else {
            let cause = format!("join token {id} was made, but the answer with its text was lost");
            return Err(Error::new(code::ANSWER_LOST, cause).help("delete it, and make another one").into());
        };
        if let Value::Object(shown) = &mut token {
            shown.remove("token");
            match &self.to {
                Some(path) => {
                    files::create_private(path, Zeroizing::new(format!("{}\n", *text)).as_bytes())?;
                    shown.insert("file".into(), json!(path));
                }
                None => {
                    shown.insert("token".into(), json!(*text));
                }
            }
        }
        let rows = [("id", "id"), ("name", "name"), ("expires", "expires"), ("file", "file"), ("token", "token")];
        output.result(&token, || fields(&token, &rows));
        if self.to.is_none() {
            output.note("the token is shown this once and kept nowhere");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_heard_of_has_no_figures() {
        let items = [
            json!({ "name": "tm-1", "state": "active", "slots": 4, "slots-used": 1, "memory": 1 << 30, "volumes": ["a", "b"] }),
            json!({ "name": "tm-2", "state": "revoked" }),
        ];
        let text = listed(&items);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["name", "state", "slots", "used", "memory", "volumes", "program", "heard"]);
        assert_eq!(rows[1], ["tm-1", "active", "4", "1", "1.0", "GiB", "a,", "b", "-", "-"]);
        assert_eq!(rows[2], ["tm-2", "revoked", "-", "-", "-", "-", "-", "-"]);
    }
}
