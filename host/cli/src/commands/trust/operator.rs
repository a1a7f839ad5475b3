//! The operator's documents: the root of all trust, and the short-lived word on what is current.

use super::super::Outcome;
use super::finish;
use super::options::{Signing, in_days, role};
use crate::files;
use crate::output::Output;
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::trust::{
    Audience, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TrustDomain, create, peek,
};
use lockgate_core::{Error, Result};
use std::path::Path;

#[derive(Debug, clap::Args)]
#[command(after_help = "A next version must be signed by the thresholds of the old and the new root keys together.")]
pub struct MakeRoot {
    #[command(flatten)]
    signing: Signing,
    /// A trust domain that the documents are for; may be given several times.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<TrustDomain>,
    /// A public key (text or file) that signs this document and policies; may be given several times.
    #[arg(long, value_name = "KEY")]
    root: Vec<String>,
    /// How many of them must sign.
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// A public key that signs the operator's status; may be given several times.
    #[arg(long, value_name = "KEY")]
    status: Vec<String>,
    /// How many of them must sign.
    #[arg(long, value_name = "N")]
    status_threshold: Option<u32>,
    /// Days until it expires.
    #[arg(long, default_value_t = 730)]
    days: u32,
}

impl MakeRoot {
    pub fn run(&self, output: &Output) -> Outcome {
        let (folder, keys) = (self.signing.folder(), self.signing.keys()?);
        let before = folder.operator_roots()?.pop();
        let current: Option<OperatorRoot> = before.as_ref().map(peek).transpose()?;
        let audience = match (&self.domains, &current) {
            (none, Some(current)) if none.is_empty() => current.audience.clone(),
            (none, None) if none.is_empty() => {
                return Err(Error::new(code::USAGE, "the first version needs `--domain DOMAIN`").into());
            }
            (domains, _) => Audience::new(domains.clone())?,
        };
        let of = |root: fn(&OperatorRoot) -> &_| current.as_ref().map(root);
        let next = OperatorRoot {
            version: current.as_ref().map_or(0, |current| current.version).saturating_add(1),
            expires: in_days(self.days),
            audience,
            root: role("--root", &self.root, self.threshold, of(|root| &root.root))?,
            status: role("--status", &self.status, self.status_threshold, of(|root| &root.status))?,
        };
        let envelope = create(&next, &keys.iter().collect::<Vec<_>>())?;
        let mut roles = vec![&next.root];
        roles.extend(current.as_ref().map(|current| &current.root));
        let file = format!("operator-root.{}.json", next.version);
        finish(&folder, Path::new(&file), &envelope, &next, &roles, output)
    }
}

#[derive(Debug, clap::Args)]
pub struct MakeStatus {
    #[command(flatten)]
    signing: Signing,
    /// Days until it expires, at most 30.
    #[arg(long, default_value_t = 7)]
    days: u32,
}

impl MakeStatus {
    pub fn run(&self, output: &Output) -> Outcome {
        let (folder, keys) = (self.signing.folder(), self.signing.keys()?);
        let root_envelope = folder.last_root()?;
        let root: OperatorRoot = peek(&root_envelope)?;
        let before: Option<OperatorStatus> = folder.operator_status()?.as_ref().map(peek).transpose()?;
        let policy = |tenant| -> Result<_> {
            let current: Option<Envelope> = folder.policies(&tenant)?.pop();
            let reference = current.as_ref().map(Reference::of::<TenantPolicy>).transpose()?;
            Ok(reference.map(|reference| (tenant, reference)))
        };
        let policies = folder.tenants()?.into_iter().map(policy).collect::<Result<Vec<_>>>()?;
        let next = OperatorStatus {
            version: before.as_ref().map_or(0, |before| before.version).saturating_add(1),
            issued: files::now(),
            expires: in_days(self.days),
            audience: root.audience.clone(),
            root: Reference::of::<OperatorRoot>(&root_envelope)?,
            policies: policies.into_iter().flatten().collect(),
            pool_keys: before.map(|before| before.pool_keys).unwrap_or_default(),
        };
        let envelope = create(&next, &keys.iter().collect::<Vec<_>>())?;
        finish(&folder, Path::new("operator-status.json"), &envelope, &next, &[&root.status], output)
    }
}
