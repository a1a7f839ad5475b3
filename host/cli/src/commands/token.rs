//! `lockgate token`: API tokens. A token's text is shown once, when it is made, or goes straight into a file.

use super::Outcome;
use super::remote::{Narrow, Target, block, cell, fields};
use crate::client::Request;
use crate::files;
use crate::output::Output;
use lockgate_core::Error;
use lockgate_core::error::code;
use serde_json::{Value, json};
use std::path::PathBuf;
use zeroize::Zeroizing;

#[derive(Debug, clap::Subcommand)]
pub enum Token {
    /// Makes a token: of the tenant's member, or of one of the operator's people if no tenant is named.
    Create(Create),
    /// Shows tokens without their text: all, or your own.
    List {
        #[command(flatten)]
        narrow: Narrow,
        #[command(flatten)]
        target: Target,
    },
    /// Revokes a token: it is not taken any more, at once.
    Revoke {
        /// Its public id: what stands between the first two `_`.
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, clap::Args)]
pub struct Create {
    /// Whose; your own if not given.
    #[arg(long, value_name = "user:NAME")]
    principal: Option<String>,
    /// What it is for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// Days for which it is taken.
    #[arg(long, default_value = "90", value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// A right to narrow it to, such as read-jobs; may be given several times.
    #[arg(long = "scope", value_name = "RIGHT")]
    scopes: Vec<String>,
    /// A new file for its text, readable by you alone, instead of showing it.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

impl Token {
    pub fn run(&self, output: &Output) -> Outcome {
        block(async {
            match self {
                Self::Create(create) => create.go(output).await,
                Self::List { narrow, target } => {
                    let remote = target.open()?;
                    let columns = [
                        ("id", "id"),
                        ("principal", "principal"),
                        ("label", "label"),
                        ("expires", "expires"),
                        ("last used", "last-used"),
                        ("revoked", "revoked"),
                        ("scopes", "scopes"),
                    ];
                    narrow.show((&remote, output), &remote.of_either(&["tokens"]), Vec::new(), &columns).await
                }
                Self::Revoke { id, target } => {
                    let remote = target.open()?;
                    remote.client.send(&Request::delete(&remote.of_either(&["tokens", id]))).await?;
                    output.result(&json!({ "revoked": id }), || format!("revoked token {id}"));
                    Ok(())
                }
            }
        })
    }
}

impl Create {
    async fn go(&self, output: &Output) -> Outcome {
        if let Some(path) = self.to.as_ref().filter(|path| path.exists()) {
            return Err(Error::new(code::FILE_EXISTS, format!("{} is there already", path.display())).into());
        }
        let remote = self.target.open()?;
        let scopes = Some(&self.scopes).filter(|scopes| !scopes.is_empty());
        let body = json!({ "principal": self.principal, "label": self.label, "days": self.days, "scopes": scopes });
        let request = Request::post(&remote.of_either(&["tokens"])).json(&body).keyed()?;
        let mut token = remote.client.send(&request).await?.body;
        let id = cell(&token, "id");
        // Taken out of what is shown, unless that is where it goes.
        let text = token.get_mut("token").map(Value::take);
        let Some(text) = text.as_ref().and_then(Value::as_str).map(|text| Zeroizing::new(text.to_owned())) else {
            let cause = format!("token {id} was made, but the answer with its text was lost");
            return Err(Error::new(code::ANSWER_LOST, cause).help("revoke it, and make another one").into());
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
        let rows = [
            ("id", "id"),
            ("principal", "principal"),
            ("expires", "expires"),
            ("scopes", "scopes"),
            ("file", "file"),
            ("token", "token"),
        ];
        output.result(&token, || fields(&token, &rows));
        if self.to.is_none() {
            output.note("the token is shown this once and kept nowhere");
        }
        Ok(())
    }
}
