//! `lockgate sign`: a signature on a bundle or a trust document, beside those that are there.
//!
//! Whoever signs is shown what it says, and every check that a reader makes of the content is made before.

use super::inspect::{capable, list};
use super::{Failure, Outcome};
use crate::content::{Content, title, unfit};
use crate::output::{Output, pairs};
use crate::{files, keyfile};
use lockgate_core::Result;
use lockgate_core::dsse::Envelope;
use lockgate_core::keys::SecretKey;
use lockgate_core::trust::{Document, OperatorRoot, OperatorStatus, TenantPolicy, TenantRoot, TenantStatus, sign};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Sign {
    /// The bundle or trust document; it is replaced by itself with the signature.
    file: PathBuf,
    /// A key file to sign with; may be given several times.
    #[arg(long = "key", required = true)]
    keys: Vec<PathBuf>,
}

impl Sign {
    pub fn run(&self, output: &Output) -> Outcome {
        let keys = keyfile::secrets(&self.keys)?;
        let (bytes, envelope, what, lines) = match Content::read(&self.file)? {
            Content::Bundle(mut package) => {
                keys.iter().try_for_each(|key| package.sign(key))?;
                let predicate = package.unverified_statement()?.predicate;
                let job = &predicate.manifest.job;
                let what = format!("job {} of tenant {}, version {}", job.name, job.tenant, job.version);
                (package.to_bytes()?, package.envelope, what, capable(&predicate))
            }
            Content::Envelope(mut envelope) => {
                let what = add(&mut envelope, &keys, &self.file.display().to_string())?;
                (envelope.to_json()?, *envelope, what.to_owned(), Vec::new())
            }
            _ => {
                return Err(unfit(&self.file.display().to_string(), "a bundle or a trust document").into());
            }
        };
        files::replace(&self.file, &bytes)?;
        let signers: Vec<String> = keys.iter().map(|key| key.public().id()).collect();
        let value = json!({
            "file": self.file,
            "digest": envelope.payload_digest(),
            "signed-by": signers,
            "signatures": envelope.signature_count(),
            "capabilities": lines,
        });
        output.result(&value, || {
            let head = pairs([
                ("signed", what),
                ("digest", envelope.payload_digest().to_string()),
                ("signatures", envelope.signature_count().to_string()),
            ]);
            head + &list(&lines)
        });
        Ok(())
    }
}

/// Signs a trust document of whichever kind it is.
fn add(envelope: &mut Envelope, keys: &[SecretKey], place: &str) -> Result<&'static str, Failure> {
    fn with<D: Document>(envelope: &mut Envelope, keys: &[SecretKey]) -> Result<()> {
        keys.iter().try_for_each(|key| sign::<D>(envelope, key))
    }
    match envelope.payload_type().to_owned().as_str() {
        OperatorRoot::PAYLOAD_TYPE => with::<OperatorRoot>(envelope, keys)?,
        OperatorStatus::PAYLOAD_TYPE => with::<OperatorStatus>(envelope, keys)?,
        TenantPolicy::PAYLOAD_TYPE => with::<TenantPolicy>(envelope, keys)?,
        TenantRoot::PAYLOAD_TYPE => with::<TenantRoot>(envelope, keys)?,
        TenantStatus::PAYLOAD_TYPE => with::<TenantStatus>(envelope, keys)?,
        _ => {
            return Err(unfit(place, "a trust document")
                .help("a bundle's statement is signed within its bundle")
                .into());
        }
    }
    Ok(title(envelope.payload_type()).unwrap_or_default())
}
