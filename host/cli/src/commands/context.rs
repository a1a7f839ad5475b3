//! `lockgate context`: which JobManagers there are, which is in use, as in kubectl.

use super::Outcome;
use crate::contexts::Contexts;
use crate::home::Home;
use crate::output::{Output, pairs, table};
use lockgate_core::Name;
use serde_json::json;

#[derive(Debug, clap::Subcommand)]
pub enum ContextCommand {
    /// Shows all contexts.
    List,
    /// Uses a context from now on.
    Use {
        /// Which.
        name: String,
    },
    /// Shows a context: the one in use, or that of a name.
    Show {
        /// Which.
        name: Option<String>,
    },
    /// Deletes a context and the token that `lockgate login` kept for it. The token stays valid.
    Delete {
        /// Which.
        name: String,
    },
}

impl ContextCommand {
    pub fn run(&self, output: &Output) -> Outcome {
        let home = Home::open()?;
        let mut all = Contexts::read(&home)?;
        match self {
            Self::List => {
                output.result(&json!({ "current": all.current, "contexts": all.context }), || {
                    let rows = all.context.iter().map(|(name, context)| {
                        let mark = if all.current.as_ref() == Some(name) { "*" } else { "" };
                        let tenant = context.tenant.as_ref().map(Name::to_string).unwrap_or_default();
                        vec![mark.to_owned(), name.clone(), context.server.clone(), tenant]
                    });
                    if all.context.is_empty() {
                        "none".into()
                    } else {
                        table(Some(&["", "name", "server", "tenant"]), rows)
                    }
                });
            }
            Self::Use { name } => {
                let (name, context) = all.find(Some(name))?;
                let (name, server) = (name.to_owned(), context.server.clone());
                all.current = Some(name.clone());
                all.write(&home)?;
                output.result(&json!({ "current": name }), || format!("uses {name}: {server}"));
            }
            Self::Show { name } => {
                let (name, context) = all.find(name.as_deref())?;
                output.result(&json!({ "name": name, "context": context }), || {
                    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
                    let digest = context.ca_sha256.map(|digest| digest.to_string());
                    let variable = context.token_env.as_ref().map(|name| format!("environment variable {name}"));
                    pairs([
                        ("name", name.to_owned()),
                        ("server", context.server.clone()),
                        ("authority", path(&context.ca).or(digest).unwrap_or("those of this machine".into())),
                        ("tenant", context.tenant.as_ref().map_or("none".into(), Name::to_string)),
                        ("token", path(&context.token_file).or(variable).unwrap_or("none".into())),
                    ])
                });
            }
            Self::Delete { name } => {
                let (name, context) = all.find(Some(name))?;
                let name = name.to_owned();
                let kept = context.token_file.clone().filter(|path| path.starts_with(home.tokens()));
                all.context.remove(&name);
                all.current = all.current.take().filter(|current| *current != name);
                all.write(&home)?;
                // The context is gone; a token that is left is still for this user alone.
                let removed = kept.is_none_or(|path| std::fs::remove_file(path).is_ok());
                output.result(&json!({ "deleted": name, "token-removed": removed }), || {
                    format!("deleted context {name}")
                });
            }
        }
        Ok(())
    }
}
