//! `lockgate verify`: the decision that a TaskManager would make, on this machine and without its memory.

use super::Outcome;
use super::inspect::{capable, list};
use crate::commands::trust::TrustFolder;
use crate::files;
use crate::output::{Output, pairs};
use lockgate_core::bundle::{Package, ReadLimits};
use lockgate_core::dsse::{Envelope, MAX_ENVELOPE};
use lockgate_core::marks::Marks;
use lockgate_core::trust::TrustDomain;
use lockgate_core::verify::{Admission, Request, verify};
use lockgate_core::{Name, Timestamp};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every rule is checked that a TaskManager checks, except those against going back to an earlier \
                        version: they need the marks that a TaskManager keeps."
)]
pub struct Verify {
    /// The bundle.
    bundle: PathBuf,
    /// The folder of trust documents.
    #[arg(long, value_name = "DIR")]
    trust: PathBuf,
    /// The trust domain of the cluster that it shall run on.
    #[arg(long)]
    domain: TrustDomain,
    /// The operator root that is pinned there; the first one of the folder if absent.
    #[arg(long, value_name = "FILE")]
    pin: Option<PathBuf>,
    /// The tenant; the bundle's own if absent.
    #[arg(long)]
    tenant: Option<Name>,
    /// Verify as at this time, such as 2026-11-22T10:00:00Z; now if absent.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

impl Verify {
    pub fn run(&self, output: &Output) -> Outcome {
        let read = ReadLimits::default();
        let bytes = files::read(&self.bundle, read.total)?;
        let tenant = match &self.tenant {
            Some(tenant) => tenant.clone(),
            None => Package::parse(&bytes)?.unverified_statement()?.predicate.manifest.job.tenant,
        };
        let folder = TrustFolder::new(&self.trust);
        let documents = folder.documents(&tenant)?;
        let pinned = match &self.pin {
            Some(path) => Envelope::parse(&files::read(path, MAX_ENVELOPE as u64)?)?,
            None => folder.first_root()?,
        };
        let now = self.at.unwrap_or_else(files::now);
        let request = Request {
            pinned: &pinned,
            documents: &documents,
            domain: &self.domain,
            tenant: &tenant,
            marks: &Marks::provision(now),
            now,
            admission: Admission::Start,
            read,
        };
        let accepted = verify(&request, bytes.as_slice())?;
        let bundle = &accepted.bundle;
        let signers: Vec<String> = bundle.signers().iter().map(|key| key.id()).collect();
        let lines = capable(bundle.predicate());
        let value = json!({
            "verified": true,
            "tenant": bundle.tenant(),
            "job": bundle.job(),
            "version": bundle.version(),
            "digest": bundle.digest(),
            "signers": signers,
            "threshold": bundle.threshold(),
            "next-expiry": accepted.next_expiry,
            "capabilities": lines,
        });
        output.result(&value, || {
            let job = format!("{} of tenant {}, version {}", bundle.job(), bundle.tenant(), bundle.version());
            let mut rows = vec![
                ("verified", job),
                ("digest", bundle.digest().to_string()),
                (
                    "signed by",
                    format!("{} of {} keys needed: {}", signers.len(), bundle.threshold(), signers.join(", ")),
                ),
            ];
            if let Some((what, when)) = &accepted.next_expiry {
                rows.push(("expires first", format!("{what}, at {when}")));
            }
            pairs(rows) + "\n" + &list(&lines)
        });
        Ok(())
    }
}
