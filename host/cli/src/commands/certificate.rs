//! `lockgate member certificate`: which client certificates are a member's, by the URI among their alternative names.

use super::Outcome;
use super::remote::{Narrow, Target, confirm, fields};
use crate::client::Request;
use crate::output::Output;
use serde_json::json;

#[derive(Debug, clap::Subcommand)]
pub enum Certificate {
    /// Shows certificates and whose they are; --name is compared with the member.
    List {
        #[command(flatten)]
        narrow: Narrow,
        #[command(flatten)]
        target: Target,
    },
    /// Takes a certificate with this URI as a member's, as the operator.
    Add {
        /// Who: user:ana, service:ci.
        principal: String,
        /// The URI: spiffe://example.org/ci.
        uri: String,
        #[command(flatten)]
        target: Target,
    },
    /// Takes a certificate with this URI no more.
    Remove {
        /// The URI.
        uri: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        target: Target,
    },
}

const ROWS: &[(&str, &str)] = &[("uri", "uri"), ("member", "principal"), ("since", "created"), ("by", "created-by")];

impl Certificate {
    pub async fn go(&self, output: &Output) -> Outcome {
        match self {
            Self::List { narrow, target } => {
                let remote = target.open()?;
                narrow.show((&remote, output), &remote.of_either(&["certificates"]), Vec::new(), ROWS).await
            }
            Self::Add { principal, uri, target } => {
                let remote = target.open()?;
                let request = Request::put(&remote.of_either(&["certificates", uri]));
                let made = remote.client.send(&request.json(&json!({ "principal": principal }))).await?.body;
                output.result(&made, || fields(&made, ROWS));
                Ok(())
            }
            Self::Remove { uri, yes, target } => {
                let remote = target.open()?;
                confirm(*yes, &format!("take the certificate {uri} no more?"))?;
                remote.client.send(&Request::delete(&remote.of_either(&["certificates", uri]))).await?;
                output.result(&json!({ "removed": uri }), || format!("removed certificate {uri}"));
                Ok(())
            }
        }
    }
}
