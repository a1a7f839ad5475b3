//! `lockgate trust`: trust documents as files of a folder, made and renewed one after the other, and given to a JobManager.
//!
//! Every verb begins with the document that is there, changes what the options say, raises the version and signs. Where
//! a threshold needs more keys than are on this machine, `lockgate sign` adds theirs.

mod folder;
mod operator;
mod options;
mod server;
mod tenant;

pub use folder::TrustFolder;

use super::Outcome;
use crate::output::{Output, pairs};
use lockgate_core::dsse::Envelope;
use lockgate_core::keys::Role;
use lockgate_core::trust::{Document, Reference};
use serde_json::json;
use std::path::Path;

#[derive(Debug, clap::Subcommand)]
pub enum Trust {
    /// Makes the operator root, or its next version.
    OperatorRoot(operator::MakeRoot),
    /// Renews the operator's status: which root and policies are current.
    OperatorStatus(operator::MakeStatus),
    /// Makes a tenant's policy, or its next version.
    Policy(tenant::MakePolicy),
    /// Makes a tenant's root, or its next version.
    TenantRoot(tenant::MakeRoot),
    /// Renews a tenant's status: which jobs are current, what is revoked.
    Status(tenant::MakeStatus),
    /// Gives documents to a JobManager: the operator his own and policies, a tenant its root and status.
    Upload(server::Upload),
    /// Shows the versions of trust documents that a JobManager has.
    List(server::List),
}

impl Trust {
    pub fn run(&self, output: &Output) -> Outcome {
        match self {
            Self::OperatorRoot(make) => make.run(output),
            Self::OperatorStatus(make) => make.run(output),
            Self::Policy(make) => make.run(output),
            Self::TenantRoot(make) => make.run(output),
            Self::Status(make) => make.run(output),
            Self::Upload(upload) => upload.run(output),
            Self::List(list) => list.run(output),
        }
    }
}

/// Writes a new document and says what is still missing: `roles` are those whose thresholds must sign it.
fn finish<D: Document>(
    folder: &TrustFolder,
    file: &Path,
    envelope: &Envelope,
    document: &D,
    roles: &[&Role],
    output: &Output,
) -> Outcome {
    folder.write(file, envelope)?;
    let signed = |role: &&Role| envelope.verify(D::NAME, D::PAYLOAD_TYPE, role).is_ok();
    let complete = roles.iter().all(signed);
    let reference: Reference = document.reference(envelope);
    let path = folder.path().join(file);
    let value = json!({
        "file": path,
        "document": D::NAME,
        "reference": reference,
        "expires": document.expires(),
        "complete": complete,
    });
    output.result(&value, || {
        let missing = if complete {
            "by all that must sign".to_owned()
        } else {
            format!("not by enough keys: add more with `lockgate sign {} --key FILE`", path.display())
        };
        pairs([
            ("wrote", path.display().to_string()),
            ("document", format!("{}, {reference}", D::NAME)),
            ("expires", document.expires().to_string()),
            ("signed", missing),
        ])
    });
    Ok(())
}
