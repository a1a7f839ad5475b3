//! What the verbs share that ask a JobManager: which one and for which tenant, lists, questions, and tables of what came
//! back.

use super::{Failure, Outcome};
use crate::client::{Client, escaped};
use crate::contexts::Contexts;
use crate::home::Home;
use crate::output::{Output, plain, table};
use lockgate_core::error::code;
use lockgate_core::{Error, Name, Result, human};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

/// The flags that say which JobManager is asked, and for which tenant.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Target {
    /// The context; the one in use if not given.
    #[arg(long, value_name = "NAME", env = "LOCKGATE_CONTEXT", global = false)]
    context: Option<String>,
    /// The tenant; the context's if not given.
    #[arg(long, value_name = "NAME", env = "LOCKGATE_TENANT")]
    tenant: Option<Name>,
}

/// A JobManager that is asked for a tenant, or for the cluster.
#[derive(Debug)]
pub struct Remote {
    /// What asks it.
    pub client: Client,
    tenant: Option<Name>,
}

impl Target {
    /// That of a context; of the one in use if none is named.
    pub fn of(context: Option<String>) -> Self {
        Self { context, tenant: None }
    }

    /// Finds it.
    ///
    /// # Errors
    /// `LG1070` to `LG1073`, `LG1053`.
    pub fn open(&self) -> Result<Remote> {
        let contexts = Contexts::read(&Home::open()?)?;
        let (_, context) = contexts.find(self.context.as_deref())?;
        Ok(Remote { client: context.client()?, tenant: self.tenant.clone().or_else(|| context.tenant.clone()) })
    }
}

impl Remote {
    /// The tenant.
    ///
    /// # Errors
    /// `LG1077` if none is named.
    pub fn tenant(&self) -> Result<&Name> {
        let none = || Error::new(code::NO_TENANT, "no tenant is named").help("add `--tenant NAME`");
        self.tenant.as_ref().ok_or_else(none)
    }

    /// A path below the tenant's: `jobs` and its like, each part escaped.
    ///
    /// # Errors
    /// `LG1077` if no tenant is named.
    pub fn of_tenant(&self, parts: &[&str]) -> Result<String> {
        Ok(join(&format!("/api/v1/tenants/{}", self.tenant()?), parts))
    }

    /// A path below the tenant's if one is named, else the cluster's own: members and tokens are of one or the other.
    pub fn of_either(&self, parts: &[&str]) -> String {
        self.of_tenant(parts).unwrap_or_else(|_| join("/api/v1", parts))
    }
}

fn join(base: &str, parts: &[&str]) -> String {
    parts.iter().fold(base.to_owned(), |path, part| path + "/" + &escaped(part))
}

/// The flags that narrow a list.
#[derive(Clone, Debug, clap::Args)]
pub struct Narrow {
    /// How names begin.
    #[arg(long, value_name = "PREFIX")]
    name: Option<String>,
    /// The most things to show.
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl Narrow {
    /// The most things to show.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// How names begin, if that matters.
    pub fn name(&self) -> Option<String> {
        self.name.clone()
    }

    /// Says that there is more than was shown, if there is.
    pub fn tell(&self, more: bool, output: &Output) {
        if more {
            output.note(&format!("there are more than {}: narrow the list, or raise --limit", self.limit));
        }
    }

    /// Shows the list at `path`, narrowed further by `query`, with these columns: each a heading and a field.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn show(
        &self,
        (remote, output): (&Remote, &Output),
        path: &str,
        mut query: Vec<(&str, String)>,
        columns: &[(&str, &str)],
    ) -> Outcome {
        query.extend(self.name.clone().map(|name| ("name", name)));
        let (items, more) = remote.client.list(path, &query, self.limit()).await?;
        output.result(&json!({ "items": items, "more": more }), || {
            let header: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
            if items.is_empty() {
                return "none".into();
            }
            table(Some(&header), items.iter().map(|item| columns.iter().map(|(_, field)| cell(item, field)).collect()))
        });
        self.tell(more, output);
        Ok(())
    }
}

/// Runs what waits for a server.
pub fn block(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::new(code::INTERNAL, format!("no runtime: {error}")))?.block_on(work)
}

/// Asks whether to go on, unless `yes` says so already.
///
/// # Errors
/// `LG1078` if the answer is no, or nobody can be asked.
pub fn confirm(yes: bool, question: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    let refused = |why: &str| Error::new(code::NOT_CONFIRMED, why).help("`--yes` says yes beforehand");
    if !std::io::stdin().is_terminal() {
        return Err(refused("this is asked before, and standard input is no terminal"));
    }
    anstream::eprint!("{} [y/N] ", plain(question));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(refused("the answer was not yes")),
    }
}

/// A field of an answer in one cell; `a.b` is the field `b` of `a`.
pub fn cell(value: &Value, field: &str) -> String {
    let found = field.split('.').try_fold(value, |value, key| value.get(key));
    found.map(words).unwrap_or_default()
}

/// A value in words.
pub fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(all) => {
            all.iter().map(|(key, value)| format!("{key}={}", words(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Fields of an answer in rows, those that are there.
pub fn fields(value: &Value, rows: &[(&str, &str)]) -> String {
    let shown = rows.iter().map(|(heading, field)| (*heading, cell(value, field))).filter(|(_, text)| !text.is_empty());
    crate::output::pairs(shown)
}

/// Reads `key=value`, of which a flag may have several.
///
/// # Errors
/// In words, as clap shows it.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "write KEY=VALUE".to_owned())
}

/// Several `key=value` as a JSON object.
///
/// # Errors
/// `LG0001` if a key is there twice.
pub fn object(pairs: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (key, value) in pairs {
        if all.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::new(code::USAGE, format!("{key:?} is given twice")));
        }
    }
    Ok(all)
}

/// Reads a duration such as `30 s`.
///
/// # Errors
/// In words, as clap shows it.
pub fn duration(text: &str) -> Result<Duration, String> {
    human::parse_millis(text).map(Duration::from_millis).map_err(|error| error.cause().to_owned())
}

/// Somebody stopped waiting.
pub fn stopped_waiting() -> Failure {
    let error = Error::new(code::INTERRUPTED, "stopped waiting; what was asked for goes on without this command");
    error.help("`lockgate info JOB` shows how it stands").into()
}
