//! `lockgate trust upload` and `lockgate trust list`: trust documents on a JobManager, which checks each one itself.

use super::TrustFolder;
use crate::client::Request;
use crate::commands::Outcome;
use crate::commands::remote::{Narrow, Target, block, cell};
use crate::files;
use crate::output::{Output, table};
use lockgate_core::dsse::{Envelope, MAX_ENVELOPE};
use lockgate_core::error::code;
use lockgate_core::trust::{
    Document, OperatorRoot, OperatorStatus, Reference, TenantPolicy, TenantRoot, TenantStatus, peek,
};
use lockgate_core::{Error, Name, Result};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Upload {
    /// Documents, or folders of them as the other verbs keep them. Of a folder, only what you may upload.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Of folders, only what is about this tenant, and the operator's own.
    #[arg(long, value_name = "NAME")]
    only: Option<Name>,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    narrow: Narrow,
    #[command(flatten)]
    target: Target,
}

/// A document and where it goes.
#[derive(Clone, Debug)]
struct Piece {
    /// 0 to 4: operator root, policy, operator status, tenant root, tenant status.
    step: u8,
    path: String,
    reference: Reference,
}

impl Piece {
    /// The right that uploading it takes.
    fn right(&self) -> &'static str {
        match self.step {
            0..=2 => "write-operator-trust",
            3 => "write-tenant-trust",
            _ => "write-tenant-status",
        }
    }
}

fn piece(envelope: &Envelope) -> Result<Piece> {
    fn of<D: Document>(envelope: &Envelope, step: u8, path: impl FnOnce(&D) -> String) -> Result<Piece> {
        let document: D = peek(envelope)?;
        Ok(Piece { step, path: path(&document), reference: document.reference(envelope) })
    }
    let below = |tenant: &Name, kind: &str| format!("/api/v1/tenants/{tenant}/trust/{kind}");
    match envelope.payload_type() {
        OperatorRoot::PAYLOAD_TYPE => of::<OperatorRoot>(envelope, 0, |_| "/api/v1/trust/operator-root".into()),
        TenantPolicy::PAYLOAD_TYPE => of::<TenantPolicy>(envelope, 1, |policy| below(&policy.tenant, "policy")),
        OperatorStatus::PAYLOAD_TYPE => of::<OperatorStatus>(envelope, 2, |_| "/api/v1/trust/operator-status".into()),
        TenantRoot::PAYLOAD_TYPE => of::<TenantRoot>(envelope, 3, |root| below(&root.tenant, "root")),
        TenantStatus::PAYLOAD_TYPE => of::<TenantStatus>(envelope, 4, |status| below(&status.tenant, "status")),
        _ => Err(Error::new(code::WRONG_PAYLOAD_TYPE, "the envelope does not hold a trust document")),
    }
}

impl Upload {
    pub fn run(&self, output: &Output) -> Outcome {
        block(self.go(output))
    }

    async fn go(&self, output: &Output) -> Outcome {
        let mut all = self.read()?;
        // Whatever a document names goes before it, and versions follow each other.
        all.sort_by_key(|(piece, ..)| {
            let Reference { epoch, version, .. } = piece.reference;
            (piece.step, piece.path.clone(), epoch, version)
        });
        let remote = self.target.open()?;
        let who = remote.client.send(&Request::get("/api/v1/whoami")).await?.body;
        let rights = who.get("actions").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut done = Vec::new();
        for (piece, envelope, from_folder) in all {
            let held = remote.client.find(&piece.path).await?.map(|answer| answer.body);
            let held = held.as_ref().map(|held| (number(held, "epoch"), number(held, "version"), cell(held, "digest")));
            let Reference { epoch, version, digest } = piece.reference;
            let outcome = match held {
                Some(held) if held == (epoch, version, digest.to_string()) => "there already",
                _ if from_folder && !rights.contains(&json!(piece.right())) => "left to whoever may",
                // Folders keep what was replaced; the JobManager has no use for it.
                Some(held) if from_folder && (held.0, held.1) > (epoch, version) => "replaced already",
                _ => {
                    let value: Value = serde_json::from_slice(&envelope.to_json()?)
                        .map_err(|error| Error::new(code::INTERNAL, error.to_string()))?;
                    remote.client.send(&Request::post(&piece.path).json(&value)).await?;
                    "uploaded"
                }
            };
            let name = piece.path.trim_start_matches("/api/v1/").replace("/trust/", " ").replace('/', " ");
            done.push((name, piece.reference, outcome));
        }
        let items: Vec<Value> = done
            .iter()
            .map(|(name, reference, outcome)| json!({ "document": name, "reference": reference, "outcome": outcome }))
            .collect();
        output.result(&json!({ "items": items }), || {
            let rows = done
                .iter()
                .map(|(name, reference, outcome)| vec![name.clone(), reference.to_string(), (*outcome).to_owned()]);
            table(None, rows)
        });
        Ok(())
    }

    /// The documents, each with whether it comes from a folder.
    fn read(&self) -> Result<Vec<(Piece, Envelope, bool)>> {
        let mut all = Vec::new();
        for path in &self.files {
            let place = path.display().to_string();
            let (found, folder) = if path.is_dir() {
                (self.folder(&TrustFolder::new(path))?, true)
            } else {
                let envelope = Envelope::parse(&files::read(path, MAX_ENVELOPE as u64)?);
                (vec![envelope.map_err(|error| error.at(place.clone()))?], false)
            };
            for envelope in found {
                all.push((piece(&envelope).map_err(|error| error.at(place.clone()))?, envelope, folder));
            }
        }
        Ok(all)
    }

    fn folder(&self, folder: &TrustFolder) -> Result<Vec<Envelope>> {
        let mut all = folder.operator_roots()?;
        all.extend(folder.operator_status()?);
        for tenant in folder.tenants()? {
            if self.only.as_ref().is_none_or(|only| *only == tenant) {
                all.extend(folder.policies(&tenant)?);
                all.extend(folder.of_tenant(&tenant, "root")?);
                all.extend(folder.of_tenant(&tenant, "status")?);
            }
        }
        Ok(all)
    }
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}

impl List {
    pub fn run(&self, output: &Output) -> Outcome {
        block(async {
            let remote = self.target.open()?;
            let own = remote.tenant().is_ok();
            let mut paths: Vec<String> =
                ["operator-root", "operator-status"].map(|kind| format!("/api/v1/trust/{kind}/versions")).into();
            if own {
                for kind in ["policy", "root", "status"] {
                    paths.push(remote.of_tenant(&["trust", kind, "versions"])?);
                }
            }
            let mut items = Vec::new();
            for path in paths {
                items.extend(remote.client.list(&path, &[], self.narrow.limit()).await?.0);
            }
            let columns = ["document", "epoch", "version", "expires", "uploaded", "uploaded-by", "digest"];
            output.result(&json!({ "items": items }), || {
                table(Some(&columns), items.iter().map(|item| columns.iter().map(|field| cell(item, field)).collect()))
            });
            Ok(())
        })
    }
}
