//! `lockgate tenant`: tenants, which the operator makes, suspends and closes.

use super::Outcome;
use super::remote::{Narrow, Target, block, confirm, fields, object, pair};
use crate::client::Request;
use crate::output::Output;
use lockgate_core::Name;
use serde_json::{Value, json};

#[derive(Debug, clap::Subcommand)]
pub enum Tenant {
    /// Makes a tenant.
    Create {
        /// Its name: the id in its trust documents, never given again.
        name: Name,
        /// A label; may be given several times.
        #[arg(long = "label", short = 'l', value_name = "KEY=VALUE", value_parser = pair)]
        labels: Vec<(String, String)>,
        #[command(flatten)]
        target: Target,
    },
    /// Shows the tenants that you may see.
    List {
        #[command(flatten)]
        narrow: Narrow,
        #[command(flatten)]
        target: Target,
    },
    /// Shows a tenant.
    Show(Named),
    /// Stops a tenant's jobs and takes nothing new; all is kept.
    Suspend(Named),
    /// Lets a suspended tenant go on.
    Resume(Named),
    /// Closes a tenant for good.
    Close {
        #[command(flatten)]
        named: Named,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// A tenant that is there.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The tenant.
    name: Name,
    #[command(flatten)]
    target: Target,
}

fn path(name: &Name) -> String {
    format!("/api/v1/tenants/{name}")
}

fn show(tenant: &Value, output: &Output) -> Outcome {
    let rows =
        [("name", "name"), ("state", "state"), ("labels", "labels"), ("created", "created"), ("by", "created-by")];
    output.result(tenant, || fields(tenant, &rows));
    Ok(())
}

impl Tenant {
    pub fn run(&self, output: &Output) -> Outcome {
        block(self.go(output))
    }

    async fn go(&self, output: &Output) -> Outcome {
        let (named, request) = match self {
            Self::Create { name, labels, target } => {
                let body = json!({ "name": name, "labels": object(labels)? });
                let request = Request::post("/api/v1/tenants").json(&body).keyed()?;
                return show(&target.open()?.client.send(&request).await?.body, output);
            }
            Self::List { narrow, target } => {
                let columns = [("name", "name"), ("state", "state"), ("created", "created"), ("labels", "labels")];
                return narrow.show((&target.open()?, output), "/api/v1/tenants", Vec::new(), &columns).await;
            }
            Self::Close { named: Named { name, target }, yes } => {
                let remote = target.open()?;
                confirm(*yes, &format!("close tenant {name} for good? Its name stays taken."))?;
                remote.client.send(&Request::delete(&path(name))).await?;
                output.result(&json!({ "closed": name }), || format!("closed tenant {name}"));
                return Ok(());
            }
            Self::Show(named) => (named, Request::get(&path(&named.name))),
            Self::Suspend(named) => (named, Request::patch(&path(&named.name)).json(&json!({ "suspended": true }))),
            Self::Resume(named) => (named, Request::patch(&path(&named.name)).json(&json!({ "suspended": false }))),
        };
        show(&named.target.open()?.client.send(&request).await?.body, output)
    }
}
