//! `lockgate member`: who is what in a tenant, or among the operator's people if no tenant is named.

use super::Outcome;
use super::certificate::Certificate;
use super::remote::{Narrow, Target, block, confirm, fields};
use crate::client::Request;
use crate::output::Output;
use serde_json::json;

#[derive(Debug, clap::Subcommand)]
pub enum Member {
    /// Shows members and their roles.
    List {
        #[command(flatten)]
        narrow: Narrow,
        #[command(flatten)]
        target: Target,
    },
    /// Shows a member.
    Show {
        /// Who: user:ana, service:ci.
        principal: String,
        #[command(flatten)]
        target: Target,
    },
    /// Makes somebody a member, or gives him other roles.
    Set {
        /// Who: user:ana, service:ci.
        principal: String,
        /// A role: tenant-admin, deployer, viewer, auditor; operator and auditor among the operator's people.
        #[arg(long = "role", required = true, value_name = "ROLE")]
        roles: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Shows and changes which client certificates are a member's.
    #[command(subcommand)]
    Certificate(Certificate),
    /// Removes a member and revokes his tokens there.
    Remove {
        /// Who.
        principal: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        target: Target,
    },
}

const ROWS: &[(&str, &str)] = &[("principal", "principal"), ("roles", "roles"), ("created", "created")];

impl Member {
    pub fn run(&self, output: &Output) -> Outcome {
        block(self.go(output))
    }

    async fn go(&self, output: &Output) -> Outcome {
        match self {
            Self::List { narrow, target } => {
                let remote = target.open()?;
                narrow.show((&remote, output), &remote.of_either(&["members"]), Vec::new(), ROWS).await
            }
            Self::Show { principal, target } => {
                let remote = target.open()?;
                let member = remote.client.send(&Request::get(&remote.of_either(&["members", principal]))).await?.body;
                output.result(&member, || fields(&member, ROWS));
                Ok(())
            }
            Self::Set { principal, roles, target } => {
                let remote = target.open()?;
                let path = remote.of_either(&["members", principal]);
                let now = remote.client.find(&path).await?.and_then(|answer| answer.etag);
                let request = Request::put(&path).json(&json!({ "roles": roles })).if_match(now.as_deref());
                let member = remote.client.send(&request).await?.body;
                output.result(&member, || fields(&member, ROWS));
                Ok(())
            }
            Self::Certificate(certificate) => certificate.go(output).await,
            Self::Remove { principal, yes, target } => {
                let remote = target.open()?;
                confirm(*yes, &format!("remove {principal} and revoke his tokens?"))?;
                remote.client.send(&Request::delete(&remote.of_either(&["members", principal]))).await?;
                output.result(&json!({ "removed": principal }), || format!("removed {principal}"));
                Ok(())
            }
        }
    }
}
